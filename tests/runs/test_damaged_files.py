"""Every file of a run, damaged in twenty ways: each is recognised, or changes nothing."""

import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import tas
from pictures_on_disk import folder
from tas.api import Run, train_run
from tas.errors import InputError


def changed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(change(path.read_bytes())) and None


def flipped(seed: int) -> Callable[[Path], None]:
    def flip(content: bytes) -> bytes:
        draw, spoilt = random.Random(seed), bytearray(content)
        spoilt[draw.randrange(len(spoilt))] ^= 1 << draw.randrange(8)
        return bytes(spoilt)

    return changed(flip)


def instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES = [
    *map(flipped, range(6)),
    *(changed(lambda c, part=part: c[: int(len(c) * part)]) for part in (0, 0.1, 0.5, 0.99)),
    changed(lambda c: c[:-1]),
    changed(lambda c: c + b"\0"),
    changed(lambda c: b"\0" * len(c)),
    changed(lambda c: c[::-1]),
    changed(lambda c: random.Random(0).randbytes(len(c))),
    changed(lambda c: c[: len(c) // 2] + c[len(c) // 2 + 1 :]),
    instead(lambda path: None),
    instead(Path.mkdir),
    instead(lambda path: path.write_text("{}")),
    instead(lambda path: path.symlink_to("nowhere")),
]
TOP = ("SHA256SUMS", "config.json", "config.yaml", "log.jsonl", "model.safetensors", "result.json")
FILES = [*TOP, "shape.json", "README.md"]
PARTS = ("SHA256SUMS", "progress.json", "states.pt")


def trained(home: Path, data: Path) -> Run:
    how = {"epochs": 2, "warmup_epochs": 0, "batch_size": 8, "precision": "fp32", "workers": 0}
    return train_run(data=str(data), net="resnet20", out=str(home), **how)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("damaged")
    return trained(home / "run", folder(home / "data")).path


def refused(act: Callable[[], object]) -> str:
    """What an act is refused with; empty where it is done."""
    try:
        act()
    except InputError as error:
        return str(error)
    return ""


def weights(path: Path) -> bytes:
    return b"".join(p.detach().numpy().tobytes() for p in tas.load(path).parameters())


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_recognised_or_harmless(run: Path, tmp_path: Path, name: str) -> None:
    expected = weights(run)
    for number, damage in enumerate(DAMAGES):
        copy = tmp_path / f"{number}"
        shutil.copytree(run, copy)
        damage(copy / name)
        if said := refused(partial(tas.load, copy)):
            assert name in said, number
            assert "\n" not in said
        else:
            assert weights(copy) == expected, number


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_finished_run_is_made_again(run: Path, name: str) -> None:
    kept = run.with_name("kept")
    shutil.copytree(run, kept)
    flipped(1)(run / name)
    try:
        said = refused(partial(trained, run, run.parent / "data"))
        if said:  # what the run was begun with is not guessed
            assert name in said
            assert name in ("config.json", "SHA256SUMS")
            return
        for path in sorted(kept.rglob("*.*")):
            if path.suffix in (".json", ".safetensors", ".yaml", ".jsonl", ".pt"):
                assert (run / path.relative_to(kept)).read_bytes() == path.read_bytes(), path
    finally:
        shutil.rmtree(run)
        kept.rename(run)


@pytest.mark.parametrize("name", PARTS)
def test_a_damaged_checkpoint_changes_nothing(run: Path, tmp_path: Path, name: str) -> None:
    expected = (run / "model.safetensors").read_bytes()
    for number in (0, 8, 16, 17):
        copy = tmp_path / "run"
        shutil.copytree(run, copy)
        for gone in ("result.json", "SHA256SUMS", "model.safetensors"):
            (copy / gone).unlink()
        DAMAGES[number](copy / "checkpoint" / "train" / "epoch-0002" / name)
        trained(copy, run.parent / "data")
        assert (copy / "model.safetensors").read_bytes() == expected, number
        shutil.rmtree(copy)
