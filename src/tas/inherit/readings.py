"""What the layers of a net are given of its widths, over some pictures."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

from ..forward import Forward, call_batch, evaluating
from ..graph import Structure, Width

__all__ = ["Reader", "Reading", "Readings", "readers", "readings", "slices", "sorted_by"]

MOST = 8192  # atoms: the work grows with their third power, memory with the second
EVERY = 1024  # columns of all atoms that are told from one another, such as those of heads
ENOUGH = 8  # samples for each of these columns
SHORT = 256  # samples that no thread shares with another

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
    batches: Iterable[Any],
    forward: Forward = call_batch,
) -> dict[Reader, Reading]:
    """What the layers of a net are given of its widths; one reading for those that are always given
    the same tensor.

    Layers with groups, transposed ones and those that are not run as modules are left out.

    Args:
        structure: what ``tas.graph.analyse`` found in the net.
        batches: on the net's device, a few of them.
        forward: how the net is called on a batch.
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
                given = _Given.of(inputs[0], dim, width, columns)
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
    def of(cls, tensor: Tensor, dim: int, width: Width, columns: Tensor) -> "_Given":
        x = tensor.movedim(dim, 0).flatten(1)
        of_atoms = x[columns.flatten().to(x.device)].float()  # [atoms * columns, samples]
        flat = of_atoms.reshape(width.atoms, -1)
        # To the CPU first: not every device has float64.
        products = _gram(flat).cpu().double()
        total = of_atoms.sum(1).cpu().double().view(columns.shape)
        several = columns.shape[1] > 1 and columns.numel() <= EVERY
        every = _gram(of_atoms).cpu().double() if several else None
        return cls(ref(tensor), _version(tensor), products, total, every, x.shape[1])

    def is_of(self, tensor: Tensor) -> bool:
        return self.tensor() is tensor and self.version == _version(tensor) >= 0


def _gram(x: Tensor) -> Tensor:
    """X X' of [atoms, samples], some samples at a time: threads share out a sum over many, and the
    last digits would depend on their number."""
    if x.device.type != "cpu":
        return x @ x.T
    products = x.new_zeros(len(x), len(x))
    for part in torch.split(x, SHORT, 1):
        products.addmm_(part, part.T)
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
