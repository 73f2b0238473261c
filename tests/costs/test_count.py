"""The counter: known nets, modules by name, operators that are not known."""

import pytest
import torch
from torch import Tensor, nn

from tas.costs.budget import readable
from tas.costs.count import count
from tas.errors import InputError


class Odd(nn.Module):
    """A convolution in groups, a linear layer, a matrix product and a Fourier transform."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:  # [N, 4, H, W] -> [N, 5]
        x = torch.fft.fft2(self.conv(x)).real.flatten(2)  # [N, 8, P]
        gram = x @ x.transpose(1, 2)  # [N, 8, 8]
        return self.head(gram.mean(2))


def test_counts_by_hand_and_names_what_it_does_not_know() -> None:
    net = Odd()
    counted = count(net, (4, 8, 8))
    conv, head, product = 4 * 4 * 8 * 9 * 2, 8 * 5, 8 * 8 * 16
    assert counted.modules == {"conv": conv, "head": head, "": product}
    assert counted.macs == conv + head + product
    assert counted.params == 8 * 2 * 9 + 8 + 45
    assert [name.partition(" ")[::2] for name in counted.unknown] == [
        ("_fft_c2c", "in the net itself")
    ]
    batch = count(net, torch.zeros(3, 4, 8, 8))
    assert batch.macs == counted.macs


def test_the_net_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval(), nn.ReLU())
    before = {k: v.clone() for k, v in net.state_dict().items()}
    count(net, (3, 8, 8))
    assert [m.training for m in net.modules()] == [True, True, False, True]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_net_that_does_not_run_on_the_images_is_refused_and_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(InputError, match=r"not run on images of \[1, 8, 8\]: .*3 channels"):
        count(net, (1, 8, 8))
    assert net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_readable() -> None:
    assert [readable(n) for n in (940, 22_444_472, 1_210_757_120, 272_282)] == [
        "940",
        "22.4M",
        "1.2G",
        "272.3k",
    ]
