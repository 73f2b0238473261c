"""Budgets of time: shapes that tell what others take, and a found shape that is measured.

What a search believes of a shape's time is a fit. So the shape that it finds is measured, and the
fit learns from that. Where it was off, another one is measured that meets the budget by what is
known then: the best of the other shapes that the search asked, if it answers nearly as well as what
was found, or else the shape that is nearest to this. So it goes on until the measured time is at
most the budget, and at least 95 % of it wherever choices allow.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest

from torch import Generator, Tensor

from ..costs import Budget
from ..costs.latency import Latency, Measurement
from ..errors import InfeasibleBudgetError
from ..shape import Shape
from ..space import Space
from ..timing.bench import Bench
from .baseline import nearest
from .found import Found
from .sampling import states_near

__all__ = ["aimed", "fill", "met", "trial_shapes"]

BANDS = (0.35, 0.5, 0.65, 0.8)  # of the multiply-adds, from which shapes are drawn
BELOW = 0.25  # how far down a band reaches, as a part of it
TEST_EVERY = 3
ENOUGH = 0.95  # of a budget of time
AIM = 0.985  # of it: where a search aims at, so that a time is seldom above it
NEAR = 0.96  # of it, and no more than all of it: shapes that were asked may be measured
# Times the lowest loss: by so much a loss rises where a budget falls by a tenth (MobileNetV2 from
# 0.31 to 0.18 of its multiply-adds: 0.43 to 0.88). What is worse than that is no second best.
CLOSE = 1.15
CORRECTIONS = 8
SECOND_BEST = 4  # of them may be shapes that were asked


def trial_shapes(space: Space, count: int, seed: int = 0) -> list[Shape]:
    """Random shapes from a third to four fifths of the multiply-adds, in turns."""
    generator = Generator().manual_seed(seed)
    lowest, highest = Budget(0).range(space)
    bands: list[list[Tensor]] = []
    for band in BANDS:
        limit = round(lowest + band * (highest - lowest))
        some = -(-count // len(BANDS))
        bands.append([*states_near(space, Budget(limit), 1 - BELOW, 1.0, some, generator)])
    mixed = [state for row in zip_longest(*bands) for state in row if state is not None]
    n = len(space.widths)
    return [space.shape(s[:n].tolist(), s[n:].tolist()) for s in mixed[:count]]


def fill(
    bench: Bench,
    nets: int,
    minutes: float,
    told: Callable[[int, Measurement], None] = lambda number, line: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Measure shapes into the bench's table until it has so many, or time is up.

    Those that are there are not measured again: a table that was interrupted goes on.
    """
    shapes = trial_shapes(bench.space, nets)
    started = clock()
    for number, shape in enumerate(shapes, 1):
        line = bench.measure(shape, "test" if number % TEST_EVERY == 0 else "fit")
        told(number, line)
        if clock() - started > 60 * minutes:
            return


def aimed(budget: Budget) -> Budget:
    """The budget that a search is given: of a time, a little less than it may take."""
    if not isinstance(budget.unit, Latency):
        return budget
    return replace(budget, limit=round(AIM * budget.limit), asked=budget.limit)


def met(found: Found, budget: Budget, bench: Bench) -> tuple[Found, Measurement]:
    """The found shape, or one as good or near it, whose measured time meets the budget.

    Args:
        found: by a search whose budget was ``aimed(budget)``.
        budget: of a time.

    Raises:
        InfeasibleBudgetError: no shape that was measured is fast enough.
    """
    unit = budget.unit
    assert isinstance(unit, Latency)
    wanted = unit.seconds(budget.limit) / unit.table.whole
    shape, best = found.shape, None
    measured: list[Shape] = []
    fastest = math.inf
    for _ in range(CORRECTIONS):
        line = bench.measure(shape)
        measured.append(shape)
        fastest = min(fastest, line.ratio)
        if line.ratio <= wanted and (best is None or line.ratio > best[1].ratio):
            best = shape, line
        if ENOUGH * wanted <= line.ratio <= wanted:
            break
        told = Latency(bench.table, found.space)
        whole = told.cost(found.space, found.space.unpruned)
        following = None
        if len(measured) <= SECOND_BEST:
            limit = Budget(round(wanted * whole), told, budget.also)
            following = _asked(found, limit, measured)
        if following is None:
            # What the fit leaves of the error here, it has nearby as well.
            off = line.ratio * whole / told.cost(found.space, shape)
            following = _nearest(
                found, Budget(round(AIM * wanted * whole / off), told, budget.also)
            )
        if following is None or _known(following, measured):
            # By the fit nothing is fast enough. Before that is believed, the smallest is measured.
            following = found.space.smallest.replace(origin=found.shape.origin)
            if best is not None or _known(following, measured):
                break
        shape = following
    if best is None:
        raise InfeasibleBudgetError(
            f"no shape was measured to take {unit.said(budget.limit)} or less: the fastest took "
            f"{fastest:.3f} of the unpruned net's time, and {wanted:.3f} are asked for",
            *budget.range(found.space),
        )
    return replace(found, shape=best[0], budget=budget), best[1]


def _asked(found: Found, budget: Budget, measured: list[Shape]) -> Shape | None:
    """Of the shapes at a budget that the search asked, that of the lowest loss; None where that is
    far from what was found, or something else was found than what was asked."""
    if found.tried is None:
        return None
    space, count = found.space, len(found.space.widths)

    def shape_of(state: Tensor) -> Shape:
        return space.shape(state[:count].tolist(), state[count:].tolist())

    order = found.tried.losses.argsort(stable=True)
    states, losses = found.tried.states(space)[order], found.tried.losses[order]
    own = next((i for i, s in enumerate(states) if _known(shape_of(s), [found.shape])), None)
    if own is None:
        return None
    costs = budget.expected(space).of_states(states)
    good = (costs >= NEAR * budget.limit) & (costs <= budget.limit)
    good &= (losses <= CLOSE * losses[own]) & budget.within_others(space)(states)
    shapes = (shape_of(state) for state in states[good])
    best = next((shape for shape in shapes if not _known(shape, measured)), None)
    return best and best.replace(origin=found.shape.origin)


def _nearest(found: Found, budget: Budget) -> Shape | None:
    """The nearest shape at a budget to what was found."""
    try:
        return nearest(found.space, found.shape, budget, found.shape.origin)
    except InfeasibleBudgetError:
        return None


def _known(shape: Shape, shapes: list[Shape]) -> bool:
    return any((s.widths, s.depths) == (shape.widths, shape.depths) for s in shapes)
