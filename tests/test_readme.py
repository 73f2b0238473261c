"""What the README and the documents show works as it is written there."""

import re
import shlex
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import tas
from tas import nets, recipes
from tas.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METHOD = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SCALE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").replace("\\\n", " ")
PAGES = "".join(
    path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md"))
    if path.name != "scale.md"
)
COMMANDS = sorted(
    set(re.findall(r"(?:^|`)(tas [a-z]+(?: [^`\n>]*)?)", README + PAGES, re.MULTILINE))
    | set(re.findall(r"(?:^| -m )(tas [a-z]+ --[^`\n>;&]*)", SCALE, re.MULTILINE))
)


def test_its_commands_are_found() -> None:
    assert "tas run" in COMMANDS
    assert sum("--preset" in command for command in COMMANDS) >= 6
    assert sum("/data/imagenet" in command for command in COMMANDS) >= 8


@pytest.mark.parametrize("command", [c for c in COMMANDS if " --" in c and "--help" not in c])
def test_its_commands_are_understood(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [w for w in shlex.split(command)[1:] if w != "--print_config"]
    if "--config" in words:  # its file is written by the command before it
        return
    with pytest.raises(SystemExit) as caught:
        main([*words, "--print_config"])
    assert not caught.value.code, capsys.readouterr().err


def test_its_shapes_exist() -> None:
    for name in re.findall(r"--shape ([\w-]+)", METHOD):
        assert nets.read_shape(name).macs


def test_its_example_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = recipes.quick()
    once = replace(quick.student, epochs=1, warmup_epochs=0)
    search = replace(quick.inheriting().search, trials=4)
    short = replace(quick, student=once, trained_search=search)
    for room in ("tas.api.search", "tas.api.train"):
        monkeypatch.setattr(import_module(room), "quick", lambda: short)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    example = next(block for block in blocks if "tas.search(net" in block)
    exec(compile(example, "README.md", "exec"), {})
    assert re.search(r"\d % with 1,3\d\d,\d\d\d multiply-adds", capsys.readouterr().out)


def test_a_model_is_used_and_several_budgets_are_searched_as_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    data = tas.data.load("digits")
    net = nets.build("resnet20", classes=data.classes, input=data.input)
    tas.save(net, "runs/mine", transform=data.transform, classes=data.class_names)
    Path("photos").mkdir()
    Image.new("L", (8, 8)).save("photos/one.png")
    use = next(b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "guess" in b)
    exec(compile(use, "README.md", "exec"), {})
    assert "one.png" in capsys.readouterr().out
    quick = recipes.quick()
    search = replace(quick.inheriting().search, trials=2)
    short = replace(quick, trained_search=search)
    monkeypatch.setattr(import_module("tas.api.search"), "quick", lambda: short)
    names: dict[str, Any] = {"net": net, "data": data}
    example = re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)[0]
    exec(compile(example, "tutorial.md", "exec"), names)
    assert [found.budget.ratio(found.space) < 0.71 for found in names["found"]] == [True] * 3
