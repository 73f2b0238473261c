"""How long nets take, measured in several sessions of a runtime.

A session begins where a runtime takes up the nets. By where memory happens to lie a net of a few
milliseconds takes some percent more in one session than in the next, from the first call to the
last: rounds do not show it. So the median of a few sessions counts, and what they differ by is a
part of what a time is uncertain by. Where it takes longer to begin one than to measure in all of
them, because the net is compiled, there is one.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from .rounds import Time, Timer, joined
from .runtimes import Runtime, in_turns

__all__ = ["SESSIONS", "in_sessions", "net_times"]

SESSIONS = 5


def in_sessions(
    runtime: Runtime,
    opened: Callable[[int], Sequence[Timer]],
    seconds: float,
    sessions: int = SESSIONS,
    clock: Callable[[], float] = time.monotonic,
) -> list[Time]:
    """How long each of some nets takes, the ratios to the first.

    Args:
        opened: timers of the nets, in the session of a number.
        seconds: to measure for, at most, all sessions together.
        sessions: how many; on a device of the user's own, where each may take minutes, one.
    """
    started = clock()
    first = opened(0)
    costly = clock() - started > seconds
    count = 1 if costly or runtime.fewest == 1 else sessions
    each = (opened(number) if number else first for number in range(count))
    found = [in_turns(runtime, timers, seconds / count, count) for timers in each]
    return [joined(times) for times in zip(*found, strict=True)]


def net_times(
    nets: Sequence[nn.Module],
    example: Any,
    runtime: Runtime,
    seconds: float,
    sessions: int = SESSIONS,
) -> list[Time]:
    """How long each of some nets takes on a batch like ``example``, or an ``Example``."""
    ready = [runtime.ready(net, example) for net in nets]
    return in_sessions(runtime, lambda _: [begin() for begin in ready], seconds, sessions)
