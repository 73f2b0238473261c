"""Units of cost, and budgets in them.

A ``Unit`` is an object that knows what a shape costs, exactly and as an expectation; a ``Budget``
is the most that a shape may cost in one. What finds shapes asks these alone, so that a new unit is
a new object here and touches nothing else.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InfeasibleBudgetError, InputError, one_of, quoted
from ..shape import Shape
from ..space import Space
from ..typed import checked
from .expected import ExpectedCost

__all__ = [
    "MACS",
    "PARAMS",
    "UNITS",
    "Budget",
    "Counted",
    "Unit",
    "budget_text",
    "given_budgets",
    "parse_budget",
    "readable",
    "unit_named",
]


class Unit(Protocol):
    """What a cost counts.

    Attributes:
        name: as options and files have it.
    """

    @property
    def name(self) -> str: ...

    def cost(self, space: Space, shape: Shape) -> int:
        """What a shape of the space costs."""
        ...

    def expected(self, space: Space, dtype: torch.dtype | None = None) -> ExpectedCost:
        """The expected cost under probabilities of the candidates, differentiable."""
        ...

    def value(self, cost: float) -> float:
        """A cost as files have it."""
        ...

    def said(self, cost: float) -> str:
        """A cost in words."""
        ...

    def parse(self, text: str) -> int | None:
        """The cost that an absolute budget such as ``22.4M`` asks for; None: it is none."""
        ...


@dataclass(frozen=True)
class Counted:
    """Multiply-adds or parameters: what can be counted on the net itself.

    >>> import tas
    >>> space = tas.spaces.resnet_space("resnet20")
    >>> tas.costs.MACS.cost(space, space.unpruned), tas.costs.PARAMS.cost(space, space.unpruned)
    (40813184, 272282)
    """

    name: str

    def cost(self, space: Space, shape: Shape) -> int:
        return space.cost(shape, self.name)

    def expected(self, space: Space, dtype: torch.dtype | None = None) -> ExpectedCost:
        return ExpectedCost(space, self.name, dtype)

    def value(self, cost: float) -> float:
        return int(cost)

    def said(self, cost: float) -> str:
        return f"{readable(cost)} {self.name}"

    def parse(self, text: str) -> int | None:
        text = text.strip()
        size = {"k": 1e3, "m": 1e6, "g": 1e9}.get(text[-1:].lower())
        try:
            value = float(text[:-1] if size else text)
        except ValueError:
            return None
        value *= size or 1
        if not math.isfinite(value) or (size is None and value < 1000):
            return None
        return int(value)


MACS, PARAMS = Counted("macs"), Counted("params")
UNITS: dict[str, Unit] = {unit.name: unit for unit in (MACS, PARAMS)}


@checked
def unit_named(name: str) -> Unit:
    """The unit of a name, or an ``InputError`` that lists them.

    >>> import tas
    >>> tas.costs.unit_named("params") is tas.costs.PARAMS
    True
    """
    if name not in UNITS:
        raise InputError(one_of("unit of the budget", name, UNITS))
    return UNITS[name]


@dataclass(frozen=True)
class Budget:
    """The most that a shape may cost.

    >>> import tas
    >>> space = tas.spaces.resnet_space("resnet20")
    >>> tas.costs.Budget.of(space, 0.55).limit, tas.costs.Budget.of(space, "20M").limit
    (22447251, 20000000)

    Attributes:
        limit: in the unit.
        unit: what it counts.
        also: further limits, in other units, that have to hold and need not be used up.
        asked: what the user allows, where a search is to aim at a little less than that.
    """

    limit: int
    unit: Unit = MACS
    also: tuple["Budget", ...] = ()
    asked: int | None = None

    @classmethod
    def of(
        cls,
        space: Space,
        given: str | float,
        unit: str | Unit = "macs",
        also: Mapping[str, str | float] | None = None,
    ) -> "Budget":
        """A budget that a shape of the space can meet.

        Args:
            given: a ratio of the unpruned net (``0.55``), or absolute (``"22.4M"``).
            unit: ``"macs"``, ``"params"``, or a unit of time, ``tas.costs.latency.Latency``.
            also: further limits by the names of their units, ``{"params": "3M"}``.

        Raises:
            InputError: it is no budget.
            InfeasibleBudgetError: every shape of the space costs more, or less.
        """
        which = unit_named(unit) if isinstance(unit, str) else unit
        further = []
        for name, value in (also or {}).items():
            other = unit_named(name)
            further.append(cls(parse_budget(value, _full(space, other), other), other))
            further[-1].check(space, value, at_most=True)
        limit = parse_budget(given, _full(space, which), which)
        budget = cls(limit, which, tuple(further))
        budget.check(space, given)
        return budget

    @property
    def whole(self) -> "Budget":
        """All that the user allows."""
        return self if self.asked is None else replace(self, limit=self.asked, asked=None)

    def cost(self, space: Space, shape: Shape) -> int:
        """What a shape costs in the budget's unit."""
        return self.unit.cost(space, shape)

    def expected(self, space: Space) -> ExpectedCost:
        """Expected costs in double precision, in which whole numbers are exact."""
        return self.unit.expected(space, torch.float64)

    def fits(self, space: Space, shape: Shape) -> bool:
        """Whether a shape is within the budget and all further limits."""
        return all(each.cost(space, shape) <= each.limit for each in (self, *self.also))

    def within_others(self, space: Space) -> Callable[[Tensor], Tensor]:
        """Whether states [B, choices] are within the further limits: a function of them."""
        models = [(other.expected(space), other.limit) for other in self.also]

        def fit(states: Tensor) -> Tensor:
            found = torch.ones(len(states), dtype=torch.bool)
            for model, limit in models:
                found &= model.of_states(states) <= limit
            return found

        return fit

    def ratio(self, space: Space) -> float:
        """The part of the unpruned net's cost that it is."""
        return self.limit / _full(space, self.unit)

    def range(self, space: Space) -> tuple[int, int]:
        """The smallest and the largest cost in a space, in the budget's unit."""
        return self.cost(space, space.smallest), self.cost(space, space.widest)

    def check(self, space: Space, given: str | float = "", at_most: bool = False) -> None:
        """Raise ``InfeasibleBudgetError`` where every shape costs more, or less.

        Args:
            given: what the user gave, to be quoted.
            at_most: a limit that need not be used up.
        """
        lowest, highest = self.range(space)
        if lowest <= self.limit <= highest or (at_most and lowest <= self.limit):
            return
        said, full = self.unit.said, _full(space, self.unit)
        asked = f"'{given}' ({said(self.limit)})" if given else said(self.limit)
        raise InfeasibleBudgetError(
            f"the budget {asked} cannot be met with these choices: {space.unpruned.net} can "
            f"have {said(lowest)} to {said(highest)}, a ratio of "
            f"{lowest / full:.3f} to {highest / full:.3f}",
            lowest,
            highest,
        )


