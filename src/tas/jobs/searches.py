"""Search widths and depths of a net within a budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

from .. import data as data_room
from .. import nets, training
from ..choose import WINDOW
from ..data import Augment, Batches, Data, Part
from ..errors import InputError, one_of
from ..masked import MaskedSupernet
from ..nets import ResNet
from ..recipes import quick
from ..shape import Shape
from ..space import Space
from ..spaces import (
    FINE_RATIOS,
    RATIOS,
    WIDE_RATIOS,
    ResNetSpace,
    TracedSpace,
    resnet_space,
    trace,
)
from ..supernet import Supernet
from ..training import History, ProbeOptions, RunDir, SearchOptions, TrialOptions
from .common import check_fits, given_data, training_batches, unvaried_batches
from .equal import Probabilities, chosen, equal_widths, near_equal, nearest
from .inherit import ranked
from .probes import by_probes, final_loss, side_by_side
from .trials import PICTURES, by_trials

__all__ = ["Found", "search", "search_space"]

WIDTHS_PER = ("layer", "kind", "stage")
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
    options: ProbeOptions | TrialOptions | SearchOptions | None = None,
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
    With ``SearchOptions`` it is the paper's search. A net that is given as a module is searched
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
        seed: of weights, draws and split.
        out: a run directory to log, to keep checkpoints in, and to continue from.

    Raises:
        InputError: an argument cannot be used; ``InfeasibleBudgetError``: no shape is so small.
        DivergedError: the loss became NaN or infinite.
    """
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
    fraction = fraction or (0.5 if isinstance(options, SearchOptions) else 0.8)
    split = split or data_room.search_split(data, fraction, seed, subset)
    sides = data.train.take(split.weights), data.train.take(split.logits)

    def batches(part: Part, seed: int, size: int = options.batch_size) -> Batches:
        sized = replace(options, batch_size=size)
        return training_batches(data, part, sized, augment or Augment(), device, workers, seed)

    fit = partial(training.fit, out=out, device=device, progress=progress)
    inheriting = space.original is not None
    if inheriting and not (isinstance(net, str) or getattr(space, "ranking", None)):
        with training.alone():  # every process sees the same pictures
            space = ranked(space, batches(sides[0], seed, PICTURES), device)
    origin = f"searched on {data.name}, seed {seed}"

    if isinstance(options, SearchOptions):
        torch.manual_seed(seed)
        supernet = _supernet(space, unit, options.mixing)
        task = training.Search(supernet, options, float(limit))
        if options.bilevel:
            halves = training.Paired(batches(sides[0], seed), batches(sides[1], seed + 1))
            history = fit(task, halves, seed=seed)
        else:
            history = fit(task, batches(data.train, seed), seed=seed)
        with torch.no_grad():
            probabilities = supernet.probabilities()
        shape = chosen(space, probabilities, limit, unit, origin)
        return Found(shape, limit, unit, probabilities, history, supernet, space)

    @cache
    def held_out() -> Batches:
        return unvaried_batches(data, sides[1], options, device, workers)

    def train_short(name: str, shape: Shape, seed: int) -> History:
        torch.manual_seed(seed)
        return fit(
            training.Classification(space.derive(shape), options),
            batches(sides[0], seed),
            phase=name,
            evaluate_on=held_out(),
            evaluate_every=0,
            seed=seed,
        )

    if isinstance(options, TrialOptions):
        if not inheriting:
            raise InputError("there are no weights to try shapes by: give the search a trained net")
        near = near_equal(space, limit, unit)
        with training.alone():
            asked = batches(sides[0], seed, PICTURES)
        shape, tried = by_trials(near, limit, unit, options, asked, device, seed, out, progress)
        if (getattr(shape, unit) or 0) < (1 - WINDOW) * limit:  # choices too coarse for the budget
            shape = nearest(near, shape, limit, unit, "")
        shape = shape.replace(origin=origin)
        even = nearest(near, equal_widths(space, limit, unit), limit, unit, EQUAL)
        histories = [tried]
        if even.replace(origin=origin) != shape:
            # What beats equal widths untrained is to beat them where both are trained, too.
            finals = side_by_side("final", [shape, even], train_short, seed * 1000)
            shape = shape if final_loss(finals[0]) <= final_loss(finals[1]) else even
            histories += finals
        found = Found(shape, limit, unit, None, _one(histories, out), None, space)
    else:
        learnt, histories = by_probes(space, limit, unit, options, train_short, seed)
        shape = chosen(space, learnt, limit, unit, origin)
        found = Found(shape, limit, unit, learnt, _one(histories, out), None, space)
    return found


