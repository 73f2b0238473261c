"""Checks of single values that a user gives, which name the option, and of what is installed."""

import importlib.util
import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from .errors import InputError, flag, quoted

__all__ = ["MOST", "above_zero", "at_least", "between", "known", "some_ratios", "whole", "word"]

MOST = 10**9  # of epochs, pictures, pieces: more of them is a slip


def at_least(name: str, value: float, lowest: int) -> None:
    if not value >= lowest or value == float("inf"):  # a NaN is refused too
        raise InputError(f"{flag(name)} {quoted(value)}: must be at least {lowest}")


def whole(name: str, value: Any, lowest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{flag(name)} {quoted(value)}: must be a whole number")
    at_least(name, int(value), lowest)
    if int(value) > MOST:
        raise InputError(f"{flag(name)} {quoted(value)}: must be at most {MOST:,}")


def above_zero(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise InputError(f"{flag(name)} {quoted(value)}: must be above 0, and finite")


def between(name: str, value: float, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise InputError(f"{flag(name)} {quoted(value)}: must lie between {lowest} and {highest}")


def some_ratios(ratios: Sequence[float], most: int = 16) -> None:
    """Those of widths: above the unpruned one a net may grow, within reason."""
    if not ratios or not all(0 < ratio <= most for ratio in ratios):  # a NaN is refused too
        given = quoted(list(ratios))
        raise InputError(f"the width ratios {given} are not all above 0 and up to {most}")


def word(name: str, value: str) -> None:
    """A name that may be that of a folder as well."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", value):
        raise InputError(f"{flag(name)} {quoted(value)}: give letters, digits, '-', '_' and '.'")


def known(need: Mapping[str, str], extra: str) -> None:
    """Raise ``InputError`` where a package is not installed; ``need``: module to package."""
    find = importlib.util.find_spec
    missing = [package for module, package in need.items() if find(module) is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed and not "
            f"installed: pip install 'torch-tas[{extra}]'"
        )
