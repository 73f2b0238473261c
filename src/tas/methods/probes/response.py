"""What a doubling is worth: how the loss of a trained shape depends on its widths and depths.

The loss is modelled as linear in the logarithms of the widths and depths, with one slope for every
choice. A dozen trained shapes tell half a dozen slopes, so the space is to have few choices
(``Space.grouped``). Which shapes to train is chosen so that the slopes come out as certain as they
can (a D-optimal design; Fedorov, *Theory of Optimal Experiments*, 1972). The slopes are expected to
be much the same for all widths of a kind, and for all depths, until the losses say otherwise (a
hierarchical prior; Gelman et al., *Bayesian Data Analysis*, chapter 5).
"""

import torch
from torch import Tensor

from ...space import Space, WidthChoice
from ..choose import padded

__all__ = ["design", "fit_logits"]

UNIT = 0.01  # of loss, in nats, that makes a candidate e times as likely
# Variances of the slopes before anything was trained, in those of a loss that repeats a training.
COMMON = 10.0  # of what a doubling is worth on average: little is known
OWN = 0.3  # of what one choice differs by from the others of its kind


def design(space: Space, states: Tensor, count: int) -> Tensor:
    """The ``count`` states, out of [many, choices], whose losses tell most of the slopes.

    Returns:
        [count, choices]: greedily, each maximises the determinant of the information so far. It
        repeats states only where there are fewer than ``count``.
    """
    x = space.doublings(states)
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)  # the mean is to be learnt, too
    covariance = torch.eye(x.shape[1], dtype=x.dtype) * COMMON
    left = torch.ones(len(x), dtype=torch.bool)
    chosen: list[int] = []
    for _ in range(count):
        if not left.any():
            left[:] = True
        gain = torch.einsum("nf,fg,ng->n", x, covariance, x)
        best = int(torch.where(left, gain, -torch.inf).argmax())
        chosen.append(best)
        left[best] = False
        moved = covariance @ x[best]  # Sherman and Morrison: one observation more
        covariance = covariance - torch.outer(moved, moved) / (1 + x[best] @ moved)
    return states[chosen]


def fit_logits(space: Space, states: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the candidate widths [L, K] and depths [D, K_d]; -inf where there are fewer.

    The sum of a shape's logits is, but for a constant, -1 / ``UNIT`` times its modelled loss.

    Args:
        states: [shapes, choices] candidate indices.
        losses: [shapes]; an infinite one, of a training that diverged, counts as the worst.
    """
    losses = losses.clamp_max(losses[losses.isfinite()].max())
    x = space.doublings(states)
    x = x - x.mean(0)
    y = losses.double() - losses.double().mean()
    kinds = [c.kind if isinstance(c, WidthChoice) else "depth" for c in space.choices]
    alike = torch.tensor([[a == b for b in kinds] for a in kinds], dtype=x.dtype)
    prior = COMMON * alike + OWN * torch.eye(len(kinds), dtype=x.dtype)
    noise = torch.eye(len(x), dtype=x.dtype)
    # The posterior mean of the slopes, in nats per doubling, [choices].
    slopes = prior @ x.T @ torch.linalg.solve(x @ prior @ x.T + noise, y)
    rows = [
        slope * torch.tensor(choice.candidates, dtype=x.dtype).log2() / -UNIT
        for slope, choice in zip(slopes, space.choices, strict=True)
    ]
    return padded(rows[: len(space.widths)]), padded(rows[len(space.widths) :])
