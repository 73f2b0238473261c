"""Checks of single values that a user gives; each names the option as the command does."""

from numbers import Integral
from typing import Any

from .errors import InputError

__all__ = ["above_zero", "at_least", "between", "whole"]


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


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
