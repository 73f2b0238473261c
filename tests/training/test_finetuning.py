"""How a net is fine-tuned: what decays, what waits, what is mixed; it goes on bit for bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tas
from pictures_on_disk import folder
from tas.data import Augment, batches
from tas.errors import InputError
from tas.runs import RunDir
from tas.training import Classification, TrainOptions, fit
from tas.training.mixing import mixer
from tas.training.optimizers import optimizer_of
from tiny_training import TinyBatches, assert_same_bits, state_of, tiny_net, tiny_options

FINE = {"optimizer": "adamw", "lr": 1e-2, "weight_decay": 0.1, "decay_norms": False, "ema": 0.8}
ALL = {**FINE, "head_epochs": 1, "mixup": 0.2, "cutmix": 1.0}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_goes_on_bit_for_bit(tmp_path: Path, precision: str) -> None:
    """With the moments of every group, the mean of the weights, and what is drawn to mix."""
    options = tiny_options(precision=precision, **ALL)
    whole = Classification(tiny_net(), options)
    expected = fit(whole, TinyBatches(), progress=False)
    out = RunDir.open(tmp_path / "run", {})
    broken = TinyBatches(break_at=(3, 1))
    with pytest.raises(KeyboardInterrupt):
        fit(Classification(tiny_net(), options), broken, out=out, progress=False)
    again = Classification(tiny_net(seed=5), options)
    found = fit(again, TinyBatches(), out=out, progress=False)
    assert_same_bits(state_of(whole.module), state_of(again.module))
    assert [e["loss"] for e in found.epochs] == [e["loss"] for e in expected.epochs]


def test_vectors_do_not_decay() -> None:
    net = tiny_net()
    optimizer = optimizer_of(net, tiny_options(**FINE))
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in net.named_parameters():
        assert decays[id(parameter)] == (0.1 if parameter.dim() > 1 else 0.0), name
    plain = optimizer_of(net, tiny_options())
    assert len(plain.param_groups) == 1


def test_the_classifier_is_trained_first() -> None:
    """And alone: not a bit of the rest moves meanwhile, and all of it afterwards."""
    options = tiny_options(epochs=2, **{**FINE, "head_epochs": 1, "ema": 0.0})
    net = tiny_net()
    task, before, seen = Classification(net, options), state_of(net), []
    end = task.end_epoch

    def kept() -> dict[str, float]:
        seen.append({name: p.detach().clone() for name, p in net.named_parameters()})
        return end()

    task.end_epoch = kept  # type: ignore[method-assign]
    fit(task, TinyBatches(), progress=False)
    for name, first in seen[0].items():
        assert torch.equal(first, before[name]) != name.startswith("6."), name
        assert not torch.equal(first, seen[1][name]), name


def test_pictures_and_labels_are_mixed_alike() -> None:
    torch.manual_seed(0)
    images, labels = torch.eye(4).view(4, 1, 2, 2), torch.arange(4)
    up = mixer(TrainOptions(mixup=1.0), 4)
    assert up is not None
    mixed, soft = up(images, labels)
    assert torch.allclose(mixed.flatten(1), soft)
    assert (soft > 0).sum(1).tolist() == [2] * 4
    assert mixer(TrainOptions(), 4) is None
    both = mixer(TrainOptions(mixup=0.2, cutmix=1.0), 4)
    assert both is not None
    assert torch.allclose(both(images, labels)[1].sum(1), torch.ones(4))


@pytest.mark.parametrize("vary", ["shift", "zoom"])
def test_pictures_are_changed_the_same_way_wherever_they_are_kept(
    vary: str, tmp_path: Path
) -> None:
    root = folder(tmp_path, size=(16, 16))
    kept, on_disk = (
        tas.data.load(root, vary=vary, in_memory=where, progress=False)  # type: ignore[arg-type]
        for where in (True, False)
    )
    strong = Augment(randaugment=15)
    made = [
        torch.cat([x for x, _ in batches(
            data, data.train, 4, augment=augment, device="cpu", shuffle=True, workers=0
        )])
        for data, augment in ((kept, strong), (on_disk, strong), (kept, Augment(jitter=0)))
    ]  # fmt: skip
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimizer": "adam"}, "optimizer"),
        ({"head_epochs": 4}, "--head-epochs 4: must be less than --epochs 4"),
        ({"mixup": -1.0}, "mixup"),
    ],
)
def test_mistakes(change: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        tiny_options(**change)
    with pytest.raises(InputError, match="--randaugment 31"):
        Augment(randaugment=31)
    with pytest.raises(InputError, match=r"--optimizer adamw: .*give one by --lr, such as 0.001"):
        tas.run(optimizer="adamw")


def test_a_pretrained_net_beats_the_same_net_afresh_by_far(tmp_path: Path) -> None:
    """From seven classes of digits to the three others, of which there are 15 pictures."""
    data = tas.data.load("digits", progress=False)

    def of(classes: range, most: int | None = None) -> tas.data.Data:
        names = data.class_names[classes.start : classes.stop]
        parts = []
        for part in (data.train, data.test):
            there = torch.isin(part.labels, torch.tensor(classes)).nonzero().flatten()
            taken = part.take(there[: most if part is data.train else None])
            parts.append(replace(taken, labels=taken.labels - classes.start))
        return replace(data, class_names=names, train=parts[0], test=parts[1])

    def net(classes: int) -> torch.nn.Module:
        torch.manual_seed(0)
        return tas.nets.build("resnet20", classes, data.input)

    how = replace(tas.recipes.quick().teacher, epochs=8, warmup_epochs=1, precision="fp32")
    known = tas.train(net(7), of(range(7)), options=how, progress=False).net
    few = of(range(7, 10), 15)
    fine = replace(tas.recipes.finetune().teacher, lr=2e-3, batch_size=8, precision="fp32")
    begun, afresh = net(3), net(3)
    taken = {n: v for n, v in known.state_dict().items() if not n.startswith("classifier")}
    begun.load_state_dict(taken, strict=False)
    figures = [
        tas.train(each, few, options=replace(fine, head_epochs=first), progress=False).accuracy
        for each, first in ((begun, 2), (afresh, 0))
    ]
    assert figures[0] > figures[1] + 10


def test_a_short_training_forgets_where_its_mean_began() -> None:
    """However slowly the mean of the weights is to decay."""
    options = tiny_options(epochs=4, lr=0.1)
    plain, slow = tiny_net(), tiny_net()
    fit(Classification(plain, options), TinyBatches(batches=8), progress=False)
    fit(Classification(slow, replace(options, ema=0.9999)), TinyBatches(batches=8), progress=False)
    start = tiny_net().state_dict()["6.weight"]
    moved, of_mean = (net.state_dict()["6.weight"] - start for net in (plain, slow))
    assert of_mean.norm() > 0.7 * moved.norm()
