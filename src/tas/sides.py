"""Sizes that follow widths: sums of them, and numbers in a net's own code. Data, without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from .errors import ShapeError, quoted
from .typed import Between, record

__all__ = ["Rewrite", "Side", "Sum", "size_of"]

MOST_STEPS = 8  # into an attribute


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


def size_of(side: Side, widths: Mapping[str, int]) -> int:
    """How large a side is where widths have so many channels.

    >>> from tas.sides import Sum, size_of
    >>> size_of(Sum((("a", 3, 1), ("b", 1, 2)), 5), {"a": 2, "b": 8})
    15

    Raises:
        ShapeError: it is no whole number.
    """
    if isinstance(side, int):
        return side
    if isinstance(side, str):
        return widths[side]
    total = side.constant
    for key, n, of in side.parts:
        if n * widths[key] % of:
            raise ShapeError(f"{widths[key]} channels of '{key}' leave no whole number of {of}ths")
        total += n * widths[key] // of
    return total


Count = Annotated[int, Between(0, 2**31)]


@dataclass(frozen=True)
class Rewrite:
    """A number that an attribute of a module holds, and that follows widths when the net is cut.

    >>> from tas.sides import Rewrite
    >>> heads = Rewrite("attn", ("num_heads",), 6, (("attn.qkv", 1, 192),))
    >>> Rewrite.from_dict(heads.to_dict()) == heads, str(heads)
    (True, 'attn.num_heads')

    Attributes:
        module: its path; empty: the net itself.
        steps: the attribute's name, and what leads to the number within it: names of a plain
            object's attributes, keys of a dictionary, indices of a list or tuple.
        full: the number in the whole net.
        parts, constant: the sum of widths that it follows, as those of ``Sum``.
    """

    module: str
    steps: tuple[Count | str, ...]
    full: Count
    parts: tuple[tuple[str, Count, Count], ...]
    constant: Count = 0

    def __str__(self) -> str:
        name = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in self.steps)
        return f"{self.module}{name}".removeprefix(".")

    @property
    def size(self) -> Sum:
        """What it follows."""
        return Sum(self.parts, self.constant)

    def to_dict(self) -> dict[str, Any]:
        """The rewrite as a shape file holds it."""
        listed = {"steps": list(self.steps), "parts": [list(part) for part in self.parts]}
        return {**vars(self), **listed}

    @classmethod
    def from_dict(cls, data: Any, source: str = "shape") -> "Rewrite":
        """What ``to_dict`` wrote.

        Raises:
            ShapeError: it is anything else, or leads to what is no plain attribute.
        """
        found = record(cls, data, f"{source}: a rewrite", ShapeError)
        first, *others = found.steps or (0,)
        plain = not any(isinstance(step, str) and step.startswith("__") for step in found.steps)
        if not isinstance(first, str) or len(others) >= MOST_STEPS or not plain:
            raise ShapeError(f"{source}: {quoted(list(found.steps))} leads to no plain attribute")
        if not found.parts or not all(n and of for _, n, of in found.parts):
            raise ShapeError(f"{source}: the rewrite of {found} follows no width")
        return found
