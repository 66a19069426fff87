"""Generated data in the exact official layouts, drawn from stated models whose best scores are known.

Every track's room draws its own posts (`tracks/<track>/demo`, where its model is stated); here is what they share: one
world of subjects and words, the same for every seed, and the reasoning of the ceiling.

The ceiling (`ceiling.json`) is the score of the model's own predictor. It knows every constant above and sees what a
competitor sees: everything published, the pictures with perfect eyes, the external counters, and the labels of the
other four time blocks (cv), of the four earlier ones (holdout) or of all train (test), from which it takes the exact
Gaussian posterior of each user's level. It predicts the posterior median; for MAPE the median weighted by 1/y. Where
published numbers are rounded or clipped (labels, counts) it is given the exact ones, so it is an upper bound but for
sampling error: it is scored on the labels drawn, and a lucky predictor may pass it by that much.
"""

import shutil
from pathlib import Path

import orjson

from smp import tracks
from smp.errors import DataError

LEAST_POSTS = 200


def generate(out: Path, posts: int = 5000, images: bool = True, seed: int = 0) -> None:
    """Write every track to `out`: smpd_<track>/, truth/ (labels of the test posts) and ceiling.json.

    posts: image posts, train and test together, from which other tracks take their size; images: draw the pictures too;
    the same seed gives the same bytes. Made in `<out>.partial` and renamed when whole. Raises DataError where `out`
    holds something already.
    """
    out = Path(out)
    if posts < LEAST_POSTS:
        raise DataError(f"--posts {posts}: the demo needs at least {LEAST_POSTS}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already; delete it or name another folder")
    partial = out.with_name(out.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)  # of a run that was killed
    truth = partial / "truth"
    truth.mkdir(parents=True)
    best = {n: tracks.get(n).demo(partial / f"smpd_{n}", truth, posts, images, seed) for n in tracks.names()}
    best |= {"posts": posts, "seed": seed}
    (partial / "ceiling.json").write_bytes(orjson.dumps(best, option=orjson.OPT_INDENT_2))
    partial.replace(out)
