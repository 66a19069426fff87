"""Generated posts and pictures of the image track, drawn from a stated model whose best scores are known.

Post p of user u, with concept c (of a subcategory, of a category), has the latent label

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

What was chosen and why. The effects are smooth and mostly additive, and most of the variance lies in what is known of
the account, so that gradient boosting on 3,150 posts can come near the ceiling; real posts are surely less kind. Only
brightness and clearness act through another column. Concepts, which so few posts cannot teach, have a small effect.
Taxonomy, words and effects are the same for every seed; users and posts are not. A picture's brightness, vividness and
clearness are new in each post, though the posts of a burst share their layout and look alike (paper section 1).

In the ceiling "without_pixels" has the picture's mean and variance given the tags in place of the picture.
"""

from pathlib import Path

import numpy as np

from smp.metrics import mae, src
from smp.tracks.demo import ceiling, world
from smp.tracks.image.demo import files, pictures
from smp.tracks.image.demo.posts import ImageSample, sample, to_label


def write(folder: Path, truth: Path, posts: int, images: bool, seed: int) -> dict:
    """Write the official files to `folder`, the labels of the test to `truth`; returns the best scores.

    posts: train and test together; images: draw the pictures too.
    """
    model = world.build()
    shots = sample(posts, seed, model)
    files.write_image(folder, truth, shots, model, np.random.default_rng([seed, 5]))
    if images:
        pictures.write(folder, files.picture_names(shots), shots.posts, model, seed)
    return scores(shots)


def scores(sample: ImageSample) -> dict:
    """{"cv", "holdout", "test": {"src", "mae"}} with pixels, and under "without_pixels" without them."""
    split = ceiling.schemes(sample.posts["time"].to_numpy(), sample.is_train)
    found = {}
    for pixels in (True, False):
        known, residual, variance = sample.known(pixels)
        part = found if pixels else found.setdefault("without_pixels", {})
        for name, rounds in split.items():
            rows, mean, _ = ceiling.predictive(
                known,
                residual,
                variance,
                sample.posts["user"].to_numpy(),
                sample.prior_mean,
                sample.prior_variance,
                rounds,
            )
            y = sample.label[rows]
            part[name] = {"src": round(src(y, mean), 4), "mae": round(mae(y, to_label(mean)), 4)}
    return found
