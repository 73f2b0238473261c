"""A trial of the search in the plain way, against which `trials.py` holds it.

All least squares are solved anew in a full copy of the net, and the copy is cut; a ResNet of ours
is built with random weights, and filled. Atoms of large widths are taken several at a time.
"""

from collections import defaultdict

import torch
from torch import Tensor, nn

import tas
from tas.graph import Structure, cut_to, kept_atoms
from tas.inherit import Source
from tas.inherit.bank import RIDGE
from tas.inherit.leading import inherit
from tas.inherit.readings import Readings, readers, slices
from tas.shape import Shape

__all__ = ["cut_plainly", "folded", "ordered_plainly"]

STEPS = 128  # in which the atoms of a width are taken


def cut_plainly(source: Source, whole: nn.Module, shape: Shape) -> nn.Module:
    assert source.structure is not None
    if source.cut:
        return cut_to(whole, source.structure, shape)
    small = tas.nets.build(shape)
    inherit(small, whole)
    return small


@torch.no_grad()
def folded(source: Source, shape: Shape) -> nn.Module:
    """A full copy of the net whose layers read what they keep as a guess at the rest."""
    net, structure, given = source.net, source.structure, source.readings
    assert net is not None
    assert structure is not None
    if source.cut:
        kept = {name: len(atoms) for name, atoms in kept_atoms(structure, shape).items()}
    else:  # tied: what a width keeps is what its first layer keeps
        own = {layer: width for width in structure.widths for layer in width.layers}
        kept = {own[f"{name}.conv"].name: n for name, n in shape.widths.items()}
    net = tas.graph.copied(net, {})
    for path, module, width, columns in readers(net, structure):
        count = kept.get(width.name, width.atoms)
        if (path, width.name) not in given or count == width.atoms:
            continue
        stay = torch.arange(count)
        gone = torch.ones(width.atoms, dtype=torch.bool)
        gone[stay] = False
        reading = given[path, width.name]
        c, mean = reading.covariance, reading.mean
        among = c[stay][:, stay]
        among = among + RIDGE * among.diagonal().mean().clamp_min(1e-12) * torch.eye(count)
        guess = torch.linalg.solve(among, c[stay][:, gone])  # [kept, gone]
        lost = slices(module, columns[gone])  # [outputs, gone, n]
        added = torch.einsum("ogn,kg->okn", lost, guess.float())
        weight, into = module.weight, columns[stay].flatten()
        added = added.reshape(len(weight), len(into), *weight.shape[2:])
        weight.index_add_(1, into, added.to(weight))
        if module.bias is not None:
            missed = mean[gone] - guess.T @ mean[stay]  # [gone, columns]
            by_column = lost.view(*lost.shape[:2], missed.shape[1], -1).sum(3)
            module.bias += torch.einsum("ogc,gc->o", by_column, missed.float())
    return net


def ordered_plainly(net: nn.Module, structure: Structure, given: Readings) -> list[Tensor]:
    """The atoms of every width as they were taken before, several of a large width at a time."""
    parts = defaultdict(list)
    for path, module, width, columns in readers(net, structure):
        if (path, width.name) in given:
            covariance = given[path, width.name].covariance
            weight = slices(module, columns).transpose(1, 2)
            variance = ((weight @ covariance.float()) * weight).sum((1, 2)).clamp_min(1e-12)
            scaled = (weight / (len(weight) * variance).sqrt()[:, None, None]).flatten(0, 1)
            parts[width.name].append((covariance, (scaled.T @ scaled).double()))
    return [in_steps(each) for each in parts.values()]


def in_steps(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    atoms = len(parts[0][0])
    size = -(-atoms // STEPS)
    left = torch.ones(atoms, dtype=torch.bool)
    order: list[int] = []
    state = []
    for c, g in parts:
        if size > 1:
            c, g = c.float(), g.float()
        least = 1e-3 * c.diagonal().mean().clamp_min(1e-12)
        state.append((c.clone(), g, least, ((g @ c) * c).sum(0)))
    while len(order) < atoms:
        gain = torch.stack([q / (c.diagonal() + least) for c, _, least, q in state]).sum(0)
        best = torch.where(left, gain, -torch.inf).topk(min(size, atoms - len(order))).indices
        left[best] = False
        order += best.tolist()
        for number, (c, g, least, q) in enumerate(state):
            v = c[:, best]
            among = v[best] + least * torch.eye(len(best), dtype=c.dtype)
            part = torch.linalg.solve(among, v.T).T
            read = g @ v
            q = q - (part * (2 * (c @ read) - part @ (v.T @ read))).sum(1)
            state[number] = c.addmm_(part, v.T, alpha=-1), g, least, q
    return torch.tensor(order)
