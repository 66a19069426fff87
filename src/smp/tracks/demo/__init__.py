"""Generated data in the exact official layouts, drawn from stated models whose best scores are known.

Every track's room draws its own posts (`tracks/<track>/demo`, where its model is stated); here is what they share: one
world of subjects and words, the same for every seed, and the reasoning of the ceiling.

The ceiling (`truth/<track>_ceiling.json`) is the score of the model's own predictor. It knows every constant and sees
what a competitor sees: everything published, the pictures with perfect eyes, the external counters, and the labels of
the other four time blocks (cv), of the four earlier ones (holdout) or of all train (test), from which it takes the
exact Gaussian posterior of each user's level. It predicts the posterior median; for MAPE the median weighted by 1/y.
Where published numbers are rounded or clipped (labels, counts) it is given the exact ones, so it is an upper bound but
for sampling error: it is scored on the labels drawn, and a lucky predictor may pass it by that much.
"""

import shutil
from pathlib import Path

import orjson

from smp import tracks
from smp.errors import DataError

LEAST_POSTS = 200


def generate(out: Path, posts: int = 5000, images: bool = True, seed: int = 0, only: tuple[str, ...] = ()) -> None:
    """Write tracks to `out`: smpd_<track>/ each, and in truth/ the labels of its test posts and its best scores.

    posts: image posts, train and test together, from which other tracks take their size; images: draw the pictures too;
    only: these tracks; the same seed gives the same bytes. Each is made beside its place and renamed when whole. Raises
    DataError where one is there already.
    """
    out = Path(out)
    if posts < LEAST_POSTS:
        raise DataError(f"--posts {posts}: the demo needs at least {LEAST_POSTS}")
    names = only or tracks.names()
    for folder in (out / f"smpd_{name}" for name in names):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: is there already; delete it or name another folder")
    (out / "truth").mkdir(parents=True, exist_ok=True)
    for name in names:
        partial = out / f"smpd_{name}.partial"
        if partial.exists():
            shutil.rmtree(partial)  # of a run that was killed
        (partial / "truth").mkdir(parents=True)
        best = tracks.get(name).demo(partial / "official", partial / "truth", posts, images, seed)
        best |= {"posts": posts, "seed": seed}
        ceiling_file(partial, name).write_bytes(orjson.dumps(best, option=orjson.OPT_INDENT_2))
        for file in (partial / "truth").iterdir():
            place = out / "truth" / file.name
            if not place.exists() or place.read_bytes() != file.read_bytes():  # else of a run that was killed here
                file.replace(place)
        (partial / "official").replace(out / f"smpd_{name}")
        shutil.rmtree(partial)


def ceiling_file(out: Path, track: str) -> Path:
    """Where a generated track's best scores are kept, with the posts and the seed it was drawn with."""
    return out / "truth" / f"{track}_ceiling.json"
