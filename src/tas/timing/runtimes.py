"""What runs nets: PyTorch, ONNX Runtime, OpenVINO. Each turns a net into a timer of one call.

A runtime is an object that says what it is (``facts``) and makes timers (``timer``; ``ready``, for
several sessions). The net that it is given stays as it was: what runs is a copy without the
BatchNorms that fold, as it would be deployed.

Where one thread of the CPU does all the work in the thread that calls, its own clock counts: the
seconds that it computed, whatever else the machine did meanwhile. On a quiet machine they are those
of the clock on the wall.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from ..checks import known, whole
from ..errors import InputError, first_line, one_of
from ..exports.fold import folded
from ..exports.plain import onnx_bytes
from ..exports.tensors import as_many, tensors_in
from ..forward import Example, answer, mapped, on_threads
from .rounds import FEWEST, MOST, Ready, Time, Timer, stopwatch, timed

__all__ = ["RUNTIMES", "OnnxRuntime", "OpenVino", "Runtime", "Torch", "runtime_named"]


KINDS = {"float": "float32", "double": "float64"}  # of ONNX Runtime, where NumPy says otherwise


class Runtime(Protocol):
    """What runs nets.

    Attributes:
        fewest, most: rounds of a measurement.
    """

    @property
    def fewest(self) -> int: ...
    @property
    def most(self) -> int: ...

    def facts(self) -> dict[str, Any]:
        """What a time depends on: name, threads, batch size, device, precision, versions."""
        ...

    def timer(self, net: nn.Module, example: Any) -> Timer:
        """Runs a net once on a batch like ``example``, and says how long it took.

        Args:
            example: pictures [1, C, H, W], or an ``Example`` of what else the net takes.
        """
        ...

    def ready(self, net: nn.Module, example: Any) -> Ready:
        """Makes timers of a net, one for each session."""
        ...

    def running(self) -> AbstractContextManager[Any]:
        """Around timers: threads and the like, as before afterwards."""
        ...


@dataclass(frozen=True)
class _Here:
    """What the runtimes of this machine share.

    Attributes:
        threads: of one call.
        batch_size: examples of one call.
        device: ``cpu``, ``cuda`` and so on.
        precision: ``fp32``, or ``bf16`` where the runtime has it.
    """

    threads: int = 1
    batch_size: int = 1
    device: str = "cpu"
    precision: str = "fp32"

    name: ClassVar[str]
    packages: ClassVar[dict[str, str]] = {}  # module: package
    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    fewest: ClassVar[int] = FEWEST
    most: ClassVar[int] = MOST

    def __post_init__(self) -> None:
        whole("threads", self.threads, 1)
        whole("batch_size", self.batch_size, 1)
        kind = self.device.partition(":")[0]
        if kind not in self.devices:
            raise InputError(one_of(f"device of {self.name}", self.device, self.devices))
        if self.precision not in self.precisions:
            raise InputError(one_of(f"precision of {self.name}", self.precision, self.precisions))

    def facts(self) -> dict[str, Any]:
        found = {}
        for package in ("torch", *self.packages.values()):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
        return {
            "runtime": self.name,
            "threads": self.threads,
            "batch_size": self.batch_size,
            "device": self.device,
            "precision": self.precision,
            "versions": found,
        }

    def running(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def clock(self) -> Callable[[], float]:
        """The clock of a call that works in the thread that it is made from."""
        alone = self.threads == 1 and self.device == "cpu"
        fine = time.get_clock_info("thread_time").resolution <= 1e-6
        return time.thread_time if alone and fine else time.perf_counter

    def timer(self, net: nn.Module, example: Any) -> Timer:
        return self.ready(net, example)()

    def ready(self, net: nn.Module, example: Any) -> Ready:
        raise NotImplementedError


@dataclass(frozen=True)
class Torch(_Here):
    """PyTorch in eager mode, or compiled by ``torch.compile``.

    >>> import tas, torch
    >>> from tas.timing import Torch, timed
    >>> runtime = Torch(threads=1)
    >>> timer = runtime.timer(tas.nets.build("resnet20"), torch.zeros(1, 3, 32, 32))
    >>> with runtime.running():
    ...     took = timed([timer], seconds=0.05)
    >>> took[0].ms > 0
    True
    """

    compiled: bool = False

    name: ClassVar[str] = "torch"
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda", "mps")
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")

    def facts(self) -> dict[str, Any]:
        name = "torch-compile" if self.compiled else "torch"
        return {**super().facts(), "runtime": name}

    @contextmanager
    def running(self) -> Iterator[None]:
        with on_threads(self.threads), torch.inference_mode():
            yield

    def ready(self, net: nn.Module, example: Any) -> Ready:
        given = as_many(example, self.batch_size)
        small = folded(net, given).net
        return lambda: self._opened(copy.deepcopy(small), given)

    def _opened(self, net: nn.Module, given: Example) -> Timer:
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float32
        try:
            small: Any = net.to(self.device, kind)
            batch = mapped(given.to(kind).batch, lambda x: x.to(self.device))
        except (AssertionError, RuntimeError) as error:
            raise InputError(f"--device {self.device}: {first_line(error)}") from None
        if self.compiled:
            small = torch.compile(small)
        kind_of_device = self.device.partition(":")[0]

        def call() -> None:
            given.forward(small, batch)
            if kind_of_device == "cuda":
                torch.cuda.synchronize()
            elif kind_of_device == "mps":
                torch.mps.synchronize()

        with self.running():
            answer(small, batch, given.forward)  # compiles, and finds out whether it runs at all
        return stopwatch(call, self.clock())


@dataclass(frozen=True)
class OnnxRuntime(_Here):
    """ONNX Runtime on the CPU.

    >>> import tas, torch
    >>> from tas.timing import OnnxRuntime, timed
    >>> timer = OnnxRuntime().timer(tas.nets.build("resnet20"), torch.zeros(1, 3, 32, 32))
    >>> timed([timer], seconds=0.05)[0].ms > 0
    True
    """

    name: ClassVar[str] = "onnxruntime"
    packages: ClassVar[dict[str, str]] = {"onnxruntime": "onnxruntime"}

    def ready(self, net: nn.Module, example: Any) -> Ready:
        known({"onnx": "onnx", **self.packages}, "onnx")
        given = as_many(example, self.batch_size)
        model, arrays = onnx_bytes(net, given), _arrays(given)
        return lambda: self.timer_of(model, arrays)

    def timer_of(self, model: bytes | str | Path, arrays: Mapping[str, Any] | None = None) -> Timer:
        """A timer of an ONNX file, or of what one holds.

        Args:
            arrays: what it is given, by name; made up where that is missing.
        """
        known(self.packages, "onnx")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # of its own classes, one for each kind of fault
            raise InputError(f"ONNX Runtime cannot read the net: {first_line(error)}") from None
        ends = {end.name: end for end in session.get_inputs()}
        try:
            given = {
                name: arrays[name] if arrays else _made_up(end, self.batch_size)
                for name, end in ends.items()
            }
            session.run(None, given)
        except Exception as error:
            raise InputError(f"ONNX Runtime cannot run the net: {first_line(error)}") from None
        return stopwatch(lambda: session.run(None, given), self.clock())


@dataclass(frozen=True)
class OpenVino(_Here):
    """OpenVINO on the CPU.

    >>> from tas.timing import OpenVino
    >>> OpenVino(threads=2).facts()["threads"]
    2
    """

    name: ClassVar[str] = "openvino"
    packages: ClassVar[dict[str, str]] = {"openvino": "openvino"}
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")

    def ready(self, net: nn.Module, example: Any) -> Ready:
        known({"onnx": "onnx", **self.packages}, "openvino")
        given = as_many(example, self.batch_size)
        model, arrays = onnx_bytes(net, given), _arrays(given)
        return lambda: self._opened(model, arrays)

    def _opened(self, model: bytes, arrays: Mapping[str, Any]) -> Timer:
        import openvino

        core = openvino.Core()
        wanted = "f32" if self.precision == "fp32" else "bf16"
        how = {
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": wanted,  # it takes bf16 by itself where that is fast
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            compiled = core.compile_model(core.read_model(model), "CPU", how)
        except Exception as error:
            raise InputError(f"OpenVINO cannot read the net: {first_line(error)}") from None
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != wanted:
            raise InputError(f"--precision {self.precision}: OpenVINO does not compute in it here")
        request = compiled.create_infer_request()
        given = [copy.copy(arrays[end.any_name]) for end in compiled.inputs]
        return stopwatch(lambda: request.infer(given))


def _made_up(end: Any, batch_size: int) -> Any:
    """What an input of an ONNX file may be given: noise, pictures of it in bytes, or ones."""
    import numpy as np

    sizes = [
        d if isinstance(d, int) else 1 if i else batch_size  # others than those are free
        for i, d in enumerate(end.shape)
    ]
    name = end.type.removeprefix("tensor(").removesuffix(")")
    dtype = np.dtype(KINDS.get(name, name))
    noise = np.random.default_rng(0).standard_normal(sizes)
    if dtype == np.uint8:
        noise = (128 + 30 * noise).clip(0, 255)
    return (noise if dtype.kind == "f" or dtype == np.uint8 else np.ones(sizes)).astype(dtype)


def _arrays(given: Example) -> dict[str, Any]:
    """What an ONNX file of a net is given, by name."""
    return {name: x.numpy() for name, x in tensors_in(given).items()}


def in_turns(
    runtime: Runtime, timers: Sequence[Timer], seconds: float, sessions: int = 1
) -> list[Time]:
    """How long each of some timers of a runtime takes, the ratios to the first.

    Args:
        seconds: to measure all of them for, at most.
        sessions: how many there are, which share the fewest rounds of a measurement.
    """
    with runtime.running():
        return timed(timers, seconds, ceil(runtime.fewest / sessions), runtime.most)


def has_onnx() -> bool:
    """Whether ONNX Runtime and what writes its files are installed."""
    return all(find_spec(package) for package in ("onnx", "onnxruntime"))


RUNTIMES = ("torch", "torch-compile", "onnxruntime", "openvino")


def runtime_named(name: str, **how: Any) -> Runtime:
    """The runtime of a name, with threads, batch size, device and precision.

    >>> from tas.timing import runtime_named
    >>> runtime_named("torch-compile", threads=2).facts()["runtime"]
    'torch-compile'

    Raises:
        InputError: there is no such runtime, or it cannot work like that.
    """
    if name not in RUNTIMES:
        raise InputError(one_of("runtime", name, RUNTIMES))
    if name.startswith("torch"):
        return Torch(compiled=name == "torch-compile", **how)
    made = OnnxRuntime(**how) if name == "onnxruntime" else OpenVino(**how)
    known(made.packages, "onnx" if name == "onnxruntime" else "openvino")
    return made
