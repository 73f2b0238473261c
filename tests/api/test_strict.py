"""The library is as strict as the command: a wrong argument is a typed exception in one line that
names it, quotes it and says what would work, before anything is computed or written."""

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tas
import test_docstrings
from tas.data import Augment, Data, Transform
from tas.methods import PaperOptions, ProbeOptions, TrialOptions
from tas.options import RunOptions, TrainRunOptions
from tas.training import TrainOptions
from tas.typed import checked


@dataclass(frozen=True)
class Given:
    """What the calls of the table have at hand."""

    data: Data
    net: nn.Module

    def spoilt(self, value: float = float("nan")) -> nn.Module:
        net = tas.nets.build("resnet20", 10, (1, 8, 8))
        with torch.no_grad():
            next(net.parameters()).view(-1)[0] = value
        return net

    def on_meta(self) -> nn.Module:
        with torch.device("meta"):
            return tas.nets.build("resnet20", 10, (1, 8, 8))

    @property
    def image(self) -> torch.Tensor:
        return torch.zeros(8, 1, 8, 8)

    def lazy(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

    @torch.inference_mode()
    def of_inference_mode(self) -> nn.Module:
        return tas.nets.build("resnet20", 10, (1, 8, 8))

    def exported(self) -> nn.Module:
        return torch.export.export(self.net.eval(), (self.image,)).module()

    def scripted(self) -> nn.Module:
        return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))

    @torch.inference_mode()
    def within_inference_mode(self, call: Callable[..., Any]) -> Any:
        return call(self.net, self.data)


@pytest.fixture(scope="module")
def given() -> Given:
    return Given(tas.data.load("digits"), tas.nets.build("resnet20", 10, (1, 8, 8)))


def options(**changes: Any) -> TrainOptions:
    return replace(TrainOptions(epochs=1, warmup_epochs=0), **changes)


