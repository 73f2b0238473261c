"""Nets as users write them: functions, shared weights, odd layers. Each one stands for a law.

``ODD`` can be searched and must be exact; ``REFUSED`` must be told why not.
"""

import threading

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations


class Base(nn.Module):
    """A stem of 12 channels, something in the middle, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 12, 3, padding=1)
        self.wide = nn.Conv2d(12, 16, 3, padding=1)
        self.back = nn.Conv2d(16, 12, 1)
        self.head = nn.Linear(12, 5)

    def middle(self, x: Tensor) -> Tensor:
        return self.back(self.between(self.wide(x)))

    def between(self, x: Tensor) -> Tensor:
        return x.relu()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(F.relu(self.stem(x))).mean((2, 3)))


class Chunked(Base):
    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(12, 32, 1)

    def between(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, 1)
        return value * gate.sigmoid()


class Einsum(Base):
    """A product by einsum, with a parameter of the net's own."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.randn(16, 20))
        self.back = nn.Conv2d(20, 12, 1)

    def between(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,cd->ndhw", x, self.mix)


class LowRank(Base):
    """A weight that is computed, once for all images of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(torch.randn(16, 6)), nn.Parameter(torch.randn(6, 16))

    def between(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,cd->ndhw", x, self.down @ self.up)


class EinsumAttention(Base):
    """Attention over pixels: channels that are multiplied with one another."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 1)

    def between(self, x: Tensor) -> Tensor:
        query, key = self.query(x).flatten(2), self.key(x).flatten(2)
        weights = torch.einsum("nci,ncj->nij", query, key).softmax(-1)
        return torch.einsum("nij,ncj->nci", weights, x.flatten(2)).unflatten(2, x.shape[2:])


class SharedWeight(Base):
    """Two layers, one parameter: what one of them reads the other makes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.second.weight = self.first.weight

    def between(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


class CalledTwice(Base):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(16, 16, 1)

    def between(self, x: Tensor) -> Tensor:
        return self.again(self.again(x).relu())


class Upsampled(Base):
    """Transposed convolutions: whole, in groups, depthwise."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = nn.ConvTranspose2d(16, 16, 2, 2)
        self.groups = nn.ConvTranspose2d(16, 24, 2, 2, groups=4)
        self.depthwise = nn.ConvTranspose2d(24, 24, 2, 2, groups=24, bias=False)
        self.back = nn.Conv2d(24, 12, 1)

    def between(self, x: Tensor) -> Tensor:
        return self.depthwise(self.groups(self.whole(x)).relu())


class OneDimension(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm1d(16)
        self.up = nn.ConvTranspose1d(16, 10, 2)
        self.head = nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool1d(self.up(self.norm(self.stem(x.flatten(2))).relu()), 2)
        return self.head(F.interpolate(x, scale_factor=2).mean(2))


class ThreeDimensions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(1, 12, 3, padding=1)
        self.norm = nn.BatchNorm3d(12)
        self.next = nn.Conv3d(12, 16, 3, padding=1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.next(self.norm(self.stem(x[:, None])).relu())
        return self.head(F.adaptive_avg_pool3d(F.max_pool3d(x, (1, 2, 2)), 1).flatten(1))


class Norms(Base):
    """Group, instance and layer norms, with and without parameters, and one over weights."""

    def __init__(self) -> None:
        super().__init__()
        self.group = nn.GroupNorm(4, 16)
        self.instance = nn.InstanceNorm2d(16)
        self.running = nn.InstanceNorm2d(12, affine=True, track_running_stats=True)
        self.layer = nn.LayerNorm(16)

    def between(self, x: Tensor) -> Tensor:
        x = self.instance(self.group(x))
        return self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def middle(self, x: Tensor) -> Tensor:
        return self.running(super().middle(x))


class Reparametrised(Base):
    """Weights that are computed: their layers stay, the others do not."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = parametrizations.weight_norm(self.wide)
        self.spectral = parametrizations.spectral_norm(nn.Conv2d(12, 12, 1))
        self.last = nn.Conv2d(12, 12, 1)

    def middle(self, x: Tensor) -> Tensor:
        return self.last(self.spectral(super().middle(x)).relu())


class Hooked(Base):
    """A hook of the user's that changes what a layer gives, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Tensor | None = None
        self.wide.register_forward_hook(lambda module, x, y: y * 2)

    def between(self, x: Tensor) -> Tensor:
        self.kept = x.relu()  # with a history, where the net is trained
        return self.kept


class Buffered(Base):
    """A buffer that is multiplied to the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(1, 16, 1, 1) + 0.5)

    def between(self, x: Tensor) -> Tensor:
        return x * self.get_buffer("scale")


class Functions(nn.Module):
    """No layer at all: functions of a list of parameters."""

    def __init__(self) -> None:
        super().__init__()
        shapes = (12, 3, 3, 3), (16, 12, 3, 3), (5, 16)
        self.weights = nn.ParameterList(nn.Parameter(0.2 * torch.randn(s)) for s in shapes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(F.conv2d(x, self.weights[0]).relu(), self.weights[1]).relu()
        return F.linear(x.mean((2, 3)), self.weights[2])


class MultiHead(nn.Module):
    """PyTorch's own transformer: only the inside of its MLPs and its depth are free."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, 4)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


class Frozen(Base):
    def __init__(self) -> None:
        super().__init__()
        self.stem.requires_grad_(False)


class Double(Base):
    def __init__(self) -> None:
        super().__init__()
        self.double()


class ChannelsLast(Base):
    def __init__(self) -> None:
        super().__init__()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Noisy(Base):
    """Random numbers in evaluation, too."""

    def between(self, x: Tensor) -> Tensor:
        return x + 1e-9 * torch.randn(1, 1, *x.shape[2:])


class PartlyConvolved(Base):
    """Some channels only go through a layer: where to split stands in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Conv2d(4, 4, 1)

    def between(self, x: Tensor) -> Tensor:
        some, rest = torch.split(x, [4, 12], 1)
        return torch.cat([self.part(some), rest], 1)


class WrittenInto(Base):
    """A slice is changed in place."""

    def between(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :8] = x[:, :8].relu()
        return x


class DeepTokens(Base):
    """Three linear layers along the pixels: the middle one costs channels x tokens x tokens."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.Linear(64, 10), nn.GELU(), nn.Linear(10, 14), nn.GELU(), nn.Linear(14, 64)
        self.tokens = nn.Sequential(*layers)

    def between(self, x: Tensor) -> Tensor:
        return self.tokens(x.flatten(2)).view_as(x)


class EveryChannel(Base):
    """Every channel has a matrix of its own: a parameter of three sizes that could vary."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.out = nn.Linear(64, 10), nn.Linear(14, 64)
        self.each = nn.Parameter(0.2 * torch.randn(16, 10, 14))

    def between(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x.flatten(2)).transpose(0, 1)  # [C, N, 10]
        return self.out(torch.bmm(tokens, self.each)).transpose(0, 1).reshape(x.shape)


class LinearAttention(Base):
    """Attention without a softmax over tokens of which there could be fewer."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.out = nn.Linear(64, 10), nn.Linear(10, 64)
        self.query, self.key = nn.Linear(16, 6), nn.Linear(16, 6)

    def between(self, x: Tensor) -> Tensor:
        y = self.tokens(x.flatten(2)).transpose(1, 2)  # [N, 10, C]
        weights = self.query(y) @ self.key(y).transpose(1, 2) / 10
        return self.out((weights @ y).transpose(1, 2)).view_as(x)


class Auxiliary(Base):
    """A further head that only training runs."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        scores = self.head(self.middle(x).mean((2, 3)))
        if not self.training:
            return scores
        return scores + self.auxiliary(x.mean((2, 3)))


CROWDED = [DeepTokens, EveryChannel, LinearAttention]  # costs of three widths at once

ODD = [
    Chunked, Einsum, LowRank, EinsumAttention, SharedWeight, CalledTwice, Upsampled, OneDimension,
    ThreeDimensions, Norms, Reparametrised, Hooked, Buffered, Functions, MultiHead, Frozen, Double,
    ChannelsLast, Noisy, PartlyConvolved, WrittenInto, Auxiliary, *CROWDED,
]  # fmt: skip


class Lazy(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.LazyConv2d(8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


class Uncopyable(Base):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class NotFinite(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.nan


REFUSED = {
    "lazy": (Lazy, "'0.weight' is lazy and has no size yet: run the net once"),
    "uncopyable": (Uncopyable, "cannot be copied.*'_thread.lock' object"),
    "wrapped": (lambda: nn.DataParallel(Base()), r"is wrapped: give net.module"),
    "compiled": (lambda: torch.compile(Base()), r"is compiled: give net\._orig_mod"),
    "not finite": (NotFinite, "nothing can be searched in .*: the net's scores are not finite"),
    "inner": (lambda: nn.Sequential(torch.compile(Base())), "has 0, which is compiled"),
}
