"""The expected cost of a space whose candidates have probabilities: exact and differentiable."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap

from ..shape import Side, Sum
from ..space import Space
from .products import Products

__all__ = ["ExpectedCost"]


class ExpectedCost(nn.Module):
    """The expected cost of a space under independent probabilities of its candidates.

    >>> import tas, torch
    >>> space = tas.spaces.resnet_space("resnet20", what="width")
    >>> cost = tas.costs.ExpectedCost(space)
    >>> logits = torch.zeros(len(space.widths), 8, requires_grad=True)  # 8 candidates each
    >>> expected = cost(logits.softmax(-1), torch.empty(0, 1))  # no depth is searched
    >>> expected.backward()
    >>> 0 < expected.item() < space.unpruned.macs, logits.grad.shape
    (True, torch.Size([19, 8]))

    It is the exact expectation of ``Space.cost``: E[c^2] where one choice feeds both sides of a
    layer, E[a b c] where a cost has three, the width of the last kept block where a stage is cut,
    projections with the probability that they are needed. Probabilities of one-hot rows give the
    cost of that shape. All of it is a handful of tensor operations, however many layers there are.
    """

    table: Tensor  # [sides, L K] what each candidate adds to a side
    constant: Tensor  # [sides] what it has anyway
    terms: Tensor  # [3, terms] source and target side, condition (-1: always)
    factors: Tensor  # [2, terms] per pair of channels, per output channel
    shared: Tensor  # [2, P] terms both of whose sides a choice is on, and the choice
    shared_sides: Tensor  # [2, P, K] what the choice's candidates add to either side
    unequal: Tensor  # [3, U] projections, and the choices of their two widths (L: fixed)
    unequal_costs: Tensor  # [U, K, K] what they would cost where the two widths are equal
    masks: Tensor  # [conditions, D, K_d] the depths that meet each condition

    def __init__(self, space: Space, count: str = "macs", dtype: torch.dtype | None = None) -> None:
        super().__init__()
        dtype = dtype or torch.get_default_dtype()  # that of logits, which are parameters
        self.choices = len(space.widths)
        self.columns = tuple(
            max((len(c.candidates) for c in choices), default=1)
            for choices in (space.widths, space.depths)
        )
        shape = len(space.widths), self.columns[0]
        owners = {key: i for i, c in enumerate(space.widths) for key in (c.name, *c.keys)}
        terms = [t for t in space.terms if not (t.unequal and t.source == t.target)]
        terms.sort(key=lambda term: len(term.more) > 0)  # those with more than two sides last
        sides = list(dict.fromkeys(s for t in terms for s in (t.source, t.target, *t.more)))
        place = {side: i for i, side in enumerate(sides)}
        table, constant = _sides(space, sides, owners, shape[1], dtype)
        conditions = sorted(
            {t.when for t in space.terms if t.when}, key=lambda w: (w[0], *sorted(w[1]))
        )
        index = torch.tensor(
            [
                [place[t.source], place[t.target], conditions.index(t.when) if t.when else -1]
                for t in terms
            ]
        ).T
        factors = torch.tensor([t.factors(count) for t in terms], dtype=dtype).T
        crowded = [t for t in terms if t.more]
        products = [[place[s] for s in (t.source, t.target, *t.more)] for t in crowded]
        self.products = Products(table, constant, products) if crowded else None
        self.pairs = len(terms) - len(crowded)  # the first so many terms
        used = table.ne(0).any(2)
        two = index[:, : self.pairs]
        shared = (used[two[0]] & used[two[1]]).nonzero().T  # [2, P]
        # What projections would cost where both widths are equal, and they are not there.
        widths = torch.cat([table, table.new_zeros(len(sides), 1, shape[1])], 1)
        widths[:, -1, 0] = constant
        pairs, costs = [], []
        for i, term in enumerate(terms):
            if term.unequal:
                own = [_owner(side, owners, shape[0]) for side in (term.source, term.target)]
                first, second = (widths[index[s, i], own[s]] for s in (0, 1))
                equal = _where_equal(first, second)
                pairs.append([i, *own])
                costs.append(factors[0, i] * equal * second[None] + factors[1, i] * equal)
        for name, value in {
            "table": table.flatten(1),
            "constant": constant,
            "terms": index,
            "factors": factors,
            "shared": shared,
            "shared_sides": torch.stack([table[index[s, shared[0]], shared[1]] for s in (0, 1)]),
            "unequal": torch.tensor(pairs, dtype=torch.long).reshape(-1, 3).T,
            "unequal_costs": torch.stack(costs) if costs else table.new_zeros(0, 1, 1),
            "masks": _depth_masks(space, conditions, self.columns[1], dtype),
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, width_probs: Tensor, depth_probs: Tensor) -> Tensor:
        """The expected cost, a scalar.

        Args:
            width_probs: [number of width choices, most candidates of one], rows sum to 1.
            depth_probs: likewise for the depth choices.
        """
        present = (self.masks * depth_probs).sum((1, 2))  # [conditions]
        present = torch.cat([present, present.new_ones(1)])[self.terms[2]]  # the last: always
        pair, single = self.factors * present
        mean = self.table @ width_probs.flatten() + self.constant  # [sides]
        a, b = mean[self.terms[0]], mean[self.terms[1]]
        both = a * b
        if self.products is not None:
            both = torch.cat([both[: self.pairs], self.products(width_probs)])
        total: Tensor = (pair * both + single * b).sum()
        if self.shared.shape[1]:  # E[a b] is more than E[a] E[b] where one choice is in both
            probs = width_probs[self.shared[1]]  # [P, K]
            first, second = probs * self.shared_sides
            more = (first * self.shared_sides[1]).sum(1) - first.sum(1) * second.sum(1)
            total = total + (pair[self.shared[0]] * more).sum()
        if self.unequal.shape[1]:  # less what they would cost where both widths are equal
            first = torch.arange(self.columns[0], device=width_probs.device) == 0
            probs = torch.cat([width_probs, first.to(width_probs.dtype)[None]])
            joint = probs[self.unequal[1]][:, :, None] * probs[self.unequal[2]][:, None]
            less = (joint * self.unequal_costs).sum((1, 2))
            total = total - (present[self.unequal[0]] * less).sum()
        return total

    def of_states(self, states: Tensor) -> Tensor:
        """Exact costs [B] of states [B, choices]: a candidate index per width, then per depth."""
        costs: Tensor = vmap(self, chunk_size=1024)(*self.one_hot(states))
        return costs.round()

    def one_hot(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of states [B, choices]: one-hot widths [B, L, K] and depths [B, D, K_d]."""
        widths, depths = states[:, : self.choices], states[:, self.choices :]
        k, k_d = self.columns
        to = self.table.dtype
        return F.one_hot(widths, k).to(to), F.one_hot(depths, k_d).to(to)