Call = Callable[[Given], Any]
CALLS: list[tuple[Call, str]] = [
    # devices
    (lambda g: tas.evaluate(g.net, g.data, device=None), "device=None: give 'auto', 'cpu'"),
    (lambda g: tas.evaluate(g.net, g.data, device=1.5), "device=1.5: give 'auto'"),
    (lambda g: tas.evaluate(g.net, g.data, device=True), "device=True: give 'auto'"),
    (lambda g: tas.evaluate(g.net, g.data, device=99), "--device cuda:99: PyTorch finds"),
    (lambda g: tas.evaluate(g.net, g.data, device="gpu"), "unknown device 'gpu'"),
    (lambda g: tas.evaluate(g.net, g.data, device=torch.device("meta")), "unknown device 'meta'"),
    (lambda g: tas.train(g.net, g.data, device=[0]), r"device=\[0\]: give 'auto'"),
    (
        lambda g: tas.search(g.net, g.data, 0.5, device=b"cpu"),
        "device=an object of the class bytes",
    ),
    (lambda g: tas.training.where(()), r"device=\(\): give 'auto'"),
    (lambda g: tas.evaluate(g.net, g.data, precision="half"), "unknown precision 'half'"),
    (lambda g: tas.evaluate(g.net, g.data, precision=16), "precision=16: give text"),
    # what is found out late leaves no directory
    (lambda g: tas.search(g.net, g.data, 1e-9, out="a/b"), "can have"),
    (lambda g: tas.search(g.net, g.data, 0.5, out="a/b", split="none"), "none"),
    (lambda g: tas.search(g.net, g.data, 0.5, out="a", fraction=2.0), "fraction"),
    (lambda g: tas.search(g.net, g.data, 0.5, out="a", subset=1), "subset"),
    (lambda g: tas.search(g.net, g.data, "8ms", out="a", latency="none.jsonl"), "none.jsonl"),
    (lambda g: tas.search(g.net, batches=[g.image], budget=1e-9, out="a"), "can have"),
    (lambda g: tas.train(g.net, g.data, out="a", phase="b/c"), "phase"),
    # nets
    (
        lambda g: tas.evaluate(None, g.data),
        "net=None: give a torch.nn.Module|net=None: give a torch",
    ),
    (lambda g: tas.evaluate(nn.Linear, g.data), "net=the class Linear: give"),
    (lambda g: tas.evaluate("runs/none", g.data), "'runs/none' (does not exist|is no folder)"),
    (lambda g: tas.evaluate(g.spoilt(), g.data), "weights that are NaN or infinite, in 'stem"),
    (lambda g: tas.evaluate(g.on_meta(), g.data), "the net has no values, 'stem"),
    (lambda g: tas.evaluate(g.lazy(), g.data), "the net has no values, '1.weight'"),
    (lambda g: tas.evaluate(nn.Identity(), g.data), r"the net returns \[1, 1, 8, 8\]"),
    (lambda g: tas.train(7, g.data), "net=7: give"),
    (lambda g: tas.train("resnet2O", g.data), "did you mean 'resnet20'"),
    (lambda g: tas.train("a\0b", g.data), r"net='a\\x00b': give"),
    (lambda g: tas.train(g.spoilt(float("inf")), g.data), "weights that are NaN or infinite"),
    (lambda g: tas.train(g.on_meta(), g.data), "the net has no values"),
    (
        lambda g: tas.train(
            tas.nets.build("resnet20", 10, (1, 8, 8)).double(),
            g.data,
            options=options(precision="bf16"),
        ),
        "in float64, and precision='bf16'",
    ),
    (lambda g: tas.train(tas.nets.build("resnet20", 7, (1, 8, 8)), g.data), "has 7 classes, but"),
    (lambda g: tas.search(g.on_meta(), g.data, 0.5), "the net has no values"),
    (lambda g: tas.search(g.on_meta(), batches=[(g.image,)]), "the net has no values"),
    (lambda g: tas.search(g.spoilt(), g.data, 0.5), "weights that are NaN"),
    (lambda g: tas.search(g.of_inference_mode(), g.data), r"give copy\.deepcopy\(net\)"),
    (lambda g: tas.train(g.of_inference_mode(), g.data), r"give copy\.deepcopy\(net\)"),
    (lambda g: g.within_inference_mode(tas.search), "inside torch.inference_mode nothing"),
    (lambda g: g.within_inference_mode(tas.train), "inside torch.inference_mode nothing"),
    (lambda g: tas.evaluate(g.exported(), g.data), "the net is exported: give the module"),
    (lambda g: tas.search(g.exported(), batches=[(g.image,)]), "the net is exported: give"),
    (lambda g: tas.costs.count(g.exported(), (1, 8, 8)), "the net is exported: give"),
    (lambda g: tas.distil(g.net, g.exported()), "the teacher is exported: give the module"),
    (lambda g: tas.distil(g.net, None), "teacher=None: give"),
    (lambda g: tas.train(g.scripted(), g.data), "the net is scripted: give the module"),
    (lambda g: tas.costs.count(g.scripted(), (1, 8, 8)), "the net is scripted: give the module"),
    (lambda g: tas.save(g.scripted(), "m", transform=g.data.transform), "the net is scripted"),
    (lambda g: tas.train(torch.compile(g.net), g.data), r"is compiled: give net\._orig_mod"),
    (
        lambda g: tas.save(torch.compile(g.net), "m", transform=g.data.transform),
        r"is compiled: give net\._orig_mod",
    ),
    (
        lambda g: tas.save(nn.DataParallel(g.net), "m", transform=g.data.transform),
        r"is wrapped: give net\.module",
    ),
    (lambda g: tas.search(7, g.data, 0.5), "net=7: give"),
    (lambda g: tas.search(nn.ReLU(), g.data, 0.5), "no parameters to train"),
    (lambda g: tas.save(g.on_meta(), "m", transform=g.data.transform), "the net has no values"),
    (
        lambda g: tas.save("resnet20", "m", transform=g.data.transform),
        "net='resnet20': give a torch",
    ),
    (lambda g: tas.save(g.spoilt(), "m", transform=g.data.transform), "weights that are NaN"),
    (lambda g: tas.export(g.net, "m.pt2", transform="digits"), "transform='digits': give"),
    (lambda g: tas.nets.build(20), "net=20: give"),
    (lambda g: tas.nets.build("resnet20", "ten"), "classes='ten': give a whole number"),
    (lambda g: tas.nets.build("resnet20", 10.0), "classes=10.0: give a whole number"),
    (lambda g: tas.nets.build("resnet20", True), "classes=True: give a whole number"),
    (lambda g: tas.nets.build("resnet20", 10**9), "'classes' is 1000000000, not a whole number"),
    (lambda g: tas.nets.build("resnet20", input=32), "input=32: give"),
    (lambda g: tas.nets.build("resnet20", input=(3, 32)), r"input=\(3, 32\): give"),
    (lambda g: tas.nets.build("resnet20", input=(3, 32, 1.5)), r"input\[2\]=1.5: give a whole"),
    (lambda g: tas.nets.build("resnet20", make="resnet20"), "make='resnet20': give a function"),
    (lambda g: tas.costs.count(g.net, "1x8x8"), r"does not run on the example \(str\)"),
    (lambda g: tas.costs.count(g.net.state_dict(), (1, 8, 8)), "net=.*: give a torch.nn.Module"),
    # teachers
    (
        lambda g: tas.train("resnet20", g.data, teacher="runs/none"),
        "'runs/none' (does not exist|is no folder)",
    ),
    (lambda g: tas.train("resnet20", g.data, teacher=3), "teacher=3: give"),
    (
        lambda g: tas.train("resnet20", g.data, teacher=g.spoilt()),
        "the teacher has weights that are",
    ),
    (lambda g: tas.train("resnet20", g.data, teacher=g.on_meta()), "the teacher has no values"),
    (lambda g: tas.train("resnet20", g.data, inherit=True), "needs a trained net to inherit from"),
    (lambda g: tas.train("resnet20", g.data, inherit="yes"), "inherit='yes': give True or False"),
    # data
    (lambda g: tas.train(g.net, None), "data=None: give"),
    (lambda g: tas.train(g.net, 5), "data=5: give"),
    (lambda g: tas.train(g.net, "cifr10"), "did you mean 'cifar10'"),
    (lambda g: tas.train(g.net, "~nobody-here/x"), "the home '~nobody-here' is not known"),
    (lambda g: tas.data.load("digits\0"), r"name='digits\\x00': give the path"),
    (lambda g: tas.data.load("x" * 300), "name='xxx.*: give the path"),
    (lambda g: tas.data.load("digits", image_size="32"), "image_size='32': give a whole number"),
    (lambda g: tas.data.load("digits", image_size=32.0), "image_size=32.0: give a whole number"),
    (lambda g: tas.data.load("digits", image_size=10**9), "--image-size 1000000000: give 1 to"),
    (lambda g: tas.data.load("digits", workers=True), "workers=True: give a whole number"),
    (lambda g: tas.data.load("digits", workers=10**7), "--workers 10000000: give"),
    (lambda g: tas.data.load("digits", in_memory="yes"), "in_memory='yes': give True or False"),
    (lambda g: tas.data.load("digits", vary="turn"), "vary='turn': give 'shift' or 'zoom'"),
    (lambda g: tas.data.load("digits", class_names="0123456789"), "class_names='0123456789': give"),
    (lambda g: tas.data.load("digits", class_names=[1, 2]), r"class_names\[0\]=1: give text"),
    (lambda g: tas.data.load("digits", transform={"size": 8}), r"transform=\{'size': 8\}: give"),
    (lambda g: tas.data.search_split("digits"), "data='digits': give a tas.data.Data"),
    (lambda g: tas.data.search_split(g.data, 2), "fraction 2: a split needs"),
    (lambda g: tas.data.search_split(g.data, "half"), "fraction='half': give a number"),
    (lambda g: tas.data.search_split(g.data, seed=1.5), "seed=1.5: give a whole number"),
    (lambda g: tas.data.search_split(g.data, subset=2.5), "subset=2.5: give a whole number"),
    (lambda g: tas.data.stratified_split([0, 1], 0.5, 0), r"labels=\[0, 1\]: give a torch.Tensor"),
    (lambda g: tas.data.read_split("none.json", g.data), "cannot read the split file 'none.json'"),
    (
        lambda g: tas.data.batches(
            g.data, g.data.train, 0, augment=None, device="cpu", shuffle=True
        ),
        "batch size 0",
    ),
    (lambda g: Augment(padding=1.5), "padding=1.5: give a whole number"),
    (lambda g: Augment(flip="no"), "flip='no': give True or False"),
    (lambda g: Augment(jitter="much"), "jitter='much': give a number"),
    (lambda g: Transform.from_dict([]), "the transform: it holds"),
    (lambda g: replace(g.data.transform, size=(8,)), r"size=\(8,\): give height and width"),
    (lambda g: replace(g.data.transform, mean=(2.0,)), r"mean\[0\]=2.0: give a number from 0 to 1"),
    # options
    (lambda g: tas.train(g.net, g.data, options={"epochs": 1}), r"options=\{'epochs': 1\}: give"),
    (lambda g: tas.train(g.net, g.data, options=TrainOptions), "options=the class TrainOptions"),
    (lambda g: tas.search(g.net, g.data, 0.5, options=options()), "options=.*TrainOptions: give"),
    (lambda g: tas.search(g.net, g.data, 0.5, options=TrialOptions), "options=the class TrialOpt"),
    (lambda g: tas.train(g.net, g.data, augment=True), "augment=True: give"),
    (lambda g: tas.train(g.net, g.data, seed=-1), "--seed -1: give a whole number"),
    (lambda g: tas.train(g.net, g.data, seed=0.5), "seed=0.5: give a whole number"),
    (lambda g: tas.train(g.net, g.data, seed=10**5000), "--seed a number of about 5001 digits"),
    (lambda g: tas.train(g.net, g.data, progress="no"), "progress='no': give True or False"),
    (lambda g: TrainOptions(epochs=True), "epochs=True: give a whole number"),
    (lambda g: TrainOptions(epochs=1.5), "epochs=1.5: give a whole number"),
    (lambda g: TrainOptions(epochs="9"), "epochs='9': give a whole number"),
    (lambda g: TrainOptions(epochs=10**12), "--epochs 1000000000000: must be at most"),
    (lambda g: TrainOptions(lr="fast"), "lr='fast': give a number"),
    (lambda g: TrainOptions(lr=float("nan")), "--lr nan: must be above 0"),
    (lambda g: TrainOptions(lr=float("inf")), "--lr inf: must be above 0, and finite"),
    (lambda g: TrainOptions(nesterov=1), "nesterov=1: give True or False"),
    (lambda g: TrainOptions(batch_size=None), "batch_size=None: give a whole number"),
    (lambda g: TrialOptions(trials=2.5), "trials=2.5: give a whole number"),
    (lambda g: ProbeOptions(probes="many"), "probes='many': give a whole number"),
    (lambda g: PaperOptions(bilevel="yes"), "bilevel='yes': give True or False"),
    (lambda g: RunOptions(preset="quik"), "preset='quik': give 'quick' or"),
    (lambda g: RunOptions(ratios="0.5"), "ratios='0.5': give a list of numbers or None"),
    (lambda g: RunOptions(ignore="stem"), "ignore='stem': give a list of names or None"),
    (lambda g: TrainRunOptions(net=20), "net=20: give text or None"),
    # names, folders and files
    (
        lambda g: tas.search(g.net, g.data, 0.5, ignore="stem"),
        "ignore='stem': give a list of names",
    ),
    (lambda g: tas.search(g.net, g.data, 0.5, only=3), "only=3: give a list of names"),
    (lambda g: tas.search(g.net, g.data, 0.5, ratios=0.5), "ratios=0.5: give a list of numbers"),
    (lambda g: tas.search(g.net, g.data, 0.5, ratios=("a",)), r"ratios\[0\]='a': give a number"),
    (lambda g: tas.search(g.net, g.data, 0.5, ratios=(1e308,)), r"the width ratios \[1e\+308\]"),
    (lambda g: tas.search(g.net, g.data, 0.5, round_to=1.5), "round_to=1.5: give a whole number"),
    (lambda g: tas.search(g.net, g.data, 0.5, what="all"), "unknown .*'all'"),
    (lambda g: tas.search(g.net, g.data, 0.5, unit="flops"), "unknown unit of the budget 'flops'"),
    (lambda g: tas.search(g.net, g.data, 0.5, split="none.json"), "cannot read the split file"),
    (lambda g: tas.search(g.net, g.data, 0.5, split=[1, 2]), r"split=\[1, 2\]: give"),
    (lambda g: tas.search(g.net, g.data, 0.5, out=3), "out=3: give"),
    (lambda g: tas.search(g.net, g.data, 0.5, out="a\0b"), r"out='a\\x00b': give"),
    (lambda g: tas.search(g.net, g.data, []), r"budgets \[\] one is missing"),
    (lambda g: tas.search(g.net, g.data, [[0.5]]), r"budget\[0\]=\[0.5\]: give"),
    (lambda g: tas.search(g.net, g.data, "1e308G"), "'1e308G' is not a budget"),
    (lambda g: tas.search(g.net, g.data, float("inf")), "the budget inf is not above 0 and finite"),
    (lambda g: tas.train(g.net, g.data, phase="../x"), "--phase '../x': give letters"),
    (lambda g: tas.train(g.net, g.data, phase=""), "--phase '': give letters"),
    (lambda g: tas.train(g.net, g.data, out=b"x"), "out=an object of the class bytes: give"),
    (lambda g: tas.load(3), "net=3: give"),
    (lambda g: tas.load("none"), "'none' (does not exist|is no)"),
    (lambda g: tas.load("resnet20", "none.safetensors"), "none.safetensors': no such file"),
    (lambda g: tas.load("resnet20", 3), "weights=3: give"),
    (lambda g: tas.load("resnet20", "x", trust=3), "trust=3: give text"),
    (lambda g: tas.predict("none", "a.png"), "'none' (does not exist|is no)"),
    (lambda g: tas.predict(g.net, 5), "pictures=5: give"),
    (lambda g: tas.predict(g.net, "a.png", top=0, classes=["a"] * 10), "transform|--top 0"),
    (lambda g: tas.predict(g.net, "a.png", classes="ab"), "classes='ab': give a list of names"),
    (lambda g: tas.export("none"), "'none' (does not exist|is no)"),
    (lambda g: tas.export("none", to="tflite"), "unknown kind of file 'tflite'|does not exist"),
    (
        lambda g: tas.save(g.net, "m", transform=g.data.transform, classes="abc"),
        "classes='abc': give",
    ),
    (lambda g: tas.save(g.net, 5), "folder=5: give the path"),
    (lambda g: tas.run(data=5), "data=5: give text"),
    (lambda g: tas.run(epochs=1.5), "epochs=1.5: give a whole number"),
    (lambda g: tas.run(epoch=1), "unknown option 'epoch': did you mean 'epochs'"),
    (lambda g: tas.run(TrainRunOptions(net="resnet20")), "options=.*TrainRunOptions: give a tas"),
    (lambda g: tas.run(model="mine"), "model='mine': give a torch.nn.Module or None"),
    (lambda g: tas.recipes.recipe(3), "name=3: give text"),
    (lambda g: tas.recipes.recipe("quik"), "did you mean 'quick'"),
    (lambda g: tas.report.html("none"), "'none' holds no run"),
    (lambda g: tas.spaces.resnet_space(3), "net=3: give"),
    (lambda g: tas.spaces.resnet_space("resnet20", ratios="all"), "ratios='all': give a list"),
    (lambda g: tas.spaces.trace("resnet20", torch.zeros(1)), "model='resnet20': give a torch.nn"),
    (lambda g: tas.spaces.trace(g.net, [1, 2]), "the example is a list without a tensor"),
]


