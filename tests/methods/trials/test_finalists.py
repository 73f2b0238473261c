"""Which shapes a search by trials hands over to be decided on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

import tas
from tas import nets, recipes
from tas.methods import Problem
from tas.methods.batches import BatchProblem
from tas.methods.trials.method import LARGER
from tas.shape import Shape


@pytest.fixture
def finalists(monkeypatch: pytest.MonkeyPatch) -> list[Shape]:
    """Of the searches of a test."""
    seen: list[Shape] = []

    def decide(_: Any, given: Sequence[Shape], *rest: Any) -> Any:
        seen.extend(given)
        return given[0], []

    for problem in (Problem, BatchProblem):
        monkeypatch.setattr(problem, "decide", decide)
    return seen


def search(of: dict[str, Any], **how: Any) -> tas.Found:
    torch.manual_seed(0)
    net = nets.build("resnet20", 10, (1, 8, 8))
    options = replace(recipes.quick().inheriting().search, trials=80, precision="fp32")
    how |= {"what": "width", "widths_per": "kind", "options": options, "progress": False}
    return tas.search(net, budget=0.5, **of, **how)


def hardly_apart(own: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """Nearly as far as any other, whatever is cut."""
    return (own - whole).square().mean() ** 0.001


BATCHES = {
    "batches": torch.randn(4, 64, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
    "distance": hardly_apart,
}


@pytest.mark.parametrize(
    ("of", "how"),
    [
        ({"data": "digits"}, {"subset": 20}),
        (BATCHES, {"train": lambda net: None}),
        ({"data": "digits"}, {"subset": 20, "unit": "params"}),
        (BATCHES, {}),
        (BATCHES, {"score": lambda net: 0.0}),
    ],
)
def test_a_shape_of_more_parameters_is_one_where_training_can_tell(
    of: dict[str, Any], how: dict[str, Any], finalists: list[Shape]
) -> None:
    found = search(of, **how)
    assert all(found.budget.fits(found.space, shape) for shape in finalists)
    best, *others, even = finalists
    assert even.origin.startswith("equal widths")
    assert found.tried is not None
    assert best.origin == found.shape.origin
    tells = "unit" not in how and ("subset" in how or "train" in how)
    assert len(others) == tells  # within a budget of parameters all have as many
    for larger in others:
        assert (larger.params or 0) >= LARGER * (best.params or 0)
