"""A search on batches of one's own: any net, labels or none, and the user's functions."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import tas
from any_nets import ANY, Detector, UNet, conv
from helpers import randomise_norms
from tas.data import Augment, search_split
from tas.errors import InputError
from tas.methods import Found, TrialOptions
from tas.methods.batches import kept
from tas.methods.method import PICTURES as BATCH
from tas.recipes import quick
from tas.training import Objective, distance, divergence, seeded, squared_error
from tas.training.objective import distance_told
from tas.training.pictures import training_batches

FEW: TrialOptions = replace(quick().inheriting().search, trials=8, precision="fp32")  # type: ignore[assignment, type-var]
PICTURES = [torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]

BOXES = [{"images": [torch.rand(3, 8, 8) for _ in range(4)]}]


def search(net: Any, batches: Any, budget: float = 0.6, **how: Any) -> Found:
    how = {"options": FEW, "progress": False, "device": "cpu", **how}
    return tas.search(net, batches=batches, budget=budget, **how)


def unet() -> nn.Module:
    with seeded(0):
        net = UNet()
    randomise_norms(net)
    return net.eval()


def test_pictures_are_batches_like_any_others() -> None:
    """The same trials with the same losses, whoever makes the batches."""
    data = tas.data.load("digits", progress=False)
    with seeded(0):
        net = nn.Sequential(
            conv(1, 12), conv(12, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10)
        )
    by_data = tas.search(net, data, 0.6, options=FEW, progress=False, device="cpu")
    part = data.train.take(search_split(data, 0.8, 0).weights)
    batches = training_batches(data, part, FEW, Augment(), "cpu", None, 0, batch_size=BATCH)
    own = search(net, batches)
    tried = [line for line in by_data.history.epochs if line["phase"] == "search"]
    assert [line["losses"] for line in own.history.epochs] == [line["losses"] for line in tried]
    assert len({loss for line in tried for loss in line["losses"]}) > 4


@pytest.mark.parametrize(
    "which",
    ["named picture", "part of the answer", "tokens and a mask", "sound", "video", "two pictures"],
)
def test_any_net_is_searched_within_its_budget(which: str) -> None:
    make, batch, forward = ANY[which]
    net = make()
    randomise_norms(net)
    if isinstance(batch, tuple):  # a pair is inputs and targets unless it is said
        forward = lambda net, batch: net(*batch)  # noqa: E731
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = search(net, [batch, batch], forward=forward)
    assert found.shape.macs <= found.budget.limit
    small = found.derive()
    call = forward or tas.forward.call
    assert type(small) is type(net)
    assert tas.costs.count(small, batch, forward).macs == found.shape.macs
    assert bool(distance(call(small, batch), call(net.eval(), batch)).isfinite())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_it_can_be_done_again_with_what_came_out() -> None:
    found = search(unet(), ({"image": x} for x in PICTURES), 0.8)  # a generator runs once
    again = search(found.derive(), ({"image": x} for x in PICTURES), 0.7)
    assert again.shape.macs <= 0.7 * found.shape.macs
    assert tas.costs.count(again.derive(), {"image": PICTURES[0]}).macs == again.shape.macs


def test_a_pair_is_inputs_and_targets_with_or_without_labels() -> None:
    net = nn.Sequential(
        conv(3, 12), conv(12, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)
    )
    labelled = [(x, torch.arange(32) % 5) for x in PICTURES]
    shapes = [search(net, of).shape for of in (PICTURES, labelled, [[x] for x in PICTURES])]
    assert shapes[0] == shapes[1] == shapes[2]


def test_what_a_loader_collates_is_as_good_as_a_tuple() -> None:
    """Its examples are counted, and one of them is run, whatever ``forward`` takes of it."""
    make, (first, second), _ = ANY["two pictures"]
    with seeded(0):
        net = make()
    labels = torch.arange(len(first))
    shapes = [
        search(net, [of], forward=lambda net, batch: net(batch[0], batch[1])).shape
        for of in ((first, second, labels), [first, second, labels])
    ]
    assert shapes[0] == shapes[1]
    batch = [torch.zeros(512, 3), torch.zeros(512)]
    assert len(kept([batch] * 10)) == len(kept([tuple(batch)] * 10)) == 4


def test_score_and_train_decide() -> None:
    trained: list[nn.Module] = []
    scored: list[int] = []

    def score(net: nn.Module) -> float:
        assert not net.training
        scored.append(tas.costs.count(net, {"image": PICTURES[0]}).params)
        return -float(scored[-1])  # the smallest is the best

    def train(net: nn.Module) -> None:
        assert net.training
        trained.append(net)
        next(net.parameters()).data.mul_(1.1)

    batches = [{"image": x} for x in PICTURES]
    found = search(unet(), batches, score=score)
    assert len(scored) >= 4
    assert tas.costs.count(found.derive(), {"image": PICTURES[0]}).params == min(scored)
    scored.clear()
    search(unet(), batches, score=score, train=train)
    assert len(trained) == 2  # the best trial and equal widths
    assert len(scored) == 1 + len(trained)  # the whole net, before the search
    best = search(unet(), batches, train=train)  # judged by their answers
    assert len(trained) == 4
    assert {line["phase"] for line in best.history.epochs} > {"final-01-of-02", "final-02-of-02"}


def test_a_distance_of_ones_own_decides() -> None:
    seen: list[Any] = []

    def apart(own: Any, whole: Any) -> Tensor:
        seen.append((own["low"].shape, whole["low"].shape))
        return (own["low"] - whole["low"]).abs().mean()

    search(unet(), [{"image": x} for x in PICTURES], distance=apart)
    assert len(seen) >= 8
    assert all(own == whole == (32, 16) for own, whole in seen)


def test_a_distance_counts_from_that_of_an_answer_and_itself() -> None:
    """So a cross-entropy, or a cosine, says as much as a distance that begins at 0."""

    def error(own: Any, whole: Any) -> Tensor:
        return (own["mask"] - whole["mask"]).square().mean()

    batches = [{"image": x} for x in PICTURES]
    from_0 = search(unet(), batches, distance=error)
    for start in (-8.0, 8.0):
        found = search(
            unet(), batches, distance=lambda own, whole, at=start: at + error(own, whole)
        )
        assert found.shape == from_0.shape
        lost, from_itself = (each.history.epochs[0]["loss"] for each in (found, from_0))
        assert lost == pytest.approx(from_itself, abs=1e-5)


def test_what_cannot_be_scored_is_known_before_the_search() -> None:
    """A mistake in it is not met after hours."""

    def score(net: nn.Module) -> float:
        return float(net.accuracy)  # it has none

    def apart(own: Any, whole: Any) -> Tensor:
        raise AssertionError

    with pytest.raises(AttributeError, match="accuracy"):
        search(unet(), PICTURES, score=score, distance=apart)


def test_values_are_not_compared_as_class_scores(capsys: pytest.CaptureFixture[str]) -> None:
    """Said by a name, or by targets of floats; else [N, C] are scores."""
    net = nn.Sequential(
        conv(3, 12), conv(12, 12), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)
    )
    losses = []
    for batches, how in (
        ([(x, torch.randn(32, 4)) for x in PICTURES], {}),
        (PICTURES, {"distance": "mse"}),
        ([(x, torch.randn(32, 4).softmax(1)) for x in PICTURES], {}),
        (PICTURES, {"distance": "kl"}),
    ):
        found = search(net, batches, **how)
        losses.append([line["loss"] for line in found.history.epochs])
        noted = "note: the targets are values" in capsys.readouterr().err
        assert noted == (len(losses) == 1)
    assert losses[0] == losses[1] != losses[2]
    assert losses[2] == losses[3]
    student, batch = search(net, PICTURES).derive(), (PICTURES[0], torch.randn(32, 4))
    own, whole = student(PICTURES[0]), net.eval()(PICTURES[0])
    assert torch.equal(tas.distil(student, net)(batch, own), squared_error(own, whole))
    by_name = tas.distil(student, net, distance="mse")
    assert torch.equal(by_name(PICTURES[0], own), squared_error(own, whole))


def test_classes_of_pixels_are_compared_by_their_scores(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Said by a name, or by targets; each pixel counts as a picture does."""
    net = nn.Sequential(conv(3, 12), conv(12, 12), nn.Conv2d(12, 4, 1)).eval()
    masks = torch.randint(4, (32, 16, 16))
    losses = []
    for batches, how in (
        ([(x, masks) for x in PICTURES], {}),
        (PICTURES, {"distance": "kl"}),
        (PICTURES, {}),
        ([(x, masks) for x in PICTURES], {"distance": "mse"}),
        ([(x, masks[:, :1, :1]) for x in PICTURES], {}),
    ):
        found = search(net, batches, **how)
        losses.append([line["loss"] for line in found.history.epochs])
        noted = "note: the targets are classes of pixels" in capsys.readouterr().err
        assert noted == (len(losses) == 1)
    assert losses[0] == losses[1] != losses[2]
    assert losses[2] == losses[3] == losses[4]
    student = search(net, PICTURES).derive()
    own, whole = student(PICTURES[0]), net(PICTURES[0])
    apart = tas.distil(student, net)((PICTURES[0], masks), own)
    flat = [x.movedim(1, -1).flatten(0, 2) for x in (own, whole)]
    assert float(apart) == pytest.approx(float(divergence(flat[0], flat[1])), rel=1e-5)