def test_the_table_is_long() -> None:
    assert len(CALLS) >= 80


@pytest.mark.parametrize(("call", "pattern"), CALLS, ids=range(len(CALLS)))
def test_a_wrong_argument_is_named(
    call: Call, pattern: str, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(tas.InputError, match=pattern) as caught:
        call(given)
    text = str(caught.value)
    assert len(text) <= 300
    assert text.isprintable()
    assert list(tmp_path.iterdir()) == []


def test_every_public_function_with_arguments_is_checked() -> None:
    # Called at every step, or for every cell of a table: what calls them is checked.
    hot = {"place", "place_module", "distill_loss", "operator_macs", "readable", "quantity"}
    hot |= {"duration", "say", "divergence", "distance", "squared_error"}
    hot |= {"quiet", "quietly"}  # the second is a decorator
    unchecked = {
        name
        for name, value in test_docstrings.public().items()
        if not inspect.isclass(value)
        and inspect.isfunction(inspect.unwrap(value))
        and inspect.signature(value).parameters
        and not hasattr(value, "checked_by_hints")
        and not name.startswith(("tas.graph.", "tas.timing."))
    }
    assert {name.rpartition(".")[2] for name in unchecked} == hot


def test_what_is_accepted(given: Given, tmp_path: Path) -> None:
    tested = tas.evaluate(given.net, given.data, device=torch.device("cpu"), batch_size=360)
    told = {"transform": given.data.transform, "classes": given.data.class_names}
    folder = tas.save(given.net, tmp_path / "mine", **told)
    assert tas.evaluate(folder, given.data, device="cpu", batch_size=360) == tested
    split = tmp_path / "split.json"
    tas.data.write_split(split, tas.data.search_split(given.data, 0.8))
    how = {"options": TrialOptions(trials=2), "progress": False, "split": split, "device": "cpu"}
    found = tas.search(given.net, given.data, 0.5, **how, out=tmp_path / "search")
    again = tas.search(given.net, given.data, 0.5, **how, out=str(tmp_path / "search"))
    assert found.shape == again.shape
    with pytest.raises(tas.InputError, match="holds a run with --budget"):
        tas.search(given.net, given.data, 0.6, **how, out=tmp_path / "search")
    how = {"options": options(), "progress": False, "out": tmp_path / "train", "teacher": folder}
    first = tas.train(found.derive(), given.data, **how)
    assert tas.train(found.derive(), given.data, **how).history == first.history


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: tas.search("resnet20", budgt=0.5),
            r"unknown argument of search\(\) 'budgt': did you mean 'budget'\?",
        ),
        (
            lambda: TrainOptions(epoch=3),
            r"unknown argument of TrainOptions\(\) 'epoch': did you mean 'epochs'\?",
        ),
        (lambda: tas.train("resnet20"), r"train\(\) missing a required argument: 'data'"),
        (lambda: tas.costs.count(1, 2, 3, 4), r"count\(\) too many positional arguments"),
    ],
    ids=["unknown", "unknown field", "missing", "too many"],
)
def test_an_argument_that_does_not_exist_is_named(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        call()


def test_a_checked_function_keeps_its_signature_and_costs_no_time() -> None:
    def plain(net: nn.Module, names: tuple[str, ...] = (), *, device: str = "auto") -> int:
        """Its docstring."""
        return 1

    strict = checked(plain)
    assert inspect.signature(strict) == inspect.signature(plain)
    assert strict.__doc__ == plain.__doc__
    net = nn.Linear(1, 1)
    strict(net, ("a",), device="cpu")
    started = time.perf_counter()
    for _ in range(100):
        strict(net, ("a",), device="cpu")
    assert time.perf_counter() - started < 0.1
