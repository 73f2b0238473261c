"""One operation between two convolutions: its channels are searched, and the cut net is exact."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from exactly import IMAGES, check
from torch import Tensor, nn

from tas.spaces import trace

C = 16
Operation = nn.Module | Callable[[Tensor], Tensor]


class Between(nn.Module):
    def __init__(self, operation: Operation, into: int = C) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, C, 3, padding=1)
        self.inner = operation if isinstance(operation, nn.Module) else None
        self.operation = operation
        self.after = nn.Conv2d(into, 12, 3, padding=1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.after(self.operation(self.before(x)))
        return self.head(x.relu().mean((2, 3)))


def written(x: Tensor, part: Tensor) -> Tensor:
    out = x.new_zeros(*x.shape[:2], x.shape[2] + 2, x.shape[3])
    out[:, :, 1:-1] = part
    return out


class Standardised(nn.Conv2d):
    """The weight less its mean, over its spread."""

    def forward(self, x: Tensor) -> Tensor:
        spread, mean = torch.var_mean(self.weight, [1, 2, 3], keepdim=True, unbiased=False)
        weight = (self.weight - mean) / (spread + 1e-5).sqrt()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class ByBatchNorm(nn.Conv2d):
    """The same by a batch norm of the weight, scaled by a gain of each output."""

    def __init__(self, *sizes: int, **options: Any) -> None:
        super().__init__(*sizes, **options)
        self.gain = nn.Parameter(torch.ones(self.out_channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        flat, gain = self.weight.flatten(1)[None], (0.2 * self.gain).view(-1)
        weight = F.batch_norm(flat, None, None, gain, training=True, momentum=0.0)
        weight = weight.reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, 1, self.groups)


class ResponseNorm(nn.Module):
    """A global response norm: each channel beside the mean of all."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(C)), nn.Parameter(torch.zeros(C))

    def forward(self, x: Tensor) -> Tensor:
        norm = x.norm(p=2, dim=(2, 3), keepdim=True)
        norm = norm / (norm.mean(1, keepdim=True) + 1e-6)
        column = (1, -1, 1, 1)
        return x + torch.addcmul(self.shift.view(column), self.scale.view(column), x * norm)


class Places(nn.Module):
    """Attention to places by the mean and the largest of all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
        return x * self.conv(both).sigmoid()


class Neighbours(nn.Module):
    """A gate for every channel by its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.mean((2, 3))[:, None])
        return x * y.sigmoid().view(len(x), -1, 1, 1)


class Deformed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Conv2d(C, 18, 3, padding=1)
        self.conv = torchvision.ops.DeformConv2d(C, C, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x, self.where(x))


class Styled(nn.Module):
    """A weight for each example, all of them in one grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.style, self.weight = nn.Linear(C, C), nn.Parameter(torch.randn(C, C, 3, 3) / 8)

    def forward(self, x: Tensor) -> Tensor:
        b, c, *sizes = x.shape
        style = 1 + self.style(x.mean((2, 3)))
        weight = self.weight * style.view(b, 1, c, 1, 1)
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-6).rsqrt()
        x = x.reshape(1, b * c, *sizes)
        y = F.conv2d(x, weight.flatten(0, 1), padding=1, groups=b)
        return y.view(b, -1, *sizes)


class Forgotten(nn.Module):
    """Some places get an embedding of their own, as masked tokens do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(C))

    def forward(self, x: Tensor) -> Tensor:
        places = torch.arange(x[0, 0].numel()).view(1, *x.shape[2:]).expand(len(x), -1, -1)
        y = x.permute(0, 2, 3, 1).clone()
        y[places % 3 == 0] = self.embedding
        return y.permute(0, 3, 1, 2)


