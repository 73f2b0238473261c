"""Independent trainings and trials, on several processes and threads at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from .. import processes
from ..checks import whole
from ..forward import on_threads
from ..typed import checked
from .accelerate_state import alone

__all__ = ["dealt_out", "side_by_side"]

T = TypeVar("T")


@checked
def side_by_side(
    jobs: Sequence[Callable[[], T]], costs: Sequence[float], abreast: int = 1
) -> list[T]:
    """What each job returns, in their order, on every process.

    >>> from tas.training import side_by_side
    >>> side_by_side([lambda: "first", lambda: "second"], costs=[1.0, 3.0])
    ['first', 'second']

    Each is done by one process, alone: with the same seeds it comes out as it would without the
    others.

    Args:
        jobs: trainings that start from their own seeds; their results can be pickled.
        costs: of each, in any unit.
        abreast: how many jobs a process does at once, as far as PyTorch has threads for them; more
            than one only where they draw no random numbers and change nothing that they share.

    Raises:
        InputError: ``abreast`` is below 1.
    """
    whole("abreast", abreast, 1)
    mine = dealt_out(costs, processes.count())[processes.rank()]
    with alone():
        done = dict(zip(mine, _done([jobs[number] for number in mine], abreast), strict=True))
    results = {
        number: result for each in processes.gathered(done) for number, result in each.items()
    }
    return [results[number] for number in range(len(jobs))]


def _done(jobs: Sequence[Callable[[], T]], abreast: int) -> list[T]:
    """What each job returns, in their order; so many are done at once, each on its share of the
    threads that PyTorch computes on."""
    threads = torch.get_num_threads()
    hands = min(abreast, threads, len(jobs))
    if hands < 2:
        return [job() for job in jobs]

    def begin() -> None:
        torch.get_num_threads()  # the first call of a thread takes what another one has set
        torch.set_num_threads(threads // hands)

    with on_threads(threads // hands), ThreadPoolExecutor(hands, initializer=begin) as pool:
        begun = [pool.submit(job) for job in jobs]
        try:
            return [each.result() for each in begun]
        finally:
            pool.shutdown(cancel_futures=True)  # where one has failed


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
