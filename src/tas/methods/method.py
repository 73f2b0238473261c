"""What every way to search has in common: what it is given, and what it gives back.

A method is built by its options (``options.method()``) and finds a shape for a problem. A new one
is a folder beside ``trials``, ``probes`` and ``paper``, and a line in ``methods/__init__.py``.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Generator, nn

from .. import training
from ..data import Augment, Batches, Data, Part
from ..errors import DivergedError
from ..forward import moving_norms
from ..seeds import SEEDS
from ..shape import Shape
from ..training import History, TrainOptions
from ..training.pictures import few, training_batches, unvaried_batches
from .found import Found
from .question import Decision, Question

__all__ = ["PICTURES", "Method", "MethodOptions", "Problem", "final_loss", "telling"]

_log = logging.getLogger(__name__)

PICTURES = 64  # of a batch by which channels are put in order, and shapes are asked
LESS = 16  # of one on the CPU that shapes are asked, where it would not fit into caches
LARGE = 128 * 128  # places of a picture, from which on a few pictures tell as much
BATCHES = 32  # by which channels are put in order; half of them where pictures are large
QUARTER = 4  # one of so many pictures is enough for the short trainings that decide,
ENOUGH = 4096  # where these are at least as many
CHANCE = 0.005  # of the loss of a short training, that two shapes may differ by from seed to seed


class Method(Protocol):
    """A way to search.

    Attributes:
        name: as it is said to users.
        presets: names of the recipes that choose it.
        chosen_by: what chooses it among the methods of these: in a whole run, and in a search.
        residual: ``"tied"`` or ``"free"``: the space of our ResNets that it searches by default.
        widths_per: what has a width of its own by default; see ``tas.search``.
        fraction: of the training pictures, for the weights; the rest is to choose by.
        takes_weights: our ResNets are searched with the weights that they are given with.
        short_trainings: it trains nets for a short time each, several processes different ones.
    """

    name: ClassVar[str]
    presets: ClassVar[tuple[str, ...]]
    chosen_by: ClassVar[tuple[str, str]]
    residual: ClassVar[str]
    widths_per: ClassVar[str]
    fraction: ClassVar[float]
    takes_weights: ClassVar[bool]
    short_trainings: ClassVar[bool]

    def ratios(self, inheriting: bool) -> tuple[float, ...]:
        """Candidate widths of our ResNets, as ratios of the unpruned ones.

        Args:
            inheriting: nets inherit trained weights.
        """
        ...

    def find(self, problem: "Problem") -> Found:
        """The best shape within the budget."""
        ...


class MethodOptions(Protocol):
    """The settings of a method: a ``StepOptions`` that builds its method."""

    @property
    def batch_size(self) -> int: ...
    @property
    def precision(self) -> str: ...
    def method(self) -> Method: ...


@dataclass(frozen=True, kw_only=True)
class Problem(Question):
    """What a method is given: a space, weights, a budget, pictures and settings.

    >>> import tas
    >>> from tas.methods import TrialOptions, equal_widths
    >>> from tas.methods.trials import Trials
    >>> class EqualWidths(Trials):  # a method of your own, in the form of ``Method``
    ...     def find(self, problem):
    ...         return problem.found(equal_widths(problem.space, problem.budget), [])
    >>> class Options(TrialOptions):
    ...     def method(self):
    ...         return EqualWidths(self)
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> tas.search(net, data, 0.5, options=Options(), progress=False).shape.origin
    'equal widths, 0.707 of each'

    Attributes:
        space, source, budget: the choices, the weights, and the most that a shape may cost.
        objective: how nets are called and compared.
        data: the data set.
        learn, judge: the training pictures that weights learn from, and those that choices are
            judged by.
        augment: how training pictures are varied.
        options: of the method.
        out: a run directory to log to and to continue from.
    """

    data: Data
    learn: Part
    judge: Part
    options: MethodOptions
    augment: Augment
    workers: int | None = None

    @property
    def origin(self) -> str:
        """Where a shape comes from, in words."""
        return f"searched on {self.data.name}, seed {self.seed}"

    @property
    def trains(self) -> bool:
        return True

    def batches(self, part: Part, seed: int, size: int | None = None) -> Batches:
        """Shuffled and varied batches of some pictures."""
        return training_batches(
            self.data,
            part,
            self.options,
            self.augment,
            self.device,
            self.workers,
            seed,
            batch_size=size,
        )

    def ordered(self) -> "Problem":
        """With the channels of the source in the order in which they are kept."""
        with training.alone(), training.repeatable():  # every process sees the same pictures
            here = training.where(self.device, self.options.precision).device
            batches = self.batches(self.learn, self.seed, PICTURES)
            net = self.source.net
            assert net is not None
            how, forward = self.options.precision, self.objective.forward
            most = BATCHES // 2 if self._large else BATCHES
            given = few(net, batches, here, forward, most, precision=how)
            if not self.data.labelled:
                given = given._replace(pictures=partial(_alone, given.pictures))
            ordered = self.source.ordered(self.data.input, *given)
        return replace(self, source=ordered)

    def asked(self) -> Iterable[Any]:
        net = self.source.net
        with training.alone():  # every process sees the same pictures
            device = training.where(self.device, self.options.precision).device
            few_do = self._large or (net is not None and not moving_norms(net))
            size = LESS if few_do and device.type == "cpu" else PICTURES
            return self.batches(self.learn, self.seed, size)

    @property
    def _large(self) -> bool:
        return math.prod(self.data.input[1:]) >= LARGE

    def decide(
        self,
        finalists: Sequence[Shape],
        others: Sequence[Shape],
        lost: Callable[[Shape], float],
        options: TrainOptions,
    ) -> Decision:
        """By a short training of each on some of the pictures, with the whole net as its teacher,
        so that they do not forget what they know: the best shape untrained has to be the best then,
        too. Where others are ahead by no more than chance, it stays."""
        if len(finalists) == 1:
            return finalists[0], []
        teacher = self.source.derive(self.space.unpruned)
        finals = self._of_some().train_all("final", finalists, options, teacher)
        losses = [final_loss(final) for final in finals]
        alike = [loss <= (1 + CHANCE) * min(losses) for loss in losses]
        return finalists[alike.index(True)], finals

    def _of_some(self) -> "Problem":
        """With as many pictures as it takes to tell shapes apart, in every epoch the same ones."""
        generator = Generator().manual_seed(self.seed)

        def some(part: Part) -> Part:
            order = torch.randperm(len(part), generator=generator)
            return part.take(order[: telling(len(part), self.budgets)])

        return replace(self, learn=some(self.learn), judge=some(self.judge))

    def fit(self, *args: Any, **more: Any) -> History:
        """``tas.training.fit`` on the problem's device, into its run directory."""
        return training.fit(*args, out=self.out, device=self.device, progress=self.progress, **more)

    def train_all(
        self,
        name: str,
        shapes: Sequence[Shape],
        options: TrainOptions,
        teacher: nn.Module | None = None,
    ) -> list[History | None]:
        """Short trainings of the nets of some shapes; several processes train different ones.

        Args:
            name: of the phases in the log, which are numbered.
            teacher: whose answers they learn from; all by the same pictures, so that they are
                compared alike and it is asked once. None: labels alone, and every net is another
                sample of all that is random.

        Returns:
            None in the place of a training that diverged: a warning says so.
        """
        answers = training.Answers()
        jobs = [
            partial(
                self._train_short,
                lambda net: training.learning(net, teacher, options, self.data.labelled, answers),
                f"{name}-{i:02d}-of-{len(shapes):02d}",
                shape,
                (self.seed * 1000 + (i if teacher is None else 1)) % SEEDS,
            )
            for i, shape in enumerate(shapes, start=1)
        ]
        return training.side_by_side(jobs, [float(shape.macs or 0) for shape in shapes])

    def _train_short(
        self, task: Callable[[nn.Module], training.Task], name: str, shape: Shape, seed: int
    ) -> History | None:
        with training.seeded(seed):
            net = self.source.derive(shape)
        try:
            return self.fit(
                task(net),
                self.batches(self.learn, seed),
                phase=name,
                evaluate_on=unvaried_batches(
                    self.data, self.judge, self.options, self.device, self.workers
                ),
                evaluate_every=0,
                seed=seed,
            )
        except DivergedError as error:
            _log.warning("%s diverged and counts as the worst: %s", name, error)
            return None


def _alone(labelled: Callable[[], Iterable[Any]]) -> Iterator[Any]:
    """The pictures of batches, whose labels tell nothing."""
    for pictures, _ in labelled():
        yield (pictures,)


def telling(pictures: int, budgets: int = 1) -> int:
    """Of so many pictures, those that short trainings decide by; several budgets share them."""
    enough = min(pictures, max(pictures // QUARTER, ENOUGH))
    return -(-enough // budgets)


def final_loss(history: History | None) -> float:
    """Of the last training epoch plus that on held-out pictures; infinite where it diverged.

    Both tell of the shape; each has noise of its own.
    """
    if history is None:
        return math.inf
    return float(history.last["loss"] + history.last["test_loss"])
