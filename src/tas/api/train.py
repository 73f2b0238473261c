"""Train a net, on labels or with a teacher, and test it."""

import math
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from .. import nets, training
from ..costs.count import count
from ..data import Augment, Batches, Data
from ..errors import InputError
from ..inherit import Source
from ..recipes import quick
from ..runs import RunDir
from ..seeds import check_seed
from ..shape import Shape
from ..training import Device, History, TrainOptions
from ..training.distillation import learning
from ..training.pictures import check_net, few, given_data, training_batches, unvaried_batches
from ..typed import checked
from ..usable import check_gradients, check_modes, check_unwrapped
from .opening import given_net, given_out, net_name
from .unlabelled import known_by

__all__ = ["Trained", "train"]


@dataclass(frozen=True)
class Trained:
    """A trained net, its cost and its accuracy; ``tas.train`` returns it, with an example.

    Attributes:
        net: the net, trained in place.
        macs, params: what it costs, counted on the net itself.
        accuracy: percent of the test pictures, after the last epoch; NaN where they have no labels.
        history: a line per epoch.
        note: what was not counted, in words; empty where all costs are known.
        agreement: percent of the test pictures that the net answers as its teacher does, where they
            have no labels.
    """

    net: nn.Module
    macs: int
    params: int
    accuracy: float
    history: History
    note: str = ""
    agreement: float | None = None


@checked
def train(
    net: str | Shape | nn.Module,
    data: str | Path | Data,
    *,
    teacher: nn.Module | str | Path | None = None,
    inherit: bool = False,
    options: TrainOptions | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    device: Device = "auto",
    workers: int | None = None,
    out: RunDir | str | Path | None = None,
    phase: str | None = None,
    progress: bool = True,
) -> Trained:
    """Train a net, on labels alone or with a teacher's answers, and test it.

    >>> import tas
    >>> from tas.training import TrainOptions
    >>> options = TrainOptions(epochs=1, warmup_epochs=0, batch_size=64)
    >>> trained = tas.train("resnet20", "digits", options=options, progress=False)
    >>> trained.macs, trained.params
    (2532992, 271994)
    >>> trained.history.last["epoch"], 0 <= trained.accuracy <= 100
    (1, True)

    Args:
        net: a module, trained in place; or a name or a shape, built with fresh weights.
        data: a data set, its name, or the path of a folder of images. Without labels
            (``tas.data.load(folder, unlabelled=True)``) the teacher's answers are all that counts.
        teacher: a trained net of the same classes, or the folder of one; None: labels alone.
        inherit: start from what was learnt before, and keep it: a shape gets the weights of the
            teacher, its unpruned net, for the channels that matter most; a module has its own, as
            one of ``found.derive()`` does.
        options: how; default: those of ``recipes.quick()``, with ``inherit`` those of its
            ``inheriting()``, which leave a net what it knows.
        augment, seed, device, workers, out, progress: as in ``search``.
        phase: its name in the log.

    Raises:
        InputError: an argument cannot be used.
        DivergedError: the loss became NaN or infinite.
    """
    check_seed(seed)
    name = net_name(net)
    data = given_data(data, device, workers, progress)
    options = options or (quick().inheriting() if inherit else quick()).student
    teacher = None if teacher is None else given_net(teacher)
    data = known_by(teacher, data)
    batches = training_batches(
        data, data.train, options, augment or Augment(), device, workers, seed
    )
    if not isinstance(net, nn.Module):
        with training.seeded(seed):
            if not inherit:
                net = nets.build(net, data.classes, data.input)
            elif teacher is None:
                raise InputError(
                    "--inherit needs a trained net to inherit from: give its weights as --teacher"
                )
            else:
                net = _inherited(nets.read_shape(net), teacher, data, batches, device)
    _check_trains(net)
    check_net(net, data, "net", options.precision)
    if teacher is not None:
        check_net(teacher, data, "teacher", options.precision)
    whose = None if teacher is None else net_name(teacher)
    asked = {"options": options, "augment": augment, "inherit": inherit, "phase": phase}
    with given_out(out, "tas.train", name, data, seed, {**asked, "teacher": whose}) as directory:
        history = training.fit(
            learning(net, teacher, options, data.labelled),
            batches,
            phase=phase,
            out=directory,
            evaluate_on=unvaried_batches(data, data.test, options, device, workers),
            device=device,
            seed=seed,
            progress=progress,
        )
    counted = count(net, data.input)
    accuracy = history.last.get("test_accuracy", math.nan)
    agreement = history.last.get("test_agreement")
    cost = counted.macs, counted.params
    return Trained(net, *cost, accuracy, history, counted.note, agreement)


def _check_trains(net: nn.Module) -> None:
    check_gradients()
    check_modes(net)
    check_unwrapped(net)
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise InputError(
            "the net has no parameter to train, all are frozen or there are none: unfreeze some"
        )


def _inherited(
    shape: Shape, teacher: nn.Module, data: Data, batches: Batches, device: Device
) -> nn.Module:
    """The net of a shape, with the weights of the unpruned one that tell most."""
    shape = shape.replace(classes=data.classes, input=data.input, macs=None, params=None)
    source = Source.teaching(shape, teacher, data.input)
    here = training.where(device, "fp32").device
    with training.repeatable():
        return source.ordered(data.input, *few(teacher, batches, here)).derive(shape)
