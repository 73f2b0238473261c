"""Search by shrinking: random shapes learn from the widest net, with whose weights they start.

The idea is progressive shrinking (Cai et al., *Once-for-All*, ICLR 2020) with in-place distillation
(Yu & Huang, *Universally Slimmable Networks*, ICCV 2019). What it is for here: a supernet that is
trained from scratch trains the channels that all shapes share, and its losses hardly differ from
one shape to the next; what the losses of shrunken shapes differ by is what they have lost.
``docs/search.md`` has the figures.
"""

import random
from collections.abc import Iterator
from itertools import count

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from .. import paper
from ..response import fit_logits
from ..shared import SharedNet
from .hardware import place_module, prepare
from .options import ShrinkOptions
from .tasks import Batch, Batches, Learner, Rate, keep, sgd

__all__ = ["Shrinking"]

TOGETHER = 8  # shapes measured on the same batch, which makes their losses comparable


class Shrinking(Learner):
    """Trains the shapes of a shared net, then measures them and fits the logits of the choices.

    Args:
        shared: the weights; its logits are what is found.
        teacher: the widest net, as trained.
        states: [shapes, choices] the shapes to train and to measure.
        held_out: batches that train nothing, shuffled; the losses are taken on them.
    """

    name = "search"
    module: SharedNet

    def __init__(
        self,
        shared: SharedNet,
        teacher: nn.Module,
        states: Tensor,
        held_out: Batches[Batch],
        options: ShrinkOptions,
    ) -> None:
        self.module = shared
        self.teacher = teacher
        self.states = states
        self.held_out = held_out
        self.shrinking = options
        self.options = options.shrinking()

    def start(self, accelerator: Accelerator, steps: int, seed: int) -> None:
        self.accelerator = accelerator
        self.seed = seed
        self.steps = steps
        self.rate = Rate(self.options, steps)
        self.rate.warmup_steps = steps // 10
        # Every step trains another part of the weights, which DistributedDataParallel cannot
        # follow; the processes average the gradients that there are.
        prepare(accelerator, self.module, wrap=False)
        place_module(self.teacher, accelerator.device).eval()
        self.optimizer = sgd(self.module.parameters(), self.options)
        keep(accelerator, self.optimizer)
        if accelerator.num_processes > 1:
            self.optimizer.register_step_pre_hook(self.average_gradients)

    def step(self, batch: Batch, step: int) -> tuple[int, dict[str, Tensor]]:
        images, labels = self.placed(batch)
        self.rate.set(self.optimizer, step)
        # Seeded by the step: every process draws the same shape, and so does a resumed search.
        drawn = random.Random(self.seed * 1_000_003 + step).randrange(len(self.states))
        with torch.inference_mode(), self.accelerator.autocast():
            answers = self.teacher(images)  # [N, classes]
        logits = self.module(images, tuple(self.states[drawn].tolist()))
        loss = paper.distill_loss(
            logits,
            answers.to(torch.float32, copy=True),  # autograd refuses tensors of inference mode
            labels,
            alpha=self.shrinking.kd_alpha,
            temperature=self.shrinking.kd_temperature,
        )
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.last = step == self.steps - 1
        correct = (logits.detach().argmax(1) == labels).sum()
        return len(labels), {"loss": loss.detach(), "accuracy": correct * (100 / len(labels))}

    def end_epoch(self) -> dict[str, float]:
        """After the last epoch, the choices get their logits."""
        if self.last:
            self.measure()
        return {"lr": self.rate.last}

    @torch.inference_mode()
    def measure(self) -> None:
        """Measure the losses of shapes on held-out pictures, and fit the logits to them."""
        generator = torch.Generator().manual_seed(self.seed)
        rounds = -(-self.shrinking.measurements // TOGETHER)
        drawn = torch.randint(len(self.states), (rounds, TOGETHER), generator=generator)
        losses = []
        for shapes, (images, labels) in zip(self.states[drawn], self._batches(), strict=False):
            for state in shapes.tolist():
                losses.append(F.cross_entropy(self.module(images, tuple(state)), labels))
        measured = self.accelerator.reduce(torch.stack(losses), reduction="mean")
        widths, depths = fit_logits(
            self.module.space, self.states[drawn], measured.view(rounds, TOGETHER).cpu()
        )
        self.module.width_logits.copy_(widths)
        self.module.depth_logits.copy_(depths)

    def _batches(self) -> Iterator[Batch]:
        """Held-out batches, pass after pass."""
        for epoch in count():
            self.held_out.set_epoch(epoch)
            yield from map(self.placed, self.held_out)
