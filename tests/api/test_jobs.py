"""The jobs of the library."""

import itertools
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tas
from tas import data, nets, recipes
from tas.costs import Budget
from tas.costs.count import count
from tas.errors import InputError
from tas.inherit import Source
from tas.methods.method import CHANCE
from tas.methods.paper.method import supernet_of
from tas.methods.trials import method
from tas.runs import RunDir
from tas.spaces import resnet_space, trace
from tas.training import TrainOptions


def test_a_budget_counts_the_pictures_that_are_there() -> None:
    """A net built for another image size is searched, and paid for, at the size of the data."""
    digits = data.load("digits", image_size=16)
    net = tas.nets.build("resnet20", 10, (1, 32, 32))
    options = replace(recipes.paper().search, epochs=1, warmup_epochs=0, batch_size=512)
    found = tas.search(net, digits, budget=0.5, options=options, progress=False)
    assert found.shape.input == (1, 16, 16)
    assert found.budget.limit == int(0.5 * count(net, (1, 16, 16)).macs)
    assert count(found.derive(), digits.input).macs == found.shape.macs <= found.budget.limit


def test_a_teacher_without_weight_is_not_asked() -> None:
    """Labels alone, for a net that inherits: its teacher would cost a third of the time."""
    digits = data.load("digits")
    teacher = tas.nets.build("resnet20", digits.classes, digits.input)
    shape = resnet_space(teacher.shape, residual="tied").equal(0.25)
    options = TrainOptions(epochs=1, warmup_epochs=0, batch_size=512, kd_alpha=0)
    teacher.register_forward_hook(lambda *_: pytest.fail("asked"))
    trained = tas.train(shape, digits, teacher=teacher, options=options, progress=False)
    assert trained.macs == shape.macs


def test_a_search_by_probes(tmp_path: Path) -> None:
    """It trains the probes, meets the budget, can be repeated and read back, and has no weights."""
    options = replace(recipes.quick().search, epochs=1, probes=8, batch_size=256)

    def search(out: RunDir | None = None) -> tas.Found:
        return tas.search("resnet20", "digits", 0.5, options=options, out=out, progress=False)

    directory = RunDir.open(tmp_path / "run", {"verb": "search"})
    found = search(directory)
    assert 0.99 * found.budget.limit <= (found.shape.macs or 0) <= found.budget.limit
    assert found.shape.residual == "tied"
    assert len({line["phase"] for line in directory.log_lines}) == 8
    assert found.history.seconds == sum(line["seconds"] for line in directory.log_lines)
    again = search(directory)  # read from its checkpoints
    assert (again.shape, again.history) == (found.shape, found.history)
    afresh = search()
    assert afresh.shape == found.shape
    with pytest.raises(InputError, match="no weights to inherit"):
        found.derive(inherit=True)


def test_one_of_our_nets_is_searched_with_its_own_weights() -> None:
    """As any net that is given as a module: shapes and the derived net are cut from it."""
    torch.manual_seed(0)
    net = nets.build("resnet20", 10, (1, 8, 8))
    options = replace(recipes.quick().inheriting().search, trials=12, batch_size=512)

    def search(**how: tuple[float, ...]) -> tas.Found:
        return tas.search(net, "digits", 0.5, options=options, progress=False, **how)

    found = search(ratios=(0.5, 1.0))
    assert max(found.shape.widths.values()) <= 64
    assert len(found.space.widths) == 12  # streams of three stages, and what is within nine blocks
    assert 0.99 * found.budget.limit <= (found.shape.macs or 0) <= found.budget.limit
    whole = {tuple(row.flatten().tolist()) for row in net.stem.conv.weight.detach()}
    kept = {tuple(row.flatten().tolist()) for row in found.derive().stem.conv.weight.detach()}
    afresh = found.derive(inherit=False).stem.conv.weight.detach()
    assert kept <= whole
    assert not whole & {tuple(row.flatten().tolist()) for row in afresh}
    assert search(ratios=(0.5, 1.0)).shape == found.shape
    finals = [line for line in search().history.epochs if line["phase"].startswith("final")]
    losses = [line["loss"] + line["test_loss"] for line in finals]
    ahead = (1 + CHANCE) * losses[-1] < min(losses[:-1])
    assert ahead == search().shape.origin.startswith("equal widths")
    with pytest.raises(InputError, match="the search by trials needs trained weights"):
        tas.search("resnet20", "digits", 0.5, options=options, progress=False)


