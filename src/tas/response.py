"""How a net's loss depends on its choices: the logits that explain measured losses best.

The loss of a shape is modelled as a sum with one term per choice. A few hundred measured shapes
know little of each single candidate, so the terms are estimated in three tiers by one ridge
regression: what doubling the width does in all choices with the same candidates (a stage), in one
choice, and what a candidate has beyond that; the finer the tier, the more it is shrunk to zero.
"""

import math

import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor

from .space import Space

__all__ = ["fit_logits"]

CHOICE, CANDIDATE = 0.5, 0.25  # prior scales of the finer tiers, relative to the coarsest
UNIT = 0.01  # of loss, in nats, that makes a candidate e times as likely


def fit_logits(space: Space, states: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the candidate widths [L, K] and depths [D, K_d]; -inf where there are fewer.

    The sum of a shape's logits is, but for a constant, -1 / ``UNIT`` times its modelled loss.

    Args:
        states: [groups, shapes, choices] candidate indices.
        losses: [groups, shapes]; each group measured on pictures of its own, so that only
            differences within a group count.
    """
    table = _Table(space)
    x = table.features(states)  # [groups, shapes, features]
    x = (x - x.mean(1, keepdim=True)).flatten(0, 1)
    y = (losses - losses.mean(1, keepdim=True)).flatten()
    # The strength of the shrinkage is chosen by leave-one-out errors.
    ridge = RidgeCV(alphas=[10.0**k for k in range(-4, 5)], fit_intercept=False)
    ridge.fit(x.double().numpy(), y.double().numpy())
    return table.logits(torch.from_numpy(ridge.coef_) / -UNIT)


class _Table:
    """Features of every candidate of every choice."""

    def __init__(self, space: Space) -> None:
        self.widths = len(space.widths)
        choices = (*space.widths, *space.depths)
        self.sizes = [len(c.candidates) for c in choices]
        kinds = space.groups()
        groups = max(kinds) + 1
        rows = []  # [choices, K, features]
        total = sum(self.sizes)
        for i, (choice, group) in enumerate(zip(choices, kinds, strict=True)):
            first = groups + len(choices) + sum(self.sizes[:i])
            features = torch.zeros(max(self.sizes), groups + len(choices) + total)
            for k, value in enumerate(choice.candidates):
                doublings = math.log2(value / choice.candidates[-1])
                features[k, group] = doublings
                features[k, groups + i] = CHOICE * doublings
                features[k, first + k] = CANDIDATE
            rows.append(features)
        self.rows = torch.stack(rows)

    def features(self, states: Tensor) -> Tensor:
        """[..., features] of states [..., choices]."""
        return self.rows[torch.arange(len(self.sizes)), states].sum(-2)

    def logits(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """What the coefficients give each candidate."""
        scores = (self.rows.double() @ coefficients).float()  # [choices, K]
        for row, size in zip(scores, self.sizes, strict=True):
            row[size:] = -torch.inf
        parts = scores[: self.widths], scores[self.widths :]
        sizes = self.sizes[: self.widths], self.sizes[self.widths :]
        widths, depths = (
            part[:, : max(s, default=1)] for part, s in zip(parts, sizes, strict=True)
        )
        return widths, depths
