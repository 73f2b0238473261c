"""A module made ready to train, what its processes exchange, and how it becomes plain again."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from ..errors import InputError, first_line
from .memory_format import place_module
from .strides import keep_strides_within, let_strides_go

__all__ = ["average", "compiled", "compiling", "prepare", "release"]


def prepare(
    accelerator: Accelerator,
    module: nn.Module,
    *,
    wrap: bool = True,
    channels_last: bool = True,
) -> nn.Module:
    """A module made ready to train: placed, under autocast, its gradients averaged over processes.

    Args:
        wrap: False leaves the gradients to the caller.
        channels_last: as in ``place_module``.
    """
    place_module(module, accelerator.device, channels_last)
    if accelerator.device.type == "cpu" and accelerator.native_amp:
        keep_strides_within(module)
    if not wrap and accelerator.num_processes > 1:  # all start as the first does
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data.copy_(broadcast(tensor.data.contiguous()))
    with warnings.catch_warnings():  # a new name for broadcast_buffers, which old PyTorch lacks
        warnings.simplefilter("ignore", FutureWarning)
        prepared: nn.Module = accelerator.prepare_model(module, evaluation_mode=not wrap)
    return prepared


def release(accelerator: Accelerator, module: nn.Module) -> None:
    """Take back what ``prepare`` put on a module, so that it is the plain net it was."""
    kept = vars(module)  # attributes of this object alone
    own = kept.get("_original_forward", kept.get("forward"))
    accelerator.unwrap_model(module, keep_fp32_wrapper=False)
    for name in ("forward", "_is_accelerate_prepared"):
        kept.pop(name, None)
    if own is not None and own != module.forward:  # it had one before: a patched or compiled net
        module.forward = own
    let_strides_go(module)
    module.zero_grad(set_to_none=True)


def average(accelerator: Accelerator, tensors: Iterable[Tensor]) -> None:
    """Replace tensors of one type by their means over the processes, in one exchange."""
    tensors = list(tensors)
    if accelerator.num_processes == 1 or not tensors:
        return
    flat = torch.cat([t.flatten() for t in tensors])
    flat = accelerator.reduce(flat, reduction="mean")
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def compiled(module: nn.Module) -> nn.Module:
    """A module that computes what this one does, compiled at its first call (``torch.compile``).

    The module itself stays as it is, for tests on batches of other sizes. Batches of one size are
    expected: every other one would be compiled anew.
    """
    return torch.compile(module, dynamic=False)  # type: ignore[return-value]


@contextmanager
def compiling(asked: bool) -> Iterator[None]:
    """Steps inside are those of a ``compiled`` module, if that was asked for.

    Raises:
        InputError: the compiler failed, or there is none.
    """
    try:
        yield
    except Exception as error:
        if not asked or not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise InputError(
            f"--compile: PyTorch's compiler failed ({first_line(error)}): leave it out"
        ) from error
