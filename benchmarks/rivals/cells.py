"""What the table tells of one net at one budget, by every method."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev

from plan import NET_NAMES
from rows import Row

__all__ = ["EQUAL", "OURS", "RANDOM", "SHAPE", "Cell", "cells", "is_rival"]

OURS, EQUAL, RANDOM, SHAPE = "ours", "equal", "random", "tp-shape"
TESTED = 10_000  # test pictures of either data set


@dataclass(frozen=True)
class Cell:
    """All methods for one net, data set and budget.

    Attributes:
        rows: by method, of all seeds, those without an error.
    """

    net: str
    data: str
    pictures: int
    budget: float
    rows: dict[str, list[Row]]

    @property
    def on(self) -> str:
        """The pictures, in words."""
        return f"{self.data}, {self.pictures:,}"

    def has(self, method: str) -> bool:
        return bool(self.rows.get(method))

    def accuracy(self, method: str) -> float:
        return mean(row.accuracy or 0.0 for row in self.rows[method])

    def error(self, method: str) -> float | None:
        """The standard error over seeds; None of one seed."""
        values = [row.accuracy or 0.0 for row in self.rows[method]]
        return stdev(values) / len(values) ** 0.5 if len(values) > 1 else None

    def average(self, method: str, of: str) -> float:
        return mean(getattr(row, of) or 0.0 for row in self.rows[method])

    @property
    def teacher(self) -> Row:
        return next(iter(self.rows.values()))[0]

    def lost(self, method: str) -> float:
        """Points below the teacher."""
        return (self.teacher.teacher_accuracy or 0.0) - self.accuracy(method)

    @property
    def best_rival(self) -> str | None:
        """Torch-Pruning's best setting, by the accuracy that is shown."""
        own = [m for m in self.rows if is_rival(m) and self.has(m)]
        return max(own, key=self.accuracy) if own else None

    def sampling(self, method: str) -> float:
        """Standard error of an accuracy by the choice of test pictures: half a point at most."""
        right = self.accuracy(method) / 100
        return 100 * (right * (1 - right) / TESTED) ** 0.5

    def noise(self, one: str, other: str) -> float:
        """Standard error of the difference of two methods; of one seed, that by test pictures."""
        errors = [self.error(one), self.error(other)]
        if None in errors:
            return self.sampling(other)
        return sum((e or 0.0) ** 2 for e in errors) ** 0.5

    @property
    def ours_is_best(self) -> bool:
        """Best, or within the noise of the best."""
        best = max((m for m in self.rows if self.has(m)), key=self.accuracy)
        gap = self.accuracy(best) - self.accuracy(OURS)
        return best == OURS or gap <= self.noise(OURS, best)

    @property
    def kept(self) -> float | None:
        """Of what Torch-Pruning's best setting loses, the part that ours keeps; None where that is
        no more than noise."""
        rival = self.best_rival
        if rival is None or not self.has(OURS) or self.lost(rival) <= self.sampling(rival):
            return None
        return 1 - self.lost(OURS) / self.lost(rival)


def is_rival(method: str) -> bool:
    return method.startswith("tp-") and method != SHAPE


def cells(rows: Iterable[Row], stage: str) -> list[Cell]:
    """Of one stage, in the order of nets, data sets and budgets."""
    found: dict[tuple[str, str, int, float], dict[str, list[Row]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        if row.stage == stage and not row.error and row.accuracy is not None:
            found[row.net, row.data, row.pictures, row.budget][row.method].append(row)
    order = {name: number for number, name in enumerate(NET_NAMES)}
    keys = sorted(found, key=lambda k: (k[1], k[2], order.get(k[0], 99), k[0], -k[3]))
    return [Cell(*key, dict(found[key])) for key in keys]
