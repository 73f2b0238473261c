"""Trainings that have nothing to tell one another, on several processes at the same time."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from .. import processes
from .hardware import alone

__all__ = ["side_by_side"]

T = TypeVar("T")


def side_by_side(jobs: Sequence[Callable[[], T]], costs: Sequence[float]) -> list[T]:
    """What each job returns, in their order, on every process.

    Each is done by one process, alone: with the same seeds it comes out as it would without the
    others. The dearest are dealt out first, each to the process that has least to do.

    Args:
        jobs: trainings that start from their own seeds; their results can be pickled.
        costs: of each, in any unit.
    """
    loads = [0.0] * processes.count()
    mine: list[int] = []
    for number in sorted(range(len(jobs)), key=lambda n: -costs[n]):
        least = loads.index(min(loads))
        loads[least] += costs[number]
        if least == processes.rank():
            mine.append(number)
    with alone():
        done = {number: jobs[number]() for number in sorted(mine)}
    results = {
        number: result for each in processes.gathered(done) for number, result in each.items()
    }
    return [results[number] for number in range(len(jobs))]
