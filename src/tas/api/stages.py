"""The stages of a run, and about how much work each is: multiply-adds."""

from ..methods import ProbeOptions, TrialOptions
from ..methods.method import telling
from ..methods.trials.ask import ON_AVERAGE
from ..methods.trials.method import FOLLOWING, TRAINED
from ..runs.stages import Stage
from .plan import Plan

__all__ = ["stages_of"]

TRAINING = 3  # times the multiply-adds of a forward pass


def stages_of(plan: Plan, *, teacher: bool, baseline: bool) -> list[Stage]:
    """The stages of a run whose budgets are known.

    Args:
        teacher: the unpruned net is to be trained.
        baseline: so are equal widths.
    """
    full, pictures = float(plan.full.macs or 1), len(plan.data.train)
    recipe, names = plan.recipe, plan.names or [""]
    stages: list[Stage] = []
    if teacher:
        work = recipe.teacher.epochs * pictures * TRAINING * full
        stages.append(Stage("teacher", "teacher", work))
    nets = [
        (name, budget.ratio(plan.space) * full)
        for name, budget in zip(names, plan.budgets, strict=True)
    ]
    for number, (name, macs) in enumerate(nets):
        stages += _of_a_search(plan, f"{name} ".lstrip(), macs, number, len(nets))
    for name, macs in nets:
        work = recipe.student.epochs * pictures * (TRAINING * macs + full)
        for kind in ("equal", "student") if baseline else ("student",):
            label = {"equal": "equal widths", "student": "searched net"}[kind]
            stages.append(Stage(kind, f"{name} {label}".lstrip(), work))
    return stages


def _of_a_search(plan: Plan, name: str, macs: float, number: int, of: int) -> list[Stage]:
    options, full = plan.recipe.search, float(plan.full.macs or 1)
    learn = round(plan.recipe.fraction * len(plan.data.train))
    if isinstance(options, TrialOptions):
        trials = options.trials * (FOLLOWING if number else 1) * ON_AVERAGE * macs
        check = TRAINED * options.epochs * telling(learn, of) * (TRAINING * macs + full)
        return [Stage("search", f"{name}search", trials), Stage("check", f"{name}check", check)]
    if isinstance(options, ProbeOptions):
        work = options.probes * options.epochs * learn * TRAINING * macs
    else:
        work = options.epochs * len(plan.data.train) * TRAINING * full
    return [Stage("search", f"{name}search", work)]
