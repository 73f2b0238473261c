"""The pictures of the table, and batches of them to measure by."""

from dataclasses import replace
from pathlib import Path

import torch

import tas
from tas.data import Batches, Data, Transform, batches, stratified_split

MEASURED = 2048  # training pictures, by which norms measure and settings are told apart
HELD_OUT = 0.1  # of the training pictures, to choose a rate by
CIFAR10 = {
    *("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
}


def load(given: str, folder: str | None, pictures: int, transform: Transform | None = None) -> Data:
    """Pictures, by the name that they have in the table.

    Args:
        given: as ``tas run --data`` takes it.
        folder: of the official files of a named set.
        pictures: to train on, the same number of each class; 0 for all there are.
        transform: how a net takes them; default: as they are.
    """
    data = tas.data.load(given, data_dir=folder, transform=transform, progress=False)
    name = given if given in tas.data.NAMES else Path(given).name
    if name != "cifar10" and set(data.class_names) == CIFAR10:
        name = "cifar10-jpeg"
    data = replace(data, name=name)
    if not pictures or pictures >= len(data.train):
        return data
    kept, _ = stratified_split(data.train.labels, pictures / len(data.train), 0)
    return replace(data, train=data.train.take(kept))


def held_out(data: Data) -> Data:
    """The training pictures alone, a tenth of them in the place of the test's."""
    kept, rest = stratified_split(data.train.labels, 1 - HELD_OUT, 0)
    return replace(data, train=data.train.take(kept), test=data.train.take(rest))


def measuring(data: Data) -> Batches:
    """Training pictures as they are, the same for every method."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    part = data.train.take(order[:MEASURED])
    return batches(data, part, 256, augment=None, device="cpu", shuffle=True, drop_last=True)
