"""Every module is left in the mode in which it came, and one that was put there is kept in it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from tas.training import Classification, Distillation, evaluate, fit
from tiny_training import TinyBatches, assert_same_bits, state_of, tiny_net, tiny_options

GIVEN = ("train", "eval", "frozen norm", "only the head")


def given(how: str, seed: int = 0) -> nn.Module:
    net = tiny_net(seed=seed).train(how in ("train", "frozen norm"))
    if how == "frozen norm":
        net[1].eval()
    if how == "only the head":  # a fresh one on a net that was only used
        net[-1].train()
    return net


def modes(net: nn.Module) -> list[bool]:
    return [module.training for module in net.modules()]


@pytest.mark.parametrize("how", GIVEN)
def test_a_training_leaves_modes_as_it_found_them(how: str) -> None:
    net, teacher = given(how), given(how, seed=7)
    before = modes(net)
    seen: list[tuple[bool, ...]] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if len(inputs[0]) > 2:  # not where it is asked what it bears
            seen.append((net.training, net[1].training))

    net.register_forward_hook(note)
    task = Distillation(net, teacher, tiny_options(epochs=2))
    fit(task, TinyBatches(), evaluate_on=TinyBatches(batches=1), progress=False)
    assert modes(net) == modes(teacher) == before
    trained = (True, how != "frozen norm")
    assert seen == [*[trained] * 3, (False, False)] * 2


@pytest.mark.parametrize("how", GIVEN)
def test_so_does_one_that_is_broken_off(how: str) -> None:
    net, teacher = given(how), given(how, seed=7)
    before = modes(net)
    with pytest.raises(KeyboardInterrupt):
        fit(
            Distillation(net, teacher, tiny_options()), TinyBatches(break_at=(2, 1)), progress=False
        )
    assert modes(net) == modes(teacher) == before


def test_a_net_that_was_only_used_last_is_trained_as_a_whole() -> None:
    states = []
    for how in ("train", "eval", "only the head"):
        net = given(how)
        fit(Classification(net, tiny_options(epochs=1)), TinyBatches(), progress=False)
        states.append(state_of(net))
    assert_same_bits(states[0], states[1])
    assert_same_bits(states[0], states[2])


class KeepsItsNorms(nn.Sequential):
    """Its own way to freeze norms, which training mode must go through."""

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self[1].eval()
        return self


def test_a_net_that_freezes_its_norms_itself_does_so() -> None:
    for start in ("train", "eval"):
        net = KeepsItsNorms(*tiny_net())
        getattr(net, start)()
        before = state_of(net)
        fit(Classification(net, tiny_options(epochs=1)), TinyBatches(), progress=False)
        assert torch.equal(before["1.running_mean"], net[1].running_mean)
        assert not torch.equal(before["0.weight"], net[0].weight)


@pytest.mark.parametrize("how", GIVEN)
def test_a_test_leaves_modes_as_it_found_them(how: str) -> None:
    net = given(how)
    before = modes(net)
    evaluate(net, TinyBatches(), precision="fp32")
    assert modes(net) == before

    def broken() -> Iterator[Any]:
        yield from TinyBatches(batches=1)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        evaluate(net, broken(), precision="fp32")
    assert modes(net) == before


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_forward_of_its_own_is_kept(precision: str) -> None:
    net = tiny_net()
    before = net.forward
    net.forward = own = lambda x: 2 * before(x)
    fit(Classification(net, tiny_options(precision=precision)), TinyBatches(), progress=False)
    assert net.forward is own
