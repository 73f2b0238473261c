"""What is known of a tensor besides its planes: kept as long as the tensor lives.

*Alike*: made of nothing but sizes, or repeated, it is the same everywhere along some dimensions
(zeros, noise). As many channels as there are will do: what it meets is not of a fixed size. Where a
view joins such a dimension with others, it is the same *in runs*.

*Blank*: a part of it, of several that were joined, is the same everywhere: of that part, too, as
many channels will do as there are.

*Single*: it is one channel of several that were taken apart; joined in their order, they are the
dimension again. *Numbers*: it holds numbers of channels (the index of a maximum), which are others
once some are gone. Whatever else reads one of these two locks the channels that it is about.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from ..labels import Plane, Tracer

__all__ = [
    "alike",
    "blank",
    "filled",
    "lock_marked",
    "mark_alike",
    "mark_blank",
    "mark_numbers",
    "mark_runs",
    "mark_single",
    "mark_written",
    "runs_over",
    "single",
]

_ALIKE: Any = WeakTensorKeyDictionary()
_BLANK: Any = WeakTensorKeyDictionary()
_RUNS: Any = WeakTensorKeyDictionary()
_SINGLE: Any = WeakTensorKeyDictionary()
_NUMBERS: Any = WeakTensorKeyDictionary()


def mark_alike(tensor: Tensor, dims: frozenset[int] | None = None) -> None:
    """It is the same along these dimensions; without any, along all it has."""
    dims = frozenset(range(tensor.dim())) if dims is None else dims
    if dims:
        _ALIKE[tensor] = dims
    elif tensor in _ALIKE:
        del _ALIKE[tensor]


def alike(tensor: Tensor, dim: int | None = None) -> bool:
    """Whether it is the same along a dimension; without one, along all it has."""
    dims = _ALIKE.get(tensor, ())
    return dim in dims if dim is not None else len(dims) == tensor.dim() > 0


def mark_blank(tensor: Tensor, dim: int, places: Tensor) -> None:
    """Along a dimension it is made of nothing but sizes at these places [size], booleans."""
    _BLANK[tensor] = dim, places


def mark_written(tensor: Tensor) -> None:
    """It is blank nowhere any more."""
    if tensor in _BLANK:
        del _BLANK[tensor]


def blank(tensor: Tensor, dim: int) -> Tensor | None:
    """Where it is made of nothing but sizes along a dimension; None where it is so nowhere."""
    own, places = _BLANK.get(tensor, (None, None))
    return places if own == dim % max(tensor.dim(), 1) else None


def filled(tensor: Tensor, dim: int, labels: Tensor | int, others: Tensor | int) -> Tensor | int:
    """The labels of a tensor along a dimension, those that it meets where it is blank."""
    empty = blank(tensor, dim)
    if empty is None or isinstance(others, int):
        return labels
    own = torch.zeros_like(others) if isinstance(labels, int) else labels
    return torch.where(empty, others, own)


def mark_runs(tensor: Tensor, dim: int, runs: Tensor) -> None:
    """Along a dimension it is the same within runs, whose numbers these are [size], ascending."""
    _RUNS.setdefault(tensor, {})[dim] = runs


def runs_over(tensor: Tensor, dim: int, labels: Tensor) -> bool:
    """Whether each run of a tensor lies beside the same labels [size], those of another one."""
    runs = _RUNS.get(tensor, {}).get(dim)
    if runs is None:
        return False
    parts = [labels[runs == number] for number in range(int(runs[-1]) + 1)]
    return all(torch.equal(part, parts[0]) for part in parts)


def mark_single(tensor: Tensor, label: Tensor) -> None:
    """It is the one channel with this label [1]."""
    _SINGLE[tensor] = label


def single(tensor: Tensor) -> Tensor | None:
    """The label of the one channel that a tensor is."""
    label: Tensor | None = _SINGLE.get(tensor)
    return label


def mark_numbers(tensor: Tensor, labels: Tensor) -> None:
    """It holds numbers of these channels."""
    _NUMBERS[tensor] = labels


def lock_marked(trace: Tracer, read: list[Tensor], name: str, joins: bool) -> None:
    """Lock what an operator cannot know of the tensors that it reads.

    Args:
        joins: the operator knows what to do with single channels.
    """
    for tensor in read:
        if tensor in _NUMBERS:
            trace.lock([Plane(0, _NUMBERS[tensor])], f"their numbers are used ('{name}')")
        if not joins and tensor in _SINGLE:
            trace.lock([Plane(0, _SINGLE[tensor])], f"'{name}' of one of them")
