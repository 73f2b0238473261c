"""A trial: the net of a shape is cut from the trained net and tested without training.

The cut net is compensated for the missing channels (``tas.inherit``), and its norms measure their
statistics again. The divergence of its answers from those of the whole net then predicts the
accuracy after training better than a short training does (``docs/research``), for the price of a
forward pass, in bf16 where trainings use it: that ranks shapes as float32 does.
"""

import math
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ... import processes, training
from ...runs import PhaseProgress
from ...shape import Shape
from ...space import Space
from ...training import distill_loss
from ..method import PICTURES, Problem
from .evolution import generations
from .options import TrialOptions

__all__ = ["PHASE", "Examiner"]

BATCHES = 2  # of pictures, on which shapes are asked
PHASE = "search"


class Examiner:
    """Tries one generation after another, shows the progress and writes the log.

    A generation that is in the log with the same shapes is read back and not tried again.

    Args:
        problem: its source has its channels in order.
        space: of the shapes that will be asked.
    """

    def __init__(self, problem: Problem, space: Space, options: TrialOptions) -> None:
        self.space = space
        self.source = problem.source
        self.out = problem.out
        self.device = training.where(problem.device, options.precision).device
        bf16 = training.pick_precision(options.precision, self.device) == "bf16"
        with training.alone():  # every process sees the same pictures
            pictures = problem.batches(problem.learn, problem.seed, PICTURES)
            batches = list(islice(pictures, BATCHES))
        whole = self.source.derive(space.unpruned)
        self.placing = training.settled([whole], batches[0][0], self.device, bf16=bf16)
        self.batches = [
            (self.placing.pictures(images), labels.to(self.device)) for images, labels in batches
        ]
        self.answers = self.asked(space.unpruned)
        self.count = len(generations(options.trials))
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
        number = len(self.lines)
        line = self.known[number] if number < len(self.known) else {}
        if line.get("states") != states.tolist():
            del self.known[number:]  # of another search, or damaged: what follows it as well
            line = self._ask(number + 1, states)
        self.lines.append(line)
        losses: list[float] = line["losses"]
        return losses

    def _ask(self, number: int, states: Tensor) -> dict[str, Any]:
        """Ask a generation; its line in the log."""
        started = time.perf_counter()
        shapes = [self.shape(state) for state in states]
        jobs = [partial(self.lost, shape) for shape in shapes]
        losses = training.side_by_side(jobs, [float(shape.macs or 0) for shape in shapes])
        best = min([*losses, *(line["loss"] for line in self.lines[-1:])])
        figures = {"seconds": time.perf_counter() - started, "loss": best}
        line = {"phase": PHASE, "epoch": number, "epochs": self.count, **figures}
        line |= {"states": states.tolist(), "losses": losses}
        if self.out:
            self.out.keep_log(PHASE, [*self.lines, line])
        self.bar.epoch(number, figures)
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
            whole.append(line)
        return whole

    def lost(self, shape: Shape) -> float:
        """How far a shape's answers are from those of the whole net, in nats."""
        own = self.asked(shape)
        parts = [
            distill_loss(mine, whole, labels, alpha=1.0)
            for mine, whole, (_, labels) in zip(own, self.answers, self.batches, strict=True)
        ]
        lost = float(torch.stack(parts).mean())
        return lost if math.isfinite(lost) else math.inf

    @training.repeatable()
    @torch.no_grad()
    @training.repeatable()
    def asked(self, shape: Shape) -> list[Tensor]:
        """The answers [N, classes] of a shape's net to every batch."""
        net = self.placing.net(self.source.derive(shape))
        # What a norm is given has changed, and so have its statistics, but for those that are
        # frozen: in evaluation mode within a net in training mode.
        norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
        moving = [norm for norm in norms if norm.training or not net.training]
        net.eval()
        for norm in moving:
            norm.train()
        with self.placing.autocast():
            return [net(images).float() for images, _ in self.batches]
