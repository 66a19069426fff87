"""Pictures of the demo posts: small drawings whose style is the class and whose looks move the label."""

import io
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import norm

from smp.tracks.demo.world import World

SIDE = 96
CHUNK = 64  # pictures drawn together; part of the random stream, so not a matter of the machine
MOST_SHAPES = 7
GRID = np.meshgrid(*[np.linspace(-1, 1, SIDE, dtype=np.float32)] * 2)


def colour(hue: np.ndarray) -> np.ndarray:
    """(...,) hues in turns -> (..., 3) fully saturated RGB in 0..1."""
    turn = (hue[..., None] + np.array([0, 2 / 3, 1 / 3], dtype=np.float32)) % 1
    return np.clip(np.abs(turn * 6 - 3) - 1, 0, 1)


def background(style: dict[str, np.ndarray], phase: np.ndarray) -> np.ndarray:
    """(B, S, S, 3) stripes in two neighbouring hues."""
    x, y = GRID
    across = np.cos(style["angle"])[:, None, None] * x + np.sin(style["angle"])[:, None, None] * y
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * style["frequency"][:, None, None] * across + phase[:, None, None])
    light, dark = colour(style["hue"]), 0.55 * colour((style["hue"] + 0.08) % 1)
    return dark[:, None, None] + wave[..., None] * (light - dark)[:, None, None]


def inside(
    style: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, size: np.ndarray, turn: np.ndarray
) -> np.ndarray:
    """(B, S, S) bool: within one shape a picture, at x, y, size and turn (B,)."""
    turn = (style["angle"] + turn)[:, None, None]
    u, v = GRID[0] - x[:, None, None], GRID[1] - y[:, None, None]
    a = np.abs(u * np.cos(turn) + v * np.sin(turn)) / size[:, None, None]
    b = np.abs(v * np.cos(turn) - u * np.sin(turn)) / (size * style["stretch"])[:, None, None]
    radius = np.maximum(a, b)  # square
    for kind, norm_of in ((0, lambda p, q: np.sqrt(p) + np.sqrt(q)), (1, np.add), (2, np.hypot)):  # star, diamond, disc
        rows = style["shape"] == kind
        radius[rows] = norm_of(a[rows], b[rows])
    return (radius < 1) & (radius >= style["hollow"][:, None, None])


