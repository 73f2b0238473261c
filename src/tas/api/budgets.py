"""One budget or several: what was given, and one search that finds a shape within each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..costs import Budget, given_budgets
from ..errors import InputError
from ..forward import Example
from ..methods import Found
from ..methods.method import Method
from ..methods.question import Question
from ..runs import RunDir, say
from ..space import Space
from ..timing.bench import Bench
from .time_budget import TABLE, How, bench_of, found_within, is_table, is_time, time_unit

__all__ = ["Given", "Within", "all_timed", "budgets_in", "find_each", "outs_of", "within"]

Given = str | float | list[str | float] | tuple[str | float, ...]
Within = tuple[list[Budget], Bench | None]


def all_timed(given: Given, unit: str) -> bool:
    """Whether the budgets are ones of milliseconds.

    Raises:
        InputError: some are, and some are not.
    """
    names: Sequence[Any] = given_budgets(given) or [given]
    timed = [is_time(name, unit) for name in names]
    if any(timed) and not all(timed):
        other = names[timed.index(False)]
        raise InputError(
            f"the budgets are in milliseconds, and '{other}' is not: give all in ms, or none"
        )
    return all(timed)


def budgets_in(
    space: Space, given: Given, unit: Any, also: Mapping[str, str | float]
) -> list[Budget]:
    """The budgets that were given, one or several.

    Raises:
        InputError: one is no budget, or the same as another.
        InfeasibleBudgetError: every shape of the space costs more, or less.
    """
    names = given_budgets(given)
    if names is None:
        assert isinstance(given, str | float | int)
        return [Budget.of(space, given, unit, also)]
    budgets = [Budget.of(space, name, unit, also) for name in names]
    limits = [budget.limit for budget in budgets]
    for number, limit in enumerate(limits):
        if (first := limits.index(limit)) < number:
            raise InputError(
                f"the budgets '{names[first]}' and '{names[number]}' are the same: leave one out"
            )
    return budgets


def within(
    space: Space,
    given: Given,
    unit: str,
    also: Mapping[str, str | float],
    how: How,
    out: RunDir | None,
    example: Example | None = None,
) -> Within:
    """The budgets of a call; of times with what measures the shapes that are found.

    Args:
        example: what the nets take, unless it is pictures.
    """
    if not all_timed(given, unit):
        return budgets_in(space, given, unit, also), None
    bench = bench_of(space, how, out.path / TABLE if out else None, example)
    return budgets_in(space, given, time_unit(bench, whole=is_table(how)), also), bench


def outs_of(out: RunDir | None, given: Given) -> list[RunDir | None]:
    """The run directory of every budget: of one the call's own, of several a part of it each."""
    names = given_budgets(given)
    if names is None:
        return [out]
    return [None if out is None else out.part(name) for name in names]


def find_each(
    problem: Question,
    method: Method,
    budgets: Sequence[Budget],
    bench: Bench | None,
    outs: Sequence[RunDir | None],
) -> list[Found]:
    """What a method finds within each budget; what it has tried for one tells of the next.

    Args:
        problem: with its channels in order, which all searches share.
        bench: of budgets of time, what measures the shapes that are found.
        outs: the run directory of each.
    """
    found: list[Found] = []
    for budget, out in zip(budgets, outs, strict=True):
        own = replace(problem, out=out, budgets=len(budgets), earlier=tuple(found))

        def find(aim: Budget, own: Any = own) -> Found:
            return method.find(replace(own, budget=aim))

        if len(budgets) > 1:
            say(f"within {budget.unit.said(budget.limit)}, {len(found) + 1} of {len(budgets)}")
        found.append(found_within(budget, bench, find))
    return found
