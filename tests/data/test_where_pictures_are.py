"""Whether pictures are kept in memory or read from disk is a matter of speed: no bit depends on it.

A folder is loaded both ways, and every batch compared: of small pictures, which are shifted, and of
large ones, which are zoomed; also where a few of them are broken.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import tas.data.folder
from tas.data import Augment, Data, Files, Images, Part, Pictures, batches, load

EPOCHS = 3
SOME = [1, 4, 5, 11, 2, 8, 20, 17, 16]


def noise(root: Path, sizes: list[tuple[int, int]], mode: str, suffix: str, each: int = 8) -> Path:
    """Pictures of smooth noise, their height and width in turn from ``sizes``."""
    generator = np.random.default_rng(0)
    number = 0
    for part, count in (("train", each), ("test", each // 2)):
        for name in "abc":
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                height, width = sizes[number % len(sizes)]
                number += 1
                values = generator.integers(256, size=(height // 4 + 1, width // 4 + 1, 3))
                picture = Image.fromarray(values.astype(np.uint8)).resize((width, height))
                picture.convert(mode).save(root / part / name / f"{i}.{suffix}")
    return root


FOLDERS: dict[str, tuple[list[tuple[int, int]], str, str, dict[str, Any]]] = {
    "small": ([(16, 20)], "RGB", "png", {}),
    "small, of many sizes": ([(16, 16), (30, 12), (16, 16), (9, 40)], "L", "png", {}),
    "scaled down": ([(90, 70), (150, 160)], "RGB", "jpg", {"image_size": 24}),
    "large": ([(80, 120), (200, 90)], "RGB", "png", {"image_size": 72}),
    "larger than what is kept": ([(400, 420), (330, 700)], "RGB", "jpg", {"image_size": 65}),
    "large and grey": ([(100, 110)], "L", "png", {"image_size": 80}),
    "small, zoomed": ([(16, 20)], "RGB", "png", {"vary": "zoom"}),
    "large, shifted": ([(80, 120)], "RGB", "png", {"image_size": 72, "vary": "shift"}),
}


@pytest.fixture(scope="module", params=[*FOLDERS, "small, some broken", "large, some broken"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Data, Data]:
    """A folder loaded into memory, and the same one left on disk."""
    kind, _, broken = request.param.partition(", some ")
    sizes, mode, suffix, options = FOLDERS[kind]
    root = noise(tmp_path_factory.mktemp("pictures"), sizes, mode, suffix)
    names = ["train/a/0", "train/b/3", "train/b/4", "train/c/7", "test/a/1", "test/a/2"]
    for name in names if broken else []:
        (root / f"{name}.{suffix}").write_text("no picture")
    return load(root, in_memory=True, **options), load(root, in_memory=False, **options)


def epochs(data: Data, part: Part, augment: Augment | None, **options: Any) -> list[Tensor]:
    """All images and labels of a few epochs."""
    given = {"shuffle": augment is not None, "workers": 0, "seed": 3, "device": "cpu"} | options
    made = batches(data, part, 5, augment=augment, **given)  # type: ignore[arg-type]
    found = []
    for epoch in range(EPOCHS):
        made.set_epoch(epoch)
        found += [tensor for batch in made for tensor in batch]
    return found


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


def test_the_transform_does_not_depend_on_it(both: tuple[Data, Data]) -> None:
    memory, disk = both
    assert isinstance(memory.train, Images if memory.transform.vary == "shift" else Pictures)
    assert isinstance(disk.train, Files)
    assert memory.transform == disk.transform
    assert memory.class_names == disk.class_names
    assert torch.equal(memory.train.labels, disk.train.labels)


@pytest.mark.parametrize(
    "augment", [Augment(), Augment(padding=1, flip=False, crop=False), Augment(jitter=0), None]
)
def test_batches_to_train_on_are_the_same(both: tuple[Data, Data], augment: Augment | None) -> None:
    memory, _ = both
    assert equal(*(epochs(data, data.train, augment) for data in both))
    assert equal(*(epochs(data, data.train.take(SOME), augment) for data in both))
    shared = {"rank": 1, "world": 2, "drop_last": False}
    assert equal(*(epochs(data, data.train, augment, **shared) for data in both))
    if augment == Augment():
        varied, plain = (epochs(memory, memory.train, a, shuffle=False) for a in (augment, None))
        assert not equal(varied, plain)
        assert not torch.equal(varied[0], varied[len(varied) // EPOCHS])


def test_batches_to_test_on_are_the_same(both: tuple[Data, Data]) -> None:
    assert equal(*(epochs(data, data.test, None) for data in both))


def test_test_pictures_are_what_the_transform_makes_of_their_files(
    both: tuple[Data, Data],
) -> None:
    memory, disk = both
    assert isinstance(disk.test, Files)
    assert isinstance(memory.test, Images)
    for i, path in enumerate(disk.test.paths):
        if memory.test.broken is None or not memory.test.broken[i]:
            assert torch.equal(disk.transform.read(path), memory.test.pixels[i])


@pytest.mark.parametrize("kind", ["small", "large"])
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(tmp_path: Path, kind: str, workers: int) -> None:
    sizes, mode, suffix, options = FOLDERS[kind]
    noise(tmp_path, sizes, mode, suffix, each=4)
    (tmp_path / "train" / "b" / f"0.{suffix}").write_text("no picture")
    given = load(tmp_path, in_memory=True, **options), load(tmp_path, in_memory=False, **options)
    expected = epochs(given[0], given[0].train, Augment())
    assert all(equal(expected, epochs(d, d.train, Augment(), workers=workers)) for d in given)


def test_free_memory_decides_where_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, mode, suffix, options = FOLDERS["large"]
    noise(tmp_path, sizes, mode, suffix)
    rich = load(tmp_path, **options)
    monkeypatch.setattr(tas.data.folder, "_IN_MEMORY_BYTES", 1000)
    poor = load(tmp_path, **options)
    assert (type(rich.train), type(poor.train)) == (Pictures, Files)
    assert rich.transform == poor.transform
    assert equal(*(epochs(data, data.train, Augment()) for data in (rich, poor)))


def test_colours_are_measured_on_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there are too many to measure all."""
    noise(tmp_path, [(16, 20)], "RGB", "png")
    exact = load(tmp_path).transform
    monkeypatch.setattr(tas.data.folder, "sample_step", lambda count, values: 5)
    rough = load(tmp_path, in_memory=True).transform
    assert rough != exact
    assert load(tmp_path, in_memory=False).transform == rough
