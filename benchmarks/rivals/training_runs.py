"""Teachers, fine-tunings and what a net is worth before any: the same for every method."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pictures import measuring
from torch import nn
from zoo import NETS, Net

from tas import training
from tas.data import Augment, Data
from tas.runs import RunDir
from tas.training import Classification, Distillation, History, TrainOptions
from tas.training.pictures import training_batches, unvaried_batches

__all__ = ["Teacher", "clock", "teacher_of", "tune_epochs", "tuned", "untrained"]

FULL = 10_000  # pictures for which the epochs of the nets are meant
DECAY = 0.05  # of AdamW
Task = Callable[[], Classification]


def clock() -> float:
    """Seconds of the processor, which other programs do not use up; of the wall with a GPU."""
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


class _Timed:
    """Leaves the seconds of every epoch in the log, so that an interruption does not lose them."""

    def start(self, *given: Any) -> None:
        super().start(*given)  # type: ignore[misc]
        self.since = clock()

    def end_epoch(self) -> dict[str, float]:
        figures: dict[str, float] = super().end_epoch()  # type: ignore[misc]
        now = clock()
        figures["cpu"], self.since = now - self.since, now
        return figures


class _Sgd(_Timed, Classification):
    pass


class _SgdDistillation(_Timed, Distillation):
    pass


class _Adam(_Timed):
    """AdamW in the place of SGD; all else stays."""

    def start(self, *given: Any) -> None:
        super().start(*given)
        options, net = self.options, self.module  # type: ignore[attr-defined]
        # Neither norms nor biases decay.
        flat = [p for p in net.parameters() if p.dim() < 2]
        deep = [p for p in net.parameters() if p.dim() >= 2]
        self.optimizer = torch.optim.AdamW(
            [{"params": deep}, {"params": flat, "weight_decay": 0.0}],
            lr=options.lr,
            weight_decay=DECAY,
        )


class _AdamClassification(_Adam, Classification):
    pass


class _AdamDistillation(_Adam, Distillation):
    pass


@dataclass(frozen=True)
class Teacher:
    """A trained net.

    Attributes:
        accuracy: percent of the test pictures, after the last epoch.
        seconds: of its training.
    """

    net: nn.Module
    accuracy: float
    seconds: float


def epochs_for(epochs: int, pictures: int) -> int:
    """As many steps for more pictures, but no less than four epochs."""
    return max(4, round(epochs * (FULL / pictures) ** 0.5)) if pictures > FULL else epochs


def teacher_file(name: str, data: Data, work: Path) -> Path:
    return work / f"teacher-{name}-{data.name}-{len(data.train)}.pt"


def teacher_of(name: str, data: Data, work: Path, progress: bool = False) -> Teacher:
    """The teacher of a net: trained on labels, once, and kept in the working folder."""
    net = NETS[name]
    with training.seeded(0):
        model = net.make(data.classes, data.input)
    place = teacher_file(name, data, work)
    if not place.exists():
        options = _options(net, epochs_for(net.epochs, len(data.train)), net.lr, 2)
        task = (_AdamClassification if net.adam else _Sgd)(model, options)
        accuracy, seconds = _fit(task, data, 0, place.with_suffix(""), progress)
        kept = {"weights": model.state_dict(), "accuracy": accuracy, "seconds": seconds}
        keep(kept, place)
    kept = torch.load(place, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["weights"])
    return Teacher(model.cpu().eval(), kept["accuracy"], kept["seconds"])


def tuned(
    model: nn.Module,
    teacher: nn.Module,
    name: str,
    data: Data,
    lr: float,
    seed: int,
    out: Path | None = None,
) -> tuple[float, float]:
    """Fine-tune a net in place: its accuracy after the last epoch in percent, and seconds.

    On labels and the teacher's answers, half and half.
    """
    net = NETS[name]
    options = _options(net, tune_epochs(name, data), lr, 1)
    task = (_AdamDistillation if net.adam else _SgdDistillation)(model, teacher, options)
    return _fit(task, data, seed, out, False)


def tune_epochs(name: str, data: Data) -> int:
    return epochs_for(NETS[name].tune_epochs, len(data.train))


def untrained(model: nn.Module, data: Data, precision: str) -> tuple[float, float]:
    """Accuracy in percent of a net that was cut and not trained, and its loss on training pictures.

    Its norms measure anew what they are given, on training pictures.
    """
    known = list(measuring(data))
    training.recompute_norm_statistics(model, known, precision=precision)
    test = unvaried_batches(data, data.test, TrainOptions(batch_size=256), "auto", 0)
    accuracy = training.evaluate(model, test, precision=precision)["accuracy"]
    return accuracy, training.evaluate(model, known, precision=precision)["loss"]


def seconds_per_picture(name: str, data: Data) -> float:
    """Of a step of the teacher's training, from a few of them."""
    net = NETS[name]
    few = replace(data, train=data.train.take(torch.arange(3 * 128)), test=data.test.take([0, 1]))
    spent = []
    for pictures in (1, 3):  # what a training costs beside its steps cancels out
        part = replace(few, train=few.train.take(torch.arange(pictures * 128)))
        with training.seeded(0):
            model = net.make(data.classes, data.input)
        options = replace(_options(net, 2, net.lr, 1), clip_norm=1.0)
        task = (_AdamClassification if net.adam else _Sgd)(model, options)
        started = clock()
        _fit(task, part, 0, None, False)
        spent.append(clock() - started)
    return (spent[1] - spent[0]) / (2 * 2 * 128)


def _options(net: Net, epochs: int, lr: float, warmup: int) -> TrainOptions:
    return TrainOptions(
        epochs=epochs,
        warmup_epochs=min(warmup, epochs - 1),
        batch_size=128,
        lr=lr,
        clip_norm=1.0,
        kd_alpha=0.5,
        precision=net.precision,
    )


def _fit(
    task: Classification, data: Data, seed: int, out: Path | None, progress: bool
) -> tuple[float, float]:
    """Accuracy after the last epoch, and the seconds of all."""
    batches = training_batches(data, data.train, task.options, Augment(), "auto", 0, seed)
    history: History = training.fit(
        task,
        batches,
        out=RunDir.open(out, {"of": out.name}) if out else None,
        evaluate_on=unvaried_batches(data, data.test, task.options, "auto", 0),
        evaluate_every=0,
        seed=seed,
        progress=progress,
    )
    seconds = sum(float(line["cpu"]) for line in history.epochs)
    return float(history.last["test_accuracy"]), seconds


def keep(what: Any, place: Path) -> None:
    """At once or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    started = time.time_ns()
    part = place.with_suffix(f".{started}")
    torch.save(what, part)
    part.replace(place)
