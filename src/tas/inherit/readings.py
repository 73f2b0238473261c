"""What the layers of a net are given of its widths, over some pictures."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from weakref import ref

import torch
from torch import Generator, Tensor, nn

from ..forward import Batches, Forward, call_batch, evaluating
from ..graph import Structure, Width

__all__ = [
    "SAMPLES",
    "Reader",
    "Reading",
    "Readings",
    "readers",
    "readings",
    "slices",
    "some",
    "sorted_by",
]

MOST = 8192  # atoms: the work grows with their third power, memory with the second
EVERY = 1024  # columns of all atoms that are told from one another, such as those of heads
ENOUGH = 8  # samples for each of these columns
SHORT = 256  # samples that no thread shares with another
SAMPLES = 2**15  # of all batches: more of them tell no more, and take longer

Reader = tuple[str, str]  # the path of a layer, and the name of a width that it reads
Alike = tuple[str, bool, bytes]
READERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True, eq=False)
class Reading:
    """What a layer is given of a width, over some pictures.

    Attributes:
        covariance: [atoms, atoms] in float64, summed over the columns of an atom.
        mean: [atoms, columns], of each column of the layer's input.
        every: [atoms * columns, atoms * columns] in float64, that of all columns, where an atom has
            several and there are samples enough to tell them from one another.
    """

    covariance: Tensor
    mean: Tensor
    every: Tensor | None = None

    def sorted_by(self, order: Tensor) -> "Reading":
        """The same with the atoms in another order."""
        every = self.every
        if every is not None:
            columns = torch.arange(len(every)).view(self.mean.shape)[order].flatten()
            every = every[columns][:, columns]
        return Reading(self.covariance[order][:, order], self.mean[order], every)

    def parts(self) -> tuple[Tensor, Tensor]:
        """What tells one part of the input from others [parts, parts], and the parts' means [parts,
        columns]: parts are single columns where all of them are known, else atoms."""
        if self.every is None:
            return self.covariance, self.mean
        return self.every, self.mean.reshape(-1, 1)


Readings = Mapping[Reader, Reading]


def readings(
    net: nn.Module,
    structure: Structure,
    batches: Batches,
    forward: Forward = call_batch,
    samples: int = SAMPLES,
) -> dict[Reader, Reading]:
    """What the layers of a net are given of its widths; one reading for those that are always given
    the same tensor.

    Layers with groups, transposed ones and those that are not run as modules are left out.

    Args:
        structure: what ``tas.graph.analyse`` found in the net.
        batches: on the net's device, a few of them.
        forward: how the net is called on a batch.
        samples: pictures and places in them that count, of every batch.
    """
    sums: dict[Reader, _Sum] = {}
    latest: dict[Alike, _Given] = {}
    found = list(readers(net, structure))
    several = Counter(_alike(module, width, columns) for _, module, width, columns in found)

    def adding(path: str, width: Width, columns: Tensor) -> Callable[..., None]:
        def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
            dim = -1 if isinstance(module, nn.Linear) else 1
            if not inputs or inputs[0].dim() < 2 or inputs[0].shape[dim] != module.weight.shape[1]:
                return  # named arguments, or a picture without a batch: nothing is told
            alike = _alike(module, width, columns)
            given = latest.get(alike)
            if given is None or not given.is_of(inputs[0]):
                given = _Given.of(inputs[0], dim, columns, samples)
                if several[alike] > 1:
                    latest[alike] = given
            sums.setdefault((path, width.name), _Sum()).add(given)

        return hook

    with evaluating(net), torch.no_grad(), ExitStack() as hooks:
        for path, module, width, columns in found:
            handle = module.register_forward_pre_hook(adding(path, width, columns))
            hooks.callback(handle.remove)
        for batch in batches:
            forward(net, batch)
    told: dict[tuple[int, ...], Reading] = {}
    for total in sums.values():
        if total.numbers not in told:
            told[total.numbers] = total.reading()
    return {reader: told[total.numbers] for reader, total in sums.items()}


def readers(net: nn.Module, structure: Structure) -> Iterator[tuple[str, Any, Width, Tensor]]:
    """Layers that read a width: path, module, the width, its columns [atoms, n] of the weight."""
    for path, module in net.named_modules():
        if isinstance(module, READERS) and getattr(module, "groups", 1) == 1:
            for width in structure.widths:
                columns = width.places.get((f"{path}.weight".lstrip("."), 1))
                if columns is not None and width.atoms <= MOST:
                    yield path, module, width, columns


def slices(module: Any, columns: Tensor) -> Tensor:
    """Weights of some atoms' columns, in float32 on the CPU: [outputs, atoms, columns * kernel]."""
    weight = module.weight.detach().float().cpu()
    found: Tensor = weight[:, columns.flatten()].reshape(len(weight), len(columns), -1)
    return found


