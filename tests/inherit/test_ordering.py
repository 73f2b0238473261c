"""The order of channels is that of greedy selection, whatever their number."""

import torch
from torch import Tensor

from tas.inherit import ordering
from tas.inherit.ordering import greedy


def pairs(atoms: int, parts: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)

    def of(rows: int) -> Tensor:
        x = torch.randn(rows, atoms, generator=generator).double()
        mix = torch.randn(atoms, atoms, generator=generator).double() / atoms**0.5
        return x @ (torch.eye(atoms) + mix)

    given = [(of(4 * atoms), of(atoms + 3 - 6 * (n % 2))) for n in range(parts)]
    return [(x.T @ x / len(x), w) for x, w in given]


def plain(parts: list[tuple[Tensor, Tensor]]) -> list[int]:
    """One atom after another, all matrices worked out anew."""
    parts, order = [(c.clone(), w.T @ w) for c, w in parts], list[int]()
    least = [1e-3 * c.diagonal().mean() for c, _ in parts]
    for _ in range(len(parts[0][0])):
        gain = sum(
            (c @ g @ c).diagonal() / (c.diagonal() + e)
            for (c, g), e in zip(parts, least, strict=True)
        )
        gain[order] = -torch.inf
        best = int(gain.argmax())
        order.append(best)
        for (c, _), e in zip(parts, least, strict=True):
            c -= torch.outer(c[:, best], c[best]) / (c[best, best] + e)
    return order


def test_the_order_is_that_of_the_least_squares() -> None:
    """Each step takes the atom that leaves the least unexplained, solved anew."""
    torch.manual_seed(0)
    x, w = torch.randn(200, 6).double() @ torch.randn(6, 6).double(), torch.randn(9, 6).double()
    c, g = x.T @ x / 200, w.T @ w

    def unexplained(atoms: list[int]) -> float:
        among = c[atoms][:, atoms] + 1e-9 * torch.eye(len(atoms))
        left = c - c[:, atoms] @ torch.linalg.solve(among, c[atoms])
        return float((g * left).sum())

    chosen: list[int] = []
    for atom in greedy([(c, w)]).tolist()[:4]:
        others = [a for a in range(6) if a not in chosen]
        assert atom == min(others, key=lambda a: unexplained([*chosen, a]))
        chosen.append(atom)


def test_blocks_change_nothing_but_the_time(monkeypatch) -> None:
    """One method for every number of atoms, of one layer and of several."""
    for atoms, parts in [(7, 1), (40, 3), (150, 2)]:
        given = pairs(atoms, parts)
        wanted = plain(given)
        for block in (1, 8, 64):
            monkeypatch.setattr(ordering, "BLOCK", block)
            assert greedy(given).tolist() == wanted
