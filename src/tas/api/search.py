"""Search widths and depths of a net within a budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import data as data_room
from .. import nets, training
from ..data import Augment, Batches, Data, Part
from ..errors import InputError
from ..inherit.source import ranked
from ..methods.baseline import Probabilities, chosen, equal_widths, near_equal, nearest
from ..methods.choose import WINDOW
from ..methods.paper.masked import MaskedSupernet
from ..methods.paper.options import PaperOptions
from ..methods.paper.supernet import Supernet
from ..methods.paper.task import Paired, Search
from ..methods.probes.options import ProbeOptions
from ..methods.probes.train import by_probes, final_loss, side_by_side
from ..methods.trials.ask import PICTURES, by_trials
from ..methods.trials.options import TrialOptions
from ..recipes import quick
from ..runs import RunDir
from ..seeds import SEEDS, check_seed
from ..shape import Shape
from ..space import Space
from ..spaces import ResNetSpace, TracedSpace
from ..training import History, TrainOptions
from ..training.distillation import learning
from ..training.pictures import given_data, training_batches, unvaried_batches
from .spaces import search_space

__all__ = ["Found", "search"]

EQUAL = "equal widths, as far as the budget allows: the search found none better"


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        shape: the best shape within the budget; from trained weights equal widths, as far as the
            budget allows, where these were better.
        budget: what it may cost, in ``unit``.
        unit: ``"macs"`` or ``"params"``.
        probabilities: of the candidate widths [L, K] and depths [D, K_d], by which the shape was
            chosen; None where shapes were tried.
        history: a line per epoch of the search, and per generation of its trials.
        supernet: of the paper's search; None for the others.
        space: what was searched.
    """

    shape: Shape
    budget: int
    unit: str
    probabilities: Probabilities | None
    history: History
    supernet: Supernet | None
    space: Space

    def derive(self, inherit: bool | None = None) -> nn.Module:
        """The plain net of the shape.

        Its norms have seen other mixtures of channels: train it, or let them measure anew
        (``tas.training.recompute_norm_statistics``) before it is used.

        Args:
            inherit: with the weights that the search started from, or that its supernet ended
                with; False: with fresh ones. Default: what the space says, which is to inherit
                where the search was given a net with its weights. A net that is not one of ours
                always inherits.

        Raises:
            InputError: there are no weights to inherit.
        """
        space = self.space
        if isinstance(space, ResNetSpace):
            if inherit and not (self.supernet or space.original):
                raise InputError(
                    "there are no weights to inherit: give the search a trained net, not its name"
                )
            if inherit is False or (inherit is None and space.original is None):
                return nets.build(self.shape)
        return (space.starting_from(self.supernet.net) if self.supernet else space).derive(
            self.shape
        )


