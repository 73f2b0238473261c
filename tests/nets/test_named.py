"""Nets of other libraries and of one's own, by name: built, cut, saved and loaded again."""

from pathlib import Path

import pytest
import torch

import tas
from helpers import random_shape
from tas import nets
from tas.errors import InputError, ShapeError
from tas.inherit import Source
from tas.spaces import trace
from tas.weights import save_weights

NAME = "traced_nets:Mixed"
INPUT = (3, 8, 8)


def test_names() -> None:
    assert nets.is_named("timm:resnet50")
    assert not nets.is_named("resnet20")
    assert type(nets.build(NAME, 5, INPUT)).__name__ == "Mixed"
    net = nets.build("torchvision:squeezenet1_1", 7, (3, 64, 64))
    assert net(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    assert nets.full_shape("torchvision:vit_b_16").input == (3, 224, 224)
    full = nets.measured(nets.full_shape(NAME, 5, INPUT))
    assert full.widths["stem"] == 12
    assert full.depths == {"blocks": 3}
    assert full.macs


def test_a_derived_net_is_built_again_from_its_shape_and_weights(tmp_path: Path) -> None:
    space = trace(nets.build(NAME, 5, INPUT), torch.zeros(1, *INPUT), name=NAME)
    shape = random_shape(space, 1)
    small = Source.of(space).derive(shape).eval()
    shape.save(tmp_path / "shape.json")
    save_weights(small, tmp_path / "model.safetensors")
    again = tas.load(tmp_path / "shape.json", tmp_path / "model.safetensors").eval()
    assert type(again) is type(small)
    images = torch.randn(2, *INPUT)
    assert torch.equal(again(images), small(images))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"widths": {"stm": 3}}, "unknown width of traced_nets:Mixed 'stm': did you mean 'stem'"),
        ({"widths": {"stem": 24}}, "24 channels for 'stem', but traced_nets:Mixed has 12"),
        ({"widths": {"blocks.0.right": 3}}, "keeps multiples of 2"),
        ({"depths": {"blocks": 4}}, "keeps 4 blocks of 'blocks', but traced_nets:Mixed has 3"),
        ({"depths": {"block": 2}}, "unknown depth of traced_nets:Mixed 'block'"),
    ],
)
def test_a_shape_that_does_not_fit(changes: dict[str, dict[str, int]], words: str) -> None:
    shape = nets.full_shape(NAME, 5, INPUT).replace(**changes)
    with pytest.raises(ShapeError, match=words):
        nets.build(shape)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "torchvision:resnet19",
            "unknown net 'resnet19': did you mean 'resnet1.*choose from .* more$",
        ),
        ("no_such_package:make", "cannot import the net 'no_such_package:make'.*timm:NAME"),
        ("traced_nets:Mixd", "cannot import the net 'traced_nets:Mixd'"),
        ("traced_nets:example", "returns a Tensor, not a torch.nn.Module"),
        ("traced_nets:Block", "'traced_nets:Block' cannot be built.*width"),
    ],
)
def test_mistakes(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        nets.build(name)
