"""Copies of a net without its tensors: its modules and attributes again, other tensors in them.

A deep copy walks over every attribute of every module, in Python; most of a copy's time that is.
The second copy of a net and those after it are therefore read from what ``pickle`` wrote down of
it, in memory, where the net can be written down so.
"""

import copy
import io
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ..errors import InputError, first_line

__all__ = ["Skeleton", "copied"]


class Skeleton:
    """A net that is copied again and again, and is to keep its modules and attributes.

    Attributes:
        names: of its parameters and buffers, each once.
        tensors: the same themselves.
    """

    def __init__(self, net: nn.Module) -> None:
        named = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        self.net = net
        self.names, self.tensors = tuple(named), tuple(named.values())
        self._copies = 0
        self._written: bytes | None = None
        self._others: list[Tensor] = []  # that are no parameters or buffers

    def filled(self, tensors: Sequence[Tensor]) -> nn.Module:
        """A copy of the net.

        Args:
            tensors: what takes the place of the net's, in their order.

        Raises:
            InputError: the net holds what cannot be copied.
        """
        self._copies += 1
        if self._copies == 2:
            self._write()
        if self._written is None:
            pairs = zip(self.tensors, tensors, strict=True)
            return copied(self.net, {id(own): other for own, other in pairs})
        return _Reader(self._written, tensors, self._others).net()

    def _write(self) -> None:
        if any(hasattr(type(module), "__deepcopy__") for module in self.net.modules()):
            return  # it has a way of its own to be copied
        file = io.BytesIO()
        writer = _Writer(file, self.tensors)
        try:
            writer.dump(self.net)
            _Reader(file.getvalue(), self.tensors, writer.others).net()
        except Exception:  # a local class, a lock, whatever an attribute may raise: copied as ever
            return
        self._written, self._others = file.getvalue(), writer.others


class _Writer(pickle.Pickler):
    """Writes a number where there is a tensor."""

    def __init__(self, file: io.BytesIO, tensors: Sequence[Tensor]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.numbers = {id(tensor): number for number, tensor in enumerate(tensors)}
        self.others: list[Tensor] = []

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, Tensor):
            return None
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.numbers)
            self.others.append(value)
        return self.numbers[id(value)]


class _Reader(pickle.Unpickler):
    """Puts tensors where their numbers stand."""

    def __init__(self, written: bytes, tensors: Sequence[Tensor], others: Sequence[Tensor]) -> None:
        super().__init__(io.BytesIO(written))
        self.tensors = dict(enumerate(tensors))
        self.others = dict(enumerate(others, start=len(tensors)))

    def persistent_load(self, number: int) -> Tensor:
        if number not in self.tensors:
            other = self.others[number]
            self.tensors[number] = copy.deepcopy(other) if other.is_leaf else other.detach()
        return self.tensors[number]

    def net(self) -> nn.Module:
        net: nn.Module = self.load()
        return net


def copied(net: nn.Module, instead: Mapping[int, Tensor]) -> nn.Module:
    """A deep copy of a net.

    >>> import tas
    >>> from torch import nn
    >>> net = nn.Linear(2, 2)
    >>> other = tas.graph.copied(net, {id(net.bias): nn.Parameter(net.bias.data * 0)})
    >>> other.bias.sum().item(), other.weight.equal(net.weight)
    (0.0, True)

    Args:
        instead: by the identity of a tensor, what stands in its place in the copy.

    Raises:
        InputError: the net holds what cannot be copied.
    """
    # Attributes that a forward pass left (old weight norms, kept features) have a history.
    results: dict[int, Tensor] = {
        id(value): value.detach()
        for module in net.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        return copy.deepcopy(net, {**results, **instead})
    except Exception as error:  # whatever an attribute of the user's may raise
        raise InputError(
            f"the net cannot be copied, as it must be to be cut: {first_line(error)}; keep out of "
            "its attributes what copy.deepcopy does not take"
        ) from error
