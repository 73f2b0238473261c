"""``tas run``: teacher, search, derived net, distillation, result."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from .. import nets
from ..api import Trained, equal_widths, train
from ..api import session as runs
from ..api.options import RunOptions
from ..api.plan import Plan
from ..errors import InputError
from ..shape import Shape

__all__ = ["main"]

NOTE = (
    "Accuracy: percent of the test pictures after the last epoch; nothing was chosen by it. "
    "Time of the searched net: search and training together. What the search trains is tested on "
    "training pictures that it was not trained on."
)


def main(options: RunOptions) -> None:
    if options.teacher and options.weights:
        raise InputError("--teacher and --weights are both weights of the unpruned net: give one")
    if options.inherit is False and nets.is_named(options.net):
        raise InputError(
            "--inherit false: nets cut from another library's or your own always inherit"
        )
    paper = options.preset.startswith("paper")
    inherit = options.inherit if options.inherit is not None else not paper
    # Of the teacher: what the search tries, and both nets. The paper's search of our own nets is
    # one from scratch; what there is to inherit is its supernet's.
    of_teacher = nets.is_named(options.net) or (inherit and not paper)
    plan = Plan.of(options, inheriting=of_teacher)
    data, recipe = plan.data, plan.recipe
    weights = options.teacher or options.weights
    given = nets.load(plan.full, weights) if weights else None

    run = runs.Run.open("run", options, options.net)
    if run.finished:
        run.show()
        return
    with run.interruptible():
        common = run.common(options)
        if given is not None:
            teacher: nn.Module = given
            rows = [_given(teacher, plan, options)]
        else:
            trained = train(plan.full, data, options=recipe.teacher, phase="teacher", **common)
            teacher = trained.net
            run.directory.save_weights(teacher, "teacher.safetensors")
            rows = [runs.row("unpruned", trained)]
        if of_teacher:
            plan = replace(plan, space=plan.space.starting_from(teacher))
        found = plan.search(run)
        how = "distilled" if recipe.student.distils else "trained"

        def student(shape: Shape, phase: str) -> Trained:
            torch.manual_seed(run.seed)  # of what is not inherited
            # A supernet's weights are those of the searched net alone, not of its baseline.
            net = replace(found, shape=shape).derive(inherit and (not paper or phase == "student"))
            return train(net, data, teacher=teacher, options=recipe.student, phase=phase, **common)

        if options.baseline:
            equal = student(equal_widths(plan.space, plan.budget, options.unit), "equal")
            rows.append(runs.row(f"equal widths, {how}", equal))
        small = student(found.shape, "student")
        row = runs.row(f"searched, {how}", small)
        row["seconds"] += found.history.seconds
        run.directory.save_model(small.net)
        run.finish({**plan.facts(), "rows": [*rows, row], "notes": [*plan.notes(), NOTE]})
        run.show()


def _given(teacher: nn.Module, plan: Plan, options: RunOptions) -> dict[str, Any]:
    """The row of a teacher that was trained elsewhere."""
    return runs.row(
        "unpruned, as given",
        macs=plan.full.macs,
        params=plan.full.params,
        accuracy=runs.tested(teacher, plan.data, options)["accuracy"],
    )
