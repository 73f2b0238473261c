"""Budgets of time: shapes that tell what others take, and a found shape that is measured.

What a search believes of a shape's time is a fit. So the shape that it finds is measured, the fit
learns from that, and the nearest shape is taken that meets the budget by what is known then; until
the measured time is at most the budget, and at least 95 % of it wherever choices allow.
"""

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
CORRECTIONS = 8


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
    return replace(budget, limit=round(AIM * budget.limit))


def met(found: Found, budget: Budget, bench: Bench) -> tuple[Found, Measurement]:
    """A shape near the found one whose measured time meets the budget.

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
    for _ in range(CORRECTIONS):
        line = bench.measure(shape)
        if line.ratio <= wanted and (best is None or line.ratio > best[1].ratio):
            best = shape, line
        if ENOUGH * wanted <= line.ratio <= wanted:
            break
        following = _corrected(found, shape, line, wanted, bench, budget)
        if following is None or (
            following.widths == shape.widths and following.depths == shape.depths
        ):
            break
        shape = following
    if best is None:
        raise InfeasibleBudgetError(
            f"no shape was measured to take {unit.said(budget.limit)} or less: the fastest took "
            f"{line.ratio:.3f} of the unpruned net's time, and {wanted:.3f} are asked for",
            *budget.range(found.space),
        )
    return replace(found, shape=best[0], budget=budget), best[1]


def _corrected(
    found: Found, shape: Shape, line: Measurement, wanted: float, bench: Bench, budget: Budget
) -> Shape | None:
    """The nearest shape at the budget by a fit that knows of the measurements so far."""
    unit = Latency(bench.table, found.space)
    whole = unit.cost(found.space, found.space.unpruned)
    believed = unit.cost(found.space, shape) / whole
    # What the fit leaves of the error here, it has nearby as well.
    limit = round(AIM * wanted * whole * believed / line.ratio)
    aim = Budget(limit, unit, budget.also)
    try:
        return nearest(found.space, shape, aim, found.shape.origin)
    except InfeasibleBudgetError:
        return None