@pytest.mark.parametrize("kd_alpha", [0.0, 1.0])
def test_the_trainings_at_the_end_are_taught_by_the_whole_net(
    monkeypatch: pytest.MonkeyPatch, kd_alpha: float
) -> None:
    """A net of random weights knows no label, but what is cut from it answers much like it."""
    monkeypatch.setattr(method, "LARGER", 0.0)  # always three of them
    torch.manual_seed(0)
    net = nets.build("resnet20", 10, (1, 8, 8))
    gently = replace(recipes.quick().inheriting().search, trials=4, batch_size=512, lr=1e-6)
    options = replace(gently, kd_alpha=kd_alpha)
    found = tas.search(net, "digits", 0.5, options=options, progress=False)
    finals = [line for line in found.history.epochs if line["phase"].startswith("final")]
    assert len(finals) == 3
    assert all((line["loss"] > 2) == (kd_alpha == 0) for line in finals)


def test_what_is_tried_is_what_the_cut_net_answers(tmp_path: Path) -> None:
    """A shape without the channels that say nothing answers as the whole net does."""
    torch.manual_seed(0)
    net = nets.build("resnet20", 10, (1, 8, 8))
    for stage, block in itertools.product(range(3), range(3)):
        norm = net.get_submodule(f"stages.{stage}.{block}.conv1.norm")
        for values in (norm.weight, norm.bias):
            values.data[len(values) // 2 :] = 0
    exact = replace(recipes.quick().inheriting().search, precision="fp32")
    options = replace(exact, trials=80, batch_size=512)
    directory = RunDir.open(tmp_path / "run", {"verb": "search"})
    how = {"what": "width", "ratios": (0.5, 0.75, 1.0), "widths_per": "kind", "subset": 40}

    def search() -> tas.Found:
        return tas.search(
            net, "digits", 0.51, options=options, out=directory, progress=False, **how
        )

    found = search()
    tried = [line for line in found.history.epochs if line["phase"] == "search"]
    assert 50 < len({tuple(state) for line in tried for state in line["states"]}) <= 80
    assert [line["loss"] for line in tried] == sorted((e["loss"] for e in tried), reverse=True)
    assert tried[-1]["loss"] < 1e-4 * statistics.median(tried[0]["losses"])

    # What the log holds is not asked again, as far as no line is missing.
    lines = directory.log_lines
    kept = [line for line in lines if line["phase"] == "search"][::2]
    assert len(kept) > 1
    kept[0]["seconds"] = 1e6
    directory.keep_log("search", kept)
    again = search()
    assert again.shape == found.shape
    assert again.history.epochs[0]["seconds"] == 1e6
    asked = [line["losses"] for line in again.history.epochs[: len(tried)]]
    assert asked == [line["losses"] for line in tried]


def test_a_shape_can_be_trained_from_its_teachers_weights() -> None:
    """Published shapes, whose streams shrink, as well."""
    torch.manual_seed(0)
    teacher = nets.build("resnet20", 10, (1, 8, 8))
    still = TrainOptions(epochs=1, warmup_epochs=0, batch_size=512, lr=1e-12, weight_decay=0)

    def stem(net: nn.Module) -> set[tuple[str, ...]]:
        rows = net.get_submodule("stem.conv").weight.detach()
        return {tuple(f"{value:.4f}" for value in row.flatten().tolist()) for row in rows}

    how = {"teacher": teacher, "options": still, "progress": False}
    assert stem(tas.train("C010-ResNet20", "digits", inherit=True, **how).net) <= stem(teacher)
    assert not stem(tas.train("C010-ResNet20", "digits", **how).net) & stem(teacher)


def test_a_net_that_is_given_keeps_its_own_weights_and_learns_gently_where_they_are_inherited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = recipes.quick()
    student = replace(quick.student, epochs=1, warmup_epochs=0, batch_size=512, kd_alpha=0)
    short = replace(quick, student=student, inherited={"travel": 1e-9})
    monkeypatch.setattr(sys.modules["tas.api.train"], "quick", lambda: short)

    def rate(inherit: bool) -> float:
        net = nets.build("resnet20", 10, (1, 8, 8))
        trained = tas.train(net, "digits", inherit=inherit, progress=False)
        assert trained.net is net
        return float(trained.history.last["lr"])

    assert rate(inherit=True) == pytest.approx(rate(inherit=False) / 4)


@pytest.mark.parametrize(
    ("teacher", "words"),
    [
        (lambda: nets.build("resnet32", 10, (1, 8, 8)), "the teacher is resnet32: a shape of"),
        (lambda: nets.build("C010-ResNet20", 10, (1, 8, 8)), "is a pruned resnet20: a shape of"),
    ],
)
def test_a_shape_inherits_from_its_whole_net_alone(
    teacher: Callable[[], nn.Module], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        tas.train("C010-ResNet20", "digits", teacher=teacher(), inherit=True, progress=False)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (
            nn.Sequential(nn.Flatten(), nn.Linear(64, 7)),
            r"returns \[1, 7\] for one picture.*10 class",
        ),
        (nn.Linear(3, 10), r"the net does not run on images of \[1, 8, 8\]"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False), "no parameter to"),
    ],
)
def test_a_net_that_cannot_learn_these_pictures_is_refused(net: nn.Module, words: str) -> None:
    with pytest.raises(InputError, match=words):
        tas.train(net, "digits", progress=False)


