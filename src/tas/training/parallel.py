"""Independent trainings, on several processes at the same time."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from .. import processes
from ..typed import checked
from .accelerate_state import alone

__all__ = ["dealt_out", "side_by_side"]

T = TypeVar("T")


@checked
def side_by_side(jobs: Sequence[Callable[[], T]], costs: Sequence[float]) -> list[T]:
    """What each job returns, in their order, on every process.

    >>> from tas.training import side_by_side
    >>> side_by_side([lambda: "first", lambda: "second"], costs=[1.0, 3.0])
    ['first', 'second']

    Each is done by one process, alone: with the same seeds it comes out as it would without the
    others.

    Args:
        jobs: trainings that start from their own seeds; their results can be pickled.
        costs: of each, in any unit.
    """
    mine = dealt_out(costs, processes.count())[processes.rank()]
    with alone():
        done = {number: jobs[number]() for number in mine}
    results = {
        number: result for each in processes.gathered(done) for number, result in each.items()
    }
    return [results[number] for number in range(len(jobs))]


@checked
def dealt_out(costs: Sequence[float], hands: int) -> list[list[int]]:
    """Which jobs each of so many processes does: the most expensive first, to the least loaded.

    >>> from tas.training import dealt_out
    >>> dealt_out([5.0, 1.0, 3.0, 2.0], hands=2)
    [[0, 1], [2, 3]]
    """
    loads, dealt = [0.0] * hands, [list[int]() for _ in range(hands)]
    for number in sorted(range(len(costs)), key=lambda n: -costs[n]):
        least = loads.index(min(loads))
        loads[least] += costs[number]
        dealt[least].append(number)
    return [sorted(numbers) for numbers in dealt]
