"""How nets are run that are asked: with bf16 weights, where they bear these."""

import pytest
import torch
from torch import Tensor, nn

from tas.forward import call, floats
from tas.methods.trials.running import Runner

CPU = torch.device("cpu")


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 5)),
    )


def pictures() -> Tensor:
    x = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return x.to(memory_format=torch.channels_last)


def runner_of(whole: nn.Module, precision: str) -> Runner:
    return Runner(whole, pictures(), CPU, precision, call)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_are_halves_but_those_of_norms(precision: str) -> None:
    small = runner_of(net(), precision).ready(net())
    kinds = {
        type(module): {p.dtype for p in module.parameters(recurse=False)}
        for module in small.modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.LayerNorm, nn.Linear))
    }
    asked = torch.float32 if precision == "fp32" else torch.bfloat16
    assert kinds == {
        nn.Conv2d: {asked},
        nn.BatchNorm2d: {torch.float32},
        nn.LayerNorm: {torch.float32},
        nn.Linear: {asked},
    }


def test_halves_answer_as_bf16_does() -> None:
    """Convolutions and linear layers round their weights in any case."""
    runner = runner_of(net(), "bf16")
    assert runner.halves
    found = runner.answer(runner.ready(net()), pictures())
    runner.halves = False
    assert torch.equal(found, runner.answer(runner.ready(net()), pictures()))


def test_the_weights_that_a_net_was_cut_from_stay_as_they_are() -> None:
    whole, small = net(), net()
    for own, given in zip(small.parameters(), whole.parameters(), strict=True):
        own.data = given.data
    runner_of(net(), "bf16").ready(small)
    assert {p.dtype for p in whole.parameters()} == {torch.float32}


class Particular(nn.Module):
    """A net that wants floats in its own code, or numbers that halves do not tell apart."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 4)
        self.table = nn.Parameter(1000 + torch.arange(6.0), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.mean((2, 3)))
        if self.how == "float":
            x = torch.empty(len(x), 6).copy_(x).addcmul_(torch.ones(6), self.table.sin())
            torch.linalg.inv(self.table.diag())
        else:
            x = x + 3 * (self.table * 2.5).sin()
        return self.last(x)


@pytest.mark.parametrize("how", ["float", "numbers"])
def test_a_net_that_bears_no_halves_keeps_its_weights(how: str) -> None:
    torch.manual_seed(0)
    runner = runner_of(Particular(how), "bf16")
    assert runner.placing.bf16
    assert not runner.halves
    small = runner.ready(Particular(how))
    assert {p.dtype for p in small.parameters()} == {torch.float32}
    assert torch.isfinite(runner.answer(small, pictures())).all()


class Gradients(nn.Module):
    """A net that turns gradients on by itself, as those do that answer with forces."""

    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    @torch.enable_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.detach().requires_grad_())


def test_a_net_that_turns_gradients_on_measures_its_norms_as_others_do() -> None:
    runner, plain = runner_of(Gradients(), "fp32"), runner_of(net(), "fp32")
    found = runner.answer(runner.ready(Gradients()), pictures())
    assert torch.equal(found, plain.answer(plain.ready(net()), pictures()))
    assert found.requires_grad
    with torch.no_grad():
        assert not any(x.requires_grad for x in floats(found))  # what is compared has none