def test_the_layers_of_a_stage_can_share_a_width_in_the_papers_search_too() -> None:
    options = replace(recipes.paper().search, epochs=1, warmup_epochs=0, batch_size=512)

    def search(**how: str) -> tas.Found:
        return tas.search("resnet20", "digits", 0.5, options=options, progress=False, **how)

    found = search(residual="tied", widths_per="stage")
    for stage in range(3):
        widths = {w for k, w in found.shape.widths.items() if k.startswith(f"stages.{stage}.")}
        assert len(widths) == 1
    assert len(found.probabilities[0]) == 3 < len(search().probabilities[0])
    with pytest.raises(InputError, match=r"'block'.*layer.*kind.*stage"):
        search(widths_per="block")


def test_the_papers_search_in_one_pass_sees_every_picture_in_every_epoch() -> None:
    options = replace(recipes.paper().search, epochs=1, batch_size=256, bilevel=False)
    digits = data.load("digits")
    found = tas.search("resnet20", digits, 0.5, options=options, progress=False)
    steps = found.source.net.stem.norm.num_batches_tracked  # type: ignore[union-attr]
    assert steps == len(digits.train) // 256
    assert (found.shape.macs or 0) <= found.budget.limit
    assert found.history.last["logit_loss"] == found.history.last["loss"]


def test_widths_are_mixed_as_asked_and_in_traced_nets_by_masks() -> None:
    def mixed(space: tas.Space, how: str) -> str:
        source, budget = Source.of(space), Budget.of(space, 0.6)
        draw: Any = supernet_of(space, source, budget, how).draw(1.0)
        if hasattr(draw, "atoms"):
            return "traced"
        return {1: "mask", 2: "interpolate"}[draw.widths["stem"].dim()]

    own = resnet_space(nets.full_shape("resnet20", 10, (1, 8, 8)))
    assert mixed(own, "auto") == "interpolate"
    assert mixed(own, "mask") == "mask"
    traced = trace(nets.build("resnet20", 10, (1, 8, 8)), torch.zeros(1, 1, 8, 8))
    assert mixed(traced, "auto") == "traced"
    with pytest.raises(InputError, match=r"--mixing interpolate: .*traced net"):
        mixed(traced, "interpolate")


