"""Budgets."""

from ..errors import InputError

__all__ = ["UNITS", "parse_budget", "readable"]


UNITS = ("macs", "params")


def parse_budget(given: str | float, full: int, unit: str = "macs") -> int:
    """A budget as a whole number: ``0.55`` times ``full``, or absolute, ``22.4M``, ``1.2G``.

    A bare number up to 1 is a ratio, from 1000 on an absolute count.

    Raises:
        InputError: it is neither.
    """
    help_text = (
        f"give a ratio of the unpruned net above 0 and up to 1, or {unit} like 22.4M or 1.2G"
    )
    text = str(given).strip()
    sizes = {"k": 1e3, "m": 1e6, "g": 1e9}
    size = sizes.get(text[-1:].lower())
    try:
        value = float(text[:-1] if size else text)
    except ValueError:
        raise InputError(f"'{given}' is not a budget: {help_text}") from None
    if not (0 < value < float("inf")):
        raise InputError(f"the budget '{given}' is not above 0: {help_text}")
    if size:
        return int(value * size)
    if value <= 1:
        return int(value * full)
    if value < 1000:
        raise InputError(f"the budget '{given}' is a ratio above 1: {help_text}")
    return int(value)


def readable(number: float, digits: int = 1) -> str:
    """A count with its unit: ``22.4M``, ``1.2G``, ``940``."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.{digits}f}{unit}"
    return f"{number:g}"
