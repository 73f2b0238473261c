"""The paper's search: a supernet, whose weights and choices are trained by gradient descent.

*Network Pruning via Transformable Architecture Search*, Dong & Yang, NeurIPS 2019. What it computes
stands in ``algorithm.py``; ``supernet.py`` and ``masked.py`` bring it to nets, ``task.py`` to the
training loop.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from ... import training
from ...costs import Budget
from ...errors import InputError
from ...inherit import Source
from ...seeds import SEEDS
from ...space import Space
from ...spaces import RATIOS
from ..baseline import chosen
from ..found import Found
from ..method import Problem
from .masked import MaskedSupernet
from .options import PaperOptions
from .supernet import Supernet
from .task import Paired, Search

__all__ = ["Paper", "supernet_of"]


@dataclass(frozen=True)
class Paper:
    """The method; see ``tas.methods.Method``."""

    options: PaperOptions

    name: ClassVar[str] = "in the paper's form"
    presets: ClassVar[tuple[str, ...]] = ("paper", "paper-imagenet")
    chosen_by: ClassVar[tuple[str, str]] = ("choose --preset paper", "choose --preset paper")
    residual: ClassVar[str] = "free"
    widths_per: ClassVar[str] = "layer"
    fraction: ClassVar[float] = 0.5
    takes_weights: ClassVar[bool] = False  # interpolation would scramble trained channels
    short_trainings: ClassVar[bool] = False

    def ratios(self, inheriting: bool) -> tuple[float, ...]:
        return RATIOS

    def find(self, problem: Problem) -> Found:
        """The most likely shape at the end of the supernet's training."""
        options = self.options
        with training.seeded(problem.seed):
            supernet = supernet_of(problem.space, problem.source, problem.budget, options.mixing)
        task = Search(supernet, options, float(problem.budget.limit))
        if options.bilevel:
            other = (problem.seed + 1) % SEEDS
            halves = Paired(
                problem.batches(problem.learn, problem.seed), problem.batches(problem.judge, other)
            )
            history = problem.fit(task, halves, seed=problem.seed)
        else:
            whole = problem.batches(problem.data.train, problem.seed)
            history = problem.fit(task, whole, seed=problem.seed)
        with torch.no_grad():
            probabilities = supernet.probabilities()
        shape = chosen(problem.space, probabilities, problem.budget, problem.origin)
        fresh = problem.source.net is None
        return problem.found(
            shape,
            [history],
            source=problem.source.starting_from(supernet.net),
            fresh=fresh,
            probabilities=probabilities,
        )


def supernet_of(space: Space, source: Source, budget: Budget, mixing: str) -> Supernet:
    """The supernet of a space; that of a net that is cut is mixed by masks."""
    if not source.cut:
        mixing = "interpolate" if mixing == "auto" else mixing
        return Supernet(space, unit=budget.unit, mixing=mixing)
    if mixing == "interpolate":
        raise InputError(
            "--mixing interpolate: a traced net can only be searched with --mixing mask"
        )
    return MaskedSupernet(space, source, budget.unit)
