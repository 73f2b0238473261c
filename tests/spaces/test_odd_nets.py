"""Nets as users write them: exact, left as they were, or refused in one line."""

from typing import Any

import pytest
import torch
from torch import nn

from helpers import random_shape, randomise_norms
from odd_nets import ODD, REFUSED, Base, Functions, Hooked, Uncopyable
from tas.costs.count import count
from tas.errors import InputError
from tas.inherit import Source
from tas.methods.paper.masked import MaskedSupernet
from tas.spaces import trace
from traced_nets import example


def example_for(net: nn.Module) -> torch.Tensor:
    return example().to(next(net.parameters()).dtype)


@pytest.mark.parametrize("kind", ODD)
def test_it_is_exact_trainable_and_left_as_it_was(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = kind()
    randomise_norms(net)
    images = example_for(net)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())
    flags = [p.requires_grad for p in net.parameters()]
    space = trace(net, images)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert flags == [p.requires_grad for p in net.parameters()]
    assert hooks == sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())

    supernet = MaskedSupernet(space).eval()
    for seed in range(3):
        shape = random_shape(space, seed)
        small = Source.of(space).derive(shape).eval()
        counted = count(small, images)
        assert (shape.macs, shape.params) == (counted.macs, counted.params)
        with torch.no_grad():
            wanted = supernet(images, supernet.one_hot(shape))
            torch.testing.assert_close(small(images), wanted, rtol=1e-4, atol=1e-5)
        small.train()(images).sum().backward()
        assert [p.requires_grad for p in small.parameters()] == flags[
            : len(list(small.parameters()))
        ]
        assert small(images).dtype == images.dtype


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_searched_is_told(why: str) -> None:
    make: Any = REFUSED[why][0]
    with pytest.raises(InputError, match=REFUSED[why][1]) as caught:
        trace(make(), example())
    assert "\n" not in str(caught.value)


def test_half_precision() -> None:
    net = Base().bfloat16()
    space = trace(net, example().bfloat16())
    supernet = MaskedSupernet(space)
    shape = random_shape(space, 1)
    scores = supernet(example().bfloat16(), supernet.one_hot(shape))
    assert (
        scores.dtype == Source.of(space).derive(shape)(example().bfloat16()).dtype == torch.bfloat16
    )


def test_a_net_that_has_been_trained_holds_results_that_are_no_parameters() -> None:
    net = Hooked()
    net(example()).sum().backward()
    assert net.kept is not None
    assert net.kept.grad_fn is not None  # which deepcopy refuses
    trace(net, example())
    old = Base()
    torch.nn.utils.weight_norm(old.wide)
    old(example()).sum().backward()
    assert [choice.name for choice in trace(old, example()).widths] == ["stem", "wide", "back"]


def test_a_net_of_one_score_can_be_searched() -> None:
    net = Base()
    net.head = nn.Linear(12, 1)
    assert {choice.name for choice in trace(net, example()).widths} == {"stem", "wide", "back"}


def test_parameters_without_a_layer_give_widths_their_names() -> None:
    space = trace(Functions(), example())
    assert [choice.name for choice in space.widths] == ["weights.0", "weights.1"]


def test_a_scripted_net_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"is scripted: give the module that was given to torch\.jit"
    ):
        trace(torch.jit.script(nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten())), example())


def test_a_net_that_cannot_be_copied_is_refused_where_it_is_cut() -> None:
    space = trace(Base(), example())
    space.model.lock = Uncopyable().lock
    with pytest.raises(InputError, match="cannot be copied"):
        Source.of(space).derive(space.unpruned)