def test_a_space_of_ones_own_can_be_searched() -> None:
    space = resnet_space(nets.full_shape("resnet20", 10, (1, 8, 8)), what="depth")
    options = replace(recipes.quick().search, epochs=1, probes=2, batch_size=512)
    found = tas.search(space, "digits", 0.6, options=options, progress=False)
    assert dict(found.shape.widths).items() <= dict(space.unpruned.widths).items()
    assert (found.shape.macs or 0) <= found.budget.limit


def test_a_net_of_other_classes_or_channels_is_refused() -> None:
    for net in (tas.nets.build("resnet20", 7, (1, 8, 8)), tas.nets.build("resnet20", 10)):
        for job in (lambda: tas.search(net, "digits", 0.5), lambda: tas.evaluate(net, "digits")):  # noqa: B023
            with pytest.raises(InputError, match=r"build it with tas\.nets\.build"):
                job()


def test_a_traced_net_is_searched_with_its_own_weights() -> None:
    """By probes it is cut from itself, by the paper's search from the supernet; both repeatable."""
    torch.manual_seed(0)
    digits = data.load("digits")
    net = your_net(digits.classes)
    quick = replace(recipes.quick().search, epochs=1, probes=2, batch_size=512)
    paper = replace(recipes.paper().search, epochs=1, warmup_epochs=0, batch_size=512)
    for options in (quick, paper):
        before = {k: v.clone() for k, v in net.state_dict().items()}
        found = tas.search(net, digits, 0.5, options=options, progress=False)
        assert (found.shape.macs or 0) <= found.budget.limit
        small = found.derive()
        assert isinstance(small, type(net))
        assert count(small, digits.input).macs == found.shape.macs
        assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
        rows = {tuple(row.flatten().tolist()) for row in net[0].weight.detach()}
        kept = {tuple(row.flatten().tolist()) for row in small[0].weight.detach()}
        assert (kept <= rows) == (options is quick)
        again = tas.search(net, digits, 0.5, options=options, progress=False)
        assert again.shape == found.shape


def your_net(classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 24, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, classes),
    )


def test_a_traced_net_of_other_classes_is_refused() -> None:
    with pytest.raises(InputError, match="the net has 7 classes, but 'digits' has 10"):
        tas.search(your_net(7), "digits", 0.5, progress=False)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"seed": -1}, "--seed -1: give a whole number from 0 to 4294967295"),
        ({"seed": 2**33}, "--seed 8589934592: give a whole number"),
        ({"fraction": 0}, "fraction 0: a split needs a number between 0 and 1"),
        ({"net": None}, "net=None: give text, a torch.nn.Module or a tas.space.Space"),
        ({"net": nn.ReLU()}, "the net 'ReLU' has no parameters to train"),
        ({"net": "torch.nn:ReLU"}, "the net 'torch.nn:ReLU' has no parameters to train"),
        ({"ratios": ()}, "the width ratios"),
    ],
)
def test_arguments_of_a_search_that_cannot_be_are_refused(how: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        tas.search(**{"net": "resnet20", "data": "digits", "budget": 0.5, "progress": False} | how)
    assert words in str(caught.value)


def test_a_seed_is_one_that_every_generator_takes() -> None:
    """The last one as well, from which others are made."""
    with pytest.raises(InputError, match="--seed -1: give a whole number"):
        tas.train("resnet20", "digits", seed=-1, progress=False)
    space = resnet_space(nets.full_shape("resnet20", 10, (1, 8, 8)), what="depth")
    short = {"epochs": 1, "batch_size": 512}
    probes = replace(recipes.quick().search, probes=2, **short)
    for options in (probes, replace(recipes.paper().search, **short)):
        tas.search(space, "digits", 0.6, options=options, seed=2**32 - 1, progress=False)
