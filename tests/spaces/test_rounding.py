"""Candidate widths are those that hardware is fast with, unless any are asked for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import tas
from tas.api import search_space
from tas.costs import Budget
from tas.methods import PaperOptions, ProbeOptions, TrialOptions, equal_widths, even_widths
from tas.methods.choose import WINDOW
from tas.spaces import FINE_RATIOS, resnet_space, step, trace, width_candidates


@given(width=st.integers(1, 4096), unit=st.sampled_from([1, 2, 3, 8, 24]))
def test_a_step_leaves_a_choice_and_is_whole_units(width: int, unit: int) -> None:
    by = step(width, unit)
    assert by % unit == 0
    assert by == unit or width >= 6 * by
    assert by % 16 == 0 or width < 6 * by * 2 or by // unit == 16  # no larger step would do


@given(width=st.integers(1, 2048), round_to=st.sampled_from([None, 1, 4, 8]))
def test_candidates_are_whole_steps(width: int, round_to: int | None) -> None:
    by = step(width) if round_to is None else round_to
    if by <= width:
        assert all(c % by == 0 for c in width_candidates(width, FINE_RATIOS, round_to))


def traced(round_to: int | None) -> tas.Space:
    net = nn.Sequential(
        nn.Conv2d(3, 96, 3), nn.ReLU(), nn.Conv2d(96, 100, 3), nn.Flatten(), nn.Linear(100, 10)
    )
    return trace(net, torch.zeros(1, 3, 5, 5), ratios=FINE_RATIOS, round_to=round_to)


def test_the_own_width_of_a_layer_stays_a_candidate() -> None:
    assert [choice.candidates[-2:] for choice in traced(None).widths] == [(80, 96), (96, 100)]


@pytest.mark.parametrize("ratio", [0.3, 0.4, 0.55, 0.7, 0.85])
def test_equal_widths_of_the_candidates_use_the_budget_whole(ratio: float) -> None:
    space = resnet_space("resnet20", residual="tied", ratios=FINE_RATIOS, round_to=None)
    budget = Budget.of(space, ratio)
    even, equal = even_widths(space, budget), equal_widths(space, budget)
    assert even is not None
    assert equal is not None
    assert (1 - WINDOW) * budget.limit <= even.macs <= budget.limit
    space.indices(even)  # made of candidates
    apart = [abs(even.widths[key] - width) / width for key, width in equal.widths.items()]
    assert sorted(apart)[len(apart) // 2] < 0.15


DIGITS = tas.data.load("digits")
OWN = tas.nets.build("resnet20", classes=10, input=(1, 8, 8))


@pytest.mark.parametrize(
    ("net", "options", "how", "steps"),
    [
        (OWN, TrialOptions(), {}, True),
        (OWN, TrialOptions(), {"round_to": 1}, False),
        (OWN, TrialOptions(), {"ratios": (0.3, 0.65, 1.0)}, False),
        (OWN, TrialOptions(), {"ratios": (0.3, 0.65, 1.0), "round_to": 4}, True),
        (OWN, PaperOptions(), {}, False),
        ("resnet20", ProbeOptions(), {}, False),
    ],
)
def test_who_rounds(net: object, options: object, how: dict[str, object], steps: bool) -> None:
    space, _ = search_space(net, DIGITS, options.method(), **how)  # type: ignore[attr-defined]
    found = [c % step(choice.candidates[-1]) for choice in space.widths for c in choice.candidates]
    assert (max(found) == 0) == steps
