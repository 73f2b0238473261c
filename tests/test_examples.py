"""The examples run, as a reader would run them."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_your_own_model() -> None:
    command = [sys.executable, "your_own_model.py", "--epochs", "1", "--trials", "12"]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.search(r"([\d.]+) % with ([\d.]+) of the MACs", done.stdout)
    assert found, done.stdout
    assert 0.495 <= float(found[2]) <= 0.5
    assert "locked: classifier: they are the net's output" in done.stdout


@pytest.mark.parametrize(("name", "figure"), [("segmentation", "mIoU"), ("detection", "mAP")])
def test_a_loop_of_ones_own(
    name: str,
    figure: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name == "detection":
        pytest.importorskip("torchmetrics")
        pytest.importorskip("pycocotools")
    monkeypatch.syspath_prepend(str(EXAMPLES))
    given = f"--data digits --scenes 64 --epochs 1 --trials 4 --out {tmp_path / 'small'}"
    monkeypatch.setattr(sys, "argv", [name, *given.split()])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    found = re.search(rf"{figure} [\d.-]+ with ([\d.]+) of the MACs", capsys.readouterr().out)
    assert found
    assert 0.495 <= float(found[1]) <= 0.5
    assert (tmp_path / "small" / "model.safetensors").is_file()
