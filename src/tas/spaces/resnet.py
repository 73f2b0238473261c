"""The ``Space`` of our own ResNets, free or tied.

*free*, the paper's: every convolution has a width of its own; a block whose input and output
widths differ gets a projection, whose cost is part of the space. *tied*: convolutions whose
outputs are added to one another share one width, and no projection is ever added.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from math import lcm

import torch
from torch import Tensor, nn

from ..checks import some_ratios
from ..errors import InputError, one_of
from ..nets import Architecture, ConvNorm, ResNet, architecture, measured
from ..nets import build as build_net
from ..shape import Shape, Side
from ..space import DepthChoice, Layer, Space, Term, WidthChoice
from ..typed import checked

__all__ = [
    "FINE_RATIOS",
    "RATIOS",
    "WHAT",
    "WIDE_RATIOS",
    "depth_candidates",
    "resnet_space",
    "rounding",
    "step",
    "width_candidates",
]

RATIOS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # the paper's
WIDE_RATIOS = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5)
FINE_RATIOS = tuple(i / 16 for i in range(4, 17))  # near equal widths, little is to be decided
WHAT = ("width", "depth", "both")
LARGEST_STEP, FEWEST_STEPS = 16, 6


@checked
def rounding(round_to: int | None, ratios: Sequence[float] | None) -> int | None:
    """What candidate widths are rounded to; None: to what hardware is fast with.

    Ratios that a user gives are taken as they are, unless they are to be rounded as well.

    >>> import tas
    >>> tas.spaces.rounding(None, None), tas.spaces.rounding(None, (0.5, 1.0))
    (None, 1)
    """
    return 1 if round_to is None and ratios is not None else round_to


@checked
def width_candidates(
    width: int, ratios: Sequence[float] = RATIOS, round_to: int | None = 1, unit: int = 1
) -> tuple[int, ...]:
    """Candidate channel counts ratio * width, rounded down to whole steps, ascending.

    >>> import tas
    >>> tas.spaces.width_candidates(16, ratios=(0.25, 0.5, 1.0))
    (4, 8, 16)
    >>> tas.spaces.width_candidates(100, ratios=(0.25, 0.5, 0.75), round_to=None)
    (16, 48, 64)

    Args:
        round_to: the step, where the width has one; None: what hardware is fast with (``step``).
        unit: channels that are only cut together; steps are whole numbers of them.
    """
    by = step(width, unit) if round_to is None else lcm(unit, round_to)
    if by > width:
        by = unit
    return tuple(sorted({max(by, int(ratio * width) // by * by) for ratio in ratios}))


@checked
def step(width: int, unit: int = 1) -> int:
    """The step of candidate widths that hardware is fast with.

    The largest power of two up to 16 of which the width has at least six: kernels compute channels
    in blocks of 4, 8 or 16, and leave their fast layouts where a width is no multiple of them
    (``docs/latency.md``); and a narrow layer is to keep a choice.

    >>> import tas
    >>> [tas.spaces.step(width) for width in (16, 24, 32, 64, 96, 512)]
    [2, 4, 4, 8, 16, 16]
    """
    best = 1
    while best < LARGEST_STEP and width >= FEWEST_STEPS * lcm(unit, 2 * best):
        best *= 2
    return lcm(unit, best)


@checked
def depth_candidates(a: Architecture) -> tuple[tuple[int, ...], ...]:
    """Candidate numbers of blocks of every stage.

    >>> import tas
    >>> tas.spaces.depth_candidates(tas.nets.architecture("resnet56"))[0]
    (1, 3, 5, 7, 9)

    Small images: 1, 3, 5 ... and all (1, 2, 3 where there are three). ImageNet, with m the blocks
    of the shortest stage: the parts j/m of every stage, j = 1 ... m, rounded down.
    """
    if a.large_input:
        m = min(a.blocks)
        return tuple(tuple(sorted({n * j // m for j in range(1, m + 1)})) for n in a.blocks)
    return tuple(tuple(range(1, n + 1)) if n <= 3 else (*range(1, n, 2), n) for n in a.blocks)


@checked
def resnet_space(
    net: str | Shape | ResNet,
    *,
    residual: str = "free",
    what: str = "both",
    ratios: Sequence[float] = RATIOS,
    round_to: int | None = 1,
) -> Space:
    """The space of one of our ResNets.

    >>> import tas
    >>> space = tas.spaces.resnet_space("resnet20", residual="tied", ratios=(0.5, 1.0))
    >>> len(space.widths), len(space.depths), space.unpruned.macs
    (12, 3, 40813184)

    Args:
        net: a net's name, its unpruned shape, or the unpruned net itself.
        residual: ``"free"`` or ``"tied"``.
        what: which choices are searched: ``"width"``, ``"depth"`` or ``"both"``.
        ratios: candidate widths, as ratios of the unpruned ones; above 1 the supernet is wider.
        round_to: candidate widths are multiples of it; None: of what hardware is fast with.

    Raises:
        InputError: an option is unknown, or ``net`` is not an unpruned ResNet.
    """
    if what not in WHAT:
        raise InputError(one_of("--what", what, WHAT))
    if residual not in ("free", "tied"):
        raise InputError(one_of("--residual", residual, ("free", "tied")))
    some_ratios(ratios)
    if round_to is not None and round_to < 1:
        raise InputError(f"round_to {round_to}: give 1 or more, e.g. 8")
    if isinstance(net, ResNet):
        net = net.shape
    unpruned = measured(net if isinstance(net, Shape) else architecture(net).full())
    a = architecture(unpruned.net)
    if dict(unpruned.widths) != dict(a.full().widths) or dict(unpruned.depths) != dict(
        a.full().depths
    ):
        raise InputError(
            f"the search starts from the unpruned {a.name}, not from one of its shapes"
        )

    groups, streams = _groups(a, residual)
    sources: dict[str, Side] = {key: group[0] for group in groups for key in group}
    side: dict[str, Side] = {}
    widths, widest = [], dict(unpruned.widths)
    for group in groups:
        full = unpruned.widths[group[0]]
        candidates = width_candidates(full, ratios, round_to) if what != "depth" else (full,)
        for key in group:
            side[key] = group[0] if len(candidates) > 1 else candidates[0]
            widest[key] = candidates[-1]
        if len(candidates) > 1:
            kind = "stream" if group[0] in streams else "inner"
            widths.append(_width_choice(a, group, candidates, kind, full))

    depths = []
    if what != "width":
        for s, candidates in enumerate(depth_candidates(a)):
            if len(candidates) > 1:
                depths.append(_depth_choice(a, s, candidates, side))
    largest = unpruned.replace(residual=residual, widths=widest, macs=None, params=None)
    terms = _terms(a, largest, sources, {d.name: d.candidates for d in depths})
    return Space(
        unpruned=unpruned,
        widest=largest,
        widths=tuple(widths),
        depths=tuple(depths),
        terms=tuple(terms),
        layers=tuple(_layers(terms)),
        areas={t.target: t.macs // t.params for t in terms if isinstance(t.target, str)},
    )


def _layers(terms: Sequence[Term]) -> list[Layer]:
    """What runs: a layer for every term with multiply-adds, named after its two widths."""
    return [
        Layer(f"{t.source} > {t.target}", (t.source, t.target), t.macs, t.when, t.unequal)
        for t in terms
        if t.macs
    ]


def _groups(a: Architecture, residual: str) -> tuple[list[list[str]], set[str]]:
    """Convolutions that share a width, in the net's order, and those that end a block."""
    streams = a.streams()
    ends = {key for stream in streams for key in stream}
    groups = streams if residual == "tied" else [[key] for stream in streams for key in stream]
    groups = groups + [[key] for key in a.convolutions() if key not in ends]
    return sorted(groups, key=lambda group: a.convolutions().index(group[0])), ends


