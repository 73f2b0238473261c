"""The counter: known nets, modules by name, operators that are not known."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tas.costs import Count, count, counter, free, operator_macs, operators
from tas.costs.budget import readable
from tas.errors import InputError


class Odd(nn.Module):
    """A convolution in groups, a linear layer, a matrix product and a Fourier transform."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:  # [N, 4, H, W] -> [N, 5]
        x = torch.fft.fft2(self.conv(x)).real.flatten(2)  # [N, 8, P]
        gram = x @ x.transpose(1, 2)  # [N, 8, 8]
        return self.head(gram.mean(2))


def test_counts_by_hand_and_names_what_it_does_not_know() -> None:
    net = Odd()
    counted = count(net, (4, 8, 8))
    conv, head, product = 4 * 4 * 8 * 9 * 2, 8 * 5, 8 * 8 * 16
    assert counted.modules == {"conv": conv, "head": head, "": product}
    assert counted.macs == conv + head + product
    assert counted.params == 8 * 2 * 9 + 8 + 45
    assert [name.partition(" ")[::2] for name in counted.unknown] == [
        ("_fft_c2c", "in the net itself")
    ]
    batch = count(net, torch.zeros(3, 4, 8, 8))
    assert batch.macs == counted.macs


def test_the_net_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4).eval(), nn.ReLU())
    before = {k: v.clone() for k, v in net.state_dict().items()}
    count(net, (3, 8, 8))
    assert [m.training for m in net.modules()] == [True, True, False, True]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_net_that_does_not_run_on_the_images_is_refused_and_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(InputError, match=r"not run on images of \[1, 8, 8\]: .*3 channels"):
        count(net, (1, 8, 8))
    assert net.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_readable() -> None:
    assert [readable(n) for n in (940, 22_444_472, 1_210_757_120, 272_282)] == [
        "940",
        "22.4M",
        "1.2G",
        "272.3k",
    ]


class Sequences(nn.Module):
    """Reads an image [4, H, W] as H x W steps of 4 values."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(4, 6, 2, batch_first=True, **options)

    def forward(self, x: Tensor) -> Tensor:  # [N, 4, H, W] -> [N, features]
        features: Tensor = self.rnn(x.flatten(2).transpose(1, 2))[0][:, -1]
        return features


GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("kind", GATES)
def test_recurrent_layers_by_hand(kind: str, directions: int) -> None:
    net = Sequences(kind, bidirectional=directions == 2)
    inputs = 4, 6 * directions  # of the first and of the second layer
    by_hand = 9 * directions * sum(GATES[kind] * 6 * (n + 6) for n in inputs)
    counted = count(net, torch.zeros(2, 4, 3, 3))
    assert (counted.macs, counted.note) == (by_hand, "")


def test_a_projection_of_an_lstm_by_hand() -> None:
    counted = count(Sequences("LSTM", proj_size=3), (4, 3, 3))
    assert counted.macs == 9 * sum(4 * 6 * (n + 3) + 6 * 3 for n in (4, 3))


@pytest.mark.parametrize("kind", GATES)
def test_recurrent_layers_cost_what_their_cells_do(kind: str) -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, f"{kind}Cell")(4, 6)

        def forward(self, x: Tensor) -> Any:
            state = None
            for step in x.flatten(2).unbind(2):
                state = self.cell(step, state)
            return state

    class Layer(Steps):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, kind)(4, 6)

        def forward(self, x: Tensor) -> Any:
            return self.cell(x.flatten(2).permute(2, 0, 1))

    assert count(Layer(), (4, 3, 3)).macs == count(Steps(), (4, 3, 3)).macs


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_the_fused_operators_cost_what_the_layer_does(name: str) -> None:
    """As other devices and modes call them."""
    kind = {"lstm": "LSTM", "gru": "GRU"}.get(name, "RNN")
    layer = getattr(nn, kind)(4, 6, 2, bidirectional=True)
    wanted = count(Sequences(kind, bidirectional=True), (4, 3, 3)).macs
    packet = getattr(torch.ops.aten, name)
    state = torch.zeros(4, 1, 6)
    hidden = [state, state] if kind == "LSTM" else state
    options = layer._flat_weights, True, 2, 0.0, False, True
    steps = torch.zeros(9, 1, 4)
    assert operator_macs(packet.input, (steps, hidden, *options, False), {}, None) == wanted
    packed = steps[:, 0], torch.ones(9), hidden
    assert operator_macs(packet.data, (*packed, *options), {}, None) == wanted
    stored = (steps, layer._flat_weights, 4, None, state, None)
    assert operator_macs(torch.ops.aten._cudnn_rnn.default, stored, {}, None) == wanted


def test_a_note_is_one_line_that_names_a_few() -> None:
    assert Count(0, 0).note == ""
    some = Count(0, 0, unknown={"lstm in a": 1, "lstm in b": 1, "my::op in c": 2})
    assert some.note == (
        "not counted: 'lstm' in 2 modules (2 times), 'my::op' in c (2 times); "
        "say what they cost with tas.costs.counter('aten::lstm')"
    )
    many = Count(0, 0, unknown={f"op{n} in the net itself": 1 for n in range(9)})
    assert many.note.startswith("not counted: 'op0' in the net itself, ")
    assert "'op2' in the net itself, 6 more; say" in many.note
    assert len(many.note) < 200


@pytest.fixture
def own_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test says of operators is forgotten behind it."""
    monkeypatch.setattr(operators, "_GIVEN", {})


