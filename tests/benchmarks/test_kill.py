"""Laws of what is killed: it goes on to the same bytes, and what differs is found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import kill
from tas import processes
from tas.runs import RunDir
from tas.training import Classification, fit
from tiny_training import TinyBatches, tiny_net, tiny_options

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")


def job(out: Path) -> None:
    """What every run does with its directory, with a net of a few weights."""
    directory = RunDir.open(out, {"net": "tiny"})
    if processes.agreed(directory.finished):
        return
    task = Classification(tiny_net(), tiny_options(epochs=3))
    fit(task, TinyBatches(batches=1), out=directory, progress=False, device="cpu")
    directory.save_model(task.module)
    directory.finish({"rows": [{"name": "tiny"}]})


@pytest.mark.parametrize(("count", "every"), [(1, 5), (2, 24)])
def test_a_run_killed_at_an_operation_goes_on_to_the_same_bytes(
    tmp_path: Path, count: int, every: int
) -> None:
    """At some of them: ``benchmarks/kill.py`` is for all, and for whole runs."""
    program = (  # in a process of its own: one that has trained cannot be forked and train again
        "import json, pathlib, sys, kill, test_kill\n"
        f"bench = kill.Bench(test_kill.job, pathlib.Path(sys.argv[1]), processes={count})\n"
        f"print(json.dumps(bench.at_operations({every}, kill.VICTIMS[: 2 * {count} - 1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    tried = json.loads(done.stdout)
    assert len(tried) >= 4
    assert [wrong for wrong in tried.values() if wrong] == []


def test_a_difference_is_found(tmp_path: Path) -> None:
    def careless(out: Path) -> None:
        os.mkdir(out) if not out.exists() else None
        if not (out / "result").exists():
            with open(out / "log", "a") as file:
                file.write("half and half")
            (out / "result").write_text("done")

    tried = kill.Bench(careless, tmp_path).at_operations()
    assert any("run/log" in wrong for wrong in tried.values())


def test_kills_that_are_in_the_log_are_not_repeated(tmp_path: Path) -> None:
    def quick(out: Path) -> None:
        out.mkdir(exist_ok=True)

    log = kill.Log(tmp_path / "log")
    kill.Bench(quick, tmp_path, log=log).at_operations()
    before = (tmp_path / "log").read_text()
    again = kill.Bench(quick, tmp_path, log=kill.Log(tmp_path / "log"))
    assert again.at_operations() == log.known != {}
    assert (tmp_path / "log").read_text() == before


def test_what_is_killed_is_what_was_not_flushed(tmp_path: Path) -> None:
    def write(out: Path) -> None:
        out.mkdir(exist_ok=True)
        with open(out / "a", "w") as file:
            file.write("12345678")
            file.flush()
            os.fsync(file.fileno())

    found = []
    with kill.fresh(tmp_path) as out:
        (points,) = kill.done(write, out)
    for at in range(1, points + 1):
        with kill.fresh(tmp_path) as out:
            kill.done(write, out, kill.Kill(at))
            found.append((out / "a").read_text() if (out / "a").exists() else None)
    # Before the folder is made, before and after the file is; half of it; not flushed.
    assert found == [None, None, "", "1234", "12345678", "1234"]