def search(
    net: str | nn.Module | Space,
    data: str | Path | Data,
    budget: str | float,
    *,
    unit: str = "macs",
    what: str = "both",
    residual: str | None = None,
    ratios: tuple[float, ...] | None = None,
    widths_per: str | None = None,
    options: ProbeOptions | TrialOptions | PaperOptions | None = None,
    augment: Augment | None = None,
    fraction: float | None = None,
    split: data_room.Split | None = None,
    subset: int | None = None,
    ignore: Sequence[str] = (),
    only: Sequence[str] = (),
    round_to: int = 1,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    out: RunDir | None = None,
    progress: bool = True,
) -> Found:
    """Search widths and depths of a net within a budget.

    With ``TrialOptions`` hundreds of shapes at the budget are cut from a trained net and asked,
    without any training, what they answer; what answers most like the whole net is found by
    evolution. With ``ProbeOptions`` a few shapes near the budget are trained for a short time, and
    the logits of the choices are those that explain their losses (``docs/search.md``, of both).
    With ``PaperOptions`` it is the paper's search. A net that is given as a module is searched
    with its weights, the most important channels kept first: train it before. A name means fresh
    weights, and so does the paper's search of one of our ResNets, whose interpolation would
    scramble trained channels.

    Several processes try or train different shapes at the same time, each as one process would, and
    find what one would; of the paper's search each computes its share of every batch.

    Args:
        net: a net, or its name (``"resnet20"``, ``"timm:resnet50"``); or a space, to which
            ``what``, ``residual``, ``ratios``, ``widths_per``, ``ignore``, ``only`` and
            ``round_to`` do not apply.
        data: a data set, its name, or the path of a folder of images.
        budget: a ratio of the unpruned net (``0.55``), or absolute (``"22.4M"``).
        unit: what the budget counts, ``"macs"`` or ``"params"``.
        what: ``"width"``, ``"depth"`` or ``"both"``.
        residual: ``"free"`` or ``"tied"``, see ``tas.spaces.resnet_space``; default: tied, and
            free in the paper's search.
        ratios: candidate widths, as ratios of the unpruned ones; default: 0.25 to 1.5, 0.25 to 1
            where the net has weights, and 0.3 to 1 in the paper's search. From trained weights the
            search stays near equal widths (``docs/search.md``).
        widths_per: ``"layer"``; or ``"kind"``: what is added up in a stage has one width, and
            what is within its blocks another; or ``"stage"``: all layers of a stage share one.
            Default: per stage where probes are trained, which can tell few slopes; else per layer.
        options: how; default: those of ``recipes.quick()``, and of its ``inheriting()`` where the
            net has weights.
        augment: how pictures are varied; default: padded, cropped, mirrored where that is allowed.
        fraction: of the training pictures, to train the weights; the rest is for the logits.
            Default: 0.8, and 0.5 in the paper's search; unused by one that is not ``bilevel``.
        split: these two parts instead of fresh ones.
        subset: a proxy search, on that many training pictures of every class.
        ignore, only, round_to: of a traced net, as in ``tas.spaces.trace``.
        seed: of weights, draws and split; a whole number from 0 to 2**32 - 1.
        out: a run directory to log, to keep checkpoints in, and to continue from.

    Raises:
        InputError: an argument cannot be used; ``InfeasibleBudgetError``: no shape is so small.
        DivergedError: the loss became NaN or infinite.
    """
    check_seed(seed)
    data = given_data(data, device, workers, progress)
    if options is None:
        fresh = isinstance(net, str) or (isinstance(net, Space) and net.original is None)
        options = (quick() if fresh else quick().inheriting()).search
    space = search_space(
        net,
        data,
        what=what,
        residual=residual,
        ratios=ratios,
        widths_per=widths_per,
        ignore=ignore,
        only=only,
        round_to=round_to,
        options=options,
    )
    limit = space.budget(budget, unit)
    if not space.widths and not space.depths:
        raise InputError("there is nothing to search: every choice has one candidate")
    if fraction is None:
        fraction = 0.5 if isinstance(options, PaperOptions) else 0.8
    split = split or data_room.search_split(data, fraction, seed, subset)
    job = _Job(
        space,
        data,
        (data.train.take(split.weights), data.train.take(split.logits)),
        limit,
        unit,
        options,
        augment or Augment(),
        seed,
        device,
        workers,
        out,
        progress,
    )
    if space.original is not None and not (isinstance(net, str) or getattr(space, "ranking", None)):
        with training.alone():  # every process sees the same pictures
            ordered = ranked(space, job.batches(job.sides[0], seed, PICTURES), device)
        job = replace(job, space=ordered)
    if isinstance(options, PaperOptions):
        return job.by_supernet(options)
    return job.by_trials(options) if isinstance(options, TrialOptions) else job.by_probes(options)


