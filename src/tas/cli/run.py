"""``tas run``: teacher, search, derived net, distillation, result."""

from typing import Any

import torch
from torch import nn

from .. import nets, training
from ..derive import derive
from ..jobs import Trained, equal_widths, search, train
from ..macs import count
from ..shape import Shape
from ..spaces import resnet_space
from . import runs
from .options import RunOptions

__all__ = ["main"]


def main(options: RunOptions) -> None:
    data = runs.load_data(options)
    recipe, ratios = runs.chosen_recipe(options), runs.chosen_ratios(options)
    full = nets.full_shape(options.net, data.classes, data.input)
    # What cannot work is said before anything is trained.
    space = resnet_space(full, residual=options.residual, what=options.what, ratios=ratios)
    budget = space.budget(options.budget, options.unit)
    split = runs.load_split(options, data)
    teacher = nets.build(full)
    if options.teacher:
        training.load_weights(teacher, options.teacher)

    run = runs.Run.open("run", options, options.net)
    if run.directory.finished:
        run.show()
        return
    with run.interruptible():
        common = runs.common(options, run)
        if options.teacher:
            rows = [_given(teacher, data, options)]
        else:
            torch.manual_seed(run.seed)
            teacher = nets.build(full)
            trained = train(teacher, data, options=recipe.teacher, phase="teacher", **common)
            training.save_weights(teacher, run.directory.path / "teacher.safetensors")
            rows = [runs.row("unpruned", trained)]
        found = search(
            options.net,
            data,
            options.budget,
            unit=options.unit,
            what=options.what,
            residual=options.residual,
            ratios=ratios,
            options=recipe.search,
            fraction=recipe.fraction,
            split=split,
            **common,
        )
        runs.say(f"found {runs.described(found)}")
        found.shape.save(run.directory.shape)

        def student(shape: Shape, phase: str, source: nn.Module | None = None) -> Trained:
            torch.manual_seed(run.seed)
            net = derive(shape, source)
            return train(net, data, teacher=teacher, options=recipe.student, phase=phase, **common)

        if options.baseline:
            equal = student(equal_widths(space, budget, options.unit), "equal")
            rows.append(runs.row("equal widths, distilled", equal))
        small = student(found.shape, "student", found.supernet.net if options.inherit else None)
        row = runs.row("searched, distilled", small)
        row["seconds"] += found.history.seconds
        rows.append(row)
        run.directory.save_model(small.net)
        run.finish(
            {
                "net": options.net,
                "data": data.name,
                "rows": rows,
                "budget": runs.budget_facts(space, budget, options),
                "full_shape": full.to_dict(),
                "notes": [
                    *data.notes,
                    "Accuracy: percent of the test pictures after the last epoch; nothing was "
                    "chosen by it. Time of the searched net: search and training together.",
                ],
            }
        )
        run.show()


def _given(teacher: nn.Module, data: Any, options: RunOptions) -> dict[str, Any]:
    """The row of a teacher that was trained elsewhere."""
    counted = count(teacher, data.input)
    tested = runs.tested(teacher, data, options)
    return runs.row(
        "unpruned, as given",
        macs=counted.macs,
        params=counted.params,
        accuracy=tested["accuracy"],
    )
