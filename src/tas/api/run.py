"""The whole job: teacher, search, derived net, distillation, report."""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from .. import nets, training
from ..costs import Budget
from ..errors import InputError
from ..inherit import Source
from ..methods import Found, equal_widths, even_widths
from ..options import RunOptions, with_changes
from ..runs import quietly
from ..runs.stages import staged
from ..shape import Shape
from ..typed import checked
from .evaluate import evaluate
from .plan import Plan
from .session import Guard, Run, row, unguarded
from .stages import stages_of
from .times import times_in, times_of
from .train import Trained, train
from .unlabelled import NOTE as UNLABELLED
from .unlabelled import check_unlabelled

__all__ = ["run"]

NOTE = (
    "Accuracy is measured on the test pictures after the last epoch; nothing was chosen by it. "
    "The time of the searched net includes the search. The log gives, for nets that the search "
    "trains, the accuracy on training pictures that were held out."
)
NO_EQUAL = "No net of equal widths meets the budget: there is no baseline."


@quietly
@checked
def run(
    options: RunOptions | None = None,
    *,
    model: nn.Module | None = None,
    guard: Guard = unguarded,
    **changes: Any,
) -> Run:
    """Search a smaller net within a budget, train it, and write everything into a run directory.

    >>> import tas
    >>> done = tas.run(data="digits", budget=0.5, epochs=1, trials=4, out="runs/digits")
    >>> [row["name"] for row in done.result["rows"]]
    ['unpruned', 'equal widths, distilled', 'searched, distilled']
    >>> net = tas.load(done.path / "shape.json", done.path / "model.safetensors")
    >>> again = tas.run(data="digits", budget=0.5, epochs=1, trials=4, out="runs/digits")
    >>> again.finished
    True

    It is what ``tas run`` does: options have the names of the command's, and the same call goes on
    where an earlier one was interrupted. A finished run is read and not repeated.

    Args:
        options: of the run; see ``tas.options.RunOptions``, or ``tas run --help``.
        model: a trained net of your own, instead of a name: it is the teacher, and what nets are
            cut from. Shapes call it by ``net``, or by the name of its class.
        guard: a context around the work, which is given the run.
        changes: options by their names, in the place of those of ``options``.

    Raises:
        InputError: an option cannot be used; nothing has been written then.
        DivergedError: the loss became NaN or infinite; the last good checkpoint is kept.
    """
    options = with_changes(options or RunOptions(), changes)
    if model is not None and "net" not in changes:
        kind = type(model)
        options = replace(options, net=f"{kind.__module__}.{kind.__qualname__}")
    _check(options, model)
    job = _Job(options, model)
    opened = Run.open("run", options, options.net, job.plan.data)
    if opened.finished:
        return opened
    with opened.working(guard):
        job.do(opened)
    return opened


def _check(options: RunOptions, model: nn.Module | None) -> None:
    """Options that contradict one another."""
    weights = [
        name
        for name, given in (
            ("--teacher", options.teacher),
            ("--weights", options.weights),
            ("--pretrained", options.pretrained),
            ("model", model),
        )
        if given
    ]
    if len(weights) > 1:
        raise InputError(f"{' and '.join(weights)} are both weights of the unpruned net: give one")
    check_unlabelled(options, ("teacher", "weights", "pretrained"), model)
    if options.inherit is False and (model is not None or nets.is_named(options.net)):
        raise InputError(
            "--inherit false is for built-in ResNets alone: a net cut from any other always "
            "inherits its weights; leave it out"
        )


