"""The exceptions a caller may catch, and how a message names what would have worked.

Every message is one short line that quotes the user's input and says what would work; the command
line prints it behind ``error:`` and exits with status 2. Text of users and files may hold anything:
here it becomes text that does nothing on a terminal.
"""

import difflib
import os
import re
import reprlib
from collections.abc import Iterable
from numbers import Real
from typing import Any

LONGEST_LINE, LONGEST_WORD = 400, 160  # characters of a message, and of a word (a path) in it
LONGEST_PATH = 256  # of a path that is quoted: shortened it could not be found
MOST_LISTED = 200  # characters of a list of what would work


class TasError(Exception):
    """Base of everything this package raises on purpose; the message is made one short line."""

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


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

    def __reduce__(self) -> Any:  # processes tell one another their mistakes
        return type(self), (str(self), self.lowest, self.highest)


class DivergedError(TasError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""


def shown(text: str, keep: str = "") -> str:
    """Text as it may be printed: what does not print (colours, line ends) is spelt out.

    >>> from tas.errors import shown
    >>> shown("a\\tb\\x1b[31m")
    'a\\\\tb\\\\x1b[31m'

    Args:
        keep: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def short(text: str, most: int) -> str:
    """Text of at most so many characters: what is too much is left out of its middle.

    >>> from tas.errors import short
    >>> short("a" * 50 + "b" * 50, 20)
    'aaaaaaaaa...bbbbbbbb'
    """
    if len(text) <= most:
        return text
    tail = (most - 3) // 2
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def one_line(text: str) -> str:
    """A message as one short line without control characters."""
    if len(text) > LONGEST_LINE:  # of a value of megabytes neither end is a single word
        text = short(text, 64 * LONGEST_LINE)
        text = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: short(word[0], LONGEST_WORD), text)
    return short(shown(text), LONGEST_LINE)


class _Quote(reprlib.Repr):
    """``repr`` that stays short, and asks nothing of objects that may take long to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80
        self.maxlong = 40

    def repr_int(self, value: int, level: int) -> str:
        digits = int(value.bit_length() * 0.30103) + 1
        return repr(value) if digits <= self.maxlong else f"a number of about {digits} digits"

    def repr_str(self, value: str, level: int) -> str:
        return f"'{short(shown(value), self.maxstring)}'"

    def repr_instance(self, value: Any, level: int) -> str:
        if isinstance(value, type):
            return f"the class {value.__name__}"
        if isinstance(value, os.PathLike):
            return f"'{short(shown(os.fsdecode(value)), LONGEST_PATH)}'"
        if value is None or isinstance(value, Real):
            return str(value)
        return f"an object of the class {type(value).__name__}"


def quoted(value: Any) -> str:
    """What a user gave, short, on one line, as Python writes it.

    >>> from tas.errors import quoted
    >>> quoted("a" * 200 + "\\n")[:8], quoted([1, "x"]), quoted(10**5000)
    ("'aaaaaaa", "[1, 'x']", 'a number of about 5001 digits')
    """
    return shown(_QUOTE.repr(value))


_QUOTE = _Quote()


def one_of(what: str, given: object, options: Iterable[str]) -> str:
    """Text of an error: ``unknown <what> '<given>'``, the nearest option, and the list of them.

    Of a long list the nearest few alone.
    """
    known = list(options)
    given = given if isinstance(given, str) else quoted(given)
    near = nearest(given, known)
    hint = f"did you mean '{near}'? " if near else ""
    listed = ", ".join(known)
    if len(listed) > MOST_LISTED:
        ranked = difflib.get_close_matches(given, known, n=5, cutoff=0.0)
        listed = f"{', '.join(ranked)} and {len(known) - len(ranked)} more"
    return f"unknown {what} '{short(given, 80)}': {hint}choose from {listed}"


def flag(name: str) -> str:
    """An option of the command, by the name of its field: ``--batch-size``."""
    return f"--{name.replace('_', '-')}"


def first_line(error: BaseException) -> str:
    """What somebody else's exception says, in one line."""
    try:
        text = str(error)
    except Exception:  # an exception of a user's may say nothing at all
        text = ""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line or type(error).__name__


def nearest(given: str, options: Iterable[str]) -> str | None:
    """The option that ``given`` was most likely meant to be; None where none is like it.

    Of two that are equally like it, the one that begins like it for longer.
    """

    given = short(given, 200)  # likeness takes the square of the length

    def likeness(option: str) -> tuple[float, int]:
        ratio = difflib.SequenceMatcher(None, given, option).ratio()
        return ratio, len(os.path.commonprefix([given, option]))  # noqa: RUF071

    best = max(options, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= 0.5 else None