def _sides(
    space: Space, sides: Sequence[Side], owners: Mapping[str, int], columns: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """What each candidate adds to each side [sides, L, K], and what the sides have anyway."""
    table = torch.zeros(len(sides), len(space.widths), columns, dtype=dtype)
    constant = torch.zeros(len(sides), dtype=dtype)
    for i, side in enumerate(sides):
        if isinstance(side, int):
            constant[i] = side
            continue
        if isinstance(side, Sum):
            constant[i] = side.constant
        for key, n, of in side.parts if isinstance(side, Sum) else ((side, 1, 1),):
            if key not in owners:  # a width that is not searched
                constant[i] += n * space.widest.widths[key] / of
                continue
            choice = space.widths[owners[key]]
            values = choice.of(key) if key in choice.keys else choice.candidates
            table[i, owners[key], : len(values)] += n * torch.tensor(values, dtype=dtype) / of
    return table, constant


def _depth_masks(
    space: Space,
    conditions: Sequence[tuple[str, frozenset[int]]],
    columns: int,
    dtype: torch.dtype,
) -> Tensor:
    """[conditions, D, K_d]: 1 at the depths that meet a condition."""
    places = {d.name: i for i, d in enumerate(space.depths)}
    masks = torch.zeros(len(conditions), len(places), columns, dtype=dtype)
    for i, (name, allowed) in enumerate(conditions):
        for k, depth in enumerate(space.depths[places[name]].candidates):
            masks[i, places[name], k] = depth in allowed
    return masks


def _owner(side: Side, owners: dict[str, int], fixed: int) -> int:
    """The choice that a side is; a sum is no side of a projection."""
    return owners.get(side, fixed) if isinstance(side, str) else fixed


def _where_equal(a: Tensor, b: Tensor) -> Tensor:
    """[K, K]: the width of a at its candidate where b's is the same, else 0."""
    return a[:, None] * (a[:, None] == b[None])
