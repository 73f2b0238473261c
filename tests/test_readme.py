"""What the README and the documents show works as it is written there."""

import re
import shlex
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from tas import nets, recipes
from tas.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
METHOD = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
SCALE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").replace("\\\n", " ")
HOW_TO = "".join(
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for name in ("tutorial", "own-pictures", "own-loop", "ship")
)
COMMANDS = sorted(
    set(re.findall(r"(?:^|`)(tas [a-z]+(?: [^`\n>]*)?)", README + METHOD + HOW_TO, re.MULTILINE))
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
