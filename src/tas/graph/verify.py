"""Puts to the test what a trace found: cut the net, run it, compare.

What the net's own code takes for a constant (a number of heads in a view, a split at a fixed place)
cannot be seen in a trace. So the net is cut as far as it goes and run: it has to run, and to give
what the whole net gives whose cut channels nobody reads. What fails is found by bisection. Where
the constant is a number in an attribute, it is found and follows what is cut, and widths that must
be equal are cut together (``mending``).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from math import prod
from typing import Any

from torch import nn

from ..sides import Rewrite, size_of
from .bench import WRONG, Bench, Failure
from .constants import settled
from .guesses import kind
from .joints import Joint
from .mending import Mender
from .refused import refuse_bound
from .structure import Structure

__all__ = ["Verdict", "trial"]

CHEAP = 2e7  # multiply-adds for which each choice is tried by itself as well

Test = Callable[[Sequence[str]], Failure | None]


@dataclass(frozen=True)
class Verdict:
    """What a trial comes to.

    Attributes:
        failed: the names of widths and runs that do not bear to be cut, with the reason.
        rewrites: what is rewritten in the net's own code so that the others do.
        joints: of the others, those that have to keep the same ratio of their channels.
    """

    failed: dict[str, str]
    rewrites: tuple[Rewrite, ...]
    joints: tuple[Joint, ...]


def trial(
    net: nn.Module,
    structure: Structure,
    example: Any,
    candidates: Mapping[str, Sequence[int]],
) -> Verdict:
    """Which widths and runs bear to be cut.

    Args:
        example: a batch, or an ``Example``, which says how the net is called.
        candidates: by a width's name, the numbers of atoms that it may be asked to keep, ascending,
            the last one all.

    Raises:
        InputError: a copy of the net still computes with the net itself.
    """
    bench = Bench(net, structure, example, candidates)
    refuse_bound(net, bench.net, bench.example)
    # What is rewritten has to compute the same, in training as well. Of all of it together that is
    # soon seen; only where it does not, each rewrite is put to every test by itself.
    for strict in (False, True):
        bench.rewrites, bench.joints = (), ()
        attempt = _Attempt(bench, strict)
        attempt.run()
        changed = any((bench.rewrites, bench.joints))
        if strict or not changed or (not attempt.wrong and bench.agrees(attempt.good) is None):
            break
    good = bench.whole(attempt.good)
    failed = {name: reason for name, reason in attempt.failed.items() if name not in good}
    channels = {width.name: width.channels for width in structure.widths}
    staying = [name for name in channels if name not in good]
    joints = tuple(joint for joint in bench.joints if set(joint) <= set(good))
    return Verdict(failed, settled(bench.rewrites, channels, staying), joints)


class _Attempt:
    """What is good so far, and what has failed.

    Args:
        strict: whether every rewrite is put to every test by itself.

    Attributes:
        wrong: something failed because the cut net runs but computes something else.
    """

    def __init__(self, bench: Bench, strict: bool) -> None:
        self.bench, self.mender = bench, Mender(bench, strict)
        self.good: list[str] = []
        self.failed: dict[str, str] = {}
        self.wrong = False

    def run(self) -> None:
        bench, structure = self.bench, self.bench.structure
        # Widths first, with all blocks there: a block that is cut is not tried out.
        for names in (list(bench.candidates), [run.name for run in structure.runs]):
            if names:
                self._extend(sorted(names, key=kind), bench.runs)
        passed = self._passed()
        if _macs(structure) * len(passed) <= CHEAP:  # together, two that are wrong may get along
            for name in passed:
                failure = bench.computes([name])
                if failure is not None and not self.mender.mend([name]):
                    self._lock([name], failure)
            passed = [name for name in passed if name not in self.failed]
        if passed:
            self._extend(passed, bench.computes)
        passed = self._passed()
        if passed:
            self._extend(passed, bench.trains)

    def _lock(self, names: Sequence[str], failure: Failure) -> None:
        """Keep why choices are locked: of a run it is its blocks that are counted on."""
        self.wrong |= failure.reason == WRONG
        for name in names:
            counted = "the number of blocks" if name in self.bench.blocks else "their number"
            self.failed[name] = failure.reason.replace("their number", counted)

    def _passed(self) -> list[str]:
        """What is good, for the next test."""
        passed, self.good = sorted(self.bench.whole(self.good), key=kind), []
        return passed

    def _extend(self, items: Sequence[str], test: Test) -> None:
        """Add to what is good those of the items with which it stays good."""
        there = self.bench.whole(self.good)
        items = [name for name in items if name not in there]
        failure = test([*self.good, *items]) if items else None
        if failure is None:
            self.good.extend(items)
            return
        kinds = [list(of) for _, of in groupby(items, kind)]
        if len(kinds) == 1 and self.mender.mend(items) and test([*self.good, *items]) is None:
            self.good.extend(items)
            return
        if len(items) == 1:
            self._lock(items, failure)
            return
        if len(kinds) > 1:
            touches, place = self.bench.touches, failure.place
            suspects = [of for of in kinds if any(touches(name, place) for name in of)]
            calm = [name for of in kinds if of not in suspects for name in of]
            middle = len(kinds) // 2
            halves = [[*chain(*kinds[:middle])], [*chain(*kinds[middle:])]]
            for part in [calm, *suspects] if calm and suspects else halves:
                self._extend(part, test)
            return
        # The same layer of several blocks: what fails in the first and the last fails in all.
        ends = [test([*self.good, items[0]]), test([*self.good, items[-1]])]
        if all(ends):
            self._lock(items, failure)
            return
        middle = len(items) // 2
        self._extend(items[:middle], test)
        self._extend(items[middle:], test)


def _macs(structure: Structure) -> int:
    """Multiply-adds of the whole net."""
    full = {width.name: width.channels for width in structure.widths}
    sizes = ([size_of(side, full) for side in layer.sides] for layer in structure.layers)
    return sum(layer.macs * prod(of) for layer, of in zip(structure.layers, sizes, strict=True))
