"""A run that is killed at any of its file operations ends, byte for byte, as an undisturbed one."""

import os
import sys
from pathlib import Path

import pytest

from tas.nets import build
from tas.runs import ModelConfig, RunDir
from tas.training import Classification, fit
from tiny_training import TinyBatches, tiny_net, tiny_options

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import kill

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


def job(out: Path) -> None:
    """The steps of a run, with a tiny net."""
    directory = RunDir.open(out, {"lr": 0.1})
    if directory.finished:
        return
    directory.begin(ModelConfig({}, ("a", "b")))
    directory.keep_log("search", [{"phase": "search", "epoch": 1, "losses": [0.5]}])
    for phase, seed in (("teacher", 0), ("student", 1)):
        task = Classification(tiny_net(seed=seed), tiny_options(epochs=3))
        fit(task, TinyBatches(batches=1), phase=phase, out=directory, device="cpu", progress=False)
    directory.save_weights(task.module, "teacher.safetensors")
    directory.save_shape(build("resnet20").shape)
    directory.save_model(task.module)
    directory.save_config(ModelConfig({"colour": "rgb"}, ("a", "b")))
    directory.save_card("a card")
    directory.finish({"rows": [], "seconds_total": 0.0})


def test_a_run_that_is_killed_anywhere_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    # A prime, so that all kinds of operations are met; benchmarks/kill.py takes every one.
    kills, wrong = kill.killed_everywhere(job, tmp_path.resolve(), every=23)
    assert wrong == []
    assert kills == 7


def test_the_shim_kills_and_a_difference_is_seen(tmp_path: Path) -> None:
    def careless(out: Path) -> None:
        out.mkdir(exist_ok=True)
        with (out / "log").open("a") as file:
            file.write("a line")
        (out / "end").write_text("the end")

    kills, wrong = kill.killed_everywhere(careless, tmp_path.resolve())
    assert kills == 4
    assert wrong  # the line is there twice
