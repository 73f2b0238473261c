"""Which attributes of its modules a net reads while it runs: numbers in others decide nothing."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

__all__ = ["reading"]

Read = tuple[str, str]  # the path of a module, and the name of an attribute


@contextmanager
def reading(net: nn.Module) -> Iterator[Collection[Read]]:
    """Collects what is read of a net's modules, each by its first name.

    >>> import torch
    >>> from tas.graph.reads import reading
    >>> net = torch.nn.Sequential(torch.nn.Linear(2, 2))
    >>> with reading(net) as read:
    ...     out = net(torch.zeros(1, 2))
    >>> ("0", "weight") in read, ("0", "out_features") in read
    (True, False)

    Raises:
        TypeError: a module is of a class that cannot be watched.
    """
    found: set[Read] = set()
    paths = {id(module): path for path, module in net.named_modules()}
    watched: dict[type[nn.Module], Any] = {}
    before: list[tuple[nn.Module, type[nn.Module]]] = []
    try:
        for module in net.modules():
            kind = type(module)
            if kind not in watched:
                watched[kind] = _watched(kind, paths, found)
            before.append((module, kind))
            module.__class__ = watched[kind]
        yield found
    finally:
        for module, kind in before:
            module.__class__ = kind


def _watched(kind: Any, paths: dict[int, str], found: set[Read]) -> Any:
    """A class that is the same, but that tells what is read of its objects."""

    def __getattribute__(self: Any, name: str) -> Any:  # noqa: N807
        path = paths.get(id(self))
        if path is not None:
            found.add((path, name))
        return kind.__getattribute__(self, name)

    return type(kind)(kind.__name__, (kind,), {"__getattribute__": __getattribute__})
