"""What the command says last is true: of its output, of its files, of what it was given."""

import errno
import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from tas.cli import ending
from tas.cli.main import VERBS, main
from tas.cli.output import heard

TEXTS = [
    (verb, f.name)
    for verb, (kind, _) in VERBS.items()
    for f in fields(kind)
    if str in (hint := get_type_hints(kind)[f.name], *getattr(hint, "__args__", ()))
    and "positional" not in f.metadata
]


def test_a_closed_pipe_ends_quietly_and_not_as_success(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(SystemExit) as left, heard():
            print("nobody reads it")
        assert sys.stdout is closed
    assert left.value.code == 141
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux alone has such a device")
def test_a_full_standard_output_is_not_taken_for_the_runs_own_disk(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as left:
            main(["shapes"])
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the output cannot be written (No space left on device)")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("number", "name", "expected"),
    [
        (errno.ENOENT, "run/log.jsonl", "was moved, removed or replaced while the run wrote"),
        (errno.ENOTDIR, "run/checkpoint/a", "was moved, removed or replaced while the run wrote"),
        (errno.EPERM, "run/log.jsonl", "may not be written any more"),
        (errno.ENOSPC, "run/log.jsonl", "make room"),
        (errno.ENOSPC, None, "make room"),
        (errno.ENOENT, "pictures/a.png", None),
        (errno.ENOENT, None, None),
    ],
)
def test_what_went_out_from_under_a_run_is_named(
    number: int, name: str | None, expected: str | None
) -> None:
    said = ending.cut_off(OSError(number, os.strerror(number), name), Path("run"))
    assert (said is None) == (expected is None)
    assert (expected or "") in (said or "")
    assert ending.cut_off(ValueError("another mistake"), Path("run")) is None


def test_a_killed_process_that_reads_pictures_is_named() -> None:
    error = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    assert "(killed by signal: Killed), most often for want of memory" in (
        ending.worker_lost(error) or ""
    )
    assert ending.worker_lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


@pytest.mark.parametrize(("verb", "name"), TEXTS)
def test_an_option_that_is_given_as_nothing_is_an_error(
    verb: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"eval": ["a"], "predict": ["a", "b"], "export": ["a"], "latency": ["a"]}
    words |= {"macs": ["a"], "report": ["a"], "shapes": []}
    with pytest.raises(SystemExit) as left:
        main([verb, *words.get(verb, []), f"--{name.replace('_', '-')}", ""])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: --{name.replace('_', '-')} ")
    assert said.count("\n") == 1


def test_ctrl_c_while_modules_are_imported_is_no_traceback() -> None:
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # whatever started the tests
        "from tas.cli import early\n"
        "early.end_at_once()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('never')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_what_a_shell_told_not_to_hear_ctrl_c_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        main(["macs", "resnet20"])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
