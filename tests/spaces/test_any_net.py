"""Any net: what it takes and gives is its own; what is cut of it is exact all the same."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from any_nets import ANY, Detector, UNet, WithTargets
from helpers import random_shape, randomise_norms
from tas.costs import count
from tas.errors import InputError
from tas.forward import Example, leaves
from tas.graph import Masks
from tas.graph.compare import answered
from tas.graph.cut import kept_atoms
from tas.inherit import Source
from tas.spaces import TracedSpace, trace


def space_of(which: str) -> tuple[TracedSpace, Any, Any]:
    make, batch, forward = ANY[which]
    torch.manual_seed(0)
    net = make()
    randomise_norms(net)
    return trace(net, batch, forward=forward), batch, forward


def weights(space: TracedSpace, shape: Any) -> Tensor:
    """1 for every atom that a shape keeps, 0 for the others."""
    kept = kept_atoms(space.structure, shape)
    parts = []
    for width in space.structure.widths:
        part = torch.ones(width.atoms)
        if width.name in kept:
            part = torch.zeros(width.atoms).index_fill(0, kept[width.name], 1.0)
        parts.append(part)
    return torch.cat(parts)


@torch.no_grad()
@pytest.mark.parametrize("which", ANY)
def test_it_costs_what_is_counted_and_computes_what_the_masked_net_computes(which: str) -> None:
    space, batch, forward = space_of(which)
    assert space.widths
    net, masks = space.model.eval().double(), Masks(space.structure)
    example = Example.of(batch, forward).to(torch.float64)
    for seed in range(3):
        shape = random_shape(space, seed)
        small = Source.of(space).derive(shape).eval()
        counted = count(small, example)
        assert (shape.macs, shape.params) == (counted.macs, counted.params)
        depths = {name: n for name, n in shape.depths.items() if n < space.unpruned.depths[name]}
        if depths:
            continue
        kept = weights(space, shape).double()
        whole = answered(net, lambda net: masks(net, example.batch, kept, example.forward))  # noqa: B023
        assert answered(small, example).apart(whole) < 1e-6
        assert small is not net


@pytest.mark.parametrize("which", ANY)
def test_it_trains_and_is_left_as_it_was(which: str) -> None:
    make, batch, forward = ANY[which]
    net = make()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    space = trace(net, batch, forward=forward)
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    small = Source.of(space).derive(random_shape(space, 1)).train()
    if which != "boxes":  # which wants targets then
        out = Example.of(batch, forward)(small)
        sum(x.square().mean() for _, x in leaves(out)).backward()  # type: ignore[union-attr]


def test_all_that_is_returned_keeps_its_channels_and_what_is_not_may_shrink() -> None:
    whole, part = (space_of(which)[0] for which in ("named picture", "part of the answer"))
    assert {"low.0", "head"} <= {entry.layer for entry in whole.locked}
    assert "low.0" in {choice.name for choice in part.widths}
    assert (whole.unpruned.classes, whole.unpruned.input) == (None, None)


def test_a_head_that_only_training_runs_is_cut_along() -> None:
    space, batch, _ = space_of("a head for training")
    assert "low.0" in {choice.name for choice in space.widths}
    small = Source.of(space).derive(space.shape([0] * len(space.widths), [0] * len(space.depths)))
    assert isinstance(small, WithTargets)
    assert small.more.in_channels == small.low[0].out_channels < 16
    assert small.train()(*batch).isfinite()


def test_a_part_of_training_that_cannot_be_followed_is_named() -> None:
    space = trace(WithTargets(), torch.randn(2, 3, 16, 16))  # without the targets that it wants
    assert any(
        e.layer == "more" and "training cannot be followed" in e.reason for e in space.locked
    )


def test_boxes_are_compared_by_what_chooses_them() -> None:
    net, images = Detector().eval(), [torch.rand(3, 8, 8)]
    answer = answered(net, lambda net: net(images))
    assert len(answer.out) == 3
    assert answer.chosen_by
    other = answered(Detector().eval(), lambda net: net(images))
    assert answer.apart(answer) == 0
    assert other.apart(answer) > 1e-3


class Blank(nn.Module):
    """It returns what is no tensor of floats."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"best": self.layers(x).argmax(1)}


@pytest.mark.parametrize(
    ("net", "example", "words"),
    [
        (Blank(), torch.zeros(2, 4), "returns a dict without a tensor of floats: say by forward="),
        (UNet(), {"image": "picture.png"}, "the example is a dict without a tensor"),
        (UNet(), {"image": torch.zeros(0, 3, 8, 8)}, r"is an empty batch: .*\[0, 3, 8, 8\]"),
        (UNet(), {"picture": torch.zeros(1, 3, 8, 8)}, r"does not run on .*'picture'.*argument"),
        (UNet(), {"image": torch.zeros(1, 5, 8, 8)}, r"does not run on .*\[1, 5, 8, 8\].*channels"),
    ],
)
def test_mistakes(net: nn.Module, example: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        trace(net, example)
    assert "\n" not in str(caught.value)
