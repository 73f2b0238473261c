"""A net, batches and options so small that a test of training takes a fraction of a second."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tas.training import TrainOptions

CLASSES = 4


def tiny_net(classes: int = CLASSES, seed: int = 0) -> nn.Module:
    """With all that makes a resumed training differ if it is forgotten: norm, dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Dropout(0.3),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, classes),
    )


def tiny_options(**changes: Any) -> TrainOptions:
    defaults: dict[str, Any] = {
        "epochs": 4,
        "warmup_epochs": 1,
        "batch_size": 8,
        "precision": "fp32",
    }
    chosen = defaults | changes
    chosen["warmup_epochs"] = min(chosen["warmup_epochs"], chosen["epochs"] - 1)
    return TrainOptions(**chosen)


class TinyBatches:
    """Random pictures whose class shows in their brightness; shuffled by epoch.

    Args:
        break_at: (epoch, batch) before which Ctrl-C is pressed.
        spoil_at: likewise, from which on pictures are infinitely bright.
    """

    def __init__(
        self,
        batches: int = 3,
        size: int = 8,
        image: int = 8,
        seed: int = 0,
        break_at: tuple[int, int] | None = None,
        spoil_at: tuple[int, int] | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(CLASSES, (batches * size,), generator=generator)
        noise = torch.randn(batches * size, 3, image, image, generator=generator)
        self.images = noise + self.labels[:, None, None, None]
        self.size = size
        self.break_at = break_at
        self.spoil_at = spoil_at
        self.rank = rank
        self.world = world
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.labels) // self.size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(
            len(self.labels), generator=torch.Generator().manual_seed(self.epoch)
        )
        for index, rows in enumerate(order.split(self.size)):
            if (self.epoch + 1, index) == self.break_at:
                raise KeyboardInterrupt
            rows = rows[self.rank :: self.world]
            images = self.images[rows]
            if self.spoil_at is not None and (self.epoch + 1, index) >= self.spoil_at:
                images = images * torch.inf
            yield images, self.labels[rows]


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same_bits(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name
