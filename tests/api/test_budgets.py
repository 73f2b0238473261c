"""Several budgets from one search: a model folder for each, one report, and one price."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import tas
from tas.api import eval_run
from tas.cli.main import main
from tas.errors import InputError
from tas.inherit import Source
from tas.methods import TrialOptions
from tas.methods.trials import evolution
from tas.records import read_log
from tas.training.classification import Classification

NET = f"{__name__}:small"
SHORT: dict[str, Any] = {
    "net": NET,
    "epochs": 1,
    "trials": 10,
    "precision": "fp32",
    "batch_size": 256,
}
NAMES = ("0.4", "0.6")
OF_TIME = (r'"seconds(_total)?": [\d.e-]+', r'"times": \{.*?\n  \}', r', "sha256": "\w+"')


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def whole(path: Path) -> dict[str, Any]:
    """What a run with several budgets left, but for what tells time."""
    found: dict[str, Any] = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file() and "checkpoint" not in p.parts):
        name = str(file.relative_to(path))
        if re.search(r"model\.safetensors|shape\.json|config\.\w+$|teacher", name):
            found[name] = file.read_bytes()
        elif name.endswith((".jsonl", "result.json")):
            text = file.read_text()
            for pattern in OF_TIME:
                text = re.sub(pattern, "", text, flags=re.DOTALL)
            found[name] = text
    return found


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tas.Run:
    path = tmp_path_factory.mktemp("runs") / "both"
    return tas.run(budget=[0.4, 0.6], out=str(path), **SHORT)


def test_every_budget_has_a_model_folder_that_keeps_it(done: tas.Run) -> None:
    rows = {row["name"]: row for row in done.result["rows"]}
    for name, budget in zip(NAMES, done.result["budgets"], strict=True):
        searched = rows[f"{name}: searched, distilled"]
        tested = eval_run(run=str(done.path / name), net=NET, precision="fp32")
        assert tested.figures["accuracy"] == searched["accuracy"]
        assert 0.9 * budget["value"] <= tested.figures["macs"] <= budget["value"]
        assert tas.load(done.path / name, trust=NET).transform is not None
        own = json.loads((done.path / name / "result.json").read_text())
        assert own["budget"] == {k: v for k, v in budget.items() if k != "name"}
        assert own["rows"][2]["macs"] == searched["macs"]
        assert set(own["times"]["ms"]["torch"]) == {row["name"] for row in own["rows"]}
    assert [p.name for p in done.path.rglob("teacher*")].count("teacher.safetensors") == 1


def test_the_next_search_takes_fewer_trials(done: tas.Run) -> None:
    logs = [read_log(done.path / name / "log.jsonl")[0] for name in NAMES]
    states = [[s for x in log if x["phase"] == "search" for s in x["states"]] for log in logs]
    asked = [len(set(map(tuple, each))) for each in states]
    assert asked == [10, 3]


def test_the_report_joins_the_nets_of_a_kind_and_leads_to_each_budget(done: tas.Run) -> None:
    page = done.report().read_text()
    for name in NAMES:
        assert f'href="./{name}/report.html"' in page
        assert (done.path / name / "report.html").is_file()
    assert {row.get("series") for row in done.result["rows"]} == {None, "equal widths", "searched"}
    assert page.count(">searched<") == 2  # one entry of the legend, in a wide figure and a narrow
    assert "Budgets" in page


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    done: tas.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the second search, and before the last training."""
    out = tmp_path / "run"

    def stopped(where: str, function: Any, most: int) -> None:
        calls = []

        def call(*given: Any, **named: Any) -> Any:
            calls.append(1)
            if len(calls) > most:
                raise KeyboardInterrupt
            return function(*given, **named)

        with monkeypatch.context() as patch:
            patch.setattr(where, call)
            with pytest.raises(KeyboardInterrupt):
                tas.run(budget="0.4,0.6", out=str(out), **SHORT)

    stopped("tas.methods.trials.method.evolve", evolution.evolve, 1)
    evaluate = "tas.training.classification.Classification.evaluate"
    stopped(evaluate, Classification.evaluate, 3)
    assert not (out / "0.4" / "result.json").exists()
    tas.run(budget="0.4,0.6", out=str(out), **SHORT)
    assert whole(out) == whole(done.path)


