"""The jobs of the library: search, train, evaluate. The command line is made of these."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from . import data as data_room
from . import nets, processes, training
from .choose import choose
from .data import Augment, Data
from .derive import derive
from .errors import InputError, one_of
from .importance import channel_ranking
from .macs import count
from .masked import MaskedSupernet
from .nets import ResNet
from .recipes import quick
from .response import design, fit_logits
from .sampling import states_near
from .shape import Shape
from .space import ExpectedCost, Space
from .spaces import RATIOS, WIDE_RATIOS, ResNetSpace, TracedSpace, resnet_space, trace
from .supernet import Supernet
from .tracing import Structure, analyse, cut_to, reordered
from .training import History, ProbeOptions, RunDir, SearchOptions, TrainOptions

__all__ = ["Found", "Trained", "equal_widths", "evaluate", "search", "search_space", "train"]

WIDTHS_PER = ("layer", "stage")
POOL = 4096  # shapes near the budget, out of which the probes are taken
RANKED_BY = 8  # batches, by which the channels of a trained net are put in order


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        shape: the most likely shape within the budget.
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
            if inherit and not (self.supernet or space.source):
                raise InputError(
                    "there are no weights to inherit: give the search a trained net, not its name"
                )
            if inherit is False or (inherit is None and space.source is None):
                return nets.build(self.shape)
        return (space.starting_from(self.supernet.net) if self.supernet else space).derive(
            self.shape
        )


@dataclass(frozen=True)
class Trained:
    """A trained net and what it is worth.

    Attributes:
        net: the net, trained in place.
        macs, params: what it costs, counted on the net itself.
        accuracy: percent of the test pictures, after the last epoch.
        history: a line per epoch.
    """

    net: nn.Module
    macs: int
    params: int
    accuracy: float
    history: History


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
        ratios: candidate widths, as ratios of the unpruned ones; default: 0.25 to 1.5, and 0.3 to
            1 in the paper's search.
        widths_per: ``"layer"``, or ``"stage"``: the layers of a stage share one width; default: per
            stage, and per layer in the paper's search.
        options: how; default: those of ``recipes.quick()``.
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
    data = _data(data, device, workers, progress)
    options = options or quick().search
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

    def batches(part: data_room.Part, seed: int) -> data_room.Batches:
        return _batches(data, part, options, augment or Augment(), device, workers, seed)

    fit = partial(training.fit, out=out, device=device, progress=progress)
    supernet: Supernet | None = None
    if not (isinstance(net, str) or getattr(space, "ranking", None)):
        space = _ranked(space, batches(sides[0], seed), device)
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
    else:
        generator = torch.Generator().manual_seed(seed)
        near = states_near(space, limit, unit, options.low, options.high, POOL, generator)
        probes = design(space, near, options.probes)
        numbered = list(enumerate(probes.tolist(), start=1))

        @cache
        def held_out() -> data_room.Batches:
            return _unvaried(data, sides[1], options, device, workers)

        def train_probe(number: int, state: list[int]) -> History:
            own = seed * 1000 + number  # every probe is another sample of all that is random
            torch.manual_seed(own)
            widths, depths = state[: len(space.widths)], state[len(space.widths) :]
            return fit(
                training.Classification(space.derive(space.shape(widths, depths)), options),
                batches(sides[0], own),
                phase=f"probe-{number:02d}-of-{len(probes):02d}",
                evaluate_on=held_out(),
                evaluate_every=0,
                seed=own,
            )

        costs = ExpectedCost(space, "macs").of_states(probes).tolist()
        histories = training.side_by_side([partial(train_probe, *each) for each in numbered], costs)
        if out:
            for each in histories:  # the other processes' probes as well, in their order
                out.keep_log(each.phase, list(each.epochs))
        lines = [line for each in histories for line in each.epochs]
        # Both losses tell of the shape; each has noise of its own.
        losses = [each.last["loss"] + each.last["test_loss"] for each in histories]
        history = History("search", tuple(lines))
        logits = fit_logits(space, probes, torch.tensor(losses))
        probabilities = logits[0].softmax(-1), logits[1].softmax(-1)
    origin = f"searched on {data.name}, seed {seed}"
    chosen, widths = space.refined(probabilities[0])
    shape = choose(chosen, widths, probabilities[1], limit, unit, origin)
    return Found(shape, limit, unit, probabilities, history, supernet, space)


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
    options: ProbeOptions | SearchOptions,
) -> Space:
    """The space that ``search`` searches; the arguments are the same.

    Args:
        name: what shapes call a net that is given as a module; see ``tas.spaces.trace``.
    """
    if isinstance(net, Space):
        return net
    paper = isinstance(options, SearchOptions)
    widths_per = widths_per or ("layer" if paper else "stage")
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
            ratios=ratios or (RATIOS if paper else WIDE_RATIOS),
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
            ratios=ratios or (RATIOS if paper else tuple(r for r in WIDE_RATIOS if r <= 1)),
            what=what,
            name=name or (net if isinstance(net, str) else ""),
        )
        _check_fits(space.unpruned, data, "net")
    return space.grouped() if widths_per == "stage" else space


def train(
    net: str | Shape | nn.Module,
    data: str | Path | Data,
    *,
    teacher: nn.Module | None = None,
    inherit: bool = False,
    options: TrainOptions | None = None,
    augment: Augment | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int | None = None,
    out: RunDir | None = None,
    phase: str | None = None,
    progress: bool = True,
) -> Trained:
    """Train a net, on labels alone or with a teacher's answers, and test it.

    Args:
        net: a module, trained in place; or a name or a shape, built with fresh weights.
        data: a data set, its name, or the path of a folder of images.
        teacher: a trained net of the same classes; None: labels alone.
        inherit: a shape starts from the weights of the teacher, its unpruned net: the channels that
            matter most.
        options: how; default: those of ``recipes.quick()``.
        augment, seed, device, workers, out, progress: as in ``search``.
        phase: its name in the log.

    Raises:
        InputError: an argument cannot be used.
        DivergedError: the loss became NaN or infinite.
    """
    data = _data(data, device, workers, progress)
    options = options or quick().student
    batches = _batches(data, data.train, options, augment or Augment(), device, workers, seed)
    if isinstance(net, nn.Module):
        if inherit:
            raise InputError("inherit is for a shape: a net that is given has weights already")
    else:
        torch.manual_seed(seed)
        if not inherit:
            net = nets.build(net, data.classes, data.input)
        elif teacher is None:
            raise InputError("--inherit: there is no net to inherit from: give its --teacher")
        else:
            net = _inherited(nets.read_shape(net), teacher, data, batches, device)
    for module, name in ((net, "net"), (teacher, "teacher")):
        if isinstance(module, ResNet):
            _check_fits(module.shape, data, name)
    if teacher is None:
        task = training.Classification(net, options)
    else:
        task = training.Distillation(net, teacher, options)
    history = training.fit(
        task,
        batches,
        phase=phase,
        out=out,
        evaluate_on=_unvaried(data, data.test, options, device, workers),
        device=device,
        seed=seed,
        progress=progress,
    )
    counted = count(net, data.input)
    return Trained(net, counted.macs, counted.params, history.last["test_accuracy"], history)


def evaluate(
    net: nn.Module,
    data: str | Path | Data,
    *,
    batch_size: int = 256,
    device: str = "auto",
    precision: str = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, float]:
    """``accuracy`` (percent) and ``loss`` of a net on the test pictures of a data set."""
    data = _data(data, device, workers, progress)
    if isinstance(net, ResNet):
        _check_fits(net.shape, data, "net")
    options = TrainOptions(batch_size=batch_size, precision=precision)
    batches = _unvaried(data, data.test, options, device, workers)
    return training.evaluate(net, batches, device=device, precision=precision)


def equal_widths(space: Space, budget: int, unit: str = "macs") -> Shape:
    """The baseline to beat: every layer of the unpruned net thinned by one and the same ratio.

    The ratio is the largest whose cost is within the budget; the depth is untouched. It need not
    be a shape of the space's candidates.
    """
    # Widths change where ratio * width is half a channel above a whole number: between two such
    # places every ratio gives the same shape.
    edges = sorted({(i + 0.5) / w for w in set(space.unpruned.widths.values()) for i in range(w)})
    ratios = [(a + b) / 2 for a, b in zip([0.0, *edges], [*edges, 1.0], strict=True)]
    low, high = 0, len(ratios)
    while high - low > 1:
        middle = (low + high) // 2
        cost = getattr(space.equal(ratios[middle]), unit)
        low, high = (middle, high) if cost <= budget else (low, middle)
    return space.equal(ratios[low])


def _fresh(net: str, data: Data) -> nn.Module:
    """A net by its name, with the same weights each time: a run may be begun anew, and go on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nets.build(net, data.classes, data.input)


