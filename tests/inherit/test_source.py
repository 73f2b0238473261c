"""From a shape to a plain net, with the weights of another or with fresh ones."""

import pytest
import torch

from helpers import images, random_shape, randomise_norms
from tas import nets
from tas.errors import InputError
from tas.inherit import Source
from tas.inherit.leading import inherit
from tas.spaces import resnet_space


def test_derived_nets_inherit_or_start_afresh() -> None:
    space = resnet_space("resnet20")
    source = nets.build(space.widest)
    shape = random_shape(space, 1)
    inherited, fresh = Source(source).derive(shape), Source().derive(shape)
    c = shape.widths["stem"]
    assert torch.equal(inherited.stem.conv.weight, source.stem.conv.weight[:c])
    assert not torch.equal(fresh.stem.conv.weight, inherited.stem.conv.weight)
    with pytest.raises(InputError, match="weights of different nets"):
        inherit(nets.build("resnet18"), source)


@pytest.mark.parametrize("net", ["resnet20", "resnet164"])
def test_a_wider_net_that_inherits_computes_the_same_and_can_learn_more(net: str) -> None:
    space = resnet_space(net, residual="tied", ratios=(1.0, 1.5))
    source = nets.build(net)
    randomise_norms(source)
    wide = Source(source).derive(space.widest).double()
    source, x = source.double(), images(4, 3, 16, 16).double()
    torch.testing.assert_close(wide.eval()(x), source.eval()(x))
    wide.train()(x).square().sum().backward()
    reading_new_channels = wide.stages[1][0].conv1.conv.weight.grad[:, -1]
    assert reading_new_channels.abs().sum() > 0