def _width_choice(
    a: Architecture, group: list[str], candidates: tuple[int, ...], kind: str, full: int
) -> WidthChoice:
    """The choice of a group of convolutions, and of the projections that end in its width."""
    projected = {
        f"stages.{s}.{b}.conv{len(a.kernels)}": f"stages.{s}.{b}.shortcut"
        for s, n in enumerate(a.blocks)
        for b in range(n)
        if a.has_projection(s, b)
    }
    sites = tuple(site for key in group for site in (key, projected.get(key)) if site)
    stage = "stages.0" if group[0] == "stem" else ".".join(group[0].split(".")[:2])
    of = f"{stage} of {full} channels"
    return WidthChoice(group[0], candidates, tuple(group), sites, of, kind)


def _depth_choice(
    a: Architecture, s: int, candidates: tuple[int, ...], side: dict[str, Side]
) -> DepthChoice:
    """The depth choice of stage ``s``: a stream that is added to keeps the larger of two widths."""
    last = len(a.kernels)
    before = "stem" if s == 0 else f"stages.{s - 1}.{a.blocks[s - 1] - 1}.conv{last}"
    stream: tuple[Side, ...] = () if a.has_projection(s, 0) else (side[before],)
    streams = []
    for b in range(a.blocks[s]):
        stream = tuple(dict.fromkeys((*stream, side[f"stages.{s}.{b}.conv{last}"])))
        streams.append(stream)
    blocks = tuple(f"stages.{s}.{b}" for b in range(a.blocks[s]))
    return DepthChoice(f"stages.{s}", candidates, blocks, tuple(streams))


