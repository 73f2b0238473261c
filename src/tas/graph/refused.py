"""Nets that cannot be traced as they are given, and what to give instead."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..errors import InputError
from ..forward import Example, evaluating
from ..usable import check_bare, check_values

__all__ = ["refuse", "refuse_bound"]

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
    check_bare(net)
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
    check_values(net)


@torch.no_grad()
def refuse_bound(net: nn.Module, copy: nn.Module, example: Example) -> None:
    """Raise an ``InputError`` for a net whose copy reads parameters of the net itself.

    So do functions that were put on a net, or hung on it as hooks, and that keep the net or a
    module of it: ``before = net.forward; net.forward = lambda x: 2 * before(x)``. What is cut from
    such a net would go on computing with the whole one.
    """
    own = {_memory(parameter) for parameter in copy.parameters()}
    names = {
        _memory(parameter): name
        for name, parameter in net.named_parameters()
        if parameter.numel() and _memory(parameter) not in own
    }
    with evaluating(copy), _Reads(names) as reads, suppress(InputError):  # it need not run on noise
        example.answer(copy)
    if reads.found:
        raise InputError(
            f"a copy of the net still reads '{reads.found}' of the net itself: forward= has to "
            "call the net that it is given; and a function that was put on a net (net.forward = "
            "..., a hook) keeps the module it was made for: make it a method of a class, or set it "
            "by types.MethodType"
        )


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the first of some parameters that an operator reads."""

    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names = names
        self.found = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for value in tree_leaves((args, kwargs)):
            if not self.found and type(value) in (Tensor, nn.Parameter):
                self.found = self.names.get(_memory(value), "")
        return func(*args, **(kwargs or {}))


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())
