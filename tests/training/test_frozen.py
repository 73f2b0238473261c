"""What is frozen stays frozen, bit for bit, in every task; what was trainable is so afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tas.errors import InputError
from tas.methods.paper.algorithm import frozen
from tas.methods.paper.masked import MaskedSupernet
from tas.methods.paper.options import PaperOptions
from tas.methods.paper.supernet import Supernet
from tas.methods.paper.task import Paired, Search
from tas.nets import build
from tas.spaces import resnet_space, trace
from tas.training import Classification, Distillation, fit, recompute_norm_statistics
from tas.training.modes import in_training, moving_buffers
from tiny_training import TinyBatches, assert_same_bits, state_of, tiny_net, tiny_options
from traced_nets import Mixed

Made = tuple[Any, nn.Module, Any]  # a task, the net in it, what it is trained on


def freeze(*modules: nn.Module) -> None:
    for module in modules:
        module.eval().requires_grad_(False)


def plain(teacher: bool = False, **options: Any) -> Made:
    net = tiny_net()
    freeze(net[0], net[1])
    net[1].num_batches_tracked.fill_(7)  # which is no fraction's mean: 0.9 * 7 + 0.1 * 7 < 7
    chosen = tiny_options(epochs=3, **options)
    task = Distillation(net, tiny_net(seed=7), chosen) if teacher else Classification(net, chosen)
    return task, net, TinyBatches()


def search(supernet: Supernet, bilevel: bool) -> Made:
    options = PaperOptions(epochs=2, lr=0.01, batch_size=8, precision="fp32", bilevel=bilevel)
    batches = Paired(TinyBatches(), TinyBatches(seed=1)) if bilevel else TinyBatches()
    return Search(supernet, options, budget=1e5), supernet.net, batches


def own(mixing: str, bilevel: bool = True) -> Made:
    torch.manual_seed(0)
    space = resnet_space(build("resnet20", classes=4, input=(3, 8, 8)))
    supernet = Supernet(space, mixing=mixing)
    stage = next(name for name, _ in supernet.net.named_children() if name != "stem")
    freeze(supernet.net.stem, supernet.net.get_submodule(stage))
    return search(supernet, bilevel)


def traced(bilevel: bool = True) -> Made:
    torch.manual_seed(0)
    net = Mixed()
    freeze(net.stem, net.blocks[0].norm)
    return search(MaskedSupernet(trace(net, torch.zeros(1, 3, 8, 8))), bilevel)


KINDS: dict[str, Callable[[], Made]] = {
    "labels": plain,
    "bf16": lambda: plain(precision="bf16"),
    "clipped": lambda: plain(clip_norm=0.1),
    "in pieces": lambda: plain(accumulate=2),
    "mean of the weights": lambda: plain(ema=0.9),
    "teacher": lambda: plain(teacher=True),
    "interpolate": lambda: own("interpolate"),
    "mask": lambda: own("mask"),
    "mask in one pass": lambda: own("mask", bilevel=False),
    "traced": traced,
    "traced in one pass": lambda: traced(bilevel=False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_frozen_stays_frozen_and_the_rest_trainable(kind: str) -> None:
    task, net, batches = KINDS[kind]()
    still = {name for name, p in net.named_parameters() if not p.requires_grad}
    for name, module in net.named_modules():
        if not module.training:
            still |= {f"{name}.{buffer}" for buffer, _ in module.named_buffers(recurse=False)}
    assert any(name.endswith("num_batches_tracked") for name in still)
    before, flags = state_of(net), {n: p.requires_grad for n, p in net.named_parameters()}
    modes = {n: m.training for n, m in task.module.named_modules()}
    fit(task, batches, evaluate_on=TinyBatches(seed=9), progress=False)
    after = state_of(net)
    assert_same_bits({n: before[n] for n in still}, {n: after[n] for n in still})
    assert {n: p.requires_grad for n, p in net.named_parameters()} == flags
    assert {n: m.training for n, m in task.module.named_modules()} == modes
    trained = set(flags) - still
    assert trained
    assert not [n for n in trained if torch.equal(before[n], after[n]) and "excite" not in n]


def test_a_pass_gives_back_each_flag_as_it_was_also_where_it_fails() -> None:
    one, other = (nn.Parameter(torch.zeros(1), flag) for flag in (True, False))
    flags = []

    def failing() -> None:
        with frozen([one, other]):
            flags.extend([one.requires_grad, other.requires_grad])
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert flags == [False, False]
    assert (one.requires_grad, other.requires_grad) == (True, False)


def test_a_search_without_a_parameter_to_train_is_refused() -> None:
    task, net, batches = traced()
    net.requires_grad_(False)
    with pytest.raises(InputError, match="no parameter to train during the search, all are"):
        fit(task, batches, progress=False)


def test_processes_average_what_moves_alone() -> None:
    """A mean of equal numbers may be rounded, by three processes, say."""
    net, copy = tiny_net().eval(), tiny_net().eval()
    with in_training(net):
        assert len(moving_buffers(net)) == len(moving_buffers(net, copy)) == 2
    net.train()
    net[1].eval()
    assert moving_buffers(net) == moving_buffers(net, copy) == []


def test_a_frozen_norm_keeps_its_statistics_when_others_are_measured_anew() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 4))
    net[0].eval()
    net[0].running_mean.fill_(3.0)
    before = state_of(net)
    recompute_norm_statistics(net, TinyBatches(), precision="fp32")
    after = state_of(net)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert [m.training for m in net] == [False, True, True, True]
    assert net[1].momentum == 0.1
    net.eval()  # only used last: both are measured
    recompute_norm_statistics(net, TinyBatches(), precision="fp32")
    assert not torch.equal(net[0].running_mean, before["0.running_mean"])
    assert not any(m.training for m in net.modules())


def test_a_search_trains_a_net_that_was_only_used_last_as_a_whole() -> None:
    states = []
    for training in (True, False):
        torch.manual_seed(0)
        net = Mixed().train(training)
        task, net, batches = search(MaskedSupernet(trace(net, torch.zeros(1, 3, 8, 8))), True)
        fit(task, batches, progress=False)
        states.append(state_of(net))
    assert_same_bits(*states)
    assert states[0]["blocks.0.norm.num_batches_tracked"] > 0


def test_what_dropout_leaves_out_is_not_measured() -> None:
    """As it is used a net has no dropout; twice the variance would go into its statistics."""
    net = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 4))
    plain = nn.Sequential(nn.Identity(), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(192, 4))
    for each in (net, plain):
        recompute_norm_statistics(each.train(), TinyBatches(), precision="fp32")
    assert torch.equal(net[1].running_var, plain[1].running_var)
    assert all(module.training for module in net.modules())
