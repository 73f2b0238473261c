"""Finds the numbers in a net's own code that count channels, by trying out guesses.

A net that is cut and fails is rewritten at one number, and at one more, as long as it comes further
by it. What runs at last has to compute what the whole net computes, for one image in evaluation and
for two in training: a number that only happens to be equal does not pass.
"""

from collections.abc import Sequence
from itertools import islice

from .bench import Bench, Failure
from .guesses import Guess, guesses, kind

__all__ = ["Mender"]

STEPS = 6  # numbers, of one kind of module each, that a width may need
MOST = 16  # guesses at each
IN_ALL = 120  # of a net


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
    """

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._left = IN_ALL

    def mend(self, names: Sequence[str]) -> bool:
        """Whether some widths that are alike can be cut with rewrites, which the bench then has."""
        bench, before = self._bench, self._bench.rewrites
        failure = self._tried(names)
        for _ in range(STEPS):
            if failure is None:
                return True
            start, best = bench.rewrites, failure
            step = start
            every = guesses(bench.net, bench.structure, names, failure.place, start)
            for guess in islice(every, min(MOST, self._left)):
                self._left -= 1
                bench.rewrites = start + guess
                further = self._tried(names)
                if further is None:
                    self._spare(names, before)
                    return True
                if further.reached > best.reached:
                    best, step = further, bench.rewrites
            if step is start:
                break
            bench.rewrites, failure = step, best
        bench.rewrites = before
        return False

    def _spare(self, names: Sequence[str], before: Guess) -> None:
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

    def _tried(self, names: Sequence[str]) -> Failure | None:
        bench = self._bench
        return bench.runs(names) or bench.computes(names) or bench.agrees(names)