def sorted_by(given: Readings, ranking: Mapping[str, Tensor]) -> dict[Reader, Reading]:
    """The same readings with the atoms of every width in another order."""
    own: dict[int, Reading] = {}
    for (_, width), each in given.items():  # a reading is one of a width, of several layers maybe
        if id(each) not in own:
            own[id(each)] = each.sorted_by(ranking[width])
    return {reader: own[id(each)] for reader, each in given.items()}


def _alike(module: nn.Module, width: Width, columns: Tensor) -> Alike:
    """What layers have in common that read a tensor in the same way."""
    return width.name, isinstance(module, nn.Linear), columns.numpy().tobytes()


_numbers = count()


@dataclass(frozen=True, eq=False)
class _Given:
    """What a layer was given of a width, once.

    Attributes:
        tensor, version: the tensor itself, as long as it lives, and how often it was written into.
        products: [atoms, atoms], summed over samples and columns.
        total: [atoms, columns], summed over samples.
        every: [atoms * columns, atoms * columns], summed over samples; None where not asked for.
        samples: pictures, and places in them.
    """

    tensor: "ref[Tensor]"
    version: int
    products: Tensor
    total: Tensor
    every: Tensor | None
    samples: int
    number: int = field(default_factory=lambda: next(_numbers))

    @classmethod
    def of(cls, tensor: Tensor, dim: int, columns: Tensor, samples: int) -> "_Given":
        flat = columns.flatten()
        x = some(tensor, dim, samples)
        if not torch.equal(flat, torch.arange(x.shape[1])):
            x = x[:, flat.to(x.device)]
        x = x.float()  # [samples, atoms * columns]
        atoms, several = columns.shape
        every = None
        # To the CPU first: not every device has float64.
        if several > 1 and columns.numel() <= EVERY:
            every = _gram(x).cpu().double()
            products = every.view(atoms, several, atoms, several).diagonal(dim1=1, dim2=3).sum(2)
        else:
            products = _gram(x.view(-1, atoms, several).movedim(2, 1).flatten(0, 1)).cpu().double()
        total = x.sum(0).cpu().double().view(columns.shape)
        return cls(ref(tensor), _version(tensor), products, total, every, len(x))

    def is_of(self, tensor: Tensor) -> bool:
        return self.tensor() is tensor and self.version == _version(tensor) >= 0


def some(x: Tensor, dim: int, most: int) -> Tensor:
    """What a tensor has at some of its places [places, channels], spread evenly over all of them;
    the same ones of every tensor of a shape.

    Args:
        dim: of the channels.
        most: places.
    """
    x = x.movedim(dim, -1)
    count = x.numel() // x.shape[-1]
    if count <= most:
        return x.flatten(0, -2)
    within = torch.rand(most, generator=Generator().manual_seed(0), dtype=torch.float64)
    places = ((torch.arange(most) + within) * (count / most)).long()
    return x[torch.unravel_index(places.to(x.device), x.shape[:-1])]


def _gram(x: Tensor) -> Tensor:
    """X'X of [samples, columns], some samples at a time: threads share out a sum over many, and the
    last digits would depend on their number. In float32, whatever the net is computed in."""
    with torch.autocast(x.device.type, enabled=False):
        if x.device.type != "cpu":
            return x.T @ x
        products = x.new_zeros(x.shape[1], x.shape[1])
        for part in torch.split(x, SHORT):
            products.addmm_(part.T, part)
        return products


def _version(tensor: Tensor) -> int:
    """How often a tensor was written into; -1 where nobody counts."""
    return -1 if tensor.is_inference() else tensor._version


@dataclass
class _Sum:
    """All that a layer was given of a width, and in which calls."""

    numbers: tuple[int, ...] = ()
    products: Tensor | float = 0.0
    total: Tensor | float = 0.0
    every: Tensor | float = 0.0
    samples: int = 0

    def add(self, given: _Given) -> None:
        self.numbers += (given.number,)
        self.products = given.products + self.products
        self.total = given.total + self.total
        if given.every is not None:
            self.every = given.every + self.every
        self.samples += given.samples

    def reading(self) -> Reading:
        mean = torch.as_tensor(self.total) / self.samples
        covariance = torch.as_tensor(self.products) / self.samples - mean @ mean.T
        if isinstance(self.every, float) or self.samples < ENOUGH * mean.numel():
            return Reading(covariance, mean)
        flat = mean.reshape(-1, 1)
        return Reading(covariance, mean, self.every / self.samples - flat @ flat.T)
