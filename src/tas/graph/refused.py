"""Nets that cannot be traced as they are given, and what to give instead."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ..errors import InputError

__all__ = ["refuse"]

WRAPPERS = {
    "OptimizedModule": ("compiled", "trace it before torch.compile: net._orig_mod is the net"),
    "DataParallel": ("wrapped", "give net.module, the net itself"),
    "DistributedDataParallel": ("wrapped", "give net.module, the net itself"),
    "FullyShardedDataParallel": ("wrapped", "give the net before it is sharded"),
}


def refuse(net: nn.Module) -> None:
    """Raise an ``InputError`` for a net whose operators or parameters are out of reach."""
    if not isinstance(net, nn.Module):
        raise InputError(f"this is a {type(net).__name__}, not a torch.nn.Module")
    if isinstance(net, torch.jit.ScriptModule):
        raise InputError("the net is scripted: give the module that was given to torch.jit")
    for path, module in net.named_modules():
        kind = type(module).__name__
        if kind in WRAPPERS:
            what, instead = WRAPPERS[kind]
            raise InputError(f"the net{f' has {path}, which' if path else ''} is {what}: {instead}")
    for name, parameter in net.named_parameters():
        if is_lazy(parameter):
            raise InputError(
                f"'{name}' is lazy and has no size yet: run the net once on a batch of images first"
            )
