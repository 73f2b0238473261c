"""Classes by name: pictures get the labels that a model knows them by, or are refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pictures_on_disk import cifar10, folder
from tas.data import Data, Files, Images, load
from tas.errors import DataError, InputError

CLASSES = ("nought", "one", "two")
OTHER_WAY = ("two", "seven", "nought", "one")


def named(data: Data) -> list[list[str]]:
    """The class of every picture, of both parts."""
    return [[data.class_names[i] for i in p.labels.tolist()] for p in (data.train, data.test)]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("parts", [("train", "test"), ("",)])
@pytest.mark.parametrize("known", [CLASSES[::-1], ("one", "two", "nought"), OTHER_WAY])
def test_another_order_is_mapped(
    tmp_path: Path, parts: tuple[str, ...], known: tuple[str, ...], in_memory: bool
) -> None:
    folder(tmp_path, parts=parts, each=10)
    own = load(tmp_path, in_memory=in_memory)
    data = load(tmp_path, in_memory=in_memory, class_names=known)
    assert own.class_names == CLASSES
    assert data.class_names == known
    assert named(data) == named(own)  # the same pictures, the same parts
    assert not torch.equal(data.train.labels, own.train.labels)
    if in_memory:
        assert isinstance(own.train, Images)
        assert isinstance(data.train, Images)
        assert torch.equal(own.train.pixels, data.train.pixels)
    else:
        assert isinstance(own.train, Files)
        assert isinstance(data.train, Files)
        assert own.train.paths == data.train.paths


def test_its_own_classes_change_nothing(tmp_path: Path) -> None:
    folder(tmp_path)
    data = load(tmp_path, class_names=list(CLASSES))
    assert torch.equal(data.train.labels, load(tmp_path).train.labels)
    assert data.notes == ()
    assert data.absent == ()


def test_some_of_the_classes_are_enough(tmp_path: Path) -> None:
    folder(tmp_path)
    data = load(tmp_path, class_names=OTHER_WAY)
    assert data.classes == 4
    assert data.absent == ("seven",)
    assert f"'{tmp_path}' has no pictures of 'seven', which the model knows" in data.notes


def test_one_class_is_enough(tmp_path: Path) -> None:
    folder(tmp_path, classes=("one",), each=10)
    assert set(load(tmp_path, class_names=CLASSES).test.labels.tolist()) == {1}


def test_the_parts_may_have_different_classes(tmp_path: Path) -> None:
    folder(tmp_path, parts=("train",), classes=("one", "two"))
    folder(tmp_path, parts=("test",), classes=("nought", "two"))
    with pytest.raises(DataError, match="differ"):
        load(tmp_path)
    data = load(tmp_path, class_names=CLASSES)
    assert named(data) == [["one"] * 4 + ["two"] * 4, ["nought"] * 4 + ["two"] * 4]
    assert data.notes == ()
    assert data.absent == ("nought",)


def test_a_class_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    with pytest.raises(DataError) as error:
        load(tmp_path, class_names=("nought", "one", "twos"))
    assert str(error.value) == (
        f"'{tmp_path}' has pictures of 'two', which the model does not know: "
        "did you mean 'twos'? it knows 'nought', 'one', 'twos'"
    )


def test_long_lists_are_cut_short(tmp_path: Path) -> None:
    folder(tmp_path)
    with pytest.raises(DataError, match=r"'one', 'two', which .*'8', '9' and 90 more"):
        load(tmp_path, class_names=[str(i) for i in range(100)])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one", "one", "two", "nought"], "each once"),
        ([], "at least one"),
        ("abc", "give a list of names"),
        ([0, 1, 2], r"class_names\[0\]=0: give text"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, names: Any, message: str) -> None:
    folder(tmp_path)
    with pytest.raises(InputError, match=message):
        load(tmp_path, class_names=names)


def test_named_sets_are_mapped_too(tmp_path: Path) -> None:
    own = load("cifar10", data_dir=cifar10(tmp_path))
    data = load("cifar10", data_dir=tmp_path, class_names=[*own.class_names[::-1], "sheep"])
    assert named(data) == named(own)
    assert data.absent == ("sheep",)
    with pytest.raises(DataError, match=r"'cifar10' has pictures of 'truck', which the model"):
        load("cifar10", data_dir=tmp_path, class_names=own.class_names[:-1])


def test_a_folder_stands_in_for_a_named_set(tmp_path: Path) -> None:
    """Pictures of some digits, for a model that was trained on all ten."""
    digits = load("digits")
    folder(tmp_path, classes=("7", "3"), mode="L")
    data = load(tmp_path, transform=digits.transform, class_names=digits.class_names)
    assert data.classes == 10
    assert set(data.test.labels.tolist()) == {3, 7}
    assert data.transform == digits.transform
