"""What a net bears is found out by running it: the format of pictures, bf16, its own type."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tas
from tas import recipes
from tas.data import Data, Images, Transform
from tas.errors import InputError
from tas.methods import TrialOptions
from tas.training import Classification, Distillation, evaluate, fit, recompute_norm_statistics
from tas.training import placing as room
from tas.training.placing import settled
from tiny_training import TinyBatches, assert_same_bits, state_of, tiny_net, tiny_options

CPU = torch.device("cpu")


class Viewed(nn.Module):
    """Classic code: pixels are left behind the convolutions when it flattens by ``view``."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.two, self.hidden = nn.Conv2d(12, 16, 3, 2, 1), nn.Linear(16 * 4 * 4, 20)
        self.head = nn.Linear(20, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.norm(self.one(x)).relu()).relu()
        return self.head(self.hidden(x.view(x.size(0), -1)).relu())


class Pixels(nn.Module):
    """A perceptron on pixels."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(192, 16), nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x.view(len(x), -1)).relu())


class Shifted(nn.Module):
    """A part of the channels comes from the picture before: a temporal shift."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.stem, self.next = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 1)
        self.head = nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        n, c, h, w = x.shape
        parts = x.view(n, 1, c * h, w).roll(1, 3).view(n, c, h, w)
        return self.head(self.next(parts).relu().mean((2, 3)))


class Stored(Pixels):
    """It reads what stands in memory, in the order in which it does."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.as_strided((len(x), 192), (192, 1))
        return self.head(self.hidden(x).relu())


class NoHalf(nn.Module):
    """It has an operator without a bf16 kernel."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 12, 3, padding=1), nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if x.dtype == torch.bfloat16:
            raise RuntimeError("\"my_kernel\" not implemented for 'BFloat16'")
        return self.head(x.relu().mean((2, 3)))


PLAIN = [Viewed, Pixels, Shifted, Stored]


@pytest.fixture(autouse=True)
def _nothing_told() -> None:
    room._TOLD.clear()


def data(classes: int = 4) -> Data:
    labels = torch.arange(96) % classes
    bright = torch.randint(0, 255, (classes, 3, 8, 8))[labels]
    pixels = (0.7 * bright + 0.3 * torch.randint(0, 255, (96, 3, 8, 8))).to(torch.uint8)
    transform = Transform.of_size("rgb", (8, 8), (0.5,) * 3, (0.25,) * 3)
    names = tuple(f"c{i}" for i in range(classes))
    parts = Images(pixels, labels), Images(pixels[:32], labels[:32])
    return Data("made", names, transform, *parts, False)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", PLAIN)
def test_a_net_that_counts_on_plain_pictures_gets_them(
    kind: Callable[[], nn.Module], precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    net, options = kind(), tiny_options(epochs=2, precision=precision, ema=0.5)
    before = state_of(net)
    teacher = kind()
    fit(Distillation(net, teacher, options), TinyBatches(), progress=False)
    assert not torch.equal(before["head.weight"], state_of(net)["head.weight"])
    evaluate(net, TinyBatches(), precision=precision)
    recompute_norm_statistics(net, TinyBatches(), precision=precision)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"note: the net ({kind.__name__}) takes no channels-last pictures (")


@pytest.mark.parametrize("kind", [Viewed, Pixels, Shifted])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_such_a_net_is_searched_in_every_way(kind: Any, precision: str) -> None:
    trials = TrialOptions(trials=12, epochs=1, batch_size=32, lr=0.01, precision=precision)
    paper = recipes.paper().search
    paper = replace(paper, epochs=1, warmup_epochs=0, batch_size=32, precision=precision)
    for options in (trials, paper):
        found = tas.search(kind(), data(), 0.8, options=options, device="cpu", progress=False)
        small = found.derive()
        tas.train(small, data(), options=tiny_options(epochs=1), device="cpu", progress=False)
    assert tas.evaluate(small, data(), device="cpu", progress=False)["accuracy"] >= 0


def test_one_of_two_nets_decides_for_both() -> None:
    net, teacher = tiny_net(), Viewed()
    fit(Distillation(net, teacher, tiny_options(epochs=1)), TinyBatches(), progress=False)
    assert net[0].weight.is_contiguous()
    assert not settled([net, teacher], torch.zeros(1, 3, 8, 8), CPU).channels_last


