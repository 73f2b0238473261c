"""What the README and the pages on one's own loop show works as it is written there."""

import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import tas
from any_nets import UNet, conv
from helpers import randomise_norms
from tas.recipes import Recipe, quick

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def trained(make: Callable[[], nn.Module]) -> nn.Module:
    net = make()
    randomise_norms(net)
    return net.eval()


def classifier() -> nn.Module:
    ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)
    return nn.Sequential(conv(3, 12), conv(12, 12), *ends)


@pytest.fixture(autouse=True)
def few_trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    few: Any = quick()

    class Few(Recipe):
        def inheriting(self) -> Recipe:
            whole = few.inheriting()
            return replace(whole, search=replace(whole.search, trials=6))

    monkeypatch.setattr(import_module("tas.api.batches"), "quick", lambda: Few(**vars(few)))
    monkeypatch.chdir(tmp_path)


def test_the_readmes_loop() -> None:
    loader = [(torch.randn(32, 3, 8, 8), torch.arange(32) % 4) for _ in range(2)]
    names = {"loader": loader, "make_model": classifier, "your_loss": F.cross_entropy}
    names |= {"model": trained(classifier)}
    exec(
        compile(next(b for b in blocks("README.md") if "tas.distil" in b), "README.md", "exec"),
        names,
    )
    small: Any = names["small"]
    assert sum(p.numel() for p in small.parameters()) < sum(
        p.numel() for p in classifier().parameters()
    )


def test_the_page() -> None:
    target = torch.randint(4, (16, 16, 16))
    loader = [{"image": torch.randn(16, 3, 16, 16), "target": target} for _ in range(2)]
    names: dict[str, Any] = {"loader": loader, "make_model": UNet, "model": trained(UNet)}
    for block in blocks("docs/own-loop.md"):
        exec(compile(block, "own-loop.md", "exec"), names)
    assert type(names["smaller"]) is UNet
    assert names["again"].shape.macs < names["found"].shape.macs


def test_the_page_on_milliseconds(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(blocks("docs/latency.md")[0], "latency.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0


def test_the_page_on_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    block = next(b for b in blocks("docs/ship.md") if "tokens.pt2" in b)
    exec(compile(block, "ship.md", "exec"), {"tas": tas})
    program = torch.export.load("tokens.pt2").module()
    assert program(torch.zeros(5, 7, dtype=torch.long)).shape == (5, 7, 1000)


def of_pixels() -> dict[str, Any]:
    target = torch.randint(4, (16, 16, 16))
    loader = [{"image": torch.randn(16, 3, 16, 16), "target": target} for _ in range(2)]
    return {"loader": loader, "held_out": loader[:1], "classes": 4, "model": trained(UNet)}


def of_boxes() -> dict[str, Any]:
    make_model = import_module("detection").make_model
    box = {"boxes": torch.tensor([[4.0, 4.0, 30.0, 30.0]]), "labels": torch.tensor([1])}
    loader = [(list(torch.rand(4, 3, 64, 64)), [box] * 4)]
    return {"loader": loader, "model": trained(make_model)}


def of_lightning() -> dict[str, Any]:
    pytest.importorskip("lightning")
    pairs = TensorDataset(torch.randn(64, 3, 8, 8), torch.arange(64) % 4)
    return {"loader": DataLoader(pairs, 32), "model": trained(classifier)}


def of_hugging_face() -> dict[str, Any]:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_labels": 4}
    sizes |= {"num_attention_heads": 4, "image_size": 16, "patch_size": 8}
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**sizes))
    dataset = [{"pixel_values": torch.randn(3, 16, 16), "labels": i % 4} for i in range(64)]
    return {"dataset": dataset, "model": model.eval()}


def of_ultralytics() -> dict[str, Any]:
    tasks = pytest.importorskip("ultralytics.nn.tasks")
    layers = [[-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [24, 3, 2]], [-1, 1, "C2f", [24, True]]]
    head = [[[2, 3], 1, "Detect", [3]]]
    config = {"nc": 3, "ch": 3, "backbone": [*layers, [-1, 1, "Conv", [32, 3, 2]]], "head": head}
    model = tasks.DetectionModel(config, verbose=False)
    model.args = import_module("ultralytics.utils").DEFAULT_CFG
    batch = {"img": torch.rand(4, 3, 64, 64), "batch_idx": torch.arange(4.0)}
    batch |= {"cls": torch.zeros(4, 1), "bboxes": torch.full((4, 4), 0.4)}
    return {"loader": [batch], "model": trained(lambda: model)}


@pytest.mark.parametrize(
    ("page", "given"),
    [
        ("segmentation", of_pixels),
        ("detection", of_boxes),
        ("lightning", of_lightning),
        ("hf-trainer", of_hugging_face),
        ("ultralytics", of_ultralytics),
    ],
)
def test_pages_of_tasks_and_frameworks(
    page: str, given: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A net of the same class comes out, within the budget, and has been trained and saved."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    names = given()
    for block in blocks(f"docs/{page}.md"):
        exec(compile(block, page, "exec"), names)
    small, found = names["small"], names["found"]
    assert type(small) is type(names["model"])
    assert found.shape.macs < 0.61 * found.space.unpruned.macs
    fresh = found.derive().state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in small.state_dict().items())
    assert Path("small/model.safetensors").is_file()
