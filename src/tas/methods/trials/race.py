"""How much a shape is asked: on some examples, and on more while it is among the best.

Few examples tell good shapes from bad ones, though not the best from the good ones. So the shapes
of a generation are all asked on one part of the examples, every generation on another part. Those
of the lowest losses so far are asked on twice as many, and so on up to a half of all (a kind of
successive halving; Jamieson & Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter
Optimization*, AISTATS 2016). Only the best of all generations are asked on the others as well.

Losses on all examples are foretold: a shape's loss on a part is taken to be a number of the shape,
times one of the part.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["Ask", "Race"]

BEST = 2  # lowest losses, which are known on more examples
SHARE = 2  # of the parts, one of so many, on which these are asked while the search goes on
REFERENCES = 16  # best shapes that were asked on several parts, by which these are compared
ROUNDS = 50  # of the fit, which then no longer changes

# What some shapes of a generation lose on some parts, each on parts of its own.
Ask = Callable[[Sequence[int], Sequence[Sequence[int]]], Sequence[Sequence[float]]]


class Race:
    """Losses of all shapes that were asked so far.

    Args:
        count: parts of the examples.

    Attributes:
        parts: [shapes, count] losses on every part, NaN where a shape was not asked.
        losses: [shapes] on all examples: the mean of the parts, foretold where some are missing.
    """

    def __init__(self, count: int) -> None:
        self.parts = torch.empty(0, count, dtype=torch.float64)
        self.losses = torch.empty(0, dtype=torch.float64)
        self.generations = 0

    def add(self, parts: Tensor, losses: Tensor) -> None:
        """What a generation was asked, and its losses."""
        self.parts = torch.cat([self.parts, parts])
        self.losses = torch.cat([self.losses, losses])
        self.generations += 1

    def run(self, shapes: int, ask: Ask) -> tuple[Tensor, Tensor]:
        """Ask a generation of so many shapes: its parts [shapes, count] and losses [shapes]."""
        known, count = self.parts.shape
        order = [(self.generations + i) % count for i in range(count)]
        parts = torch.full((shapes, count), torch.nan, dtype=torch.float64)
        racing, losses, most = list(range(shapes)), parts[:, 0], -(-count // SHARE)
        while racing:
            done = [int((~parts[shape].isnan()).sum()) for shape in racing]
            # The first of all shapes are asked on all parts, which the others are compared by.
            some = len(self._references(parts, count)) > 0
            upto = [min(most, max(1, 2 * n)) if some or n == 0 else count for n in done]
            asked = [order[n:m] for n, m in zip(done, upto, strict=True)]
            self._fill(parts, racing, asked, ask)
            losses = self._foretold(parts)
            lowest = torch.cat([self.losses, losses]).argsort(stable=True)[:BEST] - known
            racing = [i for i in lowest.tolist() if i >= 0 and _is_open(parts[i], most)]
        return parts, losses

    def finish(self, parts: Tensor, ask: Ask) -> tuple[Tensor, Tensor]:
        """Ask shapes on all parts [shapes, count] on which they were not: these, and their losses
        [shapes]."""
        parts = parts.clone()
        open_ones = [i for i, row in enumerate(parts) if _is_open(row, len(row))]
        asked = [parts[i].isnan().nonzero().flatten().tolist() for i in open_ones]
        self._fill(parts, open_ones, asked, ask)
        return parts, self._foretold(parts)

    @staticmethod
    def _fill(parts: Tensor, shapes: list[int], asked: list[list[int]], ask: Ask) -> None:
        for shape, which, found in zip(shapes, asked, ask(shapes, asked), strict=True):
            parts[shape, which] = torch.tensor(found, dtype=torch.float64)

    def _references(self, parts: Tensor, least: int) -> Tensor:
        """[shapes, count] of the best shapes that were asked on so many parts at least, those of
        ``parts`` as well."""
        every = torch.cat([self.parts, parts])
        losses = torch.cat([self.losses, parts.nanmean(1)])
        of = ((~every.isnan()).sum(1) >= least) & ~every.isinf().any(1)
        return every[of][losses[of].argsort(stable=True)[:REFERENCES]]

    def _foretold(self, parts: Tensor) -> Tensor:
        """Losses [shapes] on all examples."""
        losses = parts.nanmean(1)
        whole = self._references(parts, parts.shape[1])
        if len(whole):
            hard = _hardness(torch.cat([whole[:BEST], self._references(parts, 2)]))
            for shape, row in enumerate(parts):
                asked = ~row.isnan()
                if not asked.all():
                    losses[shape] *= float(hard.mean() / hard[asked].mean())
        return losses


def _is_open(row: Tensor, most: int) -> bool:
    """Whether a shape can be asked further: nothing helps one whose answers are not finite."""
    return int((~row.isnan()).sum()) < most and not bool(row.isinf().any())


def _hardness(parts: Tensor) -> Tensor:
    """How hard parts are [count], by the losses of some shapes [shapes, count], NaN where one was
    not asked, and each part asked of one at least: least squares of their logarithms."""
    logs = parts.clamp_min(1e-12).log()  # which keeps a NaN
    hard = logs.new_zeros(logs.shape[1])
    for _ in range(ROUNDS):
        level = (logs - hard).nanmean(1, keepdim=True)
        hard = (logs - level).nanmean(0)
    return hard.exp()
