"""What several tests build: random shapes, example images, nets whose norms have seen data."""

import random

import torch
from torch import Tensor, nn

from tas.shape import Shape
from tas.space import Space


def random_shape(space: Space, seed: int) -> Shape:
    """A shape with every candidate drawn uniformly."""
    rng = random.Random(seed)
    return space.shape(
        [rng.randrange(len(c.candidates)) for c in space.widths],
        [rng.randrange(len(c.candidates)) for c in space.depths],
    )


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomise_norms(net: nn.Module, seed: int = 0) -> None:
    """Give every norm statistics and affine parameters of its own, as training would."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            module.weight.data = 0.5 + torch.rand(n, generator=generator)
            module.bias.data = 0.2 * torch.randn(n, generator=generator)
            module.running_mean = 0.2 * torch.randn(n, generator=generator)
            module.running_var = 0.5 + torch.rand(n, generator=generator)