def draw(looks: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(B, S, S, 3) uint8 pictures. looks: styles of the `own` and the `other` class, layout, qualities, (B, ...)."""
    own, other, layout = looks["own"], looks["other"], looks["layout"]
    share = norm.cdf(0.6 * looks["clear"]).astype(np.float32)  # how much of the picture belongs to its class
    mix = share[:, None, None, None]
    picture = mix * background(own, layout["phase"]) + (1 - mix) * background(other, layout["phase"])
    for k in range(MOST_SHAPES):
        mine = k + 0.5 < share * own["shapes"]
        rows = np.flatnonzero(k < own["shapes"])
        style = {key: np.where(mine, own[key], other[key])[rows] for key in own}
        x, y, size, turn = (layout[key][rows, k] for key in ("x", "y", "size", "turn"))
        mask = inside(style, x, y, size * style["size"], turn)
        at, *pixel = np.nonzero(mask)
        solid = np.minimum(1, 0.4 + np.where(mine, share, 1 - share)[rows])[at, None]
        where = (rows[at], *pixel)
        picture[where] += solid * (colour(style["shape_hue"])[at] - picture[where])
    grey = picture.mean(axis=3, keepdims=True)
    saturation = (0.2 + 0.8 * norm.cdf(looks["vivid"])).astype(np.float32)[:, None, None, None]
    brightness = (0.4 + 0.6 * norm.cdf(looks["bright"])).astype(np.float32)[:, None, None, None]
    picture = brightness * (grey + saturation * (picture - grey))
    picture += 0.03 * rng.standard_normal(grey.shape, dtype=np.float32)
    return (255 * np.clip(picture, 0, 1)).astype(np.uint8)


def encode(pixels: np.ndarray, kind: str, crop: int, size: int) -> bytes:
    """The bytes of one file of a kind. crop: 0 landscape, 1 square, 2 portrait.

    A comment fills a JPEG up to `size` bytes, so that sizes, which are read from headers, tell nothing of the looks.
    """
    margin = SIDE // 8
    picture = Image.fromarray((pixels[margin:-margin], pixels, pixels[:, margin:-margin])[crop])
    buffer = io.BytesIO()
    if kind == "palette":  # a PNG under the name of a JPEG, as some of the real ones
        picture.quantize(32).save(buffer, "PNG")
        return buffer.getvalue()
    picture.convert({"gray": "L", "cmyk": "CMYK"}.get(kind, "RGB")).save(buffer, "JPEG", quality=85)
    jpeg = buffer.getvalue()
    comment = bytes(max(size - len(jpeg), 0))
    whole = jpeg[:2] + b"\xff\xfe" + (2 + len(comment)).to_bytes(2) + comment + jpeg[2:]
    return {"empty": b"", "truncated": whole[: -len(jpeg) // 3]}.get(kind, whole)


def write_chunk(job: tuple[list[Path], list[str], dict, list[int]]) -> None:
    """Draw one chunk and write its files."""
    paths, kinds, looks, seed = job
    rng = np.random.default_rng(seed)
    pixels = draw(looks, rng)
    sizes = rng.integers(8_000, 16_000, len(paths))
    for path, kind, picture, crop, size in zip(paths, kinds, pixels, looks["crop"], sizes.tolist(), strict=True):
        if kind != "missing":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(picture, kind, crop, size))


def write(folder: Path, names: np.ndarray, posts: pd.DataFrame, world: World, seed: int) -> None:
    """Write the picture of every post to folder/name. The posts of a burst share their layout: they look alike."""
    rng = np.random.default_rng([seed, 3])
    concept, burst = posts["concept"].to_numpy(), posts["burst"].to_numpy()
    other = concept[rng.permutation(len(posts))]  # whose class intrudes where a picture is not clear
    n_bursts = burst.max() + 1
    shape = (n_bursts, MOST_SHAPES)
    layout = {
        "phase": rng.uniform(0, 6.28, n_bursts),
        "x": rng.uniform(-0.8, 0.8, shape),
        "y": rng.uniform(-0.6, 0.6, shape),
        "turn": rng.normal(0, 0.2, shape),
        "size": rng.uniform(0.7, 1.3, shape),
    }
    layout = {key: value.astype(np.float32) for key, value in layout.items()}
    crop = rng.choice(3, n_bursts, p=[0.6, 0.25, 0.15])
    clear = posts["clear"].to_numpy() + world.clear[world.category_of[world.subcategory_of[concept]]]

    def styles(of: np.ndarray) -> dict[str, np.ndarray]:
        style = {key: value[world.subcategory_of[of]] for key, value in world.style.items()}
        style |= {key: world.concept_style[key][of] for key in ("shapes", "size")}
        style["hue"] = (style["hue"] + world.concept_style["hue_shift"][of]) % 1
        return {key: value.astype(np.float32) for key, value in style.items()}

    jobs = []
    for start in range(0, len(posts), CHUNK):
        rows = slice(start, start + CHUNK)
        looks = {key: posts[key].to_numpy()[rows] for key in ("vivid", "bright")} | {"clear": clear[rows]}
        looks |= {"own": styles(concept[rows]), "other": styles(other[rows]), "crop": crop[burst[rows]]}
        looks["layout"] = {key: value[burst[rows]] for key, value in layout.items()}
        paths = [folder / name for name in names[rows]]
        jobs.append((paths, posts["file"].tolist()[rows], looks, [seed, 4, start]))
    with ProcessPoolExecutor(min(joblib.cpu_count(), len(jobs))) as pool:
        list(pool.map(write_chunk, jobs))
