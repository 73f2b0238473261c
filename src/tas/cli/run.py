"""``tas run``: teacher, search, derived net, distillation, result."""

from typing import Any

import torch
from torch import nn

from .. import nets
from ..derive import derive
from ..jobs import Trained, equal_widths, train
from ..macs import count
from ..shape import Shape
from ..weights import load_weights, save_weights
from . import runs
from .options import RunOptions
from .plan import Plan

__all__ = ["main"]

NOTE = (
    "Accuracy: percent of the test pictures after the last epoch; nothing was chosen by it. "
    "Time of the searched net: search and training together."
)


def main(options: RunOptions) -> None:
    plan = Plan.of(options)
    data, recipe = plan.data, plan.recipe
    teacher = nets.build(plan.full)
    if options.teacher:
        load_weights(teacher, options.teacher)

    run = runs.Run.open("run", options, options.net)
    if run.directory.finished:
        run.show()
        return
    with run.interruptible():
        common = run.common(options)
        if options.teacher:
            rows = [_given(teacher, data, options)]
        else:
            torch.manual_seed(run.seed)
            teacher = nets.build(plan.full)
            trained = train(teacher, data, options=recipe.teacher, phase="teacher", **common)
            save_weights(teacher, run.directory.path / "teacher.safetensors")
            rows = [runs.row("unpruned", trained)]
        found = plan.search(run)

        def student(shape: Shape, phase: str, source: nn.Module | None = None) -> Trained:
            torch.manual_seed(run.seed)
            net = derive(shape, source)
            return train(net, data, teacher=teacher, options=recipe.student, phase=phase, **common)

        if options.baseline:
            equal = student(equal_widths(plan.space, plan.budget, options.unit), "equal")
            rows.append(runs.row("equal widths, distilled", equal))
        small = student(found.shape, "student", found.supernet.net if options.inherit else None)
        row = runs.row("searched, distilled", small)
        row["seconds"] += found.history.seconds
        run.directory.save_model(small.net)
        run.finish({**plan.facts(), "rows": [*rows, row], "notes": [*data.notes, NOTE]})
        run.show()


def _given(teacher: nn.Module, data: Any, options: RunOptions) -> dict[str, Any]:
    """The row of a teacher that was trained elsewhere."""
    counted = count(teacher, data.input)
    return runs.row(
        "unpruned, as given",
        macs=counted.macs,
        params=counted.params,
        accuracy=runs.tested(teacher, data, options)["accuracy"],
    )
