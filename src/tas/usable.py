"""Nets as users hand them over: which cannot be used as they are, and what to give instead.

Their answers as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InputError
from .forward import leaves

__all__ = [
    "check_bare",
    "check_floats",
    "check_gradients",
    "check_modes",
    "check_unwrapped",
    "check_values",
    "check_weights",
    "eager",
]

WRAPPERS = {
    "OptimizedModule": ("compiled", "give net._orig_mod, the net that it was made of"),
    "DataParallel": ("wrapped", "give net.module, the net itself"),
    "DistributedDataParallel": ("wrapped", "give net.module, the net itself"),
    "FullyShardedDataParallel": ("wrapped", "give the net before it is sharded"),
}


def check_gradients() -> None:
    """Raise ``InputError`` where PyTorch has been told that there are none, whatever is done."""
    if torch.is_inference_mode_enabled():
        raise InputError("inside torch.inference_mode nothing can be learnt: call it outside")


def check_floats(answer: Any) -> None:
    """Raise ``InputError`` for an answer without a tensor of floats."""
    if any(x.is_floating_point() for _, x in leaves(answer)):
        return
    what = f"a {type(answer).__name__} without a tensor of floats"
    if isinstance(answer, Tensor):
        what = f"a tensor of {str(answer.dtype).removeprefix('torch.')}, not of floats"
    raise InputError(
        f"the net returns {what}: say by forward= what counts, such as "
        "forward=lambda net, batch: net(batch).logits"
    )


def check_modes(net: nn.Module, name: str = "net") -> None:
    """Raise ``InputError`` where modules cannot be watched, or not be set to evaluation.

    Args:
        name: what the net is called in errors.
    """
    if isinstance(net, torch.jit.ScriptModule):
        raise InputError(f"the {name} is scripted: give the module that was given to torch.jit")
    _check_not_exported(net, name)


def _check_not_exported(net: nn.Module, name: str) -> None:
    if isinstance(net, torch.fx.GraphModule) and "eval" in vars(net):  # there it raises an error
        raise InputError(f"the {name} is exported: give the module that was given to torch.export")


def check_unwrapped(net: nn.Module, name: str = "net", path: str = "") -> None:
    """Raise ``InputError`` for a module that is one of PyTorch's wrappers.

    Args:
        path: of a module of the net, for the error.
    """
    kind = type(net).__name__
    if kind in WRAPPERS:
        what, instead = WRAPPERS[kind]
        raise InputError(f"the {name}{f' has {path}, which' if path else ''} is {what}: {instead}")


def check_bare(net: nn.Module, name: str = "net") -> None:
    """Raise ``InputError`` where ``check_modes`` does, and where any module is a wrapper."""
    check_modes(net, name)
    for path, module in net.named_modules():
        check_unwrapped(module, name, path)


def check_values(net: nn.Module, name: str = "net") -> None:
    """Raise ``InputError`` where a net has no modes, no values, or values that must not change."""
    _check_not_exported(net, name)
    for key, value in (*net.named_parameters(), *net.named_buffers()):
        if value.is_meta or isinstance(value, nn.UninitializedParameter):
            raise InputError(
                f"the {name} has no values, '{key}' among others: load its weights, or build it on "
                "a device other than 'meta'"
            )
        if value.is_inference():
            raise InputError(
                f"the {name} was built in torch.inference_mode, where '{key}' cannot be changed: "
                "give copy.deepcopy(net), made outside of it"
            )


def check_weights(net: nn.Module, name: str = "net", precision: str = "auto") -> None:
    """The same, and where a net cannot be computed: NaN, or float64 where bf16 is asked for.

    Args:
        name: what the net is called in errors.
        precision: that is asked for.
    """
    check_values(net, name)
    for key, value in net.named_parameters():
        if value.dtype == torch.float64 and precision == "bf16":
            raise InputError(
                f"the {name} is in float64, and precision='bf16' is asked for: give net.float(), "
                "or precision='fp32'"
            )
        if not value.isfinite().all():
            raise InputError(
                f"the {name} has weights that are NaN or infinite, in '{key}': give one of a "
                "training that did not diverge"
            )


@contextmanager
def eager(net: object) -> Iterator[None]:
    """What ``net.compile()`` has compiled in place runs by its own code for a while.

    Under hooks, and with batches of other sizes, it would be compiled again and again.
    """
    modules = list(net.modules()) if isinstance(net, nn.Module) else []
    compiled = [(each, call) for each in modules if (call := each._compiled_call_impl) is not None]
    for module, _ in compiled:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for module, call in compiled:
            module._compiled_call_impl = call