@pytest.mark.usefixtures("own_operators")
def test_what_is_said_of_an_operator_last_counts() -> None:
    net, images = Odd(), (4, 8, 8)
    assert count(net, images).note.startswith("not counted: '_fft_")
    free("aten::_fft_c2c", "aten::_fft_r2c")
    counted = count(net, images)
    assert (counted.macs, counted.note) == (count(net, images).macs, "")

    @counter("aten::_fft_c2c")
    def butterflies(x: Tensor, *options: Any, out: Tensor) -> int:
        return 10 * out.numel()

    assert count(net, images).macs == counted.macs + 10 * 8 * 16
    counter("aten::mm")(lambda *args, out: 0)  # what the table says gives way
    counter("aten::bmm")(lambda *args, out: 0)
    assert count(net, images).modules[""] == 10 * 8 * 16


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("topk", "'topk' is not the name of an operator: give one like 'my::op'"),
        ("", "'' is not the name of an operator"),
        ("aten.topk", "'aten.topk' is not the name of an operator"),
        ("aten::sort.stable", "'aten::sort.stable': give 'aten::sort', for all of its overloads"),
        ("aten::topkk", "no operator 'aten::topkk': did you mean 'aten::topk'?"),
        ("nobody::op", "no operator 'nobody::op': register it with torch.library first"),
    ],
)
def test_names_of_no_operator_are_refused(name: str, words: str) -> None:
    for say in (counter, free):
        with pytest.raises(InputError, match=f"^{re.escape(words)}|there is {re.escape(words)}"):
            say(name)


@pytest.mark.usefixtures("own_operators")
@pytest.mark.parametrize("given", [1.5, -1, None, True])
def test_a_counter_that_gives_no_number_is_told(given: Any) -> None:
    counter("aten::convolution")(lambda *args, out: given)
    counter("aten::mkldnn_convolution")(lambda *args, out: given)
    with pytest.raises(InputError, match=r"^the counter of '\w+' returns .*: it must return"):
        count(Odd(), (4, 8, 8))


@pytest.mark.usefixtures("own_operators")
def test_a_counter_that_fails_is_told() -> None:
    for name in ("aten::convolution", "aten::mkldnn_convolution"):
        counter(name)(lambda x, *, out: 0)
    with pytest.raises(InputError, match=r"^the counter of '\w+' fails: .*takes 1 pos.*with the"):
        count(Odd(), (4, 8, 8))
