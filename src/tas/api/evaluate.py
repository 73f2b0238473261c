"""Test a net on pictures."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from .. import nets, training
from ..costs import count
from ..data import Data
from ..errors import InputError
from ..options import EvalOptions, with_changes
from ..report import timed_rows
from ..report.tables import SHARES
from ..training import Device, TrainOptions
from ..training.pictures import check_net, given_data, unvaried_batches
from ..typed import checked
from .opening import OpenedFolder, given_net, own_data, unpruned
from .session import below_unpruned, load_data, read_own, row
from .times import times_of
from .unlabelled import known_by

__all__ = ["Tested", "eval_run", "evaluate"]


@checked
def evaluate(
    net: nn.Module | str | Path,
    data: str | Path | Data,
    *,
    batch_size: int = 256,
    device: Device = "auto",
    precision: str = "auto",
    workers: int | None = None,
    progress: bool = True,
    teacher: nn.Module | str | Path | None = None,
) -> dict[str, float]:
    """``accuracy`` (percent) and ``loss`` of a net on the test pictures of a data set.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> tested = tas.evaluate(net, data, progress=False)
    >>> 0 <= tested["accuracy"] <= 100 and tested["loss"] > 0
    True

    Args:
        net: a module, or a run or model folder.
        data: a data set, its name, or the path of a folder of images.
        device: as in ``tas.training.accelerator``.
        teacher: a net whose answers are in the place of labels. It gives ``agreement``, the percent
            of equal answers, and as ``loss`` the divergence from them; pictures without labels
            need one.

    Raises:
        InputError: an argument cannot be used.
    """
    net = given_net(net)
    data = given_data(data, device, workers, progress)
    options = TrainOptions(batch_size=batch_size, precision=precision)
    asked = None if teacher is None else given_net(teacher)
    data = known_by(asked, data)
    if asked is not None:
        check_net(asked, data, "teacher", precision)
    check_net(net, data, "net", precision)
    batches = unvaried_batches(data, data.test, options, device, workers)
    return training.evaluate(net, batches, device=device, precision=precision, teacher=asked)


@dataclass(frozen=True)
class Tested:
    """The result of a test; ``tas.api.eval_run`` returns it, with an example.

    Attributes:
        figures: ``accuracy`` (percent), ``loss``, ``macs``, ``params``, ``pictures``, ``times``;
            ``agreement`` where pictures have no labels, and then the loss is the divergence from
            the unpruned net's answers.
        rows: of the table, the unpruned net first where the net is a smaller one.
        data: name of the data set.
        note: what was not counted, and how times were measured, in words.
    """

    figures: dict[str, Any]
    rows: list[dict[str, Any]]
    data: str
    note: str = ""


@checked
def eval_run(options: EvalOptions | None = None, **changes: Any) -> Tested:
    """What ``tas eval`` does: tests the net of a run, or a net or shape with its weights.

    >>> import tas.api
    >>> trained = tas.api.train_run(net="resnet20", epochs=1, out="runs/small")
    >>> tested = tas.api.eval_run(run="runs/small")
    >>> tested.data, tested.figures["pictures"], tested.figures["macs"]
    ('digits', 359, 2532992)

    Args:
        options: see ``tas.options.EvalOptions``, or ``tas eval --help``.
        changes: options by their names, in the place of those of ``options``.

    Raises:
        InputError: an option cannot be used, or the run holds no trained net.
    """
    options = with_changes(options or EvalOptions(), changes)
    model = None
    if options.run:
        options, model = _of_run(options)
    name = options.shape or options.run or options.net
    both = options.shape is not None and options.net is not None
    wrong = both and not nets.is_named(options.net or "")
    if name is None or options.weights is None or wrong:
        raise InputError(
            "say what to test: a run directory, or one of --net and --shape with --weights"
        )
    shape = model.folder.shape if model else read_own(name, options.net if options.shape else None)
    data = load_data(
        replace(options, data="digits") if options.data is None else options, to_train=False
    )
    teacher = None if data.labelled else _answering(model)
    if teacher is not None:
        data = known_by(teacher, data)
    net = model.net if model else nets.load(shape, options.weights, data.classes, data.input)
    tested = evaluate(
        net,
        data,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision or "auto",
        workers=options.workers,
        teacher=teacher,
    )
    counted = count(net, data.input)
    cost: dict[str, Any] = {"macs": counted.macs, "params": counted.params}
    shares: dict[str, Any] = {name: tested[name] for name in SHARES if name in tested}
    shares |= {} if teacher is None else {"distance": tested["loss"]}
    rows = [row(str(name), **cost, **shares)]
    if nets.is_named(shape.net) or shape.net in nets.ARCHITECTURES:
        full = nets.measured(nets.full_shape(shape.net, data.classes, data.input))
        rows = below_unpruned(rows[0], full)
    known = {rows[-1]["name"]: net}
    if len(rows) > 1:
        known = {rows[0]["name"]: nets.build(full), **known}
    times = times_of(known, data.input)
    figures = {**tested, **cost, "pictures": len(data.test), "times": times}
    rows = timed_rows({"rows": rows, "times": times})
    return Tested(figures, rows, data.name, " ".join([counted.note, *times["notes"]]).strip())


def _answering(model: OpenedFolder | None) -> nn.Module:
    """The net whose answers are in the place of labels."""
    teacher = unpruned(model.folder) if model else None
    if teacher is None:
        raise InputError(
            "--unlabelled compares with the unpruned net's answers: give a folder of tas run or "
            "tas search whose --teacher or --weights are at hand"
        )
    return teacher


def _of_run(options: EvalOptions) -> tuple[EvalOptions, OpenedFolder]:
    """The options with what the folder says in the place of what was not given, and its model."""
    assert options.run is not None
    if options.shape or options.weights:
        raise InputError("give a run directory, or --net or --shape with --weights, not both")
    model = OpenedFolder.of(options.run, options.net)
    own = own_data(model.folder)
    unlabelled = own.pop("unlabelled", False) and options.data is None
    taken = {name: value for name, value in own.items() if getattr(options, name) is None}
    taken["unlabelled"] = options.unlabelled or unlabelled
    if options.data is None and "data" not in taken:
        raise InputError(f"'{options.run}' does not say what it was tested on: give --data")
    return replace(options, weights=str(model.folder.weights), **taken), model