def test_a_damaged_part_is_made_again_by_the_command_of_the_whole(
    done: tas.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(done.path, tmp_path / "run")
    weights = tmp_path / "run" / "0.6" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    tas.run(budget="0.4,0.6", out=str(tmp_path / "run"), **SHORT)
    assert "'0.6/model.safetensors'" in capsys.readouterr().err
    assert whole(tmp_path / "run") == whole(done.path)


def test_channels_are_put_in_order_once_and_the_first_is_searched_as_if_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tas.data.load("digits")
    net = small()
    ordered, made = Source.ordered, []
    monkeypatch.setattr(Source, "ordered", lambda *a, **k: made.append(1) or ordered(*a, **k))
    options = TrialOptions(trials=4, batch_size=256)
    found = tas.search(net, data, budget=[0.5, "0.6"], options=options, progress=False)
    assert len(made) == 1
    assert len(found) == 2
    for each, ratio in zip(found, (0.5, 0.6), strict=True):
        assert each.budget.ratio(each.space) == pytest.approx(ratio, abs=0.001)
        assert (each.shape.macs or 0) <= each.budget.limit
        assert isinstance(each.derive(), nn.Module)
    assert found[0].source is found[1].source
    alone = tas.search(net, data, budget=0.5, options=options, progress=False)
    told = [[each.history.epochs[0][k] for k in ("states", "losses")] for each in (alone, found[0])]
    assert told[0] == told[1]


def test_a_whole_run_is_no_model_and_says_which_folders_are(
    done: tas.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match=r"a model for each of its budgets: give one of .*0\.4'"):
        tas.load(done.path)
    shutil.copytree(done.path / "0.4", tmp_path / "model")  # a part stands for itself
    (tmp_path / "model" / "config.yaml").unlink()
    main(["eval", str(tmp_path / "model"), "--net", NET])
    assert "359 test pictures" in capsys.readouterr().out


def test_parameters_and_search_alone(tmp_path: Path, done: tas.Run) -> None:
    found = tas.api.search_run(
        weights=str(done.path / "teacher.safetensors"),
        budget=["2.5k", 0.7],
        net=NET,
        unit="params",
        trials=4,
        out=str(tmp_path / "found"),
    )
    rows = found.result["rows"]
    assert [row["name"] for row in rows] == ["unpruned", "2.5k: searched", "0.7: searched"]
    assert rows[1]["params"] <= 2_500 < rows[2]["params"] <= 0.7 * rows[0]["params"]
    for name in ("2.5k", "0.7"):
        assert tas.load(tmp_path / "found" / name, trust=NET)


def test_a_mistake_that_the_search_finds_leaves_nothing(tmp_path: Path) -> None:
    how = {"options": TrialOptions(trials=2), "out": tmp_path / "run", "progress": False}
    with pytest.raises(InputError, match="needs trained weights"):
        tas.search("resnet20", "digits", budget=[0.5, 0.6], **how)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "pattern"),
    [
        ("0.3,,0.5", r"in the budgets '0.3,,0.5' one is missing: give each once"),
        ([], r"in the budgets \[\] one is missing"),
        ("0.5,0.50", r"'0.5' stands twice"),
        ("0.5,0.500001", r"the budgets '0.5' and '0.500001' are the same: leave one out"),
        ("0.5,x", r"'x' is not a budget"),
        ("0.5,8ms", r"the budgets are in milliseconds, and '0.5' is not"),
        ("0.001,0.5", r"the budget '0.001' .* cannot be met"),
    ],
)
def test_a_bad_list_is_one_line_and_writes_nothing(
    tmp_path: Path, given: Any, pattern: str
) -> None:
    with pytest.raises(InputError, match=pattern):
        tas.run(budget=given, out=str(tmp_path / "run"), **SHORT)
    assert not (tmp_path / "run").exists()