@dataclass(frozen=True)
class _Job:
    """One search: ``sides`` are the pictures for weights, and those for what is chosen by."""

    space: Space
    data: Data
    sides: tuple[Part, Part]
    limit: int
    unit: str
    options: ProbeOptions | TrialOptions | PaperOptions
    augment: Augment
    seed: int
    device: str
    workers: int | None
    out: RunDir | None
    progress: bool

    @property
    def origin(self) -> str:
        return f"searched on {self.data.name}, seed {self.seed}"

    def by_supernet(self, options: PaperOptions) -> Found:
        """The paper's search."""
        with training.seeded(self.seed):
            supernet = _supernet(self.space, self.unit, options.mixing)
        task = Search(supernet, options, float(self.limit))
        weights, logits = self.sides
        if options.bilevel:
            other = (self.seed + 1) % SEEDS
            halves = Paired(self.batches(weights, self.seed), self.batches(logits, other))
            history = self.fit(task, halves, seed=self.seed)
        else:
            history = self.fit(task, self.batches(self.data.train, self.seed), seed=self.seed)
        with torch.no_grad():
            probabilities = supernet.probabilities()
        shape = chosen(self.space, probabilities, self.limit, self.unit, self.origin)
        return self.found(shape, [history], probabilities, supernet)

    def by_trials(self, options: TrialOptions) -> Found:
        if self.space.original is None:
            raise InputError("there are no weights to try shapes by: give the search a trained net")
        limit, unit = self.limit, self.unit
        near = near_equal(self.space, limit, unit)
        with training.alone():
            asked = self.batches(self.sides[0], self.seed, PICTURES)
        shape, tried = by_trials(
            near, limit, unit, options, asked, self.device, self.seed, self.out, self.progress
        )
        if (getattr(shape, unit) or 0) < (1 - WINDOW) * limit:  # choices too coarse for the budget
            shape = nearest(near, shape, limit, unit, "")
        shape = shape.replace(origin=self.origin)
        even = nearest(near, equal_widths(self.space, limit, unit), limit, unit, EQUAL)
        if even.replace(origin=self.origin) == shape:
            return self.found(shape, [tried])
        # What beats equal widths untrained is to beat them where both are trained, too; by the
        # whole net's answers, lest a short training is but the forgetting of what they know.
        train = partial(self.train_short, options, self.space.derive(self.space.unpruned))
        finals = side_by_side("final", [shape, even], train, self.seed * 1000)
        best = shape if final_loss(finals[0]) <= final_loss(finals[1]) else even
        return self.found(best, [tried, *finals])

    def by_probes(self, options: ProbeOptions) -> Found:
        train = partial(self.train_short, options, None)
        learnt, histories = by_probes(self.space, self.limit, self.unit, options, train, self.seed)
        shape = chosen(self.space, learnt, self.limit, self.unit, self.origin)
        return self.found(shape, histories, learnt)

    def train_short(
        self, options: TrainOptions, teacher: nn.Module | None, name: str, shape: Shape, seed: int
    ) -> History:
        with training.seeded(seed):
            net = self.space.derive(shape)
        return self.fit(
            learning(net, teacher, options),
            self.batches(self.sides[0], seed),
            phase=name,
            evaluate_on=self.held_out,
            evaluate_every=0,
            seed=seed,
        )

    @cached_property
    def held_out(self) -> Batches:
        return unvaried_batches(self.data, self.sides[1], self.options, self.device, self.workers)

    def batches(self, part: Part, seed: int, size: int | None = None) -> Batches:
        options = replace(self.options, batch_size=size or self.options.batch_size)
        return training_batches(
            self.data, part, options, self.augment, self.device, self.workers, seed
        )

    def fit(self, *args: Any, **more: Any) -> History:
        return training.fit(*args, out=self.out, device=self.device, progress=self.progress, **more)

    def found(
        self,
        shape: Shape,
        histories: Sequence[History],
        probabilities: Probabilities | None = None,
        supernet: Supernet | None = None,
    ) -> Found:
        """With all that the search did, in its order, in the log as well: what other processes did
        is not there yet."""
        if self.out:
            for each in histories:
                self.out.keep_log(each.phase, list(each.epochs))
        lines = tuple(line for each in histories for line in each.epochs)
        history = History("search", lines)
        return Found(shape, self.limit, self.unit, probabilities, history, supernet, self.space)


def _supernet(space: Space, unit: str, mixing: str) -> Supernet:
    if not isinstance(space, TracedSpace):
        return Supernet(space, unit=unit, mixing="interpolate" if mixing == "auto" else mixing)
    if mixing == "interpolate":
        raise InputError("--mixing interpolate: the widths of a traced net are mixed by masks")
    return MaskedSupernet(space, unit)
