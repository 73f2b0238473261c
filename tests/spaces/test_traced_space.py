"""The space of any net: its costs are those of the derived nets, its supernet is exact."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers import random_shape, randomise_norms
from tas.costs import Budget
from tas.costs.count import count
from tas.costs.expected import ExpectedCost
from tas.errors import InputError
from tas.graph import reordered
from tas.inherit import Source
from tas.inherit.importance import channel_ranking
from tas.methods.choose import choose
from tas.methods.paper.masked import MaskedSupernet
from tas.spaces import TracedSpace, trace
from traced_nets import NETS, Attention, Mixed, Plain, Shuffled, example


def space_of(kind: type[nn.Module], **options: Any) -> TracedSpace:
    net = kind()
    randomise_norms(net)
    return trace(net, example(), **options)


@pytest.mark.parametrize("kind", NETS)
def test_cost_is_that_of_the_derived_net_and_expected_cost_of_one_shape_is_its_cost(
    kind: type[nn.Module],
) -> None:
    space = space_of(kind)
    model = ExpectedCost(space, "macs", torch.float64), ExpectedCost(space, "params", torch.float64)
    for seed in range(4):
        for searched in (space, space.grouped()):
            shape = random_shape(searched, seed)
            counted = count(Source.of(space).derive(shape), (3, 8, 8))
            assert (shape.macs, shape.params) == (counted.macs, counted.params)
        widths, depths = space.indices(random_shape(space, seed))
        states = torch.tensor([[*widths, *depths]])
        costs = [int(m.of_states(states)) for m in model]
        shape = random_shape(space, seed)
        assert costs == [shape.macs, shape.params]


@pytest.mark.parametrize("grouped", [False, True])
def test_expected_cost_is_the_mean_over_samples(grouped: bool) -> None:
    space = space_of(Mixed).grouped() if grouped else space_of(Mixed)
    model = ExpectedCost(space, "macs", torch.float64)
    choices = [*space.widths, *space.depths]
    generator = torch.Generator().manual_seed(0)
    rows = [torch.rand(len(c.candidates), generator=generator).double() for c in choices]
    rows = [row / row.sum() for row in rows]
    tables = []
    for part in (rows[: len(space.widths)], rows[len(space.widths) :]):
        table = torch.zeros(len(part), max(map(len, part)), dtype=torch.float64)
        for line, row in zip(table, part, strict=True):
            line[: len(row)] = row
        tables.append(table)
    draws = [torch.multinomial(r, 20_000, replacement=True, generator=generator) for r in rows]
    costs = model.of_states(torch.stack(draws, 1))
    error = float(costs.std()) / len(costs) ** 0.5
    assert abs(float(model(*tables)) - float(costs.mean())) < 4 * error


def ranked(space: TracedSpace, batches: Any = None) -> Source:
    """The source of a space's nets, the channels of its net in order of their importance."""
    order = channel_ranking(space.model, space.structure, batches)
    return replace(Source.of(space), net=reordered(space.model, space.structure, order))


@torch.no_grad()
@pytest.mark.parametrize("kind", NETS)
def test_a_one_hot_supernet_is_the_derived_net(kind: type[nn.Module]) -> None:
    batches = [(example(s), torch.arange(2)) for s in range(2)]
    space = space_of(kind)
    source = ranked(space, batches)  # not the first channels but the important ones
    torch.testing.assert_close(source.net.eval()(example()), space.model.eval()(example()))
    for searched in (space, space.grouped()):
        supernet = MaskedSupernet(searched, source).eval()
        for seed in range(3):
            shape = random_shape(searched, seed)
            whole = supernet(example(), supernet.one_hot(shape))
            assert whole.std() > 1e-3
            torch.testing.assert_close(source.derive(shape).eval()(example()), whole)
    torch.testing.assert_close(supernet(example()), space.model.eval()(example()))


def test_a_search_step_moves_weights_and_logits() -> None:
    from tas.methods.paper import algorithm as paper

    supernet = MaskedSupernet(space_of(Mixed)).train()
    weights = torch.optim.SGD(supernet.weight_parameters(), 0.01)
    logits = torch.optim.Adam(supernet.logit_parameters(), 0.1)
    before = [p.detach().clone() for p in supernet.parameters()]
    batch = example(), torch.arange(2)
    figures = paper.search_step(supernet, batch, batch, weights, logits, tau=1.0, budget=1e4)
    assert all(v.isfinite() for v in figures.values())
    moved = [not torch.equal(a, b) for a, b in zip(before, supernet.parameters(), strict=True)]
    names = [name for name, _ in supernet.named_parameters()]
    still = {n for n, m in zip(names, moved, strict=True) if not m}
    assert all(name.endswith("bias") for name in still)  # a norm takes them away


