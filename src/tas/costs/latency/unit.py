"""Milliseconds as a unit of budgets."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from ...shape import Shape
from ...space import Space
from ...typed import checked
from ..expected import ExpectedCost
from .features import timed_shape
from .fit import FEMTO, Fitted, fitted
from .table import USES, LatencyTable

__all__ = ["Latency", "errors"]


@dataclass(frozen=True, eq=False)
class Latency:
    """What a shape costs in time, by what was measured; costs are whole femtoseconds.

    >>> import tas
    >>> from tas.costs.latency import Latency, LatencyTable, Measurement
    >>> space = tas.spaces.resnet_space("resnet20", residual="tied")
    >>> table = LatencyTable.of(space, {"runtime": "a phone"})
    >>> shape = space.equal(0.5)
    >>> table.add(Measurement(shape.widths, shape.depths, 0.003, 0.01, 0.3))
    >>> unit = Latency(table, space)
    >>> unit.said(unit.cost(space, space.unpruned)), unit.parse("4ms") / 1e12
    ('10.000 ms', 4.0)

    Attributes:
        table: of measurements.
        space: of the net.
    """

    table: LatencyTable
    space: Space
    uses: Sequence[str] = USES
    name: str = "ms"

    @cached_property
    def prices(self) -> Fitted:
        """What the net's layers take."""
        return _fitted(self.table, self.space, self.uses)

    def cost(self, space: Space, shape: Shape) -> int:
        """Femtoseconds of a shape of the net, of this or another space of it."""
        return self.prices.space(space).cost(timed_shape(shape))

    def expected(self, space: Space, dtype: torch.dtype | None = None) -> ExpectedCost:
        """Expected femtoseconds, differentiable."""
        return ExpectedCost(self.prices.space(space), "macs", dtype)

    def seconds(self, cost: float) -> float:
        """A cost in seconds."""
        return cost / FEMTO

    def value(self, cost: float) -> float:
        """A cost in milliseconds."""
        return 1000 * cost / FEMTO

    def said(self, cost: float) -> str:
        """A cost in words."""
        return f"{self.value(cost):.3f} ms"

    def parse(self, text: str) -> int | None:
        """The cost of ``8ms``; None where it is no number of milliseconds."""
        number = text.strip().lower()
        if not number.endswith("ms"):
            return None
        try:
            return round(float(number[:-2]) / 1000 * FEMTO)
        except (ValueError, OverflowError):
            return None


def _fitted(table: LatencyTable, space: Space, uses: Sequence[str]) -> Fitted:
    table.check(space)
    lines = table.lines_for(*uses)
    shapes = [space.unpruned.replace(widths=x.widths, depths=x.depths) for x in lines]
    ratios, uncertain = [line.ratio for line in lines], [line.uncertain for line in lines]
    return fitted(space, shapes, ratios, table.whole, uncertain)


@checked
def errors(table: LatencyTable, space: Space) -> list[float]:
    """How far the shapes that test a table are from what it tells, fitted to all others.

    >>> import tas
    >>> from tas.costs.latency import LatencyTable, Measurement, errors
    >>> space = tas.spaces.resnet_space("resnet20", residual="tied")
    >>> table = LatencyTable.of(space, {"runtime": "a phone"})
    >>> for use in ("fit", "test"):
    ...     shape = space.equal(0.5)
    ...     table.add(Measurement(shape.widths, shape.depths, 0.003, 0.01, 0.3, use=use))
    >>> errors(table, space)[0] < 0.05
    True
    """
    unit = Latency(table, space, ("fit", "found"))
    off = []
    for line in table.lines_for("test"):
        shape = space.unpruned.replace(widths=line.widths, depths=line.depths)
        told = unit.seconds(unit.cost(space, shape)) / table.whole
        off.append(abs(told / line.ratio - 1))
    return off
