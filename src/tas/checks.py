"""Checks of single values that a user gives, which name the option, and of what is installed."""

import importlib.util
from collections.abc import Mapping
from numbers import Integral
from typing import Any

from .errors import InputError

__all__ = ["above_zero", "at_least", "between", "known", "whole"]


def at_least(name: str, value: float, lowest: int) -> None:
    if not value >= lowest:  # a NaN is refused too
        raise InputError(f"{_flag(name)} {value}: must be at least {lowest}")


def whole(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, Integral):
        raise InputError(f"{_flag(name)} {value}: must be a whole number")
    at_least(name, int(value), lowest)


def above_zero(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"{_flag(name)} {value}: must be above 0")


def between(name: str, value: float, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise InputError(f"{_flag(name)} {value}: must lie between {lowest} and {highest}")


def known(need: Mapping[str, str], extra: str) -> None:
    """Raise ``InputError`` where a package is not installed; ``need``: module to package."""
    find = importlib.util.find_spec
    missing = [package for module, package in need.items() if find(module) is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed and not "
            f"installed: pip install 'torch-tas[{extra}]'"
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
