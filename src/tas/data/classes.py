"""Classes by name: the labels of a data set as a model numbers them."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import DataError, InputError, nearest, quoted
from .parts import Data


def numbers(names: Sequence[str], known: Sequence[str], where: str) -> Tensor:
    """int64 [len(names)]: which of the ``known`` classes each of ``names`` is.

    Raises ``DataError`` where a model does not know one of them, and ``InputError`` where the known
    ones are not a list of different names.
    """
    if isinstance(known, str) or not all(isinstance(name, str) for name in known):
        raise InputError(f"class names {quoted(known)}: give a list of names")
    position = {name: i for i, name in enumerate(known)}
    if len(position) < max(len(known), 1):
        given = some(list(known)) or "[]"
        raise InputError(f"class names {given}: give at least one, and each once")
    strange = [name for name in names if name not in position]
    if strange:
        near = nearest(strange[0], known)
        hint = f"did you mean '{near}'? " if near else ""
        raise DataError(
            f"'{where}' has pictures of {some(strange)}, which the model does not know: "
            f"{hint}it knows {some(list(known), 10)}"
        )
    return torch.tensor([position[name] for name in names], dtype=torch.int64)


def by_name(data: Data, known: Sequence[str]) -> Data:
    """``data`` with its labels as in ``known``. Raises as ``numbers`` does."""
    number = numbers(data.class_names, known, data.name)
    train, test = (replace(part, labels=number[part.labels]) for part in (data.train, data.test))
    notes = (*data.notes, *absent(data.name, data.class_names, known))
    return replace(data, class_names=tuple(known), train=train, test=test, notes=notes)


def without_labels(data: Data, known: Sequence[str]) -> Data:
    """``data`` as pictures alone, with the classes of the net that is to answer."""
    train, test = (
        replace(part, labels=torch.zeros_like(part.labels)) for part in (data.train, data.test)
    )
    return replace(data, class_names=tuple(known), train=train, test=test, labelled=False)


def absent(where: str, have: Collection[str], known: Sequence[str]) -> list[str]:
    """A note on the ``known`` classes that the data do not have, if there are any."""
    left = [name for name in known if name not in have]
    return [f"'{where}' has no pictures of {some(left)}, which the model knows"] if left else []


def some(names: Sequence[str], most: int = 3) -> str:
    """A few of the names, quoted, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more
