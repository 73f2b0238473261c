"""Any folder of images: what is read from it, what is said about it, what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tas.data.folder
from pictures_on_disk import digit, folder
from tas.data import Data, Files, Images, batches, load
from tas.errors import DataError


def pixels(data: Data) -> torch.Tensor:
    """Those of the training part, which must be in memory."""
    assert isinstance(data.train, Images)
    return data.train.pixels


def refused(root: Path, **options: Any) -> str:
    """The one line that a folder is refused with."""
    with pytest.raises(DataError) as error:
        load(root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_pictures_labels_and_names_come_as_they_lie(tmp_path: Path, held_out: str) -> None:
    folder(tmp_path, parts=("train", held_out))
    data = load(tmp_path)
    assert data.name == str(tmp_path)
    assert data.class_names == ("nought", "one", "two")
    assert data.input == (3, 8, 8)
    assert data.notes == ()
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    expected = [np.asarray(digit(i, mode="RGB")).transpose(2, 0, 1) for i in range(24)]
    assert isinstance(data.test, Images)
    both = torch.cat([pixels(data), data.test.pixels])
    assert np.array_equal(both.numpy(), np.stack(expected))


def test_test_wins_over_val(tmp_path: Path) -> None:
    folder(tmp_path, parts=("train", "test"))
    folder(tmp_path, parts=("val",), each=2)
    data = load(tmp_path)
    assert len(data.test) == 12
    assert "val" in data.notes[0]
    assert "not used" in data.notes[0]


@pytest.mark.parametrize("part", ["", "train"])
def test_a_set_without_test_part_is_split(tmp_path: Path, part: str) -> None:
    folder(tmp_path, parts=(part,), each=20)
    data, again, other = load(tmp_path), load(tmp_path), load(tmp_path, seed=1)
    assert data.train.labels.bincount().tolist() == [16, 16, 16]
    assert data.test.labels.bincount().tolist() == [4, 4, 4]
    assert "12 of its 60 pictures were set aside, stratified by class, seed 0" in data.notes[0]
    assert torch.equal(pixels(data), pixels(again))
    assert not torch.equal(pixels(data), pixels(other))
    assert isinstance(data.test, Images)
    apart = {tuple(picture.flatten().tolist()) for picture in pixels(data)}
    assert not any(tuple(picture.flatten().tolist()) in apart for picture in data.test.pixels)


def test_formats_can_be_mixed(tmp_path: Path) -> None:
    folder(tmp_path)
    suffixes = ("jpg", "JPEG", "bmp", "gif", "webp", "tiff", "ppm")
    for suffix in suffixes:
        digit(0).convert("RGB").save(tmp_path / "train" / "one" / f"new.{suffix}", quality=100)
    data = load(tmp_path)
    assert data.train.labels.bincount().tolist() == [4, 4 + len(suffixes), 4]
    reference = torch.from_numpy(np.asarray(digit(0, mode="RGB")).astype(int)).permute(2, 0, 1)
    new = pixels(data)[data.train.labels == 1][4:].int()
    assert (new - reference).abs().float().mean() < 4  # some of the formats are lossy


def test_files_that_are_no_pictures_are_passed_over(tmp_path: Path) -> None:
    folder(tmp_path)
    for name in (".DS_Store", ".hidden.png", "Thumbs.db", "notes.txt", "labels.json"):
        (tmp_path / "train" / "one" / name).write_text("no picture")
    (tmp_path / "train" / ".cache").mkdir()
    data = load(tmp_path)
    assert len(data.train) == 12
    assert data.notes == ()


# Size and colour


def test_small_pictures_keep_their_most_common_size(tmp_path: Path) -> None:
    folder(tmp_path, size=(20, 16))
    digit(0, (40, 16), "RGB").save(tmp_path / "train" / "one" / "wide.png")
    digit(0, (9, 11), "RGB").save(tmp_path / "train" / "one" / "tiny.png")
    assert load(tmp_path).input == (3, 16, 20)


def test_larger_pictures_become_224(tmp_path: Path) -> None:
    folder(tmp_path, each=1, size=(80, 65))
    assert load(tmp_path).input == (3, 224, 224)


def test_the_size_can_be_chosen(tmp_path: Path) -> None:
    folder(tmp_path, each=1, size=(80, 65))
    assert load(tmp_path, image_size=10).input == (3, 10, 10)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_scaling_keeps_the_proportions_and_the_centre(tmp_path: Path, suffix: str) -> None:
    folder(tmp_path)
    wide = Image.new("RGB", (300, 100))  # black, white square, black: the square is the centre
    wide.paste((255, 255, 255), (100, 0, 200, 100))
    wide.save(tmp_path / "train" / "nought" / f"0.{suffix}", quality=100)
    if suffix == "jpg":
        (tmp_path / "train" / "nought" / "0.png").unlink()
    first = pixels(load(tmp_path, image_size=16))[0]
    assert first.shape == (3, 16, 16)
    assert first[:, :, 1:-1].min() > 250


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    folder(tmp_path, mode="L")
    assert load(tmp_path).input == (1, 8, 8)
    digit(0, mode="RGB").save(tmp_path / "train" / "one" / "new.png")
    assert load(tmp_path).input == (3, 8, 8)


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "1"])
def test_every_colour_mode_is_read(tmp_path: Path, mode: str) -> None:
    folder(tmp_path)
    suffix = "tiff" if mode == "CMYK" else "png"
    digit(0).convert(mode).save(tmp_path / "train" / "nought" / f"0.{suffix}")
    first = pixels(load(tmp_path))[data_index(tmp_path, f"0.{suffix}")]
    expected = torch.from_numpy(np.array(digit(0).convert(mode).convert("RGB"))).permute(2, 0, 1)
    assert torch.equal(first, expected)


def data_index(root: Path, name: str) -> int:
    return sorted(path.name for path in (root / "train" / "nought").iterdir()).index(name)


def test_16_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    folder(tmp_path, mode="L")
    deep = np.asarray(digit(0)).astype(np.uint16) * 256 + 77
    Image.fromarray(deep).save(tmp_path / "train" / "nought" / "0.png")
    data = load(tmp_path)
    assert data.input[0] == 1
    assert np.array_equal(pixels(data)[0, 0].numpy(), np.asarray(digit(0)))


def test_a_photograph_stands_upright(tmp_path: Path) -> None:
    folder(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees
    digit(0, mode="RGB").rotate(90).save(tmp_path / "train" / "nought" / "0.png", exif=exif)
    expected = torch.from_numpy(np.array(digit(0, mode="RGB"))).permute(2, 0, 1)
    assert torch.equal(pixels(load(tmp_path))[0], expected)


# What is broken


def test_an_unreadable_picture_is_named_and_left_out(tmp_path: Path) -> None:
    folder(tmp_path, each=30)
    whole = pixels(load(tmp_path))
    broken = tmp_path / "train" / "one" / "0.png"
    broken.write_bytes(broken.read_bytes()[:40])
    foreign = tmp_path / "train" / "two" / "1.png"
    foreign.write_text("a text")
    data = load(tmp_path)
    (note,) = data.notes
    assert note.startswith("pictures that cannot be read and are left out: 2: ")
    assert str(broken) in note
    assert f"{foreign} (not a picture)" in note
    gone = [30, order("1.png", 30) + 60]
    kept = [i for i in range(90) if i not in gone]
    assert torch.equal(pixels(data)[kept], whole[kept])
    assert isinstance(data.train, Images)
    assert data.train.broken is not None
    assert data.train.broken.nonzero().squeeze(1).tolist() == gone
    assert data.train.labels.tolist() == [i // 30 for i in range(90)]
    shown = batches(data, data.train, 8, augment=None, device="cpu", shuffle=False)
    assert torch.cat([labels for _, labels in shown]).tolist() == [i // 30 for i in kept]


def order(name: str, each: int) -> int:
    return sorted(f"{i}.png" for i in range(each)).index(name)


def test_too_many_unreadable_pictures_stop(tmp_path: Path) -> None:
    folder(tmp_path, each=30)
    names = sorted((tmp_path / "train" / "one").iterdir())
    for path in names[:10]:
        path.write_text("a text")
    assert "left out: 10: " in load(tmp_path).notes[0]
    names[10].write_text("a text")
    assert "too many pictures cannot be read, 11: " in refused(tmp_path)


def test_a_class_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    for path in (tmp_path / "train" / "one").iterdir():
        path.write_text("a text")
    assert "none of the pictures of 'one' can be read" in refused(tmp_path)


def test_a_folder_of_broken_pictures_is_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    for path in tmp_path.rglob("*.png"):
        path.write_text("a text")
    assert "no picture in" in refused(tmp_path)


def test_a_picture_is_data_and_never_code(tmp_path: Path) -> None:
    folder(tmp_path)
    path = tmp_path / "train" / "one" / "0.png"
    digit(0, mode="RGB").save(path, format="EPS")  # a program, which Pillow would let run
    with Image.open(path) as opened:
        assert opened.format == "EPS"
    assert f"{path} (not a picture)" in load(tmp_path).notes[0]


# What is not a folder of images


def test_a_folder_that_is_not_one_is_refused(tmp_path: Path) -> None:
    assert f"'{tmp_path / 'none'}' does not exist" in refused(tmp_path / "none")
    (tmp_path / "file").touch()
    assert "not a folder" in refused(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "no pictures in" in refused(tmp_path / "empty")
    assert "a folder per class" in refused(tmp_path / "empty")


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    folder(tmp_path)
    for path in (tmp_path / "test" / "one").iterdir():
        path.unlink()
    message = refused(tmp_path)
    assert "no pictures in 'one'" in message
    assert str(tmp_path / "test") in message


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    assert "only one class, 'cats'" in refused(folder(tmp_path, classes=("cats",)))


def test_classes_that_differ_are_named(tmp_path: Path) -> None:
    folder(tmp_path)
    shutil.copytree(tmp_path / "train" / "one", tmp_path / "train" / "seven")
    message = refused(tmp_path)
    assert "differ" in message
    assert "'seven'" in message
    assert "'one'" not in message


def test_a_test_part_needs_a_train_part(tmp_path: Path) -> None:
    assert "no train/" in refused(folder(tmp_path, parts=("test",)))


def test_a_single_picture_cannot_be_set_aside(tmp_path: Path) -> None:
    folder(tmp_path, parts=("",))
    for i in range(1, 4):
        (tmp_path / "two" / f"{i}.png").unlink()
    assert "class 'two'" in refused(tmp_path)


# In memory or on disk


def test_what_does_not_fit_in_memory_stays_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path, size=(8, 12))
    assert isinstance(load(tmp_path).train, Images)
    assert isinstance(load(tmp_path, in_memory=False).train, Files)
    monkeypatch.setattr(tas.data.folder, "_IN_MEMORY_BYTES", 24 * 3 * 8 * 12)
    assert isinstance(load(tmp_path).train, Images)
    monkeypatch.setattr(tas.data.folder, "_IN_MEMORY_BYTES", 24 * 3 * 8 * 12 - 1)
    data = load(tmp_path)
    assert isinstance(data.train, Files)
    assert isinstance(data.test, Files)
    assert isinstance(load(tmp_path, in_memory=True).train, Images)
    assert data.transform == load(tmp_path, in_memory=True).transform
    assert len(data.train) == len(data.train.paths) == 12
    assert Path(data.train.take([5]).paths[0]) == tmp_path / "train" / "one" / "1.png"


def test_threads_change_nothing(tmp_path: Path) -> None:
    folder(tmp_path, each=50, suffix="jpg")
    one, four = load(tmp_path, workers=1), load(tmp_path, workers=4)
    assert torch.equal(pixels(one), pixels(four))
    assert one.mean == four.mean


def test_nothing_is_written_beside_the_data(tmp_path: Path) -> None:
    folder(tmp_path)

    def tree() -> list[tuple[Path, int]]:
        return sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))

    before = tree()
    load(tmp_path)
    load(tmp_path, in_memory=False)
    assert tree() == before
