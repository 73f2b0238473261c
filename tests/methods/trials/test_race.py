"""Laws of the race: who is asked how much, and what is told of those that were not asked all."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tas.methods.trials.race import BEST, Race

PARTS = 8


class Shapes:
    """Generations of shapes whose losses on every part are known; it counts what is asked."""

    def __init__(self, losses: Tensor) -> None:
        self.losses = losses  # [generations, shapes, parts]
        self.race = Race(losses.shape[2])
        self.asked = 0

    def run(self) -> None:
        for generation in self.losses:

            def ask(
                shapes: Sequence[int], parts: Sequence[Sequence[int]], on: Tensor = generation
            ) -> list[list[float]]:
                self.asked += sum(map(len, parts))
                return [on[s, list(p)].tolist() for s, p in zip(shapes, parts, strict=True)]

            self.race.add(*self.race.run(len(generation), ask))

    def finish(self, shapes: Tensor) -> Tensor:
        """Ask those of these numbers on the rest: their losses."""
        losses = self.losses.flatten(0, 1)[shapes]

        def ask(which: Sequence[int], parts: Sequence[Sequence[int]]) -> list[list[float]]:
            self.asked += sum(map(len, parts))
            return [losses[s, list(p)].tolist() for s, p in zip(which, parts, strict=True)]

        parts, found = self.race.finish(self.race.parts[shapes], ask)
        assert not parts[losses.isfinite().all(1)].isnan().any()
        return found


def drawn(noise: float, seed: int = 0) -> Shapes:
    """Twenty generations of twelve shapes, parts of different difficulty, and noise."""
    generator = torch.Generator().manual_seed(seed)
    true = 0.5 + torch.rand(20, 12, 1, generator=generator, dtype=torch.float64)
    hard = 0.5 + torch.rand(PARTS, generator=generator, dtype=torch.float64)
    off = torch.randn(20, 12, PARTS, generator=generator, dtype=torch.float64)
    return Shapes(true * hard * (1 + noise * off))


@pytest.mark.parametrize("seed", range(5))
def test_the_lowest_losses_are_known_on_half_of_the_parts_and_at_the_end_on_all(seed: int) -> None:
    shapes = drawn(noise=0.1, seed=seed)
    shapes.run()
    best = shapes.race.losses.argsort()[:BEST]
    asked = ~shapes.race.parts.isnan()
    assert (asked[best].sum(1) >= PARTS / 2).all()
    assert asked.any(1).all()
    assert (asked.sum(1) > PARTS / 2).sum() <= BEST  # of the first generation
    exact = shapes.losses.flatten(0, 1).mean(1)
    assert torch.allclose(shapes.finish(best), exact[best])


def test_it_asks_a_quarter_at_most_and_finds_one_of_the_best() -> None:
    for seed in range(5):
        shapes = drawn(noise=0.05, seed=seed)
        shapes.run()
        last = shapes.race.losses.argsort()[:4]
        found = last[shapes.finish(last).argmin()]
        assert shapes.asked < shapes.losses.numel() / 4
        exact = shapes.losses.flatten(0, 1).mean(1)
        assert int((exact < exact[found]).sum()) < 5  # of 240


def test_what_is_foretold_is_exact_where_parts_differ_by_how_hard_they_are() -> None:
    shapes = drawn(noise=0.0)
    shapes.run()
    assert torch.allclose(shapes.race.losses, shapes.losses.flatten(0, 1).mean(1))


def test_one_part_is_asked_once_of_all() -> None:
    shapes = Shapes(torch.rand(4, 12, 1, dtype=torch.float64))
    shapes.run()
    assert shapes.asked == 48
    assert torch.equal(shapes.race.losses, shapes.losses.flatten())


def test_generations_begin_with_different_parts() -> None:
    shapes = drawn(noise=0.1)
    shapes.run()
    asked = ~shapes.race.parts.isnan()
    worst = shapes.race.losses.argsort(descending=True)[:200]
    assert (asked[worst].sum(1) == 1).sum() > 100
    assert asked[worst].any(0).all()


@pytest.mark.parametrize("where", [[0], [0, 1], list(range(12))])
def test_answers_that_are_not_finite_are_asked_no_further(where: list[int]) -> None:
    losses = torch.rand(1, 12, PARTS, dtype=torch.float64)
    losses[0, where] = torch.inf
    shapes = Shapes(losses)
    shapes.run()
    assert shapes.race.losses[where].isinf().all()
    assert shapes.asked <= 12 + BEST * (PARTS - 1) + PARTS
    finished = shapes.finish(torch.arange(12))
    assert finished[where].isinf().all()
    assert int(shapes.race.losses.argmin()) not in where or len(where) == 12


def test_a_race_that_goes_on_is_the_same() -> None:
    whole, first = drawn(noise=0.1), drawn(noise=0.1)
    whole.run()
    first.losses, rest = first.losses[:8], first.losses[8:]
    first.run()
    second = Shapes(rest)
    for generation in range(8):
        rows = slice(12 * generation, 12 * (generation + 1))
        second.race.add(first.race.parts[rows], first.race.losses[rows])
    second.run()
    assert torch.equal(second.race.losses, whole.race.losses)
