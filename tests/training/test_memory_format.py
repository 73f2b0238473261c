"""Channels-last is for pictures and the weights of plain 2-d convolutions alone."""

import pytest
import torch
from torch import Tensor, nn

from tas.training import Classification, evaluate, fit, place, place_module
from tiny_training import TinyBatches, state_of, tiny_options

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "dtype", "channels_last"),
    [
        ((2, 3, 5, 5), torch.float32, True),
        ((2, 3, 5, 5), torch.float64, True),
        ((2, 3, 5, 5), torch.int64, False),
        ((2, 7), torch.int64, False),
        ((2, 7), torch.float32, False),
        ((2, 3, 50), torch.float32, False),
        ((2, 3, 4, 5, 5), torch.float32, False),
    ],
)
def test_pictures_alone_are_channels_last(size, dtype, channels_last) -> None:
    x = torch.ones(size, dtype=dtype)
    placed = place(x, CPU)
    assert torch.equal(placed, x)
    if channels_last:
        assert placed.is_contiguous(memory_format=torch.channels_last)
    else:
        assert placed.stride() == x.stride()


class Standardised(nn.Conv2d):
    """As it is often written: with a view of its weight."""

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.view(self.out_channels, -1)
        weight = ((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True)).view_as(
            self.weight
        )
        return self._conv_forward(x, weight, self.bias)


class Subclass(nn.Conv2d):
    pass


class Parts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, 8, 3, padding=1)
        self.subclass = Subclass(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 3, padding=1)
        self.own = Standardised(8, 8, 3, padding=1)
        self.table = nn.Parameter(torch.randn(1, 8, 8, 8))
        self.register_buffer("grid", torch.randn(2, 3, 8, 8))
        self.video = nn.Conv3d(8, 8, 3, padding=1)
        self.sound = nn.Conv1d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.own(self.up(self.subclass(self.plain(x))))
        x = x + self.table.view(8, 64).view(1, 8, 8, 8) + self.grid.view(-1).mean()
        x = self.video(x[:, :, None])[:, :, 0]
        return self.head(self.sound(x.flatten(2)).mean(2))


def test_weights_of_plain_convolutions_alone_are_channels_last() -> None:
    net = Parts()
    before = {name: (value.clone(), value.stride()) for name, value in net.state_dict().items()}
    parameters = list(net.parameters())
    place_module(net, CPU)
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    changed = set()
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name][0])
        changed |= {name} if value.stride() != before[name][1] else set()
    assert changed == {"plain.weight", "subclass.weight", "up.weight"}
    fit(Classification(net, tiny_options(epochs=1)), TinyBatches(), progress=False)


def test_a_weight_that_is_computed_or_not_there_yet_is_left_alone() -> None:
    parametrised = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    net = nn.Sequential(parametrised, nn.LazyConv2d(4, 3))
    place_module(net, CPU)
    assert net(place(torch.ones(1, 3, 8, 8), CPU)).shape == (1, 4, 4, 4)


class Shaped(TinyBatches):
    """The same pictures as sound [N, C, L], as video [N, C, T, H, W], or as token ids [N, L]."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def __iter__(self):
        for images, labels in super().__iter__():
            yield (
                {
                    "sound": images.flatten(2),
                    "video": images[:, :, None].expand(-1, -1, 2, -1, -1),
                    "tokens": (images[:, 0].flatten(1) > 0).long() + labels[:, None],
                }[self.kind],
                labels,
            )


NETS = {
    "sound": lambda: nn.Sequential(nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8), nn.AdaptiveAvgPool1d(1)),
    "video": lambda: nn.Sequential(nn.Conv3d(3, 8, 2), nn.BatchNorm3d(8), nn.AdaptiveAvgPool3d(1)),
    "tokens": lambda: nn.Sequential(nn.Embedding(8, 1), nn.Flatten(), nn.Linear(64, 8)),
}


@pytest.mark.parametrize("kind", NETS)
def test_sound_video_and_tokens_are_trained_and_tested(kind: str) -> None:
    net = nn.Sequential(NETS[kind](), nn.Flatten(), nn.Linear(8, 4))
    before = state_of(net)
    fit(Classification(net, tiny_options(epochs=2)), Shaped(kind), progress=False)
    assert 0 <= evaluate(net, Shaped(kind))["accuracy"] <= 100
    assert not torch.equal(before["2.weight"], net[2].weight)
