"""How the nets of trials are run: as cheaply as ranks them alike.

Where trainings use bf16 the nets do, and on the CPU their weights are bf16 as well, so that nothing
is left to convert. Norms measure what they are given: what comes to them has changed, and so have
its statistics.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ... import training
from ...forward import Forward, answer, first_of, measuring, on_threads

__all__ = ["Runner"]


class Runner:
    """Runs nets that are cut from one whole net.

    Args:
        whole: a copy of it, which is used up.
        batch: one that nets will be run on.
        precision: bf16, fp32 or auto.
        forward: calls a net on a batch.
    """

    def __init__(
        self, whole: nn.Module, batch: Any, device: torch.device, precision: str, forward: Forward
    ) -> None:
        self.forward = forward
        bf16 = training.pick_precision(precision, device) == "bf16"
        self.placing = training.settled([whole], batch, device, bf16=bf16, forward=forward)
        few = self.placing.pictures(first_of(batch, 2))
        self.halves = device.type == "cpu" and self.placing.takes_halves(whole, few, forward)

    def ready(self, net: nn.Module) -> nn.Module:
        """A net as it is run, in place."""
        net = self.placing.net(net)
        if self.halves:
            training.halve(net)
        for norm in measuring(net):
            if self.placing.device.type == "cpu" and self.placing.channels_last:
                _in_one_order(norm)
        return net

    @torch.no_grad()
    @training.repeatable()
    def answer(self, net: nn.Module, batch: Any) -> Any:
        """What such a net gives for a batch."""
        with self.placing.autocast():
            return answer(net, batch, self.forward)


def _in_one_order(norm: _BatchNorm) -> None:
    """Have a norm measure its pictures in one order, so that losses do not depend on the number of
    threads: of channels-last ones PyTorch adds up what each thread has."""

    def before(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        x = given[0]
        own = norm.running_mean, norm.running_var
        exact = all(kept is not None and kept.dtype == torch.float32 for kept in own)
        norm.train(not (exact and _is_channels_last(x)))
        if norm.training:
            return tuple(x.contiguous() for x in given)  # which it measures channel by channel
        # On one thread, and then it is used on all; to copy the pictures takes longer by far.
        with on_threads(1):
            found = torch.batch_norm_update_stats(x.detach(), None, None, 0.0)
        for kept, value in zip(own, found, strict=True):
            if kept is not None:
                kept.copy_(value)
        return None

    def after(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
        return made.contiguous(memory_format=torch.channels_last) if made.dim() == 4 else made

    norm.register_forward_pre_hook(before)
    norm.register_forward_hook(after)


def _is_channels_last(x: Tensor) -> bool:
    """Whether PyTorch's kernels for pictures that lie channels last take it."""
    usual = x.dim() == 4 and x.dtype in (torch.float32, torch.bfloat16)
    lies = usual and x.is_contiguous(memory_format=torch.channels_last)
    return lies and not x.is_contiguous()
