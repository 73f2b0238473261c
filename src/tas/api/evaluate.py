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
from ..runs import RunDir
from ..training import TrainOptions
from ..training.pictures import check_net, given_data, unvaried_batches
from .session import below_unpruned, load_data, read_own, row

__all__ = ["Tested", "eval_run", "evaluate"]


def evaluate(
    net: nn.Module,
    data: str | Path | Data,
    *,
    batch_size: int = 256,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """``accuracy`` (percent) and ``loss`` of a net on the test pictures of a data set.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> tested = tas.evaluate(net, data, progress=False)
    >>> 0 <= tested["accuracy"] <= 100 and tested["loss"] > 0
    True
    """
    data = given_data(data, device, workers, progress)
    check_net(net, data, "net")
    options = TrainOptions(batch_size=batch_size, precision=precision)
    batches = unvaried_batches(data, data.test, options, device, workers)
    return training.evaluate(net, batches, device=device, precision=precision)


@dataclass(frozen=True)
class Tested:
    """The result of a test; ``tas.api.eval_run`` returns it, with an example.

    Attributes:
        figures: ``accuracy`` (percent), ``loss``, ``macs``, ``params``, ``pictures``.
        rows: of the table, the unpruned net first where the net is a smaller one.
        data: name of the data set.
        note: what was not counted, in words; empty where all costs are known.
    """

    figures: dict[str, Any]
    rows: list[dict[str, Any]]
    data: str
    note: str = ""


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
    if options.run:
        options = _of_run(options)
    name = options.shape or options.net
    both = options.net is not None and options.shape is not None
    if name is None or options.weights is None or (both and not nets.is_named(options.net or "")):
        raise InputError(
            "say what to test: a run directory, or one of --net and --shape with --weights"
        )
    shape = read_own(name, options.net if options.shape else None)
    data = load_data(
        replace(options, data="digits") if options.data is None else options, to_train=False
    )
    net = nets.load(shape, options.weights, data.classes, data.input)
    tested = evaluate(
        net,
        data,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision or "auto",
        workers=options.workers,
    )
    counted = count(net, data.input)
    cost: dict[str, Any] = {"macs": counted.macs, "params": counted.params}
    full = nets.measured(nets.full_shape(shape.net, data.classes, data.input))
    own = row(str(name), **cost, accuracy=tested["accuracy"])
    figures = {**tested, **cost, "pictures": len(data.test)}
    return Tested(figures, below_unpruned(own, full), data.name, counted.note)


def _of_run(options: EvalOptions) -> EvalOptions:
    """The options with what the run directory says in the place of what was not given."""
    assert options.run is not None
    if options.shape or options.weights:
        raise InputError("give a run directory, or --net or --shape with --weights, not both")
    path = Path(options.run)
    config = RunDir.recorded(path)
    if config is None:
        raise InputError(f"'{path}' holds no run: it has no config.yaml")
    shape, weights = path / "shape.json", path / "model.safetensors"
    if not weights.is_file():
        if config.get("verb") == "search" and (path / "result.json").is_file():
            raise InputError(
                f"the search in '{path}' started from fresh weights and has no trained net: train "
                f"its shape with `tas train --shape {shape}`"
            )
        raise InputError(
            f"the run in '{path}' is not finished, it has no model.safetensors: continue it with "
            "the command that began it"
        )
    taken = {
        name: config[name]
        for name in ("data", "image_size", "in_memory", "data_dir")
        if config.get(name) is not None and getattr(options, name) is None
    }
    return replace(options, shape=str(shape), weights=str(weights), **taken)
