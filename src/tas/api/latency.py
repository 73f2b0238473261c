"""Measure how long a net takes."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import nets
from ..checks import above_zero
from ..errors import InputError
from ..forward import Example, Forward, example_for, examples_in
from ..model_options import LatencyOptions, _Runtime
from ..options import asked_input, with_changes
from ..shape import Shape
from ..timing import Command, OnnxRuntime, OwnDevice, Runtime, Time, runtime_named
from ..timing.runtimes import has_onnx
from ..timing.sessions import in_sessions, net_times
from ..typed import checked
from .opening import OpenedFolder
from .session import read_own

__all__ = ["Measured", "chosen_runtime", "default_runtime", "latency", "measure"]

AnyRuntime = str | Runtime | Callable[[nn.Module], float]


@dataclass(frozen=True)
class Measured:
    """How long a net takes; ``tas.api.measure`` returns it, with an example.

    Attributes:
        names, times: of the nets, the unpruned one first where there is one.
        facts: of the runtime.
    """

    names: tuple[str, ...]
    times: tuple[Time, ...]
    facts: dict[str, Any]

    @property
    def verdict(self) -> str:
        """Which net is the faster one, in words; empty where there is only one.

        Raises:
            InputError: the machine was too busy to tell.
        """
        if len(self.times) < 2:
            return ""
        own = self.times[-1]
        if not own.comparable:
            raise InputError(own.noise)
        part = f"{own.ratio:.3f} (± {own.ratio * own.uncertain:.3f}) of the unpruned net's time"
        if own.ratio >= 1 - own.uncertain:
            return f"not faster: {part}"
        return f"{1 / own.ratio:.2f} times as fast: {part}"


def default_runtime() -> str:
    """ONNX Runtime where it is installed."""
    return "onnxruntime" if has_onnx() else "torch"


@checked
def latency(
    net: nn.Module,
    example: Any,
    *,
    forward: Forward | None = None,
    beside: nn.Module | None = None,
    runtime: AnyRuntime = "torch",
    threads: int = 1,
    batch_size: int | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    seconds: float = 3.0,
) -> Time:
    """How long a net takes in evaluation mode, measured.

    >>> import tas, torch
    >>> whole = tas.nets.build("resnet20")
    >>> small = tas.nets.build("C010-ResNet20")
    >>> time = tas.latency(small, torch.zeros(1, 3, 32, 32), beside=whole, seconds=0.1)
    >>> time.ms > 0, time.ratio > 0
    (True, True)

    What runs is a copy with the BatchNorms folded, as it would be deployed. Threads are set for the
    measurement, and then as they were.

    >>> words = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Linear(8, 50))
    >>> tas.latency(words, torch.tensor([[3, 14, 15]]), seconds=0.1).ms > 0
    True

    Args:
        example: a batch such as the net takes: a tensor, a tuple of arguments, a mapping of named
            ones, or what ``forward`` takes. Pictures are replaced by noise.
        forward: calls the net on the batch, where that is done in another way.
        beside: another net, run in turns: ``ratio`` is the part of its time.
        runtime: ``"torch"``, ``"torch-compile"``, ``"onnxruntime"``, ``"openvino"``; or a function
            of your own that measures a module on a device of yours, and returns seconds.
        threads: of one call.
        batch_size: examples of one call; default: those of the batch.
        device, precision: ``"cpu"`` and ``"fp32"``; of PyTorch others as well.
        seconds: to measure for, at most.

    Raises:
        InputError: an argument cannot be used, or the runtime has no way for the net.
    """
    above_zero("seconds", seconds)
    chosen: Runtime
    if isinstance(runtime, str):
        chosen = runtime_named(
            runtime,
            threads=threads,
            batch_size=(examples_in(example) or 1) if batch_size is None else batch_size,
            device=device,
            precision=precision,
        )
    elif callable(runtime):
        chosen = OwnDevice(runtime)
    else:
        chosen = runtime
    pair = [net] if beside is None else [beside, net]
    pictures = isinstance(example, Tensor) and forward is None
    given = example if pictures else Example.of(example, forward)
    return net_times(pair, given, chosen, seconds)[-1]


def chosen_runtime(options: _Runtime) -> Runtime:
    """The runtime of the options."""
    if options.measure is not None:
        if options.runtime is not None:
            raise InputError("--runtime and --measure are both what runs the net: give one")
        return Command(options.measure, options.batch_size, options.measure_limit)
    return runtime_named(
        options.runtime or default_runtime(),
        threads=options.threads,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
    )


@checked
def measure(options: LatencyOptions | None = None, **changes: Any) -> Measured:
    """What ``tas latency`` does: measures a net, beside the unpruned one where it is smaller.

    >>> import tas.api
    >>> took = tas.api.measure(what="C010-ResNet20", runtime="torch", seconds=0.1)
    >>> took.names, took.facts["threads"]
    (('resnet20, unpruned', 'C010-ResNet20'), 1)

    Args:
        options: see ``tas.model_options.LatencyOptions``, or ``tas latency --help``.
        changes: options by their names, in the place of those of ``options``.
    """
    options = with_changes(options or LatencyOptions(), changes)
    above_zero("seconds", options.seconds)
    what, runtime = str(options.what), chosen_runtime(options)
    if what.endswith(".onnx"):
        return Measured((what,), (_of_file(Path(what), runtime, options.seconds),), runtime.facts())
    shape, net = _opened(options)
    names, pair = [what], [net]
    if dict(shape.widths) or dict(shape.depths):
        whole = nets.build(nets.full_shape(shape.net, shape.classes, shape.input))
        if _size(whole) != _size(net):
            names, pair = [f"{shape.net}, unpruned", what], [whole, net]
    example = example_for(net, shape.image)
    times = net_times(pair, example, runtime, options.seconds)
    return Measured(tuple(names), tuple(times), runtime.facts())


def _opened(options: LatencyOptions) -> tuple[Shape, nn.Module]:
    """The shape and the net that the options name."""
    image = asked_input(options)
    if os.path.isdir(options.what):
        opened = OpenedFolder.of(options.what, options.net)
        return opened.folder.shape, opened.net
    shape = read_own(options.what, options.net)
    shape = shape.replace(classes=options.classes or shape.classes, input=image or shape.input)
    return shape, nets.build(shape)


def _of_file(path: Path, runtime: Runtime, seconds: float) -> Time:
    """The time of an ONNX file."""
    if not path.is_file():
        raise InputError(f"'{path}': no such file")
    if isinstance(runtime, Command):
        return in_sessions(runtime, lambda _: [lambda: runtime.of_file(path)], seconds)[0]
    if isinstance(runtime, OnnxRuntime):
        return in_sessions(runtime, lambda _: [runtime.timer_of(path)], seconds)[0]
    raise InputError(f"'{path}' is run by --runtime onnxruntime or --measure: give one of them")


def _size(net: nn.Module) -> list[torch.Size]:
    return [parameter.shape for parameter in net.parameters()]
