"""Norms take the statistics of batches, and the net answers as before."""

import copy

import pytest
import torch
from torch import Tensor, nn

import tas
from tas.inherit.settling import settled, watched
from tas.methods import TrialOptions
from tas.training import recompute_norm_statistics

Pictures = list[Tensor]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """Of other pictures, as the statistics in its norms say."""
    torch.manual_seed(0)
    net = tas.nets.build("resnet20", classes=10, input=(3, 16, 16))
    recompute_norm_statistics(net, [torch.randn(64, 3, 16, 16) for _ in range(4)], device="cpu")
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.3)
    return net.eval()


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    """That differ by far less, and have a brightness of their own."""
    generator = torch.Generator().manual_seed(1)
    return [1 + 0.2 * torch.randn(64, 3, 16, 16, generator=generator) for _ in range(4)]


@torch.no_grad()
def at_home(net: nn.Module, pictures: Pictures) -> nn.Module:
    with watched(net) as moments:
        for x in pictures:
            net(x)
    return settled(net, moments)


@torch.no_grad()
def apart(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    """How far answers are from others, as a part of what these differ by."""
    whole = b.eval()(x)
    return float((a.eval()(x) - whole).norm() / (whole - whole.mean(0)).norm())


def test_it_computes_the_same_on_any_picture(net: nn.Module, pictures: Pictures) -> None:
    own = at_home(net, pictures)
    for x in (torch.cat(pictures), torch.randn(64, 3, 16, 16)):
        assert apart(own, net, x) < 1e-4


def test_its_statistics_are_those_of_all_batches(net: nn.Module, pictures: Pictures) -> None:
    own = at_home(net, pictures)
    norm = [m for m in own.modules() if isinstance(m, nn.BatchNorm2d)][-1]
    given: Pictures = []
    norm.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    with torch.no_grad():
        own(torch.cat(pictures))
    assert norm.running_mean is not None
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, given[0].mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    variance = given[0].var((0, 2, 3), correction=0)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-3, atol=1e-6)


def test_measuring_anew_keeps_its_answers(net: nn.Module, pictures: Pictures) -> None:
    """It changes those of the net as it was."""
    x = torch.cat(pictures)
    own, plain = at_home(net, pictures), copy.deepcopy(net)
    for each in (own, plain):
        recompute_norm_statistics(each, pictures, device="cpu", precision="fp32")
    assert apart(plain, net, x) > 0.8
    assert apart(own, net, x) < 0.1


def test_a_net_of_which_little_is_cut_answers_as_before(net: nn.Module, pictures: Pictures) -> None:
    """Though the pictures that it is searched on are none that it was trained on."""
    options = TrialOptions(trials=24, precision="fp32")
    found = tas.search(net, batches=pictures, budget=0.95, options=options, progress=False)
    assert apart(found.derive(), net, torch.cat(pictures)) < 0.5


def test_what_is_not_its_own_to_change_stays(pictures: Pictures) -> None:
    frozen, bare, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3)
    twin = nn.BatchNorm2d(3)
    twin.weight = shared.weight
    untracked = nn.BatchNorm2d(3, track_running_stats=False)
    net = nn.Sequential(frozen, bare, shared, twin, untracked).train()
    frozen.eval()
    with watched(net) as moments:
        assert net(pictures[0]).isfinite().all()
    own = settled(net, moments)
    before, after = net.state_dict(), own.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_channel_that_is_always_zero(pictures: Pictures) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, eps=0.0)).eval()
    nn.init.zeros_(net[0].weight[1])
    own = at_home(net, pictures)
    assert apart(own, net, pictures[0]) < 1e-4
