"""An operator and a module of a user's own, of which nothing is known."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.library.custom_op("tas_tests::mix", mutates_args=())
def mix(x: Tensor, weight: Tensor) -> Tensor:
    """Channels of x [N, C, H, W] mixed by a weight [D, C]."""
    return torch.einsum("nchw,dc->ndhw", x, weight).contiguous()


@mix.register_fake
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(len(x), len(weight), *x.shape[2:])


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, given: Tensor) -> tuple[Tensor, Tensor]:
    x, weight = ctx.saved_tensors
    return torch.einsum("ndhw,dc->nchw", given, weight), torch.einsum("ndhw,nchw->dc", given, x)


mix.register_autograd(_gradients, setup_context=_save)


@torch.library.custom_op("tas_tests::bent", mutates_args=())
def bent(x: Tensor) -> Tensor:
    return x.clamp(-1, 1)


class Mix(nn.Module):
    """Counts on its attributes: a cut that forgets them is found out."""

    def __init__(self, read: int, made: int) -> None:
        super().__init__()
        self.read, self.made, self.doubled = read, made, (2 * made, made)
        self.weight = nn.Parameter(0.3 * torch.randn(made, read))

    def forward(self, x: Tensor) -> Tensor:
        y = mix(x.view(len(x), self.read, *x.shape[2:]), self.weight)
        return y.view(len(x), self.made, *x.shape[2:])


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 1)
        self.mix = Mix(12, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.mix(F.relu(self.stem(x)))).mean((2, 3)))
