"""A call leaves the process as it found it: generators, flags, what Accelerate was told."""

import copy
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

import tas
from tas import recipes
from tas.inherit import Source
from tas.spaces import trace
from tas.training import (
    Classification,
    Distillation,
    evaluate,
    fit,
    recompute_norm_statistics,
    seeded,
    where,
)
from tas.training.accelerate_state import forget
from tiny_training import TinyBatches, tiny_net, tiny_options
from traced_nets import Mixed


def train_by_name() -> None:
    options = replace(recipes.quick().student, epochs=1, warmup_epochs=0, batch_size=64)
    data = tas.data.load("digits")
    few = replace(data, train=data.train.take(torch.arange(128)))
    tas.train("C010-ResNet20", few, options=options, progress=False)


def search_short(net: str | nn.Module, **options: Any) -> None:
    recipe = recipes.quick() if isinstance(net, str) else recipes.quick().inheriting()
    how: dict[str, Any] = {"what": "depth", "subset": 10, "progress": False}
    tas.search(net, "digits", 0.6, options=replace(recipe.search, batch_size=32, **options), **how)


def by_paper() -> None:
    options = replace(recipes.recipe("paper").search, epochs=1, batch_size=32)
    how: dict[str, Any] = {"what": "depth", "subset": 10, "progress": False}
    tas.search("resnet20", "digits", 0.6, options=options, **how)


def by_trials() -> None:
    with seeded(0):
        trained = tas.nets.build("resnet20", 10, (1, 8, 8))
    search_short(trained, trials=10, epochs=1)


def rank() -> None:
    space = trace(Mixed(), torch.zeros(1, 3, 8, 8))
    Source.of(space).ordered((3, 8, 8), lambda: TinyBatches())


NET = tiny_net()


def net() -> nn.Module:
    """``tiny_net`` seeds PyTorch's generator itself."""
    return copy.deepcopy(NET)


def train() -> None:
    fit(Classification(net(), tiny_options(epochs=1)), TinyBatches(), progress=False)


def distil() -> None:
    options = tiny_options(epochs=1, precision="bf16")
    task = Distillation(net(), net(), options)
    fit(task, TinyBatches(), evaluate_on=TinyBatches(), progress=False)


CALLS: dict[str, Callable[[], Any]] = {
    "labels": train,
    "teacher": distil,
    "evaluate": lambda: evaluate(net(), TinyBatches()),
    "where": lambda: where("cpu"),
    "rank": rank,
    "train by name": train_by_name,
    "probes": lambda: search_short("resnet20", probes=2, epochs=1),
    "trials": by_trials,
    "paper": by_paper,
}
# These build nets whose fresh weights are thrown away, and draw them, as anybody would.
DRAWING = ("rank", "trials")


def globals_now() -> dict[str, Any]:
    backends = torch.backends
    return {
        "deterministic": backends.cudnn.deterministic,
        "benchmark": backends.cudnn.benchmark,
        "attention": backends.mha.get_fastpath_enabled(),
        "matmul": torch.get_float32_matmul_precision(),
        "all deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "current device": torch.cuda.current_device() if torch.cuda.is_initialized() else None,
    }


def random_states() -> list[Tensor]:
    on_cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *on_cuda]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_leaves_the_process_as_it_found_it(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    CALLS[call]()  # some modules are imported now, and change filters of warnings
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    forget()  # what other tests have told Accelerate
    mine = Accelerator(cpu=True, mixed_precision="no", gradient_accumulation_steps=4)
    before, numbers = globals_now(), random_states()
    CALLS[call]()
    after = random_states()
    assert globals_now() == before
    assert mine.mixed_precision == "no"
    assert mine.gradient_accumulation_steps == 4
    assert mine.device == torch.device("cpu")
    if call not in DRAWING:
        assert all(map(torch.equal, after, numbers))
    torch.manual_seed(1)
    CALLS[call]()
    assert not torch.equal(random_states()[0], after[0])  # it was not seeded


class Draws(nn.Module):
    """Remembers what it draws, and the flags under which it does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny_net()
        self.seen: list[tuple[float, bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        cudnn = torch.backends.cudnn
        drawn = float(torch.rand(()))
        if len(x) > 2:  # not where it is asked what it bears
            self.seen.append((drawn, cudnn.deterministic, cudnn.benchmark))
        return self.net(x)


def test_a_training_has_numbers_and_flags_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    watched = Draws()
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first = torch.rand(())
    task = Classification(watched, tiny_options(epochs=2))
    fit(task, TinyBatches(batches=1), seed=3, progress=False)
    assert torch.equal(torch.stack([first, torch.rand(())]), expected)  # goes on as without it
    for epoch, seen in enumerate(watched.seen, start=1):
        torch.manual_seed((3 * 1_000_003 + epoch) * 4099)
        assert seen == (float(torch.rand(())), True, False)
    watched.seen.clear()
    evaluate(watched, TinyBatches(batches=1))
    recompute_norm_statistics(watched, TinyBatches(batches=1))
    assert [flags for _, *flags in watched.seen] == [[True, False]] * 2
    assert torch.backends.cudnn.benchmark


def test_a_broken_training_gives_them_back_too() -> None:
    torch.backends.cudnn.deterministic = False
    numbers = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        fit(Classification(net(), tiny_options()), TinyBatches(break_at=(2, 0)), progress=False)
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not torch.backends.cudnn.deterministic


def test_fresh_weights_follow_from_a_seed_and_nothing_else_does() -> None:
    before = torch.get_rng_state()
    with seeded(3):
        first = nn.Linear(2, 2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(3)
    assert torch.equal(nn.Linear(2, 2).weight, first.weight)
