"""How much a shape is asked: on some examples, and on more while it is among the best.

Few examples tell good shapes from bad ones, though not the best from the good ones. So the shapes
of a generation are all asked on one part of the examples, every generation on another part. Those
of the lowest losses so far are asked on twice as many, and so on, until the lowest losses of all
are known on all examples (a kind of successive halving; Jamieson & Talwalkar, *Non-stochastic Best
Arm Identification and Hyperparameter Optimization*, AISTATS 2016).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["Race"]

BEST = 2  # lowest losses, which are known on all examples
REFERENCES = 16  # shapes that are known on all, by which the parts are held against one another

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
        racing, losses = list(range(shapes)), parts[:, 0]
        while racing:
            done = [int((~parts[shape].isnan()).sum()) for shape in racing]
            # The first shape that is asked on all is what others are held against.
            some = len(self._references(parts)) > 0
            upto = [min(count, max(1, 2 * n)) if some or n == 0 else count for n in done]
            asked = [order[n:m] for n, m in zip(done, upto, strict=True)]
            for shape, which, found in zip(racing, asked, ask(racing, asked), strict=True):
                parts[shape, which] = torch.tensor(found, dtype=torch.float64)
            losses = self._foretold(parts)
            lowest = torch.cat([self.losses, losses]).argsort(stable=True)[:BEST] - known
            racing = [i for i in lowest.tolist() if i >= 0 and self._is_open(parts[i])]
        return parts, losses

    @staticmethod
    def _is_open(parts: Tensor) -> bool:
        """Whether a shape can be asked further: nothing helps one whose answers are not finite."""
        return bool(parts.isnan().any()) and not bool(parts.isinf().any())

    def _references(self, parts: Tensor) -> Tensor:
        """[shapes, count] of the best shapes that were asked on all, those of ``parts`` as well."""
        whole = torch.cat([self.parts, parts])
        whole = whole[whole.isfinite().all(1)]
        return whole[whole.mean(1).argsort(stable=True)[:REFERENCES]]

    def _foretold(self, parts: Tensor) -> Tensor:
        """Losses [shapes] on all examples: what the references lose on all is to what they lose on
        the parts that a shape was asked on as its loss is to its own there."""
        references = self._references(parts)
        losses = parts.nanmean(1)
        for shape, row in enumerate(parts):
            asked = ~row.isnan()
            if not asked.all() and len(references):
                here = float(references[:, asked].mean())
                losses[shape] *= float(references.mean()) / here if here > 0 else 1.0
        return losses
