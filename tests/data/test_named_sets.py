"""The named sets: found where they may lie, and refused where they are not what they say."""

import gzip
import hashlib
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10

from pictures_on_disk import DIGITS, cifar10, cifar100, fashion, folder, idx, write_pickle
from tas.data import NAMES, Images, load
from tas.errors import DataError


def refused(name: str, **options: Any) -> str:
    """The one line that a data set is refused with."""
    with pytest.raises(DataError) as error:
        load(name, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# The digits


def test_digits_are_those_of_scikit_learn() -> None:
    data = load("digits")
    assert data.name == "digits"
    assert data.input == (1, 8, 8)
    assert data.classes == 10
    assert not data.flip  # a mirrored 2 is no 2
    assert isinstance(data.train, Images)
    assert isinstance(data.test, Images)
    assert len(data.train) + len(data.test) == len(DIGITS.images)
    assert len(data.test) == 359
    assert data.train.pixels.dtype == torch.uint8
    assert data.train.pixels.max() == 255
    both = torch.cat([data.train.pixels, data.test.pixels]).double().sum()
    assert both == np.round(DIGITS.images * 255 / 16).sum()
    assert "359 of its 1797" in data.notes[0]


def test_digits_are_split_by_class_and_seed() -> None:
    data, again, other = load("digits"), load("digits"), load("digits", seed=1)
    counts = data.test.labels.bincount()
    assert counts.min() >= 34
    assert counts.max() <= 38
    assert torch.equal(data.test.labels, again.test.labels)
    assert not torch.equal(data.test.labels, other.test.labels)


def test_mean_and_deviation_are_those_of_the_training_pixels() -> None:
    data = load("digits")
    assert isinstance(data.train, Images)
    pixels = data.train.pixels.double() / 255
    assert data.mean[0] == pytest.approx(float(pixels.mean()), abs=1e-4)
    assert data.std[0] == pytest.approx(float(pixels.std()), abs=1e-4)


def test_a_named_set_can_be_scaled() -> None:
    data = load("digits", image_size=16)
    assert isinstance(data.test, Images)
    assert data.input == (1, 16, 16)
    assert data.test.pixels.shape == (359, 1, 16, 16)
    assert data.test.pixels.dtype == torch.uint8
    assert "--image-size 0: give 1 to" in refused("digits", image_size=0)


# CIFAR


@pytest.mark.parametrize("layout", ["", "cifar-10-batches-py", "cifar.python/cifar-10-batches-py"])
def test_cifar10_is_found_in_its_layouts(tmp_path: Path, layout: str) -> None:
    cifar10(tmp_path / layout)
    data = load("cifar10", data_dir=tmp_path)
    assert isinstance(data.train, Images)
    assert data.class_names[:2] == ("airplane", "automobile")
    assert data.input == (3, 32, 32)
    assert data.mean == (0.4914, 0.4824, 0.4467)
    assert (len(data.train), len(data.test)) == (100, 20)
    assert data.flip
    with (tmp_path / layout / "data_batch_2").open("rb") as file:
        second = pickle.load(file)
    # The bytes of a picture are its red, its green and its blue pixels, row by row.
    assert data.train.pixels[21, 1, 2, 3] == second["data"][1, 1024 + 2 * 32 + 3]
    assert data.train.labels[20:40].tolist() == second["labels"]


def test_cifar10_as_python_2_wrote_it(tmp_path: Path) -> None:
    old = load("cifar10", data_dir=cifar10(tmp_path / "old", python2=True))
    new = load("cifar10", data_dir=cifar10(tmp_path / "new"))
    assert (tmp_path / "old" / "test_batch").read_bytes()[:2] == b"\x80\x02"  # protocol 2
    assert isinstance(old.train, Images)
    assert isinstance(new.train, Images)
    assert torch.equal(old.train.pixels, new.train.pixels)
    assert old.class_names == new.class_names


def test_cifar100_has_its_fine_classes(tmp_path: Path) -> None:
    data = load("cifar100", data_dir=cifar100(tmp_path))
    assert data.classes == 100
    assert data.train.labels.max() == 99
    assert data.mean != load("cifar10", data_dir=cifar10(tmp_path / "10")).mean


def test_files_that_are_not_the_official_ones_are_noted(tmp_path: Path) -> None:
    (note,) = load("cifar10", data_dir=cifar10(tmp_path)).notes
    assert "not the official files of cifar10" in note
    assert "data_batch_3" in note


def test_the_default_folder_is_torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar10(tmp_path / "cifar.python" / "cifar-10-batches-py")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert len(load("cifar10").train) == 100
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    message = refused("cifar10")
    assert str(tmp_path / "none") in message
    assert "--data-dir" in message


def test_what_is_not_there_says_where_was_looked(tmp_path: Path) -> None:
    message = refused("cifar10", data_dir=tmp_path)
    assert str(tmp_path / "cifar.python" / "cifar-10-batches-py") in message
    assert "--download" in message
    (tmp_path / "cifar-10-python.tar.gz").touch()
    assert "unpack it" in refused("cifar10", data_dir=tmp_path)
    assert str(tmp_path) in refused("fashion-mnist", data_dir=tmp_path)
    assert str(tmp_path) in refused("imagenet", data_dir=tmp_path)


class Evil:
    """Runs code where a pickle of it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_a_pickle_is_data_and_never_code(tmp_path: Path) -> None:
    cifar10(tmp_path / "files")
    marker = tmp_path / "marker"
    write_pickle(tmp_path / "files" / "data_batch_3", Evil(marker))
    message = refused("cifar10", data_dir=tmp_path / "files")
    assert "data_batch_3" in message
    assert "only arrays" in message
    assert not marker.exists()
    with (tmp_path / "files" / "data_batch_3").open("rb") as file:
        pickle.load(file)
    assert marker.exists()  # it would have


BATCH = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "no dictionary"),
        ({"labels": [0, 1]}, "no pictures"),
        (BATCH | {"data": np.zeros((2, 784), np.uint8)}, "no pictures"),
        (BATCH | {"data": np.zeros((2, 3072), np.float32)}, "no pictures"),
        ({"data": np.zeros((0, 3072), np.uint8), "labels": []}, "no pictures"),
        ({"data": BATCH["data"], "fine_labels": [0, 1]}, "'labels'"),
        (BATCH | {"labels": [0]}, "'labels'"),
        (BATCH | {"labels": [0, 10]}, r"0..9"),
        (BATCH | {"labels": [0, "cat"]}, r"0..9"),
    ],
)
def test_a_foreign_batch_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    cifar10(tmp_path)
    path = tmp_path / "data_batch_4"
    write_pickle(path, BATCH)
    load("cifar10", data_dir=tmp_path)  # is accepted, so that the change is what is refused
    write_pickle(path, content)
    error = refused("cifar10", data_dir=tmp_path)
    assert message in error
    assert str(path) in error


@pytest.mark.parametrize("size", [0, 1, 100, -1])
@pytest.mark.parametrize("file", ["test_batch", "batches.meta"])
def test_a_truncated_file_is_refused(tmp_path: Path, file: str, size: int) -> None:
    path = cifar10(tmp_path) / file
    path.write_bytes(path.read_bytes()[:size])
    assert str(path) in refused("cifar10", data_dir=tmp_path)


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    (cifar10(tmp_path) / "data_batch_5").unlink()
    assert "data_batch_5" in refused("cifar10", data_dir=tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The served archive of a small CIFAR-10, which torchvision takes for the official one."""
    files = cifar10(tmp_path / "server" / "cifar-10-batches-py")
    archive = tmp_path / "server" / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(files, "cifar-10-batches-py")

    def md5(path: Path) -> str:
        return hashlib.md5(path.read_bytes()).hexdigest()

    http = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive.parent)))
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{http.server_port}/{archive.name}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    for entries in ("train_list", "test_list"):
        official = [[file, md5(files / file)] for file, _ in getattr(CIFAR10, entries)]
        monkeypatch.setattr(CIFAR10, entries, official)
    meta = CIFAR10.meta | {"md5": md5(files / "batches.meta")}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    yield archive
    http.shutdown()
    http.server_close()


