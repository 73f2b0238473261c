"""What a tracker is told: the log, once; and that none of them can stop or change a run."""

import importlib.machinery
import json
from pathlib import Path
from typing import Any

import pytest

import tas.api
from tas import sums
from tas.errors import InputError
from tas.training import trackers

SMALL: dict[str, Any] = {"net": "resnet20", "epochs": 2, "warmup_epochs": 0, "batch_size": 256}


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def test_tensorboard_reads_the_log_once_and_the_run_is_the_same(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tas.api.train_run(**SMALL, out=str(tmp_path / "alone"))
    out = tmp_path / "told"
    done = tas.api.train_run(**SMALL, tracker="tensorboard", out=str(out))
    assert weights(out) == weights(tmp_path / "alone")
    assert not sums.faults(out)
    assert not any("trackers" in name for name in sums.listed(out) or {})

    (out / "result.json").unlink()  # so that the run goes on, from its last checkpoint
    tas.api.train_run(**SMALL, tracker="tensorboard", out=str(out))
    events = reader.EventAccumulator(str(out / "trackers" / "tensorboard")).Reload()
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for figure in ("loss", "test_accuracy", "seconds"):
        read = [(e.step, e.value) for e in events.Scalars(f"train/{figure}")]
        assert read == [(e["epoch"], pytest.approx(e[figure])) for e in log if figure in e]
    (final,) = events.Scalars("result/resnet20 trained/accuracy")
    assert final.value == pytest.approx(done.result["rows"][-1]["accuracy"])
    assert list(out.glob("trackers/tensorboard/*/hparams.yml"))


def test_a_tracker_that_fails_is_left_out_and_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    kind = trackers.tracking.TensorBoardTracker

    def log(*_: Any, **__: Any) -> None:
        raise ConnectionError("the network is gone")

    monkeypatch.setattr(kind, "log", log)
    done = tas.api.train_run(**SMALL, tracker="tensorboard", out=str(tmp_path / "run"))
    assert done.result["rows"]
    said = capsys.readouterr().err
    assert said.count("warning: --tracker tensorboard failed") == 1
    assert "the network is gone" in said


def test_what_is_missing_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, importlib.machinery.ModuleSpec | None] = {}
    monkeypatch.setattr(trackers, "find_spec", known.get)
    with pytest.raises(InputError, match="--tracker mlflow needs: pip install mlflow"):
        tas.api.train_run(**SMALL, tracker="mlflow", out=str(tmp_path / "run"))
    with pytest.raises(InputError, match=r"pip install 'torch-tas\[trackers\]'"):
        tas.api.train_run(**SMALL, tracker="tensorboard", out=str(tmp_path / "run"))
    with pytest.raises(InputError, match="did you mean 'tensorboard'"):
        tas.api.train_run(**SMALL, tracker="tensorbord", out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
