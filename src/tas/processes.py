"""The processes of one run: which of them this is, and how they agree.

A launcher (``torchrun``, ``accelerate launch``) starts them and numbers them by environment
variables; ``tas.training.accelerator`` connects them. Until then each is on its own, and where none
were launched everything here is what one process would do.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

from .errors import InputError, TasError, quoted

__all__ = [
    "agreed",
    "by_first",
    "count",
    "gathered",
    "is_first",
    "launched",
    "leave",
    "on_this_machine",
    "rank",
]

# Tensors are exchanged at every step: a process that waits longer than this waits for a lost one.
TENSORS_WAIT = timedelta(minutes=10)
# Python objects are exchanged when one process has finished its work and another may not have.
WORDS_WAIT = timedelta(days=30)

T = TypeVar("T")


def launched() -> int:
    """How many processes the launcher says there are."""
    return _told("WORLD_SIZE", "1", 1)


def rank() -> int:
    """The number of this process, from 0."""
    return _told("RANK", "0", 0) if launched() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes and speaks."""
    return rank() == 0


def count() -> int:
    """How many processes are connected."""
    return int(_distributed().get_world_size()) if _connected() else 1


def on_this_machine() -> int:
    """How many of them share this machine."""
    return _told("LOCAL_WORLD_SIZE", "1", 1)


def _told(variable: str, default: str, lowest: int) -> int:
    """What the launcher says in an environment variable."""
    text = os.environ.get(variable, default)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= lowest):
        raise InputError(
            f"the environment says {variable}={quoted(text)}: a launcher such as torchrun sets it "
            f"to a whole number of {lowest} or more; unset it to run one process"
        )
    return int(text)


def agreed(value: T) -> T:
    """What the first process says; every process is to ask."""
    if not _connected():
        return value
    said: list[Any] = [value]
    _distributed().broadcast_object_list(said, src=0, group=_host_group())
    return said[0]  # type: ignore[no-any-return]


def gathered(value: T) -> list[T]:
    """What every process says, in their order, however long the last takes to say it."""
    if not _connected():
        return [value]
    said: list[Any] = [None] * count()
    _distributed().all_gather_object(said, value, group=_host_group())
    return said


def by_first(do: Callable[[], T]) -> T:
    """What the first process gets by doing it; a mistake of the user that it meets, all meet."""
    if not _connected():
        return do()
    value, mistake = None, None
    if is_first():
        try:
            value = do()
        except TasError as error:
            mistake = error
    value, mistake = agreed((value, mistake))
    if mistake is not None:
        raise mistake
    return value  # type: ignore[return-value]


def leave() -> None:
    """Disconnect from the other processes, after the work is done."""
    if _connected():
        _distributed().destroy_process_group()


def _connected() -> bool:
    return launched() > 1 and bool(_distributed().is_initialized())


def _host_group() -> Any:
    """The process group for Python objects: on the CPU, with a long timeout."""
    return _new_host_group(_distributed().group.WORLD)


@cache
def _new_host_group(of: object) -> Any:
    return _distributed().new_group(backend="gloo", timeout=WORDS_WAIT)


def _distributed() -> Any:
    import torch.distributed  # late: the command answers mistakes without waiting for torch

    return torch.distributed
