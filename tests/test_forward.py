"""A picture such as a net takes."""

import pytest
import torch
from torch import nn

from tas import nets
from tas.costs import count
from tas.forward import example_for
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
