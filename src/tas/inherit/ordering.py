"""Which channels of a trained net tell most of what the layers after them read.

What a layer is given, channel by channel, is correlated. Channels are put in order by greedy column
subset selection (Farahat et al., *An Efficient Greedy Method for Unsupervised Feature Selection*,
ICDM 2011): next comes the one that, with those before it, leaves the least of the layers' outputs
unexplained, each output measured by its variance.
"""

import torch
from torch import Tensor, nn

from ..graph import Structure
from .readings import Readings, readers, slices

__all__ = ["selection"]

# These change nothing but the time.
BLOCK = 64  # atoms, after which what is left is worked out anew
PACKED = 0.75  # of the atoms, when so many are left, the others are dropped from the matrices


def selection(net: nn.Module, structure: Structure, given: Readings) -> dict[str, Tensor]:
    """By the name of every width that is read, its atoms, those that explain most first."""
    # Layers that are given the same count together: by the width and the reading.
    parts: dict[str, dict[int, tuple[Tensor, list[Tensor]]]] = {}
    for path, module, width, columns in readers(net, structure):
        if (path, width.name) in given:
            covariance = given[path, width.name].covariance
            weight = slices(module, columns).transpose(1, 2)  # [outputs, n, atoms]
            variance = ((weight @ covariance.float()) * weight).sum((1, 2)).clamp_min(1e-12)
            # Every output counts by its variance, and every layer alike.
            scaled = (weight / (len(weight) * variance).sqrt()[:, None, None]).flatten(0, 1)
            of_width = parts.setdefault(width.name, {})
            of_width.setdefault(id(covariance), (covariance, []))[1].append(scaled)
    return {
        name: greedy([(covariance, torch.cat(rows)) for covariance, rows in of_width.values()])
        for name, of_width in parts.items()
    }


def greedy(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The order in which atoms explain most of tr(G C), summed over covariances C [atoms, atoms] in
    float64 and G = W'W, where W [rows, atoms] are the weights that read them.

    Once atom b is known, C - p c' is left of C, where c is its column b and p = c / (c_b + least).
    With H = C G C and its column h, H - p h' - h p' + h_b p p' is left of H. An atom explains
    H_bb / (C_bb + least): the diagonals decide, and a step needs one column of each matrix. These
    are worked out from the matrices as they were at the beginning of a block, and the matrices
    themselves at its end, by products of matrices.
    """
    c = torch.stack([c for c, _ in parts])  # [parts, atoms, atoms]
    least = 1e-3 * c.diagonal(dim1=1, dim2=2).mean(1, keepdim=True).clamp_min(1e-12)
    h = torch.stack([_explained(c, w) for c, w in parts])
    names, order = torch.arange(c.shape[1]), []
    left = torch.ones(len(names), dtype=torch.bool)
    while left.any():
        if left.sum() <= PACKED * len(names):  # often enough: copies take time as well
            c, h = c[:, left][:, :, left], h[:, left][:, :, left]
            names, left = names[left], left[left]
        taken, (p, columns, u) = _block(c, h, least, left)
        order.append(names[taken])
        left[taken] = False
        c.baddbmm_(p, columns.mT, alpha=-1)
        h.baddbmm_(p, u.mT, alpha=-1).baddbmm_(u, p.mT, alpha=-1)
    return torch.cat(order)


def _explained(c: Tensor, w: Tensor) -> Tensor:
    """C W'W C."""
    if len(w) < len(c):
        half = c @ w.T.to(c)
        return half @ half.T
    return c @ (w.T @ w).to(c) @ c


def _block(
    c: Tensor, h: Tensor, least: Tensor, left: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """The next of the atoms that are left, and p, c and u = h - h_b p / 2 of each [parts, atoms,
    count]."""
    count = min(BLOCK, int(left.sum()))
    p, columns, u = (c.new_empty(*c.shape[:2], count) for _ in range(3))
    own, gain = c.diagonal(dim1=1, dim2=2).clone(), h.diagonal(dim1=1, dim2=2).clone()
    taken: list[int] = []
    left = left.clone()
    for n in range(count):
        score = (gain / (own + least)).sum(0)
        best = int(torch.where(left, score, -torch.inf).argmax())
        left[best] = False
        before = p[:, :, :n], columns[:, :, :n], u[:, :, :n]
        at = [each[:, best, :, None] for each in before]
        column = c[:, best] - (before[0] @ at[1])[:, :, 0]
        of_h = h[:, best] - (before[0] @ at[2] + before[2] @ at[0])[:, :, 0]
        part = column / (column[:, best, None] + least)
        explained = of_h[:, best, None].clone()
        own -= part * column
        gain -= part * (2 * of_h - explained * part)
        p[:, :, n], columns[:, :, n], u[:, :, n] = part, column, of_h - explained / 2 * part
        taken.append(best)
    return torch.tensor(taken), (p, columns, u)
