"""A ``Shape``: one width for every convolution and one depth for every stage of a net. No torch.

A shape is what a search finds and what a file of format ``tas-shape/1`` holds. It is plain data:
whether it fits a net is checked by whoever builds the net (``tas.nets.build``).
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .errors import ShapeError, first_line

__all__ = ["FORMAT", "Shape", "Side", "Sum"]

FORMAT = "tas-shape/1"
RESIDUALS = ("free", "tied")
MOST = 2**20  # channels, classes, blocks, or pixels of a side: more of them is a slip
MOST_VALUES = 2**30  # of one image, which fill 4 GiB


@dataclass(frozen=True)
class Shape:
    """The widths and depths of a net, and what it was made for.

    >>> import tas
    >>> shape = tas.nets.read_shape("C010-ResNet20")  # one that the paper's authors published
    >>> shape.net, shape.classes, shape.input
    ('resnet20', 10, (3, 32, 32))
    >>> shape.widths["stem"], shape.depths["stages.0"]
    (16, 3)
    >>> shape.save("shape.json")
    >>> tas.Shape.load("shape.json") == shape
    True

    Attributes:
        net: name of the unpruned net, e.g. ``"resnet20"``.
        classes: number of classes; None of a net that gives no class scores.
        input: channels, height and width of one image; None of a net that takes something else.
        residual: ``"free"``: every convolution has its own width, and a block whose input and
            output widths differ has a 1x1 projection; ``"tied"``: what is added together has
            the same width.
        widths: output channels of every convolution, by its path in the net.
        depths: blocks kept in every stage, by the stage's path in the net.
        macs: multiply-adds for one example, when they have been counted.
        params: number of parameters, when they have been counted.
        origin: where the shape comes from, in words.
    """

    net: str
    classes: int | None
    input: tuple[int, int, int] | None
    residual: str
    widths: Mapping[str, int]
    depths: Mapping[str, int]
    macs: int | None = None
    params: int | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", MappingProxyType(dict(self.widths)))
        object.__setattr__(self, "depths", MappingProxyType(dict(self.depths)))

    def __hash__(self) -> int:
        return hash((self.net, self.classes, self.input, *self.widths.items()))

    def __reduce__(self) -> Any:
        return type(self).from_dict, (self.to_dict(),)

    @property
    def image(self) -> tuple[int, int, int]:
        """``input``, or a ``ShapeError`` of a net that takes something else."""
        if self.input is None:
            raise ShapeError(
                f"the shape of {self.net} says no size of images, for it takes something else: "
                "this is for nets that take images [N, C, H, W]"
            )
        return self.input

    @property
    def scores(self) -> int:
        """``classes``, or a ``ShapeError`` of a net that gives something else."""
        if self.classes is None:
            raise ShapeError(
                f"the shape of {self.net} says no number of classes, for it gives something else: "
                "this is for classifiers"
            )
        return self.classes

    def replace(self, **changes: Any) -> "Shape":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The shape as the plain dictionary that its file holds."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        fields |= {
            "input": None if self.input is None else list(self.input),
            "widths": dict(self.widths),
            "depths": dict(self.depths),
        }
        return {"format": FORMAT, **fields}

    @classmethod
    def from_dict(cls, data: Any, source: str = "shape") -> "Shape":
        """Read what ``to_dict`` wrote; ``source`` is named in errors.

        Raises:
            ShapeError: a field is missing, unknown, or of the wrong kind.
        """
        if not isinstance(data, dict):
            raise ShapeError(f"{source}: a shape is a JSON object, not {json.dumps(data)[:40]}")
        data = dict(data)
        found = data.pop("format", None)
        if found != FORMAT:
            raise ShapeError(f"{source}: 'format' is {found!r}, not '{FORMAT}'")
        fields = dataclasses.fields(cls)
        unknown = sorted(data.keys() - {f.name for f in fields})
        if unknown:
            raise ShapeError(f"{source}: unknown field '{unknown[0]}'")
        required = (f.name for f in fields if f.default is dataclasses.MISSING)
        missing = [name for name in required if name not in data]
        if missing:
            raise ShapeError(f"{source}: the field '{missing[0]}' is missing")
        if data["input"] is not None:
            data["input"] = _input(data["input"], source)
        data["widths"] = _counts(data["widths"], "widths", source)
        data["depths"] = _counts(data["depths"], "depths", source)
        if data["residual"] not in RESIDUALS:
            raise ShapeError(f"{source}: 'residual' is {data['residual']!r}, not 'free' or 'tied'")
        if data["classes"] is not None:
            _count(data["classes"], "classes", source)
        for name in ("macs", "params"):
            if data.get(name) is not None:
                _positive(data[name], name, source)
        for name in ("net", "origin"):
            if not isinstance(data.get(name, ""), str):
                raise ShapeError(f"{source}: '{name}' is {data[name]!r}, not text")
        return cls(**data)

    def save(self, path: str | Path) -> None:
        """Write the shape as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Shape":
        """Read a shape file.

        Raises:
            ShapeError: the file cannot be read, is not JSON, or is not a shape.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise ShapeError(f"cannot read the shape file '{path}': {error.strerror}") from None
        except UnicodeDecodeError:
            raise ShapeError(f"'{path}' is not a shape file: it is not text") from None
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:  # not JSON, or absurdly long or deep
            raise ShapeError(f"'{path}' is not JSON: {first_line(error)}") from None
        return cls.from_dict(data, source=f"'{path}'")


@dataclass(frozen=True)
class Sum:
    """A width that is a sum, such as the input of a layer behind a concatenation.

    Attributes:
        parts: a key of a shape's ``widths``, and the ratio at which its width counts, as two whole
            numbers: (key, 3, 1) is three times the width.
        constant: channels that no choice changes.
    """

    parts: tuple[tuple[str, int, int], ...]
    constant: int = 0


Side = str | int | Sum  # a key of a shape's ``widths``, a width that is fixed, or a sum of them


def _positive(value: Any, name: str, source: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ShapeError(f"{source}: '{name}' is {value!r}, not a whole number of 1 or more")
    return value


def _count(value: Any, name: str, source: str) -> int:
    if _positive(value, name, source) > MOST:
        raise ShapeError(f"{source}: '{name}' is {value}, more than {MOST}: is it a typing error?")
    return int(value)


def _input(value: Any, source: str) -> tuple[int, int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise ShapeError(f"{source}: 'input' is {value!r}, not [channels, height, width]")
    channels, height, width = (_count(v, "input", source) for v in value)
    if channels * height * width > MOST_VALUES:
        raise ShapeError(f"{source}: 'input' is {list(value)}, an image of more than 2**30 values")
    return channels, height, width


def _counts(value: Any, name: str, source: str) -> dict[str, int]:
    if not isinstance(value, dict):
        raise ShapeError(f"{source}: '{name}' is {value!r}, not a JSON object of names and numbers")
    return {str(k): _count(v, f"{name}.{k}", source) for k, v in value.items()}
