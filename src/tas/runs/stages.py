"""How far a whole job is: its stages, and about how long all that are left will take."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Stage", "Stages", "current_stages", "staged"]

KINDS = {"probe": "search", "final": "check"}  # of phases whose names begin otherwise
NUMBERED = r"-(\d+)-of-(\d+)$"  # one of several trainings of a stage
ENOUGH = 0.01  # of the work, below which the pace is not known


@dataclass(frozen=True)
class Stage:
    """A part of a job.

    Attributes:
        kind: what the names of its phases begin with.
        label: its name for people.
        work: how much it is beside the others, such as multiply-adds.
    """

    kind: str
    label: str
    work: float


class Stages:
    """The stages of a job, in their order; phases say how far they are.

    >>> from tas.runs.stages import Stage, Stages
    >>> times = iter([0.0, 6.0])
    >>> stages = [Stage("teacher", "teacher", 3.0), Stage("student", "student", 2.0)]
    >>> job = Stages(stages, clock=times.__next__)
    >>> job.enter("teacher", 0.0)
    >>> job.reach("teacher", 1.0)
    >>> job.title, job.left()
    ('1/2 teacher', 4.0)

    The pace is that of the work that was done since the job began, in this process.
    """

    def __init__(
        self, stages: Sequence[Stage], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._stages, self._clock = list(stages), clock
        self._at, self._phase, self._seen = -1, "", set[str]()
        self._fraction = self._done = 0.0  # of the stage, and work of all
        self._began = clock()

    def enter(self, phase: str, fraction: float) -> None:
        """A phase begins, of which a part is there already."""
        kind = phase.partition("-")[0]
        kind = KINDS.get(kind, kind)
        same = self._at >= 0 and self._stages[self._at].kind == kind and phase not in self._seen
        if not same:
            following = range(self._at + 1, len(self._stages))
            self._at = next((i for i in following if self._stages[i].kind == kind), self._at)
            self._seen = set()
        self._seen.add(phase)
        self._phase, self._fraction = phase, self._within(phase, fraction)

    def reach(self, phase: str, fraction: float) -> None:
        """A phase is so far."""
        if self._at >= 0:
            now = self._within(phase, fraction)
            self._done += self._stages[self._at].work * max(now - self._fraction, 0.0)
            self._fraction = now

    @staticmethod
    def _within(phase: str, fraction: float) -> float:
        """How far a stage is, one of whose phases is so far."""
        numbered = re.search(NUMBERED, phase)
        return (int(numbered[1]) - 1 + fraction) / int(numbered[2]) if numbered else fraction

    @property
    def title(self) -> str:
        """Which stage it is, of how many."""
        if self._at < 0:
            return ""
        numbered = re.search(NUMBERED, self._phase)
        part = f" {int(numbered[1])} of {int(numbered[2])}" if numbered else ""
        return f"{self._at + 1}/{len(self._stages)} {self._stages[self._at].label}{part}"

    def left(self) -> float | None:
        """Seconds until the end of the job, about; None while nobody can tell."""
        whole = sum(stage.work for stage in self._stages)
        if self._at < 0 or self._done < ENOUGH * whole:
            return None
        ahead = self._stages[self._at].work * (1 - self._fraction)
        ahead += sum(stage.work for stage in self._stages[self._at + 1 :])
        return (self._clock() - self._began) / self._done * ahead


_current: list[Stages] = []


def current_stages() -> Stages | None:
    """Those of the job that runs, if it has said which."""
    return _current[-1] if _current else None


@contextmanager
def staged(stages: Sequence[Stage]) -> Iterator[None]:
    """Inside, phases are stages of a job.

    >>> from tas.runs.stages import Stage, current_stages, staged
    >>> with staged([Stage("teacher", "teacher", 1.0)]):
    ...     current_stages().enter("teacher", 0.0)
    ...     current_stages().title
    '1/1 teacher'
    """
    _current.append(Stages(stages))
    try:
        yield
    finally:
        _current.pop()
