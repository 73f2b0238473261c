"""Numbers that the attributes of a net's modules hold: what they are, and others in their places.

An attribute may be a number, or a tuple, list, dictionary or plain object (such as a configuration)
that holds some. Nothing is ever changed in place: what holds a number is copied for the module,
since another module may hold it as well. Nothing of the net's is called.
"""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from ..errors import ShapeError
from ..sides import Rewrite, Sum, size_of

__all__ = ["Steps", "check", "numbers", "rewrite", "settled"]

Steps = tuple[str | int, ...]

DEEPEST = 3  # holders within one another
MOST = 512  # numbers of one module
OF_EVERY_MODULE = frozenset(vars(nn.Module())) | {"training"}
NOT_PLAIN = (nn.Module, Tensor, Enum, type, FunctionType, MethodType, ModuleType)


def numbers(module: nn.Module) -> list[tuple[Steps, int]]:
    """The whole numbers of two and more in a module's attributes, and the way to each.

    >>> from torch import nn
    >>> from tas.graph.constants import numbers
    >>> module = nn.Module()
    >>> module.heads, module.sizes = 4, {"q": [8, 16]}
    >>> numbers(module)
    [(('heads',), 4), (('sizes', 'q', 0), 8), (('sizes', 'q', 1), 16)]
    """
    found: list[tuple[Steps, int]] = []
    for name, value in vars(module).items():
        if name not in OF_EVERY_MODULE:
            found += _within(value, (name,), frozenset())
    return found[:MOST]


def _within(value: Any, steps: Steps, holders: frozenset[int]) -> Iterator[tuple[Steps, int]]:
    if type(value) is int:
        if value > 1:
            yield steps, value
    elif len(steps) <= DEEPEST and id(value) not in holders:
        for step, part in _parts(value):
            yield from _within(part, (*steps, step), holders | {id(value)})


def _parts(holder: Any) -> Sequence[tuple[str | int, Any]]:
    """What a value holds, with the step to each of them."""
    if isinstance(holder, (tuple, list)):
        return list(enumerate(holder))[:MOST]
    if isinstance(holder, dict):
        named: Mapping[Any, Any] = holder
    elif isinstance(holder, NOT_PLAIN) or type(holder).__module__.partition(".")[0] == "torch":
        return []
    else:
        named = getattr(holder, "__dict__", {})
    keys = [k for k in named if type(k) in (str, int)]
    return [(k, named[k]) for k in keys if not (isinstance(k, str) and k.startswith("__"))]


def rewrite(net: nn.Module, rewrites: Sequence[Rewrite], widths: Mapping[str, int]) -> None:
    """Give the numbers of a net the values that follow from its widths.

    Args:
        net: a copy; modules that are gone with their blocks are passed over.
        widths: the channels of every width.

    Raises:
        ShapeError: one of them would be no whole number.
    """
    for each in rewrites:
        module = _module(net, each.module)
        if module is not None:
            value = size_of(each.size, widths)
            name = str(each.steps[0])
            vars(module)[name] = _with(vars(module)[name], each.steps[1:], value)


def _with(holder: Any, steps: Steps, value: int) -> Any:
    """A copy of what holds a number, with another in its place."""
    if not steps:
        return value
    step, *more = steps
    if isinstance(holder, (tuple, list)):
        parts = list(holder)
        parts[int(step)] = _with(parts[int(step)], tuple(more), value)
        make = getattr(type(holder), "_make", type(holder))  # of a named tuple
        return make(parts)
    other = copy.copy(holder)
    named = other if isinstance(other, dict) else vars(other)
    named[step] = _with(named[step], tuple(more), value)
    return other


def _module(net: nn.Module, path: str) -> nn.Module | None:
    found: Any = net
    for name in path.split(".") if path else ():
        found = found._modules.get(name)
        if found is None:
            return None
    return found if isinstance(found, nn.Module) else None


def check(net: nn.Module, rewrites: Sequence[Rewrite], widths: Mapping[str, int]) -> None:
    """Raise a ``ShapeError`` unless a net holds the numbers, and they follow its widths.

    Args:
        widths: the channels of every width of the whole net.
    """
    for each in rewrites:
        module = _module(net, each.module)
        if module is None or (each.steps, each.full) not in numbers(module):
            raise ShapeError(
                f"the shape rewrites {each}, but the net has no number {each.full} there"
            )
        strange = [name for name, _, _ in each.parts if name not in widths]
        if strange or size_of(each.size, widths) != each.full:
            what = f"has no width '{strange[0]}'" if strange else "has other widths"
            raise ShapeError(f"the shape rewrites {each} by a width, but the net {what}")


def settled(
    rewrites: Sequence[Rewrite], widths: Mapping[str, int], staying: Collection[str]
) -> tuple[Rewrite, ...]:
    """What is left to rewrite where some of the widths stay as they are.

    Args:
        widths: the channels of every width of the whole net.
        staying: names of widths.
    """
    found = []
    for each in rewrites:
        parts = tuple(part for part in each.parts if part[0] not in staying)
        if parts:
            constant = size_of(each.size, widths) - size_of(Sum(parts), widths)
            found.append(replace(each, parts=parts, constant=constant))
    return tuple(found)
