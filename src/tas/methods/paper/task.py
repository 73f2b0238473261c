"""The paper's search as a task of the training loop: a supernet's weights and logits."""

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import InputError
from ...training.checkpoint import Stateful
from ...training.preparing import average
from ...training.tasks import Epochs, Learner, Rate, sgd
from . import algorithm as paper
from .options import PaperOptions
from .supernet import Supernet

__all__ = ["Paired", "Search"]

T = TypeVar("T", covariant=True)


class Search(Learner):
    """A supernet's weights by SGD on the first batch of a pair, its logits by Adam on the second;
    where ``options.bilevel`` is false, both on one and the same batch.

    Args:
        budget: what the derived net may cost, in the supernet's unit.
    """

    name = "search"
    # Weights and logits are frozen in turn, which DistributedDataParallel cannot follow; the
    # processes average the gradients that an optimizer is about to use instead.
    wrapped = False
    module: Supernet
    options: PaperOptions

    def __init__(self, supernet: Supernet, options: PaperOptions, budget: float) -> None:
        self.module = supernet
        self.options = options
        self.budget = budget
        # The supernet is new; the net in it may come from one that was only used last.
        if not supernet.net.training:
            supernet.net.train()

    def start(self, accelerator: Accelerator, steps: int, seed: int) -> None:
        options, supernet = self.options, self.module
        if not any(parameter.requires_grad for parameter in supernet.weight_parameters()):
            raise InputError(
                "the net has no parameter to train during the search, all are frozen: unfreeze "
                "some, e.g. with net.head.requires_grad_()"
            )
        self.start_together(accelerator, options.sync_norms)
        self.steps = steps
        self.seed = seed
        self.rate = Rate(options, steps)
        self.weight_optimizer = sgd(supernet.weight_parameters(), options)
        self.logit_optimizer = torch.optim.Adam(
            supernet.logit_parameters(),
            lr=options.logit_lr,
            betas=options.logit_betas,
            weight_decay=options.logit_decay,
        )
        for optimizer in (self.weight_optimizer, self.logit_optimizer):
            if accelerator.num_processes > 1:
                optimizer.register_step_pre_hook(self._average_gradients)
        self.generator = torch.Generator(accelerator.device)
        self.take = self.recorder(self.generator)

    def parts(self) -> Mapping[str, Stateful]:
        return {
            "module": self.module,
            "weight_optimizer": self.weight_optimizer,
            "logit_optimizer": self.logit_optimizer,
        }

    def step(self, batch: Any, step: int) -> tuple[int, dict[str, Tensor]]:
        """On a pair of batches, or on one where ``options.bilevel`` is false."""
        # Seeded by the step: a resumed search draws what it would have drawn, and so does every
        # process.
        self.generator.manual_seed((self.seed * 1_000_003 + step) % 2**63)
        self.rate.set(self.weight_optimizer, step)
        self.tau = paper.temperature(
            step / self.steps, self.options.tau_start, self.options.tau_end
        )
        settings: dict[str, Any] = {
            "tau": self.tau,
            "budget": self.budget,
            "cost_weight": self.options.cost_weight,
            "tolerance": self.options.tolerance,
            "generator": self.generator,
            "backward": self.accelerator.backward,
            "take": self.take,
        }
        optimizers = self.weight_optimizer, self.logit_optimizer
        if self.options.bilevel:
            first, second = (self._placed(half) for half in batch)
            figures = paper.search_step(self.model, first, second, *optimizers, **settings)
        else:
            first = self._placed(batch)
            figures = paper.one_pass_step(self.model, first, *optimizers, **settings)
        pictures = len(first[1])
        accuracy = figures["correct"] * (100 / pictures)
        others = {name: value for name, value in figures.items() if name != "correct"}
        return pictures, {**others, "accuracy": accuracy}

    def nets(self) -> list[nn.Module]:
        return [self.module.net]

    def end_epoch(self) -> dict[str, float]:
        """Costs as they are now, tau, and the mean entropy of the choices, in nats."""
        self.average_buffers()
        supernet = self.module
        with torch.no_grad():
            entropies = [torch.special.entr(p).sum(-1) for p in supernet.probabilities()]
            return {
                "lr": self.rate.last,
                "tau": self.tau,
                "entropy": float(torch.cat(entropies).mean()),
                "expected_cost": float(supernet.expected_cost()),
                "likely_cost": float(supernet.likely_cost()),
            }

    def _average_gradients(self, optimizer: Optimizer, *_: object) -> None:
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        average(self.accelerator, [p.grad for p in parameters if p.grad is not None])


class Paired(Generic[T]):
    """Two passes side by side, as long as the shorter: what ``Search`` takes a step on."""

    def __init__(self, first: Epochs[T], second: Epochs[T]) -> None:
        self.first = first
        self.second = second

    def __len__(self) -> int:
        return min(len(self.first), len(self.second))

    def __iter__(self) -> Iterator[tuple[T, T]]:
        return zip(self.first, self.second, strict=False)

    def set_epoch(self, epoch: int) -> None:
        self.first.set_epoch(epoch)
        self.second.set_epoch(epoch)
