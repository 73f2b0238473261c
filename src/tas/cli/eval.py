"""``tas eval``: the accuracy of a trained net on test pictures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import nets
from ..api import session as runs
from ..api.options import EvalOptions
from ..costs.count import count
from ..errors import InputError
from ..runs import RunDir

__all__ = ["main"]


def main(options: EvalOptions) -> None:
    if options.run:
        options = _of_run(options)
    name = options.shape or options.net
    if name is None or options.weights is None or (options.shape and options.net):
        raise InputError(
            "say what to test: a run directory, or one of --net and --shape with --weights"
        )
    shape = nets.read_shape(name)
    data = runs.load_data(options)
    net = nets.load(shape, options.weights, data.classes, data.input)
    tested = runs.tested(net, data, options)
    counted = count(net, data.input)
    cost: dict[str, Any] = {"macs": counted.macs, "params": counted.params}
    if options.json:
        print(json.dumps({**tested, **cost, "pictures": len(data.test)}))
        return
    full = nets.measured(nets.full_shape(shape.net, data.classes, data.input))
    row = runs.row(str(name), **cost, accuracy=tested["accuracy"])
    runs.print_rows(runs.below_unpruned(row, full))
    print(f"loss {tested['loss']:.4f} on {len(data.test):,} test pictures of {data.name}")


def _of_run(options: EvalOptions) -> EvalOptions:
    """The options with what the run directory says in the place of what was not given."""
    assert options.run is not None
    if options.net or options.shape or options.weights:
        raise InputError("give a run directory, or --net or --shape with --weights, not both")
    path = Path(options.run)
    config = RunDir.recorded(path)
    if config is None:
        raise InputError(f"'{path}' holds no run: it has no config.yaml")
    shape, weights = path / "shape.json", path / "model.safetensors"
    if not weights.is_file():
        if config["verb"] == "search" and (path / "result.json").is_file():
            raise InputError(
                f"the search in '{path}' was from fresh weights and left no trained net: train its "
                f"shape by `tas train --shape {shape}`"
            )
        raise InputError(f"the run in '{path}' is not finished: it has no model.safetensors")
    defaults = EvalOptions()
    taken = {
        name: config[name]
        for name in ("data", "image_size")
        if name in config and getattr(options, name) == getattr(defaults, name)
    }
    return replace(options, shape=str(shape), weights=str(weights), **taken)
