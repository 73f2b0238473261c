"""Finds numbers in a net's own code that count channels, and widths that must be equal, by trial.

A net that is cut and fails is rewritten at one number, and at one more, as long as it comes further
by it. What runs at last has to compute what the whole net computes, for one image in evaluation and
for two in training: a number that only happens to be equal does not pass.
"""

from collections.abc import Sequence
from itertools import islice

from ..sides import Rewrite
from .bench import ANY, Bench, Failure
from .guesses import Guess, guesses, kind
from .joints import Joint, joined, united

__all__ = ["Mender"]

JOINS = 3  # kinds of modules in which a width may have to be as wide as others
STEPS = 6  # numbers, of one kind of module each, that a width may need
MOST = 16  # guesses at each
EACH = 60  # in search of all the numbers that some widths need
IN_ALL = 240  # of a net


class Mender:
    """Tries out rewrites on a bench.

    >>> import tas, torch
    >>> from tas.graph.bench import Bench
    >>> from tas.graph.mending import Mender
    >>> class Halves(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer, self.head = torch.nn.Conv2d(3, 16, 1), torch.nn.Linear(8, 2)
    ...         self.left = 8
    ...     def forward(self, x):
    ...         y = self.layer(x).mean((2, 3)).tanh()
    ...         return self.head(y[:, : self.left] * y[:, self.left :])
    >>> net, image = Halves(), torch.randn(1, 3, 4, 4)
    >>> structure = tas.graph.analyse(net, image)
    >>> bench = Bench(net, structure, image, {"layer": [4, 6, 8]})
    >>> bench.runs(["layer"]).place, Mender(bench).mend(["layer"])
    ('', True)
    >>> [str(rewrite) for rewrite in bench.rewrites]
    ['left']

    Args:
        strict: whether what is rewritten is put to every test: more draws, and in training, too.
    """

    def __init__(self, bench: Bench, strict: bool = True) -> None:
        self._bench, self._strict = bench, strict
        self._in_all, self._left = IN_ALL, 0
        self._seen: set[frozenset[Rewrite]] = set()

    def mend(self, names: Sequence[str]) -> bool:
        """Whether some widths that are alike can be cut with rewrites, and together with others
        that are as wide where they fail; the bench then has these rewrites and joints."""
        bench, before = self._bench, (self._bench.rewrites, self._bench.joints)
        for _ in range(JOINS + 1):
            bench.rewrites = before[0]
            failure = self._rewritten(names)
            if failure is None:
                self._spare(names, *before)
                return True
            if not self._join(names, failure.place):
                break
        bench.rewrites, bench.joints = before
        return False

    def _join(self, names: Sequence[str], place: str) -> bool:
        """Whether the widths are joined with more of those that are as large in the module that
        fails, or in the nearest one around it that has any; else with multiples and parts."""
        bench, whole = self._bench, self._bench.whole(names)
        around = [place]
        while place := place.rpartition(".")[0]:
            around.append(place)
        for path, multiples in [*((path, False) for path in around), (around[0], True)]:
            found = joined(bench.structure, whole, path, bench.candidates, multiples)
            joints = united(list(bench.candidates), [*bench.joints, *found])
            if joints != bench.joints:
                bench.joints = joints
                return True
        return False

    def _rewritten(self, names: Sequence[str]) -> Failure | None:
        """Rewrite numbers until it runs; else as far as it comes."""
        self._left = min(EACH, self._in_all)
        self._in_all -= self._left
        self._seen = set()
        failure = self._tried(names)
        found = failure and self._searched(names, failure, STEPS)
        self._in_all += self._left
        return found

    def _searched(self, names: Sequence[str], failure: Failure, steps: int) -> Failure | None:
        """One number after the other, those first that bring it further: depth first."""
        bench, start = self._bench, self._bench.rewrites
        whole, place = bench.whole(names), failure.place
        known = bench.read, bench.joints
        every = guesses(bench.net, bench.structure, whole, place, start, *known)
        further: list[tuple[Failure, Guess]] = []
        for guess in islice(every, min(MOST, self._left) if steps else 0):
            bench.rewrites = start + guess
            if frozenset(bench.rewrites) in self._seen:
                continue
            self._seen.add(frozenset(bench.rewrites))
            self._left -= 1
            found = self._tried(names)
            if found is None:
                return None
            if found.reached > failure.reached:
                further.append((found, bench.rewrites))
        best = failure, start
        for found, rewrites in sorted(further, key=lambda each: each[0].reached, reverse=True):
            bench.rewrites = rewrites
            deeper = self._searched(names, found, steps - 1)
            if deeper is None:
                return None
            if deeper.reached > best[0].reached:
                best = deeper, bench.rewrites
        failure, bench.rewrites = best
        return failure

    def _spare(self, names: Sequence[str], before: Guess, joints: Sequence[Joint]) -> None:
        """Leave out what does as well without: it may only happen to be equal."""
        bench = self._bench
        kinds = {(kind(r.module), r.steps): None for r in bench.rewrites if r not in before}
        for own in kinds if len(kinds) > 1 else ():
            every = bench.rewrites
            bench.rewrites = tuple(
                r for r in every if r in before or (kind(r.module), r.steps) != own
            )
            if self._tried(names) is not None:
                bench.rewrites = every
        staying = {*names, *(name for joint in joints for name in joint)}
        partners = {kind(n): None for joint in bench.joints for n in joint if n not in staying}
        for partner in partners if len(partners) > 1 else ():
            together = bench.joints
            left = [[n for n in j if n in staying or kind(n) != partner] for j in together]
            bench.joints = united(list(bench.candidates), left)
            if self._tried(names) is not None:
                bench.joints = together

    def _tried(self, names: Sequence[str]) -> Failure | None:
        bench = self._bench
        if self._strict:
            return bench.runs(names) or bench.computes(names) or bench.agrees(names)
        return bench.runs(names) or bench.computes(names, [ANY])  # all is computed in the end