def test_every_class_of_pixels_counts_alike_in_a_search() -> None:
    """Else a net that gives up the rare classes is nearly as good as one that knows them."""
    objective = Objective(distance="kl")
    classes = torch.zeros(2, 8, 8, dtype=torch.long)
    classes[:, 0, 0], classes[:, 1, :4] = 1, 2  # 2 pixels, 8 pixels, and all the others
    whole = 8.0 * nn.functional.one_hot(classes, 4).movedim(-1, 1)  # the fourth is nowhere
    lost = []
    for wrong in (0, 1, 2):
        own = torch.where((classes == wrong)[:, None], whole.roll(1, 1), whole)
        lost.append(objective.apart(own, whole))
    assert lost[1] == pytest.approx(lost[0], rel=1e-4)
    assert lost[2] == pytest.approx(lost[0], rel=1e-4)
    assert objective.apart(whole, whole) == 0
    flat = torch.randn(2, 64, 4)
    assert objective.apart(flat[0], flat[1]) == float(divergence(flat[0], flat[1]))


def test_targets_that_may_mean_tokens_tell_nothing() -> None:
    targets = torch.zeros(2, 5, dtype=torch.long)
    assert distance_told((None, targets), torch.zeros(2, 3, 5)) == "kl"
    assert distance_told((None, targets), torch.zeros(2, 5, 3)) is None
    assert distance_told((None, targets), torch.zeros(2, 5, 5)) is None


