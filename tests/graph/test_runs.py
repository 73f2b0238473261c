"""Depths: blocks may be left out where they add to what they are given, and nowhere else."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import tas
from tas.costs import count
from tas.graph import analyse
from tas.inherit import Source

Middle = Callable[["Block", Tensor], Tensor]


class Block(nn.Module):
    """Two layers of as many outputs as inputs, and what a block makes of them."""

    def __init__(self, middle: Middle) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm, self.layer_norm = nn.BatchNorm2d(8), nn.LayerNorm(8)
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.1))
        self.drop = nn.Dropout(0.5)
        self.middle = middle

    def branch(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())

    def forward(self, x: Tensor) -> Tensor:
        return self.middle(self, x)


def moved(b: Block, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    y = tokens + b.branch(x).flatten(2).transpose(1, 2)
    return b.layer_norm(y).transpose(1, 2).reshape(x.shape)


def in_place(b: Block, x: Tensor) -> Tensor:
    y = b.branch(x)
    y += x
    return y.relu_()


def in_parts(b: Block, x: Tensor) -> Tensor:
    top, rest = x[:, :, :1], x[:, :, 1:]
    return torch.cat([top, rest + b.depthwise(rest)], 2)


def within_its_norm(b: Block, x: Tensor) -> Tensor:
    return (b.norm(x) + b.branch(x)).relu()


ADDING: dict[str, Middle] = {
    "sum": lambda b, x: x + b.branch(x),
    "activated sum": lambda b, x: (b.norm(b.branch(x)) + x).relu(),
    "difference": lambda b, x: x - b.branch(x),
    "scaled branch": lambda b, x: x + b.drop(b.scale * b.branch(x)),
    "scaled input": lambda b, x: 0.5 * x + b.branch(x),
    "fused with a product": lambda b, x: torch.addcmul(x, b.scale, b.branch(x)),
    "two sums": lambda b, x: (lambda y: y + b.branch(y))(x + b.depthwise(x)),
    "sum of tokens": moved,
    "in place": in_place,
    "in parts": in_parts,
    "norm in the place of the input": within_its_norm,
    "nothing but a scale": lambda b, x: x * b.scale.view(1, 8, 1, 1),
}

NOT_ADDING: dict[str, Middle] = {
    "depthwise": lambda b, x: b.depthwise(x),
    "depthwise and activated": lambda b, x: b.norm(b.depthwise(x)).relu(),
    "gated": lambda b, x: x * b.depthwise(x).sigmoid(),
    "activated": lambda b, x: x.relu(),
    "sum of something else": lambda b, x: (lambda y: y + b.depthwise(y))(b.depthwise(x)),
    "sum that is convolved": lambda b, x: b.depthwise(x + b.branch(x)),
    "shifted": lambda b, x: (x + 1).relu(),
    "half is handed on": lambda b, x: torch.cat([x[:, :4], b.depthwise(x)[:, 4:]], 1),
    "written over": lambda b, x: x.clone().copy_(b.depthwise(x)),
}


def net_of(middle: Middle) -> nn.Module:
    blocks = nn.Sequential(*[Block(middle) for _ in range(3)])
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), blocks, *head)


def runs_of(net: nn.Module) -> list[tuple[str, int]]:
    structure = analyse(net, torch.randn(1, 3, 8, 8))
    return [(run.name, len(run.blocks)) for run in structure.runs]


@pytest.mark.parametrize("kind", ADDING)
def test_blocks_that_add_to_their_input_may_be_left_out(kind: str) -> None:
    assert runs_of(net_of(ADDING[kind])) == [("2", 3)]


@pytest.mark.parametrize("kind", NOT_ADDING)
def test_others_stay(kind: str) -> None:
    assert runs_of(net_of(NOT_ADDING[kind])) == []


def test_layers_of_one_class_within_a_block_are_no_blocks() -> None:
    """A pointwise and a depthwise layer, as those of inverted residuals stand in one container."""

    def layer(groups: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(8, 8, 1, groups=groups), nn.BatchNorm2d(8), nn.ReLU())

    class Own(nn.Sequential):
        pass

    layers = Own(*layer(1)), Own(*layer(8)), nn.Conv2d(8, 8, 1)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    assert runs_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Sequential(*layers), *head)) == []


def test_a_linear_layer_with_a_bias_is_no_sum() -> None:
    class Own(nn.Sequential):
        pass

    layers = [Own(nn.Linear(8, 8), nn.Linear(8, 8)) for _ in range(3)]
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.Sequential(*layers), nn.Linear(8, 5))
    assert runs_of(net) == []


def test_a_block_that_has_another_name_stays() -> None:
    net = net_of(ADDING["sum"])
    assert runs_of(net) == [("2", 3)]
    net.last = nn.ModuleList([net[2][2]])  # ahead of the others it would be run twice
    net.forward = lambda x: net[5](net[4](net[3](net[2](net[1](net[0](x))))))  # type: ignore
    assert runs_of(net) == [("2[0:2]", 2)]


def test_a_module_that_blocks_share_costs_what_it_does_in_those_that_stay() -> None:
    net = net_of(ADDING["sum"])
    images, shared = torch.randn(1, 3, 8, 8), net[2][0].second
    for block in net[2]:
        block.second = shared
    space = tas.spaces.trace(net, images)
    shape = space.shape([-1] * len(space.widths), [0])
    assert shape.macs == count(Source.of(space).derive(shape), images).macs < space.unpruned.macs
