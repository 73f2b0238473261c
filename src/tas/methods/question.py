"""What a search that compares answers is given, whatever the nets take."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..costs import Budget
from ..inherit import Source
from ..runs import RunDir
from ..shape import Shape
from ..space import Space
from ..training import Device, History, Objective, TrainOptions
from .baseline import Probabilities
from .found import Found, Tried

__all__ = ["Decision", "Question"]

Decision = tuple[Shape, Sequence[History | None]]  # the better shape, and what it took to tell


@dataclass(frozen=True, kw_only=True)
class Question(ABC):
    """A space, weights, a budget, and what nets are asked.

    Attributes:
        space, source, budget: the choices, the weights, and the most that a shape may cost.
        objective: how nets are called and compared.
        out: a run directory to log to and to continue from.
        budgets: how many are searched for together, this one among them.
        earlier: what was found within those before this one.
    """

    space: Space
    source: Source
    budget: Budget
    objective: Objective = Objective()
    seed: int = 0
    device: Device = "auto"
    out: RunDir | None = None
    progress: bool = True
    budgets: int = 1
    earlier: tuple[Found, ...] = ()

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where a shape comes from, in words."""

    @property
    @abstractmethod
    def trains(self) -> bool:
        """Whether nets are trained to decide."""

    @abstractmethod
    def asked(self) -> Iterable[Any]:
        """Batches that nets are asked about, the same ones in every process."""

    @abstractmethod
    def decide(
        self,
        finalists: Sequence[Shape],
        others: Sequence[Shape],
        lost: Callable[[Shape], float],
        options: TrainOptions,
    ) -> Decision:
        """Which shape is the best, by more than its answers untrained.

        Args:
            finalists: the best one so far and, if these are others, the best one for its parameters
                and equal widths.
            others: those that come next, the best first.
            lost: how far the answers of a shape's net are from the whole net's.
        """

    def measured(self, net: nn.Module) -> nn.Module:
        """A derived net that is ready for use, as far as the question has what that takes."""
        return net

    def found(
        self,
        shape: Shape,
        histories: Sequence[History | None],
        *,
        source: Source | None = None,
        fresh: bool = False,
        probabilities: Probabilities | None = None,
        tried: Tried | None = None,
    ) -> Found:
        """With all that the search did, in its order, in the log as well: what other processes did
        is not there yet."""
        done = [history for history in histories if history is not None]
        if self.out:
            for each in done:
                self.out.keep_log(each.phase, list(each.epochs))
        return Found(
            shape,
            self.budget,
            History("search", tuple(line for each in done for line in each.epochs)),
            self.space,
            source or self.source,
            fresh,
            probabilities,
            self.measured,
            tried,
        )
