"""PyTorch's settings of the whole process: ours for the time of a call, then again as they were."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..typed import checked

__all__ = ["own_random_numbers", "repeatable", "seeded"]


@contextmanager
def repeatable() -> Iterator[None]:
    """What is computed inside repeats bit for bit, on CUDA as well: no algorithm of cuDNN that adds
    in random order, nor one that is chosen by a race.

    >>> import torch
    >>> from tas.training import repeatable
    >>> with repeatable():
    ...     print(torch.backends.cudnn.deterministic)
    True
    """
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def own_random_numbers(device: torch.device) -> Iterator[Callable[[int], None]]:
    """PyTorch's generators, of the CPU and of a device, are the caller's own again afterwards.

    Gives what seeds them. A generator of any other device is never touched.
    """
    module = None if device.type == "cpu" else torch.get_device_module(device)
    of_cpu = torch.default_generator.get_state()
    of_device = module.get_rng_state() if module else None

    def seed_with(seed: int) -> None:
        torch.default_generator.manual_seed(seed)
        if module:
            module.manual_seed(seed)

    try:
        yield seed_with
    finally:
        torch.default_generator.set_state(of_cpu)
        if module:
            module.set_rng_state(of_device)


@checked
@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Fresh weights that are drawn inside follow from the seed.

    >>> import tas
    >>> from tas.training import seeded
    >>> with seeded(0):
    ...     net = tas.nets.build("resnet20")
    """
    with own_random_numbers(torch.get_default_device()) as seed_with:
        seed_with(seed)
        yield
