"""Training and evaluation mode, module by module: a user may mean them."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from ..forward import modes_kept

__all__ = ["in_training", "moving_buffers"]


@contextmanager
def in_training(net: nn.Module) -> Iterator[None]:
    """Training mode for a while, then each module as it was.

    The net's own mode decides. In a net that is in training mode, a module in evaluation mode was
    put there on purpose, which is how norms are frozen: it stays so. A net in evaluation mode was
    only used last, and all of it is trained.
    """
    with modes_kept(net):
        if not net.training:
            net.train()
        yield


def moving_buffers(net: nn.Module, of: nn.Module | None = None) -> list[Tensor]:
    """The running statistics that a training moves: those of modules that are in training mode.

    Each process has its own, until they are averaged. What does not move is not to be: a mean of
    equal numbers may be rounded.

    Args:
        net: tells by its modes which they are.
        of: a copy of the net whose buffers are wanted; default: the net.
    """
    pairs = zip(net.modules(), (net if of is None else of).modules(), strict=True)
    buffers = (b for own, copy in pairs if own.training for b in copy.buffers(recurse=False))
    return [b for b in buffers if b.is_floating_point()]
