"""What a type hint asks of a value: ``check_of`` gives the check, and the words for it.

Lists become tuples where the hint says so, and NumPy's numbers Python's; nothing else is converted.
"""

import os
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

__all__ = ["Between", "Check", "Misfit", "check_of", "hints_of"]


@dataclass(frozen=True)
class Between:
    """The range of a number, both ends included: ``Annotated[int, Between(1, 9)]``."""

    low: float
    high: float = float("inf")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high  # a NaN is in no range

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"of {self.low:,} or more"
        return f"from {self.low:,} to {self.high:,}"


class Misfit(Exception):  # noqa: N818
    """A value that is not what its hint says, and where it stands."""

    def __init__(self, where: str, value: Any, wanted: str) -> None:
        super().__init__(where)
        self.where, self.value, self.wanted = where, value, wanted


@dataclass(frozen=True)
class Check:
    """What a hint asks for, in words, and a function that gives a value as the hint has it."""

    wanted: str
    fit: Callable[[Any, str], Any]  # value, where it stands; raises Misfit


@cache
def hints_of(kind: Any) -> dict[str, Any]:
    """The hints of a function or a class, by name, with what is annotated."""
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    return hints


@cache
def check_of(hint: Any) -> Check:
    """The check of a hint."""
    if hint is None:
        hint = type(None)
    origin, given = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Annotated and get_origin(given[1]) is Literal:  # text for mypy, a few words here
        return check_of(given[1])
    if origin is Annotated:
        return _within(check_of(given[0]), given[1:])
    if origin in (Union, types.UnionType):
        return _any_of(given)
    if origin is Literal:
        return _one_of(given)
    if origin is tuple and given[-1:] != (...,):
        return _each(given)
    if origin in (list, tuple, Sequence):
        return _listed(origin, check_of(given[0]))
    if origin in (dict, Mapping):
        return _mapping(check_of(given[0]), check_of(given[1]))
    if isinstance(hint, TypeVar):
        return _ANYTHING if hint.__bound__ is None else check_of(hint.__bound__)
    if is_typeddict(hint):
        return _fields(hint)
    kind = origin or hint
    if kind is Callable:
        return _kind("a function", callable)
    if not isinstance(kind, type):
        return _ANYTHING
    if getattr(kind, "_is_protocol", False):
        return _protocol(kind)
    if issubclass(kind, Iterable) and kind.__module__ == "collections.abc":
        return _kind("several values", lambda v: isinstance(v, kind) and not isinstance(v, str))
    name = kind.__name__ if kind.__module__ == "builtins" else f"{_home(kind)}.{kind.__name__}"
    return _kind(f"a {name}", lambda value: isinstance(value, kind))


def _home(kind: type) -> str:
    """Where a user imports a class from: the package, and the room if it is one of ours."""
    parts = kind.__module__.split(".")
    return ".".join(parts[:2]) if parts[0] in ("tas", "torch") else parts[0]


def _kind(
    wanted: str, holds: Callable[[Any], bool], made: Callable[[Any], Any] | None = None
) -> Check:
    def fit(value: Any, where: str) -> Any:
        if not holds(value):
            raise Misfit(where, value, wanted)
        return value if made is None else made(value)

    return Check(wanted, fit)


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_path(value: Any) -> bool:
    """Text that an operating system takes: no NUL, and no name beyond 255 bytes."""
    if not isinstance(value, str | os.PathLike):
        return False
    name = os.fspath(value)
    if not isinstance(name, str) or "\0" in name or len(name) > 4096:
        return False
    return all(len(part.encode("utf-8", "surrogatepass")) <= 255 for part in name.split(os.sep))


_ANYTHING = Check("anything", lambda value, where: value)
_PATH = _kind("the path of a file or folder", _is_path)
_PLAIN: dict[Any, Check] = {
    Any: _ANYTHING,
    object: _ANYTHING,
    type(None): _kind("None", lambda value: value is None),
    bool: _kind("True or False", lambda v: isinstance(v, bool) or type(v).__name__ == "bool", bool),
    int: _kind("a whole number", _is_whole, int),
    float: _kind("a number", _is_number, lambda v: v if isinstance(v, int) else float(v)),
    str: _kind("text", _is_text),
    Path: _PATH,
    dict: _kind("a dictionary", lambda value: isinstance(value, dict)),
    list: _kind("a list", lambda value: isinstance(value, list)),
}


