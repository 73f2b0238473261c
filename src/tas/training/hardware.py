"""Where and how precisely a net is computed: device, autocast, memory format, by Accelerate.

Measured for a training step of a ResNet-20 at batch 128 on two cores of an AMD EPYC with
AVX512-BF16, PyTorch 2.15 (median of 15): 217 ms in fp32 with NCHW, 155 ms with channels_last,
129 ms with bf16, 100 ms with both, which are the default for it; both together are the fastest of
the four for a step of the search and for 8-pixel pictures, too. No difference could be told from
noise between foreach, fused and plain SGD, with ``set_to_none`` or not, with denormals flushed, or
in fp32 with convolutions that oneDNN may round to bf16. Without oneDNN the step takes 431 ms (fp32,
NCHW; median of 3).
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    broadcast,
    parse_flag_from_env,
)
from torch import Tensor, nn

from .. import processes
from ..errors import InputError, one_of
from .options import PRECISIONS

__all__ = [
    "accelerator",
    "alone",
    "average",
    "compiled",
    "compiling",
    "pick_precision",
    "place",
    "place_module",
    "prepare",
    "release",
]

DEVICES = ("auto", "cpu", "cuda", "mps")


def accelerator(device: str = "auto", precision: str = "auto") -> Accelerator:
    """A fresh ``Accelerator`` on a device: its ``device``, ``process_index``, ``num_processes``.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. Where several processes were
            launched, Accelerate gives each its own device.
        precision: ``auto``, ``fp32`` or ``bf16``.

    Raises:
        InputError: there is no such device here, or no such precision.
    """
    _check_device(device)
    # Accelerate holds one global state per process. The phases of a run may differ in precision,
    # so it is set up anew; what the launcher set up (the process group) stays.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    cpu = device == "cpu" or (device == "auto" and _only_cpu())
    with _chosen(device):
        state = PartialState(cpu=cpu, timeout=processes.TENSORS_WAIT)
    if processes.launched() > 1 and not torch.distributed.is_initialized():
        raise InputError(
            f"{processes.launched()} processes were launched (WORLD_SIZE) and cannot be connected "
            f"on {state.device}: start them with torchrun, on CUDA devices or with --device cpu"
        )
    bf16 = pick_precision(precision, state.device) == "bf16"
    # Runs repeat bit for bit, on CUDA as well: no algorithm that adds in random order.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    try:
        # Running statistics of norms are averaged once an epoch, not copied from the first process
        # at every step.
        wrapping = DistributedDataParallelKwargs(broadcast_buffers=False)
        return Accelerator(
            mixed_precision="bf16" if bf16 else "no", cpu=cpu, kwargs_handlers=[wrapping]
        )
    except ValueError as error:
        raise InputError(f"--precision {precision} on {state.device}: {error}") from None


@contextmanager
def alone() -> Iterator[None]:
    """What is trained inside is trained by this process by itself, whatever the others do."""
    shared = PartialState._shared_state  # Accelerate has no other way to tell it
    before = dict(shared)
    if before.get("num_processes", 1) > 1:
        shared.update(distributed_type=DistributedType.NO, num_processes=1, process_index=0)
    try:
        yield
    finally:
        shared.update(before)
        AcceleratorState._reset_state(reset_partial_state=False)


def pick_precision(precision: str, device: torch.device) -> str:
    """``"bf16"`` or ``"fp32"``; ``auto`` is bf16 where the hardware has instructions for it."""
    if precision not in PRECISIONS:
        raise InputError(one_of("precision", precision, PRECISIONS))
    if precision != "auto":
        return precision
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every PyTorch
        fast = any(getattr(torch.cpu, test, lambda: False)() for test in tests)
    else:
        fast = False
    return "bf16" if fast else "fp32"


def place(x: Tensor, device: torch.device) -> Tensor:
    """A batch of pictures on the device, in the memory format that its convolutions prefer."""
    return x.to(device, memory_format=_memory_format(device), non_blocking=True)


def place_module(module: nn.Module, device: torch.device) -> nn.Module:
    """A module moved to the device, its convolutions in the memory format that ``place`` gives."""
    module.to(device, memory_format=_memory_format(device))  # type: ignore[call-overload]
    return module


def prepare(accelerator: Accelerator, module: nn.Module, *, wrap: bool = True) -> nn.Module:
    """A module made ready to train: placed, under autocast, its gradients averaged over processes.

    Args:
        wrap: False leaves the gradients to the caller.
    """
    place_module(module, accelerator.device)
    if accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16":
        _keep_strides_within(module)
    if not wrap and accelerator.num_processes > 1:  # all start as the first does
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data.copy_(broadcast(tensor.data.contiguous()))
    with warnings.catch_warnings():  # a new name for broadcast_buffers, which old PyTorch lacks
        warnings.simplefilter("ignore", FutureWarning)
        prepared: nn.Module = accelerator.prepare_model(module, evaluation_mode=not wrap)
    return prepared


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
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        raise InputError(
            f"--compile: PyTorch's compiler failed ({reason}): leave it out"
        ) from error


def release(accelerator: Accelerator, module: nn.Module) -> None:
    """Take back what ``prepare`` put on a module, so that it is the plain net it was."""
    accelerator.unwrap_model(module, keep_fp32_wrapper=False)
    for name in ("forward", "_is_accelerate_prepared"):  # attributes of this object alone
        module.__dict__.pop(name, None)
    for part in module.modules():
        own = vars(part).get("forward")
        if isinstance(own, partial) and own.func is _strided_within:
            del part.forward
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


def _keep_strides_within(module: nn.Module) -> None:
    """Have its strided convolutions take strides no longer than the picture, until ``release``."""
    for part in module.modules():
        if type(part) is nn.Conv2d and max(part.stride) > 1 and "forward" not in vars(part):
            part.forward = partial(_strided_within, part)  # type: ignore[method-assign]


def _strided_within(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """``conv(x)``. Where a stride is longer than the picture there is one pixel to come, and one as
    long as the picture leads to the same.

    With the longer one PyTorch's gradient of bf16 weights is what stood in memory before, for all
    weights that meet nothing but padding (seen with 2.14 on a CPU with AVX512-BF16).
    """
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return type(conv).forward(conv, x)
    stride = [
        min(s, n) if 2 * p <= d * (k - 1) else s  # with more padding there may be more pixels
        for s, n, p, d, k in zip(
            conv.stride, x.shape[-2:], conv.padding, conv.dilation, conv.kernel_size, strict=True
        )
    ]
    return F.conv2d(x, conv.weight, conv.bias, stride, conv.padding, conv.dilation, conv.groups)


def _memory_format(device: torch.device) -> torch.memory_format:
    return torch.channels_last if device.type in ("cpu", "cuda") else torch.preserve_format


def _only_cpu() -> bool:
    """Whether there is nothing else, or Accelerate's launcher was told so; left to itself it would
    not see that it is one of several processes then."""
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def _check_device(device: str) -> None:
    kind, _, index = device.partition(":")
    if kind not in DEVICES or (index and not (kind == "cuda" and index.isdigit())):
        raise InputError(one_of("device", device, [*DEVICES, "cuda:1"]))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"--device {device}: no such device here; 'auto' takes what there is")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise InputError(
            f"--device {device}: PyTorch finds {count or 'no'} CUDA device{'s' * (count != 1)} "
            "here; 'auto' takes what there is"
        )


@contextmanager
def _chosen(device: str) -> Iterator[None]:
    """Tell Accelerate one particular GPU, in the way it offers: an environment variable."""
    if ":" not in device:
        yield
        return
    torch.cuda.set_device(device)
    before = os.environ.get("ACCELERATE_TORCH_DEVICE")
    os.environ["ACCELERATE_TORCH_DEVICE"] = device
    try:
        yield
    finally:
        del os.environ["ACCELERATE_TORCH_DEVICE"]
        if before is not None:
            os.environ["ACCELERATE_TORCH_DEVICE"] = before
