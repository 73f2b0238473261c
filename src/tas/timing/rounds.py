"""How long things take, measured in turns in one process.

What else a machine does only ever adds to a time, and it comes and goes: so the things that are
compared run one after the other in each *round*, and rounds go on until the ratio to the first
thing is known or time is up. A turn's time is the fastest of at least three calls: the first one
finds in the caches what the other nets have left there, and takes up to a tenth longer than those
that follow.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["TOLD_APART", "Ready", "Time", "Timer", "joined", "stopwatch", "timed"]

Timer = Callable[[], float]  # runs something once, and returns how many seconds it took
Ready = Callable[[], Timer]  # begins a session: takes something up anew that was made ready once

FEWEST, MOST = 7, 201  # rounds
TURN_SECONDS = 0.01  # of a turn, unless its fewest calls take longer
CALLS = 3  # of a turn at least
KNOWN = 0.004  # a ratio that is certain to this part of it needs no more rounds
TOLD_APART = 0.05  # a ratio that is less certain than this is no comparison


@dataclass(frozen=True)
class Time:
    """How long one thing took beside others; ``tas.timing.timed`` returns it, with an example.

    Attributes:
        seconds: of one call, the median of all rounds.
        spread: of the rounds' seconds: the part of the median that half of them lie within.
        ratio: to the first thing that was timed, the median of the ratios in each round.
        uncertain: how far the ratio may be off, as a part of it (two standard errors).
        rounds: how many there were, in all sessions.
    """

    seconds: float
    spread: float
    ratio: float = 1.0
    uncertain: float = 0.0
    rounds: int = 1

    @property
    def ms(self) -> float:
        """Milliseconds of one call."""
        return 1000 * self.seconds

    @property
    def comparable(self) -> bool:
        """Whether the machine was quiet enough for the ratio to say anything."""
        return self.uncertain <= TOLD_APART

    @property
    def noise(self) -> str:
        """Why the ratio says nothing, in words."""
        return (
            f"the machine is too busy to compare: the ratio is uncertain by "
            f"{100 * self.uncertain:.0f} %, and the times spread by {100 * self.spread:.0f} %; "
            "stop what else runs, or give it more seconds or a larger batch"
        )


def stopwatch(call: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Timer:
    """A timer of a call, by the clock of this machine."""

    def timer() -> float:
        started = clock()
        call()
        return clock() - started

    return timer


def timed(
    timers: Sequence[Timer], seconds: float = 3.0, fewest: int = FEWEST, most: int = MOST
) -> list[Time]:
    """How long each takes, measured in turns.

    >>> from tas.timing import timed
    >>> first, second = timed([lambda: 0.02, lambda: 0.01])  # timers say how long they took
    >>> first.ms, second.ms, second.ratio
    (20.0, 10.0, 0.5)

    Args:
        timers: each runs something once and returns the seconds that it took.
        seconds: to measure all of them for; at least ``fewest`` rounds are run, and no more than
            are needed to know the ratios.
        fewest, most: rounds.
    """
    calls = [_warm(timer) for timer in timers] if fewest > 1 else [1 for _ in timers]
    rounds: list[list[float]] = []
    spent = 0.0
    while len(rounds) < most:
        turns = [_turn(timer, n) for timer, n in zip(timers, calls, strict=True)]
        rounds.append([best for best, _ in turns])
        spent += sum(total for _, total in turns)
        if len(rounds) < fewest:
            continue
        if spent >= seconds or (len(rounds) >= 2 * FEWEST and _known(rounds)):
            break
    return [_time(rounds, i) for i in range(len(timers))]


def joined(sessions: Sequence[Time]) -> Time:
    """The median of several sessions, uncertain by what they differ by as well."""
    if len(sessions) == 1:
        return sessions[0]
    ratios = [time.ratio for time in sessions]
    ratio = statistics.median(ratios)
    error = 1.25 * statistics.stdev(ratios) / math.sqrt(len(ratios))  # of a median
    within = statistics.median(time.uncertain for time in sessions)
    return Time(
        seconds=statistics.median(time.seconds for time in sessions),
        spread=statistics.median(time.spread for time in sessions),
        ratio=ratio,
        uncertain=math.hypot(within, 2 * error / ratio if ratio > 0 else 0.0),
        rounds=sum(time.rounds for time in sessions),
    )


def _warm(timer: Timer) -> int:
    """Run it until it is warm; how often a turn is to call it."""
    took = min(timer() for _ in range(CALLS))
    return max(CALLS, min(1000, int(TURN_SECONDS / max(took, 1e-6))))


def _turn(timer: Timer, calls: int) -> tuple[float, float]:
    """The fastest of some calls, and the seconds of all."""
    took = [timer() for _ in range(calls)]
    return min(took), sum(took)


def _known(rounds: list[list[float]]) -> bool:
    return all(_time(rounds, i).uncertain <= KNOWN for i in range(1, len(rounds[0])))


def _time(rounds: list[list[float]], i: int) -> Time:
    own = [row[i] for row in rounds]
    ratios = [row[i] / row[0] if row[0] > 0 else math.inf for row in rounds]
    middle = statistics.median(own)
    # Of a median: 1.25 standard deviations by the root of the number; a quartile range is 1.35.
    ratio = statistics.median(ratios)
    error = 1.25 * _range(ratios) / 1.35 / math.sqrt(len(ratios))
    return Time(
        seconds=middle,
        spread=_range(own) / middle if middle > 0 else 0.0,
        ratio=ratio,
        uncertain=2 * error / ratio if ratio > 0 else 0.0,
        rounds=len(rounds),
    )


def _range(values: list[float]) -> float:
    """From the lower to the upper quartile."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low
