"""A BatchNorm is folded where it is all that reads a convolution, and nowhere else."""

import pytest
import torch
from torch import Tensor, nn

from helpers import images, randomise_norms
from tas import nets
from tas.exports import folded


class Net(nn.Module):
    """conv, norm, and something between or beside them."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv = nn.Conv2d(3, 6, 3, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.other = nn.BatchNorm2d(6)
        self.tied = nn.Conv2d(3, 6, 3, bias=False)
        self.head = nn.Linear(6, 4)
        if how == "shared weight":
            self.tied.weight = self.conv.weight
        if how == "hook":
            self.conv.register_forward_hook(lambda m, x, y: 2 * y)
        if how == "no statistics":
            self.norm = nn.BatchNorm2d(6, track_running_stats=False)
        if how == "computed":
            nn.utils.parametrizations.weight_norm(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.how == "sum":
            y = self.norm(y) + y
        elif self.how == "in between":
            y = self.norm(y.relu())
        elif self.how == "two norms":
            y = self.norm(y) + self.other(y)
        elif self.how == "view":
            y = self.norm(y) * y.mean((2, 3), keepdim=True)
        elif self.how == "twice":
            y = self.norm(y) + self.conv(x + 1)
        elif self.how == "norm twice":
            y = self.norm(y) + self.norm(self.tied(x))
        elif self.how == "shared weight":
            y = self.norm(y) + self.tied(x)
        else:
            y = self.norm(y)
        return self.head(y.relu().mean((2, 3)))  # type: ignore[no-any-return]


HOWS = ("sum", "in between", "two norms", "view", "twice", "norm twice", "shared weight", "hook")


@pytest.mark.parametrize("how", ["plain", *HOWS, "no statistics", "computed"])
def test_the_net_stays_the_same(how: str) -> None:
    net = Net(how).eval()
    randomise_norms(net)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    small = folded(net, (3, 8, 8))
    assert small.folded == (how == "plain")
    x = images(3, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(small.net(x), net(x))
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert not small.net.training


@pytest.mark.parametrize(("name", "count"), [("resnet20", 19), ("torchvision:mobilenet_v2", 52)])
def test_all_of_a_net_are_folded(name: str, count: int) -> None:
    net = nets.build(name, 4, (3, 32, 32)).eval()
    randomise_norms(net)
    small = folded(net, (3, 32, 32))
    assert (small.folded, small.norms) == (count, count)
    x = images(2, 3, 32, 32)
    with torch.no_grad():
        apart = (small.net(x) - net(x)).abs().max() / net(x).abs().max()
    assert apart < 1e-4
