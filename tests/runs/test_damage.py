"""Every file of a run, damaged in every way: that is recognised, or makes no difference."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tas import nets
from tas.errors import InputError
from tas.records import read_result
from tas.report import html
from tas.runs import ModelConfig, RunDir
from tas.shape import Shape
from tas.sums import NAME as SUMS
from tas.training import Classification, fit
from tas.weights import load_weights
from tiny_training import TinyBatches, tiny_net, tiny_options

STATES = ("checkpoint/train/epoch-0001", "checkpoint/train/epoch-0002")
CHECKPOINT = ("SHA256SUMS", "progress.json", "states.pt")
BEGUN = (SUMS, "config.json", "config.yaml", "log.jsonl")
LEFT = (*BEGUN, "model.safetensors", "result.json", "shape.json", "teacher.safetensors")
KEPT = tuple(f"{folder}/{name}" for folder in STATES for name in CHECKPOINT)


def flipped(part: float) -> Callable[[bytes, bytes], bytes]:
    """With one bit the other way."""

    def flip(content: bytes, _: bytes) -> bytes:
        changed = bytearray(content)
        changed[min(int(part * len(content)), len(content) - 1)] ^= 1
        return bytes(changed)

    return flip


def another_digit(content: bytes, _: bytes) -> bytes:
    """With the last digit another one, which is as good a number."""
    place = max(content.rfind(digit) for digit in (b"3", b"0", b"1"))
    changed = bytearray(content)
    if place >= 0:
        changed[place] = ord("7")
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes, bytes], bytes | str | None]] = {
    **{f"a bit at {part}": flipped(part) for part in (0.1, 0.5, 0.9)},
    "another digit": another_digit,
    "empty": lambda content, _: b"",
    "half": lambda content, _: content[: len(content) // 2],
    "its end missing": lambda content, _: content[:-1],
    "its beginning missing": lambda content, _: content[1:],
    "more": lambda content, _: content + b"x",
    "a line more": lambda content, _: content + b"\n",
    "twice": lambda content, _: content * 2,
    "zeros": lambda content, _: bytes(len(content)),
    "noise": lambda content, _: bytes((7 * i + 101) % 251 for i in range(len(content))),
    "halves the wrong way round": lambda c, _: c[len(c) // 2 :] + c[: len(c) // 2],
    "no text": lambda content, _: b"\xff\xfe" + content,
    "line ends of Windows": lambda content, _: content.replace(b"\n", b"\r\n") + b"\r\n",
    "another file": lambda _, other: other,
    "missing": lambda content, _: None,
    "a folder": lambda content, _: "folder",
    "a link that leads nowhere": lambda content, _: "link",
}


def job(out: Path, **batches: Any) -> None:
    """A run, as the verbs do it; with nets of a few weights."""
    directory = RunDir.open(out, {"net": "tiny", "epochs": 3})
    if directory.finished:
        return
    directory.begin(ModelConfig({"colour": "grey"}, ("a", "b")))
    task = Classification(tiny_net(), tiny_options(epochs=3))
    fit(task, TinyBatches(batches=1, **batches), out=directory, progress=False, device="cpu")
    directory.save_weights(task.module, "teacher.safetensors")
    directory.save_shape(nets.read_shape("C010-ResNet20"))
    directory.save_model(task.module)
    directory.finish(
        {"rows": [{"name": "tiny", "macs": 5, "params": 7, "accuracy": 50.0, "seconds": 1.0}]}
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that was interrupted in its third epoch, and the finished one."""
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", lambda: 0.0)
        with pytest.raises(KeyboardInterrupt):
            job(home / "begun", break_at=(3, 0))
        job(home / "finished")
    return home / "begun", home / "finished"