def test_what_is_missing_can_be_fetched(tmp_path: Path, server: Path) -> None:
    data = load("cifar10", data_dir=tmp_path / "new", download=True)
    assert len(data.train) == 100
    assert data.notes == ()  # the checksums are the official ones
    server.unlink()
    assert len(load("cifar10", data_dir=tmp_path / "new", download=True).train) == 100


@pytest.mark.parametrize("layout", ["", "cifar-10-batches-py"])
def test_damaged_files_are_fetched_again(tmp_path: Path, server: Path, layout: str) -> None:
    files = cifar10(tmp_path / "cifar-10-batches-py")
    (files / "test_batch").write_text("damaged")
    data_dir = tmp_path / ("cifar-10-batches-py" if layout == "" else "")
    refused("cifar10", data_dir=data_dir)
    assert load("cifar10", data_dir=data_dir, download=True).notes == ()
    assert not (data_dir / "cifar.python").exists()


def test_what_cannot_be_fetched_says_so(tmp_path: Path, server: Path) -> None:
    server.unlink()
    message = refused("cifar10", data_dir=tmp_path / "new", download=True)
    assert message.startswith("cannot download cifar10")


# Fashion-MNIST


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("layout", ["", "FashionMNIST/raw", "fashion-mnist"])
def test_fashion_is_found_in_its_layouts(tmp_path: Path, layout: str, zipped: bool) -> None:
    fashion(tmp_path / layout, zipped=zipped)
    data = load("fashion-mnist", data_dir=tmp_path)
    assert isinstance(data.train, Images)
    assert data.input == (1, 28, 28)
    assert data.class_names[0] == "T-shirt/top"
    assert data.train.labels[:12].tolist() == [*range(10), 0, 1]
    expected = np.random.default_rng(0).integers(256, size=(30, 28, 28), dtype=np.uint8)
    assert np.array_equal(data.train.pixels.squeeze(1).numpy(), expected)
    assert "instead of 60000" in data.notes[0]


