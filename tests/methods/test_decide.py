"""Short trainings decide, where they differ by more than chance."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch

import tas
from tas.costs import Budget
from tas.data import Augment
from tas.inherit import Source
from tas.methods import TrialOptions, equal_widths, method
from tas.methods.method import CHANCE, Problem, telling
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


def of_digits(kind: type[Problem], **more: Any) -> Problem:
    data = tas.data.load("digits")
    space = tas.spaces.resnet_space("resnet20", residual="tied")
    return kind(
        space=space,
        source=Source.of(space, tas.nets.build("resnet20")),
        budget=Budget.of(space, 0.5),
        data=data,
        learn=data.train.take(torch.arange(600)),
        judge=data.train.take(torch.arange(600, 1000)),
        options=TrialOptions(),
        augment=Augment(),
        progress=False,
        **more,
    )


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
    problem = of_digits(Told, losses=losses)
    even = equal_widths(problem.space, problem.budget)
    assert even is not None
    finalists = [even.replace(origin=str(number)) for number in range(len(losses))]
    shape, finals = problem.decide(finalists, [], lambda shape: 0.0, TrialOptions())
    assert shape is finalists[best]
    assert len(finals) == len(losses)


@pytest.mark.parametrize(
    ("pictures", "budgets", "some"),
    [(50, 1, 50), (4096, 1, 4096), (8000, 1, 4096), (40_000, 1, 10_000), (40_000, 3, 3334)],
)
def test_short_trainings_take_a_quarter_of_many_pictures(
    pictures: int, budgets: int, some: int
) -> None:
    assert telling(pictures, budgets) == some


def test_all_finalists_learn_from_the_same_pictures_and_are_judged_by_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(method, "ENOUGH", 100)
    given: list[Problem] = []

    def train_all(problem: Problem, name: str, shapes: Any, *_: Any) -> list[History | None]:
        given.append(problem)
        return [None for _ in shapes]

    monkeypatch.setattr(Problem, "train_all", train_all)
    problem = of_digits(Problem)
    shapes = [problem.space.unpruned, problem.space.equal(0.5)]
    for _ in range(2):
        problem.decide(shapes, [], lambda shape: 0.0, TrialOptions())
    first, again = given
    assert torch.equal(pixels(first.learn), pixels(again.learn))
    for part, whole, count in (
        (first.learn, problem.learn, 150),
        (first.judge, problem.judge, 100),
    ):
        known = {tuple(row) for row in pixels(whole).tolist()}
        assert len(part) == count
        assert all(tuple(row) in known for row in pixels(part).tolist())


def pixels(part: Any) -> torch.Tensor:
    return torch.as_tensor(part.pixels.flatten(1))