def _terms(
    a: Architecture, shape: Shape, side: Mapping[str, Side], depths: dict[str, tuple[int, ...]]
) -> list[Term]:
    """One term per convolution of the derived nets, and one for the classifier."""
    areas = _output_areas(shape)
    terms = [
        Term(shape.image[0], side["stem"], *_conv_cost(areas, "stem", 7 if a.large_input else 3))
    ]
    last = len(a.kernels)
    # Where a block's input comes from: widths, and the depths of the stage before that make it so.
    inputs: list[tuple[Side, tuple[str, frozenset[int]] | None]] = [(side["stem"], None)]
    for s, count in enumerate(a.blocks):
        stage = f"stages.{s}"
        candidates = depths.get(stage, (count,))
        for b in range(count):
            path = f"{stage}.{b}"
            if b > 0:
                kept = frozenset(d for d in candidates if d > b)
                inputs = [
                    (
                        side[f"{stage}.{b - 1}.conv{last}"],
                        None if len(kept) == len(candidates) else (stage, kept),
                    )
                ]
            output = side[f"{path}.conv{last}"]
            for source, when in inputs:
                terms.append(
                    Term(
                        source,
                        side[f"{path}.conv1"],
                        *_conv_cost(areas, f"{path}.conv1", a.kernels[0]),
                        when,
                    )
                )
                own = a.has_projection(s, b)
                if own or shape.residual == "free":
                    norm = 2 if a.shortcut_norm(a.stride(s, b), shape.residual) else 0
                    area = areas[f"{path}.conv{last}"]
                    terms.append(Term(source, output, area, 1, norm, when, unequal=not own))
            when = inputs[0][1] if b > 0 else None
            for k in range(1, last):
                name = f"{path}.conv{k + 1}"
                cost = _conv_cost(areas, name, a.kernels[k])
                terms.append(Term(side[f"{path}.conv{k}"], side[name], *cost, when))
        ends: dict[Side, set[int]] = {}
        for depth in candidates:
            ends.setdefault(side[f"{stage}.{depth - 1}.conv{last}"], set()).add(depth)
        inputs = [
            (end, None if len(kept) == len(candidates) else (stage, frozenset(kept)))
            for end, kept in ends.items()
        ]
    terms += [Term(source, shape.scores, 1, 1, 0, when) for source, when in inputs]
    terms.append(Term(1, shape.scores, 0, 0, 1))  # the classifier's bias
    return terms


def _conv_cost(areas: dict[str, int], name: str, kernel: int) -> tuple[int, int, int]:
    """``macs``, ``params`` and ``params_out`` of a convolution that is followed by a norm."""
    return kernel**2 * areas[name], kernel**2, 2


def _output_areas(shape: Shape) -> dict[str, int]:
    """Output height times width of every convolution, read off the net itself, without memory."""
    areas: dict[str, int] = {}

    def note(name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
        areas[name] = output.shape[2] * output.shape[3]

    with torch.device("meta"):
        net = build_net(shape).eval()  # in training a norm refuses one value per channel
        for name, module in net.named_modules():
            if isinstance(module, ConvNorm):
                module.register_forward_hook(partial(note, name))
        net(torch.empty(1, *shape.image))
    return areas