def _one(histories: Sequence[History], out: RunDir | None) -> History:
    """All that a search did, in its order, in the log as well: what other processes did is not
    there yet."""
    if out:
        for each in histories:
            out.keep_log(each.phase, list(each.epochs))
    return History("search", tuple(line for each in histories for line in each.epochs))


def search_space(
    net: str | nn.Module | Space,
    data: Data,
    *,
    what: str = "both",
    residual: str | None = None,
    ratios: tuple[float, ...] | None = None,
    widths_per: str | None = None,
    ignore: Sequence[str] = (),
    only: Sequence[str] = (),
    round_to: int = 1,
    name: str = "",
    inheriting: bool = False,
    options: ProbeOptions | TrialOptions | SearchOptions,
) -> Space:
    """The space that ``search`` searches; the arguments are the same.

    Args:
        inheriting: one of our nets, by its name, is to get trained weights.
        name: what shapes call a net that is given as a module; see ``tas.spaces.trace``.
    """
    if isinstance(net, Space):
        return net
    paper = isinstance(options, SearchOptions)
    inheriting = inheriting or isinstance(net, ResNet)
    if widths_per is None:
        widths_per = "stage" if isinstance(options, ProbeOptions) else "layer"
    if widths_per not in WIDTHS_PER:
        raise InputError(one_of("value of widths per", widths_per, WIDTHS_PER))
    space: Space
    if isinstance(net, ResNet) or (isinstance(net, str) and not nets.is_named(net)):
        if ignore or only or round_to != 1:
            raise InputError(
                "--ignore, --only and --round-to are for nets that are traced, not for our own"
            )
        space = resnet_space(
            _unpruned(net, data),
            what=what,
            residual=residual or ("free" if paper else "tied"),
            ratios=ratios or (RATIOS if paper else FINE_RATIOS if inheriting else WIDE_RATIOS),
        )
        if isinstance(net, ResNet) and not paper:
            space = space.starting_from(net)
    else:
        if residual not in (None, "tied"):
            raise InputError(f"--residual {residual}: the space of a traced net is always tied")
        model = _fresh(net, data) if isinstance(net, str) else net
        space = trace(
            model,
            torch.zeros(1, *data.input, device=next(model.parameters()).device),
            ignore=ignore,
            only=only,
            round_to=round_to,
            ratios=ratios or (RATIOS if paper else FINE_RATIOS),
            what=what,
            name=name or (net if isinstance(net, str) else ""),
        )
        check_fits(space.unpruned, data, "net")
    return space if widths_per == "layer" else space.grouped(kinds=widths_per == "kind")


def _fresh(net: str, data: Data) -> nn.Module:
    """A net by its name, with the same weights each time: a run may be begun anew, and go on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nets.build(net, data.classes, data.input)


def _supernet(space: Space, unit: str, mixing: str) -> Supernet:
    if not isinstance(space, TracedSpace):
        return Supernet(space, unit=unit, mixing="interpolate" if mixing == "auto" else mixing)
    if mixing == "interpolate":
        raise InputError("--mixing interpolate: the widths of a traced net are mixed by masks")
    return MaskedSupernet(space, unit)


def _unpruned(net: str | ResNet, data: Data) -> Shape:
    if isinstance(net, ResNet):
        check_fits(net.shape, data, "net")
        return net.shape.replace(input=data.input)  # a ResNet takes any side; it costs by it
    return nets.full_shape(net, data.classes, data.input)
