"""Equal widths: the baseline of every search, and what one from trained weights stays near to."""

import math

from torch import Tensor

from ..costs import Budget
from ..shape import Shape
from ..space import Space
from ..typed import checked
from .choose import choose, padded

__all__ = ["Probabilities", "chosen", "equal_widths", "even_widths", "near_equal", "nearest"]

# Of a search that starts from trained weights. What is cut much needs long to recover: no width is
# less than this part of an equal one, and every stage keeps so much of its blocks, unless the
# budget asks for less.
NARROWEST = 0.5
SHALLOWEST = 1.0

Probabilities = tuple[Tensor, Tensor]  # of the candidate widths [L, K] and depths [D, K_d]


@checked
def equal_widths(space: Space, budget: Budget) -> Shape | None:
    """The baseline to beat: every layer of the unpruned net thinned by one and the same ratio.

    >>> import tas
    >>> from tas.methods import equal_widths
    >>> space = tas.spaces.resnet_space("resnet20", residual="tied")
    >>> shape = equal_widths(space, tas.costs.Budget.of(space, 0.5))
    >>> shape.widths["stem"], shape.widths["stages.2.0.conv1"], shape.macs <= 20_406_592
    (11, 45, True)

    The ratio is the largest whose cost is within the budget; the depth is untouched. It need not
    be a shape of the space's candidates.

    Returns:
        None where no ratio is small enough: one channel everywhere still costs more than the
        budget, or no width can be cut at all.
    """
    ratio = _equal_ratio(space, budget)
    return None if ratio is None else space.equal(ratio)


@checked
def even_widths(space: Space, budget: Budget) -> Shape | None:
    """Equal widths made of the space's candidates: the shape at the budget that is nearest to them.

    >>> import tas
    >>> from tas.methods import even_widths
    >>> space = tas.spaces.resnet_space(
    ...     "resnet20", residual="tied", ratios=tas.spaces.FINE_RATIOS, round_to=None
    ... )
    >>> shape = even_widths(space, tas.costs.Budget.of(space, 0.5))
    >>> shape.widths["stem"], shape.widths["stages.2.0.conv1"], shape.macs / 20_406_592 > 0.99
    (12, 40, True)

    Returns:
        None where ``equal_widths`` finds none.
    """
    equal = equal_widths(space, budget)
    if equal is None:
        return None
    return nearest(space, equal, budget, f"{equal.origin}, as near as the candidates allow")


def _equal_ratio(space: Space, budget: Budget) -> float | None:
    """The largest ratio of all widths whose cost is within the budget."""
    # Widths change where ratio * width is half a channel above a whole number: between two such
    # places every ratio gives the same shape.
    widths = set(space.unpruned.widths.values())
    edges = sorted({(i + 0.5) / w for w in widths for i in range(w)})
    ratios = [(a + b) / 2 for a, b in zip([0.0, *edges], [*edges, 1.0], strict=True)]

    def fits(ratio: float) -> bool:
        return budget.fits(space, space.equal(ratio))

    if not fits(ratios[0]):
        return None
    low, high = 0, len(ratios)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(ratios[middle]) else (low, middle)
    return ratios[low]


def chosen(space: Space, probabilities: Probabilities, budget: Budget, origin: str) -> Shape:
    """The most likely shape within the budget."""
    refined, widths = space.refined(probabilities[0])
    return choose(refined, widths, probabilities[1], budget, origin)


def near_equal(space: Space, budget: Budget) -> Space:
    """The part of a space around equal widths; all of it where that part has no such budget."""
    ratio = _equal_ratio(space, budget)
    if ratio is None:
        return space
    near = space.within(NARROWEST * ratio, 1, SHALLOWEST)
    ends = [
        near.shape(
            [at % len(choice.candidates) for choice in near.widths],
            [at % len(choice.candidates) for choice in near.depths],
        )
        for at in (0, -1)
    ]
    fits = budget.fits(near, ends[0]) and budget.limit <= budget.cost(near, ends[1])
    return near if fits else space


def nearest(space: Space, to: Shape, budget: Budget, origin: str) -> Shape:
    """The shape within a budget whose widths and depths are nearest to those of another one."""
    rows: list[list[float]] = []
    for choice in space.widths:
        # A choice of blocks that the other shape does not have is free.
        key = next((key for key in choice.keys if key in to.widths), None)
        own = choice.of(key or choice.keys[0])
        rows.append([-10 * abs(math.log2(c / to.widths[key])) if key else 0.0 for c in own])
    deep = [[-10.0 * abs(n - to.depths[d.name]) for n in d.candidates] for d in space.depths]
    return chosen(space, (padded(rows).softmax(-1), padded(deep).softmax(-1)), budget, origin)
