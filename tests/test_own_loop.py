"""What the README and the page on one's own loop show works as it is written there."""

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
    def make_model() -> nn.Module:
        ends = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)
        return nn.Sequential(conv(3, 12), conv(12, 12), *ends)

    loader = [(torch.randn(32, 3, 8, 8), torch.arange(32) % 4) for _ in range(2)]
    names = {"loader": loader, "make_model": make_model, "your_loss": F.cross_entropy}
    names |= {"model": trained(make_model)}
    exec(
        compile(next(b for b in blocks("README.md") if "tas.distil" in b), "README.md", "exec"),
        names,
    )
    small: Any = names["small"]
    assert sum(p.numel() for p in small.parameters()) < sum(
        p.numel() for p in make_model().parameters()
    )


def test_the_page() -> None:
    target = torch.randint(4, (16, 16, 16))
    loader = [{"image": torch.randn(16, 3, 16, 16), "target": target} for _ in range(2)]
    names: dict[str, Any] = {"loader": loader, "make_model": UNet, "model": trained(UNet)}
    for block in blocks("docs/own-loop.md"):
        exec(compile(block, "own-loop.md", "exec"), names)
    assert type(names["smaller"]) is UNet
    assert names["again"].shape.macs < names["found"].shape.macs
