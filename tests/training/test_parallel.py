"""Jobs side by side: each is done once, and the work is shared evenly."""

import time
from threading import Barrier, current_thread

import pytest
import torch

from tas.errors import InputError
from tas.forward import on_threads
from tas.training import dealt_out, side_by_side


@pytest.mark.parametrize("hands", [1, 2, 5, 30])
def test_jobs_are_dealt_out_once_and_evenly(hands: int) -> None:
    costs = [3.0, 0.5, 2.0, 2.0, 1.0, 0.25, 4.0, 1.5]
    dealt = dealt_out(costs, hands)
    assert len(dealt) == hands
    assert sorted(number for numbers in dealt for number in numbers) == list(range(len(costs)))
    loads = [sum(costs[number] for number in numbers) for numbers in dealt]
    assert max(loads) <= max(max(costs), 4 / 3 * sum(costs) / hands)
    assert dealt == dealt_out(costs, hands)  # every process deals for itself


def test_one_process_does_all_in_their_order() -> None:
    order: list[int] = []

    def job(number: int) -> int:
        order.append(number)
        return 10 * number

    jobs = [lambda number=number: job(number) for number in range(4)]
    assert side_by_side(jobs, [1.0, 4.0, 2.0, 3.0]) == [0, 10, 20, 30]
    assert order == [0, 1, 2, 3]


def test_some_are_done_at_once_each_on_its_share_of_the_threads() -> None:
    meeting = Barrier(2, timeout=60)

    def job(number: int) -> tuple[int, int]:
        meeting.wait()  # for ever, if they were done one after another
        return number, torch.get_num_threads()

    jobs = [lambda number=number: job(number) for number in range(6)]
    with on_threads(4):
        assert side_by_side(jobs, [1.0] * 6, abreast=2) == [(number, 2) for number in range(6)]
        assert torch.get_num_threads() == 4


def test_one_thread_does_one_at_a_time() -> None:
    running: list[str] = []
    jobs = [lambda: running.append(current_thread().name) for _ in range(3)]
    with on_threads(1):
        side_by_side(jobs, [1.0] * 3, abreast=4)
    assert running == [current_thread().name] * 3


def test_the_first_failure_is_told_and_what_waits_is_not_begun() -> None:
    begun: list[int] = []

    def job(number: int) -> None:
        begun.append(number)
        if number == 0:
            raise ValueError("job 0")
        time.sleep(0.02)  # there are some left when the first one's failure is seen

    jobs = [lambda number=number: job(number) for number in range(200)]
    with on_threads(2):
        with pytest.raises(ValueError, match="job 0"):
            side_by_side(jobs, [1.0] * 200, abreast=2)
        assert torch.get_num_threads() == 2
    assert len(begun) < 200


def test_less_than_one_at_a_time_is_refused() -> None:
    with pytest.raises(InputError, match="must be at least 1"):
        side_by_side([lambda: 1], [1.0], abreast=0)
