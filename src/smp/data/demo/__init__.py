"""Generated data of both tracks in the exact official layouts, drawn from a stated model whose best scores are known.

Image track. Post p of user u, with concept c (of a subcategory, of a category), has the latent label

    z = 6.1 + drift(pid, time) + account(u) + content(c) + hour(local time) + text(words) + picture + level(u) + noise
    label = round(log2(round(2 ** clip(z, 1, 16.56))), 2)

    drift    official means per 100,000 pids, interpolated linearly, and +0.3 over the sixteen months
    account  1.0 n + 0.15 (n^2 - 1) + 0.8 a + (1.0 pro) + 0.2 ln(1 + words of the description) + 0.6 [it names a
             photographer]; n, a = standardised log(photo_count) and age of the account, 0 where not published
    content  category + 0.4 N(0, 1) per subcategory + 0.15 N(0, 1) per concept, fixed in `world`
    hour     0.3 cos(2 pi (local hour - 20) / 24) + 0.2 [Saturday or Sunday]
    text     0.25 ln(1 + tags) + effects of eight words, summed + steps for an empty title and for three words or more
    picture  0.5 v + 0.45 s b + 0.55 k with v, b, k ~ N(0, 1): v how vivid it is, to be seen in the picture alone; b how
             bright, with s = +1 or -1 by category, and k how much of it shows its own subcategory instead of another,
             which need picture and category together. In 40 % of the posts a tag names the fifth that v (or b) is in
    level    N(0, 1) per user: found in the user's other labels and, through noise, in the external counters
    noise    N(0, 1.1^2); 0.9 in the categories whose pictures are clear, 1.4 in Whether&Season, whose are not

Video track. With log(hearts per video) and log(followers) linear in the user's popularity q ~ N(0, 1),

    z = 9.0 + 0.9 (share of the two years - 0.6) + content(duration, words, place, language, sound, hour) + 2.9 q
        + N(0, 1.3^2)
    label = round(clip(13.6 - 2 ln(1 + exp((13.6 - z) / 2)), 1.22, 13.35), 2)

What was chosen and why. The effects are smooth and mostly additive, and most of the variance lies in what is known of
the account, so that gradient boosting on 3,150 posts can come near the ceiling; real posts are surely less kind. Only
brightness and clearness act through another column. Concepts, which so few posts cannot teach, have a small effect.
Taxonomy, words and effects are the same for every seed; users and posts are not. A picture's brightness, vividness and
clearness are new in each post, though the posts of a burst share their layout and look alike (paper section 1).

The ceiling (`ceiling.json`) is the score of the model's own predictor. It knows every constant above and sees what a
competitor sees: everything published, the pictures with perfect eyes, the external counters, and the labels of the
other four time blocks (cv), of the four earlier ones (holdout) or of all train (test), from which it takes the exact
Gaussian posterior of each user's level. It predicts the posterior median; for MAPE the median weighted by 1/y. Where
published numbers are rounded or clipped (labels, counts) it is given the exact ones, so it is an upper bound but for
sampling error: it is scored on the labels drawn, and a lucky predictor may pass it by that much. "without_pixels" has
the picture's mean and variance given the tags in place of the picture.
"""

import shutil
from pathlib import Path

import numpy as np
import orjson

from smp.data.demo import ceiling, files, image, pictures, video, world
from smp.paths import DataError

LEAST_POSTS = 200
VIDEO_POSTS = (600, 6_000)  # a fifth of the image posts, inside these bounds


def generate(out: Path, posts: int = 5000, images: bool = True, seed: int = 0) -> None:
    """Write both tracks to `out`: smpd_image/, smpd_video/, truth/ (labels of the test posts) and ceiling.json.

    posts: image posts, train and test together; images: draw the pictures too; the same seed gives the same bytes.
    Made in `<out>.partial` and renamed when whole. Raises DataError where `out` holds something already.
    """
    out = Path(out)
    if posts < LEAST_POSTS:
        raise DataError(f"--posts {posts}: the demo needs at least {LEAST_POSTS}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already; delete it or name another folder")
    partial = out.with_name(out.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)  # of a run that was killed
    track, truth = partial / "smpd_image", partial / "truth"
    truth.mkdir(parents=True)
    model = world.build()

    shots = image.sample(posts, seed, model)
    files.write_image(track, truth, shots, model, np.random.default_rng([seed, 5]))
    if images:
        pictures.write(track, files.picture_names(shots), shots.posts, model, seed)
    clips = video.sample(int(np.clip(posts // 5, *VIDEO_POSTS)), seed, model)
    files.write_video(partial / "smpd_video", truth, clips, np.random.default_rng([seed, 6]))

    best = {"image": ceiling.image_scores(shots), "video": ceiling.video_scores(clips), "posts": posts, "seed": seed}
    (partial / "ceiling.json").write_bytes(orjson.dumps(best, option=orjson.OPT_INDENT_2))
    partial.replace(out)
