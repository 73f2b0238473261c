"""Channels that are cut are made up for by those that stay."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from helpers import images, randomise_norms
from tas.graph import analyse, reordered
from tas.inherit import Source, bank
from tas.inherit.ordering import selection
from tas.inherit.readings import Readings, readings, sorted_by
from tas.nets import build, full_shape
from tas.spaces import TracedSpace, resnet_space, trace

SIDE = 6


class Copies(nn.Module):
    """Eight channels, of which the last four are the first four again, brighter or darker."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 5, 3, padding=1) if not flat else nn.Identity()
        self.head = nn.Linear(8 * SIDE * SIDE if flat else 5, 4)
        self.flat = flat
        with torch.no_grad():
            for tensor in (self.first.weight, self.first.bias):
                tensor[4:] = tensor[:4] * torch.tensor([2.0, 0.5, 3.0, 1.5]).view(
                    -1, *[1] * (tensor.dim() - 1)
                )

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(torch.relu(self.norm(self.first(x))))
        return self.head(x.flatten(1) if self.flat else x.mean((2, 3)))  # type: ignore[no-any-return]


def space_of(net: nn.Module) -> TracedSpace:
    return trace(net.eval(), images(1, 3, SIDE, SIDE), ratios=(0.5, 1.0))


@torch.no_grad()
@pytest.mark.parametrize("flat", [False, True])
def test_what_is_said_twice_can_be_cut(flat: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the channels, and no difference but what the ridge makes; a large one without."""
    torch.manual_seed(0)
    net = Copies(flat).eval()
    space = space_of(net)
    x = images(64, 3, SIDE, SIDE)
    given = readings(net, space.structure, [x[:32], x[32:]])
    order = selection(net, space.structure, given)
    assert sorted(c % 4 for c in order["first"][:4].tolist()) == [0, 1, 2, 3]
    shape = space.equal(0.5).replace(widths={**space.unpruned.widths, "first": 4})
    whole = net(x)

    def error(given: Readings) -> float:
        sorted_net = reordered(net, space.structure, order)
        own = sorted_by(given, order)
        small = Source(sorted_net, space.structure, cut=True, readings=own).derive(shape)
        assert small.first.out_channels == 4
        return float((small(x) - whole).abs().mean() / whole.std(0).mean())

    assert error({}) > 0.2
    assert error(given) < 0.3 * error({})
    monkeypatch.setattr(bank, "RIDGE", 1e-7)
    assert error(given) < 1e-4
    assert torch.equal(net(x), whole)  # it was left as it was


@torch.no_grad()
def test_our_nets_make_up_for_what_is_cut() -> None:
    """Closer to the net as it was, in every width and at a depth that leaves blocks out."""
    torch.manual_seed(0)
    net = build(full_shape("resnet20", 10, (3, 16, 16))).eval()
    randomise_norms(net)
    x = images(64, 3, 16, 16)
    structure = analyse(net, x[:1])
    given = readings(net, structure, [x])
    order = selection(net, structure, given)
    space = resnet_space(net.shape, residual="tied")
    bare = Source(reordered(net, structure, order), structure)
    full = replace(bare, readings=sorted_by(given, order))
    for depths in (space.unpruned.depths, {"stages.0": 1, "stages.1": 2, "stages.2": 3}):
        uncut = bare.derive(space.unpruned.replace(depths=depths)).eval()
        shape = space.equal(0.7).replace(depths=depths, macs=None, params=None)
        errors = [(s.derive(shape).eval()(x) - uncut(x)).square().mean() for s in (bare, full)]
        assert errors[1] < 0.7 * errors[0]
    assert not full.starting_from(net).readings  # that is told of other weights


@torch.no_grad()
def test_what_is_kept_whole_is_as_it_was() -> None:
    net = Copies(flat=False).eval()
    space = space_of(net)
    given = readings(net, space.structure, [images(8, 3, SIDE, SIDE)])
    same = Source(net, space.structure, cut=True, readings=given).derive(space.unpruned)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name])


@torch.no_grad()
def test_a_layer_that_is_called_in_another_way_is_left_out() -> None:
    class Named(Copies):
        def forward(self, x: Tensor) -> Tensor:
            x = self.second(input=torch.relu(self.norm(self.first(x))))
            return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]

    net = Named(flat=False).eval()
    given = readings(net, space_of(net).structure, [images(8, 3, SIDE, SIDE)])
    assert set(given) == {("head", "second")}


class TwoHeads(nn.Module):
    """The channels of the second head are those of the first, in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.patch, self.qkv = nn.Conv2d(3, 12, 2, 2), nn.Linear(12, 3 * 2 * 6)
        self.proj, self.head = nn.Linear(2 * 6, 16), nn.Linear(16, 5)
        with torch.no_grad():
            for part in (0, 12, 24):
                rows = torch.arange(6) if part < 24 else torch.arange(6).flip(0)
                self.qkv.weight[part + 6 : part + 12] = self.qkv.weight[part + rows]
                self.qkv.bias[part + 6 : part + 12] = self.qkv.bias[part + rows]

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).view(len(x), 16, 3, self.heads, 6).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.head(self.proj(y).mean(1))


def test_any_channel_of_a_head_that_stays_makes_up_for_any_of_one_that_goes() -> None:
    torch.manual_seed(0)
    net = TwoHeads().eval()
    space = trace(net, torch.zeros(1, 3, 8, 8))
    shape = space.unpruned.replace(widths={**space.unpruned.widths, "qkv": 18})
    pictures = torch.randn(64, 3, 8, 8)
    labels = torch.zeros(64, dtype=torch.long)
    source = Source.of(space).ordered((3, 8, 8), lambda: [(pictures, labels)])
    (reading,) = [given for (path, width), given in source.readings.items() if path == "proj"]
    assert reading.every is not None
    assert reading.every.shape == (12, 12)
    torch.testing.assert_close(
        reading.every.view(2, 6, 2, 6).diagonal(dim1=1, dim2=3).sum(-1), reading.covariance
    )
    with torch.no_grad():
        whole = net(pictures)
        off = (source.derive(shape)(pictures) - whole).std()
        alone = (Source.of(space).derive(shape)(pictures) - whole).std()
    assert off < 0.15 * alone
