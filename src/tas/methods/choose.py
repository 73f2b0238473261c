"""From probabilities and a budget to a ``Shape``.

The shape returned maximises the sum of the log-probabilities of its candidates among the shapes
whose cost is within the budget and at most 1 % below; where the choices are too coarse for that,
at most 1 % below the most expensive shape that fits. Small spaces are tried out whole. In larger
ones this is a knapsack whose items interact (the cost of a layer is the product of two widths): the
most likely shape is repaired towards the budget, once by trading probability against cost at one
price for all choices and once greedily, and then improved by exchanging one or two candidates until
nothing helps, from there again after random kicks.

The cost is linear in the one-hot vector of each choice, so its gradient at a shape holds the exact
cost of every single change: one backward pass prices them all.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from ..costs import Budget, ExpectedCost
from ..errors import InfeasibleBudgetError
from ..shape import Shape
from ..space import Space

__all__ = ["WINDOW", "choose", "padded"]

EXHAUSTIVE = 50_000  # as many shapes are tried one by one
KICKS = 4000  # of the walk, divided by the number of candidates: few choices are the hard case
WINDOW = 0.01  # the part of the budget that may stay unused
PAIRS = 64  # exchanges of two candidates that are priced exactly, of the most promising ones


def choose(
    space: Space,
    width_probs: Tensor,
    depth_probs: Tensor,
    budget: Budget,
    origin: str = "",
    enough: int = 0,
) -> Shape:
    """The most likely shape within the budget.

    Args:
        width_probs: probabilities [L, K] of the candidates of each width choice.
        depth_probs: likewise [D, K_d] of the depth choices.
        budget: the most that the shape may cost.
        enough: shapes to choose among, in a space small enough to be tried whole: where fewer lie
            at most 1 % below the budget, so many of the most expensive that fit are taken.

    Raises:
        InfeasibleBudgetError: no shape fits.
    """
    budget.check(space)
    knapsack = _Knapsack(space, width_probs, depth_probs, budget)
    if prod(knapsack.sizes) <= EXHAUSTIVE:
        states = torch.cartesian_prod(*map(torch.arange, knapsack.sizes))
        states = states.reshape(-1, len(knapsack.sizes))
    else:
        states, enough = torch.stack(knapsack.walks()), 0
    knapsack.reach(states, enough)
    best = states[knapsack.best(states)]
    found, n_widths = best.tolist(), len(space.widths)
    shape = space.shape(found[:n_widths], found[n_widths:], origin)
    if not budget.fits(space, shape):
        raise InfeasibleBudgetError(
            f"no shape meets all limits together, {budget.unit.said(budget.limit)} and "
            f"{' and '.join(each.unit.said(each.limit) for each in budget.also)}",
            *budget.range(space),
        )
    return shape


def padded(rows: Sequence[Sequence[float] | Tensor]) -> Tensor:
    """Rows of different lengths as one table [rows, K], padded with -inf."""
    columns = max(map(len, rows), default=1)
    filled = torch.full((len(rows), columns), -torch.inf)
    for line, row in zip(filled, rows, strict=True):
        line[: len(row)] = torch.as_tensor(row)
    return filled


class _Knapsack:
    """Width and depth choices as one list; a state [choices] holds a candidate index for each."""

    def __init__(self, space: Space, widths: Tensor, depths: Tensor, budget: Budget) -> None:
        self.budget = budget.limit
        self.floor = budget.limit * (1 - WINDOW)
        self.model, self.others = budget.expected(space), budget.within_others(space)
        self.limits = [(each.expected(space), each.limit) for each in budget.also]
        self.n_widths, self.columns = self.model.choices, self.model.columns
        self.sizes = [len(c.candidates) for c in space.widths] + [
            len(c.candidates) for c in space.depths
        ]
        # Log-probabilities; candidates that do not exist have -inf and are never taken.
        self.score = torch.full((len(self.sizes), max(self.columns)), -torch.inf).double()
        rows = [*widths.detach().cpu().double(), *depths.detach().cpu().double()]
        for i, (row, size) in enumerate(zip(rows, self.sizes, strict=True)):
            self.score[i, :size] = row[:size].clamp_min(1e-30).log()

    # What a state is worth -------------------------------------------------------------------

    def costs(self, states: Tensor) -> Tensor:
        """Costs [B] of states [B, choices]."""
        return self.model.of_states(states)

    def reach(self, states: Tensor, enough: int) -> None:
        """Lower the window's floor to where it has to be: just below the most expensive state that
        fits, and so far that ``enough`` of the states lie in the window, or all that fit."""
        costs = self.costs(states)
        fitting = costs[(costs <= self.budget) & self.others(states)]
        fitting = fitting.sort(descending=True).values
        if not len(fitting):
            return
        if float(fitting[0]) < self.floor:
            self.floor = float(fitting[0]) * (1 - WINDOW)
        if enough:
            self.floor = min(self.floor, float(fitting[:enough][-1]))

    def scores(self, states: Tensor) -> Tensor:
        """Sums of log-probabilities [B] of states [B, choices]."""
        rows = torch.arange(len(self.sizes))
        return self.score[rows, states].sum(-1)

    def best(self, states: Tensor, towards: bool = False) -> int:
        """The place of the best state that fits: one in the window, then the largest score.

        ``towards``: outside the window the larger cost is better, which leads a walk into it.
        """
        costs, floor = self.costs(states), self.floor
        rank = costs.clamp_max(floor) if towards else (costs >= floor).double()
        rank = torch.where((costs <= self.budget) & self.others(states), rank, -torch.inf)
        return int(torch.where(rank == rank.max(), self.scores(states), -torch.inf).argmax())

    def changes(
        self, state: Tensor, model: ExpectedCost | None = None
    ) -> tuple[float, Tensor, Tensor]:
        """Cost of a state, and what each single change adds to cost and score [choices, K].

        Args:
            model: of another cost than the budget's.
        """
        hot = [part[0].requires_grad_() for part in self.model.one_hot(state[None])]
        with torch.enable_grad():
            cost = (model or self.model)(*hot)
            slopes = torch.autograd.grad(cost, hot, allow_unused=True, materialize_grads=True)
        price = torch.zeros_like(self.score)
        price[: self.n_widths, : self.columns[0]] = slopes[0]
        price[self.n_widths :, : self.columns[1]] = slopes[1]
        here = state[:, None]
        return (
            float(cost.detach()),
            (price - price.gather(1, here)).round(),
            self.score - self.score.gather(1, here),
        )

    def walks(self) -> list[Tensor]:
        """The ends of several walks: from good starts, then from the best end, disturbed."""
        ends = [self.improved(state) for state in self.starts()]
        generator = torch.Generator().manual_seed(0)
        probs = self.score.exp()
        for _ in range(KICKS // sum(self.sizes)):
            state = ends[self.best(torch.stack(ends))].clone()
            kicked = torch.randperm(len(state), generator=generator)[:3]
            state[kicked] = torch.multinomial(probs[kicked], 1, generator=generator)[:, 0]
            ends.append(self.improved(self.repaired(state)))
        return ends

    # Where the search starts -----------------------------------------------------------------

    def starts(self) -> list[Tensor]:
        """Feasible states to improve."""
        likely = self.score.argmax(1)
        if float(self.costs(likely[None])) <= self.budget and bool(self.others(likely[None])[0]):
            return [likely]
        # The lowest price per unit of cost at which the best states are cheap enough.
        low, high = 0.0, 1.0 / self.budget
        state = self.at_price(likely, high)
        while float(self.costs(state[None])) > self.budget and high < 1e6:
            low, high = high, high * 4
            state = self.at_price(state, high)
        above = likely
        for _ in range(12):
            middle = (low + high) / 2
            trial = self.at_price(state, middle)
            if float(self.costs(trial[None])) > self.budget:
                low, above = middle, trial
            else:
                high, state = middle, trial
        return [self.repaired(state), self.repaired(above), self.repaired(likely)]

    def at_price(self, state: Tensor, price: float) -> Tensor:
        """A state that no single change betters, in score less ``price`` times cost."""
        state = state.clone()
        for _ in range(20 * len(self.sizes)):
            _, cost, score = self.changes(state)
            gain = score - price * cost
            if float(gain.max()) <= 1e-12:
                break
            choice, candidate = divmod(int(gain.argmax()), gain.shape[1])
            state[choice] = candidate
        return state

    def repaired(self, state: Tensor) -> Tensor:
        """The state made cheaper, at the least loss of score per unit of cost, until it fits."""
        for model, limit in [(self.model, self.budget), *self.limits]:
            state = self.cheapened(state, model, limit)
        return state

    def cheapened(self, state: Tensor, model: ExpectedCost, limit: int) -> Tensor:
        """The state made cheaper in one cost until it is within its limit."""
        state = state.clone()
        while True:
            now, cost, score = self.changes(state, model)
            if now <= limit:
                return state
            saved = (-cost).clamp(0, now - limit)  # more than what is needed is worth nothing
            loss = torch.where((saved > 0) & score.isfinite(), -score / saved, torch.inf)
            if not loss.isfinite().any():  # no single change saves anything
                return torch.zeros_like(state)
            choice, candidate = divmod(int(loss.argmin()), loss.shape[1])
            state[choice] = candidate

    # How it is improved ----------------------------------------------------------------------

    def improved(self, state: Tensor) -> Tensor:
        """The state after exchanges of one or two candidates, until none is better."""
        while True:
            cost, price, gain = self.changes(state)
            single = self.neighbours(state, price, gain)
            pairs = self.promising_pairs(state, cost, price, gain)
            trials = torch.cat([state[None], single, pairs])
            best = self.best(trials, towards=True)
            if best == 0:
                return state
            state = trials[best]

    def neighbours(self, state: Tensor, price: Tensor, gain: Tensor) -> Tensor:
        """All states [B, choices] with one other candidate."""
        rows, columns = torch.where(gain.isfinite())
        trials = state.repeat(len(rows), 1)
        trials[torch.arange(len(rows)), rows] = columns
        return trials

    def promising_pairs(self, state: Tensor, cost: float, price: Tensor, gain: Tensor) -> Tensor:
        """States with two other candidates that, were the two independent, would be better."""
        rows, columns = torch.where(gain.isfinite())
        total = price[rows, columns][:, None] + price[rows, columns] + cost
        score = gain[rows, columns][:, None] + gain[rows, columns]
        lowest = min(cost, self.floor)
        # Two neighbours interact by a few percent of the change, hence the slack of the window.
        slack = self.budget * WINDOW
        hopeful = (
            (rows[:, None] < rows) & (total <= self.budget + slack) & (total >= lowest - slack)
        )
        if cost >= self.floor:
            hopeful &= score > 0
        ranked = torch.where(hopeful, score, -torch.inf).flatten().topk(min(PAIRS, score.numel()))
        place = ranked.indices[ranked.values.isfinite()]
        first, second = place // len(rows), place % len(rows)
        trials = state.repeat(len(place), 1)
        index = torch.arange(len(place))
        trials[index, rows[first]] = columns[first]
        trials[index, rows[second]] = columns[second]
        return trials