def test_a_net_without_a_kernel_for_bf16_is_computed_in_fp32(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = NoHalf()
    options = tiny_options(epochs=1, precision="bf16")
    fit(Classification(net, options), TinyBatches(), evaluate_on=TinyBatches(), progress=False)
    evaluate(net, TinyBatches(), precision="bf16")
    trials = TrialOptions(trials=12, epochs=1, batch_size=32, lr=0.01, precision="bf16")
    tas.search(NoHalf(), data(), 0.6, options=trials, device="cpu", progress=False)
    (said,) = capsys.readouterr().err.splitlines()
    assert said == (
        'note: the net (NoHalf) cannot be computed in bf16 on this device ("my_kernel" not '
        "implemented for 'BFloat16'); it is in fp32"
    )
    same = NoHalf()
    same.load_state_dict(net.state_dict())
    for each, precision in ((net, "bf16"), (same, "fp32")):
        fit(Classification(each, tiny_options(precision=precision)), TinyBatches(), progress=False)
    assert_same_bits(state_of(net), state_of(same))


def test_what_a_net_bears_is_found_out_without_a_trace() -> None:
    net = nn.Sequential(tiny_net(), nn.Dropout())
    before, numbers = state_of(net), torch.get_rng_state()
    assert settled([net], torch.zeros(1, 3, 8, 8), CPU, bf16=True).bf16
    assert_same_bits(before, state_of(net))
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(module.training for module in net.modules())


def test_a_net_that_does_not_run_at_all_is_told_in_a_line() -> None:
    with pytest.raises(InputError, match=r"the net does not run on images of \[3, 9, 9\]"):
        settled([Pixels()], torch.zeros(1, 3, 9, 9), CPU)


def test_a_net_in_float64_is_trained_searched_and_tested_in_it() -> None:
    net = Viewed().double()
    fit(Classification(net, tiny_options(precision="bf16")), TinyBatches(), progress=False)
    assert all(p.dtype == torch.float64 for p in net.parameters())
    evaluate(net, TinyBatches(), precision="bf16")
    fit(Distillation(tiny_net(), net, tiny_options(epochs=1)), TinyBatches(), progress=False)
    paper = replace(recipes.paper().search, epochs=1, warmup_epochs=0, batch_size=32)
    trials = TrialOptions(trials=12, epochs=1, batch_size=32, lr=0.01)
    for options in (trials, paper):
        found = tas.search(net, data(), 0.6, options=options, device="cpu", progress=False)
        assert all(p.dtype == torch.float64 for p in found.derive().parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_net_of_16_bits_is_tested_and_teaches_but_is_not_trained(dtype: torch.dtype) -> None:
    net = Viewed().to(dtype)
    assert 0 <= evaluate(net, TinyBatches(), precision="bf16")["accuracy"] <= 100
    fit(Distillation(tiny_net(), net, tiny_options(epochs=1)), TinyBatches(), progress=False)
    kind = str(dtype).removeprefix("torch.")
    with pytest.raises(InputError, match=rf"'one.weight' is {kind}, .*give net.float\(\)"):
        fit(Classification(net, tiny_options()), TinyBatches(), progress=False)


@pytest.mark.parametrize(
    ("found", "alike"),
    [
        ([1.0, 2.0, 3.0], True),
        ([1.0, 2.01, 3.0], True),
        ([1.0, 2.5, 3.0], False),
        ([1.0, math.nan, 3.0], False),
        ([1.0, math.inf, 3.0], False),
    ],
)
def test_answers_are_compared_as_far_as_they_are_numbers(found: list[float], alike: bool) -> None:
    expected = torch.tensor([1.0, 2.0, 3.0])
    assert room._alike([torch.tensor(found)], [expected]) == alike
    masked = torch.tensor([-math.inf, math.nan])  # as attention is masked
    both = torch.cat([torch.tensor(found), masked]), torch.cat([expected, masked])
    assert room._alike([both[0]], [both[1]]) == alike
    assert room._alike([masked], [masked])
    assert not room._alike([torch.zeros(2)], [masked])
