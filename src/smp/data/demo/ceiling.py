"""The best reachable scores: the generating model's own predictor, given what a competitor can see."""

import numpy as np
from scipy.stats import norm

from smp.data.demo import image, video
from smp.metrics import mae, mape, src

BLOCKS = 5  # contiguous blocks in time; the last is the holdout


def user_level(residual, variance, user, seen, prior_mean, prior_variance) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and variance of each post's user level (conjugate Gaussian).

    residual: (n,) latent label minus what is known of the post; variance: (n,) of the residual beside the user level;
    user: (n,) index into the (u,) priors; seen: (n,) True where the label may be used.
    """
    weight = seen / variance
    precision = 1 / prior_variance + np.bincount(user, weight, len(prior_mean))
    mean = (prior_mean / prior_variance + np.bincount(user, weight * residual, len(prior_mean))) / precision
    return mean[user], 1 / precision[user]


def schemes(time: np.ndarray, is_train: np.ndarray) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """(seen, asked) masks of each score: cv over five blocks, holdout the last of them, test from all of train."""
    order = np.flatnonzero(is_train)[np.argsort(time[is_train], kind="stable")]
    block = np.full(len(time), BLOCKS)
    block[order] = np.arange(len(order)) * BLOCKS // len(order)
    cv = [(is_train & (block != b), block == b) for b in range(BLOCKS)]
    return {"cv": cv, "holdout": cv[-1:], "test": [(is_train, ~is_train)]}


def predictive(known, residual, variance, user, prior_mean, prior_variance, rounds) -> tuple[np.ndarray, ...]:
    """Asked rows of all rounds with the mean and standard deviation of their latent label, all (m,)."""
    rows, means, deviations = [], [], []
    for seen, asked in rounds:
        mean, spread = user_level(residual, variance, user, seen, prior_mean, prior_variance)
        rows.append(np.flatnonzero(asked))
        means.append((known + mean)[asked])
        deviations.append(np.sqrt(spread + variance)[asked])
    return np.concatenate(rows), np.concatenate(means), np.concatenate(deviations)


def mape_optimum(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Median, weighted by 1/y, of the video label y of a latent N(mean, deviation^2): what minimises E|y - p| / y."""
    quantile = norm.ppf((np.arange(401) + 0.5) / 401)
    y = video.to_label(mean[:, None] + deviation[:, None] * quantile)  # (m, 401), ascending
    weight = np.cumsum(1 / y, axis=1)
    half = np.argmax(weight >= weight[:, -1:] / 2, axis=1)
    return np.take_along_axis(y, half[:, None], axis=1)[:, 0]


def image_scores(sample: image.ImageSample) -> dict:
    """{"cv", "holdout", "test": {"src", "mae"}} with pixels, and under "without_pixels" without them."""
    split = schemes(sample.posts["time"].to_numpy(), sample.is_train)
    scores = {}
    for pixels in (True, False):
        known, residual, variance = sample.known(pixels)
        part = scores if pixels else scores.setdefault("without_pixels", {})
        for name, rounds in split.items():
            rows, mean, _ = predictive(
                known,
                residual,
                variance,
                sample.posts["user"].to_numpy(),
                sample.prior_mean,
                sample.prior_variance,
                rounds,
            )
            y = sample.label[rows]
            part[name] = {"src": round(src(y, mean), 4), "mae": round(mae(y, image.to_label(mean)), 4)}
    return scores


def video_scores(sample: video.VideoSample) -> dict:
    """{"cv", "holdout", "test": {"mape"}}."""
    known, residual, variance = sample.known()
    scores = {}
    for name, rounds in schemes(sample.posts["time"].to_numpy(), sample.is_train).items():
        rows, mean, deviation = predictive(
            known, residual, variance, sample.posts["user"].to_numpy(), sample.prior_mean, sample.prior_variance, rounds
        )
        best = mape_optimum(mean, deviation)
        scores[name] = {"mape": round(mape(sample.label[rows], best), 4)}
    return scores
