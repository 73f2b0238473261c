"""Nets that are no image classifiers: what they take and give is their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class UNet(nn.Module):
    """A class for every pixel, from a picture given by name."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.one, self.two, self.low = conv(3, 8), conv(8, 12), conv(12, 16)
        self.up_two, self.up_one = nn.ConvTranspose2d(16, 12, 2, 2), nn.ConvTranspose2d(12, 8, 2, 2)
        self.back_two, self.back_one = conv(24, 12), conv(16, 8)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        one = self.one(image)
        two = self.two(F.max_pool2d(one, 2))
        low = self.low(F.max_pool2d(two, 2))
        x = self.back_two(torch.cat([self.up_two(low), two], 1))
        x = self.back_one(torch.cat([self.up_one(x), one], 1))
        return {"mask": self.head(x), "low": low.mean((2, 3))}


class Mixer(nn.Module):
    """Token ids and a mask of those that count; scores for every token and for the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(20, 16), nn.Parameter(torch.randn(10, 16))
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16))
            for _ in range(2)
        )
        self.tokens, self.whole = nn.Linear(16, 20), nn.Linear(16, 3)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        x = self.words(ids) + self.places[: ids.shape[1]]
        for block in self.blocks:
            x = x + block(x)
        kept = x if mask is None else x * mask[..., None]
        return self.tokens(x), [self.whole(kept.mean(1))]


class Sound(nn.Module):
    """Samples in, one number for every frame out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 12, 9, 4, 4), nn.BatchNorm1d(12), nn.ReLU(), nn.Conv1d(12, 16, 5, 2, 2)
        )
        self.head = nn.Conv1d(16, 1, 1)

    def forward(self, wave: Tensor) -> Tensor:
        return self.head(self.layers(wave).relu())


class Video(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv3d(3, 8, 3, padding=1), nn.BatchNorm3d(8)
        self.next, self.head = nn.Conv3d(8, 12, 3, 2, 1), nn.Linear(12, 5)

    def forward(self, clip: Tensor) -> Tensor:
        return self.head(self.next(self.norm(self.stem(clip)).relu()).mean((2, 3, 4)))


class Twins(nn.Module):
    """Two pictures, one net for both, how far they are apart."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(conv(3, 8), conv(8, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.out = nn.Linear(12, 6)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (self.out(self.net(left)) - self.out(self.net(right))).abs().sum(1)


@dataclass
class Found:
    boxes: Tensor
    scores: Tensor
    labels: Tensor


class Detector(nn.Module):
    """A list of pictures in; in training their loss, in evaluation the best boxes of each."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.neck = nn.Sequential(conv(3, 8), conv(8, 12)), conv(12, 10)
        self.score, self.box = nn.Conv2d(10, 3, 1), nn.Conv2d(10, 4, 1)

    def forward(self, images: list[Tensor], targets: list[Tensor] | None = None) -> Any:
        x = self.neck(self.net(torch.stack(images)))
        scores, boxes = self.score(x).flatten(2), self.box(x).flatten(2).transpose(1, 2)
        if self.training:
            if targets is None:
                raise ValueError("targets are wanted in training")
            wanted = torch.stack(targets)
            return {
                "box": (boxes.mean(1) - wanted).abs().mean(),
                "class": scores.logsumexp(1).mean(),
            }
        found = []
        for own, places in zip(scores, boxes, strict=True):
            best, labels = own.max(0)
            kept = torch.where(best > best.mean())[0]
            order = best[kept].argsort(descending=True)
            found.append(Found(places[kept][order], best[kept][order], labels[kept][order]))
        return found


class WithTargets(UNet):
    """A further head that only training runs, and a loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Conv2d(16, 4, 1)

    def forward(self, image: Tensor, target: Tensor | None = None) -> Any:  # type: ignore[override]
        found: list[Tensor] = []
        handle = self.low.register_forward_hook(lambda m, x, y: found.append(y))
        out = super().forward(image)["mask"]
        handle.remove()
        if not self.training:
            return out
        return F.cross_entropy(out, target) + self.more(found[0]).square().mean()


def ids() -> Tensor:
    return torch.arange(14).view(2, 7) % 20


# A net, a batch, and how it is called on it; None: as it is.
ANY: dict[str, tuple[Callable[[], nn.Module], Any, Any]] = {
    "named picture": (UNet, {"image": torch.randn(2, 3, 16, 16)}, None),
    "part of the answer": (
        UNet,
        {"image": torch.randn(2, 3, 16, 16)},
        lambda net, batch: net(**batch)["mask"],
    ),
    "tokens": (Mixer, ids(), None),
    "tokens and a mask": (Mixer, {"ids": ids(), "mask": (ids() > 3).float()}, None),
    "sound": (Sound, torch.randn(2, 1, 64), None),
    "video": (Video, torch.zeros(2, 3, 4, 8, 8), None),
    "two pictures": (Twins, (torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)), None),
    "boxes": (Detector, [torch.rand(3, 8, 8), torch.rand(3, 8, 8)], None),
    "boxes and targets": (
        Detector,
        ([torch.rand(3, 8, 8) for _ in range(2)], [torch.rand(4) for _ in range(2)]),
        None,
    ),
    "a head for training": (
        WithTargets,
        (torch.randn(2, 3, 16, 16), torch.zeros(2, 16, 16, dtype=torch.long)),
        None,
    ),
}
