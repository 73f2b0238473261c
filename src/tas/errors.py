"""The exceptions a caller may catch, and how a message names what would have worked.

Every message is one line that quotes the user's input and says what would work; the command line
prints it behind ``error:`` and exits with status 2.
"""

import difflib
import os
from collections.abc import Iterable


class TasError(Exception):
    """Base of everything this package raises on purpose."""


class InputError(TasError, ValueError):
    """Something the user gave (an option, a name, a file) cannot be used as it is."""


class ShapeError(InputError):
    """A shape file is malformed, or does not fit the net that it names."""


class DataError(InputError):
    """A data set is missing, empty, or not what its name says."""


class InfeasibleBudgetError(InputError):
    """No shape of the space has a cost within the budget.

    >>> import tas
    >>> space = tas.spaces.resnet_space("resnet20")
    >>> try:
    ...     tas.costs.Budget.of(space, 0.001)
    ... except tas.InfeasibleBudgetError as error:
    ...     print(error.lowest > 0.001 * space.unpruned.macs)
    True

    ``lowest`` and ``highest`` bound the feasible budgets, in the budget's own unit.
    """

    def __init__(self, message: str, lowest: int, highest: int) -> None:
        super().__init__(message)
        self.lowest = lowest
        self.highest = highest


class DivergedError(TasError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""


def one_of(what: str, given: str, options: Iterable[str]) -> str:
    """Text of an error: ``unknown <what> '<given>'``, the nearest option, and the list of them."""
    known = list(options)
    near = nearest(given, known)
    hint = f"did you mean '{near}'? " if near else ""
    return f"unknown {what} '{given}': {hint}choose from {', '.join(known)}"


def first_line(error: Exception) -> str:
    """What somebody else's exception says, in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))


def nearest(given: str, options: Iterable[str]) -> str | None:
    """The option that ``given`` was most likely meant to be; None where none is like it.

    Of two that are equally like it, the one that begins like it for longer.
    """

    def likeness(option: str) -> tuple[float, int]:
        ratio = difflib.SequenceMatcher(None, given, option).ratio()
        return ratio, len(os.path.commonprefix([given, option]))  # noqa: RUF071

    best = max(options, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= 0.5 else None
