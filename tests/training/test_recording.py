"""Steps that are replayed from CUDA graphs compute what steps that are taken one by one do."""

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tas.methods.paper.options import PaperOptions
from tas.methods.paper.supernet import Supernet
from tas.methods.paper.task import Paired, Search
from tas.nets import ARCHITECTURES, full_shape
from tas.spaces import resnet_space
from tas.training import Classification, Distillation, Task, fit
from tas.training.recording import WARM, Recorder
from tiny_training import (
    CLASSES,
    TinyBatches,
    assert_same_bits,
    state_of,
    tiny_net,
    tiny_options,
)

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
EPOCHS = 3


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """An architecture for these tests alone."""
    widths = ((8, 8), (8, 8), (8, 8))
    own = replace(ARCHITECTURES["resnet20"], name="small", blocks=(1, 2, 1), widths=widths)
    monkeypatch.setitem(ARCHITECTURES, "small", own)


def search(graphs: bool, mixing: str, bilevel: bool) -> tuple[Task, object]:
    torch.manual_seed(0)
    space = resnet_space(full_shape("small", CLASSES, (3, 8, 8)))
    options = PaperOptions(
        epochs=EPOCHS, lr=0.01, precision="fp32", bilevel=bilevel, cuda_graphs=graphs
    )
    task = Search(Supernet(space, mixing=mixing), options, space.unpruned.macs / 2)
    return task, Paired(TinyBatches(), TinyBatches()) if bilevel else TinyBatches()


def train(graphs: bool, **changes: object) -> tuple[Task, object]:
    options = tiny_options(epochs=EPOCHS, cuda_graphs=graphs, **changes)
    return Classification(tiny_net(), options), TinyBatches()


def distil(graphs: bool) -> tuple[Task, object]:
    options = tiny_options(epochs=EPOCHS, cuda_graphs=graphs, accumulate=2, ema=0.5)
    return Distillation(tiny_net(), tiny_net(seed=1), options), TinyBatches()


KINDS = {
    "train": train,
    "bf16": lambda graphs: train(graphs, precision="bf16", clip_norm=0.1),
    "distil": distil,
    "interpolate": lambda graphs: search(graphs, "interpolate", True),
    "mask": lambda graphs: search(graphs, "mask", True),
    "mask in one pass": lambda graphs: search(graphs, "mask", False),
}


@needs_a_gpu
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", KINDS)
def test_replayed_steps_train_the_same_net(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replays = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(
        torch.cuda.CUDAGraph, "replay", lambda graph: replays.append(graph) or replay(graph)
    )
    states, logs = [], []
    for graphs in (False, True):
        task, batches = KINDS[kind](graphs)
        history = fit(task, batches, device="cuda", evaluate_on=TinyBatches(), progress=False)
        states.append({k: v.cpu() for k, v in state_of(task.module).items()})
        logs.append([{k: v for k, v in e.items() if k != "seconds"} for e in history.epochs])
        assert bool(replays) == graphs
    if isinstance(task, Search):  # tau is a tensor there, and a division by one rounds otherwise
        for first, second in zip(*(state.values() for state in states), strict=True):
            torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)
    else:
        assert_same_bits(*states)
        assert logs[0] == logs[1]


class Waiting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(x.detach().abs().amax() > 0)


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return -x if random.random() < 0.5 else x


@needs_a_gpu
@pytest.mark.parametrize("odd", [Waiting, Deciding])
def test_a_net_that_cannot_be_recorded_is_trained_as_it_is(odd: type[nn.Module]) -> None:
    losses = []
    for graphs in (False, True):
        net = nn.Sequential(odd(), tiny_net())
        net[1][3] = nn.Identity()  # where the host waits a dropout would draw once more
        random.seed(0)
        task = Classification(net, tiny_options(epochs=EPOCHS, cuda_graphs=graphs))
        history = fit(task, TinyBatches(), device="cuda", progress=False)
        losses.append(history.last["loss"])
    assert losses[0] == losses[1]


@needs_a_gpu
def test_batches_of_several_sizes_and_gradients_that_others_left() -> None:
    net = nn.Linear(3, 2).cuda()
    recorder = Recorder(net, torch.device("cuda"))

    def loss(x: Tensor, scale: float) -> dict[str, Tensor]:
        net.zero_grad()
        value = (net(x).square().sum() * scale).sum()
        value.backward()
        return {"loss": value.detach()}

    for number in range(2 * WARM + 4):
        size, scale = 2 + number % 2, float(number + 1)
        x = torch.randn(size, 3, device="cuda")
        figure = float(recorder(loss, x, scale)["loss"])
        assert net.weight.grad is not None
        gradient = net.weight.grad.clone()
        assert figure == pytest.approx(float(loss(x, scale)["loss"]))  # leaves gradients of its own
        torch.testing.assert_close(gradient, net.weight.grad)


def test_on_the_cpu_passes_are_taken_as_they_are() -> None:
    given = []

    def noted(*arguments: object) -> dict[str, Tensor]:
        given.append(arguments)
        return {}

    recorder = Recorder(nn.Linear(1, 1), torch.device("cpu"))
    x = torch.zeros(1)
    for _ in range(WARM + 2):
        recorder(noted, x, 0.5)
    assert all(a is x and b == 0.5 for a, b in given)
    assert len(given) == WARM + 2
