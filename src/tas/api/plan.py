"""What is to be searched, checked before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from .. import nets, processes
from ..costs import Budget, given_budgets
from ..data import Data, Split, read_split, search_split
from ..errors import InputError, flag
from ..inherit import Source
from ..methods import Found
from ..model_options import _Runtime
from ..options import EMPTY, _Timing
from ..recipes import Recipe
from ..runs import say
from ..shape import Shape
from ..space import Space
from ..spaces import TracedSpace
from ..timing.bench import Bench
from .budgets import all_timed, budgets_in
from .latency import chosen_runtime
from .search import find
from .session import Run, load_data
from .settings import chosen_recipe
from .spaces import search_space
from .starting import start_of
from .time_budget import TABLE, bench_of, time_unit
from .unlabelled import with_classes

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """A search that can work: its data, its space, the weights it starts from, and its budgets."""

    options: Any
    data: Data
    recipe: Recipe
    full: Shape
    space: Space
    source: Source
    split: Split | None
    asked: list[Budget] | None  # None: of a time that is still to be measured (``timed``)
    bench: Bench | None = None
    start: nn.Module | None = None  # what the unpruned net's training begins with; None: afresh
    ready: nn.Module | None = None  # the unpruned net, where it need not be trained

    @classmethod
    def of(
        cls,
        options: Any,
        inheriting: bool,
        model: nn.Module | None = None,
        teaches: bool = False,
    ) -> "Plan":
        """The plan of the options of a run or a search, or the error that is in them.

        Args:
            inheriting: the search is to start from trained weights.
            model: the unpruned net, in the place of its name.
            teaches: the unpruned net may be trained first, from weights that do not know the
                classes yet.
        """
        _check(options)
        data = with_classes(options, load_data(options), options.net, model)
        recipe = chosen_recipe(options, inheriting)
        if options.subset is not None:  # drawn by the run's seed, later; here it is tried
            search_split(data, recipe.fraction, subset=options.subset)
        net: str | nn.Module = options.net if model is None else model
        given = start_of(options.net, options, data) if teaches else None
        if inheriting or nets.is_named(options.net):
            if given is not None:
                net = given[0]
            elif options.weights:
                net = nets.load(options.net, options.weights, data.classes, data.input)
        space, source = search_space(
            net,
            data,
            recipe.search.method(),
            what=options.what,
            residual=options.residual,
            ratios=tuple(options.ratios) if options.ratios else None,
            widths_per=options.widths_per,
            ignore=options.ignore or (),
            only=options.only or (),
            round_to=options.round_to,
            name=options.net,
            inheriting=inheriting,
        )
        time, limits = all_timed(options.budget, options.unit), _limits(options)
        _check_timing(options, time)
        plan = cls(
            options=options,
            data=data,
            recipe=recipe,
            full=space.unpruned,
            space=space,
            source=source,
            asked=None if time else budgets_in(space, options.budget, options.unit, limits),
            split=read_split(options.split, data) if options.split else None,
            start=given[0] if given is not None and given[1] else None,
            ready=given[0] if given is not None and not given[1] else None,
        )
        if plan.uncounted:
            say(f"note: {plan.uncounted}")
        return plan

    @property
    def names(self) -> list[str] | None:
        """What several budgets are called; None: there is one."""
        return given_budgets(self.options.budget)

    @property
    def budgets(self) -> list[Budget]:
        """The most that a net may cost; of several, each has a net of its own."""
        assert self.asked is not None
        return self.asked

    def timed(self, run: Run) -> "Plan":
        """The plan with its budgets; where they are of times, these are measured first.

        Raises:
            InfeasibleBudgetError: every shape takes longer, or less.
        """
        if self.asked is not None:
            return self
        options, table = self.options, self.options.latency_table
        runtime = None if table else chosen_runtime(_Runtime(**_timing(options)))
        bench = bench_of(self.space, table or runtime, run.path / TABLE)
        unit = time_unit(bench, whole=bool(table))
        budgets = budgets_in(self.space, options.budget, unit, _limits(options))
        return replace(self, asked=budgets, bench=bench)

    def search(self, run: Run, parts: Sequence[Run]) -> list[Found]:
        """Search within each budget, write its shape into its part of the run, and say what was
        found."""
        common = run.common(self.options)
        del common["out"]
        found = find(
            self.space,
            self.source,
            self.data,
            self.budgets,
            outs=[part.directory for part in parts],
            options=self.recipe.search,
            fraction=self.recipe.fraction,
            split=self.split,
            bench=self.bench,
            subset=self.options.subset,
            **common,
        )
        for part, budget, each in zip(parts, self.budgets, found, strict=True):
            part.directory.save_shape(each.shape)
            self._say(each, budget)
        return found

    def _say(self, found: Found, budget: Budget) -> None:
        """What was found, in words."""
        cost = budget.cost(found.space, found.shape)
        depths = " + ".join(str(depth) for depth in found.shape.depths.values())
        blocks = f"{depths} blocks and " if depths else ""
        used = f"{100 * cost / budget.limit:.1f} % of the budget"
        if self.bench is None:  # else what was measured has been said
            say(f"found a net of {blocks}{cost:,} {budget.unit.name}, {used}")

    def notes(self) -> list[str]:
        """What a reader of the result must know of the data and of the search."""
        notes = [*self.data.notes]
        if self.uncounted:
            notes.append(self.uncounted)
        if processes.count() > 1 and self.recipe.search.method().short_trainings:
            notes.append(
                "Several processes tried and trained different shapes at the same time; the time "
                "of the search is the sum over all of them."
            )
        return notes

    @property
    def uncounted(self) -> str:
        """What costs nothing here because nobody knows what it costs, in words."""
        return self.space.note if isinstance(self.space, TracedSpace) else ""

    def facts(self, budget: Budget | None) -> dict[str, Any]:
        """What a result says of the search that led to it; None: of all budgets."""
        if budget is None and self.names is not None:
            told = zip(self.names, self.budgets, strict=True)
            own: dict[str, Any] = {"budgets": [{"name": n, **self._amount(b)} for n, b in told]}
        else:
            own = {"budget": self._amount(budget or self.budgets[0])}
        return {
            "net": self.options.net,
            "data": self.data.name,
            **own,
            "full_shape": self.full.to_dict(),
        }

    def _amount(self, budget: Budget) -> dict[str, Any]:
        return {
            "unit": budget.unit.name,
            "value": budget.unit.value(budget.limit),
            "ratio": round(budget.ratio(self.space), 4),
        }


def _check(options: Any) -> None:
    """Options that are empty, or contradict one another."""
    for name in ("ratios", "only", "split"):
        if getattr(options, name) in ([], ""):
            raise InputError(f"{flag(name)}{EMPTY}")
    if options.split and options.subset is not None:
        raise InputError(
            "--split and --subset cannot be combined: give --subset to `tas split` instead"
        )


def _limits(options: Any) -> dict[str, str | float]:
    """The further limits, by the names of their units."""
    given = {"macs": options.max_macs, "params": options.max_params}
    return {name: value for name, value in given.items() if value is not None}


def _timing(options: Any) -> dict[str, Any]:
    """What runs nets."""
    return {f.name: getattr(options, f.name) for f in fields(_Timing)}


def _check_timing(options: Any, time: bool) -> None:
    """Options of a budget of time that cannot be used, or are of no use without one."""
    if not time:
        if options.latency_table or options.runtime or options.measure:
            raise InputError(
                "--latency-table, --runtime and --measure are for a budget in milliseconds: give "
                "--budget 8ms, or --budget 0.5 --unit ms"
            )
    elif options.latency_table is None:
        chosen_runtime(_Runtime(**_timing(options)))
    elif options.runtime or options.measure:
        raise InputError(
            "--latency-table says itself what runs nets: leave out --runtime and --measure"
        )
    elif not Path(options.latency_table).is_file():
        raise InputError(
            f"there is no latency table '{options.latency_table}': make it with `tas latency table "
            f"--net {options.net} --out {options.latency_table}`"
        )
