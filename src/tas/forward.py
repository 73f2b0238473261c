"""Running somebody else's net: once, in evaluation mode, with the names of the modules that run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InputError, TasError, first_line

__all__ = ["answer", "evaluating", "example_for", "naming"]


def example_for(net: nn.Module, input: tuple[int, int, int]) -> Tensor:
    """A black picture [1, C, H, W] such as a net takes: on its device, of its parameters' type."""
    tensors = (*net.parameters(), *net.buffers())
    first = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    return torch.zeros(1, *input, device=first.device, dtype=first.dtype)


def answer(net: nn.Module, images: Tensor) -> Any:
    """What a net gives for images [N, C, H, W].

    Raises:
        InputError: it does not run on them.
    """
    try:
        return net(images)
    except TasError:  # of a rule or a counter: it says itself what is wrong
        raise
    except Exception as error:  # whatever the user's code may raise
        size = list(images.shape[1:])
        raise InputError(
            f"the net does not run on images of {size}: {first_line(error)}"
        ) from error


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while, then each module as it was.

    Multi-head attention then computes by its parts, as it does in training, and not by one fused
    operator whose parts nobody sees.
    """
    before = [(module, module.training) for module in net.modules()]
    fused = torch.backends.mha.get_fastpath_enabled()
    net.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for module, training in before:
            module.training = training


@contextmanager
def naming(net: nn.Module, path: list[str]) -> Iterator[None]:
    """Keeps the path of the innermost running module at the end of ``path``."""
    handles = []
    for name, module in net.named_modules():
        if name:
            handles += [
                module.register_forward_pre_hook(lambda m, x, name=name: path.append(name)),
                module.register_forward_hook(lambda m, x, y: path.pop() and None, always_call=True),
            ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
