"""How layers make up for the channels that they no longer read, for one cut net after another.

A cut layer reads the channels that are left as the best linear guess at those that are not (least
squares; He et al., *Channel Pruning for Accelerating Very Deep Neural Networks*, ICCV 2017). What
is kept of a width are its first atoms: a guess depends on the layer and on their number alone. It
is solved when it is first asked for, and kept with the weights that it leads to.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ..forward import on_threads
from ..graph import Cutter, Structure, Width
from ..graph.mirrors import joined
from .readings import Reader, Reading, Readings, readers

__all__ = ["Bank"]

# Added to the diagonal of the least squares, as a ratio to its mean: where layers before are cut as
# well, what a layer reads is no longer quite what it was, and few pictures tell little.
RIDGE = 0.1
# Bytes at most: of the guesses, with the readings; and of the weights that they lead to, where the
# net is. Of more than that, what was asked for last is kept.
GUESSES, WEIGHTS = 2**29, 2**30

T = TypeVar("T")


class Bank:
    """Cuts a net to the first atoms of its widths.

    Args:
        net: with its channels in order. Weights that change are noticed, modules may not.
        structure: what ``tas.graph.analyse`` found in it.
        given: what its layers are given.
    """

    def __init__(self, net: nn.Module, structure: Structure, given: Readings) -> None:
        self._net, self._given = net, given
        self._cutter = Cutter(net, structure)
        self._readers: dict[Reader, tuple[Any, Width, Tensor]] = {
            (path, width.name): (module, width, columns)
            for path, module, width, columns in readers(net, structure)
            if (path, width.name) in given
        }
        self._guesses: _Kept[tuple[Tensor, Tensor]] = _Kept(GUESSES)
        self._folded: _Kept[tuple[Tensor, Tensor | None]] = _Kept(WEIGHTS)

    def cut(self, counts: Mapping[str, int], depths: Mapping[str, int]) -> nn.Module:
        """The net cut, its layers making up for what they no longer read.

        Args:
            counts: by a width's name, how many atoms stay; without an entry, all.
            depths: by a run's name, how many of its blocks stay; without an entry, all.
        """
        columns: dict[tuple[str, str], Tensor] = {}
        biases: dict[str, Tensor] = {}
        for reader, (module, width, _) in self._readers.items():
            count = counts.get(width.name, width.atoms)
            if count < width.atoms:
                path = reader[0]
                weight, shift = self.folded(reader, count)
                columns[joined(path, "weight"), width.name] = weight
                if shift is not None:
                    name = joined(path, "bias")
                    biases[name] = biases.get(name, module.bias.detach()) + shift.to(module.bias)
        kept = {name: torch.arange(count) for name, count in counts.items()}
        return self._cutter.cut(kept, depths, biases, columns)

    @torch.no_grad()
    def leading(self, small: nn.Module) -> dict[str, Tensor]:
        """The net's tensors by name, its layers making up for what those of a net that was built
        to inherit do not read."""
        found = self._net.state_dict()
        layers: dict[str, Any] = dict(small.named_modules())
        for reader, (module, width, columns) in self._readers.items():
            path = reader[0]
            if path in layers and layers[path].weight.shape[1] < width.atoms:
                count = layers[path].weight.shape[1]
                weight, shift = self.folded(reader, count)
                name = joined(path, "weight")
                into = columns[:count].flatten().to(weight.device)
                found[name] = found[name].index_copy(1, into, weight)
                if shift is not None:
                    name = joined(path, "bias")
                    found[name] = found[name] + shift.to(module.bias)
        return found

    @torch.no_grad()
    def folded(self, reader: Reader, count: int) -> tuple[Tensor, Tensor | None]:
        """A layer's weights [outputs, inputs, ...] of the first ``count`` atoms of a width, with
        the guess at the others, and what that adds to its bias [outputs], where it has one."""
        module, _, columns = self._readers[reader]
        weight = module.weight
        # An unchanged weight is the same memory, written into as often.
        written = -1 if weight.is_inference() else weight._version
        key = (*reader, count, weight.data_ptr(), written)
        return self._folded.get(key, lambda: self._fold(module, columns, reader, count))

    @on_threads(1)  # so that the last digits do not depend on their number
    def _fold(
        self, module: Any, columns: Tensor, reader: Reader, count: int
    ) -> tuple[Tensor, Tensor | None]:
        given, weight = self._given[reader], module.weight.detach()
        key = id(given), count
        guess, missed = self._guesses.get(key, lambda: _guess(given, count, weight.device))
        places = columns.to(weight.device)
        stay, gone = places[:count].flatten(), places[count:].flatten()
        lost = weight[:, gone].float().reshape(len(weight), len(guess), -1)
        added = torch.einsum("ogn,gk->okn", lost, guess.to(weight.device))
        own = weight[:, stay]
        folded = (own.float() + added.reshape(own.shape)).to(weight.dtype)
        if module.bias is None:
            return folded, None
        by_column = lost.view(*lost.shape[:2], missed.shape[1], -1).sum(3)
        return folded, torch.einsum("ogc,gc->o", by_column, missed.to(weight.device))


def _guess(given: Reading, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """How the parts of the first atoms tell those of the others [others, kept], and what of their
    means that leaves out [others, columns]; in float32 on the CPU."""
    # A GPU solves faster; other devices than NVIDIA's and AMD's may have no float64.
    where = device if device.type == "cuda" else torch.device("cpu")
    covariance, mean = given.parts()
    count *= len(mean) // len(given.mean)
    c = covariance[:count].to(where)
    among = c[:, :count].clone()
    among.diagonal().add_(RIDGE * among.diagonal().mean().clamp_min(1e-12))
    root, failed = torch.linalg.cholesky_ex(among)
    if failed:  # what was summed in float32 is not quite a covariance
        guess = torch.linalg.solve(among, c[:, count:])
    else:
        guess = torch.cholesky_solve(c[:, count:], root)
    guess = guess.T.cpu()
    missed = mean[count:] - guess @ mean[:count]
    return guess.float(), missed.float()


class _Kept(Generic[T]):
    """What was made last, as far as it fits.

    Args:
        most: bytes of the tensors that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most, self._bytes = most, 0
        self._found: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        if key in self._found:
            self._found.move_to_end(key)
            return self._found[key]
        value = self._found[key] = make()
        self._bytes += _bytes(value)
        while self._bytes > self._most:
            self._bytes -= _bytes(self._found.popitem(last=False)[1])
        return value


def _bytes(tensors: Any) -> int:
    return sum(each.numel() * each.element_size() for each in tensors if each is not None)
