"""Search the widths and depths of a network of your own.

    python examples/your_own_model.py

The network is ordinary PyTorch: a concatenation, a grouped convolution, a squeeze-excite gate and a
run of residual blocks. Nothing in it knows of tas. The same from the command line, in this folder:

    tas doctor --net your_own_model:make_model --classes 10 --input [1,8,8]
    tas run --net your_own_model:make_model --budget 0.5
"""

import argparse
from dataclasses import replace

import torch
from torch import Tensor, nn

import tas


class Gate(nn.Module):
    """Squeeze-excite: every channel is weighted by what all of them say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, width // 4, 1)
        self.excite = nn.Conv2d(width // 4, width, 1)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        weights = self.squeeze(x.mean((2, 3), keepdim=True)).relu()
        return x * self.excite(weights).sigmoid()


class Block(nn.Module):
    """Two branches, of which one works in groups, concatenated, gated and added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.plain = nn.Sequential(nn.Conv2d(width, 24, 1), nn.BatchNorm2d(24), nn.ReLU())
        self.grouped = nn.Sequential(
            nn.Conv2d(width, 32, 1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1, groups=8),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.join = nn.Sequential(nn.Conv2d(24 + 32, width, 1, bias=False), nn.BatchNorm2d(width))
        self.gate = Gate(width)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, H, W]
        both = torch.cat([self.plain(x), self.grouped(x)], 1)
        return (x + self.gate(self.join(both))).relu()


class Net(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.blocks = nn.ModuleList(Block(32) for _ in range(3))
        self.classifier = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:  # [N, 1, H, W] -> [N, classes]
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean((2, 3)))


def make_model(classes: int = 10) -> nn.Module:
    return Net(classes)


def main() -> None:
    parser = argparse.ArgumentParser(description="Search a network of your own on small digits.")
    parser.add_argument("--epochs", type=int, default=30, help="of each training")
    parser.add_argument("--trials", type=int, default=300, help="shapes that the search tries")
    given = parser.parse_args()
    recipe = tas.recipes.quick()
    gentle = recipe.inheriting()  # a net that inherits learns so that it keeps what it knows
    length = {"epochs": given.epochs, "warmup_epochs": given.epochs // 10}
    search = replace(gentle.search, trials=given.trials)

    data = tas.data.load("digits")
    net = make_model(data.classes)
    trained = tas.train(net, data, options=replace(recipe.teacher, **length))
    print(f"trained: {trained.accuracy:.1f} %")

    space = tas.spaces.trace(net, torch.zeros(1, *data.input))
    for choice in (*space.widths, *space.depths):
        print(f"{choice.name}: {choice.candidates}")
    for entry in space.locked:
        print(f"locked: {entry.layer}: {entry.reason}")

    found = tas.search(space, data, budget=0.5, options=search)
    small = found.derive()  # a Net, with the weights of the channels that matter most
    result = tas.train(small, data, teacher=net, options=replace(gentle.student, **length))
    whole = tas.costs.count(net, data.input)
    print(f"{result.accuracy:.1f} % with {result.macs / whole.macs:.3f} of the MACs")


if __name__ == "__main__":
    main()
