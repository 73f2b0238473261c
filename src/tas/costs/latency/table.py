"""What was measured of a net, in a file: a line of JSON that says of what, then one for each shape.

Every line is written as it comes, so that nothing is lost where a device goes away or a process is
killed; a last line that was cut off is left out. What a line is for stands in it: prices are fitted
to ``fit`` and ``found``, and ``test`` tells how good they are.
"""

import os
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from ...errors import InputError
from ...reading import parse_json, read_text
from ...shape import Count, Shape
from ...space import Space
from ...sums import signed, unsigned
from ...typed import Between, record

__all__ = ["FORMAT", "USES", "LatencyTable", "Measurement"]

FORMAT = "tas-latency/1"
Use = Literal["fit", "test", "found"]
USES: tuple[str, ...] = get_args(Use)
Positive = Annotated[float, Between(1e-12, 1e12)]  # seconds, and ratios of them


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

    widths: Mapping[str, Count]
    depths: Mapping[str, Count]
    seconds: Positive
    whole: Positive
    ratio: Positive
    uncertain: Annotated[float, Between(0, 1e12)] = 0.0
    use: Annotated[str, Use] = "fit"

    def to_dict(self) -> dict[str, Any]:
        """As its line holds it."""
        return {**vars(self), "widths": dict(self.widths), "depths": dict(self.depths)}


@dataclass(frozen=True)
class _Head:
    """What the first line of the file holds."""

    format: str
    net: Mapping[str, Any]
    facts: Mapping[str, Any]


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
            head = record(_Head, _content(rows[0], "line 1"), "line 1", extra=True)
            if head.format != FORMAT:
                raise InputError(f"line 1 says '{head.format}', not '{FORMAT}'")
            net = Shape.from_dict(head.net, source="its net")
            named = [(f"line {number}", row) for number, row in enumerate(rows[1:], 2)]
            lines = [record(Measurement, _content(row, name), name) for name, row in named]
        except InputError as error:
            raise InputError(f"the latency table '{path}' is damaged: {error}") from None
        return cls(net, head.facts, lines, path)

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

    @property
    def uncertain(self) -> float:
        """How far its ratios may be off, as a part of them: that of the shape in the middle."""
        return statistics.median(line.uncertain for line in self.lines) if self.lines else 0.0

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


def _content(row: str, name: str) -> Any:
    content = parse_json(row, name)
    if isinstance(content, dict) and not unsigned(content):
        raise InputError(f"{name} is not what was written")
    return content


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
