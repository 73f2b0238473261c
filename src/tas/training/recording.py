"""Passes that are recorded once and replayed: CUDA graphs, for nets whose kernels are launched more
slowly than a GPU computes them.

A pass is the part of a step between two changes of weights: forward, loss and backward. Optimizers
stay outside, so that learning rates and checkpoints are what they are without recording.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ..errors import InputError, first_line

__all__ = ["Recorder"]

WARM = 3  # passes that are taken as they are: they allocate, choose algorithms, and may compile

Figures: TypeAlias = dict[str, Tensor]
Pass: TypeAlias = Callable[..., Figures]


class Recorder:
    """Takes passes, each the first times as it is, and from then on by replaying its recording.

    A pass is a function of tensors and numbers that returns scalars on the device and leaves
    gradients at the parameters of ``module``, which it forgets itself before. Whatever else it
    uses must be the same at every call. Passes are told apart by the name of the function and the
    shapes of its tensors. A pass that waits for the device, or draws random numbers on the host,
    cannot be recorded and is always taken as it is.

    Args:
        generators: what passes draw from, beside the device's own.
        enabled: False takes all passes as they are.
    """

    def __init__(
        self,
        module: nn.Module,
        device: torch.device,
        *,
        generators: Iterable[Generator] = (),
        enabled: bool = True,
    ) -> None:
        self.enabled = enabled and device.type == "cuda"
        self._module = module
        self._device = device
        self._generators = tuple(generators)
        self._taken: Counter[tuple[object, ...]] = Counter()
        self._recordings: dict[tuple[object, ...], _Recording] = {}
        if self.enabled:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, taken: Pass, *given: Tensor | float) -> Figures:
        """The figures of a pass; those of a replayed one are overwritten by the next."""
        if not self.enabled:
            return taken(*given)
        key = (taken.__name__, *(g.shape if isinstance(g, Tensor) else None for g in given))
        if key in self._recordings:
            return self._recordings[key].replayed(given)
        # Numbers are tensors from the first pass on, so that all passes compute the same.
        inputs = [
            g.clone() if isinstance(g, Tensor) else torch.full((), g, device=self._device)
            for g in given
        ]
        self._taken[key] += 1
        if self._taken[key] > WARM:
            self._recordings[key] = self._recorded(taken, inputs)
            return self._recordings[key].replayed(given)
        with self._aside():
            if self._taken[key] < WARM:
                return taken(*inputs)
            try:
                with _never_waiting():
                    before = _host_random()
                    figures = taken(*inputs)
                    self.enabled = _host_random() == before
                    return figures
            except RuntimeError as error:
                if "synchronizing CUDA operation" not in str(error):
                    raise
                self.enabled = False
        return taken(*given)

    def _recorded(self, taken: Pass, inputs: list[Tensor]) -> "_Recording":
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        before = {p: p.grad for p in self._module.parameters()}
        try:
            # Of this thread alone: another one may pin memory for the next batch meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                figures = taken(*inputs)
        except RuntimeError as error:
            raise InputError(
                f"--cuda-graphs: a step cannot be recorded ({first_line(error)}): "
                "give --cuda-graphs false"
            ) from error
        grads = [(p, p.grad) for p, old in before.items() if p.grad is not old]
        return _Recording(graph, inputs, grads, figures)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """On the stream on which passes are recorded: gradients are tied to the first they see."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)


class _Recording:
    """A graph, and the tensors that it reads and writes at every replay."""

    def __init__(
        self,
        graph: torch.cuda.CUDAGraph,
        inputs: list[Tensor],
        grads: list[tuple[nn.Parameter, Tensor | None]],
        figures: Figures,
    ) -> None:
        self._graph = graph
        self._inputs = inputs
        self._grads = grads
        self._figures = figures

    def replayed(self, given: Iterable[Tensor | float]) -> Figures:
        for own, new in zip(self._inputs, given, strict=True):
            if isinstance(new, Tensor):
                own.copy_(new)
            else:
                own.fill_(new)
        self._graph.replay()
        for parameter, grad in self._grads:  # another pass may have left others
            parameter.grad = grad
        return self._figures


def _host_random() -> tuple[object, ...]:
    """The states of the generators by which a net might decide in Python what it computes."""
    name, keys, *rest = np.random.get_state()
    numpy_state = (name, bytes(np.asarray(keys)), *rest)
    return random.getstate(), numpy_state, bytes(torch.get_rng_state().numpy())


@contextmanager
def _never_waiting() -> Iterator[None]:
    """Inside, PyTorch refuses what would make the host wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
