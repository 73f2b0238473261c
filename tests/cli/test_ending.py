"""A process of a run dies, the disk is full, memory too small: the run says so and ends."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tas.api import session as runs
from tas.cli import ending, main
from tas.training import checkpoint
from tas.training.checkpoint import STATES

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")

WORDS = "train --data digits --net resnet20 --epochs 1000 --batch-size 512 --device cpu --out"


def begun(rank: int, port: int, out: Path) -> subprocess.Popen[str]:
    """One of two processes, as a launcher starts it."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    environment = {name: str(value) for name, value in numbers.items()}
    environment |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "tas", *WORDS.split(), str(out)],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_that_dies_ends_the_others(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = tmp_path / "run"
    first, second = (begun(rank, port, out) for rank in range(2))
    try:
        begin = time.monotonic()
        while checkpoint.latest(out / "checkpoint" / "train") is None:
            assert first.poll() is None, first.stderr.read() if first.stderr else ""
            assert time.monotonic() - begin < 120
            time.sleep(0.1)
        second.kill()
        _, said = first.communicate(timeout=30)
    finally:
        first.kill()
        second.kill()
    assert first.returncode == 1
    assert "process 0: another process of this run has ended: every finished epoch is" in said
    assert f"tas {WORDS} {out}" in said
    assert "Traceback" not in said
    kept = checkpoint.latest(out / "checkpoint" / "train")
    assert kept is not None
    states = torch.load(kept / STATES, weights_only=True)
    assert {"module", "optimizer"} <= states.keys()


def test_sigterm_is_answered_even_while_a_library_waits() -> None:
    program = (
        "import ctypes, os, signal, threading\n"
        "from tas.cli.ending import on_sigterm\n"
        "with on_sigterm(lambda: print('saved', flush=True)):\n"
        "    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()\n"
        "    ctypes.CDLL(None).system(b'sleep 0.7')  # Python comes to no instruction of its own\n"
        "    print('never')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "saved\n")


def test_only_what_another_process_leaves_behind_counts_as_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = RuntimeError("[gloo/transport/tcp/pair.cc:544] Connection closed by peer [127.0.0.1]")
    assert not ending.lost(gone)  # there is no other process
    monkeypatch.setattr("tas.processes.count", lambda: 2)
    assert ending.lost(gone)
    assert not ending.lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_a_full_disk_says_how_to_go_on_and_the_run_goes_on(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    command = [sys.executable, "-m", "tas", "train", "--net", "resnet20", "--epochs", "1"]
    command += ["--batch-size", "512", "--out", out]
    full = subprocess.run(  # no file of more than half a megabyte
        ["bash", "-c", f"ulimit -f 500; exec {shlex.join(command)}"], capture_output=True, text=True
    )
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    assert f"'{out}' cannot be written" in full.stderr
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_too_little_memory_is_one_line_and_anything_else_is_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: object, **__: object) -> torch.Tensor:
        return torch.empty(2**46)  # more than 47 bits of addresses reach

    monkeypatch.setattr("tas.cli.train.train_run", greedy)
    with pytest.raises(SystemExit) as caught:
        main.main(["train", "--net", "resnet20"])
    assert caught.value.code == 2
    assert re.search(r"out of memory \(when allocating [\d,]+\.\d\d GiB\)", capsys.readouterr().err)
    cuda = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has")
    assert "(when allocating 20.00 MiB): give a smaller" in (ending.out_of_memory(cuda) or "")
    assert ending.out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: int
) -> None:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("tas.cli.main.OTHERS_WAIT_SECONDS", 0.0)
    main.main(["macs", "resnet20"])
    runs.say("hello")
    spoken = capsys.readouterr()
    assert ("multiply-adds" in spoken.out) == ("hello" in spoken.err) == (rank == 0)
    with pytest.raises(SystemExit):
        main.main(["macs", "resnet21"])
    error = capsys.readouterr().err  # a mistake may be met by one process alone
    assert ("process 1: " in error) == (rank == 1)
    assert "resnet21" in error
