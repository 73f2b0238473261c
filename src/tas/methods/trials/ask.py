"""A trial: the net of a shape is cut from the trained net and tested without training.

The cut net is compensated for the missing channels (``tas.inherit``), and its norms measure their
statistics again. The divergence of its answers from those of the whole net then predicts the
accuracy after training better than a short training does (``docs/research``), for the price of a
forward pass (``running.py``).
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ... import processes, training
from ...costs import Budget
from ...errors import InputError
from ...forward import examples_in, leaves
from ...runs import PhaseProgress
from ...shape import Shape
from ...space import Space
from ...training.objective import check_answer
from ..choose import WINDOW
from ..found import Tried
from ..question import Question
from .evolution import tried
from .options import TrialOptions
from .race import Ask, Race
from .running import Runner

__all__ = ["PHASE", "Examiner"]

EXAMPLES = 512  # on which the best shapes are asked, at least
PART = 64  # of them, on which all are
ON_AVERAGE = 90  # are asked of a shape
ABREAST = 4  # shapes that are asked at once, which takes memory for each
BYTES = 2**30  # of the answers to them, above which there are no more
ENOUGH = 8  # nets that tell how a distance is meant; that of one may be off by rounding
PHASE = "search"


class Examiner:
    """Tries one generation after another, shows the progress and writes the log.

    A generation that is in the log with the same shapes is read back and not tried again.

    Args:
        problem: its source has its channels in order.
        space: of the shapes that will be asked.
        generations: how many lines there will be in the log: of generations, and of the best.
    """

    def __init__(
        self, problem: Question, space: Space, options: TrialOptions, generations: int
    ) -> None:
        self.space = space
        self.source = problem.source
        self.cutting = threading.Lock()  # what was cut before is kept for the next
        self.out = problem.out
        self.budget = problem.budget
        self.device = training.where(problem.device, options.precision).device
        self.objective = problem.objective
        batches = _first(problem.asked())
        whole = self.source.derive(space.unpruned)
        self.runner = Runner(
            whole, batches[0], self.device, options.precision, self.objective.forward
        )
        self.batches = [self.runner.placing.pictures(batch) for batch in batches]
        self.answers: list[Any] = []
        net = self._ready(space.unpruned)
        for batch in self.batches:
            self.answers.append(self.runner.answer(net, batch))
            check_answer(self.answers[-1], self.answers[0])
            if _bytes(self.answers) > BYTES:
                break
        self.at_least = [self._from_itself(answer) for answer in self.answers]
        self.parts = _parts(self.batches[: len(self.answers)])
        self.race = Race(len(self.parts))
        self.count = generations
        self.known = processes.by_first(self._read_back)
        self.lines: list[dict[str, Any]] = []
        self.bar = PhaseProgress(
            PHASE,
            self.count,
            1,
            done=len(self.known),
            enabled=problem.progress and processes.is_first(),
            each="generation",
        )

    def shape(self, state: Tensor) -> Shape:
        """The shape of a state [choices]."""
        n, numbers = len(self.space.widths), state.tolist()
        return self.space.shape(numbers[:n], numbers[n:])

    def __call__(self, states: Tensor) -> Sequence[float]:
        """The losses of a generation, whose states are [shapes, choices]."""
        losses = self._losses(states, lambda ask: self.race.run(len(states), ask))
        self.race.add(_numbers(self.lines[-1]["parts"]), torch.tensor(losses, dtype=torch.float64))
        return losses

    def on_all(self, states: Tensor) -> Tried:
        """What some states [shapes, choices], which were asked before, lose on all examples."""
        known = self._told("parts")
        parts = _numbers([known[tuple(state)] for state in states.tolist()])
        if parts.isnan().any():
            self._losses(states, lambda ask: self.race.finish(parts, ask))
        told = self._told("losses")
        return tried(self.space, states, [told[tuple(state)] for state in states.tolist()])

    def _losses(self, states: Tensor, run: Callable[[Ask], tuple[Tensor, Tensor]]) -> list[float]:
        """The losses of some states, from the log where they are in it."""
        number = len(self.lines)
        line = self.known[number] if number < len(self.known) else {}
        if line.get("states") != states.tolist():
            del self.known[number:]  # of another search, or damaged: what follows it as well
            line = self._ask(number + 1, states, run)
        self.lines.append(line)
        losses: list[float] = line["losses"]
        return losses

    def _ask(
        self, number: int, states: Tensor, run: Callable[[Ask], tuple[Tensor, Tensor]]
    ) -> dict[str, Any]:
        """Ask some states; their line in the log."""
        started = time.perf_counter()
        shapes = [self.shape(state) for state in states]

        def ask(which: Sequence[int], parts: Sequence[Sequence[int]]) -> list[list[float]]:
            jobs = [partial(self._lost, shapes[i], on) for i, on in zip(which, parts, strict=True)]
            costs = [
                float(shapes[i].macs or 0) * len(on) for i, on in zip(which, parts, strict=True)
            ]
            return training.side_by_side(jobs, costs, abreast)

        abreast = ABREAST if self.device.type == "cpu" else 1
        with training.repeatable():  # for all threads; each by itself would undo the others'
            parts, losses = (given.tolist() for given in run(ask))
        told = self._told("losses") | dict(zip(map(tuple, states.tolist()), losses, strict=True))
        self._check(losses)
        figures = {"seconds": time.perf_counter() - started, "loss": min(told.values())}
        line = {"phase": PHASE, "epoch": number, "epochs": self.count, **figures}
        line |= {"states": states.tolist(), "losses": losses}
        line["parts"] = [[None if math.isnan(x) else x for x in row] for row in parts]
        if self.out:
            self.out.keep_log(PHASE, [*self.lines, line])
        state = min(told, key=told.__getitem__)
        cost = self.budget.cost(self.space, self.shape(torch.tensor(state)))
        used = 100 * cost / self.budget.limit
        seconds, loss = figures["seconds"], figures["loss"]
        self.bar.epoch(number, {"seconds": seconds, "best": loss, "used": used})
        return line

    def _read_back(self) -> list[dict[str, Any]]:
        """The generations that an earlier run has left in the log, as far as none is missing."""
        lines = self.out.log_lines if self.out else []
        lines = [line for line in lines if line.get("phase") == PHASE]
        whole = []
        for number, line in enumerate(lines, start=1):
            states, losses = line.get("states"), line.get("losses")
            if line.get("epoch") != number or not isinstance(states, list):
                break
            if not isinstance(losses, list) or len(losses) != len(states):
                break
            if not all(isinstance(line.get(name), float) for name in ("seconds", "loss")):
                break
            if _numbers(line.get("parts")).shape != (len(states), len(self.parts)):
                break  # asked on other batches, or as earlier versions did
            whole.append(line)
        return whole

    def lost(self, shape: Shape) -> float:
        """How far a shape's answers are from those of the whole net; 0 for the same ones."""
        lost = self._lost(shape, range(len(self.parts)))
        return sum(lost) / len(lost)

    def _lost(self, shape: Shape, parts: Sequence[int]) -> list[float]:
        """The same on some parts of the examples."""
        net = self._ready(shape)
        return [self._lost_on(net, self.parts[part]) for part in parts]

    def _lost_on(self, net: nn.Module, batches: Sequence[int]) -> float:
        apart = [
            self.objective.apart(self.runner.answer(net, self.batches[i]), self.answers[i])
            - self.at_least[i]
            for i in batches
        ]
        lost = sum(apart) / len(apart)
        return lost if math.isfinite(lost) else math.inf

    def _from_itself(self, answer: Any) -> float:
        """The distance of an answer from itself: what a loss is counted from."""
        least = self.objective.apart(answer, answer)
        if not math.isfinite(least):
            raise InputError(
                f"distance= returns {least} for an answer and the same answer: it must return one "
                "finite number, the smaller the more alike they are"
            )
        return least

    def _check(self, losses: Sequence[float]) -> None:
        """Raise ``InputError`` where the first generation tells that nothing can be told."""
        if self.lines:
            return
        if all(math.isinf(lost) for lost in losses):
            raise InputError(
                f"the answers of all {len(losses)} nets that were cut first are NaN or infinite, "
                "or their distances are: give a net, batches and a distance= of finite numbers"
            )
        if len(losses) >= ENOUGH and max(losses) < 0:
            raise InputError(
                "distance= is smaller for every net that was cut than for the whole net and "
                "itself: it must return the smaller a number the more alike two answers are"
            )

    @property
    def tried(self) -> Tried:
        """All shapes that were asked, each once."""
        told = self._told("losses")
        return tried(self.space, torch.tensor(list(told)), told.values())

    def _told(self, name: str) -> dict[tuple[int, ...], Any]:
        """By state, what the log says last of its ``losses`` or ``parts``."""
        rows = (zip(line["states"], line[name], strict=True) for line in self.lines)
        return {tuple(state): value for row in rows for state, value in row}

    def best(self, budget: Budget, count: int) -> list[Shape]:
        """Shapes that use the budget and were tried with the lowest losses, the best first."""
        tried = self._told("losses")
        found = []
        for state in sorted(tried, key=tried.__getitem__):
            shape = self.shape(torch.tensor(state))
            if budget.cost(self.space, shape) >= (1 - WINDOW) * budget.limit:
                found.append(shape)
            if len(found) == count:
                break
        return found

    def _ready(self, shape: Shape) -> nn.Module:
        """A shape's net, as it is asked."""
        with self.cutting:
            net = self.source.derive(shape)
        return self.runner.ready(net)


def _first(batches: Iterable[Any]) -> list[Any]:
    """As many as hold enough examples."""
    found: list[Any] = []
    examples = 0
    for batch in batches:
        found.append(batch)
        examples += examples_in(batch) or 1
        if examples >= EXAMPLES:
            break
    return found


def _parts(batches: Sequence[Any]) -> list[list[int]]:
    """Numbers of batches that follow one another, as many as hold enough examples for a part; what
    is left over at the end belongs to the last part."""
    parts: list[list[int]] = []
    enough = PART
    for number, batch in enumerate(batches):
        if enough >= PART:
            parts.append([])
            enough = 0
        parts[-1].append(number)
        enough += examples_in(batch) or 1
    if enough < PART and len(parts) > 1:
        parts[-2:] = [parts[-2] + parts[-1]]
    return parts


def _numbers(parts: Any) -> Tensor:
    """Parts of a line of the log, NaN where a shape was not asked; empty where there are none."""
    try:
        rows = [[math.nan if x is None else float(x) for x in row] for row in parts]
        return torch.tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError):
        return torch.empty(0)


def _bytes(answers: Any) -> int:
    return sum(x.numel() * x.element_size() for _, x in leaves(answers))
