"""What was measured of a net, in a file: a line of JSON that says of what, then one for each shape.

Every line is written as it comes, so that nothing is lost where a device goes away or a process is
killed; a last line that was cut off is left out. What a line is for stands in it: prices are fitted
to ``fit`` and ``found``, and ``test`` tells how good they are.
"""

import math
import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError, first_line
from ...reading import parse_json, read_text
from ...shape import Shape
from ...space import Space
from ...sums import signed, unsigned

__all__ = ["FORMAT", "LatencyTable", "Measurement"]

FORMAT = "tas-latency/1"
USES = ("fit", "test", "found")


@dataclass(frozen=True)
class Measurement:
    """The time of one shape.

    >>> from tas.costs.latency import Measurement
    >>> Measurement({"stem": 8}, {}, seconds=0.003, whole=0.01, ratio=0.3).use
    'fit'

    Attributes:
        widths, depths: of the shape.
        seconds: of one call.
        whole: seconds of the unpruned net, measured in turns with it.
        ratio: of the two, the median over the turns.
        uncertain: how far the ratio may be off, as a part of it.
        use: ``"fit"``, ``"test"`` or ``"found"``.
    """

    widths: Mapping[str, int]
    depths: Mapping[str, int]
    seconds: float
    whole: float
    ratio: float
    uncertain: float = 0.0
    use: str = "fit"

    def to_dict(self) -> dict[str, Any]:
        """As its line holds it."""
        return {**vars(self), "widths": dict(self.widths), "depths": dict(self.depths)}


@dataclass
class LatencyTable:
    """The measurements of a net on a runtime.

    >>> import tas
    >>> from tas.costs.latency import LatencyTable, Measurement
    >>> space = tas.spaces.resnet_space("resnet20", residual="tied")
    >>> table = LatencyTable.of(space, {"runtime": "a phone"})
    >>> shape = space.equal(0.5)
    >>> table.add(Measurement(shape.widths, shape.depths, 0.3, 1.0, 0.3))
    >>> table.whole
    1.0

    Attributes:
        net: the unpruned shape.
        facts: of the runtime.
        lines: what was measured.
        path: the file; None: kept in memory alone.
    """

    net: Shape
    facts: Mapping[str, Any]
    lines: list[Measurement] = field(default_factory=list)
    path: Path | None = None

    @classmethod
    def of(
        cls, space: Space, facts: Mapping[str, Any], path: str | Path | None = None
    ) -> "LatencyTable":
        """The table in a file, or a fresh one.

        Raises:
            InputError: the file is of another net or runtime, or is damaged.
        """
        if path is not None and Path(path).is_file():
            table = cls.read(path)
            table.check(space)
            if not _same(table.facts, facts):
                raise InputError(
                    f"'{path}' holds times of {_words(table.facts)}, not of {_words(facts)}: "
                    "choose another file"
                )
            return table
        table = cls(space.unpruned, facts, path=None if path is None else Path(path))
        table._write({"format": FORMAT, "net": table.net.to_dict(), "facts": dict(facts)}, new=True)
        return table

    @classmethod
    def read(cls, path: str | Path) -> "LatencyTable":
        """Read a file.

        Raises:
            InputError: it cannot be read, or is no table.
        """
        path = Path(path)
        text = read_text(path, "latency table")
        rows = text.split("\n")[:-1]  # what follows the last line end was cut off
        if not rows:
            raise InputError(f"'{path}' is no latency table: `tas latency table` writes one")
        try:
            head = _object(rows[0], 1)
            if head.get("format") != FORMAT:
                raise ValueError(f"its first line says '{head.get('format')}', not '{FORMAT}'")
            net = Shape.from_dict(head["net"], source="its net")
            facts = head["facts"]
            if not isinstance(facts, dict):
                raise TypeError("its facts are no object")
            lines = [_measurement(_object(row, n), n) for n, row in enumerate(rows[1:], 2)]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"the latency table '{path}' is damaged: {first_line(error)}"
            ) from None
        return cls(net, facts, lines, path)

    def check(self, space: Space) -> None:
        """Raise ``InputError`` where the table is not of the space's net."""
        own, net = space.unpruned, self.net
        if own.input != net.input or own.classes != net.classes:
            raise InputError(
                f"{self._name} is of {net.net} for images of {net.input} and {net.classes} "
                f"classes, not of {own.input} and {own.classes}: measure another with "
                "`tas latency table`"
            )
        if dict(own.widths) != dict(net.widths) or dict(own.depths) != dict(net.depths):
            raise InputError(
                f"{self._name} is of {net.net}, and not of the widths of {own.net} that are "
                "searched here: measure another with `tas latency table`, with the same --ignore "
                "and --only"
            )

    def add(self, line: Measurement, writes: bool = True) -> None:
        """Keep a measurement, in the file as well.

        Args:
            writes: False in processes that leave the file to another one.
        """
        self.lines.append(line)
        if writes:
            self._write(line.to_dict())

    def lines_for(self, *uses: str) -> list[Measurement]:
        """The measurements of some uses."""
        return [line for line in self.lines if line.use in uses]

    @property
    def whole(self) -> float:
        """Seconds of the unpruned net: the median of all measurements.

        Raises:
            InputError: nothing was measured yet.
        """
        if not self.lines:
            raise InputError(f"{self._name} holds no measurement yet: `tas latency table` goes on")
        return statistics.median(line.whole for line in self.lines)

    @property
    def _name(self) -> str:
        return f"the latency table '{self.path}'" if self.path else "the latency table"

    def _write(self, content: Mapping[str, Any], new: bool = False) -> None:
        if self.path is None:
            return
        try:
            if not new:
                _end_whole(self.path)
            with self.path.open("w" if new else "a", encoding="utf-8") as file:
                file.write(signed(content))
        except OSError as error:
            raise InputError(
                f"the latency table '{self.path}' cannot be written: {error.strerror}"
            ) from None


def _end_whole(path: Path) -> None:
    """Cut off a last line that an earlier process left half written."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def _object(row: str, number: int) -> dict[str, Any]:
    content = parse_json(row, f"line {number}")
    if not isinstance(content, dict) or not unsigned(content):
        raise ValueError(f"line {number} is not what was written")
    return content


def _measurement(content: dict[str, Any], number: int) -> Measurement:
    """A line, checked."""
    try:
        line = Measurement(**content)
        figures = (line.seconds, line.whole, line.ratio)
        counts = [*line.widths.values(), *line.depths.values()]
    except (TypeError, AttributeError) as error:
        raise ValueError(f"line {number}: {first_line(error)}") from None
    if not all(isinstance(f, float | int) and 0 < f < math.inf for f in figures):
        raise ValueError(f"line {number}: its times are {figures}")
    if not all(isinstance(n, int) and n > 0 for n in counts) or line.use not in USES:
        raise ValueError(f"line {number}: it is no shape, or for no use")
    return line


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether times are of one kind; versions and hardware are told, and may change."""
    told = ("versions", "hardware")
    return {k: v for k, v in a.items() if k not in told} == {
        k: v for k, v in b.items() if k not in told
    }


def _words(facts: Mapping[str, Any]) -> str:
    told = (
        f"{k.replace('_', ' ')} {v}"
        for k, v in facts.items()
        if k not in ("runtime", "versions", "hardware")
    )
    return ", ".join((str(facts.get("runtime")), *told))
