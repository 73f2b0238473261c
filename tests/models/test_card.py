"""The model card says what was measured, and what users gave marks nothing up in it."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from test_folder import CLASSES, TRANSFORM, make_net

import tas
from tas import nets
from tas.api.provenance import command
from tas.cli.main import main
from tas.models import card
from tas.models.cards import escaped
from tas.options import RunOptions, TrainRunOptions
from tas.runs import ModelConfig

FACTS = {
    "data": "cifar10",
    "accuracy": 87.614,
    "test_pictures": 10_000,
    "epochs": 12,
    "seed": 3,
    "command": "tas run --data cifar10",
    "unpruned": {"macs": 40_813_184, "params": 272_474, "accuracy": 88.15},
}


def config(**facts: object) -> ModelConfig:
    shape = nets.measured(nets.full_shape("resnet20", 3, (3, 8, 8)))
    return ModelConfig(TRANSFORM.to_dict(), CLASSES, shape, {**FACTS, **facts})


def test_it_says_accuracy_with_all_that_it_depends_on() -> None:
    text = card(config())
    assert (
        "**87.61 %** of the 10,000 test pictures of cifar10, seed 3, after the last of 12" in text
    )
    assert "| unpruned | 40.8 M |" in text
    assert "tas run --data cifar10" in text


def test_the_hub_can_read_it() -> None:
    front = yaml.safe_load(card(config()).split("---\n")[1])
    assert front["library_name"] == "torch-tas"
    assert front["pipeline_tag"] == "image-classification"
    metric = front["model-index"][0]["results"][0]["metrics"][0]
    assert metric == {"type": "accuracy", "value": 0.87614}


def test_an_accuracy_that_was_not_measured_is_not_claimed() -> None:
    text = card(config(accuracy=None))
    assert "Its accuracy was not measured" in text
    assert "model-index" not in text


EVIL = "a|b <script>x</script> [y](http://z) `q` **b** ---\n# head\n```\u202e\x1b[31m"


def test_what_users_gave_marks_nothing_up() -> None:
    evil = replace(config(data=EVIL, notes=[EVIL]), classes=(EVIL, "b", "c"))
    text = card(evil)
    body = text.split("---\n", 2)[2]
    assert yaml.safe_load(text.split("\n---\n")[0])["library_name"] == "torch-tas"
    assert "<script>" not in body
    assert "\n# head" not in body
    assert "\x1b" not in body
    assert "\u202e" not in body
    assert "a\\|b \\<script\\>" in body


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("digits, 0.1.0", "digits, 0.1.0"),
        ("- a", "\\- a"),
        ("12. a", "12\\. a"),
        ("# a", "\\# a"),
        ("www.a.b", "www\\.a.b"),
        ("a\nb", "a\\\\nb"),
    ],
)
def test_a_text_is_no_list_heading_or_link(text: str, source: str) -> None:
    assert escaped(text) == source


def test_a_command_with_a_fence_in_it_stays_in_its_block() -> None:
    body = card(config(command="tas run --data 'a```\n# head'"))
    assert "\n````bash\ntas run --data 'a```\n# head'\n````\n" in body


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("run", RunOptions()),
        ("run", RunOptions(data="a b", budget="22.4M", ratios=[0.5, 1.0], flip=False)),
        ("run", RunOptions(ignore=["stem"], augment=False, net="timm:resnet18", round_to=8)),
        ("train", TrainRunOptions(net="resnet20", inherit=True, teacher="t.pt", seed=-1)),
    ],
)
def test_its_command_gives_the_same_options(
    verb: str, options: object, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command(verb, options, 7))
    with pytest.raises(SystemExit):
        main([*words[1:], "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert type(options)(**found) == replace(options, seed=7)  # type: ignore[type-var]


def test_a_net_of_ones_own_is_loaded_by_its_maker_there(tmp_path: Path) -> None:
    tas.save(make_net(), tmp_path / "a", transform=TRANSFORM, classes=CLASSES)
    assert "make=make_net" in (tmp_path / "a" / "README.md").read_text()
    shape = nets.full_shape("resnet20", 3, (3, 8, 8)).replace(net="mine.nets:build", macs=1)
    text = card(replace(config(), shape=shape))
    assert "from mine.nets import build" in text
    assert re.search(r"tas\.load\(\"\.\", make=build\)", text)
    assert json.loads((tmp_path / "a" / "config.json").read_text())["format"] == "tas-model/1"
