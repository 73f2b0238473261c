"""A training into a run directory: a net or a shape, on labels alone or with a teacher."""

from dataclasses import replace
from typing import Any

from torch import nn

from .. import nets
from ..data import Data
from ..errors import InputError
from ..options import TrainRunOptions, with_changes
from ..runs import quietly
from ..shape import Shape
from ..training.pictures import check_net
from ..typed import checked
from .session import Guard, Run, below_unpruned, load_data, read_own, row, unguarded
from .settings import chosen_recipe
from .starting import start_of
from .train import train
from .unlabelled import NOTE as UNLABELLED
from .unlabelled import check_unlabelled, with_classes

__all__ = ["train_run"]

NOTE = "Accuracy: percent of the test pictures, last epoch."


@quietly
@checked
def train_run(
    options: TrainRunOptions | None = None, *, guard: Guard = unguarded, **changes: Any
) -> Run:
    """What ``tas train`` does: ``tas.train`` with a run directory.

    >>> import tas.api
    >>> trained = tas.api.train_run(net="resnet20", epochs=1, out="runs/teacher")
    >>> (trained.path / "model.safetensors").is_file()
    True

    Args:
        options: of the training; see ``tas.options.TrainRunOptions``, or ``tas train --help``.
        guard: a context around the work, which is given the run.
        changes: options by their names, in the place of those of ``options``.

    Raises:
        InputError: an option cannot be used; nothing has been written then.
        DivergedError: the loss became NaN or infinite; the last good checkpoint is kept.
    """
    options = with_changes(options or TrainRunOptions(), changes)
    _check(options)
    check_unlabelled(options, ("teacher",))
    goes_on = options.inherit or options.weights or options.pretrained
    recipe = chosen_recipe(options, inheriting=bool(goes_on))
    name = options.shape or options.net or ""
    shape = read_own(name, options.net if options.shape else None)
    if options.inherit and options.teacher_net not in (None, shape.net):
        raise InputError(
            f"--inherit: --teacher-net {options.teacher_net} is not the unpruned net of {name}: "
            f"give a teacher that is a {shape.net}"
        )
    # A name that the file of a shape gives is not one that the caller gave: it goes as a shape.
    of = options.teacher_net or nets.full_shape(shape.net)
    data = with_classes(options, load_data(options), of)
    teacher = None
    if options.teacher:
        teacher = nets.load(of, options.teacher, data.classes, data.input)
    given = start_of(shape, options, data)
    start: Shape | nn.Module = shape if given is None else given[0]
    head = 0 if given is None or not given[1] else recipe.teacher.head_epochs
    _check_nets(start, shape, teacher, data, options)
    run = Run.open("train", options, name, data)
    if run.finished:
        return run
    with run.working(guard):
        trained = train(
            start,
            data,
            teacher=teacher,
            inherit=options.inherit,
            options=replace(recipe.student, head_epochs=head),
            phase="student" if teacher else "train",
            **run.common(options),
        )
        as_trained = shape.replace(classes=data.classes, input=data.input)
        run.save(trained.net, nets.measured(as_trained), data)
        distils = recipe.student.distils or not data.labelled
        how = "distilled" if teacher and distils else "trained"
        full = nets.measured(nets.full_shape(shape.net, data.classes, data.input))
        notes = [*data.notes, *([trained.note] if trained.note else [])]
        notes += [NOTE if data.labelled else UNLABELLED]
        run.finish(
            {
                "net": name,
                "data": data.name,
                "rows": below_unpruned(row(f"{name}, {how}", trained), full),
                "full_shape": full.to_dict(),
                "notes": notes,
            }
        )
    return run


def _check(options: TrainRunOptions) -> None:
    """Options that contradict one another."""
    both = options.net is not None and options.shape is not None
    if not (options.net or options.shape) or (both and not nets.is_named(options.net or "")):
        raise InputError("say what to train: either --net resnet20 or --shape C010-ResNet20")
    if options.teacher_net and not options.teacher:
        raise InputError(
            f"--teacher-net {options.teacher_net} has no weights: give them as --teacher"
        )
    starts = [f"--{n}" for n in ("inherit", "weights", "pretrained") if getattr(options, n)]
    if len(starts) > 1:
        raise InputError(f"{' and '.join(starts)} both say what to start from: give one")
    if options.pretrained and options.shape:
        raise InputError("--pretrained is for a whole net: give --net in the place of --shape")
    if options.inherit and not options.teacher:
        raise InputError(
            "--inherit needs a trained net to inherit from: give its weights as --teacher"
        )


def _check_nets(
    start: Shape | nn.Module,
    shape: Shape,
    teacher: nn.Module | None,
    data: Data,
    options: TrainRunOptions,
) -> None:
    """Another library's net may not fit the data, which is said before there is a directory."""
    if teacher is not None:
        check_net(teacher, data, "teacher")
    if not options.inherit:
        if not isinstance(start, nn.Module):
            start = nets.build(start, data.classes, data.input)
        check_net(start, data, "net")