class _Job:
    """The steps of a run."""

    def __init__(self, options: RunOptions, model: nn.Module | None) -> None:
        self.options = options
        # The paper's search of our own nets is one from scratch; what there is to inherit is its
        # supernet's, which a net has where it was asked for.
        self.paper = options.preset.startswith("paper")
        self.inherit = not self.paper if options.inherit is None else options.inherit
        traced = model is not None or nets.is_named(options.net)
        self.from_teacher = traced or (self.inherit and not self.paper)
        self.plan = Plan.of(options, inheriting=self.from_teacher, model=model, teaches=True)
        self.given = self.plan.ready or model
        if options.teacher:
            self.given = nets.load(self.plan.full, options.teacher)

    def do(self, run: Run) -> None:
        self.plan = self.plan.timed(run)  # a budget that cannot be met is told at once
        trains, baseline = self.given is None, self.options.baseline
        with staged(stages_of(self.plan, teacher=trains, baseline=baseline)):
            self.work(run)

    def work(self, run: Run) -> None:
        """All stages, one after the other."""
        teacher, first = self.teacher(run, run.common(self.options))
        if self.from_teacher:
            self.plan = replace(self.plan, source=Source.of(self.plan.space, teacher))
        parts = run.parts(self.plan.names, self.plan.data)
        found = self.plan.search(run, parts)
        own = [
            self.students(*each, teacher)
            for each in zip(parts, self.plan.budgets, found, strict=True)
        ]
        self.finish(run, first, teacher, own)

    def students(self, run: Run, budget: Budget, found: Found, teacher: nn.Module) -> "_Students":
        """The nets of one budget, trained: equal widths, and the one that was searched."""
        distils = self.plan.recipe.student.distils or not self.plan.data.labelled
        how = "distilled" if distils else "trained"
        own = _Students(run, budget)

        def student(shape: Shape, phase: str) -> Trained:
            # A supernet's weights are those of the searched net alone, not of its baseline.
            inherit = self.inherit and (not self.paper or phase == "student")
            with training.seeded(run.seed):  # for what is not inherited
                net = replace(found, shape=shape).derive(inherit)
            return train(
                net,
                self.plan.data,
                teacher=teacher,
                options=replace(self.plan.recipe.student, head_epochs=0),
                phase=phase,
                **run.common(self.options),
            )

        if self.options.baseline:
            # Of the candidates that the search has, where it starts from the teacher.
            widths = even_widths if self.from_teacher else equal_widths
            equal = widths(self.plan.space, budget)
            if equal is None:
                own.notes.append(NO_EQUAL)
            else:
                even = student(equal, "equal")
                own.add(row(f"equal widths, {how}", even), even.net)
        small = student(found.shape, "student")
        searched = row(f"searched, {how}", small)
        searched["seconds"] += found.history.seconds
        run.save(small.net, found.shape, self.plan.data)
        own.add(searched, small.net)
        return own

    def finish(
        self, run: Run, first: dict[str, Any], teacher: nn.Module, each: list["_Students"]
    ) -> None:
        """Write the result, and before it those of the budgets, where there are several."""
        several = each[0].run is not run
        known = {first["name"]: teacher}
        for own in each:
            known |= own.called(several)
        times = times_of(known, self.plan.data.input)
        notes = self.plan.notes()
        note = NOTE if self.plan.data.labelled else UNLABELLED
        for own in each if several else []:
            own.run.finish(
                {
                    **self.plan.facts(own.budget),
                    "rows": [first, *own.rows],
                    "notes": [*notes, *own.notes, note],
                    "times": times_in(times, own.name, [other.name for other in each]),
                }
            )
        rows = [told for own in each for told in own.told(several)]
        own_notes = dict.fromkeys(note for own in each for note in own.notes)
        run.finish(
            {
                **self.plan.facts(None),
                "rows": [first, *rows],
                "notes": [*notes, *own_notes, note],
                "times": times,
            }
        )

    def teacher(self, run: Run, common: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
        """The unpruned net, trained, and its row of the table."""
        if self.given is None:
            start, how = self.plan.start, self.plan.recipe.teacher
            if start is None:
                how = replace(how, head_epochs=0)  # all of it is fresh
            else:  # as gently as any net that inherits; the space keeps its own
                start, how = deepcopy(start), replace(how, travel=self.plan.recipe.student.travel)
            trained = train(
                self.plan.full if start is None else start,
                self.plan.data,
                options=how,
                phase="teacher",
                **common,
            )
            run.directory.save_weights(trained.net, "teacher.safetensors")
            return trained.net, row("unpruned", trained)
        full = self.plan.full
        as_given = row("unpruned, as given", macs=full.macs, params=full.params)
        if not self.plan.data.labelled:
            if self.options.pretrained:  # else there is a file of them
                run.directory.save_weights(self.given, "teacher.safetensors")
            return self.given, {**as_given, "agreement": 100.0, "distance": 0.0}
        tested = evaluate(
            self.given,
            self.plan.data,
            batch_size=self.options.batch_size or 256,
            device=self.options.device,
            precision=self.options.precision or "auto",
            workers=self.options.workers,
        )
        return self.given, {**as_given, "accuracy": tested["accuracy"]}


@dataclass
class _Students:
    """The nets of one budget, with their rows of the table."""

    run: Run
    budget: Budget
    rows: list[dict[str, Any]] = field(default_factory=list)
    nets: list[nn.Module] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.run.path.name

    def add(self, row: dict[str, Any], net: nn.Module) -> None:
        self.rows.append(row)
        self.nets.append(net)

    def told(self, several: bool) -> list[dict[str, Any]]:
        """The rows as the whole run has them: of several budgets each with its own, and in the
        line of its kind."""
        if not several:
            return self.rows
        kinds = [row["name"].partition(",")[0] for row in self.rows]
        return [
            {**row, "name": f"{self.name}: {row['name']}", "series": kind}
            for row, kind in zip(self.rows, kinds, strict=True)
        ]

    def called(self, several: bool) -> dict[str, nn.Module]:
        """The nets by the names that they have in the whole run."""
        names = [row["name"] for row in self.told(several)]
        return dict(zip(names, self.nets, strict=True))
