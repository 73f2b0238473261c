"""Laws of a run directory: one run only, which is continued, never overwritten."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
import yaml

from tas import sums
from tas.errors import InputError
from tas.runs import ModelConfig, RunDir
from tas.runs.rundir import TABLE
from tas.weights import load_weights
from tiny_training import assert_same_bits, state_of, tiny_net

CONFIG = {"net": "resnet20", "train": {"lr": 0.1, "label_smoothing": 0.0}, "sizes": (8, 8)}
LINE = {"phase": "teacher", "epoch": 1}


def test_the_same_configuration_continues(tmp_path):
    path = tmp_path / "runs" / "a"
    first = RunDir.open(path, CONFIG)
    first.log({"phase": "teacher", "epoch": 1})
    again = RunDir.open(str(path), CONFIG)
    assert again.log_lines == [{"phase": "teacher", "epoch": 1}]
    assert again.config == first.config == RunDir.recorded(path)
    assert yaml.safe_load((path / "config.yaml").read_text())["train"]["lr"] == 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net": "resnet32"}, "with --net resnet20, not resnet32: choose another --out"),
        ({"train": {"lr": 0.05, "label_smoothing": 0.1}}, "with --train.lr 0.1, not 0.05"),
        (
            {"train": {"lr": 0.1, "label_smoothing": 0.1}},
            "with --train.label-smoothing 0.0, not 0.1",
        ),
        ({"budget": "0.5"}, "without --budget, not with 0.5"),
    ],
)
def test_another_configuration_is_refused_and_the_option_named(tmp_path, change, message):
    RunDir.open(tmp_path / "a", CONFIG).log(LINE)
    with pytest.raises(InputError) as error:
        RunDir.open(tmp_path / "a", CONFIG | change)
    assert f"--out {tmp_path / 'a'} holds a run {message}" in str(error.value)
    assert "\n" not in str(error.value)
    assert RunDir.recorded(tmp_path / "a")["net"] == "resnet20"


def test_an_option_that_is_gone_is_named(tmp_path):
    RunDir.open(tmp_path, CONFIG | {"budget": "0.5"}).log(LINE)
    with pytest.raises(InputError, match=r"with --budget 0\.5, not without it"):
        RunDir.open(tmp_path, CONFIG)


def test_a_command_that_did_nothing_keeps_no_directory(tmp_path):
    RunDir.open(tmp_path, CONFIG).keep_log("teacher", [])  # its first epoch failed
    RunDir.open(tmp_path, CONFIG | {"net": "resnet32"}).log(LINE)
    assert RunDir.recorded(tmp_path)["net"] == "resnet32"
    with pytest.raises(InputError, match="with --net resnet32, not resnet20"):
        RunDir.open(tmp_path, CONFIG)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_mistake_leaves_no_directory_and_work_does(tmp_path, fresh):
    path = tmp_path / "runs" / "a"
    (tmp_path / "other").mkdir()
    for done in ([], [LINE]):
        directory = RunDir.open(RunDir.fresh(path) if fresh else path, CONFIG)
        if done:
            directory.keep_log("teacher", done)
        with pytest.raises(InputError, match="found late"), directory.claimed():
            raise InputError("found late")
        assert path.exists() == bool(done)
    assert RunDir.recorded(path)["net"] == "resnet20"
    with pytest.raises(InputError), RunDir.open(tmp_path / "other", CONFIG).claimed():
        raise InputError("in a directory of the user's own")
    assert (tmp_path / "other").is_dir()


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match=r"holds other files \('thesis.txt'\)"):
        RunDir.open(tmp_path, CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "a").write_text("")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(InputError, match="is a file: choose a directory"):
            RunDir.open(path, CONFIG)


def test_a_directory_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:  # chmod would not stop a root user
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)"):
        RunDir.open(tmp_path / "a", CONFIG)


def test_a_configuration_is_data_not_code(tmp_path):
    (tmp_path / "config.yaml").write_text("a: !!python/object/apply:os.mkdir [gotcha]\n")
    with pytest.raises(InputError, match="is not YAML that can be used"):
        RunDir.open(tmp_path, CONFIG)
    (tmp_path / "config.yaml").write_text("just words")
    with pytest.raises(InputError, match="is not the configuration of a run"):
        RunDir.open(tmp_path, CONFIG)
    assert not os.path.exists("gotcha")


def test_a_finished_run_is_never_overwritten(tmp_path):
    out = RunDir.open(tmp_path, CONFIG)
    assert not out.finished
    out.finish({"rows": [{"name": "a"}]})
    again = RunDir.open(tmp_path, CONFIG)
    assert again.finished
    with pytest.raises(InputError, match="holds a finished run"):
        again.finish({"rows": [{"name": "b"}]})
    assert again.result == {"rows": [{"name": "a"}]}


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000, "\x80"], ids=range(5))
def test_a_damaged_result_is_named(tmp_path, content):
    out = RunDir.open(tmp_path, CONFIG)
    (tmp_path / "result.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"result.json' is damaged \(.+\): remove it, and"):
        out.result  # noqa: B018


@pytest.mark.parametrize(
    "broken", ['{"phase": "sea', '{"phase": {"a": 1}', "5", "\x80}", "[" * 9999]
)
def test_a_damaged_line_of_the_log_is_left_out(tmp_path, broken):
    out = RunDir.open(tmp_path, CONFIG)
    out.log({"phase": "search", "epoch": 1})
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(broken.encode("latin-1") + b"\n")
    out.log({"phase": "search", "epoch": 2})
    assert [line["epoch"] for line in out.log_lines] == [1, 2]
    out.keep_log("teacher", [])
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_the_log_of_one_phase_is_replaced(tmp_path):
    out = RunDir.open(tmp_path, CONFIG)
    for phase in ("teacher", "search"):
        for epoch in (1, 2):
            out.log({"phase": phase, "epoch": epoch})
    out.keep_log("search", [{"phase": "search", "epoch": 1}])
    assert [(line["phase"], line["epoch"]) for line in out.log_lines] == [
        ("teacher", 1),
        ("teacher", 2),
        ("search", 1),
    ]


def test_the_model_goes_in_and_comes_out(tmp_path):
    out, net = RunDir.open(tmp_path, CONFIG), tiny_net()
    out.save_model(net.to(memory_format=torch.channels_last))
    other = tiny_net(seed=3)
    load_weights(other, out.model)
    assert_same_bits(state_of(net), state_of(other))
    names = [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")]
    assert sorted(names) == ["config.yaml", "model.safetensors"]


def test_a_directory_in_use_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tas.runs.rundir.LOCK_WAIT_SECONDS", 0.1)
    RunDir.open(tmp_path, CONFIG)
    program = (
        "import filelock, sys, time\n"
        "with filelock.FileLock(sys.argv[1] + '/.lock', timeout=0):\n"
        "    print('locked', flush=True)\n"
        "    time.sleep(60)"
    )
    words = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"  # nobody has it: the run directory is gone
        with pytest.raises(InputError, match=f"--out {tmp_path} is in use by another process"):
            RunDir.open(tmp_path, CONFIG)
        other.kill()
        other.wait()
        mine = RunDir.open(tmp_path, CONFIG)
        assert RunDir.open(tmp_path, CONFIG).config == mine.config  # the same process may
    refused = subprocess.run(words, capture_output=True, text=True)
    assert "Timeout" in refused.stderr


def test_the_first_of_several_processes_writes_alone(tmp_path, monkeypatch):
    first = RunDir.open(tmp_path, CONFIG)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    other = RunDir.open(tmp_path, CONFIG)
    other.log({"phase": "teacher", "epoch": 1})
    other.keep_log("teacher", [{"phase": "teacher", "epoch": 1}])
    other.save_model(tiny_net())
    other.finish({"rows": [{"name": "a"}]})
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["config.yaml"]
    assert not first.finished


def finished(path):
    """A run as it ends, with a checkpoint."""
    out = RunDir.open(path, CONFIG)
    out.begin(ModelConfig({}, ("a", "b")))
    out.keep_log("teacher", [LINE])
    (out.checkpoint("teacher") / "epoch-0001").mkdir(parents=True)
    out.save_model(tiny_net())
    out.finish({"rows": []})
    return out


@pytest.mark.parametrize("name", ["config.json", "config.yaml", "log.jsonl", "result.json"])
def test_a_finished_run_that_was_damaged_is_made_again(tmp_path, capsys, name):
    before = finished(tmp_path)
    assert sums.faults(tmp_path) == {}
    with (tmp_path / name).open("a") as file:
        file.write(" ")
    again = RunDir.open(tmp_path, CONFIG)
    assert f"'{name}' is damaged: made again from the checkpoints" in capsys.readouterr().err
    assert not again.finished
    assert RunDir.recorded(tmp_path) == before.config


def test_a_damaged_run_without_checkpoints_is_an_error(tmp_path):
    finished(tmp_path)
    shutil.rmtree(tmp_path / "checkpoint")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"'model.safetensors' is missing; there is no checkpoint"):
        RunDir.open(tmp_path, CONFIG)


def test_of_a_damaged_table_of_times_nothing_is_made_again(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / TABLE).write_text("{}")
    with pytest.raises(InputError, match="holds other files"):
        finished(tmp_path / "a")
    out = RunDir.open(tmp_path / "b", CONFIG)
    (out.path / TABLE).write_text("measured")
    finished(out.path)
    (out.path / TABLE).write_text("Measured")
    with pytest.raises(InputError, match="measured cannot be made again"):
        RunDir.open(out.path, CONFIG)
    assert out.finished


def test_a_finished_run_of_an_earlier_version_is_read_with_a_note(tmp_path, capsys):
    finished(tmp_path)
    (tmp_path / sums.NAME).unlink()
    assert RunDir.open(tmp_path, CONFIG).finished
    assert "has no SHA256SUMS, as an earlier version left it" in capsys.readouterr().err


def test_a_run_does_not_go_on_from_a_damaged_config(tmp_path):
    out = RunDir.open(tmp_path, CONFIG)
    config = ModelConfig({}, ("a", "b"))
    out.begin(config)
    out.log(LINE)
    (tmp_path / "config.json").write_text(config.text().replace('"a"', '"e"'))
    with pytest.raises(InputError, match=r"config.json' is damaged, says SHA256SUMS beside it"):
        ModelConfig.beside(tmp_path)
    with pytest.raises(InputError, match="otherwise than when this run was begun"):
        RunDir.open(tmp_path, CONFIG).begin(ModelConfig({}, ("b", "a")))
    RunDir.open(tmp_path, CONFIG).begin(config)  # it is the same: written again
    assert ModelConfig.beside(tmp_path) == config
    (tmp_path / "config.yaml").write_text("seed: 1")
    with pytest.raises(InputError, match=r"config.yaml' is damaged, says SHA256SUMS beside it"):
        RunDir.open(tmp_path, CONFIG | {"seed": 2})
    assert RunDir.open(tmp_path, CONFIG).log_lines == [LINE]


def test_a_changed_line_of_the_log_is_left_out(tmp_path):
    out = RunDir.open(tmp_path, CONFIG)
    out.keep_log("search", [{"phase": "search", "epoch": n, "losses": [0.5]} for n in (1, 2)])
    text = (tmp_path / "log.jsonl").read_text()
    (tmp_path / "log.jsonl").write_text(
        text.replace("0.5", "0.4", 1) + '{"phase": "a", "epoch": 1}\n'
    )
    assert [(line["phase"], line["epoch"]) for line in out.log_lines] == [("search", 2), ("a", 1)]


def test_a_directory_of_ones_own_is_never_shared(tmp_path):
    names = [RunDir.fresh(tmp_path / "runs" / "today").name for _ in range(3)]
    assert names == ["today", "today-2", "today-3"]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written|is a file"):
        RunDir.fresh(tmp_path / "file" / "today")


def test_nothing_is_written_into_another_directory_of_the_same_name(tmp_path):
    out = RunDir.open(tmp_path / "run", CONFIG)
    (tmp_path / "run").rename(tmp_path / "moved")
    for act in (lambda: out.log(LINE), lambda: out.keep_log("a", []), lambda: out.finish({})):
        with pytest.raises(FileNotFoundError):
            act()
    (tmp_path / "run").mkdir()
    for act in (lambda: out.log(LINE), lambda: out.keep_log("a", []), lambda: out.finish({})):
        with pytest.raises(FileNotFoundError):
            act()
    assert not list((tmp_path / "run").iterdir())
