"""What is kept from one cut net to the next gives what the plain form gives, solved anew."""

import pickle
from dataclasses import replace

import plain
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import traced_nets
from helpers import images, random_shape, randomise_norms
from tas.graph import Cutter, analyse, cut
from tas.inherit import Source, bank
from tas.inherit.bank import Bank
from tas.inherit.readings import readings
from tas.nets import build, full_shape
from tas.space import Space
from tas.spaces import FINE_RATIOS, resnet_space, trace


def ordered(space: Space, net: nn.Module, input: tuple[int, int, int]) -> Source:
    labels = torch.arange(16) % 4
    batches = [(images(16, *input, seed=seed), labels) for seed in range(2)]
    return Source.of(space, net).ordered(input, lambda: batches)


def same(a: nn.Module, b: nn.Module) -> None:
    """Their tensors to rounding, their attributes exactly."""
    assert str(a) == str(b)
    states = a.state_dict(), b.state_dict()
    assert list(states[0]) == list(states[1])
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], rtol=1e-4, atol=1e-5, msg=name)
    needed = [[p.requires_grad for p in net.parameters()] for net in (a, b)]
    assert needed[0] == needed[1]


class SharedAttention(nn.Module):
    """Three layers of one input, a layer after a concatenation, a shuffle, a depthwise one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.side = nn.Conv2d(3, 12, 2, 2), nn.Conv2d(3, 8, 2, 2)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.join = nn.Conv2d(20, 16, 3, padding=1)
        self.q, self.k, self.v = (nn.Linear(16, 8) for _ in range(3))
        self.back = nn.Linear(8, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.depthwise(self.stem(x)).relu(), self.side(x).relu()], 1)
        x = self.join(x).flatten(2).transpose(1, 2)
        q, k, v = (
            layer(x).unflatten(2, (2, 4)).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.back(y)
        return self.head(x.mean(1))


@pytest.mark.parametrize("make", [*traced_nets.NETS, SharedAttention])
def test_traced_nets(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = make().eval()
    space = trace(net, images(1, 3, 8, 8), ratios=(0.25, 0.5, 0.75, 1.0))
    source = ordered(space, net, (3, 8, 8))
    for _ in range(2):  # what is new, and what is known
        for seed in range(6):
            shape = random_shape(space, seed)
            same(source.derive(shape), plain.derive(source, shape))


@pytest.mark.parametrize("residual", ["tied", "free"])
@pytest.mark.parametrize("ratios", [FINE_RATIOS, (0.5, 1.0, 1.5)])
def test_our_nets(residual: str, ratios: tuple[float, ...]) -> None:
    torch.manual_seed(0)
    net = build(full_shape("resnet20", 10, (3, 16, 16))).eval()
    randomise_norms(net)
    space = resnet_space(net.shape, residual=residual, ratios=ratios)
    source = ordered(space, net, (3, 16, 16))
    for seed in range(8):
        shape = random_shape(space, seed % 5)
        torch.manual_seed(seed)
        found = source.derive(shape)
        torch.manual_seed(seed)
        wanted = plain.derive(source, shape)
        same(found, wanted)
        assert found.shape == wanted.shape


def test_nothing_is_drawn_where_nothing_is_fresh() -> None:
    net = build("resnet20")
    for residual in ("tied", "free"):
        space = resnet_space("resnet20", residual=residual, ratios=(0.5, 1.0))
        sources = Source.of(space, net), ordered(space, net, (3, 32, 32))
        before = torch.get_rng_state()
        for source in sources:
            source.derive(random_shape(space, 0))
        assert torch.equal(before, torch.get_rng_state())


def test_layers_of_one_input_share_a_reading() -> None:
    net = SharedAttention().eval()
    given = readings(net, analyse(net, images(1, 3, 8, 8)), [images(4, 3, 8, 8)] * 2)
    of_stream = {path: each for (path, width), each in given.items() if width == "join"}
    assert of_stream["q"] is of_stream["k"] is of_stream["v"]
    assert of_stream["head"] is not of_stream["q"]


def small_source() -> tuple[Space, Source]:
    torch.manual_seed(0)
    net = traced_nets.Mixed().eval()
    space = trace(net, images(1, 3, 8, 8), ratios=(0.25, 0.5, 0.75, 1.0))
    return space, ordered(space, net, (3, 8, 8))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank, "WEIGHTS", 3000)
    monkeypatch.setattr(bank, "GUESSES", 500)
    space, source = small_source()
    for seed in range(10):
        shape = random_shape(space, seed)
        same(source.derive(shape), plain.derive(source, shape))
        assert source._bank._folded._bytes <= 3000
        assert source._bank._guesses._bytes <= 500


def test_weights_that_change_are_noticed() -> None:
    space, source = small_source()
    shape = space.equal(0.5)
    first = source.derive(shape)
    with torch.no_grad():
        for parameter in source.net.parameters():
            parameter.mul_(2)
    same(source.derive(shape), plain.derive(source, shape))
    assert not torch.equal(first.head.weight, source.derive(shape).head.weight)
    assert replace(source, trained=False)._bank is not source._bank


def test_nets_that_are_cut_share_nothing() -> None:
    space, source = small_source()
    for shape in (space.unpruned, space.equal(0.5)):
        a, b = (source.derive(shape) for _ in range(2))
        with torch.no_grad():
            for tensor in (*a.parameters(), *a.buffers()):
                tensor.zero_()
        same(b, plain.derive(source, shape))


class Remembering(traced_nets.Plain):
    """It keeps what it computed, a tensor of its own, and a list with one of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor(2.0)
        self.layers = [self.conv]

    def forward(self, x: Tensor) -> Tensor:
        self.kept = self.layers[0](x) * self.scale
        return super().forward(x)


def test_a_copy_that_is_read_is_a_deep_copy() -> None:
    class Local(Remembering):  # cannot be written down
        pass

    for make in (Remembering, Local):
        net = make().eval()
        net(images(1, 3, 8, 8))
        structure = analyse(net, images(1, 3, 8, 8))
        cutter = Cutter(net, structure)
        kept = {"conv": torch.tensor([1, 2, 5])}
        wanted = cut(net, structure, kept, {})
        for _ in range(3):
            found = cutter.cut(kept, {})
            same(found, wanted)
            assert type(found) is make
            assert found.layers[0] is found.conv
            assert found.scale is not net.scale
            assert torch.equal(found(images(2, 3, 8, 8)), wanted(images(2, 3, 8, 8)))
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(net)


def test_a_reading_that_is_no_covariance_is_solved_all_the_same() -> None:
    space, source = small_source()
    reader, reading = next(iter(source.readings.items()))
    broken = reading.covariance.clone()
    broken[0, 0] = -broken[0, 0]
    given = {reader: replace(reading, covariance=broken)}
    found = Bank(source.net, source.structure, given).folded(reader, len(broken) // 2)
    assert found[0].isfinite().all()
    assert space.widths