PIXELS, LABELS = np.zeros((30, 28, 28)), np.arange(30) % 10


@pytest.mark.parametrize(
    ("file", "raw", "message"),
    [
        ("train-images-idx3-ubyte", idx(PIXELS)[:-1], "do not fill"),
        ("train-images-idx3-ubyte", idx(PIXELS) + b"0", "do not fill"),
        ("train-images-idx3-ubyte", idx(PIXELS)[:10], "no idx file"),
        ("train-images-idx3-ubyte", b"", "no idx file"),
        ("train-images-idx3-ubyte", idx(LABELS), "no idx file"),
        ("train-images-idx3-ubyte", idx(PIXELS[:, :8, :8]), "28, 28"),
        ("t10k-labels-idx1-ubyte", idx(LABELS[:-1]), "29 labels for 30 pictures"),
        ("t10k-labels-idx1-ubyte", idx(LABELS + 1), r"0..9"),
        ("t10k-labels-idx1-ubyte.gz", b"\x1f\x8b\x08 not gzip", "damaged"),
    ],
)
def test_a_foreign_idx_file_is_refused(tmp_path: Path, file: str, raw: bytes, message: str) -> None:
    fashion(tmp_path, zipped=file.endswith("gz"))
    (tmp_path / file).write_bytes(raw)
    error = refused("fashion-mnist", data_dir=tmp_path)
    assert message in error
    assert str(tmp_path / file) in error


def test_a_file_that_unpacks_to_more_than_it_may_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tas.data.fashion._MOST", 2**20)
    fashion(tmp_path, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(2**21)))
    error = refused("fashion-mnist", data_dir=tmp_path)
    assert "more than 1 MiB" in error
    assert str(path) in error


# ImageNet, and names


def test_imagenet_is_a_folder_with_its_own_constants(tmp_path: Path) -> None:
    folder(tmp_path, parts=("train", "val"), size=(80, 70))
    data = load("imagenet", data_dir=tmp_path, image_size=12)
    assert data.name == "imagenet"
    assert data.input == (3, 12, 12)
    assert data.mean == (0.485, 0.456, 0.406)
    assert data.std == (0.229, 0.224, 0.225)
    assert data.transform.vary == "zoom"  # even at this size


def test_grey_pictures_never_get_the_constants_of_colours(tmp_path: Path) -> None:
    folder(tmp_path, parts=("train", "val"), mode="L")
    assert len(load("imagenet", data_dir=tmp_path).mean) == 1


def test_an_unknown_name_suggests_the_nearest() -> None:
    message = refused("cifar-10")
    assert "unknown data set 'cifar-10'" in message
    assert "did you mean 'cifar10'?" in message
    assert "path of a folder" in message
    assert all(name in message for name in NAMES)


@pytest.mark.parametrize("path", ["./pets", "pictures/pets", "~/no/such/pets"])
def test_a_path_that_does_not_exist_says_so(path: str) -> None:
    assert refused(path) == f"data folder '{path}' does not exist"
