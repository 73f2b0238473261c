"""Evolution: better and better shapes within a budget, by a loss that is asked of each.

Children differ from the best shapes so far in a few choices, as far as the cost stays at the budget
(a plus strategy; Real et al., *Large-Scale Evolution of Image Classifiers*, ICML 2017, evolve
architectures the same way). Thousands are drawn, and those are asked of which all losses so far
promise most: a lower bound of what they foretell (Srinivas et al., *Gaussian Process Optimization
in the Bandit Setting*, ICML 2010). What was asked within other budgets tells as well. The last
generations, if wanted, look for shapes that lose little and have many parameters.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter

import torch
from torch import Generator, Tensor

from ...costs import PARAMS, Budget, ExpectedCost
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
LAST = 6  # of the generations, one of so many, that look for shapes with more parameters
ASKED_MORE = 4  # of either kind, on all examples
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
    larger: bool = False,
) -> Tensor:
    """The states [shapes, choices] that are to be asked more: of those that were asked and are at
    the budget the ones of the lowest losses, the best first. They cost at most 1 % less than the
    budget, if any that was asked does.

    Args:
        budget: the most that a shape may cost.
        trials: shapes to ask; fewer where no more are found, or the last ones gained nothing.
        losses_of: of states [shapes, choices] (candidate indices of widths, then of depths); called
            once for every generation.
        earlier: what was asked within other budgets.
        larger: the last generations descend from those that lose least for their parameters, and
            the best of these are returned as well.

    Raises:
        InfeasibleBudgetError: no shape fits.
    """
    sizes = generations(trials, earlier is not None)
    patience = max(PATIENCE, len(sizes) // 3)
    last = sum(sizes[len(sizes) - len(sizes) // LAST :]) if larger else 0
    asked = _Asked(space, budget, generator, losses_of, earlier, sizes[0])
    lowest = [asked.lowest]  # after every generation
    while len(asked) < trials - last and not _rests(lowest, patience):
        if not asked.grow(trials - last - len(asked), _LOSS):
            break
        lowest.append(asked.lowest)
    most = min(trials, len(asked) + last)
    while len(asked) < most and asked.grow(most - len(asked), _FOR_SIZE):
        pass
    best = asked.best(_LOSS)
    return torch.cat([best, _fresh(asked.best(_FOR_SIZE), best)]) if larger else best


_LOSS = attrgetter("losses")
_FOR_SIZE = attrgetter("for_size")


class _Asked:
    """All states that were asked within a budget; their number grows by a generation at a time.

    It begins with so many random ones; where something is known, with the most promising of more.
    """

    def __init__(
        self,
        space: Space,
        budget: Budget,
        generator: Generator,
        losses_of: Callable[[Tensor], Iterable[float]],
        earlier: Tried | None,
        first: int,
    ) -> None:
        self.space, self.budget, self.generator = space, budget, generator
        self.losses_of = losses_of
        self.model, self.fit = budget.expected(space), budget.within_others(space)
        self.params = _params(space)
        pool = first if earlier is None else POOL
        states = states_near(space, budget, 1 - WINDOW, 1.0, pool, generator)
        if earlier is not None:
            states = states[self._promising(states, earlier, _LOSS)[:first]]
        self.states, self.own = states, self._ask(states)
        self.known = self.own if earlier is None else earlier.and_also(self.own)

    @property
    def lowest(self) -> float:
        return float(self.own.losses.min())

    def __len__(self) -> int:
        return len(self.states)

    def grow(self, most: int, by: Callable[[Tried], Tensor]) -> bool:
        """Ask a generation, at most so many, of children of those that are best by something;
        False: there are none."""
        parents = self.states[by(self.own).argsort(stable=True)[:PARENTS]]
        drawn = _fresh(_children(self.space, parents, self.generator), self.states)
        drawn = drawn[self.fit(drawn)]
        costs = self.model.of_states(drawn)
        drawn, costs = drawn[costs <= self.budget.limit], costs[costs <= self.budget.limit]
        if len(drawn) == 0:
            return False
        hopeful = self._promising(drawn, self.known, by)
        # The dearest first; those at the budget, all alike, in the order of what they promise.
        alike = costs[hopeful].clamp_max((1 - WINDOW) * self.budget.limit)
        children = drawn[hopeful[alike.argsort(descending=True, stable=True)]]
        children = children[: min(CHILDREN, most)]
        told = self._ask(children)
        self.states = torch.cat([self.states, children])
        self.own, self.known = self.own.and_also(told), self.known.and_also(told)
        return True

    def best(self, by: Callable[[Tried], Tensor]) -> Tensor:
        """The best [shapes, choices] by something, of those at the budget."""
        costs = self.model.of_states(self.states)
        dear = costs >= min((1 - WINDOW) * self.budget.limit, float(costs.max()))
        order = by(self.own)[dear].argsort(stable=True)
        return self.states[dear][order[:ASKED_MORE]]

    def _ask(self, states: Tensor) -> Tried:
        return tried(self.space, states, self.losses_of(states), self.params)

    def _promising(self, others: Tensor, known: Tried, by: Callable[[Tried], Tensor]) -> Tensor:
        """Numbers of other states, those first that may turn out best by what is known."""
        mean, deviation = foretold(known.at, by(known), _doublings(self.space, others))
        return (mean - BOLDNESS * deviation).argsort(stable=True)


def _rests(lowest: list[float], patience: int) -> bool:
    """Whether the last generations, as many as there is patience for, gained nothing."""
    return len(lowest) > patience and lowest[-1] > (1 - GAIN) * lowest[-1 - patience]


def tried(
    space: Space, states: Tensor, losses: Iterable[float], params: ExpectedCost | None = None
) -> Tried:
    """What was asked of states [shapes, choices] of a space, for searches of other budgets.

    Args:
        params: the space's parameters, where they are at hand.
    """
    found = torch.tensor([*losses], dtype=torch.float64)
    return Tried(_doublings(space, states), found, (params or _params(space)).of_states(states))


def _params(space: Space) -> ExpectedCost:
    return PARAMS.expected(space, torch.float64)


def _doublings(space: Space, states: Tensor) -> Tensor:
    """log2 [shapes, choices] of what states chose."""
    largest = torch.tensor([c.candidates[-1] for c in space.choices], dtype=torch.float64)
    return space.doublings(states) + largest.log2()


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
