"""Two processes learn what one learns from the same global batch, and continue one another's runs.

The laws are checked in float64, where the order of a sum makes no difference that matters.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, nn

import tas
from tas import processes, recipes
from tas.errors import InputError
from tas.methods.paper.masked import MaskedSupernet
from tas.methods.paper.options import PaperOptions
from tas.methods.paper.supernet import Draw, Supernet
from tas.methods.paper.task import Paired, Search
from tas.nets import build
from tas.runs import RunDir
from tas.spaces import resnet_space, trace
from tas.training import Classification, accelerator, fit
from tiny_training import TinyBatches, assert_same_bits, state_of, tiny_net, tiny_options
from traced_nets import Mixed

Share = dict[str, int]  # rank, world
pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")


def net_without_dropout() -> nn.Module:
    """Each process draws a dropout of its own."""
    net = tiny_net()
    net[3] = nn.Identity()
    return net


def train(path: Path, share: Share, break_at: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """A net with synchronised norms, and the mean of its weights; or broken off."""
    net = net_without_dropout()
    options = tiny_options(epochs=3, sync_norms=True, ema=0.5)
    out = RunDir.open(path, {})
    try:
        fit(Classification(net, options), TinyBatches(break_at=break_at, **share), out=out)
    except KeyboardInterrupt:
        assert break_at is not None
    assert type(net[1]) is nn.BatchNorm2d  # as it was
    assert "process_group" not in vars(net[1])
    return state_of(net)


class Watched(Supernet):
    """Remembers what was drawn, and the logits that it was drawn from."""

    def draw(self, tau: float, generator: torch.Generator | None = None) -> Draw:
        drawn = super().draw(tau, generator)
        self.__dict__.setdefault("seen", []).append(
            torch.cat([m.detach().sum(0) for m in drawn.widths.values()])
        )
        return drawn


class WatchedMasks(MaskedSupernet):
    """The same of a traced net."""

    def draw(self, tau: float, generator: torch.Generator | None = None) -> Any:
        drawn: Any = super().draw(tau, generator)
        self.__dict__.setdefault("seen", []).append(drawn.atoms.detach())
        return drawn


def search(path: Path, share: Share) -> dict[str, Tensor]:
    """The state of a supernet after a search, and all that it drew on the way."""
    torch.manual_seed(0)
    net = build("resnet20", classes=4, input=(3, 8, 8))
    return searched(Watched(resnet_space(net)), path, share)


def search_traced(path: Path, share: Share) -> dict[str, Tensor]:
    """The same of a net that is traced, with widths and depths mixed by masks."""
    torch.manual_seed(0)
    return searched(WatchedMasks(trace(Mixed(), torch.zeros(1, 3, 8, 8))), path, share)


def searched(supernet: Watched | WatchedMasks, path: Path, share: Share) -> dict[str, Tensor]:
    options = PaperOptions(epochs=2, lr=0.01, precision="fp32", sync_norms=True)
    pairs = Paired(TinyBatches(**share), TinyBatches(seed=1, **share))
    fit(
        Search(supernet, options, budget=1e5),
        pairs,
        out=RunDir.open(path, {}),
        device="cpu",
        seed=3,
    )
    seen = torch.stack(supernet.__dict__["seen"])
    return {"seen": seen, **state_of(supernet)}


def in_pieces(path: Path, share: Share) -> dict[str, Tensor]:
    """A net whose batches come in pieces, with norms that need no other picture."""
    net = net_without_dropout()
    net[1] = nn.GroupNorm(1, 8)
    options = tiny_options(epochs=1, accumulate=2)
    fit(Classification(net, options), TinyBatches(**share), out=RunDir.open(path, {}))
    return state_of(net)


def frozen(share: Share) -> dict[str, Tensor]:
    """A net of which a convolution and a norm are frozen; checks that they are as they were."""
    net = net_without_dropout()
    for part in (net[0], net[1]):
        part.eval().requires_grad_(False)
    net[1].running_mean.fill_(0.1)
    before = state_of(net[:2])
    fit(Classification(net, tiny_options(epochs=2, sync_norms=True)), TinyBatches(**share))
    assert_same_bits(before, state_of(net[:2]))
    assert [p.requires_grad for p in net.parameters()] == [False] * 3 + [True] * 2
    assert [m.training for m in net][:3] == [False, False, True]
    return state_of(net)


def short_search(trained: bool) -> dict[str, Any]:
    """By probes, or by trials of a net with weights, on a few digits."""
    recipe = recipes.quick()
    if trained:
        options: Any = replace(recipe.inheriting().search, trials=36, batch_size=64)
        torch.manual_seed(0)
        net: Any = build("resnet20", 10, (1, 8, 8))
    else:
        options, net = replace(recipe.search, epochs=1, probes=3, batch_size=64), "resnet20"
    what = "width" if trained else "depth"
    how = {"what": what, "options": options, "subset": 20, "progress": False}
    found = tas.search(net, "digits", 0.5, **how)
    lines = [{k: v for k, v in e.items() if k != "seconds"} for e in found.history.epochs]
    return {"shape": found.shape.to_dict(), "lines": lines}


def agreement(rank: int) -> dict[str, Any]:
    """What processes say to one another."""

    def refuse() -> None:
        raise InputError(f"process {rank} says no")

    with pytest.raises(InputError, match="process 0 says no"):
        processes.by_first(refuse)
    return {
        "agreed": processes.agreed(rank),
        "gathered": processes.gathered(rank),
        "by_first": processes.by_first(lambda: rank),
    }


def work(rank: int, world: int, port: int, path: Path) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    torch.set_num_threads(1)
    accelerator("cpu")
    share = {"rank": rank, "world": world}
    said = {
        **agreement(rank),
        "probes": short_search(trained=False),
        "trials": short_search(trained=True),
    }
    torch.set_default_dtype(torch.float64)
    for name in ("two-then-one", "two-then-two"):
        train(path / name, share, break_at=(3, 0))
    states = {
        "train": train(path / "two", share),
        "again": train(path / "two-then-two", share),
        "continued": train(path / "one-then-two", share),
        "search": search(path / "search", share),
        "traced": search_traced(path / "traced", share),
        "pieces": in_pieces(path / "pieces", share),
        "frozen": frozen(share),
    }
    torch.save({"states": states, "said": said}, path / f"{rank}.pt")
    torch.distributed.destroy_process_group()


ALONE = {"rank": 0, "world": 1}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have been at work, and one before them."""
    path = tmp_path_factory.mktemp("processes")
    torch.set_default_dtype(torch.float64)
    train(path / "one-then-two", ALONE, break_at=(2, 0))
    torch.set_default_dtype(torch.float32)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, (2, port, path), nprocs=2)
    return path


