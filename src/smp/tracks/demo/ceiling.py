"""The best reachable scores: the generating model's own predictor, given what a competitor can see."""

import numpy as np

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
