"""Gives a net that was built from a shape the weights of a larger one."""

import math

import torch
from torch import nn

from ..errors import InputError

__all__ = ["inherit"]


@torch.no_grad()
def inherit(net: nn.Module, source: nn.Module) -> None:
    """Copy the leading channels of each weight of ``source`` into ``net``.

    Where ``net`` is wider, its further channels keep their fresh weights and the others do not read
    them at first, so that what is inherited computes what it did (Chen et al., *Net2Net*, 2016,
    with zeros in the place of copies). Projections that the source does not have start as the
    padded identity (and their norms as the identity), so that they hand their input on unchanged.

    Raises:
        InputError: the two nets are of different architectures.
    """
    given = source.state_dict()
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
