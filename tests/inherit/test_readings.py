"""What layers are given, of some places in pictures and in the net's precision."""

import torch
from torch import Tensor, nn

from tas.forward import call_batch
from tas.graph import analyse
from tas.inherit.readings import Reading, readings, some
from tas.training.placing import Placing


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Flatten()]
    return nn.Sequential(*layers, nn.LazyLinear(5)).eval()


def pictures() -> Tensor:
    """Whose brightness differs from one to the next."""
    generator = torch.Generator().manual_seed(1)
    bright = torch.randn(64, 3, 1, 1, generator=generator)
    return bright + 0.3 * torch.randn(64, 3, 16, 16, generator=generator)


def of_the_first(net: nn.Module, **how: object) -> Reading:
    """What the second layer is given of the first one's width."""
    x = pictures()
    net(x[:1])
    given = readings(net, analyse(net, x[:1]), [x, x.flip(0)], **how)  # type: ignore[arg-type]
    return given["2", "0"]


def test_some_places_tell_what_all_of_them_do() -> None:
    every, few = of_the_first(net()), of_the_first(net(), samples=2048)
    assert float((few.covariance - every.covariance).norm() / every.covariance.norm()) < 0.1
    assert float((few.mean - every.mean).norm() / every.mean.norm()) < 0.1
    enough = of_the_first(net(), samples=64 * 16 * 16)
    assert torch.equal(enough.covariance, every.covariance)


def test_every_picture_has_its_share_of_the_places() -> None:
    numbers = torch.arange(64.0)[:, None, None, None].expand(64, 5, 16, 16)
    for x in (numbers.contiguous(), numbers.contiguous(memory_format=torch.channels_last)):
        found = some(x, 1, 640)
        assert found.shape == (640, 5)
        assert found[:, 0].long().bincount(minlength=64).sub(10).abs().max() <= 1
    tokens = torch.arange(200.0)[None, :, None].expand(4, 200, 6)
    assert len(some(tokens, -1, 100)[:, 0].unique()) > 60  # other ones of every example


def test_in_bf16_they_are_summed_in_float32() -> None:
    half = Placing(torch.device("cpu"), bf16=True).calling(call_batch)
    plain, rounded = of_the_first(net()), of_the_first(net(), forward=half)
    assert float((rounded.covariance - plain.covariance).norm() / plain.covariance.norm()) < 0.01
    assert not torch.equal(rounded.covariance, plain.covariance)
    sums = rounded.covariance + rounded.mean @ rounded.mean.T
    assert not torch.equal(sums.bfloat16().double(), sums)
