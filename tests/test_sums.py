"""Laws of ``SHA256SUMS``: whatever happens to a file or to the list itself is found."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tas import sums
from tas.errors import InputError
from tas.reading import read_text
from tas.whole import SCRATCH, replacing, scratch, sweep, write_whole


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.txt"):
        write_whole(tmp_path / name, f"the content of {name}\n" * 9)
    sums.seal(tmp_path, ["a.txt", "b.txt", "not there"])
    return tmp_path


def test_what_was_written_is_whole(folder: Path) -> None:
    assert sums.faults(folder) == {}
    assert read_text(folder / "a.txt").startswith("the content of a")
    assert list(sums.listed(folder) or {}) == ["a.txt", "b.txt"]
    (folder / "mine.txt").write_text("another file may lie beside")
    assert sums.faults(folder) == {}


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_anywhere_is_found(folder: Path, seed: int) -> None:
    draw = random.Random(seed)
    path = folder / draw.choice(["a.txt", "b.txt"])
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    assert sums.faults(folder) == {path.name: "is damaged"}
    with pytest.raises(InputError, match=f"{path.name}' is damaged, says SHA256SUMS"):
        read_text(path)


def test_what_is_missing_or_no_file_is_found(folder: Path) -> None:
    (folder / "a.txt").unlink()
    (folder / "b.txt").unlink()
    (folder / "b.txt").mkdir()
    assert sums.faults(folder) == {"a.txt": "is missing", "b.txt": "is not a file"}


def test_a_damaged_list_vouches_for_nothing(folder: Path) -> None:
    path = folder / sums.NAME
    whole = path.read_bytes()
    for at in range(len(sums.HEAD), len(whole)):
        content = bytearray(whole)
        content[at] ^= 4
        path.write_bytes(content)
        assert sums.faults(folder), at
        path.write_bytes(whole[:at])
        assert sums.faults(folder), at


def test_a_list_of_somebody_else_is_none_of_ours(folder: Path) -> None:
    (folder / sums.NAME).write_text(f"{'0' * 64}  a.txt\n")
    assert sums.listed(folder) is None
    assert read_text(folder / "a.txt")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "before")

    def fail(partial: Path) -> None:
        partial.write_text("after")
        raise KeyError

    with pytest.raises(KeyError), replacing(tmp_path / "a") as partial:
        fail(partial)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "before"


def test_a_folder_for_a_while_is_swept_once_its_process_is_gone(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys, tas.whole as whole\n"
        "with whole.scratch(pathlib.Path(sys.argv[1])) as home:\n"
        "    (home / 'net.onnx').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert [p.name for p in tmp_path.glob("*/net.onnx")] == ["net.onnx"]
    (tmp_path / f"{SCRATCH}made").mkdir()  # killed before it was held
    with scratch(tmp_path) as first, scratch(tmp_path) as second:
        assert sorted(tmp_path.iterdir()) == sorted([first, second])
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_left_is_swept(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "mine")
    (tmp_path / ".partial.1.a").write_text("half")
    (tmp_path / ".partial.1").mkdir()
    (tmp_path / ".partial.1" / "b").write_text("half")
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    shutil.rmtree(tmp_path)
    sweep(tmp_path)  # nothing there, nothing to do
