"""Trials: shapes that are cut from a trained net and asked, without any training, what they answer.

A cut net makes up for the channels that it lacks (``tas.inherit``), and its norms measure
anew what they are given. How far its answers then are from those of the whole net foretells how
well it will train better than a short training does (``docs/search.md``), and costs a forward pass,
in bf16 where trainings are: that ranks shapes as float32 does.
"""

import math
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ... import processes, training
from ...data import Batches
from ...runs import PhaseProgress, RunDir
from ...shape import Shape
from ...space import Space
from ...training import History
from ...training.distillation import distill_loss
from .evolution import evolve, generations
from .options import TrialOptions

__all__ = ["PICTURES", "Trials", "by_trials"]

PICTURES = 256  # of a batch, by which the norms measure
BATCHES = 2
PHASE = "search"


def by_trials(
    space: Space,
    limit: int,
    unit: str,
    options: TrialOptions,
    pictures: Batches,
    device: str,
    seed: int,
    out: RunDir | None,
    progress: bool,
) -> tuple[Shape, History]:
    """The shape within a budget whose net, cut and not trained, answers most like the whole one.

    A generation that stands in the log is read back and not asked again.

    Args:
        space: its ``original`` is the trained net.
        pictures: batches of the training.
    """
    search = Trials(space, options, pictures, device, out, progress)
    with search.bar:
        best = evolve(space, limit, unit, options.trials, Generator().manual_seed(seed), search)
    return search.shape(best), History(PHASE, tuple(search.lines))


class Trials:
    """Asks one generation after another, and says and writes down how it goes.

    Args:
        space: its ``original`` is the trained net, its channels in the order of their importance.
        pictures: batches of the training.
        out: where lines of earlier generations are read back from, and new ones go.
    """

    def __init__(
        self,
        space: Space,
        options: TrialOptions,
        pictures: Batches,
        device: str,
        out: RunDir | None = None,
        progress: bool = False,
    ) -> None:
        self.space = space
        self.out = out
        self.device = training.where(device, options.precision).device
        self.bf16 = training.pick_precision(options.precision, self.device) == "bf16"
        self.batches = [
            (training.place(images, self.device), labels.to(self.device))
            for images, labels in islice(pictures, BATCHES)
        ]
        self.answers = self.asked(space.unpruned)
        self.count = len(generations(options.trials))
        known = processes.by_first(lambda: out.log_lines if out else [])
        known = [line for line in known if line.get("phase") == PHASE]
        # A line may be damaged and missing: what stands behind the gap is asked again.
        self.known = [line for n, line in enumerate(known, start=1) if line.get("epoch") == n]
        if out:
            out.keep_log(PHASE, self.known)
        self.lines: list[dict[str, Any]] = []
        self.bar = PhaseProgress(
            PHASE,
            self.count,
            1,
            done=len(self.known),
            enabled=progress and processes.is_first(),
            each="generation",
        )

    def shape(self, state: Tensor) -> Shape:
        n, numbers = len(self.space.widths), state.tolist()
        return self.space.shape(numbers[:n], numbers[n:])

    def __call__(self, states: Tensor) -> Sequence[float]:
        """The losses of a generation."""
        number = len(self.lines)
        if number < len(self.known):
            self.lines.append(self.known[number])
        else:
            started = time.perf_counter()
            shapes = [self.shape(state) for state in states]
            jobs = [partial(self.lost, shape) for shape in shapes]
            losses = training.side_by_side(jobs, [float(shape.macs or 0) for shape in shapes])
            best = min([*losses, *(line["loss"] for line in self.lines[-1:])])
            figures = {"seconds": time.perf_counter() - started, "loss": best}
            line = {"phase": PHASE, "epoch": number + 1, "epochs": self.count, **figures}
            self.lines.append({**line, "losses": losses})
            if self.out:
                self.out.log(self.lines[-1])
            self.bar.epoch(number + 1, figures)
        asked: list[float] = self.lines[-1]["losses"]
        return asked

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
    def asked(self, shape: Shape) -> list[Tensor]:
        """The answers [N, classes] of a shape's net to every batch."""
        net = training.place_module(self.space.derive(shape), self.device).eval()
        for module in net.modules():
            if isinstance(module, _BatchNorm):
                module.train()  # what it is given has changed, and so have its statistics
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return [net(images).float() for images, _ in self.batches]
