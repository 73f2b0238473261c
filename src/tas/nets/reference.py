"""Reads the ``.config`` files of the TAS release into a ``Shape``.

Such a file is a JSON object whose values are ``[type, text]`` or ``[type, [text, ...]]``. Its
``xchannels`` lists the input channels, the stem, then every convolution of the unpruned net in
order; entries of blocks that were cut are kept and mean nothing. ``xblocks`` lists the blocks kept
per stage. A width search leaves the latter out, a depth search the former.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ShapeError, one_of, quoted
from ..reading import read_json
from ..shape import Shape
from ..typed import record
from .resnet import Architecture

__all__ = ["parse_config", "read_config"]

_TYPES: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": lambda text: bool(int(text)),
}


def read_config(path: str | Path, architectures: dict[str, Architecture]) -> Shape:
    """Read the file ``path``.

    Raises:
        ShapeError: it is not such a file, or names a net that is not in ``architectures``.
    """
    config = read_json(path, "config file", error=ShapeError)
    return parse_config(config, architectures, source=str(path))


def parse_config(config: Any, architectures: dict[str, Architecture], source: str) -> Shape:
    """Turn the parsed JSON of a config into a shape; ``source`` is named in errors.

    Raises:
        ShapeError: it is not such a config, or what it lists is no shape of its net.
    """
    if not isinstance(config, dict):
        raise ShapeError(f"'{source}' is not a config of the TAS release, but {quoted(config)}")
    values = {name: _value(name, entry, source) for name, entry in config.items()}
    found = record(
        _Released, values, f"'{source}' is not a config of the TAS release", ShapeError, extra=True
    )
    imagenet = found.dataset.startswith("imagenet")
    block = (found.block_name if imagenet else found.module) or ""
    convs = 3 if block.endswith(("Bottleneck", "bottleneck")) else 2
    layers = 2 + convs * sum(found.layers or ()) if imagenet else found.depth
    name, classes = f"resnet{layers}", found.class_num
    if name not in architectures:
        raise ShapeError(f"'{source}': {one_of('net', name, architectures)}")
    a = architectures[name]
    keys = a.convolutions()
    full = a.full()
    channels = found.xchannels or (full.image[0], *full.widths.values())
    blocks = found.xblocks or a.blocks
    if len(channels) != len(keys) + 1 or len(blocks) != len(a.blocks):
        raise ShapeError(
            f"'{source}' lists {len(channels)} channels and {len(blocks)} stages, but {name} has "
            f"{len(keys) + 1} and {len(a.blocks)}"
        )
    fields = {
        "classes": classes,
        "input": [channels[0], *full.image[1:]],
        "residual": "free",
        "widths": dict(zip(keys, channels[1:], strict=True)),
        "depths": {f"stages.{s}": n for s, n in enumerate(blocks)},
        "origin": f"TAS release, {Path(source).name}",
    }
    shape = Shape.from_dict(full.to_dict() | fields, source=f"'{source}'")
    for (stage, depth), most in zip(shape.depths.items(), a.blocks, strict=True):
        if depth > most:
            raise ShapeError(f"'{source}' keeps {depth} blocks of '{stage}', but {name} has {most}")
    return shape.replace(
        widths={key: shape.widths[key] for key in a.convolutions(dict(shape.depths))}
    )


@dataclass(frozen=True)
class _Released:
    """What a config says that tells its net: of CIFAR ``module`` and ``depth``, else the others."""

    dataset: str
    class_num: int
    module: str | None = None
    depth: int | None = None
    block_name: str | None = None
    layers: tuple[int, ...] | None = None
    xchannels: tuple[int, ...] | None = None
    xblocks: tuple[int, ...] | None = None


def _value(name: str, entry: Any, source: str) -> Any:
    """The value that ``[type, text]`` stands for."""
    try:
        kind, text = entry
        convert = _TYPES[kind]
        return [convert(t) for t in text] if isinstance(text, list) else convert(text)
    except (ArithmeticError, KeyError, TypeError, ValueError):
        raise ShapeError(
            f"'{source}' is not a config of the TAS release: '{name}' is {quoted(entry)}, not "
            "[type, text]"
        ) from None
