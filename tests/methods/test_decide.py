"""Short trainings decide, where they differ by more than chance."""

import math
from dataclasses import dataclass
from typing import Any

import pytest

import tas
from tas.costs import Budget
from tas.data import Augment
from tas.inherit import Source
from tas.methods import TrialOptions, equal_widths
from tas.methods.method import CHANCE, Problem
from tas.training import History


@dataclass(frozen=True, kw_only=True)
class Told(Problem):
    """Its short trainings end with losses that are told, a half on held-out pictures."""

    losses: tuple[float, ...]

    def train_all(self, name: str, shapes: Any, *_: Any) -> list[History | None]:
        return [
            None
            if loss == math.inf
            else History(f"{name}-{i}", ({"loss": loss / 2, "test_loss": loss / 2},))
            for i, loss in zip(range(len(shapes)), self.losses, strict=True)
        ]


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ((1.0, 1.1), 0),
        ((1.1, 1.0), 1),
        ((1 + 0.9 * CHANCE, 1.0), 0),
        ((1 + 1.1 * CHANCE, 1.0), 1),
        ((math.inf, 1.0), 1),
        ((1.0, math.inf), 0),
        ((math.inf, math.inf), 0),
        ((1.1, 1.0, 1.2), 1),
        ((1.1, 1 + 0.9 * CHANCE, 1.0), 1),
        ((1.1, 1 + 1.1 * CHANCE, 1.0), 2),
    ],
)
def test_the_best_one_is_taken_and_the_first_of_those_alike(
    losses: tuple[float, ...], best: int
) -> None:
    space = tas.spaces.resnet_space("resnet20", residual="tied")
    data = tas.data.load("digits")
    budget = Budget.of(space, 0.5)
    problem = Told(
        space=space,
        source=Source.of(space, tas.nets.build("resnet20")),
        budget=budget,
        data=data,
        learn=data.train,
        judge=data.train,
        options=TrialOptions(),
        augment=Augment(),
        progress=False,
        losses=losses,
    )
    even = equal_widths(space, budget)
    assert even is not None
    finalists = [even.replace(origin=str(number)) for number in range(len(losses))]
    shape, finals = problem.decide(finalists, [], lambda shape: 0.0, TrialOptions())
    assert shape is finalists[best]
    assert len(finals) == len(losses)
