"""From a ``Shape`` to a plain net, with fresh weights or with those of a larger net."""

import math

import torch
from torch import nn

from .errors import InputError
from .nets import build
from .shape import Shape

__all__ = ["derive", "inherit"]


def derive(shape: Shape, source: nn.Module | None = None) -> nn.Module:
    """Build the plain net of ``shape``.

    Args:
        source: a net at least as wide and deep at every place, such as the supernet's, whose
            weights are inherited; None: fresh weights.
    """
    net = build(shape)
    if source is not None:
        inherit(net, source)
    return net


@torch.no_grad()
def inherit(net: nn.Module, source: nn.Module) -> None:
    """Copy into ``net`` the leading channels of each weight of ``source``.

    Projections that the source does not have start as the padded identity (and their norms as
    the identity), so that they hand their input on unchanged.

    Raises:
        InputError: the source is narrower somewhere.
    """
    given = source.state_dict()
    for name, value in net.state_dict().items():
        if name in given:
            larger = given[name]
            if larger.dim() != value.dim() or any(
                a > b for a, b in zip(value.shape, larger.shape, strict=True)
            ):
                raise InputError(
                    f"cannot inherit '{name}' of shape {list(value.shape)} from one of "
                    f"{list(larger.shape)}: the source is narrower"
                )
            value.copy_(larger[tuple(slice(n) for n in value.shape)])
            continue
        module = net.get_submodule(name.rpartition(".")[0])
        if isinstance(module, nn.Conv2d):
            value.zero_()
            nn.init.dirac_(value)
        elif isinstance(module, nn.BatchNorm2d) and name.endswith(".weight"):
            # With a running mean of 0 and variance of 1 this norm changes nothing.
            value.fill_(math.sqrt(1 + module.eps))
