"""Reads the ``.config`` files of the TAS release into a ``Shape``.

Such a file is a JSON object whose values are ``[type, text]`` or ``[type, [text, ...]]``. Its
``xchannels`` lists the input channels, the stem, then every convolution of the unpruned net in
order; entries of blocks that were cut are kept and mean nothing. ``xblocks`` lists the blocks kept
per stage. A width search leaves the latter out, a depth search the former.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ShapeError, first_line, one_of
from ..shape import Shape
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
    try:
        config = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ShapeError(f"cannot read the config file '{path}': {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not text, not JSON, or absurdly long or deep
        raise ShapeError(f"'{path}' is not JSON: {first_line(error)}") from None
    return parse_config(config, architectures, source=str(path))


def parse_config(config: Any, architectures: dict[str, Architecture], source: str) -> Shape:
    """Turn the parsed JSON of a config into a shape; ``source`` is named in errors.

    Raises:
        ShapeError: it is not such a config, or what it lists is no shape of its net.
    """
    try:
        values = {k: _value(*entry) for k, entry in config.items()}
        imagenet = values["dataset"].startswith("imagenet")
        block = values["block_name" if imagenet else "module"]
        convs = 3 if block.endswith(("Bottleneck", "bottleneck")) else 2
        layers = 2 + convs * sum(values["layers"]) if imagenet else values["depth"]
        name, classes = f"resnet{layers}", values["class_num"]
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ShapeError(
            f"'{source}' is not a config of the TAS release: {type(error).__name__} {error}"
        ) from None
    if name not in architectures:
        raise ShapeError(f"'{source}': {one_of('net', name, architectures)}")
    a = architectures[name]
    keys = a.convolutions()
    full = a.full()
    channels = values.get("xchannels", [full.image[0], *full.widths.values()])
    blocks = values.get("xblocks", list(a.blocks))
    if not isinstance(channels, list) or not isinstance(blocks, list):
        raise ShapeError(f"'{source}': 'xchannels' and 'xblocks' must be lists")
    if len(channels) != len(keys) + 1 or len(blocks) != len(a.blocks):
        raise ShapeError(
            f"'{source}' lists {len(channels)} channels and {len(blocks)} stages, but {name} has "
            f"{len(keys) + 1} and {len(a.blocks)}"
        )
    found = {
        "classes": classes,
        "input": [channels[0], *full.image[1:]],
        "residual": "free",
        "widths": dict(zip(keys, channels[1:], strict=True)),
        "depths": {f"stages.{s}": n for s, n in enumerate(blocks)},
        "origin": f"TAS release, {Path(source).name}",
    }
    shape = Shape.from_dict(full.to_dict() | found, source=f"'{source}'")
    for (stage, depth), most in zip(shape.depths.items(), a.blocks, strict=True):
        if depth > most:
            raise ShapeError(f"'{source}' keeps {depth} blocks of '{stage}', but {name} has {most}")
    return shape.replace(
        widths={key: shape.widths[key] for key in a.convolutions(dict(shape.depths))}
    )


def _value(kind: str, text: Any) -> Any:
    convert = _TYPES[kind]
    return [convert(t) for t in text] if isinstance(text, list) else convert(text)
