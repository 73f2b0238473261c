"""What a trace finds: which channels live and die together, and which must stay."""

import pytest
import torch
from torch import Tensor, nn

from odd_nets import CROWDED, ODD
from tas.errors import InputError
from tas.graph import Structure, analyse
from traced_nets import NETS, Attention, Grouped, Mixed, Mixer, Plain, Shuffled, example


def sizes(structure: Structure) -> dict[str, tuple[int, int]]:
    """By name: atoms, and channels of each."""
    return {width.name: (width.atoms, width.unit) for width in structure.widths}


def locked(structure: Structure) -> dict[str, str]:
    return {entry.layer: entry.reason for entry in structure.locked}


def test_a_flattened_map_is_read_by_many_columns() -> None:
    structure = analyse(Plain(), example())
    assert sizes(structure) == {"conv": (8, 1), "hidden": (12, 1)}
    conv = structure.widths[0]
    assert {place: rows.shape[1] for place, rows in conv.places.items()} == {
        ("conv.weight", 0): 1,
        ("conv.bias", 0): 1,
        **{(f"norm.{n}", 0): 1 for n in ("weight", "bias", "running_mean", "running_var")},
        ("hidden.weight", 1): 16,
    }
    assert conv.places["hidden.weight", 1][3].tolist() == list(range(48, 64))
    assert locked(structure) == {"head": "they are the net's output"}


def test_sums_concatenations_groups_and_gates() -> None:
    structure = analyse(Mixed(), example())
    found = sizes(structure)
    assert found["stem"] == (12, 1)  # the stream: all that is added to it, and its gates
    assert found["blocks.0.left"] == (6, 1)
    assert found["blocks.0.right"] == (4, 2)  # whole groups
    assert found["blocks.0.squeeze"] == (4, 1)
    stream = structure.widths[0]
    assert set(stream.layers) == {
        "stem", "depthwise", *(f"blocks.{b}.{n}" for b in range(3) for n in ("join", "excite")),
    }  # fmt: skip
    (run,) = structure.runs
    assert run.name == "blocks"
    assert run.blocks == ("blocks.0", "blocks.1", "blocks.2")


def test_what_a_shuffle_and_a_split_mix_goes_together() -> None:
    structure = analyse(Shuffled(), example())
    found = sizes(structure)
    assert found["inner"] == (8, 1)
    assert found["stem"] == (4, 4)  # 16 channels, in halves twice


def test_tokens_stay_and_channels_go() -> None:
    found = sizes(analyse(Mixer(), example()))
    assert found == {"patch": (8, 1), "tokens.0": (10, 1), "channels.0": (12, 1)}
    attention = sizes(analyse(Attention(), example()))
    assert attention["patch"] == (12, 1)
    assert attention["mlp.1"] == (16, 1)
    assert attention["qkv"] == (6, 6)  # positions within a head, for the trial to judge


def test_what_the_input_is_added_to_must_stay() -> None:
    structure = analyse(Grouped(), example())
    assert sizes(structure) == {"stem": (4, 3), "up": (6, 1)}
    assert "fixed size" in locked(structure)["back"]


@pytest.mark.parametrize("kind", CROWDED)
def test_a_cost_may_be_a_product_of_three_widths(kind: type[nn.Module]) -> None:
    structure = analyse(kind(), example())
    assert {"stem", "wide", "back"} <= sizes(structure).keys()
    assert {"tokens", "tokens.0"} & sizes(structure).keys()
    products = [layer.sides for layer in structure.layers]
    assert max(sum(not isinstance(s, int) for s in sides) for sides in products) == 3


@pytest.mark.parametrize("kind", [*NETS, *ODD])
def test_our_rules_fit_what_nets_do(kind: type[nn.Module]) -> None:
    net = kind()
    found = analyse(net, example().to(next(net.parameters()).dtype))
    assert not [entry for entry in found.locked if "a use of the operator" in entry.reason]


class Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.stem = nn.Conv2d(3, 8, 1)
        self.after = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fft.fft(self.stem(x), dim=1).real
        return self.head(self.after(x).mean((2, 3)))


def test_an_unknown_operator_locks_by_name() -> None:
    structure = analyse(Unknown(), example())
    assert sizes(structure) == {"after": (8, 1)}
    assert locked(structure)["stem"] == "'_fft_r2c' over its channels"


def test_what_counts_channels_locks_them() -> None:
    class Net(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            x = self[0](x)
            x = self[1](x * x.argmax(1, keepdim=True))
            return self[2]((x * x.max(1, keepdim=True).indices).mean((2, 3)))

    net = Net(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Linear(8, 5))
    found = locked(analyse(net, example()))
    assert found["0"] == "'argmax' over its channels"
    assert found["1"] == "their numbers are used ('mul')"


def test_ignored_modules_are_locked() -> None:
    structure = analyse(Mixed(), example(), ignore=["blocks.1"])
    assert locked(structure)["blocks.1.left"] == "ignored, as asked for"
    assert "blocks.0.left" in sizes(structure)
    assert "stem" not in sizes(structure)  # the stream passes the block


def test_the_net_is_left_as_it_was() -> None:
    net = Mixed().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    analyse(net, example())
    assert net.training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_net_that_does_not_run_is_refused() -> None:
    with pytest.raises(InputError, match=r"does not run on images of \[3, 8, 8\]: .*4 channels"):
        analyse(nn.Conv2d(4, 4, 1), example())
    assert analyse(nn.Conv2d(3, 4, 1), example()).classes is None
