"""Rules, mirrors and counters of a user's own: without them locked and told, with them exact."""

import re
from typing import Any

import pytest
import torch
from own_operators import Mix, Net, bent
from torch import Tensor, nn

from helpers import random_shape
from tas.costs import count, counter, operators
from tas.errors import InputError
from tas.graph import Call, Plane, Tracer, analyse, cut, mirror, mirrors, rule, rule_of
from tas.graph.rules import table
from tas.inherit import Source
from tas.methods.paper.masked import MaskedSupernet
from tas.spaces import trace
from traced_nets import Mixed, example

MIX = "tas_tests::mix"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten behind it."""
    monkeypatch.setattr(table, "_OWN", {})
    monkeypatch.setattr(mirrors, "_OWN", {})
    monkeypatch.setattr(operators, "_GIVEN", {})


def register_rule() -> None:
    @rule(MIX)
    def _(trace: Tracer, call: Call) -> None:
        x, weight = call["x"], call["weight"]
        trace.lock([p for p in trace.planes(x) if p.dim != 1], "mixed along them")
        trace.tie(trace.labels(x, 1), trace.labels(weight, 1), "its input has a fixed size")
        trace.consume(trace.along(weight, 1))
        trace.produce(trace.along(weight, 0), call.out)
        trace.carry(call.out, [plane.at(1) for plane in trace.along(weight, 0)])
        trace.note_cost(call.macs, trace.labels(x, 1), trace.labels(weight, 0))


def register_counter() -> None:
    @counter(MIX)
    def _(x: Any, weight: Any, *, out: Any) -> int:
        return int(x.numel() * len(weight))


def register_mirror() -> None:
    mirror(Mix, read=("weight", 1), made=("weight", 0), doubled=("weight", 0))


def test_without_a_word_the_layer_is_locked_and_the_count_says_so() -> None:
    locked = {entry.layer: entry.reason for entry in analyse(Net(), example()).locked}
    assert locked["stem"] == f"no rule for the operator '{MIX}' in mix"
    note = count(Net(), example()).note
    assert note == f"not counted: '{MIX}' in mix; say what it costs with tas.costs.counter('{MIX}')"


def test_where_there_is_no_mirror_the_trial_finds_what_to_rewrite() -> None:
    register_rule()
    register_counter()
    space = trace(Net(), example())
    assert {str(rewrite) for rewrite in space.structure.rewrites} == {"mix.read", "mix.made"}
    small = Source.of(space).derive(random_shape(space, 1))
    assert isinstance(small, Net)
    assert small.mix.doubled == (16, 8)  # nobody reads it


@pytest.mark.parametrize("seed", range(3))
def test_with_all_three_it_is_searched_cut_exactly_and_counted(seed: int) -> None:
    register_rule()
    register_counter()
    register_mirror()
    torch.manual_seed(0)
    net = Net()
    counted = count(net, example())
    assert (counted.note, counted.modules["mix"]) == ("", 64 * 12 * 8)
    space = trace(net, example())
    assert [choice.name for choice in space.widths] == ["stem", "mix"]
    shape = random_shape(space, seed)
    small = Source.of(space).derive(shape)
    assert isinstance(small, Net)
    assert (small.mix.read, small.mix.made) == (shape.widths["stem"], shape.widths["mix"])
    counted = count(small, example())
    assert (counted.macs, counted.params) == (shape.macs, shape.params)
    supernet = MaskedSupernet(space).eval()
    wanted = supernet(example(), supernet.one_hot(shape))
    torch.testing.assert_close(small.eval()(example()), wanted)


def test_a_rule_of_ours_can_be_used_for_another_operator() -> None:
    class Bent(Net):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(12, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(bent(self.stem(x)).mean((2, 3)))

    assert "no rule" in analyse(Bent(), example()).locked[0].reason
    rule("tas_tests::bent")(rule_of("aten::clamp"))
    assert rule_of("tas_tests::bent") is rule_of("aten::silu")
    assert [width.name for width in analyse(Bent(), example()).widths] == ["stem"]
    with pytest.raises(InputError, match=r"'aten::nonzero' has no rule: give it one with tas"):
        rule_of("aten::nonzero")


def test_the_last_rule_of_an_operator_counts_and_goes_before_ours() -> None:
    def locking(why: str) -> Any:
        return lambda trace, call: [trace.lock(trace.planes(t), why) for t in call.tensors]

    rule("aten::relu")(locking("first"))
    rule("aten::relu")(locking("second"))
    assert analyse(Mixed(), example()).locked[0].reason == "second"


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (lambda trace, call: call["y"], "unknown argument of '{}' 'y': choose from x, weight"),
        (lambda trace: None, r"the rule of '{}' fails: .*takes 1 positional argument but 2"),
        (lambda trace, call: 1 / 0, "the rule of '{}' fails: division by zero"),
        (
            lambda trace, call: trace.carry(call.out, [Plane(1, torch.arange(3))]),
            r"the rule of '{}' fails: 3 labels for dim 1 of \[1, 8, 8, 8\]",
        ),
        (lambda trace, call: None, r"the rule of '{}' notes no cost, but a call has 6144 m.*: end"),
    ],
)
def test_a_rule_that_cannot_be_right_is_told(own: Any, words: str) -> None:
    register_counter()
    rule(MIX)(own)
    with pytest.raises(InputError, match="^" + words.format(MIX)) as caught:
        analyse(Net(), example())
    assert "\n" not in str(caught.value)


def test_a_cost_that_is_no_multiple_of_its_sides_locks_them() -> None:
    register_rule()
    counter(MIX)(lambda x, weight, *, out: 101)
    structure = analyse(Net(), example())
    assert {entry.layer for entry in structure.locked} == {"stem", "mix", "head"}
    assert "not proportional" in structure.locked[0].reason
    assert sum(layer.macs for layer in structure.layers if layer.path == "mix") == 101


@pytest.mark.parametrize(
    "name", ["mix", "tas_tests::mixed", "tas_tests.mix", "tas_tests::mix.default"]
)
def test_names_of_no_operator_are_refused(name: str) -> None:
    for say in (rule, rule_of):
        with pytest.raises(InputError, match=re.escape(f"'{name}'")):
            say(name)


# Mirrors -----------------------------------------------------------------------------------------


def cut_to_three(net: nn.Module) -> nn.Module:
    structure = analyse(net, example())
    return cut(net, structure, {"mix": torch.arange(3)}, {})


def test_numbers_multiples_and_tuples_are_mirrored() -> None:
    register_rule()
    register_mirror()
    net = Net()
    small = cut_to_three(net)
    assert isinstance(small, Net)
    assert (small.mix.read, small.mix.made, small.mix.doubled) == (12, 3, (16, 3))
    assert (net.mix.made, net.mix.doubled) == (8, (16, 8))


def test_a_mirror_holds_for_subclasses_and_for_parameters_within() -> None:
    class Wide(Net):
        made = 16

    register_rule()
    mirror(Net, made=("mix.weight", 0))
    small = cut_to_three(Wide())
    assert isinstance(small, Wide)
    assert (small.made, Wide.made) == (6, 16)


def test_none_leaves_an_attribute_alone() -> None:
    register_rule()
    mirror(nn.Linear, in_features=None)
    small = cut_to_three(Net())
    assert isinstance(small, Net)
    assert (small.head.in_features, small.head.weight.shape) == (8, (5, 3))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"made": ("wieght", 0)}, "mirror of Mix.made: unknown parameter 'wieght': did you mean"),
    ({"maid": ("weight", 0)}, "mirror of Mix.maid: such a module has no attribute 'maid'"),
    ({"made": ("weight", 2)}, r"mirror of Mix.made: 'weight' of \[8, 12\] has no dim 2"),
    ({"weight": ("weight", 0)}, "mirror of Mix.weight: it is of type Parameter, not an int or a"),
    ({"odd": ("weight", 0)}, "mirror of Mix.odd: 7 for a size of 8 leaves no whole number f"),
]


@pytest.mark.parametrize(("attributes", "words"), WRONG)
def test_a_mirror_that_does_not_fit_is_told_when_it_is_cut(attributes: Any, words: str) -> None:
    register_rule()
    mirror(Mix, **attributes)
    net = Net()
    net.mix.odd = 7  # type: ignore[assignment]
    with pytest.raises(InputError, match=f"^{words}"):
        cut_to_three(net)


def test_a_width_that_an_attribute_cannot_follow_is_locked() -> None:
    register_rule()
    register_counter()
    mirror(Mix, read=("weight", 1), made=("weight", 0), odd=("weight", 0))
    net = Net()
    net.mix.odd = 7  # type: ignore[assignment]
    space = trace(net, example())
    assert [choice.name for choice in space.widths] == ["stem"]
    reasons = {entry.layer: entry.reason for entry in space.locked}
    assert reasons["mix"].startswith("mirror of Mix.odd: 7 for a size of 8 leaves no whole number")


@pytest.mark.parametrize("place", ["weight", ("weight",), (0, "weight"), ("weight", True)])
def test_what_is_no_place_is_refused(place: Any) -> None:
    with pytest.raises(InputError, match=r"Mix\.made cannot repeat .*: give a parameter's name"):
        mirror(Mix, made=place)
    with pytest.raises(InputError, match=r"is not a module class: give the class"):
        mirror(Net(), made=("weight", 0))  # type: ignore[arg-type]
