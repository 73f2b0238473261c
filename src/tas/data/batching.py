"""``batches``: a part of a data set, cut into batches on a device."""

import torch

from ..typed import checked
from .memory import ImageBatches
from .parts import Data, Images, Part
from .pictures import check_workers, cpus
from .schedule import Augment, Batches, Schedule
from .worker import WorkerBatches


@checked
def batches(
    data: Data,
    part: Part,
    batch_size: int,
    *,
    augment: Augment | None,
    device: torch.device | str,
    seed: int = 0,
    shuffle: bool,
    drop_last: bool = False,
    workers: int | None = None,
    rank: int = 0,
    world: int = 1,
) -> Batches:
    """Cut ``part`` of ``data`` (its train, its test, or what was taken of them) into batches.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> batches = tas.data.batches(
    ...     data, data.test, 100, augment=None, device="cpu", shuffle=False
    ... )
    >>> [len(labels) for _, labels in batches]
    [100, 100, 100, 59]
    >>> images, labels = next(iter(batches))
    >>> images.shape, images.dtype
    (torch.Size([100, 1, 8, 8]), torch.float32)

    Each yields images float32 [B, C, H, W], normalised, and labels int64 [B] on ``device``.
    ``augment`` varies training pictures; None is for evaluation. ``shuffle`` draws a new order in
    each epoch, from ``seed`` and ``set_epoch``. ``batch_size`` counts the pictures of all
    ``world`` processes together: this one, number ``rank``, gets its share of every batch, so
    that several processes see exactly what one would. Without ``drop_last`` the last batch of an
    epoch may be smaller, and empty on some processes where it has fewer pictures than those.
    ``workers`` processes make ready what is on disk or is large (default: one per CPU core, 16 at
    most). Neither they nor where the pictures are kept change a bit of a batch.

    Raises ``InputError`` where the batch size does not fit the part or the processes, and where the
    seed is not from 0 to 2**32 - 1 or ``workers`` is below 0.
    """
    check_workers(workers)
    schedule = Schedule(len(part), batch_size, shuffle, drop_last, seed, rank, world)
    if isinstance(part, Images) and (augment is None or data.transform.vary == "shift"):
        return ImageBatches(data, part, schedule, augment, torch.device(device))
    workers = min(cpus(), 16) if workers is None else workers
    return WorkerBatches(data, part, schedule, augment, torch.device(device), workers)
