"""What ``tas latency table`` says of the times that it has measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tas.cli.main import main
from tas.costs.latency import LatencyTable


def lines_of(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    given = ["--net", "resnet20", "--measure", "echo {onnx} 5", "--nets", "6", "--out", str(path)]
    main(["latency", "table", *given])
    return capsys.readouterr().out.splitlines()


def test_times_that_are_too_uncertain_are_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    quiet = tmp_path / "quiet.jsonl"
    said = lines_of(quiet, capsys)
    assert any("off by" in line for line in said)
    assert not any("too busy" in line for line in said)
    assert said[-1].endswith(f"--latency-table {quiet}")

    kept, busy = LatencyTable.read(quiet), tmp_path / "busy.jsonl"
    head = quiet.read_text().splitlines()[0]
    rows = [json.dumps(replace(line, uncertain=0.08).to_dict()) for line in kept.lines]
    busy.write_text("\n".join([head, *rows]) + "\n")
    told = [line for line in lines_of(busy, capsys) if "too busy" in line]
    assert len(told) == 1
    assert "uncertain by 8 %" in told[0]
