"""Point processes in closed form that a learnt intensity has to beat: homogeneous Poisson, exponential Hawkes."""

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from smp.tracks.cascade.sequences import FINEST, Sequences


def on_clock(log_likelihood: np.ndarray, events: Sequences) -> np.ndarray:
    """(n,) what log-likelihoods in time as a share of the observation are on the clock: plus log dt/dclock of each."""
    counted = events.mask & (np.arange(events.mask.shape[1]) > 0)
    share = events.marks[:, :, 0]
    return log_likelihood + np.where(counted, np.log((share + FINEST) * np.log1p(1 / FINEST)), 0.0).sum(1)


def poisson(train: Sequences, query: Sequences) -> np.ndarray:
    """(q,) log-likelihood on the clock of a constant rate, the training cascades' mean."""
    rate = (train.mask.sum(1) - 1).mean()
    return (query.mask.sum(1) - 1) * np.log(rate) - rate


START = (1.0, 2.0, -0.5, 1.0)  # logarithms: of the rate mu, the root's jump, the others', and b
BOUNDS = [(-10.0, 10.0)] * 3 + [(-10.0, -np.log(FINEST))]  # events of one second are ever more likely as b grows


def log_likelihood(log: Tensor, time: Tensor, mask: Tensor) -> Tensor:
    """(n,) of time (n, L), mask (n, L), over [0, 1], given the root, under the rate mu + a sum of jump
    b exp(-b (t - t_i)); t as a share of the observation, the root has a jump of its own. log (4,): as START."""
    base, root, jump, decay = log.exp()
    excited, before, total = torch.zeros_like(time[:, 0]), torch.zeros_like(time[:, 0]), -base
    for i in range(time.shape[1]):
        there = mask[:, i]
        now = torch.where(there, time[:, i], before)  # past the end nothing decays: a gap below 0 would overflow
        excited = excited * torch.exp(-decay * (now - before))
        if i:
            total = total + torch.where(there, torch.log(base + excited), 0.0)
        size = root if i == 0 else jump
        excited = excited + torch.where(there, size * decay, 0.0)
        total = total - torch.where(there, size * (1 - torch.exp(-decay * (1 - now))), 0.0)
        before = now
    return total


def hawkes(train: Sequences, query: Sequences) -> tuple[np.ndarray, dict[str, float]]:
    """(q,) log-likelihood on the clock of an exponential Hawkes process fitted to the training cascades, and it."""
    past, asked = ((torch.as_tensor(e.marks[:, :, 0]).double(), torch.as_tensor(e.mask)) for e in (train, query))

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        log = torch.tensor(values, requires_grad=True)
        made = -log_likelihood(log, *past).mean()
        return made.item(), torch.autograd.grad(made, log)[0].numpy()

    log = torch.as_tensor(minimize(loss, START, jac=True, method="L-BFGS-B", bounds=BOUNDS).x)
    found = dict(zip(("base", "root", "jump", "decay"), log.exp().tolist()))
    return on_clock(log_likelihood(log, *asked).numpy(), query), found
