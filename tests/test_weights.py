"""Files of weights: those of this net load, others are refused in a line, and none runs code."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from tas.errors import InputError
from tas.weights import load_backbone, load_weights, save_weights
from tiny_training import assert_same_bits, state_of, tiny_net


@pytest.mark.parametrize("form", ["safetensors", "bare", "state_dict", "model", "parallel"])
def test_weights_come_back_from_every_form(tmp_path, form):
    net, other = tiny_net(), tiny_net(seed=3)
    path = tmp_path / ("a.safetensors" if form == "safetensors" else "a.pt")
    state = net.state_dict()
    if form == "safetensors":
        save_weights(net, path)
    elif form == "bare":
        torch.save(state, path)
    elif form == "parallel":
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        torch.save({form: state, "epoch": 3}, path)
    load_weights(other, path)
    assert_same_bits(state_of(net), state_of(other))


def test_tied_weights_are_stored_once_and_come_back(tmp_path):
    def tied() -> nn.Module:
        net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        net[1].weight = net[0].weight
        return net

    net, other = tied(), tied()
    save_weights(net, tmp_path / "a.safetensors")
    load_weights(other, tmp_path / "a.safetensors")
    assert_same_bits(state_of(net), state_of(other))


def refused(net: nn.Module, path: Path) -> str:
    before = state_of(net)
    with pytest.raises(InputError) as error:
        load_weights(net, path)
    assert_same_bits(before, state_of(net))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_another_class_count_is_named(tmp_path):
    save_weights(tiny_net(classes=100), tmp_path / "a.safetensors")
    message = refused(tiny_net(classes=10), tmp_path / "a.safetensors")
    assert "is of a net with 100 classes, not 10" in message


def test_another_net_is_named_by_its_first_tensor(tmp_path):
    path = tmp_path / "a.safetensors"
    wider = tiny_net()
    wider[0] = nn.Conv2d(3, 16, 3, bias=False)
    save_weights(wider, path)
    assert "'0.weight' has the shape [16, 3, 3, 3], not [8, 3, 3, 3]" in refused(tiny_net(), path)
    save_weights(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False)), path)
    assert "it lacks '1.weight'" in refused(tiny_net(), path)
    save_weights(nn.Sequential(*tiny_net(), nn.Linear(4, 4)), path)
    assert "this one has no '7.bias'" in refused(tiny_net(), path)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("gotcha",)


@pytest.mark.parametrize("content", [Evil(), {"state_dict": tiny_net().state_dict(), "x": Evil()}])
def test_code_in_a_file_is_never_run(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "a.pt")
    assert "or objects other than tensors, which could run code" in refused(
        tiny_net(), tmp_path / "a.pt"
    )
    assert not (tmp_path / "gotcha").exists()


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt"])
@pytest.mark.parametrize(
    "content", [b"", b"not weights at all", b"hello world\n", b"\x93NUMPY\x01\x00v", b"\x80\x04N."]
)
def test_other_files_are_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(tiny_net(), tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    assert "no such file" in refused(tiny_net(), tmp_path / "a.pt")
    assert "no such file" in refused(tiny_net(), tmp_path / "a.safetensors")


def test_of_a_folder_the_files_are_named(tmp_path: Path) -> None:
    assert f"'{tmp_path}' is a folder: no file of it holds" in refused(tiny_net(), tmp_path)
    save_weights(tiny_net(), tmp_path / "model.safetensors")
    (tmp_path / "notes.txt").touch()
    told = refused(tiny_net(), tmp_path)
    assert told.endswith("is a folder: give a file of it: model.safetensors")


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, torch.zeros(3)])
def test_what_is_no_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    assert "holds no state dict" in refused(tiny_net(), tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda w: w.to_sparse(), "'6.weight' is sparse"),
        (lambda w: w.to("meta"), "'6.weight' has no values"),
        (lambda w: w * torch.nan, "NaN or infinite, in '6.weight'"),
        (lambda w: w / 0, "NaN or infinite, in '6.weight'"),
        (lambda w: w.double() + 1e300, "NaN or infinite, in '6.weight'"),  # in the net's float32
    ],
)
def test_tensors_without_usable_numbers_are_refused(tmp_path, spoil, words):
    state = tiny_net().state_dict()
    torch.save(state | {"6.weight": spoil(state["6.weight"])}, tmp_path / "a.pt")
    assert words in refused(tiny_net(), tmp_path / "a.pt")


def test_a_mask_may_be_infinite_but_statistics_may_not_be_nan(tmp_path):
    state = tiny_net().state_dict()
    torch.save(state | {"1.running_mean": torch.full((8,), -torch.inf)}, tmp_path / "a.pt")
    load_weights(tiny_net(), tmp_path / "a.pt")
    torch.save(state | {"1.running_mean": torch.full((8,), torch.nan)}, tmp_path / "a.pt")
    assert "in '1.running_mean'" in refused(tiny_net(), tmp_path / "a.pt")


def test_of_other_classes_all_but_the_classifier_is_taken(tmp_path):
    given = tiny_net(classes=100)
    save_weights(given, tmp_path / "a.safetensors")
    net = tiny_net(classes=10, seed=3)
    fresh, theirs = state_of(net), state_of(given)
    assert load_backbone(net, tmp_path / "a.safetensors") == ("6", 100)
    for name, value in state_of(net).items():
        assert torch.equal(value, (fresh if name.startswith("6.") else theirs)[name])
    assert load_backbone(given, tmp_path / "a.safetensors") is None  # of the same classes: all


def test_no_other_difference_is_passed_over(tmp_path):
    """A wider net, one that lacks a tensor or whose classifier takes other features, and NaN."""
    path, state = tmp_path / "a.pt", tiny_net(classes=100).state_dict()
    for spoilt, words in (
        (state | {"0.weight": torch.zeros(16, 3, 3, 3)}, "'0.weight' has the shape"),
        ({n: v for n, v in state.items() if n != "0.weight"}, "is of another net"),
        (state | {"6.weight": torch.zeros(100, 9)}, "is of another net"),
        (state | {"0.weight": state["0.weight"] * torch.nan}, "NaN or infinite, in '0.weight'"),
    ):
        torch.save(spoilt, path)
        net = tiny_net(classes=10)
        before = state_of(net)
        with pytest.raises(InputError, match=words):
            load_backbone(net, path)
        assert_same_bits(before, state_of(net))
