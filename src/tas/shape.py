"""A ``Shape``: one width for every convolution and one depth for every stage of a net. No torch.

A shape is what a search finds and what a file of format ``tas-shape/1`` holds. It is plain data:
whether it fits a net is checked by whoever builds the net (``tas.nets.build``).
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from .errors import ShapeError, quoted
from .reading import read_json
from .sides import Rewrite, Side, Sum
from .typed import Between, fitted, record
from .whole import write_whole

__all__ = ["FORMAT", "Shape", "Side", "Sum"]

FORMAT = "tas-shape/1"
MOST = 2**20  # channels, classes, blocks, or pixels of a side: more of them is a slip
MOST_VALUES = 2**30  # of one image, which fill 4 GiB
Count = Annotated[int, Between(1, MOST)]
Dimension = Annotated[int, Between(0, 64)]
Cost = Annotated[int, Between(1, 2**63)]


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
        rewrites: numbers in the net's own code that follow its widths.
        splits: where its code splits channels, the dimension that shrinks (heads), by the split.
    """

    net: str
    classes: Count | None
    input: Annotated[tuple[Count, Count, Count], "[channels, height, width]"] | None
    residual: Annotated[str, Literal["free", "tied"]]
    widths: Mapping[str, Count]
    depths: Mapping[str, Count]
    macs: Cost | None = None
    params: Cost | None = None
    origin: str = ""
    rewrites: tuple[Rewrite, ...] = ()
    splits: Mapping[str, Dimension] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", MappingProxyType(dict(self.widths)))
        object.__setattr__(self, "depths", MappingProxyType(dict(self.depths)))
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))

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
        fields["rewrites"] = [rewrite.to_dict() for rewrite in self.rewrites]
        fields["splits"] = dict(self.splits)
        for name in ("rewrites", "splits"):  # which most nets have not
            if not fields[name]:
                del fields[name]
        return {"format": FORMAT, **fields}

    @classmethod
    def from_dict(cls, data: Any, source: str = "shape") -> "Shape":
        """Read what ``to_dict`` wrote; ``source`` is named in errors.

        Raises:
            ShapeError: a field is missing, unknown, or of the wrong kind.
        """
        if isinstance(data, Mapping):
            data = dict(data)
            found = data.pop("format", None)
            if found != FORMAT:
                raise ShapeError(f"{source}: 'format' is {quoted(found)}, not '{FORMAT}'")
            rewrites = fitted(
                data.get("rewrites", []), list[Any], f"{source}: 'rewrites'", ShapeError
            )
            data["rewrites"] = tuple(Rewrite.from_dict(each, source) for each in rewrites)
        shape = record(cls, data, source, ShapeError)
        if shape.input and prod(shape.input) > MOST_VALUES:
            raise ShapeError(
                f"{source}: 'input' is {list(shape.input)}, an image of more than 2**30 values"
            )
        return shape

    def save(self, path: str | Path) -> None:
        """Write the shape as JSON."""
        write_whole(Path(path), json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Shape":
        """Read a shape file.

        Raises:
            ShapeError: the file cannot be read, is not JSON, or is not a shape.
        """
        data = read_json(path, "shape file", error=ShapeError)
        return cls.from_dict(data, source=f"'{path}'")