def _full(space: Space, unit: Unit) -> int:
    """Cost of the unpruned net: as it was counted on the net, where it was."""
    counted = getattr(space.unpruned, unit.name, None)
    return unit.cost(space, space.unpruned) if counted is None else int(counted)


@checked
def given_budgets(given: str | float | Sequence[str | float]) -> list[str] | None:
    """The budgets of a list, as texts; None where it is one budget and no list.

    >>> import tas
    >>> tas.costs.given_budgets("0.3,0.50"), tas.costs.given_budgets(0.5)
    (['0.3', '0.5'], None)

    Raises:
        InputError: one is missing, or stands there twice.
    """
    if isinstance(given, str) and "," not in given:
        return None
    if isinstance(given, int | float):
        return None
    names = budget_text(given).split(",")
    example = "give each once, such as 0.3,0.5,0.7"
    if not all(names):
        raise InputError(f"in the budgets {quoted(given)} one is missing: {example}")
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InputError(f"in the budgets {quoted(given)} '{name}' stands twice: {example}")
    return names


@checked
def budget_text(given: str | float | Sequence[str | float]) -> str:
    """Budgets as they are recorded: 0.50 is 0.5, and a number is that of a text.

    >>> import tas
    >>> tas.costs.budget_text("0.50"), tas.costs.budget_text([0.3, "22.4M"])
    ('0.5', '0.3,22.4M')
    """
    if isinstance(given, str) and "," in given:
        given = given.split(",")
    if not isinstance(given, str | int | float):
        return ",".join(budget_text(each).removesuffix(".0") for each in given)
    try:
        return str(float(given))
    except ValueError:  # such as 22.4M
        return str(given).strip()


@checked
def parse_budget(given: str | float, full: int, unit: str | Unit = "macs") -> int:
    """A budget as a whole number: ``0.55`` times ``full``, or absolute, ``22.4M``, ``1.2G``.

    >>> import tas
    >>> tas.costs.parse_budget(0.5, full=40_000_000), tas.costs.parse_budget("22.4M", full=0)
    (20000000, 22400000)

    A bare number up to 1 is a ratio, from 1000 on an absolute count.

    Raises:
        InputError: it is neither.
    """
    which = unit_named(unit) if isinstance(unit, str) else unit
    absolute = "8ms" if which.name == "ms" else f"{which.name} like 22.4M or 1.2G"
    help_text = f"give a ratio of the unpruned net above 0 and up to 1, or {absolute}"
    text = str(given).strip()
    cost = which.parse(text)
    try:
        value = float(text) if cost is None else float(cost)
    except ValueError:
        raise InputError(f"{quoted(given)} is not a budget: {help_text}") from None
    if not (0 < value < 2**63):
        raise InputError(f"the budget {quoted(given)} is not above 0 and finite: {help_text}")
    if cost is not None:
        return cost
    if value > 1:
        raise InputError(f"the budget {quoted(given)} is a ratio above 1: {help_text}")
    return int(value * full)


def readable(number: float, digits: int = 1) -> str:
    """A count with its unit: ``22.4M``, ``1.2G``, ``940``.

    >>> import tas
    >>> tas.costs.readable(22_400_000)
    '22.4M'
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.{digits}f}{unit}"
    return f"{number:g}"
