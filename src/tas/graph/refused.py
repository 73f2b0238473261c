"""Nets that cannot be traced as they are given, and what to give instead."""

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod

from ..errors import InputError

__all__ = ["refuse"]

WRAPPERS = {
    "OptimizedModule": ("compiled", "trace it before torch.compile: net._orig_mod is the net"),
    "DataParallel": ("wrapped", "give net.module, the net itself"),
    "DistributedDataParallel": ("wrapped", "give net.module, the net itself"),
    "FullyShardedDataParallel": ("wrapped", "give the net before it is sharded"),
}

# Where PyTorch keeps modules of low precision, fake ones of trainings included, and what watches.
LOW_PRECISION = (
    "torch.ao.nn.quantized", "torch.ao.nn.qat", "torch.ao.nn.intrinsic.qat",
    "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.quantizable", "torch.ao.nn.sparse.quantized",
    "torch.ao.quantization.fake_quantize", "torch.ao.quantization.observer", "torchao.quantization",
)  # fmt: skip


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
    for path, module in net.named_modules():
        if type(module).__module__.startswith(LOW_PRECISION):
            raise InputError(
                f"the net is quantised, or prepared for it: '{path}' is a {type(module).__name__}; "
                "give the float net it was made of, and quantise what is found"
            )
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                raise InputError(
                    f"'{path}' has a mask of torch.nn.utils.prune: make it permanent first by "
                    f"torch.nn.utils.prune.remove(module, '{hook._tensor_name}'), for every layer"
                )
    for name, parameter in net.named_parameters():
        if is_lazy(parameter):
            raise InputError(
                f"'{name}' is lazy and has no size yet: run the net once on a batch of images first"
            )
