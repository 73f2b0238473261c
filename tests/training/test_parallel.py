"""Jobs side by side: each is done once, and the work is shared evenly."""

import pytest

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
