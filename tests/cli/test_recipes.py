"""What a run's options make of a preset."""

from typing import Any

import pytest

from tas.api.settings import chosen_recipe
from tas.options import RunOptions, SearchRunOptions
from tas.recipes import INHERITED


@pytest.mark.parametrize("inheriting", [False, True])
@pytest.mark.parametrize("batch_size", [None, 32])
def test_a_runs_learning_rate_is_that_of_its_trainings(
    inheriting: bool, batch_size: int | None
) -> None:
    """The probes' keeps the part of it, per picture, that it has in the preset."""

    def rates(**given: float) -> tuple[float, float]:
        options = RunOptions(data="digits", batch_size=batch_size, **given)
        recipe = chosen_recipe(options, inheriting)
        return tuple(o.lr / o.batch_size for o in (recipe.student, recipe.search))  # type: ignore[return-value]

    part = 0.3 if inheriting else 1.0
    student, search = rates(lr=0.05)
    assert student == 0.05 / (batch_size or 128)
    assert search / student == pytest.approx(part)
    if batch_size is None:
        student, search = rates()
        assert search / student == pytest.approx(part)


def test_the_learning_rate_of_a_search_is_its_own() -> None:
    options = SearchRunOptions(data="digits", lr=0.05)
    assert chosen_recipe(options, inheriting=True).search.lr == 0.05


def test_a_student_that_inherits_hears_its_teacher_less_unless_it_is_told_to() -> None:
    def alpha(inheriting: bool, **given: Any) -> float:
        return chosen_recipe(RunOptions(data="digits", **given), inheriting).student.kd_alpha

    assert alpha(inheriting=False) == alpha(inheriting=True, preset="cifar") == 0.9
    assert alpha(inheriting=True) == 0.5
    assert alpha(inheriting=True, kd_alpha=0.7) == 0.7


def test_a_student_that_inherits_does_not_go_far_unless_a_learning_rate_is_asked_for() -> None:
    def travels(**given: Any) -> tuple[float, float, float]:
        fresh, trained = (
            chosen_recipe(RunOptions(data="digits", **given), inheriting)
            for inheriting in (False, True)
        )
        return fresh.student.travel, trained.teacher.travel, trained.student.travel

    assert travels() == (0, 0, INHERITED["travel"])
    assert travels(epochs=300, batch_size=32) == (0, 0, INHERITED["travel"])
    assert travels(lr=0.2) == (0, 0, 0)
    assert travels(preset="cifar") == (0, 0, 0)  # as released
