"""The report of a run says what its net answers, where net and pictures are at hand."""

import json
import re
from pathlib import Path

import pytest
import torch

import tas
from helpers import randomise_norms
from tas import nets
from tas.api import report
from tas.cli.main import main

DIGITS = tuple(map(str, range(10)))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What a run for the digits leaves."""
    torch.manual_seed(0)
    net = nets.build("resnet20", 10, (1, 8, 8)).eval()
    randomise_norms(net)
    data = tas.data.load("digits")
    how = {"transform": data.transform, "classes": DIGITS, "provenance": {"data": "digits"}}
    path = tas.save(net, tmp_path / "run", **how)
    full = nets.measured(nets.full_shape("resnet20", 10, (1, 8, 8)))
    rows = [{"name": "unpruned", "macs": full.macs, "params": full.params}]
    (path / "result.json").write_text(json.dumps({"rows": rows, "full_shape": full.to_dict()}))
    return path


def test_it_has_the_answers_on_all_test_pictures(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", str(run)])
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    details = json.loads((run / "details.json").read_text())
    data = tas.data.load("digits")
    net = tas.load(run)
    tested = tas.evaluate(net, data, progress=False)
    assert 100 * details["right"] / details["tested"] == pytest.approx(tested["accuracy"])
    counted = tas.costs.count(net, data.input)
    assert sum(layer["macs"] for layer in details["layers"]) == counted.macs
    assert all(layer["macs"] == layer["unpruned"] for layer in details["layers"])
    assert all(layer["ms"] > 0 < layer["unpruned_ms"] for layer in details["layers"])
    with torch.no_grad():
        answers = net(data.transform.normalise(data.test.pixels)).argmax(1)
    for given, answered, times, of in details["confused"]:
        assert given != answered
        those = data.test.labels == int(given)
        assert (int(those.sum()), int((answers[those] == int(answered)).sum())) == (of, times)
    assert all(p["class"] != p["answers"][0][0] for p in details["wrong_pictures"])
    assert all(p["class"] == p["answers"][0][0] for p in details["right_pictures"])
    page = (run / "report.html").read_text(encoding="utf-8")
    assert len(re.findall("<div class=.card.>", page)) >= len(details["wrong_pictures"]) > 0


def test_without_pictures_it_has_the_layers_and_later_the_rest(run: Path) -> None:
    (run / "SHA256SUMS").unlink()  # of the folder as it was
    config = json.loads((run / "config.json").read_text())
    there = json.dumps(config)
    config["provenance"]["data"] = "gone/away"
    (run / "config.json").write_text(json.dumps(config))
    report(run)
    assert "tested" not in json.loads((run / "details.json").read_text())
    assert "Where the multiply-adds and the time go" in (run / "report.html").read_text(
        encoding="utf-8"
    )
    (run / "config.json").write_text(there)
    report(run)
    assert "tested" in json.loads((run / "details.json").read_text())


def test_without_a_net_it_is_the_report_alone(run: Path) -> None:
    for name in ("SHA256SUMS", "model.safetensors"):
        (run / name).unlink()
    assert report(run) == run / "report.html"
    assert not (run / "details.json").exists()


def test_a_page_of_one_run_lies_in_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["report", str(run), "--out", "other.html"])
    assert "--out other.html is for several runs" in capsys.readouterr().err