def damaged(whole: Path, out: Path, name: str, damage: str) -> bool:
    """A copy of a run with one damage; whether that changes anything at all."""
    shutil.copytree(whole, out, ignore=shutil.ignore_patterns(".lock"))
    file = out / name
    before = file.read_bytes()
    others = sorted(path for path in file.parent.iterdir() if path.is_file() and path != file)
    after = DAMAGES[damage](before, others[0].read_bytes())
    file.unlink()
    if after == "folder":
        file.mkdir()
    elif after == "link":
        file.symlink_to("nowhere")
    elif isinstance(after, bytes):
        file.write_bytes(after)
    return after != before


def told(error: InputError, out: Path) -> bool:
    return str(out) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("name", [*BEGUN, *KEPT])
def test_a_run_goes_on_to_the_same_bytes_or_says_what_is_damaged(
    states: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    begun, finished = states
    wanted, wrong = tree(finished), []
    for number, damage in enumerate(DAMAGES):
        out = tmp_path / str(number)
        damaged(begun, out, name, damage)
        try:
            job(out)
        except InputError as error:
            if not told(error, out):
                wrong.append(f"{damage}: {error}")
        except Exception as error:  # what a user would see as a traceback
            wrong.append(f"{damage}: {error!r}")
        else:
            found = tree(out)
            # A checkpoint that can be gone on from stays as it is.
            unread = {name} & set(KEPT)
            wrong += [f"{damage}: {n}" for n in wanted.keys() - unread if found.get(n) != wanted[n]]
            wrong += [f"{damage}: {n} left over" for n in found.keys() - wanted.keys()]
    assert wrong == []


READERS: dict[str, Callable[[Path], object]] = {
    "config.json": ModelConfig.beside,
    "config.yaml": RunDir.recorded,
    "model.safetensors": lambda out: weights(out / "model.safetensors"),
    "result.json": lambda out: read_result(out / "result.json"),
    "shape.json": lambda out: Shape.load(out / "shape.json"),
    "teacher.safetensors": lambda out: weights(out / "teacher.safetensors"),
}


def weights(path: Path) -> list[bytes]:
    net = tiny_net(seed=9)
    load_weights(net, path)
    return [value.numpy().tobytes() for value in net.state_dict().values()]


@pytest.mark.parametrize("name", [*LEFT, *KEPT])
def test_a_finished_run_is_read_as_it_was_written_made_again_or_refused(
    states: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    finished = states[1]
    name = name.replace("0002", "0003").replace("0001", "0002")  # those that are kept
    wanted = {reader: READERS[reader](finished) for reader in READERS}
    whole, wrong = tree(finished), []
    for number, damage in enumerate(DAMAGES):
        out = tmp_path / str(number)
        damaged(finished, out, name, damage)
        for reader in READERS:
            try:
                found = READERS[reader](out)
            except InputError as error:
                if not told(error, out):
                    wrong.append(f"{damage}: {reader}: {error}")
            except Exception as error:
                wrong.append(f"{damage}: {reader}: {error!r}")
            else:
                gone = damage in ("missing", "a link that leads nowhere") and reader == name
                if found != wanted[reader] and not gone:
                    wrong.append(f"{damage}: {reader} is read as another")
        try:
            job(out)
        except InputError as error:
            if not told(error, out):
                wrong.append(f"{damage}: {error}")
        except Exception as error:
            wrong.append(f"{damage}: {error!r}")
        else:
            again = tree(out)
            unread = {name} if name.startswith("checkpoint") or name == SUMS else set()
            wrong += [
                f"{damage}: {n} was not made again"
                for n in whole.keys() - unread
                if again.get(n) != whole[n]
            ]
    assert wrong == []


@pytest.mark.parametrize("name", ["config.yaml", "log.jsonl", "result.json", "shape.json"])
def test_no_report_is_drawn_of_a_damaged_run(
    states: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    for number, damage in enumerate(("another digit", "half", "missing", "a folder")):
        out = tmp_path / str(number)
        damaged(states[1], out, name, damage)
        with pytest.raises(InputError) as caught:
            html(out)
        assert told(caught.value, out)
