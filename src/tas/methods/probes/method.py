"""From fresh weights: a few shapes, the probes, are trained for a short time.

The probes are chosen by a D-optimal design (``response.design``). A linear model is fitted to their
losses (``response.fit_logits``), and the best shape of that model within the budget is returned.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator

from ...errors import DivergedError
from ...spaces import FINE_RATIOS, WIDE_RATIOS
from ..baseline import chosen
from ..found import Found
from ..method import Problem, final_loss
from ..sampling import states_near
from .options import ProbeOptions
from .response import design, fit_logits

__all__ = ["POOL", "Probes"]

POOL = 4096  # shapes near the budget, out of which the probes are taken


@dataclass(frozen=True)
class Probes:
    """The method; see ``tas.methods.Method``."""

    options: ProbeOptions

    name: ClassVar[str] = "from fresh weights, by probes"
    presets: ClassVar[tuple[str, ...]] = ("quick", "finetune", "cifar", "imagenet")
    chosen_by: ClassVar[tuple[str, str]] = ("give --inherit false", "leave out --weights as well")
    residual: ClassVar[str] = "tied"
    widths_per: ClassVar[str] = "stage"
    fraction: ClassVar[float] = 0.8
    takes_weights: ClassVar[bool] = True
    short_trainings: ClassVar[bool] = True

    def ratios(self, inheriting: bool) -> tuple[float, ...]:
        return FINE_RATIOS if inheriting else WIDE_RATIOS

    def find(self, problem: Problem) -> Found:
        """The best shape within the budget, by a model fitted to the losses of the probes.

        Raises:
            DivergedError: all probes diverged.
        """
        space, options = problem.space, self.options
        generator = Generator().manual_seed(problem.seed)
        near = states_near(space, problem.budget, options.low, options.high, POOL, generator)
        probes = design(space, near, options.probes)
        n = len(space.widths)
        shapes = [space.shape(state[:n], state[n:]) for state in probes.tolist()]
        histories = problem.train_all("probe", shapes, options)
        losses = torch.tensor([final_loss(each) for each in histories])
        if not losses.isfinite().any():
            raise DivergedError(
                f"all {len(shapes)} probes diverged: lower --lr ({options.lr:g}), "
                f"e.g. to {options.lr * 0.3:.1g}"
            )
        widths, depths = fit_logits(space, probes, losses)
        probabilities = widths.softmax(-1), depths.softmax(-1)
        shape = chosen(space, probabilities, problem.budget, problem.origin)
        fresh = problem.source.net is None
        return problem.found(shape, histories, fresh=fresh, probabilities=probabilities)