def test_every_tensor_of_scores_counts_in_a_divergence() -> None:
    net = unet()
    found = search(net, PICTURES, distance="kl").derive()
    own, whole = found(PICTURES[0]), net(PICTURES[0])
    parts = [float(divergence(own[name], whole[name])) for name in whole]
    apart = tas.distil(found, net, distance="kl")(PICTURES[0], own)
    assert len(parts) == 2
    assert float(apart) == pytest.approx(sum(parts) / 2, rel=1e-5)


def broken() -> Iterator[Tensor]:
    yield PICTURES[0]
    raise OSError("the disk is gone")


def changing(net: nn.Module, batch: Tensor) -> Tensor:
    """Other sizes for the second batch."""
    mask: Tensor = net(batch)["mask"]
    return mask if torch.equal(batch[0], PICTURES[0][0]) else mask.flatten(1)


def nan(net: nn.Module, batch: Any) -> Any:
    return net(batch)["mask"] * torch.nan


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"batches": []}, "yields nothing.*a generator that was used before"),
        ({"batches": [torch.zeros(0, 3, 8, 8)]}, "batch 1 is empty"),
        ({"batches": broken()}, "batches= ends after 1 batch: .*the disk is gone"),
        (
            {"forward": changing},
            r"to one batch is .*\[32, 1024\], and to the first.*\[32, 4, 16, 16\]",
        ),
        ({"batches": ["a.png"]}, "batch 1 is a str without a tensor"),
        ({"batches": 3}, "batches=3: give batches, such as torch.utils.data.DataLoader"),
        ({"batches": TensorDataset(PICTURES[0])}, "TensorDataset: give batches, such as .*Loader"),
        ({"batches": [(*PICTURES, PICTURES[0])]}, "a tuple of 3.*forward=lambda"),
        ({"forward": nan}, "not finite"),
        ({"forward": lambda net, x: net(x)["mask"].argmax(1)}, "a tensor of int64, not of floats"),
        ({"net": Detector(), "batches": BOXES}, "hold other tensors.*one size"),
        ({"forward": "logits"}, "forward='logits': give a function"),
        (
            {"distance": lambda a, b: a["low"]},
            r"distance= returns a tensor \[32, 16\]: .*one number",
        ),
        ({"distance": lambda a, b: torch.nan}, "distance= returns nan for an answer and the same"),
        (
            {"distance": lambda a, b: -(a["mask"] - b["mask"]).square().mean()},
            "distance= is smaller for every net that was cut",
        ),
        (
            {"distance": lambda a, b: 0.0 if a is b else torch.inf},
            "the answers of all .* nets .* are NaN or infinite, or their distances",
        ),
        ({"distance": "l2"}, "distance='l2': give .*'kl'.*'mse'"),
        (
            {"distance": "kl", "forward": lambda net, x: net(x)["mask"][:, :1]},
            r"'kl' is for class scores .* returns a tensor \[32, 1, 16, 16\]: give 'mse'",
        ),
        ({"score": lambda net: torch.nan}, "score= returns nan for the whole net"),
        ({"score": lambda net: "good"}, "score= returns a str: .*one number"),
        ({"budget": 0.001}, "cannot be met"),
        ({"fraction": 0.5}, "fraction= and batches= cannot be combined"),
        ({"net": "resnet20"}, "the net is 'resnet20': give the trained net itself"),
        ({"options": quick().search}, "batches are searched by trials"),
    ],
)
def test_mistakes(how: dict[str, Any], words: str) -> None:
    how = {"net": unet(), "batches": PICTURES, **how}
    with pytest.raises(InputError, match=words) as caught:
        search(how.pop("net"), how.pop("batches"), **how)
    assert "\n" not in str(caught.value)


