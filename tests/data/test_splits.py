"""Stratified splits, and the file that records one."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tas.data import (
    Data,
    Images,
    Transform,
    load,
    read_split,
    search_split,
    stratified_split,
    write_split,
)
from tas.errors import DataError, InputError

LABELS = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_a_split_covers_all_and_keeps_the_proportions(fraction: float) -> None:
    first, second = stratified_split(LABELS, fraction, seed=0)
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(100))
    assert torch.equal(first, first.sort().values)
    assert torch.equal(second, second.sort().values)
    assert first.dtype == second.dtype == torch.int64
    expected = torch.tensor([50, 30, 20]) * fraction
    assert torch.equal(LABELS[first].bincount(), expected.round().long())


def test_the_seed_decides_a_split() -> None:
    same, again, other = (stratified_split(LABELS, 0.5, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_every_class_is_on_both_sides_of_a_small_set() -> None:
    labels = torch.arange(10).repeat_interleave(4)  # 20 % of 40 are fewer than the classes
    for side in stratified_split(labels, 0.8, seed=0):
        assert set(labels[side].tolist()) == set(range(10))


def test_a_single_picture_cannot_be_split() -> None:
    with pytest.raises(DataError, match=r"class 2 .* single picture"):
        stratified_split(torch.tensor([0, 0, 1, 1, 2]), 0.5, seed=0)


def test_a_subset_has_as_many_of_every_class() -> None:
    count = len(LABELS)
    pixels = torch.zeros(count, 1, 1, 1, dtype=torch.uint8)
    part = Images(pixels, LABELS[torch.randperm(count)])
    transform = Transform.of_size("grey", (1, 1), (0.0,), (1.0,))
    data = Data("p", ("a", "b", "c"), transform, part, part, flip=True)
    split = search_split(data, 0.5, seed=0, subset=24)
    assert split.count == count  # it names pictures of the whole
    both = torch.cat([split.weights, split.logits])
    assert part.labels[both].bincount().tolist() == [24, 24, 20]  # one class has no more
    assert part.labels[split.weights].bincount().tolist() == [12, 12, 10]
    assert len(both.unique()) == len(both)
    assert torch.equal(split.weights, search_split(data, 0.5, seed=0, subset=24).weights)
    assert not torch.equal(split.weights, search_split(data, 0.5, seed=1, subset=24).weights)
    whole = search_split(data, 0.5, seed=0, subset=1000)
    assert torch.cat([whole.weights, whole.logits]).sort().values.tolist() == list(range(count))
    with pytest.raises(DataError, match=r"--subset 1: .* at least 2 pictures of every class"):
        search_split(data, subset=1)


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_a_seed_is_one_that_every_generator_takes(digits: Data, seed: int) -> None:
    with pytest.raises(InputError, match=f"--seed {seed}: give a whole number from 0 to 42949672"):
        search_split(digits, seed=seed)
    with pytest.raises(InputError, match=r"seed=1\.5: give a whole number"):
        search_split(digits, seed=1.5)  # type: ignore[arg-type]
    assert len(search_split(digits, seed=2**32 - 1).weights) == 719


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, 2.0])
def test_a_fraction_is_between_0_and_1(fraction: float) -> None:
    with pytest.raises(DataError, match=f"fraction {fraction}"):
        stratified_split(LABELS, fraction, seed=0)


def test_a_written_split_reads_back(tmp_path: Path, digits: Data) -> None:
    split = search_split(digits, 0.5, seed=3)
    write_split(tmp_path / "split.json", split)
    read = read_split(tmp_path / "split.json", digits)
    assert (read.data, read.seed, read.fraction, read.count) == ("digits", 3, 0.5, 1438)
    assert torch.equal(read.weights, split.weights)
    assert torch.equal(read.logits, split.logits)
    assert len(read.weights) == len(read.logits) == 719


def test_the_file_is_what_the_design_says(tmp_path: Path, digits: Data) -> None:
    write_split(tmp_path / "split.json", search_split(digits, 0.25, seed=7))
    content = json.loads((tmp_path / "split.json").read_text())
    assert content["format"] == "tas-split/1"
    assert content["data"] == "digits"
    assert content["seed"] == 7
    assert content["fraction"] == 0.25
    assert sorted(content["weights"] + content["logits"]) == list(range(content["count"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 1000}, "splits 1000 pictures"),
        ({"data": "cifar10"}, "of 'cifar10', but 'digits'"),
        ({"logits": [0, 1]}, "twice"),
        ({"logits": [2000]}, r"outside 0\.\.1437"),
        ({"logits": [-1]}, r"'logits\[0\]' is -1, not"),
        ({"logits": [2**70]}, r"'logits\[0\]' is 11"),
        ({"logits": ["a"]}, r"'logits\[0\]' is 'a'"),
        ({"logits": []}, "empty side"),
        ({"weights": None}, "'weights'"),
        ({"seed": "x"}, "'seed'"),
        ({"format": "tas-shape/1"}, "not a split file"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(
    tmp_path: Path, digits: Data, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "split.json"
    content = {"format": "tas-split/1", "data": "digits", "seed": 0, "fraction": 0.5}
    content |= {"count": 1438, "weights": [0, 1, 2], "logits": [3, 4]}
    path.write_text(json.dumps(content))
    read_split(path, digits)  # fits, so that the change is what is refused
    path.write_text(json.dumps(content | change))
    with pytest.raises(DataError, match=message) as error:
        read_split(path, digits)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", ["", "[]", "{", "tas", "\x80", "[" * 100_000, "9" * 5_000], ids=range(7)
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, digits: Data, content: str) -> None:
    path = tmp_path / "split.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match="not a split file"):
        read_split(path, digits)


def test_a_missing_file_and_a_missing_folder_say_so(tmp_path: Path, digits: Data) -> None:
    with pytest.raises(DataError, match=r"cannot read the split .*No such file"):
        read_split(tmp_path / "none.json", digits)
    with pytest.raises(DataError, match=r"cannot write the split .*No such file"):
        write_split(tmp_path / "none" / "split.json", search_split(digits))


def test_a_folder_may_move(tmp_path: Path) -> None:
    def folder(name: str) -> Data:
        part = Images(torch.zeros(100, 1, 2, 2, dtype=torch.uint8), LABELS)
        transform = Transform.of_size("grey", (2, 2), (0.0,), (1.0,))
        return Data(name, ("a", "b", "c"), transform, part, part, flip=False)

    write_split(tmp_path / "split.json", search_split(folder("here/pets")))
    assert read_split(tmp_path / "split.json", folder("there/pets")).data == "here/pets"
