"""Random weights for a net that cuts are tried out on, and how to keep its answers tame."""

from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..forward import Example, evaluating
from .skeleton import copied

__all__ = ["scrambled", "tame"]

PERIOD = 65_537  # of the random weights: prime, so that no two channels are alike


@torch.no_grad()
def scrambled(net: nn.Module) -> nn.Module:
    """A copy with random parameters: a trained or fresh one may have zeros that hide mistakes."""
    fresh = {id(p): nn.Parameter(torch.empty_like(p), p.requires_grad) for p in net.parameters()}
    net = copied(net, fresh)
    generator = Generator().manual_seed(0)
    noise = torch.randn(PERIOD, generator=generator)
    for parameter in fresh.values():
        fan_in = max(parameter.numel() / max(parameter.shape[:1] or (1,)), 1)
        if parameter.numel() == max(parameter.shape, default=1):  # scales and shifts
            values = 1 + 0.2 * noise
        else:
            values = noise / fan_in**0.5
        values = values.roll(int(torch.randint(PERIOD, (), generator=generator)))
        flat = parameter.as_strided((parameter.numel(),), (1,))  # as it lies in memory
        for begin in range(0, len(flat), PERIOD):
            flat[begin : begin + PERIOD] = values[: len(flat) - begin]
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
            assert module.running_mean is not None
            size = module.running_var.shape
            module.running_mean.copy_(0.2 * torch.randn(size, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(size, generator=generator))
    return net


@torch.no_grad()
def tame(net: nn.Module, example: Example) -> None:
    """Scale the layers one after the other, as the net runs, so that what each gives has a
    standard deviation of one: nothing explodes, dies out, or hides behind a constant."""
    seen: set[nn.Module] = set()

    def scale(module: nn.Module, inputs: Any, out: Any) -> Any:
        weight = module._parameters.get("weight")
        if module in seen or weight is None or weight.dim() < 2 or not isinstance(out, Tensor):
            return None
        seen.add(module)
        spread = float(out.std()) if out.numel() > 1 else 0.0
        if not 0 < spread < float("inf"):
            return None
        for parameter in (weight, module._parameters.get("bias")):
            if parameter is not None:
                parameter.div_(spread)
        return out / spread

    layers = [m for m in net.modules() if next(m.children(), None) is None]
    handles = [layer.register_forward_hook(scale) for layer in layers]
    try:
        with evaluating(net):
            example(net)
    finally:
        for handle in handles:
            handle.remove()