def test_a_data_set_says_itself_how_nets_are_called() -> None:
    with pytest.raises(InputError, match="forward= is for batches="):
        tas.search(unet(), "digits", forward=lambda net, x: net(x))
    with pytest.raises(InputError, match="say what to search on"):
        tas.search(unet())


def test_distil_teaches_in_ones_own_loop() -> None:
    teacher = unet()
    student = search(teacher, [{"image": x} for x in PICTURES]).derive().train()
    taught = tas.distil(student, teacher)
    optimizer = torch.optim.SGD(student.parameters(), 0.05)
    losses = []
    for _ in range(8):
        batch = {"image": PICTURES[0]}
        loss = taught(batch, student(**batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert all(p.grad is None for p in teacher.parameters())
    assert not teacher.training
    with pytest.raises(InputError, match="hold other tensors"):
        taught({"image": PICTURES[0]}, student(PICTURES[0])["mask"])


def test_a_net_that_was_compiled_in_place_is_searched_by_its_own_code() -> None:
    """Under hooks every module of it would be compiled, once for each kind of batch."""
    net, compiled = unet(), []

    def count(graph: Any, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    net.compile(backend=count)
    found = search(net, PICTURES)
    assert not compiled
    assert found.shape == search(unet(), PICTURES).shape
    found.derive()(PICTURES[0])
    assert not compiled
    net(PICTURES[0])
    assert compiled
