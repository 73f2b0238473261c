"""The plain form of what a smaller net inherits: all is solved anew in a full copy of the net, and
the copy is cut. What the library keeps from net to net must give the same."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from tas.graph import Structure, cut_to, kept_atoms
from tas.inherit.bank import RIDGE
from tas.inherit.leading import inherit
from tas.inherit.readings import Reader, Readings, readers
from tas.inherit.source import Source
from tas.nets import build
from tas.shape import Shape


def derive(source: Source, shape: Shape) -> nn.Module:
    """``source.derive(shape)``."""
    if source.cut:
        kept = kept_atoms(source.structure, shape)
        counts = {r: len(kept[r[1]]) for r in source.readings if r[1] in kept}
        whole = folded(source.net, source.structure, source.readings, counts)
        return cut_to(whole, source.structure, shape)
    small = build(shape)
    layers = dict(small.named_modules())
    counts = {r: layers[r[0]].weight.shape[1] for r in source.readings if r[0] in layers}
    inherit(small, folded(source.net, source.structure, source.readings, counts))
    return small


@torch.no_grad()
def folded(
    net: nn.Module, structure: Structure, given: Readings, counts: Mapping[Reader, int]
) -> nn.Module:
    """A copy of the net whose layers read the first so many atoms as a guess at all of them."""
    net = copy.deepcopy(net)
    for path, module, width, columns in readers(net, structure):
        reader = path, width.name
        if reader not in given or counts.get(reader, width.atoms) >= width.atoms:
            continue
        n = counts[reader]
        c, mean = given[reader].parts()
        if len(c) > len(columns):  # every column by itself
            n, columns = n * columns.shape[1], columns.reshape(-1, 1)
        among = c[:n, :n] + RIDGE * c[:n, :n].diagonal().mean() * torch.eye(n)
        guess = torch.linalg.solve(among, c[:n, n:])  # [kept, gone]
        lost = module.weight[:, columns[n:].flatten()].double()
        lost = lost.view(
            len(lost), len(columns) - n, columns.shape[1], -1
        )  # [out, gone, n, kernel]
        into = columns[:n].flatten()
        added = torch.einsum("ognw,kg->oknw", lost, guess).flatten(1, 2)
        module.weight[:, into] += added.view(len(added), len(into), *module.weight.shape[2:])
        if module.bias is not None:
            missed = mean[n:] - guess.T @ mean[:n]
            module.bias += torch.einsum("ognw,gn->o", lost, missed)
    return net
