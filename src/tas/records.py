"""What a run leaves for others to read: ``result.json`` and ``log.jsonl``, held to their fields."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from .errors import InputError
from .reading import read_json, read_lines
from .sums import signed, unsigned
from .typed import Between, fitted

__all__ = ["log_line", "read_log", "read_result"]

Number = Annotated[float, Between(0)]


class _Net(TypedDict):
    name: str


class _Row(_Net, total=False):
    macs: Number
    params: Number
    accuracy: float | None
    agreement: float | None
    distance: float | None
    spread: float | None
    runs: int
    series: str
    seconds: Number | None


class _Budget(TypedDict):
    unit: str
    value: Number


class _OneOf(_Budget):
    name: str


class _Result(TypedDict, total=False):
    verb: str
    net: str
    data: str
    rows: list[_Row]
    notes: list[str]
    budget: _Budget | None
    budgets: list[_OneOf]
    full_shape: Mapping[str, Any] | None
    hardware: str
    versions: Mapping[str, str]
    seed: int
    seconds_total: Number | None


class _Named(TypedDict):
    phase: str
    epoch: Annotated[int, Between(0, 10**9)]


class _Line(_Named, total=False):
    seconds: Number
    loss: float
    accuracy: float
    test_accuracy: float
    agreement: float
    test_agreement: float
    expected_cost: float
    tau: float


def read_result(path: str | Path) -> dict[str, Any]:
    """What a ``result.json`` holds.

    Raises:
        InputError: it cannot be read, or a field is not what it has to be.
    """
    found: dict[str, Any] = fitted(read_json(path, "result"), _Result, f"in '{path}', result")
    return found


def log_line(line: Mapping[str, Any]) -> str:
    """A line of a ``log.jsonl``: JSON that is known again by the sum of what comes before it.

    A search goes on from such lines, and the file as a whole has no sum before its run is finished.
    """
    return signed(line)


def read_log(path: str | Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a ``log.jsonl`` that are whole, and how many are damaged; none without a file.

    One that has no end is neither: a run writes it, or was killed before it could.
    """
    if not os.path.lexists(path):
        return [], 0
    lines, damaged = [], 0
    for content in read_lines(path):
        try:
            if not isinstance(content, dict):
                raise InputError(str(content))
            if not unsigned(content):
                raise InputError("the line is not what was written")
            lines.append(fitted(content, _Line, "the line"))
        except InputError:
            damaged += 1
    return lines, damaged