@pytest.fixture(autouse=True)
def _float64() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def of_both(path: Path, what: str) -> tuple[Any, Any]:
    first, second = (torch.load(path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    return first[what], second[what]


def check(expected: dict[str, Tensor], *found: dict[str, Tensor]) -> None:
    for state in found:
        assert state.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(state[name], value, rtol=1e-7, atol=1e-9, msg=name)


def test_two_processes_train_like_one(path: Path, tmp_path: Path) -> None:
    first, second = of_both(path, "states")
    expected = train(tmp_path, ALONE)
    check(expected, first["train"], second["train"])
    one, two = RunDir.open(tmp_path, {}), RunDir.open(path / "two", {})
    assert len(one.log_lines) == len(two.log_lines) == 3  # the first process alone writes
    for a, b in zip(one.log_lines, two.log_lines, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-6)
        assert b["accuracy"] == pytest.approx(a["accuracy"])


def test_batches_in_pieces_on_two_processes_train_like_whole_ones(path, tmp_path) -> None:
    first, second = of_both(path, "states")
    check(in_pieces(tmp_path, ALONE), first["pieces"], second["pieces"])


def test_two_processes_keep_what_is_frozen_and_train_the_rest_like_one(path: Path) -> None:
    first, second = of_both(path, "states")
    check(frozen(ALONE), first["frozen"], second["frozen"])


def test_an_interrupted_run_of_two_ends_bit_for_bit_like_an_uninterrupted_one(path: Path) -> None:
    for states in of_both(path, "states"):
        assert_same_bits(states["again"], states["train"])


def test_a_run_of_one_process_continues_on_two_and_the_other_way_round(path, tmp_path) -> None:
    first, second = of_both(path, "states")
    expected = train(tmp_path, ALONE)
    check(expected, first["continued"], second["continued"])
    begun = RunDir.open(path / "two-then-one", {})
    assert [line["epoch"] for line in begun.log_lines] == [1, 2]
    check(expected, train(path / "two-then-one", ALONE))
    assert [line["epoch"] for line in begun.log_lines] == [1, 2, 3]


@pytest.mark.parametrize(("what", "alone"), [("search", search), ("traced", search_traced)])
def test_two_processes_search_like_one_and_hold_the_same_shape_at_every_step(
    path: Path, tmp_path: Path, what: str, alone: Callable[[Path, Share], dict[str, Tensor]]
) -> None:
    first, second = of_both(path, "states")
    expected = alone(tmp_path, ALONE)
    check(expected, first[what], second[what])
    assert len(expected["seen"]) == 2 * 2 * 3  # two draws a step
    assert not torch.equal(expected["seen"][0], expected["seen"][1])
    assert torch.equal(first[what]["seen"], second[what]["seen"])


@pytest.mark.parametrize("by", ["probes", "trials"])
def test_a_search_side_by_side_finds_what_one_process_finds(path: Path, by: str) -> None:
    first, second = of_both(path, "said")
    torch.set_default_dtype(torch.float32)
    assert short_search(trained=by == "trials") == first[by] == second[by]


def test_processes_agree(path: Path) -> None:
    for said in of_both(path, "said"):
        assert (said["agreed"], said["by_first"], said["gathered"]) == (0, 0, [0, 1])
