"""From trained weights: hundreds of shapes are cut, asked what they still answer, and evolved."""

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from torch import Generator

from ...costs import Budget
from ...errors import InputError
from ...runs import say
from ...shape import Shape
from ...space import Space
from ...spaces import FINE_RATIOS
from ...training import History
from ..baseline import equal_widths, near_equal, nearest
from ..choose import WINDOW
from ..found import Found, Tried
from ..question import Question
from .ask import PHASE, Examiner
from .evolution import evolve, generations
from .options import TrialOptions

__all__ = ["Trials"]

FOLLOWING = 0.25  # of the trials, where those of another budget have told most
LARGER = 1.05  # times the parameters of the best shape, from which on another may be worth more
TRAINED = 3  # shapes at the end, at most
OTHERS = 4  # of the best trials, which are judged as well where that costs little
EQUAL = "equal widths, as near as the candidates allow: the search found nothing better"


@dataclass(frozen=True)
class Trials:
    """The method; see ``tas.methods.Method``. The steps of the algorithm are those of ``find``."""

    options: TrialOptions

    name: ClassVar[str] = "from trained weights, by trials"
    presets: ClassVar[tuple[str, ...]] = ("quick", "finetune", "cifar", "imagenet")
    chosen_by: ClassVar[tuple[str, str]] = (
        "leave out --inherit false as well",
        "give trained --weights",
    )
    residual: ClassVar[str] = "tied"
    widths_per: ClassVar[str] = "layer"
    fraction: ClassVar[float] = 0.8
    takes_weights: ClassVar[bool] = True
    short_trainings: ClassVar[bool] = True

    def ratios(self, inheriting: bool) -> tuple[float, ...]:
        return FINE_RATIOS

    def find(self, problem: Question) -> Found:
        """The shape whose net, cut and not trained, answers most like the whole one; or one that
        answers nearly as much like it and has more parameters, or equal widths, where these are
        better after a short training of each.

        Raises:
            InputError: the weights were not learnt, so that their answers tell nothing.
        """
        if not problem.source.trained:
            raise InputError(
                "the search by trials needs trained weights: give it a trained net, or --weights; "
                "for a search from fresh weights use ProbeOptions"
            )
        budget, near = problem.budget, near_equal(problem.space, problem.budget)
        earlier = _told(problem.earlier)
        trials = ceil(self.options.trials * (FOLLOWING if earlier else 1))
        count = len(generations(trials, earlier is not None)) + 1
        examiner = Examiner(problem, near, self.options, count)
        generator = Generator().manual_seed(problem.seed)
        with examiner.bar:
            states = evolve(near, budget, trials, generator, examiner, earlier, problem.trains)
            asked = len(examiner.tried.losses)
            known = examiner.on_all(states)
        if problem.progress and asked < trials:
            say(f"note: {asked} of {trials} shapes were asked: more of them promised nothing")
        history = History(PHASE, tuple(examiner.lines))
        best, larger = [known.losses.argmin()], known.for_size.argmin()
        if problem.trains and known.params[larger] >= LARGER * known.params[best[0]]:
            best.append(larger)
        found = [_filling(near, budget, examiner.shape(states[i])) for i in best]
        found = [shape.replace(origin=problem.origin) for shape in found]
        # Equal widths are few: those that are nearly too slow may be the ones to beat.
        equal = equal_widths(problem.space, budget.whole) or problem.space.unpruned
        even = nearest(near, equal, budget.whole, EQUAL)
        finalists = found if even.replace(origin=problem.origin) in found else [*found, even]
        others = [each.replace(origin=problem.origin) for each in examiner.best(budget, OTHERS)]
        shape, finals = problem.decide(finalists, others, examiner.lost, self.options)
        return problem.found(shape, [history, *finals], tried=examiner.tried)


def _told(earlier: tuple[Found, ...]) -> Tried | None:
    """All that was asked within other budgets."""
    told = [found.tried for found in earlier if found.tried is not None]
    return told[0].and_also(*told[1:]) if told else None


def _filling(space: Space, budget: Budget, shape: Shape) -> Shape:
    """The shape, or where choices are too coarse for the budget the one nearest to it."""
    if budget.cost(space, shape) >= (1 - WINDOW) * budget.limit:
        return shape
    return nearest(space, shape, budget, "")
