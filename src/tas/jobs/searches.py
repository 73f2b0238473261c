"""Search widths and depths of a net within a budget."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import data as data_room
from .. import nets, training
from ..choose import choose
from ..data import Augment, Batches, Data, Part
from ..errors import InputError, one_of
from ..masked import MaskedSupernet
from ..nets import ResNet
from ..recipes import quick
from ..response import OWN, OWN_TRAINED, design, fit_logits, table
from ..sampling import states_near
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
from ..training import History, ProbeOptions, RunDir, SearchOptions
from .common import check_fits, given_data, training_batches, unvaried_batches
from .inherit import ranked

__all__ = ["POOL", "Found", "equal_widths", "search", "search_space"]

WIDTHS_PER = ("layer", "kind", "stage")
POOL = 4096  # shapes near the budget, out of which the probes are taken

# Of a search that starts from trained weights. What is cut much needs long to recover, and short
# trainings tell nothing of it, or the wrong thing: no width is less than this part of an equal one,
# and every stage keeps so much of its blocks, unless the budget asks for less.
NARROWEST = 0.5
SHALLOWEST = 1.0
FINALS = 500  # what the seeds of the last two trainings lie above those of the probes
EQUAL = "equal widths, as far as the budget allows: the search found none better"

Probabilities = tuple[Tensor, Tensor]  # of the candidate widths [L, K] and depths [D, K_d]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        shape: the most likely shape within the budget; from trained weights equal widths, as far as
            the budget allows, where these were better.
        budget: what it may cost, in ``unit``.
        unit: ``"macs"`` or ``"params"``.
        probabilities: of the candidate widths [L, K] and depths [D, K_d]; ``choose`` goes by them.
        history: a line per epoch of the search.
        supernet: of the paper's search; None where probes were trained.
        space: what was searched.
    """

    shape: Shape
    budget: int
    unit: str
    probabilities: tuple[Tensor, Tensor]
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
    options: ProbeOptions | SearchOptions | None = None,
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

    With ``ProbeOptions`` a few shapes near the budget are trained for a short time, and the logits
    of the choices are those that explain their losses (``docs/search.md``). With ``SearchOptions``
    it is the paper's search. A net that is given as a module is searched with its weights, the most
    important channels kept first: train it before. A name means fresh weights, and so does the
    paper's search of one of our ResNets, whose interpolation would scramble trained channels.

    Several processes train different probes at the same time, each as one process would, and find
    what one would; of the paper's search each computes its share of every batch.

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
            Default: per kind where the net has weights, per stage where it has none, and per layer
            in the paper's search.
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
        options = (quick() if isinstance(net, str) else quick().inheriting()).search
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

    def batches(part: Part, seed: int) -> Batches:
        return training_batches(data, part, options, augment or Augment(), device, workers, seed)

    fit = partial(training.fit, out=out, device=device, progress=progress)
    inheriting = space.original is not None
    if inheriting and not (isinstance(net, str) or getattr(space, "ranking", None)):
        space = ranked(space, batches(sides[0], seed), device)
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
        shape = _chosen(space, probabilities, limit, unit, origin)
        return Found(shape, limit, unit, probabilities, history, supernet, space)

    @cache
    def held_out() -> Batches:
        return unvaried_batches(data, sides[1], options, device, workers)

    def train_probe(name: str, shape: Shape, seed: int) -> History:
        torch.manual_seed(seed)
        return fit(
            training.Classification(space.derive(shape), options),
            batches(sides[0], seed),
            phase=name,
            evaluate_on=held_out(),
            evaluate_every=0,
            seed=seed,
        )

    if inheriting:
        space = _near_equal(space, limit, unit)
    generator = torch.Generator().manual_seed(seed)
    near = states_near(space, limit, unit, options.low, options.high, POOL, generator)
    probes = design(space, near, options.probes)
    n = len(space.widths)
    shapes = [space.shape(state[:n], state[n:]) for state in probes.tolist()]
    # Every probe is another sample of all that is random.
    histories = _side_by_side("probe", shapes, train_probe, seed * 1000)
    losses = torch.tensor([_loss(each) for each in histories])
    logits = fit_logits(space, probes, losses, OWN_TRAINED if inheriting else OWN)
    probabilities = logits[0].softmax(-1), logits[1].softmax(-1)
    shape = _chosen(space, probabilities, limit, unit, origin)
    even = _chosen(space, _equal_preferences(space, limit, unit), limit, unit, EQUAL)
    if inheriting and even.replace(origin=origin) != shape:
        # Equal widths are good where weights are inherited. What beats them by the model of the
        # probes is to beat them, too, where both are trained as probes are.
        finals = _side_by_side("final", [shape, even], train_probe, seed * 1000 + FINALS)
        shape = shape if _loss(finals[0]) <= _loss(finals[1]) else even
        histories += finals
    if out:
        for each in histories:  # the other processes' probes as well, in their order
            out.keep_log(each.phase, list(each.epochs))
    history = History("search", tuple(line for each in histories for line in each.epochs))
    return Found(shape, limit, unit, probabilities, history, None, space)