def _ranked(space: Space, batches: data_room.Batches, device: str) -> Space:
    """The space with the channels that matter first, by a few batches of the training."""
    if isinstance(space, TracedSpace):
        ranking = _ranking(space.model, space.structure, batches, device)
        return replace(space, ranking=ranking)
    if isinstance(space, ResNetSpace) and space.source is not None:
        return space.starting_from(_sorted(space.source, space.unpruned.input, batches, device))
    return space


def _supernet(space: Space, unit: str, mixing: str) -> Supernet:
    if not isinstance(space, TracedSpace):
        return Supernet(space, unit=unit, mixing="interpolate" if mixing == "auto" else mixing)
    if mixing == "interpolate":
        raise InputError("--mixing interpolate: the widths of a traced net are mixed by masks")
    return MaskedSupernet(space, unit)


def _inherited(
    shape: Shape, teacher: nn.Module, data: Data, batches: data_room.Batches, device: str
) -> nn.Module:
    """The net of a shape, with the weights of the unpruned one that matter most."""
    shape = shape.replace(classes=data.classes, input=data.input, macs=None, params=None)
    if not nets.is_named(shape.net):
        return derive(shape, _sorted(teacher, data.input, batches, device))
    structure = analyse(teacher, torch.zeros(1, *data.input))
    return cut_to(teacher, structure, shape, _ranking(teacher, structure, batches, device))


