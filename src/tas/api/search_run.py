"""A search into a run directory: the shape, and the weights that its net inherits."""

import shlex
from typing import Any

from torch import nn

from .. import nets, training
from ..costs import given_budgets
from ..errors import InputError, flag
from ..options import SearchRunOptions, with_changes
from ..runs import quietly, say
from ..training.pictures import measuring_batches
from ..typed import checked
from .plan import Plan
from .session import Guard, Run, row, unguarded
from .unlabelled import check_unlabelled

__all__ = ["search_run"]

NOTE = "The weights are inherited from the unpruned net and not fine-tuned: fine-tune them next."


@quietly
@checked
def search_run(
    options: SearchRunOptions | None = None, *, guard: Guard = unguarded, **changes: Any
) -> Run:
    """What ``tas search`` does: ``tas.search`` with a run directory.

    >>> import tas.api
    >>> tas.api.train_run(net="resnet20", epochs=1, out="runs/teacher").finished
    False
    >>> found = tas.api.search_run(
    ...     net="resnet20", weights="runs/teacher/model.safetensors", budget=0.5, trials=4,
    ...     out="runs/found",
    ... )
    >>> [row["name"] for row in found.result["rows"]]
    ['unpruned', 'searched']
    >>> shape = tas.Shape.load("runs/found/shape.json")

    Args:
        options: of the search; see ``tas.options.SearchRunOptions``, or ``tas search --help``.
        guard: a context around the work, which is given the run.
        changes: options by their names, in the place of those of ``options``.

    Raises:
        InputError: an option cannot be used; nothing has been written then.
        DivergedError: the loss became NaN or infinite; the last good checkpoint is kept.
    """
    options = with_changes(options or SearchRunOptions(), changes)
    if options.weights and options.preset.startswith("paper") and not nets.is_named(options.net):
        raise InputError(
            f"--weights: the paper's search of {options.net} starts from fresh weights; leave it "
            "out, or choose --preset quick, cifar or imagenet"
        )
    check_unlabelled(options, ("weights",))
    plan = Plan.of(options, inheriting=options.weights is not None)
    run = Run.open("search", options, options.net, plan.data)
    if run.finished:
        return run
    with run.working(guard):
        _search(plan.timed(run), run)
    return run


def _search(plan: Plan, run: Run) -> None:
    """Search within every budget, and write what was found."""
    names = given_budgets(plan.options.budget)
    parts = run.parts(names, plan.data)
    first = row("unpruned", macs=plan.full.macs, params=plan.full.params)
    notes, rows, commands = plan.notes(), [first], []
    for part, budget, found in zip(parts, plan.budgets, plan.search(run, parts), strict=True):
        command = ["tas", "train", "--data", plan.options.data, *_how(plan.options)]
        command += ["--shape", str(part.directory.shape)]
        if plan.options.unlabelled and plan.options.weights:
            command += ["--unlabelled", "--teacher", plan.options.weights]
        if found.source.trained:
            small = found.derive(inherit=True)
            _measure_norms(small, plan, plan.options)
            part.save(small, found.shape, plan.data)
            command += ["--weights", str(part.directory.model)]
            if NOTE not in notes:
                notes.append(NOTE)
        cost: dict[str, Any] = {"macs": found.shape.macs, "params": found.shape.params}
        own = row("searched", **cost, seconds=found.history.seconds)
        if part is not run:
            part.finish({**plan.facts(budget), "rows": [first, own], "notes": notes})
            own = {**own, "name": f"{part.path.name}: searched", "series": "searched"}
        rows.append(own)
        commands.append(shlex.join(command))
    run.finish({**plan.facts(None), "rows": rows, "notes": notes})
    for text in commands:
        say(f"train it: {text}")


def _measure_norms(small: nn.Module, plan: Plan, options: SearchRunOptions) -> None:
    """The norms of an inherited net saw other mixtures of channels; they measure its own."""
    pictures = measuring_batches(
        plan.data, plan.data.train, plan.recipe.search, options.device, options.workers
    )
    training.recompute_norm_statistics(small, pictures, device=options.device)


def _how(options: SearchRunOptions) -> list[str]:
    """What else of the command says which pictures these are, and how nets are trained."""
    given = []
    for name in ("data_dir", "image_size", "in_memory", "preset"):
        value = getattr(options, name)
        if value != getattr(SearchRunOptions(), name):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            given += [flag(name), text]
    return given
