"""Accelerate's state of the process, which it keeps in private attributes and has no public way to
change. Nothing else here touches what is private to it.

Accelerate from 1.2 on and below 2 has these attributes (the bounds of ``pyproject.toml``);
``tests/training/test_accelerate_state.py`` fails where one of them is gone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import DistributedType

from .. import processes

__all__ = ["alone", "forget", "set_aside"]

_STATES = (PartialState, AcceleratorState, GradientState)


def forget() -> None:
    """Have the next ``Accelerator`` set up anew, but for a process group that is connected."""
    # ``_reset_state``: the phases of a run may differ in precision, and Accelerate refuses a second
    # one while its state stands.
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())


@contextmanager
def set_aside() -> Iterator[None]:
    """What the caller has set up with Accelerate stands again afterwards.

    Where several processes were launched it is the launcher's, and one for all.
    """
    if processes.launched() > 1:
        yield
        return
    # ``_shared_state``: all objects of a class have this one dictionary as their attributes, those
    # of the caller's own ``Accelerator`` among them. It is changed in place, for they hold it.
    before = [dict(state._shared_state) for state in _STATES]
    try:
        yield
    finally:
        for state, own in zip(_STATES, before, strict=True):
            state._shared_state.clear()
            state._shared_state.update(own)


@contextmanager
def alone() -> Iterator[None]:
    """What is trained inside is trained by this process by itself, whatever the others do.

    >>> from tas.training import alone, where
    >>> with alone():
    ...     print(where("cpu").num_processes)
    1
    """
    # ``_shared_state``: here an ``Accelerator`` looks how many processes there are, and it takes no
    # argument that says otherwise.
    shared = PartialState._shared_state
    before = dict(shared)
    if before.get("num_processes", 1) == 1:
        yield
        return
    shared.update(distributed_type=DistributedType.NO, num_processes=1, process_index=0)
    try:
        yield
    finally:
        shared.update(before)
        # ``_reset_state``: an ``Accelerator`` of the inside has left a copy of what was said there.
        AcceleratorState._reset_state(reset_partial_state=False)
