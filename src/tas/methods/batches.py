"""A search on batches of the user's own: some are kept, and the user's functions judge."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from .. import processes, training
from ..errors import InputError, TasError, first_line
from ..forward import Batches, examples_in, leaves
from ..runs import say
from ..shape import Shape
from ..training import History, TrainOptions
from ..training.pictures import few
from .question import Decision, Question

__all__ = ["BatchProblem", "kept"]

MOST = 64  # batches that are kept
EXAMPLES = 2048  # in all of them
BYTES = 2**30  # of their tensors
FEW = 64  # examples, below which little can be told


def kept(batches: Batches) -> tuple[Any, ...]:
    """The first batches: 2,048 examples, 64 batches or 1 GiB, whatever comes first.

    >>> import torch
    >>> from tas.methods.batches import kept
    >>> len(kept(torch.zeros(512, 3, 8, 8) for _ in range(10)))
    4

    Raises:
        InputError: there is none, or one holds no tensor.
    """
    found: list[Any] = []
    examples = size = 0
    for batch in _read(batches):
        tensors = [x for _, x in leaves(batch)]
        if not tensors:
            raise InputError(
                f"batch {len(found) + 1} is a {type(batch).__name__} without a tensor: give "
                "batches as the net takes them, or say by forward= how it is called on them"
            )
        if examples_in(batch) == 0:
            raise InputError(f"batch {len(found) + 1} is empty: give batches with examples")
        found.append(batch)
        examples += examples_in(batch) or 1
        size += sum(x.numel() * x.element_size() for x in tensors)
        if len(found) >= MOST or examples >= EXAMPLES or size >= BYTES:
            break
    if not found:
        raise InputError(
            "batches= yields nothing: give a loader of at least one batch; a generator that was "
            "used before is at its end"
        )
    if examples < FEW:
        few_of_them = f"{examples} example{'s' * (examples != 1)}"
        say(f"note: the batches end after {few_of_them}, which tell little of {FEW} or more")
    return tuple(found)


def _read(batches: Batches) -> Iterator[Any]:
    """The batches, or an ``InputError`` with what ended them before their time."""
    count = 0
    try:
        for count, batch in enumerate(batches, start=1):  # noqa: B007
            yield batch
    except TasError:
        raise
    except Exception as error:  # whatever the user's code may raise
        raise InputError(
            f"batches= ends after {count} batch{'es' * (count != 1)}: {first_line(error)}"
        ) from error


@dataclass(frozen=True, kw_only=True)
class BatchProblem(Question):
    """What is asked on batches that are kept.

    Attributes:
        batches: by which channels are put in order, layers make up for what they no longer read,
            nets are asked and norms measure.
        precision: as in ``tas.training.TrainOptions``.
    """

    batches: tuple[Any, ...]
    precision: str = "auto"

    @property
    def origin(self) -> str:
        return f"searched on batches of one's own, seed {self.seed}"

    @property
    def trains(self) -> bool:
        return self.objective.train is not None

    def asked(self) -> Iterable[Any]:
        return self.batches

    def check_score(self) -> None:
        """Score the whole net, so that a score that cannot be used is an error before the search.

        Raises:
            InputError: it is not one finite number.
        """
        if self.objective.score is None:
            return
        here = training.where(self.device).device
        net = self.source.derive(self.space.unpruned).to(here).eval()
        value = processes.by_first(lambda: self.objective.scored(net))
        if not math.isfinite(value):
            raise InputError(
                f"score= returns {value} for the whole net: it must be a finite number"
            )

    def ordered(self) -> "BatchProblem":
        """With the channels of the source in the order in which they are kept."""
        net, forward = self.source.net, self.objective.forward
        assert net is not None
        here = training.where(self.device, self.precision).device
        with training.alone(), training.repeatable():
            most = len(self.batches)
            given = few(net, self.batches, here, forward, most, precision=self.precision)
            return replace(self, source=self.source.ordered(self.space.unpruned.input, *given))

    def measured(self, net: nn.Module) -> nn.Module:
        """A derived net whose norms have measured what they see, in evaluation mode."""
        training.recompute_norm_statistics(
            net,
            self.batches,
            device=self.device,
            precision=self.precision,
            forward=self.objective.forward,
        )
        return net.eval()

    def decide(
        self,
        finalists: Sequence[Shape],
        others: Sequence[Shape],
        lost: Callable[[Shape], float],
        options: TrainOptions,
    ) -> Decision:
        """By ``train`` and ``score``, as far as there are such; else by the untrained answers."""
        if self.objective.train is None and self.objective.score is None:
            return min(finalists, key=lost), []
        shapes = list(finalists)
        if not self.trains:  # untrained nets cost little
            shapes += [shape for shape in others if shape not in finalists]
        done = processes.by_first(lambda: [self._judged(*of) for of in self._numbered(shapes)])
        values = [history.last["score"] for history in done]
        return shapes[values.index(max(values))], done

    def _numbered(self, shapes: Sequence[Shape]) -> list[tuple[str, Shape]]:
        many = len(shapes)
        return [(f"final-{i:02d}-of-{many:02d}", shape) for i, shape in enumerate(shapes, start=1)]

    def _judged(self, name: str, shape: Shape) -> History:
        """The score of a shape's net, trained if it can be; a NaN is the worst."""
        started = time.perf_counter()
        net = self.measured(self.source.derive(shape))
        if self.objective.train is not None:
            self.objective.train(net.train())
        value = self._score(net.eval())
        value = value if math.isfinite(value) else -math.inf
        line = {"phase": name, "epoch": 1, "epochs": 1, "seconds": time.perf_counter() - started}
        return History(name, ({**line, "score": value},))

    def _score(self, net: nn.Module) -> float:
        if self.objective.score is not None:
            return self.objective.scored(net)
        whole = self.measured(self.source.derive(self.space.unpruned))
        here = training.where(self.device).device
        return -self.objective.mean_apart(net, whole, self.batches, here)
