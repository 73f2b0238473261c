"""Gives a net that was built from a shape the weights of a larger one."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import InputError
from ..nets import build
from ..shape import Shape

__all__ = ["inherit", "inheriting"]


def inherit(net: nn.Module, source: nn.Module) -> None:
    """Copy the leading channels of each weight of ``source`` into ``net``.

    Where ``net`` is wider, its further channels keep their fresh weights and the others do not read
    them at first, so that what is inherited computes what it did (Chen et al., *Net2Net*, 2016,
    with zeros in the place of copies). Projections that the source does not have start as the
    padded identity (and their norms as the identity), so that they hand their input on unchanged.

    Raises:
        InputError: the two nets are of different architectures.
    """
    _fill(net, source.state_dict())


def inheriting(
    shape: Shape, given: Mapping[str, Tensor] | Callable[[nn.Module], Mapping[str, Tensor]]
) -> nn.Module:
    """The net of a shape that inherits, as ``inherit`` has it.

    Fresh weights are drawn where some of them stay, and else not.

    Args:
        given: by their names, the tensors of the larger net; or what tells them for the net.
    """
    with _undrawn():
        net = build(shape)
    tensors = given(net) if callable(given) else given
    if any(
        name in tensors and any(n > m for n, m in zip(value.shape, tensors[name].shape))  # noqa: B905
        for name, value in net.state_dict().items()
    ):
        net = build(shape)
    _fill(net, tensors)
    return net


@torch.no_grad()
def _fill(net: nn.Module, given: Mapping[str, Tensor]) -> None:
    for name, value in net.state_dict().items():
        if name in given:
            old = given[name]
            if old.dim() != value.dim() or value.shape[2:] != old.shape[2:]:
                raise InputError(
                    f"cannot inherit '{name}' of shape {list(value.shape)} from one of "
                    f"{list(old.shape)}: they are weights of different nets"
                )
            both = tuple(slice(min(n, m)) for n, m in zip(value.shape, old.shape, strict=True))
            if value.dim() > 1:  # [outputs, inputs, ...]
                value[both[0], old.shape[1] :] = 0
            value[both] = old[both]
            continue
        module = net.get_submodule(name.rpartition(".")[0])
        if isinstance(module, nn.Conv2d):
            value.zero_()
            nn.init.dirac_(value)
        elif isinstance(module, nn.BatchNorm2d) and name.endswith(".weight"):
            # With a running mean of 0 and variance of 1 this norm changes nothing.
            value.fill_(math.sqrt(1 + module.eps))


@contextmanager
def _undrawn() -> Iterator[None]:
    """Nets that are built get no random numbers, and nobody misses any afterwards."""
    with torch.random.fork_rng(devices=[]), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Leaves tensors as they are that were to be filled with random numbers."""

    DRAWS = (torch.Tensor.normal_, torch.Tensor.uniform_, nn.init.kaiming_uniform_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self.DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
