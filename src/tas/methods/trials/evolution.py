"""Evolution: better and better shapes within a budget, by a loss that is asked of each.

Children differ from the best shapes so far in a few choices, as far as the cost stays at the budget
(a plus strategy; Real et al., *Large-Scale Evolution of Image Classifiers*, ICML 2017, evolve
architectures the same way). Thousands are drawn, and those are asked of which all losses so far
promise most: a lower bound of what they foretell (Srinivas et al., *Gaussian Process Optimization
in the Bandit Setting*, ICML 2010). What was asked within other budgets tells as well.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Generator, Tensor

from ...costs import Budget
from ...space import DepthChoice, Space, WidthChoice
from ..choose import WINDOW
from ..found import Tried
from ..sampling import states_near
from .surrogate import foretold

__all__ = ["evolve", "generations", "tried"]

FIRST = 24  # random shapes, with which it begins where nothing is known
POOL = 512  # random shapes, of which the most promising are its first where something is
CHILDREN = 12  # of a generation
PARENTS = 8  # the best so far, of which they descend, the better ones more often
FAVOUR = 3.0  # mean rank of a parent
DRAWS = 4096  # children that are drawn, most of which cost too much or too little
BOLDNESS = 1.0  # standard deviations by which a child may turn out better than foretold
CHANGED = 3.0  # choices of a child that differ from its parent's, on average and beside the first
PATIENCE = 8  # generations in which nothing is gained, or a third of all where these are more
GAIN = 0.01  # of the lowest loss, below which it is nothing
FINALISTS = 4  # that are returned, to be asked more
STEP = 4  # candidates by which a choice changes, at most


def generations(trials: int, known: bool = False) -> list[int]:
    """How many shapes are asked in every generation, of so many in all."""
    sizes = [min(CHILDREN if known else FIRST, trials)]
    while (left := trials - sum(sizes)) > 0:
        sizes.append(min(CHILDREN, left))
    return sizes


def evolve(
    space: Space,
    budget: Budget,
    trials: int,
    generator: Generator,
    losses_of: Callable[[Tensor], Iterable[float]],
    earlier: Tried | None = None,
) -> Tensor:
    """The states [shapes, choices] of the lowest losses at the budget, of those that were asked:
    some of them, the best first.

    Args:
        budget: the most that a shape may cost; what is returned costs at most 1 % less, if any
            that was asked does.
        trials: shapes to ask; fewer where no more are found, or the last ones gained nothing.
        losses_of: of states [shapes, choices] (candidate indices of widths, then of depths); called
            once for every generation.
        earlier: what was asked within other budgets.

    Raises:
        InfeasibleBudgetError: no shape fits.
    """
    limit, model = budget.limit, budget.expected(space)
    others = budget.within_others(space)
    first = generations(trials, earlier is not None)[0]
    pool = first if earlier is None else POOL
    states = states_near(space, budget, 1 - WINDOW, 1.0, pool, generator)
    if earlier is not None:
        states = states[_promising(space, states[:0], torch.empty(0), states, earlier)[:first]]
    losses = torch.tensor([*losses_of(states)], dtype=torch.float64)
    patience = max(PATIENCE, len(generations(trials, earlier is not None)) // 3)
    lowest = [float(losses.min())]  # after every generation
    while len(states) < trials and not _rests(lowest, patience):
        parents = states[losses.argsort(stable=True)[:PARENTS]]
        drawn = _fresh(_children(space, parents, generator), states)
        drawn = drawn[others(drawn)]
        costs = model.of_states(drawn)
        drawn, costs = drawn[costs <= limit], costs[costs <= limit]
        if len(drawn) == 0:
            break
        hopeful = _promising(space, states, losses, drawn, earlier)
        # The dearest first; those at the budget, all alike, in the order of what they promise.
        alike = costs[hopeful].clamp_max((1 - WINDOW) * limit)
        rank = hopeful[alike.argsort(descending=True, stable=True)]
        children = drawn[rank][: min(CHILDREN, trials - len(states))]
        states = torch.cat([states, children])
        losses = torch.cat([losses, losses.new_tensor([*losses_of(children)])])
        lowest.append(float(losses.min()))
    costs = model.of_states(states)
    dear = costs >= min((1 - WINDOW) * limit, float(costs.max()))
    states, losses = states[dear], losses[dear]
    return states[losses.argsort(stable=True)[:FINALISTS]]


def _rests(lowest: list[float], patience: int) -> bool:
    """Whether the last generations, as many as there is patience for, gained nothing."""
    return len(lowest) > patience and lowest[-1] > (1 - GAIN) * lowest[-1 - patience]


def tried(space: Space, states: Tensor, losses: Tensor) -> Tried:
    """What was asked of states [shapes, choices] of a space, for searches of other budgets."""
    return Tried(space.doublings(states) + _largest(space), losses)


def _largest(space: Space) -> Tensor:
    """log2 of the largest candidate of every choice."""
    return torch.tensor([c.candidates[-1] for c in space.choices], dtype=torch.float64).log2()


def _promising(
    space: Space, states: Tensor, losses: Tensor, others: Tensor, earlier: Tried | None
) -> Tensor:
    """Numbers of other states, those first that may turn out best by all that was asked."""
    at = space.doublings(states)
    if earlier is not None:
        at = torch.cat([earlier.at - _largest(space), at])
        losses = torch.cat([earlier.losses, losses])
    mean, deviation = foretold(at, losses, space.doublings(others))
    return (mean - BOLDNESS * deviation).argsort(stable=True)


def _children(space: Space, parents: Tensor, generator: Generator) -> Tensor:
    """[DRAWS, choices]: copies of parents, half of them with some choices moved by some candidates,
    the others with all choices of some families."""
    sizes = torch.tensor([len(choice.candidates) for choice in space.choices])
    rank = torch.empty(DRAWS).exponential_(1 / FAVOUR, generator=generator).long()
    single = _moves(len(sizes), generator)
    families = [_family(choice) for choice in space.choices]
    names = list(dict.fromkeys(families))
    jointly = _moves(len(names), generator)[:, [names.index(family) for family in families]]
    alone = torch.rand(DRAWS, 1, generator=generator) < 0.5
    children = parents[rank % len(parents)] + torch.where(alone, single, jointly)
    return children.clamp_min(0).minimum(sizes - 1)


def _moves(count: int, generator: Generator) -> Tensor:
    """[DRAWS, count]: by how many candidates each is moved, at least one of them."""
    moved = torch.rand(DRAWS, count, generator=generator) < CHANGED / count
    moved[torch.arange(DRAWS), torch.randint(count, (DRAWS,), generator=generator)] = True
    return moved * torch.randint(-STEP, STEP + 1, moved.shape, generator=generator)


def _family(choice: WidthChoice | DepthChoice) -> str:
    """Streams of a stage, or what is within its blocks; a depth is one of its own."""
    if isinstance(choice, WidthChoice) and choice.group:
        return f"{choice.group} {choice.kind}"
    return choice.name


def _fresh(drawn: Tensor, known: Tensor) -> Tensor:
    """The states that are not known yet, each once, in the order in which they were drawn."""
    seen = {tuple(state) for state in known.tolist()}
    fresh = dict.fromkeys(map(tuple, drawn.tolist()))
    rows = [state for state in fresh if state not in seen]
    return torch.tensor(rows, dtype=known.dtype).reshape(-1, known.shape[1])
