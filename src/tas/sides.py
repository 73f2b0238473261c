"""Sizes that follow widths: sums of them, and numbers in a net's own code. Data, without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ShapeError

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


@dataclass(frozen=True)
class Rewrite:
    """A number that an attribute of a module holds, and that follows widths when the net is cut.

    >>> from tas.sides import Rewrite, Sum
    >>> heads = Rewrite("attn", ("num_heads",), 6, Sum((("attn.qkv", 1, 192),)))
    >>> Rewrite.from_dict(heads.to_dict()) == heads, str(heads)
    (True, 'attn.num_heads')

    Attributes:
        module: its path; empty: the net itself.
        steps: the attribute's name, and what leads to the number within it: names of a plain
            object's attributes, keys of a dictionary, indices of a list or tuple.
        full: the number in the whole net.
        size: what it follows.
    """

    module: str
    steps: tuple[str | int, ...]
    full: int
    size: Sum

    def __str__(self) -> str:
        name = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in self.steps)
        return f"{self.module}{name}".removeprefix(".")

    def to_dict(self) -> dict[str, Any]:
        """The rewrite as a shape file holds it."""
        return {
            "module": self.module,
            "steps": list(self.steps),
            "full": self.full,
            "widths": [list(part) for part in self.size.parts],
            "constant": self.size.constant,
        }

    @classmethod
    def from_dict(cls, data: Any, source: str = "shape") -> "Rewrite":
        """What ``to_dict`` wrote.

        Raises:
            ShapeError: it is anything else, or leads to what is no plain attribute.
        """
        wrong = ShapeError(f"{source}: {json.dumps(data)[:120]} is no rewrite of an attribute")
        if not isinstance(data, dict) or data.keys() != _FIELDS:
            raise wrong
        steps, parts = data["steps"], data["widths"]
        good = (
            isinstance(data["module"], str)
            and isinstance(steps, list)
            and 1 <= len(steps) <= MOST_STEPS
            and isinstance(steps[0], str)
            and all(_is_step(step) for step in steps)
            and all(_is_count(data[name]) for name in ("full", "constant"))
            and isinstance(parts, list)
            and len(parts) > 0
            and all(_is_part(part) for part in parts)
        )
        if not good:
            raise wrong
        size = Sum(tuple((name, n, of) for name, n, of in parts), data["constant"])
        return cls(data["module"], tuple(steps), data["full"], size)


_FIELDS = {"module", "steps", "full", "widths", "constant"}


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_step(step: Any) -> bool:
    return _is_count(step) or (isinstance(step, str) and not step.startswith("__"))


def _is_part(part: Any) -> bool:
    return (
        isinstance(part, list)
        and len(part) == 3
        and isinstance(part[0], str)
        and all(_is_count(n) and n > 0 for n in part[1:])
    )
