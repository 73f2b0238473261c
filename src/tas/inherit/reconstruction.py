"""Which channels of a trained net tell most of what the layers after them read, and the weights by
which these make up for the others.

What a layer is given, channel by channel, is correlated. Channels are put in order by greedy column
subset selection (Farahat et al., *An Efficient Greedy Method for Unsupervised Feature Selection*,
ICDM 2011): next comes the one that, with those before it, leaves the least of the layers' outputs
unexplained, each output measured by its variance. A cut layer then reads the channels that are left
as the best linear guess at those that are not (least squares; He et al., *Channel Pruning for
Accelerating Very Deep Neural Networks*, ICCV 2017).
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..forward import evaluating
from ..graph import Structure, Width, copied

__all__ = ["Reader", "Reading", "Readings", "folded", "readings", "selection"]

# Added to the diagonal of the least squares, as a ratio to its mean: where layers before are cut as
# well, what a layer reads is no longer quite what it was, and few pictures tell little.
RIDGE = 0.1
MOST = 2048  # atoms: the work grows with their third power, memory with the second
STEPS = 128  # in which a width's atoms are taken: one in each, or several of a larger width

Reader = tuple[str, str]  # the path of a layer, and the name of a width that it reads
READERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class Reading:
    """What a layer is given of a width, over some pictures.

    Attributes:
        covariance: [atoms, atoms] in float64, summed over the columns of an atom.
        mean: [atoms, columns], of each column of the layer's input.
    """

    covariance: Tensor
    mean: Tensor

    def sorted_by(self, order: Tensor) -> "Reading":
        """The same with the atoms in another order."""
        return Reading(self.covariance[order][:, order], self.mean[order])


Readings = Mapping[Reader, Reading]


def readings(
    net: nn.Module, structure: Structure, batches: Iterable[Tensor]
) -> dict[Reader, Reading]:
    """What the layers of a net are given of its widths.

    Layers with groups, transposed ones and those that are not run as modules are left out.

    Args:
        structure: what ``tas.graph.analyse`` found in the net.
        batches: images on the net's device, a few batches.
    """
    sums: dict[Reader, list[Any]] = {}

    def adding(path: str, width: Width, columns: Tensor) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
            dim = -1 if isinstance(module, nn.Linear) else 1
            if not inputs or inputs[0].dim() < 2 or inputs[0].shape[dim] != module.weight.shape[1]:
                return  # named arguments, or a picture without a batch: nothing is told
            x = inputs[0].movedim(dim, 0).flatten(1)
            of_atoms = x[columns.flatten().to(x.device)].float()  # [atoms * columns, samples]
            flat = of_atoms.reshape(width.atoms, -1)
            total = sums.setdefault((path, width.name), [0.0, 0.0, 0])
            total[0] += (flat @ flat.T).double().cpu()
            total[1] += of_atoms.sum(1).double().cpu().view(columns.shape)
            total[2] += x.shape[1]

        return hook

    with evaluating(net), torch.no_grad(), ExitStack() as hooks:
        for path, module, width, columns in _readers(net, structure):
            handle = module.register_forward_pre_hook(adding(path, width, columns))
            hooks.callback(handle.remove)
        for images in batches:
            net(images)
    found = {}
    for reader, (products, total, samples) in sums.items():
        mean = total / samples
        found[reader] = Reading(products / samples - mean @ mean.T, mean)
    return found


def selection(net: nn.Module, structure: Structure, given: Readings) -> dict[str, Tensor]:
    """By the name of every width that is read, its atoms, those that explain most first."""
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for path, module, width, columns in _readers(net, structure):
        if (path, width.name) in given:
            covariance = given[path, width.name].covariance
            weight = _slices(module, columns).transpose(1, 2)  # [outputs, n, atoms]
            variance = ((weight @ covariance.float()) * weight).sum((1, 2)).clamp_min(1e-12)
            # Every output counts by its variance, and every layer alike.
            scaled = (weight / (len(weight) * variance).sqrt()[:, None, None]).flatten(0, 1)
            parts.setdefault(width.name, []).append((covariance, (scaled.T @ scaled).double()))
    return {name: _greedy(of_width) for name, of_width in parts.items()}


def _greedy(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The order in which atoms explain most of tr(G C), summed over pairs of covariances C and
    products G of the weights that read them, all [atoms, atoms]."""
    atoms = len(parts[0][0])
    size = -(-atoms // STEPS)
    left = torch.ones(atoms, dtype=torch.bool)
    order: list[int] = []
    state = []
    for c, g in parts:
        if size > 1:  # large ones are bound by memory
            c, g = c.float(), g.float()
        least = 1e-3 * c.diagonal().mean().clamp_min(1e-12)
        state.append((c.clone(), g, least, ((g @ c) * c).sum(0)))
    while len(order) < atoms:
        gain = torch.stack([q / (c.diagonal() + least) for c, _, least, q in state]).sum(0)
        gain = torch.where(left, gain, -torch.inf)
        best = gain.topk(min(size, atoms - len(order))).indices
        left[best] = False
        order += best.tolist()
        for number, (c, g, least, q) in enumerate(state):
            # What is left of C once these atoms are known, and of the diagonal q of C G C.
            v = c[:, best]
            among = v[best] + least * torch.eye(len(best), dtype=c.dtype)
            part = torch.linalg.solve(among, v.T).T
            read = g @ v
            q = q - (part * (2 * (c @ read) - part @ (v.T @ read))).sum(1)
            state[number] = c.addmm_(part, v.T, alpha=-1), g, least, q
    return torch.tensor(order)


@torch.no_grad()
def folded(
    net: nn.Module, structure: Structure, given: Readings, kept: Mapping[Reader, Tensor]
) -> nn.Module:
    """A copy of the net whose layers read the kept atoms as a guess at the others as well.

    The other atoms are still read: it is to be cut.

    Args:
        kept: by layer and width, the atoms that stay; without an entry, all.
    """
    net = copied(net, {})
    for path, module, width, columns in _readers(net, structure):
        reader = path, width.name
        if reader not in given or reader not in kept or len(kept[reader]) == width.atoms:
            continue
        stay = kept[reader]
        gone = torch.ones(width.atoms, dtype=torch.bool)
        gone[stay] = False
        c = given[reader].covariance
        among = c[stay][:, stay]
        among = among + RIDGE * among.diagonal().mean().clamp_min(1e-12) * torch.eye(len(stay))
        guess = torch.linalg.solve(among, c[stay][:, gone])  # [kept, gone]
        lost = _slices(module, columns[gone])  # [outputs, gone, n]
        added = torch.einsum("ogn,kg->okn", lost, guess.float())
        weight = module.weight
        into = columns[stay].flatten().to(weight.device)
        added = added.reshape(len(weight), len(into), *weight.shape[2:])
        weight.index_add_(1, into, added.to(weight))
        if module.bias is not None:
            mean = given[reader].mean
            missed = mean[gone] - guess.T @ mean[stay]  # [gone, columns]
            by_column = lost.view(*lost.shape[:2], missed.shape[1], -1).sum(3)
            module.bias += torch.einsum("ogc,gc->o", by_column, missed.float()).to(module.bias)
    return net


def _readers(net: nn.Module, structure: Structure) -> Iterator[tuple[str, Any, Width, Tensor]]:
    """Layers that read a width: path, module, the width, its columns [atoms, n] of the weight."""
    for path, module in net.named_modules():
        if isinstance(module, READERS) and getattr(module, "groups", 1) == 1:
            for width in structure.widths:
                columns = width.places.get((f"{path}.weight".lstrip("."), 1))
                if columns is not None and width.atoms <= MOST:
                    yield path, module, width, columns


def _slices(module: Any, columns: Tensor) -> Tensor:
    """Weights of some atoms' columns, in float32 on the CPU: [outputs, atoms, columns * kernel]."""
    weight = module.weight.detach().float().cpu()
    slices: Tensor = weight[:, columns.flatten()].reshape(len(weight), len(columns), -1)
    return slices