def _within(inner: Check, ranges: tuple[Any, ...]) -> Check:
    between = [each for each in ranges if isinstance(each, Between)]
    words = [each for each in ranges if isinstance(each, str)]  # say it better than the types do
    wanted = words[0] if words else " ".join([inner.wanted, *map(str, between)])

    def fit(value: Any, where: str) -> Any:
        try:
            value = inner.fit(value, where)
        except Misfit as found:
            if found.where == where:
                found.wanted = wanted
            raise
        if not all(value in each for each in between):
            raise Misfit(where, value, wanted)
        return value

    return Check(wanted, fit)


def _any_of(hints: Sequence[Any]) -> Check:
    # Where a path is meant its text is held to what a path may be.
    kept = [hint for hint in hints if not (hint is str and Path in hints)]
    checks = [check_of(hint) for hint in sorted(kept, key=lambda hint: hint is type(None))]
    words = [check.wanted for check in checks]
    wanted = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

    def fit(value: Any, where: str) -> Any:
        inside = None
        for check in checks:
            try:
                return check.fit(value, where)
            except Misfit as found:
                if found.where != where:  # of the right kind, but for something within it
                    inside = found
        raise inside or Misfit(where, value, wanted)

    return Check(wanted, fit)


def _one_of(values: tuple[Any, ...]) -> Check:
    wanted = " or ".join(map(repr, values))
    known = {(type(value), value) for value in values}

    def holds(value: Any) -> bool:
        return isinstance(value, str | int) and (type(value), value) in known

    return _kind(wanted, holds)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _listed(origin: Any, inner: Check) -> Check:
    wanted = f"a list of {_plural(inner.wanted)}"

    def fit(value: Any, where: str) -> Any:
        if not _is_list(value):
            raise Misfit(where, value, wanted)
        if inner is not _ANYTHING:
            made = [inner.fit(each, f"{where}[{i}]") for i, each in enumerate(value)]
        else:
            made = list(value)
        return tuple(made) if origin is tuple or isinstance(value, tuple) else made

    return Check(wanted, fit)


def _plural(wanted: str) -> str:
    words = {"a whole number": "whole numbers", "a number": "numbers", "text": "names"}
    return words.get(wanted, f"values, each {wanted}")


def _each(hints: tuple[Any, ...]) -> Check:
    checks = [check_of(hint) for hint in hints]
    wanted = f"[{', '.join(check.wanted for check in checks)}]"

    def fit(value: Any, where: str) -> Any:
        if not _is_list(value) or len(value) != len(checks):
            raise Misfit(where, value, wanted)
        pairs = enumerate(zip(checks, value, strict=True))
        return tuple(check.fit(each, f"{where}[{i}]") for i, (check, each) in pairs)

    return Check(wanted, fit)


def _mapping(key: Check, inner: Check) -> Check:
    wanted = "names with their values"

    def fit(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise Misfit(where, value, wanted)
        if inner is _ANYTHING and key is _ANYTHING:
            return value
        items = value.items()
        return {key.fit(k, f"{where}'s key"): inner.fit(v, f"{where}.{k}") for k, v in items}

    return Check(wanted, fit)


def _fields(kind: Any) -> Check:
    """A dictionary whose known fields fit; others stay as they are."""

    def fit(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise Misfit(where, value, "names with their values")
        hints = hints_of(kind)
        for name in kind.__required_keys__ - value.keys():
            raise Misfit(where, value, f"complete: its '{name}' is missing")
        known = {
            n: check_of(hints[n]).fit(v, f"{where}.{n}") for n, v in value.items() if n in hints
        }
        return {**value, **known}

    return Check("names with their values", fit)


def _protocol(kind: type) -> Check:
    """An object that has what a protocol asks for, by name."""
    above = [each for each in kind.__mro__ if getattr(each, "_is_protocol", False)]
    names = {name for each in above for name in vars(each) if not name.startswith("_")}

    def holds(value: Any) -> bool:
        return not isinstance(value, type) and all(hasattr(value, name) for name in names)

    return _kind(f"a {_home(kind)}.{kind.__name__}", holds)
