"""The trial: what is wrong is found whatever is drawn, and rounding alone locks nothing."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tas.graph import analyse
from tas.graph.bench import Bench
from tas.graph.rules import table
from tas.graph.rules.table import rule_of
from tas.graph.verify import trial
from tas.spaces import trace


class Around(nn.Module):
    """Something between two layers."""

    def __init__(self, between: Callable[[Tensor], Tensor], width: int = 16) -> None:
        super().__init__()
        self.stem, self.one = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, width, 1)
        self.two, self.head = nn.Conv2d(width, 8, 1), nn.Linear(8, 5)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.head((x + self.two(self.between(self.one(x).relu()))).mean((2, 3)))


class Star(nn.Module):
    """Products of what it makes, block after block and without norms: chaotic in float32."""

    def __init__(self, blocks: int = 9, cubed: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.lefts = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(blocks))
        self.rights = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in range(blocks))
        self.head, self.cubed = nn.Linear(8, 5), cubed

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for left, right in zip(self.lefts, self.rights, strict=True):
            x = left(x) * right(x)
            if self.cubed:
                x = 1e9 * x * x
        return self.head(x.mean((2, 3)))


class Amplified(nn.Module):
    """The sign of a difference that rounding decides, unless it is computed in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.next = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.next(self.stem(x))
        return self.head((y * 1e5).sin().mean((2, 3)))


class InFloat32(Amplified):
    """Part of it is in float32 whatever it is given."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.next(self.stem(x).float().to(x.dtype)).relu()
        return self.head(y.float().mean((2, 3)).to(x.dtype))


def failed(net: nn.Module, dtype: torch.dtype = torch.float32) -> dict[str, str]:
    net, x = net.to(dtype), torch.randn(1, 3, 8, 8, dtype=dtype)
    structure = analyse(net, x)
    candidates = {w.name: range(1, w.atoms + 1) for w in structure.widths}
    assert candidates
    return trial(net, structure, x, candidates).failed


@pytest.mark.parametrize("width", [6, 12, 16, 24, 40])
@pytest.mark.parametrize("by", [1, 2, -1, 5])
def test_rolled_channels_are_found_out(
    by: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(table._RULES, "roll", rule_of("aten::silu"))  # as if it kept their places
    found = failed(Around(lambda x: torch.roll(x, by, 1), width))
    assert set(found) == {"one"}
    assert "computes something else" in found["one"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_factor_that_follows_the_width_is_found_out(dtype: torch.dtype) -> None:
    assert set(failed(Around(lambda x: x * x.shape[1] ** -0.5), dtype)) == {"one"}
    assert failed(Around(lambda x: x * 0.25), dtype) == {}


@pytest.mark.parametrize("kind", [Star, Amplified, InFloat32])
def test_rounding_alone_locks_nothing(kind: Callable[[], nn.Module]) -> None:
    assert failed(kind()) == {}


def test_two_scores_that_happen_to_be_near_lock_nothing() -> None:
    """Rounding is large beside the little that lies between them, once some channels are cut."""
    torch.manual_seed(0)
    layers = [[nn.Linear(size, 32), nn.LayerNorm(32), nn.GELU()] for size in (16, 32)]
    net = nn.Sequential(*layers[0], *layers[1], nn.Linear(32, 2))
    for seed in range(24):
        x = {"input": torch.randn(1, 16, generator=torch.Generator().manual_seed(seed))}
        assert len(trace(net, x).widths) == 2, seed


def test_a_net_whose_answers_would_be_infinite_is_tamed() -> None:
    assert failed(Star(3, cubed=True)) == {}


def test_the_same_is_cut_of_a_choice_whatever_else_is() -> None:
    net, x = Star(2), torch.randn(1, 3, 8, 8)
    structure = analyse(net, x)
    names = [w.name for w in structure.widths]
    bench = Bench(net, structure, x, {w.name: range(1, w.atoms + 1) for w in structure.widths})
    for draw in ("smallest", "first", "any"):
        together, _ = bench._plan(names, draw)
        for name in names:
            alone, _ = bench._plan([name], draw)
            assert torch.equal(alone[name], together[name])
