"""Finds the blocks that a net can do without: runs of equal blocks that hand on what they receive.

A run is a series of modules of one class, one after the other in one container, each fed by the
one before it. From the second on their output is a sum with their input (a residual stream), of its
shape and its channels, so that the first d of them can be kept.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from .labels import Plane, Tracer
from .streams import Streams

__all__ = ["Run", "Visit", "find_runs", "visiting"]


@dataclass(frozen=True)
class Run:
    """Blocks of which the first few may be kept.

    >>> import tas, torch
    >>> structure = tas.graph.analyse(tas.nets.build("resnet20"), torch.zeros(1, 3, 32, 32))
    >>> run = structure.runs[0]
    >>> run.name, run.blocks
    ('stages.0', ('stages.0.0', 'stages.0.1', 'stages.0.2'))

    Attributes:
        name: the container's path; with the places of the blocks in it where it holds others, too.
        blocks: paths of the blocks, in order.
        least: blocks that must stay.
    """

    name: str
    blocks: tuple[str, ...]
    least: int = 1


@dataclass
class Visit:
    """What a module was called with."""

    calls: int
    simple: bool  # one tensor in, one tensor out
    source: str | None = None  # the module that made its input
    shapes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    planes: tuple[tuple[Plane, ...], tuple[Plane, ...]] = ((), ())
    adds: bool = False  # its output is its input, or a sum with it


@contextmanager
def visiting(net: nn.Module, tracer: Tracer) -> Iterator[dict[str, Visit]]:
    """Notes for every module that has modules of its own what goes in and out."""
    visits: dict[str, Visit] = {}
    makers: Any = WeakTensorKeyDictionary()
    sources: dict[str, tuple[str | None, tuple[Plane, ...], tuple[int, ...]]] = {}
    streams = Streams({id(t) for t in (*net.parameters(), *net.buffers())})
    tracer.watchers.append(streams.note)

    def before(module: nn.Module, inputs: Any, name: str) -> None:
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            x = inputs[0]
            sources[name] = makers.get(x), tracer.planes(x), tuple(x.shape)
            streams.enter(name, x)

    def after(module: nn.Module, inputs: Any, output: Any, name: str) -> None:
        calls = visits[name].calls + 1 if name in visits else 1
        source = sources.pop(name, None)
        if source is None or not isinstance(output, Tensor):
            visits[name] = Visit(calls, simple=False)
            return
        shapes = source[2], tuple(output.shape)
        planes = source[1], tracer.planes(output)
        adds = streams.leave(name, output)
        visits[name] = Visit(calls, True, source[0], shapes, planes, adds)
        makers[output] = name

    handles = []
    for name, module in net.named_modules():
        if name and next(module.children(), None) is not None:
            handles += [
                module.register_forward_pre_hook(lambda m, x, name=name: before(m, x, name)),
                module.register_forward_hook(lambda m, x, y, name=name: after(m, x, y, name)),
            ]
    try:
        yield visits
    finally:
        tracer.watchers.remove(streams.note)
        for handle in handles:
            handle.remove()


def find_runs(net: nn.Module, visits: dict[str, Visit], same: Any) -> list[Run]:
    """The runs of a net; of two that lie within one another, the outer.

    Args:
        same: tells of two tuples of planes whether they are of the same channels.
    """
    runs: list[Run] = []
    names = Counter(id(module) for _, module in net.named_modules(remove_duplicate=False))
    for path, container in net.named_modules():
        if any(path.startswith(f"{block}.") or path == block for r in runs for block in r.blocks):
            continue
        children = [f"{path}.{name}".lstrip(".") for name, _ in container.named_children()]
        kinds = [type(child) for _, child in container.named_children()]
        shared = [names[id(child)] > 1 for _, child in container.named_children()]
        start = 0
        while start < len(children):
            end = start + 1
            while (
                end < len(children)
                and kinds[end] is kinds[start] is not nn.Sequential  # that would be a stage
                and not shared[end]  # it would stay by its other name
                and _follows(
                    visits.get(children[end - 1]),
                    visits.get(children[end]),
                    children[end - 1],
                    same,
                )
            ):
                end += 1
            if end - start > 1:
                name = path if (start, end) == (0, len(children)) else f"{path}[{start}:{end}]"
                runs.append(Run(name, tuple(children[start:end])))
            start = end
    return runs


def _follows(first: Visit | None, second: Visit | None, source: str, same: Any) -> bool:
    """Whether the second block can be left out behind the first."""
    return (
        first is not None
        and second is not None
        and (first.calls, second.calls) == (1, 1)
        and second.simple
        and second.source == source
        and second.adds
        and second.shapes[0] == second.shapes[1]
        and same(*second.planes)
    )
