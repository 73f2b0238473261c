"""Stratified, seeded splits, and the file that `tas split` writes.

A search trains the weights on one half of the training part and the logits on the other half; the
file records which picture went where, so that a search can be repeated exactly.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from ..errors import DataError
from ..reading import read_json
from ..seeds import check_seed
from ..typed import Between, checked, record
from ..whole import write_whole
from .parts import NAMES, Data

FORMAT = "tas-split/1"
TEST_FRACTION = 0.2  # that is set aside of a set without a test part of its own


@dataclass(frozen=True, eq=False)
class Split:
    """Which pictures of a training part train the weights, and which the logits.

    >>> import tas
    >>> split = tas.data.search_split(tas.data.load("digits"), fraction=0.8)
    >>> split.data, split.count, len(split.weights), len(split.logits)
    ('digits', 1438, 1150, 288)
    """

    data: str
    seed: int
    fraction: float  # of the pictures that train the weights
    count: int  # pictures in the training part
    weights: Tensor  # int64, sorted
    logits: Tensor  # int64, sorted


@checked
def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Cut ``labels`` (int64 [N]) in two with the classes in equal proportion.

    >>> import tas, torch
    >>> labels = torch.tensor([0, 0, 0, 0, 1, 1])
    >>> first, second = tas.data.stratified_split(labels, 0.5, seed=0)
    >>> labels[first], labels[second]
    (tensor([0, 0, 1]), tensor([0, 0, 1]))

    Returns the sorted int64 indices of the first (``fraction`` of all) and of the second side,
    each at least as large as the number of classes. Raises ``DataError`` where a class has a
    single picture, and where ``fraction`` is not between 0 and 1; ``InputError`` where the seed is
    not from 0 to 2**32 - 1.
    """
    check_seed(seed)
    if not 0 < fraction < 1:
        raise DataError(f"fraction {fraction}: a split needs a number between 0 and 1, e.g. 0.5")
    counts = labels.bincount()
    if (counts == 1).any():
        raise DataError(
            f"class {int((counts == 1).nonzero()[0])} (counted from 0) has a single picture: "
            "a stratified split needs at least two of every class"
        )
    classes = int((counts > 0).sum())
    # scikit-learn refuses a side with fewer pictures than classes.
    size = min(max(round(fraction * len(labels)), classes), len(labels) - classes)
    first, second = train_test_split(
        np.arange(len(labels)), train_size=size, stratify=labels.numpy(), random_state=seed
    )
    return torch.from_numpy(np.sort(first)), torch.from_numpy(np.sort(second))


@checked
def search_split(
    data: Data, fraction: float = 0.5, seed: int = 0, subset: int | None = None
) -> Split:
    """Split the training part of ``data`` for a search: ``fraction`` of it trains the weights.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> split = tas.data.search_split(data, fraction=0.8, subset=20)
    >>> learn, judge = data.train.take(split.weights), data.train.take(split.logits)
    >>> len(learn), len(judge)
    (160, 40)

    ``subset`` leaves that many pictures of every class, drawn by ``seed``, and all where a class
    has fewer: a search on these is a proxy for one on all.
    """
    labels = data.train.labels
    chosen = torch.arange(len(labels)) if subset is None else _of_each(labels, subset, seed)
    weights, logits = (chosen[side] for side in stratified_split(labels[chosen], fraction, seed))
    return Split(data.name, seed, fraction, len(data.train), weights, logits)


def _of_each(labels: Tensor, count: int, seed: int) -> Tensor:
    """The sorted indices of ``count`` random pictures of every class."""
    if count < 2:
        raise DataError(f"--subset {count}: a search needs at least 2 pictures of every class")
    mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    by_class = mixed[labels[mixed].argsort(stable=True)]
    counts = labels.bincount()
    place = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]
    return by_class[place < count].sort().values


@checked
def write_split(path: str | Path, split: Split) -> None:
    """Write ``split`` as JSON. Raises ``DataError`` where the file cannot be written.

    >>> import tas
    >>> tas.data.write_split("split.json", tas.data.search_split(tas.data.load("digits")))
    """
    content = {
        "format": FORMAT,
        "data": split.data,
        "seed": split.seed,
        "fraction": split.fraction,
        "count": split.count,
        "weights": split.weights.tolist(),
        "logits": split.logits.tolist(),
    }
    try:
        write_whole(Path(path), json.dumps(content) + "\n")
    except OSError as error:
        raise DataError(f"cannot write the split '{path}': {error.strerror}") from error


@checked
def read_split(path: str | Path, data: Data) -> Split:
    """Read a split written for ``data``.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> tas.data.write_split("split.json", tas.data.search_split(data, seed=3))
    >>> tas.data.read_split("split.json", data).seed
    3

    Raises ``DataError`` where the file is no split, or one of other data.
    """
    content = read_json(path, "split file", error=DataError)
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise DataError(f"'{path}' is not a split file: `tas split` writes one ({FORMAT})")
    held = record(_Held, content, f"'{path}' is not a split file", DataError, extra=True)
    sides = (torch.tensor(sorted(side), dtype=torch.int64) for side in (held.weights, held.logits))
    split = Split(held.data, held.seed, held.fraction, held.count, *sides)
    if not len(split.weights) or not len(split.logits):
        raise DataError(f"the split '{path}' has an empty side: write a new one with `tas split`")
    # A folder may have been moved, so that only the names of known data sets are compared.
    renamed = split.data != data.name and (split.data in NAMES or data.name in NAMES)
    if renamed or split.count != len(data.train):
        raise DataError(
            f"'{path}' splits {split.count} pictures of '{split.data}', but '{data.name}' has "
            f"{len(data.train)} for training: write a new one with `tas split`"
        )
    both = torch.cat([split.weights, split.logits])
    if both.max() >= split.count:
        raise DataError(f"the split '{path}' names pictures outside 0..{split.count - 1}")
    if both.bincount().max() > 1:
        raise DataError(f"the split '{path}' names a picture twice: its sides must be disjoint")
    return split


Number = Annotated[int, Between(0, 2**62)]


@dataclass(frozen=True)
class _Held:
    """What the file holds."""

    data: str
    seed: Number
    fraction: float
    count: Number
    weights: list[Number]
    logits: list[Number]
