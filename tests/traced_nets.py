"""Small nets of one's own, each with something that a tracer could get wrong."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 8


class Plain(nn.Module):
    """A convolution that is read where it is made and by a flattened linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.hidden = nn.Linear(8 * 4 * 4, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.norm(self.conv(x)).relu(), 4)
        return self.head(self.hidden(x.flatten(1)).relu())


class Block(nn.Module):
    """Concatenation, a grouped convolution, a gate with a bias, a residual sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left = nn.Conv2d(width, 6, 1)
        self.right = nn.Conv2d(width, 8, 1)
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, groups=4)
        self.join = nn.Conv2d(6 + 16, width, 1)
        self.norm = nn.BatchNorm2d(width)
        self.squeeze = nn.Linear(width, 4)
        self.excite = nn.Linear(4, width)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.left(x).sigmoid(), self.grouped(self.right(x)).relu()], 1)
        y = self.norm(self.join(y))
        gate = self.excite(self.squeeze(y.mean((2, 3))).relu()).sigmoid()
        return (x + y * gate[:, :, None, None]).relu()


class Mixed(nn.Module):
    """A depthwise stem, a run of blocks in a list, control flow that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.blocks = nn.ModuleList(Block(12) for _ in range(3))
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        bright = float(x.mean()) > -1e9
        x = self.depthwise(self.stem(x)).relu()
        for block in self.blocks:
            x = block(x)
        if bright:
            x = x * 1.5
        return self.head(x.mean((2, 3)))


class Shuffled(nn.Module):
    """Channels that are shuffled and split in halves, as those of ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 1)
        self.inner = nn.Conv2d(8, 8, 1)
        self.outer = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        left, right = x.chunk(2, 1)
        x = torch.cat([left, self.outer(self.inner(right).relu())], 1)
        return self.head(x.mean((2, 3)))


class Attention(nn.Module):
    """Tokens, layer norms, positions, heads whose number and size stand in the code."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, 5, width))
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * 2 * 6)
        self.project = nn.Linear(2 * 6, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width)
        )
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)  # [N, 4, C]
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        q, k, v = self.qkv(self.norm(x)).view(len(x), 5, 3, 2, 6).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, scale=0.4)
        y = y.transpose(1, 2).reshape(len(x), 5, 12)
        x = x + self.project(y)
        x = x + self.mlp(x)
        return self.head(x[:, 0])


class Mixer(nn.Module):
    """Linear layers along the tokens and along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 2, 2)
        self.tokens = nn.Sequential(nn.Linear(16, 10), nn.GELU(), nn.Linear(10, 16))
        self.channels = nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.Linear(12, 8))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2)  # [N, C, 16]
        x = x + self.tokens(x)
        x = x.transpose(1, 2)
        return self.head((x + self.channels(x)).mean(1))


class Grouped(nn.Module):
    """A group norm, a transposed convolution, a net that adds its input."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 2, 2)
        self.norm = nn.GroupNorm(4, 12)
        self.up = nn.ConvTranspose2d(12, 6, 2, 2)
        self.back = nn.Conv2d(6, 3, 1)
        self.head = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.back(self.up(self.norm(self.stem(x)).relu()).relu())
        return self.head((x + y).mean((2, 3)))


NETS = [Plain, Mixed, Shuffled, Attention, Mixer, Grouped]


def example(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
