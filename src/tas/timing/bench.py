"""Shapes of a net, each measured beside the unpruned net, and kept in a table."""

from typing import Any

from torch import nn

from .. import processes
from ..costs.latency import LatencyTable, Measurement
from ..inherit import Source
from ..shape import Shape
from ..space import Space
from .rounds import TOLD_APART, Ready, Time, Timer
from .runtimes import Runtime
from .sessions import in_sessions

__all__ = ["Bench", "noise_of"]

FOUND, TABLED = 7.5, 1.5  # seconds at most to measure what was found, or a shape of a table


class Bench:
    """Measures shapes of a space; one process does, and all know.

    Args:
        source: whose nets are measured; what they have learnt does not matter.
        example: pictures [1, C, H, W] such as the net takes, or an ``Example`` of what else.
        table: where times are kept.
    """

    def __init__(
        self, space: Space, source: Source, example: Any, runtime: Runtime, table: LatencyTable
    ) -> None:
        self.space, self.source, self.example = space, source, example
        self.runtime, self.table = runtime, table
        self._whole: Ready | None = None
        self._wholes: list[Timer] = []  # of the unpruned net, one for each session

    def measure(self, shape: Shape, use: str = "found") -> Measurement:
        """The time of a shape, which is kept; one that was measured for this use is read."""
        for line in self.table.lines:
            if (line.use, line.widths, line.depths) == (use, shape.widths, shape.depths):
                return line
        line = processes.by_first(lambda: self._measured(shape, use))
        self.table.add(line, writes=processes.is_first())
        return line

    def _measured(self, shape: Shape, use: str) -> Measurement:
        net = self.source.derive(shape)
        whole, own = self.times(net, FOUND if use == "found" else TABLED)
        return Measurement(
            dict(shape.widths),
            dict(shape.depths),
            own.seconds,
            whole.seconds,
            own.ratio,
            own.uncertain,
            use,
        )

    def times(self, net: nn.Module, seconds: float) -> list[Time]:
        """The times of the unpruned net and of another, in several sessions of both.

        Args:
            seconds: to measure for, at most, all sessions together.
        """
        if self._whole is None:
            whole = self.source.derive(self.space.unpruned)
            self._whole = self.runtime.ready(whole, self.example)
        begin_whole, begin = self._whole, self.runtime.ready(net, self.example)

        def opened(number: int) -> list[Timer]:
            if number == len(self._wholes):
                self._wholes.append(begin_whole())
            return [self._wholes[number], begin()]

        return in_sessions(self.runtime, opened, seconds)


def noise_of(table: LatencyTable) -> str:
    """Why the times of a table say little, in words; nothing where the machine was quiet enough."""
    if table.uncertain <= TOLD_APART:
        return ""
    return (
        f"the machine was too busy: the times themselves are uncertain by "
        f"{100 * table.uncertain:.0f} %; stop what else runs, and measure anew"
    )
