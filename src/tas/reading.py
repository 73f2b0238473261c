"""Files that a user or an earlier run left: text, JSON, JSON lines and YAML, read within bounds.

A file may be anything: another program's, cut off, or made to harm. Bytes, depth, digits and
aliases are bounded before anything is used, and whatever is wrong is one line that names the file.
What the content has to be is then said by ``tas.typed.record``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from . import sums
from .errors import InputError, first_line, quoted

__all__ = [
    "check_yaml",
    "parse_json",
    "parse_yaml",
    "place",
    "read_json",
    "read_lines",
    "read_text",
    "read_yaml",
]

MOST_BYTES = 256 * 2**20  # the split of a data set of ten million pictures has a hundred MB
MOST_YAML_BYTES = 2**20  # YAML takes long to parse, and holds options alone
DEEPEST = 64  # lists and objects in one another
LONGEST_NUMBER = 40  # digits


def read_text(
    path: str | Path,
    what: str = "file",
    *,
    most: int = MOST_BYTES,
    error: type[InputError] = InputError,
) -> str:
    """The text of a file.

    Args:
        what: it is, for the message.
        error: the exception to raise.

    Raises:
        InputError: it cannot be read, is too large, is no UTF-8, or is not what was written.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise error(f"the {what} {quoted(Path(path))} is larger than {most / 2**20:,.0f} MiB")
        if why := sums.damage(path, content):
            raise error(why)
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise error(f"{quoted(Path(path))} is not a {what}: it is not text in UTF-8") from None
    except (OSError, ValueError) as failed:  # ValueError: a NUL in the path
        why = (failed.strerror if isinstance(failed, OSError) else None) or first_line(failed)
        raise error(f"cannot read the {what} {quoted(Path(path))}: {why}") from None


def parse_json(text: str, source: str, error: type[InputError] = InputError, what: str = "") -> Any:
    """What a JSON text holds, within bounds.

    >>> from tas.reading import parse_json
    >>> parse_json('{"a": [1, 2.5]}', "a text")
    {'a': [1, 2.5]}

    Args:
        source: what is named in errors.
        what: it is to be, for the message.

    Raises:
        InputError: it is no JSON, too deep, or holds a number of too many digits.
    """
    try:
        content = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError) as failed:
        why = "too many lists in one another" if isinstance(failed, RecursionError) else failed
        no = f"is not a {what}: it is not JSON" if what else "is not JSON"
        raise error(f"{source} {no} ({first_line(ValueError(why))})") from None
    if _deeper(content, DEEPEST):
        raise error(f"{source} holds more than {DEEPEST} lists or objects in one another")
    return content


def read_json(path: str | Path, what: str = "file", *, error: type[InputError] = InputError) -> Any:
    """What a JSON file holds; see ``read_text`` and ``parse_json``."""
    text = read_text(path, what, error=error)
    return parse_json(text, quoted(Path(path)), error, what)


def read_lines(path: str | Path) -> Iterator[Any]:
    """What the lines of a file hold, each one JSON; of a line that holds none the error.

    One without an end is passed over.
    """
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith("\n"):
                    return
                try:
                    found = parse_json(line, f"line {number} of {quoted(Path(path))}")
                except InputError as bad:
                    found = bad
                yield found
    except OSError as error:
        raise InputError(f"cannot read {quoted(Path(path))}: {error.strerror}") from None


def parse_yaml(text: str, source: str) -> Any:
    """What a YAML text holds: no aliases, no dates, nothing deep; see ``parse_json``."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as failed:
        mark = getattr(failed, "problem_mark", None)
        at = f" (line {mark.line + 1})" if mark else ""
        why = getattr(failed, "problem", None) or first_line(failed)
        raise InputError(f"{source} is not YAML that can be used: {why}{at}") from None
    except (ValueError, TypeError, RecursionError) as failed:  # an impossible number, say
        raise InputError(f"{source} is not YAML that can be used: {first_line(failed)}") from None


def check_yaml(text: str, source: str) -> None:
    """Refuse a text that YAML would read as more than its bounds allow; any other may pass.

    >>> from tas.reading import check_yaml
    >>> check_yaml("*.png", "a word"), check_yaml("[0.5, 1]", "a word")
    (None, None)
    >>> check_yaml("[&a [1, 1], [*a, *a]]", "a word")
    Traceback (most recent call last):
    tas.errors.InputError: a word cannot be used: it has an alias (*name)

    Raises:
        InputError: it has aliases, or is too deep or too long.
    """
    try:
        if len(text) > MOST_YAML_BYTES:
            raise _BoundError(problem=f"it is longer than {MOST_YAML_BYTES:,} characters")
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            loader.construct_document(node)
    except _BoundError as error:
        if error.inside:
            raise InputError(f"{source} cannot be used: {error.problem}") from None
    except Exception:  # whatever YAML may say of what is none
        return


def read_yaml(path: str | Path, what: str = "file") -> Any:
    """What a YAML file holds."""
    return parse_yaml(
        read_text(path, what, most=MOST_YAML_BYTES), f"the {what} {quoted(Path(path))}"
    )


def place(given: str | Path, what: str) -> Path:
    """The path that a user means: ``~`` and ``~name`` are homes.

    Raises:
        InputError: there is no such home, or no path is like it.
    """
    if "\0" in str(given):
        raise InputError(f"{what} {quoted(given)} holds a NUL, which no path may")
    try:
        return Path(given).expanduser()
    except RuntimeError:
        home = Path(given).parts[0]
        raise InputError(
            f"{what} {quoted(given)}: the home '{home}' is not known here: give a whole path"
        ) from None


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _deeper(content: Any, left: int) -> bool:
    """Whether lists and objects lie in one another more than ``left`` deep."""
    if isinstance(content, dict):
        content = content.values()
    elif not isinstance(content, list):
        return False
    return left == 0 or any(
        _deeper(each, left - 1) for each in content if isinstance(each, list | dict)
    )


class _BoundError(yaml.MarkedYAMLError):  # type: ignore[misc]
    """A text is YAML that would take too much.

    Attributes:
        inside: of a list or an object; what begins like an alias may be a name, such as ``*.png``.
    """

    inside = True


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Plain values alone. An alias may unfold to more than any memory holds, and none is needed."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            error = _BoundError(problem="it has an alias (*name)", problem_mark=mark)
            error.inside = self.depth > 0
            raise error
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark
            problem = f"more than {DEEPEST} lists or objects in one another"
            raise _BoundError(problem=problem, problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _int(loader: _Loader, node: Any) -> Any:
    if len(node.value) > LONGEST_NUMBER:
        raise _BoundError(problem=f"a number of {len(node.value)} digits")
    return yaml.SafeLoader.construct_yaml_int(loader, node)


_Loader.add_constructor("tag:yaml.org,2002:int", _int)
# A date stays the text that it is: no option is one, and an impossible one would be an error.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