def test_the_derived_net_is_the_users_class_with_its_attributes() -> None:
    space = space_of(Mixed)
    shape = space.shape([0] * len(space.widths), [0])
    small = Source.of(space).derive(shape)
    assert type(small) is Mixed
    assert len(small.blocks) == 1
    block = small.blocks[0]
    assert (block.grouped.groups, block.grouped.in_channels, block.grouped.out_channels) == (
        1,
        2,
        4,
    )
    assert (block.left.out_channels, block.join.in_channels) == (1, 1 + 4)
    assert block.norm.num_features == small.stem.out_channels == shape.widths["stem"] == 3
    assert small.head.in_features == 3
    assert small.depthwise.groups == 3
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in small.modules())
    loss = small.train()(example()).sum()
    loss.backward()  # it can be trained
    assert all(p.grad is not None for p in small.parameters())


def test_a_constant_in_the_code_is_found_out_by_the_trial() -> None:
    space = space_of(Attention)
    reasons = {entry.layer: entry.reason for entry in space.locked}
    assert "invalid for input of size" in reasons["qkv"]
    assert {choice.name for choice in space.widths} == {"patch", "mlp.1"}


class Swapped(nn.Module):
    """Runs at any width, but with a constant index the wrong channels meet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.other = nn.Conv2d(3, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        first = y[:, :3]
        y = torch.cat([y[:, 3:], first], 1)
        return self.head((y * self.other(x)).mean((2, 3)))


def test_a_net_that_runs_but_takes_other_channels_is_found_out() -> None:
    with pytest.raises(InputError, match=r"nothing can be searched in Swapped"):
        trace(Swapped(), example())


def test_streams_of_a_shuffle_keep_their_halves() -> None:
    space = space_of(Shuffled)
    stem = next(choice for choice in space.widths if choice.name == "stem")
    assert stem.candidates == (4, 8, 12, 16)


def test_options() -> None:
    space = space_of(Mixed, round_to=4, what="width")
    assert {c for choice in space.widths for c in choice.candidates if choice.name == "stem"} == {
        4, 8, 12,
    }  # fmt: skip
    assert space.depths == ()
    assert space_of(Mixed, what="depth").widths == ()
    only = space_of(Mixed, only=["blocks.2"])
    assert {c.name.rpartition(".")[0] for c in only.widths} == {"blocks.2", ""}
    assert space_of(Mixed, ignore=["blocks.0"]).depths == ()
    assert space_of(Plain).unpruned.net == "traced_nets.Plain"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ratios": (0.5, 1.5)}, "not all above 0 and up to 1"),
        ({"only": ["bloks"]}, "no module 'bloks'.*did you mean 'blocks"),
        ({"round_to": 0}, "round_to 0"),
        ({"what": "widht"}, "did you mean 'width'"),
        ({"ignore": ["stem", "depthwise", "blocks", "head"]}, "nothing can be searched in Mixed"),
    ],
)
def test_mistakes(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        space_of(Mixed, **options)


def test_what_matters_most_is_kept_first() -> None:
    net = Plain()
    with torch.no_grad():
        net.hidden.weight[:3] = 0  # these units say nothing
        net.hidden.bias[:3] = 0
        net.head.weight[:, :3] = 0
    space = trace(net, example())
    pictures = torch.randn(64, 3, 8, 8), torch.arange(64) % 5
    for by in (None, [pictures]):
        order = channel_ranking(space.model, space.structure, by)["hidden"]
        assert set(order[-3:].tolist()) == {0, 1, 2}
        kept = ranked(space, by).derive(space.unpruned.replace(widths={"hidden": 9}))
        torch.testing.assert_close(kept.eval()(example()), net.eval()(example()))


def test_a_choice_among_groups_becomes_one_among_layers() -> None:
    """Layers share their group's preferences, and the budget is met as coarse choices cannot."""
    space = space_of(Mixed)
    coarse = space.grouped()
    budget = Budget.of(space, 0.5)
    probs = torch.rand(len(coarse.widths), max(len(c.candidates) for c in coarse.widths))
    for row, choice in zip(probs, coarse.widths, strict=True):
        row[len(choice.candidates) :] = 0
    probs = probs / probs.sum(1, keepdim=True)
    refined, fine = coarse.refined(probs)
    assert refined is space
    assert torch.allclose(fine.sum(1), torch.ones(len(space.widths)))
    depths = torch.tensor([[0.1, 0.1, 0.8]])
    shape = choose(space, fine, depths, budget)
    assert 0.99 * budget.limit <= (shape.macs or 0) <= budget.limit
    near = coarse.within(0.5, 0.8, 0)
    assert near.fine is not None
    for choice in (*near.widths, *near.fine.widths):
        for key in choice.keys:
            full = space.unpruned.widths[key]
            assert all(0.4 * full <= c <= 0.8 * full for c in choice.of(key))
    # A group that wants to be narrow makes all of its layers want it.
    narrow = torch.zeros_like(probs)
    narrow[:, 0] = 1
    assert (coarse.refined(narrow)[1].argmax(1) == 0).all()
