"""Search widths and depths of a net within a budget."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, overload

from torch import nn
from typing_extensions import Unpack

from .. import data as data_room
from ..costs import Budget, budget_text, given_budgets
from ..data import Augment, Data
from ..errors import InputError
from ..forward import Batches, Forward
from ..inherit import Source
from ..methods import Found, MethodOptions, Problem, TrialOptions
from ..recipes import quick
from ..runs import RunDir
from ..seeds import check_seed
from ..space import Space
from ..spaces import TracedSpace
from ..timing.bench import Bench
from ..training import Device, Distance
from ..training.pictures import given_data
from ..typed import checked
from ..usable import check_gradients, check_weights, eager
from .batches import find_on_batches
from .budgets import Given, find_each, outs_of, within
from .opening import given_out
from .spaces import search_space
from .time_budget import How
from .unlabelled import known_by

__all__ = ["find", "search"]


class _How(TypedDict, total=False):
    """What ``search`` is told by name, for what reads types."""

    batches: Batches | None
    forward: Forward | None
    distance: Distance | None
    score: Callable[[nn.Module], float] | None
    train: Callable[[nn.Module], None] | None
    unit: str
    limits: Mapping[str, str | float] | None
    latency: How
    what: str
    residual: str | None
    ratios: tuple[float, ...] | None
    widths_per: str | None
    options: MethodOptions | None
    augment: Augment | None
    fraction: float | None
    split: data_room.Split | str | Path | None
    subset: int | None
    ignore: Sequence[str]
    only: Sequence[str]
    round_to: int | None
    seed: int
    device: Device
    workers: int | None
    out: RunDir | str | Path | None
    progress: bool


@overload
def search(
    net: str | nn.Module | Space,
    data: str | Path | Data | None = None,
    budget: str | float = 0.5,
    **how: Unpack[_How],
) -> Found: ...


@overload
def search(
    net: str | nn.Module | Space,
    data: str | Path | Data | None = None,
    *,
    budget: list[str | float] | tuple[str | float, ...],
    **how: Unpack[_How],
) -> list[Found]: ...


@checked
def search(
    net: str | nn.Module | Space,
    data: str | Path | Data | None = None,
    budget: Given = 0.5,
    *,
    batches: Batches | None = None,
    forward: Forward | None = None,
    distance: Distance | None = None,
    score: Callable[[nn.Module], float] | None = None,
    train: Callable[[nn.Module], None] | None = None,
    unit: str = "macs",
    limits: Mapping[str, str | float] | None = None,
    latency: How = None,
    what: str = "both",
    residual: str | None = None,
    ratios: tuple[float, ...] | None = None,
    widths_per: str | None = None,
    options: MethodOptions | None = None,
    augment: Augment | None = None,
    fraction: float | None = None,
    split: data_room.Split | str | Path | None = None,
    subset: int | None = None,
    ignore: Sequence[str] = (),
    only: Sequence[str] = (),
    round_to: int | None = None,
    seed: int = 0,
    device: Device = "auto",
    workers: int | None = None,
    out: RunDir | str | Path | None = None,
    progress: bool = True,
) -> Found | list[Found]:
    """Search widths and depths of a net within a budget.

    >>> import tas
    >>> from tas.methods import TrialOptions
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)  # train it first
    >>> options = TrialOptions(trials=4)  # the default is 300
    >>> found = tas.search(net, data, budget=0.5, options=options, progress=False)
    >>> found.shape.macs <= found.budget.limit == 1266496
    True
    >>> small = found.derive()  # a plain nn.Module, with weights of net

    On batches of your own it takes any net, and needs no labels:

    >>> import torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv1d(1, 16, 9), nn.ReLU(), nn.Conv1d(16, 4, 9))
    >>> loader = [{"wave": torch.randn(64, 1, 40)}]
    >>> found = tas.search(
    ...     net, batches=loader, budget=0.6, forward=lambda net, batch: net(batch["wave"]),
    ...     options=options, progress=False,
    ... )
    >>> found.derive()(torch.randn(1, 1, 40)).shape
    torch.Size([1, 4, 24])

    With ``TrialOptions`` hundreds of nets at the budget are cut from a trained net and compared by
    their answers, without training; evolution leads to the one that answers most like the whole net
    (``docs/how-it-works.md``). With ``ProbeOptions`` a few shapes near the budget are trained for a
    short time, and a linear model of their losses chooses the shape. With ``PaperOptions`` it is
    the paper's search. A net that is given as a module is searched with its weights, the most
    important channels kept first: train it before. A name means fresh weights, and so does the
    paper's search of one of our ResNets, whose interpolation would scramble trained channels.

    Several processes try or train different shapes at the same time, each as one process would, and
    find what one would; of the paper's search each computes its share of every batch.

    Args:
        net: a net, or its name (``"resnet20"``, ``"timm:resnet50"``); or a space, to which
            ``what``, ``residual``, ``ratios``, ``widths_per``, ``ignore``, ``only`` and
            ``round_to`` do not apply.
        data: a data set, its name, or the path of a folder of images; without labels
            (``tas.data.load(folder, unlabelled=True)``) the net's own answers count.
        budget: a ratio of the unpruned net (``0.55``), or absolute (``"22.4M"``). Of a list, such
            as ``[0.3, 0.5, 0.7]``, one search finds a shape within each: channels are put in order
            and least squares solved once, and what is tried for one budget tells of the next.
        batches: in the place of ``data``: anything that yields batches, such as a ``DataLoader``.
            The first 2,048 examples are kept, in at most 64 batches and 1 GiB.
        forward: calls a net on a batch; what it returns counts. Default: a net is given the first
            of a pair (inputs and targets), a mapping as named arguments, else the batch itself.
            On the CPU the trials call it and ``distance`` from several threads at once, each with a
            net of its own.
        distance: of a net's answer from the whole net's, one number, the smaller the more alike
            they are; or ``"kl"``, the divergence of class scores [N, classes, ...], where all
            classes of pixels count alike, or ``"mse"``, the squared error of each tensor in units
            of its variance. Default: ``"kl"`` for one tensor [N, C], unless targets [N, C] of
            floats say that it holds values, and where targets [N, ...] of whole numbers say that
            [N, C, ...] holds scores; else ``"mse"`` (``tas.training.distance``).
        score: of a net in evaluation mode, higher is better: it decides among the best trials and
            equal widths. It is tried on the whole net before the search.
        train: trains a net in place, for a short time: the best trial, one that has more
            parameters and equal widths, before they are judged. Without ``score`` and ``train`` the
            best trial is returned.
        unit: what the budget counts, ``"macs"``, ``"params"`` or ``"ms"`` (as ``"8ms"`` says).
            What is returned then was measured (``docs/latency.md``).
        limits: what a shape may cost besides, ``{"params": "3M"}``.
        latency: of a budget of time, what runs nets: the file of a table (``tas latency table``), a
            runtime's name, a runtime of ``tas.timing``, or a function ``module -> seconds``. Where
            it is no file, 60 shapes are measured first.
        what: ``"width"``, ``"depth"`` or ``"both"``.
        residual: ``"free"`` or ``"tied"``, see ``tas.spaces.resnet_space``; default: tied, and
            free in the paper's search.
        ratios: candidate widths, as ratios of the unpruned ones; default: 0.25 to 1.5, 0.25 to 1
            where the net has weights, and 0.3 to 1 in the paper's search. From trained weights the
            search stays near equal widths (``docs/how-it-works.md``).
        widths_per: ``"layer"``; or ``"kind"``: what is added up in a stage has one width, and
            what is within its blocks another; or ``"stage"``: all layers of a stage share one.
            Default: per stage with ``ProbeOptions``, which can fit few slopes; else per layer.
        options: how; default: those of ``recipes.quick()``, and of its ``inheriting()`` where the
            net has weights.
        augment: how pictures are varied; default: padded, cropped, mirrored where that is allowed.
        fraction: of the training pictures, to train weights; the search chooses by the rest.
            Default: 0.8, and 0.5 in the paper's search; unused by one that is not ``bilevel``.
        split: these two parts instead of fresh ones; or the file of ``tas split``.
        subset: a proxy search, on that many training pictures of every class.
        ignore, only: of a traced net, as in ``tas.spaces.trace``.
        round_to: candidate widths are multiples of it; 1: any width. Default: of 16, and of 8, 4 or
            2 where a layer is narrow (``tas.spaces.step``), which hardware is fast with; any width
            where ratios are given, or one of our ResNets starts from fresh weights.
        seed: of weights, draws and split; a whole number from 0 to 2**32 - 1.
        out: a run directory to log, to keep checkpoints in, and to continue from; a path is that of
            one in which the call with the same arguments goes on.

    Raises:
        InputError: an argument cannot be used; ``InfeasibleBudgetError``: no shape is so small.
        DivergedError: the loss became NaN or infinite.
    """
    check_gradients()
    own = {"forward": forward, "distance": distance, "score": score, "train": train}
    choices: dict[str, Any] = {"what": what, "ratios": ratios, "round_to": round_to}
    choices |= {"ignore": ignore, "only": only}
    rest: dict[str, Any] = {"seed": seed, "device": device, "progress": progress}
    limited: dict[str, Any] = {"given": budget, "unit": unit, "also": limits or {}, "how": latency}
    if batches is not None:
        _only_batches(data, residual, augment, fraction, split, subset)
        rest |= {"options": options, "widths_per": widths_per}
        with eager(_model(net)):
            found = find_on_batches(net, batches, own, choices, limited, out=out, **rest)
            return _as_asked(found, budget)
    check_seed(seed)
    data = given_data(_only_data(data, own), device, workers, progress)
    options = options or _default_options(net)
    choices |= {"residual": residual, "widths_per": widths_per}
    if not data.labelled:
        data = _answered(net, data, options)
    text = budget_text(budget)
    asked = {"budget": text, "limits": limits, "options": options, "augment": augment}
    rest |= {"augment": augment, "fraction": fraction, "split": split, "subset": subset}
    with eager(_model(net)):
        space, source = search_space(net, data, options.method(), **choices)
        with given_out(out, "tas.search", space, data, seed, asked) as whole:
            budgets, rest["bench"] = within(space, out=whole, **limited)
            rest["outs"] = outs_of(whole, budget)
            found = find(space, source, data, budgets, options=options, workers=workers, **rest)
    return _as_asked(found, budget)


def _as_asked(found: list[Found], budget: Given) -> Found | list[Found]:
    """What is found: of one budget that, of several a list."""
    return found[0] if given_budgets(budget) is None else found


def _model(net: Any) -> Any:
    """The net that a space was traced from; all else as it is."""
    return net.model if isinstance(net, TracedSpace) else net


def _answered(net: Any, data: Data, options: MethodOptions) -> Data:
    """Pictures without labels, with the classes of the net that answers in their place."""
    model = _model(net)
    if not isinstance(options, TrialOptions) or not isinstance(model, nn.Module):
        raise InputError(
            f"the pictures of '{data.name}' have no labels: give a trained net itself, which "
            "answers in their place, and search by TrialOptions"
        )
    return known_by(model, data)


def _default_options(net: str | nn.Module | Space) -> MethodOptions:
    inherits = isinstance(net, (nn.Module, TracedSpace))
    return (quick().inheriting() if inherits else quick()).search


def _only_data(data: str | Path | Data | None, own: dict[str, Any]) -> str | Path | Data:
    """The data, or an ``InputError`` where there is none, or what belongs to batches beside it."""
    given = [name for name, value in own.items() if value is not None]
    if given:
        raise InputError(
            f"{given[0]}= is for batches=: a data set says itself how nets are called and judged"
        )
    if data is None:
        raise InputError("say what to search on: data=, or batches= such as a DataLoader")
    return data


def _only_batches(*of_data: Any) -> None:
    """Raise ``InputError`` where what belongs to a data set is given beside batches."""
    names = ("data", "residual", "augment", "fraction", "split", "subset")
    given = [name for name, value in zip(names, of_data, strict=True) if value is not None]
    if given:
        raise InputError(f"{given[0]}= and batches= cannot be combined: give one of them")


def find(
    space: Space,
    source: Source,
    data: Data,
    budgets: Sequence[Budget],
    *,
    outs: Sequence[RunDir | None],
    options: MethodOptions,
    bench: Bench | None = None,
    augment: Augment | None = None,
    fraction: float | None = None,
    split: data_room.Split | str | Path | None = None,
    subset: int | None = None,
    seed: int = 0,
    device: Device = "auto",
    workers: int | None = None,
    progress: bool = True,
) -> list[Found]:
    """``search`` of a space that is there, in each budget; the other arguments are the same.

    Args:
        source: whose weights nets inherit; if they were learnt, its channels are put in order.
        outs: the run directory of each budget.
        bench: of budgets of time, what measures the shapes that are found.
    """
    if not space.widths and not space.depths:
        raise InputError(
            "there is nothing to search, every width and depth has one candidate: give more "
            "--ratios, or --what both"
        )
    if source.net is not None:
        check_weights(source.net, "net", options.precision)
    if isinstance(split, str | Path):
        split = data_room.read_split(split, data)
    method = options.method()
    fraction = method.fraction if fraction is None else fraction
    split = split or data_room.search_split(data, fraction, seed, subset)
    problem = Problem(
        space=space,
        source=source,
        budget=budgets[0],
        data=data,
        learn=data.train.take(split.weights),
        judge=data.train.take(split.logits),
        options=options,
        augment=augment or Augment(),
        seed=seed,
        device=device,
        workers=workers,
        progress=progress,
    )
    problem = problem.ordered() if source.trained else problem
    return find_each(problem, method, budgets, bench, outs)
