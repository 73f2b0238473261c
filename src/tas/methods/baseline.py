"""Equal widths: the baseline of every search, and what one from trained weights stays near to."""

import math

from torch import Tensor

from ..shape import Shape
from ..space import Space
from .choose import choose
from .probes.response import table

__all__ = ["Probabilities", "chosen", "equal_widths", "near_equal", "nearest"]

# Of a search that starts from trained weights. What is cut much needs long to recover: no width is
# less than this part of an equal one, and every stage keeps so much of its blocks, unless the
# budget asks for less.
NARROWEST = 0.5
SHALLOWEST = 1.0

Probabilities = tuple[Tensor, Tensor]  # of the candidate widths [L, K] and depths [D, K_d]


def equal_widths(space: Space, budget: int, unit: str = "macs") -> Shape:
    """The baseline to beat: every layer of the unpruned net thinned by one and the same ratio.

    The ratio is the largest whose cost is within the budget; the depth is untouched. It need not
    be a shape of the space's candidates.
    """
    return space.equal(equal_ratio(space, budget, unit))


def equal_ratio(space: Space, budget: int, unit: str = "macs") -> float:
    """The largest ratio of all widths whose cost is within the budget."""
    # Widths change where ratio * width is half a channel above a whole number: between two such
    # places every ratio gives the same shape.
    widths = set(space.unpruned.widths.values())
    edges = sorted({(i + 0.5) / w for w in widths for i in range(w)})
    ratios = [(a + b) / 2 for a, b in zip([0.0, *edges], [*edges, 1.0], strict=True)]
    low, high = 0, len(ratios)
    while high - low > 1:
        middle = (low + high) // 2
        cost = getattr(space.equal(ratios[middle]), unit)
        low, high = (middle, high) if cost <= budget else (low, middle)
    return ratios[low]


def chosen(space: Space, probabilities: Probabilities, limit: int, unit: str, origin: str) -> Shape:
    """The most likely shape within the budget."""
    refined, widths = space.refined(probabilities[0])
    return choose(refined, widths, probabilities[1], limit, unit, origin)


def near_equal(space: Space, limit: int, unit: str) -> Space:
    """The part of a space around equal widths; all of it where that part has no such budget."""
    ratio = equal_ratio(space, limit, unit)
    near = space.within(NARROWEST * ratio, 1, SHALLOWEST)
    ends = [
        near.shape(
            [at % len(choice.candidates) for choice in near.widths],
            [at % len(choice.candidates) for choice in near.depths],
        )
        for at in (0, -1)
    ]
    lowest, highest = (near.cost(end, unit) for end in ends)
    return near if lowest <= limit <= highest else space


def nearest(space: Space, to: Shape, limit: int, unit: str, origin: str) -> Shape:
    """The shape within a budget whose widths and depths are nearest to those of another one."""
    rows: list[list[float]] = []
    for choice in space.widths:
        # A choice of blocks that the other shape does not have is free.
        key = next((key for key in choice.keys if key in to.widths), None)
        own = choice.of(key or choice.keys[0])
        rows.append([-10 * abs(math.log2(c / to.widths[key])) if key else 0.0 for c in own])
    deep = [[-10.0 * abs(n - to.depths[d.name]) for n in d.candidates] for d in space.depths]
    return chosen(space, (table(rows).softmax(-1), table(deep).softmax(-1)), limit, unit, origin)
