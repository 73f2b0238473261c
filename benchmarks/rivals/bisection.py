"""From a ratio, which is what pruners take, to a budget."""

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WINDOW = 0.01  # the part of the budget that may stay unused
MOST = 14  # ratios that are tried


def within(cut: Callable[[float], tuple[int, T]], limit: float) -> tuple[int, T]:
    """The dearest net within a limit, by bisection over the ratio of what is taken away.

    A pruner's steps may be coarse, or not quite monotone: the best of all that was tried is kept.
    Where it fails at a ratio smaller ones are tried.

    Args:
        cut: from a ratio from 0 to 1 to a cost and a net.
        limit: the most it may cost.

    Returns:
        cost and net; the cost is at most 1 % below the limit where the pruner has such a net.

    Raises:
        ValueError: nothing that was tried is so small; or what the pruner raised at last, where it
            made nothing at all.

    >>> within(lambda ratio: (round(1000 * (1 - ratio) ** 2), ratio), 500)[0]
    499
    """
    low, high = 0.0, 1.0
    best: tuple[int, T] | None = None
    smallest: int | None = None
    failed: Exception | None = None
    for _ in range(MOST):
        ratio = (low + high) / 2
        try:
            cost, net = cut(ratio)
        except Exception as error:  # whatever it may raise
            high, failed = ratio, error
            continue
        smallest = cost if smallest is None else min(cost, smallest)
        if cost > limit:
            low = ratio
            continue
        high = ratio
        if best is None or cost > best[0]:
            best = cost, net
        if best[0] >= (1 - WINDOW) * limit:
            break
    if best is None and failed is not None:
        raise failed
    if best is None:
        raise ValueError(f"the smallest net costs {smallest}, more than {limit:.0f}")
    return best
