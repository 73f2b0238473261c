"""Batches: how many examples they hold, the first of them, and a picture such as a net takes."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from tas import nets
from tas.costs import count
from tas.forward import example_for, examples_in, first_of, leaves
from tas.spaces import trace

DTYPES = [torch.float64, torch.float16, torch.bfloat16]


def of(dtype: torch.dtype) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 2),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
    ).to(dtype)  # fmt: skip


def double(classes: int) -> nn.Module:
    return of(torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_of_the_type_of_the_parameters(dtype: torch.dtype) -> None:
    net = of(dtype)
    assert example_for(net, (3, 8, 8)).dtype == dtype
    space = trace(net, example_for(net, (3, 8, 8)))
    assert [choice.name for choice in space.widths] == ["0", "3"]
    assert count(net, (3, 8, 8)).macs == space.unpruned.macs


def test_what_is_no_fraction_does_not_count() -> None:
    net = nn.Module()
    net.table = nn.Parameter(torch.arange(3), requires_grad=False)
    assert example_for(net, (1, 2, 2)).dtype == torch.float32
    net.register_buffer("scale", torch.ones(2, dtype=torch.float64))
    assert example_for(net, (1, 2, 2)).dtype == torch.float64


def test_a_net_by_its_name_is_built_cut_and_measured() -> None:
    shape = nets.full_shape("test_forward:double", 5, (3, 8, 8))
    nets.read_shape("test_forward:double", trust="test_forward:double")
    whole = nets.measured(shape)
    assert whole.widths == {"0": 8, "3": 12}
    small = nets.build(whole.replace(widths={"0": 4, "3": 6}, macs=None, params=None))
    assert small[0].weight.shape[0] == 4
    assert small[0].weight.dtype == torch.float64


PICTURES = [torch.rand(3, 8, n) for n in (8, 9, 8, 9)]


@pytest.mark.parametrize(
    ("batch", "count", "sizes"),
    [
        (torch.zeros(4, 3), 4, [[1, 3]]),
        ((torch.zeros(4, 3), torch.zeros(4)), 4, [[1, 3], [1]]),
        ({"x": torch.zeros(4, 3), "scale": torch.tensor(2.0)}, 4, [[1, 3], []]),
        ([torch.zeros(4, 3), torch.zeros(4, 2), torch.zeros(4)], 4, [[1, 3], [1, 2], [1]]),
        ([torch.zeros(4, 3), {"a": torch.zeros(4, 2)}], 4, [[1, 3], [1, 2]]),
        ([torch.zeros(4, 3)], 4, [[1, 3]]),
        (PICTURES, 4, [[3, 8, 8]]),
        ({"images": PICTURES}, 4, [[3, 8, 8]]),
        ([torch.zeros(5), torch.zeros(7)], 2, [[5]]),  # sounds of different lengths
        ((torch.zeros(4, 3), torch.zeros(5)), None, [[4, 3], [5]]),
    ],
)
def test_examples_are_told_apart(batch: Any, count: int | None, sizes: list[list[int]]) -> None:
    assert examples_in(batch) == count
    first = first_of(batch)
    assert type(first) is type(batch)
    assert [list(x.shape) for _, x in leaves(first)] == sizes


def test_what_a_loader_collates_is_cut_part_by_part() -> None:
    pairs = [(torch.full((5,), float(n)), torch.tensor(n)) for n in range(12)]
    batch = next(iter(DataLoader(pairs, batch_size=6)))  # type: ignore[arg-type]
    assert isinstance(batch, list)
    assert examples_in(batch) == 6
    x, y = first_of(batch, 2)
    assert (x[:, 0].tolist(), y.tolist()) == ([0.0, 1.0], [0, 1])
