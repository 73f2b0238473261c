"""Puts to the test what a trace found: cut the net, run it, compare.

What the net's own code takes for a constant (a number of heads in a view, a split at a fixed place)
cannot be seen in a trace. So the net is cut as far as it goes and run: it has to run, and to give
what the whole net gives whose cut channels nobody reads. What fails is found by bisection.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from math import prod
from typing import Any

from torch import nn

from ..shape import Side, Sum
from .bench import Bench, Failure
from .structure import Structure

__all__ = ["trial"]

CHEAP = 2e7  # multiply-adds for which each choice is tried by itself as well

Test = Callable[[Sequence[str]], Failure | None]


def trial(
    net: nn.Module,
    structure: Structure,
    example: Any,
    candidates: Mapping[str, Sequence[int]],
) -> dict[str, str]:
    """The names of widths and runs that do not bear to be cut, with the reason.

    Args:
        example: a batch, or an ``Example``, which says how the net is called.
        candidates: by a width's name, the numbers of atoms that it may be asked to keep, ascending,
            the last one all.
    """
    bench = Bench(net, structure, example, candidates)
    good: list[str] = []
    failed: dict[str, str] = {}

    def extend(items: Sequence[str], test: Test) -> None:
        """Add to what is good those of the items with which it stays good."""
        failure = test([*good, *items])
        if failure is None:
            good.extend(items)
            return
        if len(items) == 1:
            failed[items[0]] = failure.reason
            return
        kinds = [list(of) for _, of in groupby(items, _kind)]
        if len(kinds) > 1:
            suspects = [of for of in kinds if any(bench.touches(n, failure.place) for n in of)]
            calm = [name for of in kinds if of not in suspects for name in of]
            for part in [calm, *suspects] if calm and suspects else kinds:
                extend(part, test)
            return
        # The same layer of several blocks: what fails in the first and the last fails in all.
        ends = [test([*good, items[0]]), test([*good, items[-1]])]
        if all(ends):
            failed.update(dict.fromkeys(items, failure.reason))
            return
        middle = len(items) // 2
        extend(items[:middle], test)
        extend(items[middle:], test)

    # Widths first, with all blocks there: a block that is cut is not tried out.
    for names in (list(candidates), [run.name for run in structure.runs]):
        if names:
            extend(sorted(names, key=_kind), bench.runs)
    passed, good = sorted(good, key=_kind), []
    if _macs(structure) * len(passed) <= CHEAP:  # together, two that are wrong may get along
        alone = {name: bench.computes([name]) for name in passed}
        failed.update({name: failure.reason for name, failure in alone.items() if failure})
        passed = [name for name in passed if name not in failed]
    if passed:
        extend(passed, bench.computes)
    passed, good = good, []
    if passed:
        extend(passed, bench.trains)
    return failed


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _macs(structure: Structure) -> int:
    """Multiply-adds of the whole net."""
    full = {width.name: width.channels for width in structure.widths}

    def size(side: Side) -> int:
        if isinstance(side, Sum):
            return side.constant + sum(n * full[k] // of for k, n, of in side.parts)
        return full[side] if isinstance(side, str) else side

    return sum(layer.macs * prod(map(size, layer.sides)) for layer in structure.layers)
