"""Where and how precisely a net is computed: device, precision and processes, by Accelerate.

Measured for a training step of a ResNet-20 at batch 128 on two cores of an AMD EPYC with
AVX512-BF16, PyTorch 2.15 (median of 15): 217 ms in fp32 with NCHW, 155 ms with channels_last,
129 ms with bf16, 100 ms with both, which are the default for it; both together are the fastest of
the four for a step of the search and for 8-pixel pictures, too. No difference could be told from
noise between foreach, fused and plain SGD, with ``set_to_none`` or not, with denormals flushed, or
in fp32 with convolutions that oneDNN may round to bf16. Without oneDNN the step takes 431 ms (fp32,
NCHW; median of 3).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated

import torch
from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DistributedDataParallelKwargs, parse_flag_from_env

from .. import processes
from ..errors import InputError, one_of
from ..typed import checked
from .accelerate_state import forget, set_aside
from .options import PRECISIONS
from .settings import repeatable

__all__ = ["Device", "Where", "accelerator", "computing", "pick_precision", "where"]

DEVICES = ("auto", "cpu", "cuda", "mps")
# A number is that of a CUDA device, as it is for PyTorch.
Device = Annotated[str | int | torch.device, "'auto', 'cpu', 'cuda', 'cuda:1' or a torch.device"]


@dataclass(frozen=True)
class Where:
    """The device of this process, and which of how many processes it is.

    ``tas.training.where`` returns it, with an example.
    """

    device: torch.device
    process_index: int
    num_processes: int


@checked
def where(device: Device = "auto", precision: str = "auto") -> Where:
    """Where ``computing`` would compute; nothing in the process is changed.

    >>> from tas.training import where
    >>> where("cpu")
    Where(device=device(type='cpu'), process_index=0, num_processes=1)

    But for processes that were launched and do not know one another yet: they are connected.

    Raises:
        InputError: as ``accelerator`` does.
    """
    with set_aside():
        found = accelerator(device, precision)
        return Where(found.device, found.process_index, found.num_processes)


@checked
@contextmanager
def computing(device: Device = "auto", precision: str = "auto") -> Iterator[Accelerator]:
    """An ``Accelerator`` to compute with, and settings of PyTorch under which results repeat.

    >>> import torch
    >>> from tas.training import computing
    >>> with computing("cpu", "fp32") as accelerator:
    ...     model = accelerator.prepare(torch.nn.Linear(2, 2))

    Afterwards these settings, the current CUDA device and what the caller has set up with
    Accelerate are as before.

    Args:
        device, precision: as in ``accelerator``.
    """
    with set_aside(), repeatable():
        found = accelerator(device, precision)
        # Where processes were launched each has its own current device from the start.
        current = torch.cuda.device(found.device) if found.device.type == "cuda" else nullcontext()
        with current:
            yield found


@checked
def accelerator(device: Device = "auto", precision: str = "auto") -> Accelerator:
    """A fresh ``Accelerator`` on a device, in the place of any other one of this process.

    >>> from tas.training import accelerator
    >>> accelerator("cpu", "bf16").mixed_precision
    'bf16'

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``, a ``torch.device``, or the
            number of a CUDA device. Where several processes were
            launched, Accelerate gives each its own device.
        precision: ``auto``, ``fp32`` or ``bf16``.

    Raises:
        InputError: there is no such device here, or no such precision.
    """
    device = f"cuda:{device}" if isinstance(device, int) else str(device)
    _check_device(device)
    forget()
    cpu = device == "cpu" or (device == "auto" and _only_cpu())
    with _chosen(device):
        state = PartialState(cpu=cpu, timeout=processes.TENSORS_WAIT)
    if processes.launched() > 1 and not torch.distributed.is_initialized():
        raise InputError(
            f"{processes.launched()} processes were launched (WORLD_SIZE) and cannot be connected "
            f"on {state.device}: start them with torchrun, on CUDA devices or with --device cpu"
        )
    bf16 = pick_precision(precision, state.device) == "bf16"
    try:
        # Running statistics of norms are averaged once an epoch, not copied from the first process
        # at every step.
        wrapping = DistributedDataParallelKwargs(broadcast_buffers=False)
        return Accelerator(
            mixed_precision="bf16" if bf16 else "no", cpu=cpu, kwargs_handlers=[wrapping]
        )
    except ValueError as error:
        raise InputError(f"--precision {precision} on {state.device}: {error}") from None


@checked
def pick_precision(precision: str, device: torch.device) -> str:
    """``"bf16"`` or ``"fp32"``; ``auto`` is bf16 where the hardware has instructions for it.

    >>> import torch
    >>> from tas.training import pick_precision
    >>> pick_precision("fp32", torch.device("cpu"))
    'fp32'
    >>> pick_precision("auto", torch.device("cpu")) in ("bf16", "fp32")
    True
    """
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


def _only_cpu() -> bool:
    """Whether there is nothing else, or Accelerate's launcher was told so; left to itself it would
    not see that it is one of several processes then."""
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def _check_device(device: str) -> None:
    kind, _, index = device.partition(":")
    if kind not in DEVICES or (index and not (kind == "cuda" and index.isdigit())):
        raise InputError(one_of("device", device, [*DEVICES, "cuda:1"]))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise InputError(
            f"--device {device}: no such device here; --device auto uses what there is"
        )
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise InputError(
            f"--device {device}: PyTorch finds {count or 'no'} CUDA device{'s' * (count != 1)} "
            "here; --device auto uses what there is"
        )


@contextmanager
def _chosen(device: str) -> Iterator[None]:
    """Tell Accelerate one particular GPU, in the way it offers: an environment variable."""
    if ":" not in device:
        yield
        return
    before = os.environ.get("ACCELERATE_TORCH_DEVICE")
    os.environ["ACCELERATE_TORCH_DEVICE"] = device
    try:
        yield
    finally:
        del os.environ["ACCELERATE_TORCH_DEVICE"]
        if before is not None:
            os.environ["ACCELERATE_TORCH_DEVICE"] = before
