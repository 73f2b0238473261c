"""A single-shot detector of torchvision, made half as expensive in a training loop of its own.

    pip install torchmetrics pycocotools
    python examples/detection.py

The net and the loop are plain PyTorch. What is of tas stands in ``main``: five lines; and ``heads``
says what of the detector's answer counts.
"""

import argparse
from collections import OrderedDict

import garments
import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

import tas
from tas.methods import TrialOptions

SIDE = 64  # of the pictures, in pixels


class Block(nn.Module):
    """Two convolutions with a residual sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm_one, self.norm_two = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.short = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm_one(self.one(x)).relu()
        return (self.norm_two(self.two(y)) + self.short(x)).relu()


class Backbone(nn.Module):
    """Features at an 8th, a 16th and a 32nd of the resolution."""

    out_channels = (48, 72, 72)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU(), Block(12, 24, 2)
        )
        self.levels = nn.ModuleList(
            nn.Sequential(Block(a, b, 2), Block(b, b, 1)) for a, b in ((24, 48), (48, 72), (72, 72))
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x, found = self.stem(x), OrderedDict()
        for number, level in enumerate(self.levels):
            found[str(number)] = x = level(x)
        return found


def make_model() -> SSD:
    scales = [0.25, 0.45, 0.65, 0.85]  # of the canvas
    return SSD(
        Backbone(),
        DefaultBoxGenerator([[2]] * 3, scales=scales),
        size=(SIDE, SIDE),
        num_classes=garments.CLASSES + 1,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        detections_per_img=20,
    )


def heads(net: SSD, images: Tensor) -> dict[str, Tensor]:
    """Scores and boxes of all places, before some of them are chosen."""
    return net.head(list(net.backbone(images).values()))


def pictures(scenes, size=32):
    """Batches of what the net takes, in three colours."""
    return [images.expand(-1, 3, -1, -1) for images, _, _ in scenes.batches(size)]


def train(net, scenes, epochs, rate, teacher=None, seed=0):
    """The user's own loop; with a teacher its answers are learnt, too."""
    steps = epochs * -(-len(scenes) // 32)
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.2)
    taught = tas.distil(net, teacher, forward=heads) if teacher else None
    net.train()
    for epoch in range(epochs):
        for images, _, targets in scenes.batches(32, seed=1000 * seed + epoch):
            images = images.expand(-1, 3, -1, -1)
            loss = sum(net(list(images), targets).values())
            if taught:
                loss = loss + taught(images)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.no_grad()
def score(net, scenes):
    """Mean average precision as COCO has it, in percent."""
    from torchmetrics.detection import MeanAveragePrecision

    measured = MeanAveragePrecision()
    for images, _, targets in scenes.batches(64):
        measured.update(net(list(images.expand(-1, 3, -1, -1))), targets)
    return 100 * float(measured.compute()["map"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Halve a detector in a training loop of your own.")
    parser.add_argument("--data", default="fashion-mnist", help="or digits, cifar10, a folder")
    parser.add_argument("--data-dir", help="where the files of Fashion-MNIST are")
    parser.add_argument("--scenes", type=int, default=3000, help="to train on")
    parser.add_argument("--epochs", type=int, default=24, help="of the whole net; a third for ours")
    parser.add_argument("--trials", type=int, default=200, help="shapes that the search tries")
    parser.add_argument("--out", default="small-detector", help="folder of the model")
    given = parser.parse_args()
    where = {"name": given.data, "data_dir": given.data_dir, "download": given.data_dir is None}
    training, test = garments.load(given.scenes, given.scenes // 4, SIDE, **where)
    net = train(make_model(), training, given.epochs, rate=2e-3)
    print(f"whole: mAP {score(net, test):.1f}")

    options = TrialOptions(trials=given.trials)
    found = tas.search(net, batches=pictures(training), forward=heads, budget=0.5, options=options)
    small = found.derive()
    train(small, training, given.epochs // 3 or 1, rate=1e-3, teacher=net)
    tas.save(small, given.out, shape=found.shape)

    again = tas.load(given.out, make=make_model)
    ratio = found.shape.macs / found.space.unpruned.macs
    print(f"mAP {score(again, test):.1f} with {ratio:.3f} of the MACs")


if __name__ == "__main__":
    main()
