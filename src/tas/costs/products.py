"""The expectation of products of several widths: exact and differentiable."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Products"]


class Products(nn.Module):
    """Expected values of products of sides, each a sum of widths that are drawn independently.

    One choice after the other hands its part to some of the sides of a product, and E[a b] is asked
    of it where it does so for two. What the choices so far have given to a set of sides is kept for
    every set; the last one, of all sides, is the expectation.

    Args:
        table: [sides, choices, candidates], what each candidate adds to a side.
        constant: [sides], what it has anyway.
        products: for every product, its sides; one side at least.
    """

    values: Tensor  # [products, choices, sets, K] what a choice's candidates give to a set of sides
    choices: Tensor  # [products, choices] which those are; the last: none
    start: Tensor  # [products, sets] what the sides have anyway
    handed: Tensor  # [3, pairs] sets that have no side in common, and the two together

    def __init__(self, table: Tensor, constant: Tensor, products: Sequence[Sequence[int]]) -> None:
        super().__init__()
        most = max(map(len, products), default=0)
        one = len(constant)  # a side that is always one, where a product has fewer
        table = torch.cat([table, table.new_zeros(1, *table.shape[1:])])
        table = torch.cat([table, table.new_zeros(one + 1, 1, table.shape[2])], 1)
        constant = torch.cat([constant, constant.new_ones(1)])
        sides = torch.tensor([[*own, *[one] * (most - len(own))] for own in products])
        sides = sides.reshape(len(products), most)
        used = [table[own].ne(0).any(2).any(0).nonzero()[:, 0].tolist() for own in sides]
        longest = max(map(len, used), default=0)
        fill = table.shape[1] - 1
        choices = torch.tensor([[*own, *[fill] * (longest - len(own))] for own in used])
        choices = choices.reshape(len(products), longest).long()
        sets = range(2**most)
        inside = torch.tensor([[bool(s >> n & 1) for n in range(most)] for s in sets])
        # [products, choices, sides, K], then multiplied over the sides of each set
        parts = table[sides[:, None, :], choices[:, :, None]]
        values = [torch.where(own[:, None], parts, 1).prod(2) for own in inside]
        start = [torch.where(own, constant[sides], 1).prod(1) for own in inside]
        pairs = [(s, t, s | t) for s in sets for t in sets if not s & t]
        for name, value in {
            "values": torch.stack(values, 2),
            "choices": choices,
            "start": torch.stack(start, 1),
            "handed": torch.tensor(pairs).T,
        }.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, probs: Tensor) -> Tensor:
        """The expectation of every product, for probabilities [choices, candidates]."""
        probs = torch.cat([probs, probs.new_zeros(1, probs.shape[1])])
        given = (self.values * probs[self.choices][:, :, None]).sum(3)  # [products, choices, sets]
        nothing = torch.arange(given.shape[2], device=given.device) == 0
        given = torch.where(nothing, 1.0, given)  # to no side
        had, more, both = self.handed
        found = self.start
        for of_choice in given.unbind(1):
            products = found[:, had] * of_choice[:, more]
            found = torch.zeros_like(of_choice).index_add(1, both, products)
        return found[:, -1]
