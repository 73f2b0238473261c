"""Times are compared in turns, by clocks of our own: nothing here depends on how fast it runs."""

import itertools
from collections.abc import Iterator

import pytest

from tas.timing import timed
from tas.timing.own import OwnDevice
from tas.timing.rounds import Timer, stopwatch
from tas.timing.sessions import in_sessions


def fixed(seconds: float) -> Timer:
    return lambda: seconds


def cycling(*values: float) -> Timer:
    return itertools.cycle(values).__next__


def test_a_ratio_is_to_the_first() -> None:
    times = timed([fixed(0.5), fixed(0.25), fixed(1.0)])
    assert [time.ratio for time in times] == [1, 0.5, 2]
    assert all(time.comparable and time.spread == 0 for time in times)


def test_a_load_that_comes_and_goes_meets_both_and_leaves_the_ratio() -> None:
    load = itertools.cycle([1.0] * 15 + [3.0] * 15)  # of calls, three to a turn
    now = {"load": 1.0}

    def first() -> float:  # the machine is three times as slow for five rounds of ten
        now["load"] = next(load)
        return 0.1 * now["load"]

    times = timed([first, lambda: 0.05 * now["load"]], seconds=4, fewest=20)
    assert times[1].ratio == pytest.approx(0.5)
    assert times[1].comparable


def test_single_slow_calls_do_not_count() -> None:
    """A turn of short calls is as long as its fastest one."""
    time = timed([cycling(0.001, 0.001, 0.9)])[0]
    assert time.seconds == 0.001


@pytest.mark.parametrize("seconds", [0.004, 0.009, 0.011, 0.2])
def test_what_other_nets_leave_in_the_caches_does_not_count(seconds: float) -> None:
    """The first call of a turn takes longer, whether a net takes less than a turn or more."""
    last = {"net": ""}

    def called(net: str, took: float) -> Timer:
        def timer() -> float:
            cold, last["net"] = last["net"] != net, net
            return took * (1.1 if cold else 1.0)

        return timer

    whole, own = timed([called("whole", seconds), called("own", 0.5 * seconds)])
    assert (whole.seconds, own.seconds, own.ratio) == (seconds, 0.5 * seconds, 0.5)


def test_a_ratio_that_jumps_is_not_believed() -> None:
    times = timed([fixed(0.1), cycling(0.05, 0.2, 0.1, 0.4, 0.02, 0.3, 0.07)], seconds=1)
    assert not times[1].comparable
    assert "too busy" in times[1].noise


def test_rounds_end_when_the_ratio_is_known_or_time_is_up() -> None:
    assert timed([fixed(0.1), fixed(0.1)], seconds=1000)[0].rounds < 30
    noisy = cycling(0.05, 0.2, 0.1)
    assert timed([fixed(0.1), noisy], seconds=0, fewest=7)[0].rounds == 7
    assert timed([fixed(0.1)], seconds=1000, fewest=1, most=1)[0].rounds == 1


def test_what_sessions_differ_by_is_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is sure of itself; the median counts."""
    runtime = OwnDevice(lambda net: 1.0)
    luck, asked = [0.50, 0.58, 0.53, 0.50, 0.58], []

    def opened(number: int) -> list[Timer]:
        asked.append(number)
        return [fixed(0.1), fixed(0.1 * luck[number])]

    assert [time.ratio for time in in_sessions(runtime, opened, 1)] == [1, pytest.approx(0.5)]
    assert asked == [0]  # such a device measures in ways of its own
    monkeypatch.setattr(OwnDevice, "fewest", 7)
    monkeypatch.setattr(OwnDevice, "most", 9)
    whole, own = in_sessions(runtime, opened, 1)
    assert (whole.uncertain, own.ratio, own.rounds) == (0, pytest.approx(0.53), 10)
    assert 0.05 < own.uncertain < 0.15
    assert not own.comparable


@pytest.mark.parametrize(("took", "sessions"), [(0.9, 5), (1.1, 1)])
def test_what_takes_long_to_begin_is_begun_once(
    took: float, sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnDevice, "fewest", 7)
    monkeypatch.setattr(OwnDevice, "most", 9)
    asked = []

    def opened(number: int) -> list[Timer]:
        asked.append(number)
        return [fixed(0.1)]

    clock = iter([5.0, 5.0 + took])
    in_sessions(OwnDevice(lambda net: 1.0), opened, 1, clock=lambda: next(clock))
    assert asked == [*range(sessions)]


def test_a_stopwatch_reads_its_clock() -> None:
    clock: Iterator[float] = iter([1.0, 3.5])
    assert stopwatch(lambda: None, lambda: next(clock))() == 2.5