def _side_by_side(
    name: str, shapes: list[Shape], train: Callable[[str, Shape, int], History], seed: int
) -> list[History]:
    """Train the nets of some shapes; several processes train different ones at the same time.

    Args:
        train: trains a shape under a name and with a seed, and tests it on held-out pictures.
        seed: of what comes before the first.
    """
    jobs = [
        partial(train, f"{name}-{i:02d}-of-{len(shapes):02d}", shape, seed + i)
        for i, shape in enumerate(shapes, start=1)
    ]
    return training.side_by_side(jobs, [float(shape.macs or 0) for shape in shapes])


def _loss(history: History) -> float:
    """Of the last training epoch plus that on held-out pictures.

    Both tell of the shape; each has noise of its own.
    """
    return float(history.last["loss"] + history.last["test_loss"])


def _chosen(
    space: Space, probabilities: Probabilities, limit: int, unit: str, origin: str
) -> Shape:
    """The most likely shape within the budget."""
    refined, widths = space.refined(probabilities[0])
    return choose(refined, widths, probabilities[1], limit, unit, origin)


def _near_equal(space: Space, limit: int, unit: str) -> Space:
    """The part of a space around equal widths; all of it where that part has no such budget."""
    ratio = equal_ratio(space, limit, unit)
    near = space.within(NARROWEST * ratio, 1, SHALLOWEST)
    ends = [
        near.shape(
            [at % len(choice.candidates) for choice in near.widths],
            [at % len(choice.candidates) for choice in near.depths],
        )
        for at in (0, -1)
    ]
    lowest, highest = (near.cost(end, unit) for end in ends)
    return near if lowest <= limit <= highest else space


def _equal_preferences(space: Space, limit: int, unit: str) -> Probabilities:
    """Probabilities whose most likely shape within a budget is all but that of equal widths."""
    ratio = equal_ratio(space, limit, unit)
    rows: list[list[float]] = []
    for choice in space.widths:
        full = space.unpruned.widths[choice.keys[0]]
        own = choice.of(choice.keys[0])
        rows.append([-abs(math.log2(c / full / ratio)) for c in own])
    deep = [[float(c - d.candidates[-1]) for c in d.candidates] for d in space.depths]
    return table(rows).mul(10).softmax(-1), table(deep).mul(10).softmax(-1)


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
    options: ProbeOptions | SearchOptions,
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
        starts_trained = inheriting or not (isinstance(net, str) and not nets.is_named(net))
        widths_per = "layer" if paper else "kind" if starts_trained else "stage"
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


def equal_widths(space: Space, budget: int, unit: str = "macs") -> Shape:
    """The baseline to beat: every layer of the unpruned net thinned by one and the same ratio.

    The ratio is the largest whose cost is within the budget; the depth is untouched. It need not
    be a shape of the space's candidates.
    """
    return space.equal(equal_ratio(space, budget, unit))


def equal_ratio(space: Space, budget: int, unit: str = "macs") -> float:
    """The largest ratio of all widths whose cost is within the budget."""
    # Widths change where ratio * width is half a channel above a whole number: between two such
    # places every ratio gives the same shape.
    widths = set(space.unpruned.widths.values())
    edges = sorted({(i + 0.5) / w for w in widths for i in range(w)})
    ratios = [(a + b) / 2 for a, b in zip([0.0, *edges], [*edges, 1.0], strict=True)]
    low, high = 0, len(ratios)
    while high - low > 1:
        middle = (low + high) // 2
        cost = getattr(space.equal(ratios[middle]), unit)
        low, high = (middle, high) if cost <= budget else (low, middle)
    return ratios[low]


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
