"""Probes: a few shapes that are trained for a short time, and tell what a doubling is worth."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Generator, Tensor

from ... import training
from ...seeds import SEEDS
from ...shape import Shape
from ...space import Space
from ...training import History
from ..sampling import states_near
from .options import ProbeOptions
from .response import design, fit_logits

__all__ = ["POOL", "by_probes", "final_loss", "side_by_side"]

POOL = 4096  # shapes near the budget, out of which the probes are taken

Training = Callable[[str, Shape, int], History]  # of a shape, under a name and with a seed


def by_probes(
    space: Space, limit: int, unit: str, options: ProbeOptions, train: Training, seed: int
) -> tuple[tuple[Tensor, Tensor], list[History]]:
    """Probabilities of the candidate widths [L, K] and depths [D, K_d], and the trainings.

    Args:
        train: trains a shape, and tests it on held-out pictures.
    """
    generator = Generator().manual_seed(seed)
    near = states_near(space, limit, unit, options.low, options.high, POOL, generator)
    probes = design(space, near, options.probes)
    n = len(space.widths)
    shapes = [space.shape(state[:n], state[n:]) for state in probes.tolist()]
    # Every probe is another sample of all that is random.
    histories = side_by_side("probe", shapes, train, seed * 1000)
    losses = torch.tensor([final_loss(each) for each in histories])
    logits = fit_logits(space, probes, losses)
    return (logits[0].softmax(-1), logits[1].softmax(-1)), histories


def side_by_side(name: str, shapes: Sequence[Shape], train: Training, seed: int) -> list[History]:
    """Train the nets of some shapes; several processes train different ones at the same time.

    Args:
        seed: of what comes before the first.
    """
    jobs = [
        partial(train, f"{name}-{i:02d}-of-{len(shapes):02d}", shape, (seed + i) % SEEDS)
        for i, shape in enumerate(shapes, start=1)
    ]
    return training.side_by_side(jobs, [float(shape.macs or 0) for shape in shapes])


def final_loss(history: History) -> float:
    """Of the last training epoch plus that on held-out pictures.

    Both tell of the shape; each has noise of its own.
    """
    return float(history.last["loss"] + history.last["test_loss"])
