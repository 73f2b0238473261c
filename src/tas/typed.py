"""Values held against type hints: the arguments of public functions, and what a file holds.

A hint is written once, in a signature or a dataclass, for the reader, for mypy and for this check.
``checked`` applies the hints of a function or a dataclass to what a caller gives; ``record`` makes
a dataclass of what a file holds. Whatever does not fit is an ``InputError`` that names the argument
or the field, quotes the value and says what would work.
"""

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache, wraps
from typing import Any, TypeVar

from .errors import InputError, nearest, one_of, quoted
from .hints import Between, Check, Misfit, check_of, hints_of

__all__ = ["Between", "checked", "fitted", "record"]

T = TypeVar("T")


def checked(target: T) -> T:
    """A function, or a dataclass, whose arguments are held against its hints.

    >>> from tas.typed import checked
    >>> @checked
    ... def half(number: int) -> float:
    ...     return number / 2
    >>> half(3), half("3")
    Traceback (most recent call last):
    tas.errors.InputError: number='3': give a whole number

    Signature, docstring and types stay as they are.
    """
    if isinstance(target, type):
        setattr(target, "__init__", checked(target.__init__))  # type: ignore[misc]  # noqa: B010
        return target
    function: Any = target
    signature = inspect.signature(function)

    @cache
    def checks() -> dict[str, Check]:
        wanted = {n: h for n, h in hints_of(function).items() if h is not Any and n != "return"}
        return {name: check_of(hint) for name, hint in wanted.items()}

    @wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*given, **named)
        except TypeError as error:
            raise TypeError(_unbound(function, signature, named, error)) from None
        arguments, known = bound.arguments, checks()
        for name in arguments.keys() & known.keys():
            kind = signature.parameters[name].kind
            check, value = known[name], arguments[name]
            try:
                if kind is inspect.Parameter.VAR_POSITIONAL:
                    arguments[name] = tuple(check.fit(each, name) for each in value)
                elif kind is not inspect.Parameter.VAR_KEYWORD:
                    arguments[name] = check.fit(value, name)
            except Misfit as found:
                text = f"{found.where}={quoted(found.value)}: give {found.wanted}"
                raise InputError(text) from None
        return function(*bound.args, **bound.kwargs)

    call.checked_by_hints = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def _unbound(
    function: Any, signature: inspect.Signature, named: Mapping[str, Any], error: TypeError
) -> str:
    """Why a call does not fit a signature: of which function, and what it takes."""
    name = function.__qualname__.removesuffix(".__init__")
    takes = [each for each in signature.parameters if each != "self"]
    strange = next((each for each in named if each not in takes), None)
    if strange is None:  # one is missing, or there are too many
        return f"{name}() {error}"
    return one_of(f"argument of {name}()", strange, takes)


def fitted(value: Any, hint: Any, where: str, error: type[InputError] = InputError) -> Any:
    """A value as a hint has it: lists become tuples, NumPy's numbers Python's.

    >>> from tas.typed import fitted
    >>> fitted([3, 8, 8], tuple[int, int, int], "the input")
    (3, 8, 8)

    Raises:
        InputError: it is anything else; ``where`` is said.
    """
    try:
        return check_of(hint).fit(value, where)
    except Misfit as found:
        raise error(f"{found.where} is {quoted(found.value)}, not {found.wanted}") from None


def record(
    kind: type[T],
    content: Any,
    source: str,
    error: type[InputError] = InputError,
    *,
    extra: bool = False,
) -> T:
    """The dataclass of an object in a file.

    >>> from dataclasses import dataclass
    >>> from tas.typed import record
    >>> @dataclass
    ... class Size:
    ...     height: int
    ...     width: int = 1
    >>> record(Size, {"height": 3}, "'size.json'")
    Size(height=3, width=1)
    >>> record(Size, {"height": "3"}, "'size.json'")
    Traceback (most recent call last):
    tas.errors.InputError: 'size.json': 'height' is '3', not a whole number

    Args:
        source: what is named in errors, such as the quoted path of the file.
        extra: fields that are not known are passed over, not refused.
    """
    if not isinstance(content, Mapping):
        raise error(f"{source}: it holds {quoted(content)}, not an object with names and values")
    hints, known = hints_of(kind), {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    for name in () if extra else content:
        if name not in known:
            near = nearest(str(name), known)
            hint = f": did you mean '{near}'?" if near else ""
            raise error(f"{source}: unknown field {quoted(name)}{hint}")
    values = {}
    for name, each in known.items():
        if name in content:
            try:
                values[name] = check_of(hints[name]).fit(content[name], name)
            except Misfit as found:
                what = f"'{found.where}' is {quoted(found.value)}, not {found.wanted}"
                raise error(f"{source}: {what}") from None
        elif each.default is MISSING and each.default_factory is MISSING:
            raise error(f"{source}: the field '{name}' is missing")
    return kind(**values)
