"""Random shapes near a budget: the pool of the probes, and the first generation of evolution."""

import torch
from torch import Generator, Tensor

from ..costs import Budget
from ..errors import InfeasibleBudgetError
from ..space import Space

__all__ = ["states_near"]

ROUNDS, DRAWS = 64, 4096  # at most so many batches of so many draws
SPREAD = 4.0  # standard deviation of a tilt; at this one, all is e^2 times as likely as half


def states_near(
    space: Space,
    budget: Budget,
    low: float,
    high: float,
    count: int,
    generator: Generator,
) -> Tensor:
    """Different random states [at most count, choices] that cost low to high times the budget.

    A draw first tilts every choice towards wide or narrow, and then draws its candidate: the
    corners of the space, which tell most, come out as often as its middle.

    Returns:
        candidate indices; where no draw falls between low and high, whatever fits the budget.

    Raises:
        InfeasibleBudgetError: none of the draws fits, nor does the smallest shape.
    """
    candidates = [c.candidates for c in space.widths] + [c.candidates for c in space.depths]
    size = torch.full((len(candidates), max(map(len, candidates))), -torch.inf)  # of the largest
    for row, values in zip(size, candidates, strict=True):
        row[: len(values)] = torch.tensor(values) / values[-1]
    model, others = budget.expected(space), budget.within_others(space)

    near, fitting, found = torch.empty(0, len(candidates), dtype=torch.long), [], 0
    for _ in range(ROUNDS):
        common = (2 * torch.rand(DRAWS, 1, generator=generator) - 1) * 2 * SPREAD
        own = SPREAD * torch.randn(DRAWS, len(candidates), generator=generator)
        tilt = (common + own)[:, :, None]  # [draws, choices, 1]
        gumbel = -torch.empty(DRAWS, *size.shape).exponential_(generator=generator).log()
        scores = torch.where(size.isfinite(), tilt * size + gumbel, -torch.inf)
        states = scores.argmax(-1)
        states = states[others(states)]
        costs = model.of_states(states)
        inside = (costs >= low * budget.limit) & (costs <= high * budget.limit)
        near = torch.unique(torch.cat([near, states[inside]]), dim=0)
        fitting.append(states[costs <= budget.limit])
        if len(near) >= count or (len(near) == found and len(near) > 0):
            break
        found = len(near)
    if len(near) == 0:
        smallest = torch.zeros(1, len(candidates), dtype=torch.long)  # which no draw may have met
        smallest = smallest[(model.of_states(smallest) <= budget.limit) & others(smallest)]
        near = torch.unique(torch.cat([*fitting, smallest]), dim=0)
    if len(near) == 0:
        lowest, highest = budget.range(space)
        text = f"no shape fits {budget.unit.said(budget.limit)} and what else it may cost"
        raise InfeasibleBudgetError(text, lowest, highest)
    order = torch.randperm(len(near), generator=generator)
    return near[order[:count]]
