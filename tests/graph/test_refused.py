"""Nets that cannot be searched as they are: a line says what to give instead."""

from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch
import torch.ao.quantization as low
from torch import Tensor, nn
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx, prepare_qat_fx
from torch.nn.utils import prune
from torch.utils._python_dispatch import _get_current_dispatch_mode

from tas.errors import InputError
from tas.graph import analyse
from tas.spaces import trace

X = torch.randn(1, 3, 8, 8)


def plain(kind: type[nn.Conv2d] = nn.Conv2d) -> nn.Module:
    layers = kind(3, 8, 3), nn.ReLU(), kind(8, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(12, 5))


class Stubs(nn.Module):
    """Where numbers become low and float again, as PyTorch's eager quantisation has it."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.net, self.out = low.QuantStub(), plain(), low.DeQuantStub()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.net(self.into(x)))


def in_training() -> nn.Module:
    net = Stubs().train()
    net.qconfig = low.get_default_qat_qconfig("x86")
    return low.prepare_qat(net)


def observed() -> nn.Module:
    return prepare_fx(plain().eval(), low.get_default_qconfig_mapping("x86"), (X,))


QUANTISED: dict[str, Callable[[], nn.Module]] = {
    "in training": in_training,
    "graph in training": lambda: prepare_qat_fx(
        plain(), low.get_default_qat_qconfig_mapping("x86"), (X,)
    ),
    "observed": observed,
    "converted": lambda: convert_fx(observed()),
    "dynamic": lambda: low.quantize_dynamic(plain(), {nn.Linear}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", QUANTISED)
def test_a_quantised_net_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match=r"quantised, or prepared for it: .* give the float net"):
        trace(QUANTISED[kind](), X)


def test_a_net_that_could_be_quantised_is_not() -> None:
    assert len(trace(Stubs(), X).widths) == 2


def test_masks_of_another_pruning_are_to_be_made_permanent() -> None:
    net = plain()
    prune.l1_unstructured(net[2], "weight", 0.3)
    prune.random_unstructured(net[2], "weight", 0.1)
    with pytest.raises(InputError, match=r"'2' has a mask .*prune.remove\(module, 'weight'\)"):
        trace(net, X)
    prune.remove(net[2], "weight")
    assert len(trace(net, X).widths) == 2


class Spectral(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(super().forward(x), dim=1).real


class Ordered(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).cumsum(1)


@pytest.mark.parametrize("kind", [Spectral, Ordered])
def test_where_nothing_can_be_searched_a_layer_and_a_reason_are_named(
    kind: type[nn.Conv2d],
) -> None:
    with pytest.raises(InputError, match=r"nothing can be searched in Sequential: [02]: .*\w+"):
        trace(plain(kind), X)


@pytest.mark.parametrize("example", [[], np.zeros((1, 3, 8, 8)), None])
def test_an_example_holds_a_tensor(example: Any) -> None:
    with pytest.raises(InputError, match=r"the example is a \w+ without a tensor.*torch.zeros"):
        trace(plain(), example)


def test_an_example_has_pictures() -> None:
    with pytest.raises(InputError, match=r"the example is an empty batch: images of \[3, 8, 8\]"):
        trace(plain(), X[:0])


class Watching(nn.Module):
    """It minds that its operators are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain()

    def forward(self, x: Tensor) -> Tensor:
        if _get_current_dispatch_mode() is not None:
            raise RuntimeError("somebody is watching")
        return self.net(x)


def test_a_net_that_runs_but_cannot_be_followed_is_not_said_not_to_run() -> None:
    with pytest.raises(InputError, match=r"runs on images of \[3, 8, 8\], but .*somebody is"):
        analyse(Watching(), X)
    with pytest.raises(InputError, match=r"the net does not run on images of \[3, 1, 1\]"):
        analyse(plain(), X[..., :1, :1])


def with_forward_around() -> nn.Module:
    net = plain()
    before = net.forward
    net.forward = lambda x: 2 * before(x)
    return net


def with_layer_around() -> nn.Module:
    net = plain()
    before = net[2].forward
    net[2].forward = lambda x: 2 * before(x)
    return net


def with_hook_on_another() -> nn.Module:
    net = plain()
    net[2].register_forward_hook(lambda module, given, out: out + net[0].weight.mean())
    return net


@pytest.mark.parametrize("make", [with_forward_around, with_layer_around, with_hook_on_another])
def test_a_net_whose_copy_would_run_the_net_itself_is_refused(
    make: Callable[[], nn.Module],
) -> None:
    with pytest.raises(InputError, match=r"a copy .* still reads '\d.weight' .*MethodType"):
        trace(make(), X)


def test_a_forward_that_is_a_method_is_searched() -> None:
    net = plain()
    net.forward = MethodType(lambda self, x: 2 * nn.Sequential.forward(self, x), net)
    net[2].register_forward_hook(lambda module, given, out: out + module.bias[:, None, None])
    assert len(trace(net, X).widths) == 2
