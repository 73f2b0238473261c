"""Shapes of a net, each measured beside the unpruned net, and kept in a table."""

from torch import Tensor, nn

from .. import processes
from ..costs.latency import LatencyTable, Measurement
from ..inherit import Source
from ..shape import Shape
from ..space import Space
from .rounds import Time, Timer
from .runtimes import Runtime, in_turns

__all__ = ["Bench"]

SECONDS = 1.5  # of a measurement, at most
# Of what a search has found, whose median counts: what else a machine does comes in bursts, and in
# some sessions of a runtime memory lies better than in others.
SESSIONS = 3


class Bench:
    """Measures shapes of a space; one process does, and all know.

    Args:
        source: whose nets are measured; what they have learnt does not matter.
        example: a batch [1, C, H, W] such as the net takes.
        table: where times are kept.
    """

    def __init__(
        self, space: Space, source: Source, example: Tensor, runtime: Runtime, table: LatencyTable
    ) -> None:
        self.space, self.source, self.example = space, source, example
        self.runtime, self.table = runtime, table
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
        here = self.runtime.fewest > 1  # on a device of the user's own each one may take minutes
        sessions = SESSIONS if use == "found" and here else 1
        whole, own = self.times(self.source.derive(shape), sessions)
        return Measurement(
            dict(shape.widths),
            dict(shape.depths),
            own.seconds,
            whole.seconds,
            own.ratio,
            own.uncertain,
            use,
        )

    def times(self, net: nn.Module, sessions: int = 1) -> list[Time]:
        """The times of the unpruned net and of another, in the session of the median ratio."""
        found = []
        for number in range(sessions):
            if number == len(self._wholes):
                whole = self.source.derive(self.space.unpruned)
                self._wholes.append(self.runtime.timer(whole, self.example))
            timers = [self._wholes[number], self.runtime.timer(net, self.example)]
            found.append(in_turns(self.runtime, timers, SECONDS))
        return sorted(found, key=lambda times: times[1].ratio)[sessions // 2]
