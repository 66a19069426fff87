"""Point processes in closed form that a learnt intensity has to beat: homogeneous Poisson, exponential Hawkes."""

import numpy as np
import torch
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


class Hawkes(torch.nn.Module):
    """Rate mu + a sum of jump b exp(-b (t - t_i)), t as a share of the observation; the root has a jump of its own."""

    def __init__(self):
        super().__init__()
        self.log = torch.nn.Parameter(torch.tensor([1.0, 2.0, -0.5, 1.0]))  # of mu, the root's jump, the others', b

    def log_likelihood(self, time: Tensor, mask: Tensor) -> Tensor:
        """(n,) of time (n, L), mask (n, L), over [0, 1], given the root."""
        base, root, jump, decay = self.log.exp()
        excited, before, total = torch.zeros(len(time)), torch.zeros(len(time)), -base * torch.ones(len(time))
        for i in range(time.shape[1]):
            there, now = mask[:, i], time[:, i]
            excited = torch.where(there, excited * torch.exp(-decay * (now - before)), excited)
            if i:
                total = total + torch.where(there, torch.log(base + excited), 0.0)
            size = root if i == 0 else jump
            excited = excited + torch.where(there, size * decay, 0.0)
            total = total - torch.where(there, size * (1 - torch.exp(-decay * (1 - now))), 0.0)
            before = torch.where(there, now, before)
        return total


def hawkes(train: Sequences, query: Sequences) -> tuple[np.ndarray, dict[str, float]]:
    """(q,) log-likelihood on the clock of an exponential Hawkes process fitted to the training cascades, and it."""
    process = Hawkes()
    time, mask = torch.as_tensor(train.marks[:, :, 0]), torch.as_tensor(train.mask)
    optimizer = torch.optim.LBFGS(process.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -process.log_likelihood(time, mask).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        made = (
            process.log_likelihood(torch.as_tensor(query.marks[:, :, 0]), torch.as_tensor(query.mask)).double().numpy()
        )
        found = dict(zip(("base", "root", "jump", "decay"), process.log.exp().tolist()))
    return on_clock(made, query), found
