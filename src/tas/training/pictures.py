"""Pictures for trainings: a data set, batches of a part of it, and whether a net fits them."""

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .. import data as data_room
from ..data import Augment, Data
from ..errors import InputError
from ..forward import Batches, Forward, answer, call_batch, evaluating, example_for
from ..inherit.readings import SAMPLES
from ..nets import ResNet
from ..shape import Shape
from ..usable import check_weights
from .hardware import Device, Where, pick_precision, where
from .placing import settled

__all__ = [
    "Few",
    "check_fits",
    "check_net",
    "few",
    "given_data",
    "measuring_batches",
    "training_batches",
    "unvaried_batches",
]


RANKED_BY = 8  # batches, by which the channels of a trained net are put in order


class BatchOptions(Protocol):
    """What batches need of the options of a training or a method."""

    @property
    def batch_size(self) -> int: ...
    @property
    def precision(self) -> str: ...


def given_data(
    data: str | Path | Data, device: Device, workers: int | None, progress: bool
) -> Data:
    """A data set, loaded if it is a name or a folder."""
    where(device)  # connects the processes, which are to load the same
    if isinstance(data, Data):
        return data
    return data_room.load(data, workers=workers, progress=progress)


def check_fits(shape: Shape, data: Data, name: str) -> None:
    """Raise ``InputError`` where a net of ours does not take the pictures or has other classes."""
    if shape.classes != data.classes:
        raise InputError(
            f"the {name} has {shape.classes} classes, but '{data.name}' has {data.classes}: "
            f'build it with tas.nets.build("{shape.net}", classes={data.classes})'
        )
    if shape.image[0] != data.input[0]:
        raise InputError(
            f"the {name} takes pictures of {shape.image[0]} channels, but those of '{data.name}' "
            f'have {data.input[0]}: build it with tas.nets.build("{shape.net}", input={data.input})'
        )


def check_net(net: nn.Module, data: Data, name: str, precision: str = "auto") -> None:
    """Raise ``InputError`` where a net does not take the pictures or gives no scores of their
    classes; one of ours is asked for its shape, any other is run on one picture."""
    check_weights(net, name, precision)
    if isinstance(net, ResNet):
        check_fits(net.shape, data, name)
        return
    with evaluating(net), torch.no_grad():
        scores = answer(net, example_for(net, data.input))
    if not isinstance(scores, Tensor) or scores.shape != (1, data.classes):
        got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise InputError(
            f"the {name} returns {got} for one picture, but '{data.name}' has {data.classes} "
            f"classes: give one that returns scores of [1, {data.classes}]"
        )


def training_batches(
    data: Data,
    part: data_room.Part,
    options: BatchOptions,
    augment: Augment,
    device: Device,
    workers: int | None,
    seed: int,
    batch_size: int | None = None,
) -> data_room.Batches:
    """Shuffled and varied batches to train on; of the size that the options say, or another."""
    here = where(device, options.precision)
    # A set smaller than a batch is one batch, as far as the processes can share it.
    most = max(len(part) // here.num_processes, 1) * here.num_processes
    size = min(batch_size or options.batch_size, most)
    how: dict[str, Any] = {"augment": augment, "seed": seed, "shuffle": True, "drop_last": True}
    return _shared(data, part, size, here, workers, **how)


def unvaried_batches(
    data: Data,
    part: data_room.Part,
    options: BatchOptions,
    device: Device,
    workers: int | None,
) -> data_room.Batches:
    """Batches to measure on."""
    here = where(device, options.precision)
    return _shared(data, part, options.batch_size, here, workers, augment=None, shuffle=False)


class Few(NamedTuple):
    """What channels are put in order by, in the order of ``Source.ordered``.

    Attributes:
        pictures: gives the batches, at every call.
        forward: how the net is called on one.
        samples: of a batch, so that all of them have enough.
    """

    pictures: Callable[[], Iterable[Any]]
    forward: Forward = call_batch
    samples: int = SAMPLES


def few(
    net: nn.Module,
    batches: Batches,
    device: torch.device,
    forward: Forward = call_batch,
    most: int = RANKED_BY,
    *,
    precision: str = "fp32",
) -> Few:
    """The first batches on a device: enough to put channels in order.

    Args:
        net: that is given them; it is brought to the device.
        batches: every iteration begins with the first.
        forward: how the net is called on a batch.
        most: batches.
        precision: as in ``tas.training.TrainOptions``; bf16 where the net can be computed so.
    """
    first_batch, bf16 = next(iter(batches)), pick_precision(precision, device) == "bf16"
    placing = settled([net], first_batch, device, bf16=bf16, weights=False, forward=forward)

    def first() -> Iterator[Any]:
        for batch in islice(batches, most):
            yield placing.pictures(batch)

    count = min(most, len(batches)) if isinstance(batches, Sized) else most
    return Few(first, placing.calling(forward), -(-SAMPLES // count))


def measuring_batches(
    data: Data, part: data_room.Part, options: BatchOptions, device: Device, workers: int | None
) -> data_room.Batches:
    """Batches by which norms measure: shuffled, for one of a single class has the statistics of
    none, and not varied."""
    size = options.batch_size
    drop = len(part) >= size  # every process is to have some
    how: dict[str, Any] = {"augment": None, "shuffle": True, "drop_last": drop}
    return _shared(data, part, size, where(device), workers, **how)


def _shared(
    data: Data, part: data_room.Part, size: int, here: Where, workers: int | None, **how: Any
) -> data_room.Batches:
    """Batches of which this process gets its share."""
    return data_room.batches(
        data,
        part,
        size,
        device=here.device,
        workers=workers,
        rank=here.process_index,
        world=here.num_processes,
        **how,
    )
