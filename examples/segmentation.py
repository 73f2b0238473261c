"""A U-Net that says what every pixel shows, made half as expensive in a training loop of its own.

    python examples/segmentation.py

The net and the loop are plain PyTorch. What is of tas stands in ``main``: five lines.
"""

import argparse
from itertools import pairwise

import garments
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tas
from tas.methods import TrialOptions

SIDE = 48  # of the pictures, in pixels


def conv(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions with their norms."""
    layers = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
        layers += [nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Ronneberger et al., U-Net, 2015, of four levels."""

    def __init__(self, classes: int = garments.CLASSES + 1, width: int = 8) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        pairs = [*pairwise(widths)]
        self.down = nn.ModuleList([conv(1, width), *(conv(a, b) for a, b in pairs)])
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in reversed(pairs))
        self.join = nn.ModuleList(conv(2 * a, a) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:  # [N, 1, H, W] -> [N, classes, H, W]
        levels = []
        for number, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if number else x)
            levels.append(x)
        for up, join, beside in zip(self.up, self.join, reversed(levels[:-1]), strict=True):
            x = join(torch.cat([up(x), beside], 1))
        return self.head(x)


def pictures(scenes, size=32):
    """Batches of what the net takes."""
    return [images for images, _, _ in scenes.batches(size)]


def train(net, scenes, epochs, rate, teacher=None, seed=0):
    """The user's own loop; with a teacher its answers are learnt, too."""
    steps = epochs * -(-len(scenes) // 32)
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.2)
    taught = tas.distil(net, teacher) if teacher else None
    net.train()
    for epoch in range(epochs):
        for images, masks, _ in scenes.batches(32, seed=1000 * seed + epoch):
            scores = net(images)
            loss = F.cross_entropy(scores, masks)
            if taught:
                loss = loss + taught(images, scores)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.no_grad()
def score(net, scenes):
    """Mean intersection over union of the classes, in percent."""
    classes = garments.CLASSES + 1
    table = torch.zeros(classes, classes)  # pixels, by what they are and what they are taken for
    for images, masks, _ in scenes.batches(64):
        pairs = masks * classes + net(images).argmax(1)
        table += pairs.flatten().bincount(minlength=classes**2).view(classes, classes)
    hit = table.diag()
    return 100 * float((hit / (table.sum(0) + table.sum(1) - hit).clamp_min(1)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description="Halve a U-Net in a training loop of your own.")
    parser.add_argument("--data", default="fashion-mnist", help="or digits, cifar10, a folder")
    parser.add_argument("--data-dir", help="where the files of Fashion-MNIST are")
    parser.add_argument("--scenes", type=int, default=3000, help="to train on")
    parser.add_argument("--epochs", type=int, default=20, help="of the whole net, and of ours")
    parser.add_argument("--trials", type=int, default=300, help="shapes that the search tries")
    parser.add_argument("--out", default="small-unet", help="folder of the model")
    given = parser.parse_args()
    where = {"name": given.data, "data_dir": given.data_dir, "download": given.data_dir is None}
    training, test = garments.load(given.scenes, given.scenes // 4, SIDE, **where)
    net = train(UNet(), training, given.epochs, rate=4e-3)
    print(f"whole: mIoU {score(net, test):.1f}")

    options = TrialOptions(trials=given.trials)
    found = tas.search(net, batches=pictures(training), budget=0.5, distance="kl", options=options)
    small = found.derive()
    train(small, training, given.epochs, rate=4e-3, teacher=net)
    tas.save(small, given.out, shape=found.shape)

    again = tas.load(given.out, make=UNet)
    ratio = found.shape.macs / found.space.unpruned.macs
    print(f"mIoU {score(again, test):.1f} with {ratio:.3f} of the MACs")


if __name__ == "__main__":
    main()