def _sorted(
    net: nn.Module, input: tuple[int, int, int], batches: data_room.Batches, device: str
) -> nn.Module:
    """A copy of one of our nets that computes the same, the channels that matter first."""
    structure = analyse(net, torch.zeros(1, *input))
    return reordered(net, structure, _ranking(net, structure, batches, device))


def _ranking(
    net: nn.Module, structure: Structure, batches: data_room.Batches, device: str
) -> dict[str, Tensor]:
    where = training.accelerator(device, "fp32").device
    net.to(where)
    few = (
        (training.place(images, where), labels.to(where))
        for images, labels in islice(batches, RANKED_BY)
    )
    # Each process has seen other pictures; all keep the order of the first.
    return processes.agreed(channel_ranking(net, structure, few))


def _data(data: str | Path | Data, device: str, workers: int | None, progress: bool) -> Data:
    training.accelerator(device)  # connects the processes, which are to load the same
    if isinstance(data, Data):
        return data
    return data_room.load(data, workers=workers, progress=progress)


def _unpruned(net: str | ResNet, data: Data) -> Shape:
    if isinstance(net, ResNet):
        _check_fits(net.shape, data, "net")
        return net.shape.replace(input=data.input)  # a ResNet takes any side; it costs by it
    return nets.full_shape(net, data.classes, data.input)


def _check_fits(shape: Shape, data: Data, name: str) -> None:
    if shape.classes != data.classes:
        raise InputError(
            f"the {name} has {shape.classes} classes, but '{data.name}' has {data.classes}: "
            f'build it with tas.nets.build("{shape.net}", classes={data.classes})'
        )
    if shape.input[0] != data.input[0]:
        raise InputError(
            f"the {name} takes pictures of {shape.input[0]} channels, but those of '{data.name}' "
            f'have {data.input[0]}: build it with tas.nets.build("{shape.net}", input={data.input})'
        )


def _batches(
    data: Data,
    part: data_room.Part,
    options: TrainOptions | SearchOptions,
    augment: Augment,
    device: str,
    workers: int | None,
    seed: int,
) -> data_room.Batches:
    where = training.accelerator(device, options.precision)
    # A set smaller than a batch is one batch, as far as the processes can share it.
    most = max(len(part) // where.num_processes, 1) * where.num_processes
    return data_room.batches(
        data,
        part,
        min(options.batch_size, most),
        augment=augment,
        device=where.device,
        seed=seed,
        shuffle=True,
        drop_last=True,
        workers=workers,
        rank=where.process_index,
        world=where.num_processes,
    )


def _unvaried(
    data: Data,
    part: data_room.Part,
    options: TrainOptions,
    device: str,
    workers: int | None,
) -> data_room.Batches:
    """Batches to measure on."""
    where = training.accelerator(device, options.precision)
    return data_room.batches(
        data,
        part,
        options.batch_size,
        augment=None,
        device=where.device,
        shuffle=False,
        workers=workers,
        rank=where.process_index,
        world=where.num_processes,
    )
