"""Short trainings decide, where they differ by more than chance."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import tas
from tas.costs import Budget
from tas.data import Augment
from tas.inherit import Source
from tas.methods import TrialOptions, equal_widths, method
from tas.methods.method import CHANCE, Problem, telling
from tas.nets import ResNet
from tas.training import Distillation, History, distillation


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
    net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    space = tas.spaces.resnet_space(net, residual="tied")
    return kind(
        space=space,
        source=Source.of(space, net),
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


def test_finalists_see_the_same_batches_and_the_whole_net_is_asked_about_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []

    class Seen(Distillation):
        def answers(self, images: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            seen.append(images.float().numpy().tobytes())
            return super().answers(images, logits)

    monkeypatch.setattr(distillation, "Distillation", Seen)
    problem = of_digits(Problem)
    whole = sum(p.numel() for p in problem.source.derive(problem.space.unpruned).parameters())
    asked: list[int] = []

    def count(net: nn.Module, given: Any, made: Any) -> None:
        if isinstance(net, ResNet) and sum(p.numel() for p in net.parameters()) == whole:
            asked.append(len(given[0]))

    shapes = [problem.space.equal(0.75), problem.space.equal(0.5), problem.space.equal(0.25)]
    hook = nn.modules.module.register_module_forward_hook(count)
    try:
        problem.decide(shapes, [], lambda shape: 0.0, TrialOptions())
    finally:
        hook.remove()
    assert len(seen) == 6  # two batches of 256 each
    assert seen[:2] == seen[2:4] == seen[4:]
    assert asked.count(256) == 2  # and some of fewer, by which a training finds out how to compute


def pixels(part: Any) -> torch.Tensor:
    return torch.as_tensor(part.pixels.flatten(1))