class Last(nn.Module):
    """A module that works on channels in the last place."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


PADDING: dict[str, Operation] = {
    "zeros": nn.ZeroPad2d(1),
    "a constant": nn.ConstantPad2d(1, 0.5),
    "less on one side": lambda x: F.pad(x, (0, -1, 1, 2)),
    "round": nn.CircularPad2d(1),
    "round, in a layer": nn.Conv2d(C, C, 3, padding=1, padding_mode="circular"),
    "the same": nn.Conv2d(C, C, 4, padding="same"),
    "written": lambda x: written(x, 2 * x),
}
TOGETHER: dict[str, Operation] = {
    "mean": lambda x: x * x.mean(1, keepdim=True),
    "sum": lambda x: x / (1 + x.abs().sum(1, keepdim=True)),
    "largest": lambda x: x - x.amax(1, keepdim=True),
    "smallest": lambda x: x - x.min(dim=1, keepdim=True).values,
    "spread": lambda x: x / x.std(1, keepdim=True),
    "spread of all": lambda x: x / (1 + x.var((1, 2, 3), unbiased=False))[:, None, None, None],
    "norm by hand": lambda x: (
        (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-6).sqrt()
    ),
    "softmax": lambda x: x.softmax(1),
    "softmax in logs": lambda x: F.log_softmax(x, 1),
    "length": lambda x: F.normalize(x, dim=1),
    "norm": lambda x: x / (1 + torch.linalg.vector_norm(x, dim=1, keepdim=True)),
    "logsumexp": lambda x: x - x.logsumexp(1, keepdim=True),
    "product": lambda x: x * x.tanh().prod(1, keepdim=True),
    "cosine": lambda x: x * F.cosine_similarity(x, x.relu(), dim=1)[:, None],
    "softmax of maps": nn.Softmax2d(),
    "group norm of one group": nn.GroupNorm(1, C),
    "layer norm": Last(nn.LayerNorm(C)),
    "layer norm of maps": nn.LayerNorm([C, 8, 8]),
    "layer norm without a scale": lambda x: F.layer_norm(
        x.permute(0, 2, 3, 1), (x.shape[1],)
    ).permute(0, 3, 1, 2),
    "rms norm": Last(nn.RMSNorm(C)),
    "local response norm": nn.LocalResponseNorm(5),
    "global response norm": ResponseNorm(),
    "attention to places": Places(),
    "neighbours": Neighbours(),
}
WEIGHTS: dict[str, Operation] = {
    "standardised": Standardised(C, C, 3, padding=1),
    "by a batch norm": ByBatchNorm(C, C, 3, padding=1),
    "by a batch norm, in groups": ByBatchNorm(C, C, 3, padding=1, groups=4),
    "weight norm": nn.utils.parametrizations.weight_norm(nn.Conv2d(C, C, 3, padding=1)),
    "a fixed filter": lambda x: F.conv2d(
        x, torch.ones(x.shape[1], 1, 3, 3) / 9, padding=1, groups=x.shape[1]
    ),
    "a filter, channels as examples": lambda x: F.conv2d(
        x.flatten(0, 1)[:, None], torch.ones(1, 1, 3, 3) / 9, padding=1
    ).view_as(x),
    "deformed": Deformed(),
    "spectral norm": nn.utils.parametrizations.spectral_norm(nn.Conv2d(C, C, 3, padding=1)),
    "by an example's own style": Styled(),
}
MOVED: dict[str, tuple[Operation, int]] = {
    "pixel shuffle": (nn.PixelShuffle(2), C // 4),
    "pixel unshuffle": (nn.PixelUnshuffle(2), 4 * C),
    "channel shuffle": (nn.ChannelShuffle(4), C),
    "gate": (lambda x: F.glu(x, 1), C // 2),
    "apart and together": (lambda x: torch.stack([y.relu() for y in x.unbind(1)], 1), C),
    "split by one": (lambda x: torch.cat(x.split(1, 1), 1), C),
    "largest of those that are counted": (
        lambda x: x.view(len(x), x.shape[1] // 2, 2, *x.shape[2:]).max(2)[0],
        C // 2,
    ),
    "largest of pairs": (lambda x: x.view(len(x), -1, 2, *x.shape[2:]).amax(2), C // 2),
    "there and back": (lambda x: x.flatten(1).view(len(x), -1, *x.shape[2:]), C),
}
SINGLY: dict[str, Operation] = {
    "log sigmoid": F.logsigmoid,
    "rrelu": nn.RReLU(),
    "quantised": lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127),
    "patches": lambda x: F.fold(F.unfold(x, 3, padding=1), x.shape[2:], 3, padding=1),
    "unpooled": lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2),
    "rotated": lambda x: x.rot90(1, (2, 3)),
    "scattered": lambda x: torch.zeros_like(x).scatter(2, torch.zeros_like(x).long(), x),
    "gathered": lambda x: x.take_along_dim(x.argsort(2), 2),
    "filled": lambda x: x.index_fill(2, torch.tensor([0]), 0.0),
    "put": lambda x: torch.ops.aten.index_put(x, [None, None, torch.tensor([0])], x[:, :, 1:2]),
    "masked": lambda x: torch.ops.aten.index_put(x, [x < 0.1], torch.tensor(0.0)),
    "forgotten places": Forgotten(),
    "by a mask of places": lambda x: x[:, :, torch.arange(x.shape[2]) % 2 == 0],
    "frequencies": lambda x: torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[2:]),
    "warped": lambda x: F.grid_sample(
        x,
        F.affine_grid(torch.eye(2, 3)[None].expand(len(x), 2, 3), list(x.shape), True),
        align_corners=True,
    ),
    "median": lambda x: x - x.median(3, keepdim=True)[0],
    "dropout": lambda x: F.dropout(x, 0.5, training=True),
    "dropout of maps": lambda x: F.dropout2d(x, 0.5, training=True),
    "noise": lambda x: x + torch.randn_like(x),
    "pools at random places": nn.FractionalMaxPool2d(2, output_size=4),
}


@pytest.mark.parametrize("name", [*PADDING, *TOGETHER, *SINGLY])
def test_channels_between_are_searched(name: str) -> None:
    torch.manual_seed(0)
    space = check(Between((PADDING | TOGETHER | SINGLY)[name]))
    assert "before" in {layer for choice in space.widths for layer in choice.sites}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_computed(name: str) -> None:
    torch.manual_seed(0)
    space = check(Between(WEIGHTS[name]))
    found = {layer for choice in space.widths for layer in choice.sites}
    assert "before" in found
    if isinstance(WEIGHTS[name], nn.Module) and "groups" not in name:
        assert any(layer.startswith("inner") for layer in found)


@pytest.mark.parametrize("name", MOVED)
def test_channels_that_are_rearranged(name: str) -> None:
    torch.manual_seed(0)
    space = check(Between(*MOVED[name]))
    assert "before" in {layer for choice in space.widths for layer in choice.sites}


class Map(nn.Module):
    """A linear layer makes a map, as in the decoder of an autoencoder."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.width = nn.Linear(C, 6 * 4 * 4), 6
        self.grow = nn.ConvTranspose2d(6, C, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        made = self.linear(x.mean((2, 3))).view(-1, self.width, 4, 4)
        grown: Tensor = self.grow(made.relu())
        return grown


def test_what_is_viewed_as_a_map_has_channels() -> None:
    space = check(Between(Map()))
    found = {choice.name: choice.candidates for choice in space.widths}
    assert found["inner.linear"] == tuple(16 * width for width in range(1, 7))
    assert [str(rewrite) for rewrite in space.structure.rewrites] == ["inner.width"]


LOCKED: dict[str, tuple[Operation, str]] = {
    "rolled": (lambda x: x.roll(1, 1), "'roll' along them"),
    "counted": (lambda x: x * x.argmax(1, keepdim=True), "'argmax' over its channels"),
    "frequencies": (lambda x: torch.fft.fft(x, dim=1).real, "'_fft_r2c' over its channels"),
    "summed up": (lambda x: x.cumsum(1), "'cumsum' over its channels"),
    "numbers": (lambda x: x * x.max(1, keepdim=True)[1], "their numbers are used"),
    "one of several": (lambda x: x + x.unbind(1)[0][:, None], "one of them"),
}


@pytest.mark.parametrize("name", LOCKED)
def test_what_must_stay_is_told(name: str) -> None:
    operation, words = LOCKED[name]
    space = trace(Between(operation), IMAGES[:1])
    assert words in next(entry.reason for entry in space.locked if entry.layer == "before")


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_words(mode: str) -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.EmbeddingBag(16, 12, mode=mode)
            self.hidden, self.head = nn.Linear(12, 8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.hidden(self.words(x.flatten(1).argsort(1)[:, :9] % 16)).tanh())

    assert [choice.name for choice in check(Bag()).widths] == ["words", "hidden"]


def test_maps_that_are_written_beside_one_another() -> None:
    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 6, 3)
            self.both, self.head = nn.Conv2d(14, 12, 3), nn.Linear(12, 5)

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.left(x), self.right(x)
            first = left.shape[1]
            both = x.new_empty(len(x), first + right.shape[1], *left.shape[2:])
            both[:, :first] = left
            both[:, first:] = right
            return self.head(self.both(both).relu().mean((2, 3)))

    assert [choice.name for choice in check(Beside()).widths] == ["left", "right", "both"]


def test_a_bilinear_layer_reads_two_inputs() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 6, 3)
            self.both, self.head = nn.Bilinear(8, 6, 12), nn.Linear(12, 5)

        def forward(self, x: Tensor) -> Tensor:
            y = self.both(self.left(x).mean((2, 3)), self.right(x).mean((2, 3)))
            return self.head(y.relu())

    assert len(check(Net()).widths) == 3  # its cost is a product of three


def test_a_net_prepared_for_quantisation_is_told_to_be_traced_before() -> None:
    import torch.ao.quantization as quantization

    net = Between(nn.ReLU())
    net.qconfig = quantization.get_default_qat_qconfig("fbgemm")
    with pytest.raises(Exception, match="quantised, or prepared for it"):
        trace(quantization.prepare_qat(net.train()), IMAGES[:1])
