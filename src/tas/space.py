"""The choices of a net and what they cost: data, without any weights.

A ``Space`` lists the width and depth choices of a net and one cost term per convolution or linear
layer. The same terms give the exact cost of a shape (here) and, differentiably, the expected cost
under independent probabilities of the candidates (``costs/expected.py``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import torch
from torch import Tensor

from .errors import InputError
from .shape import Shape, Side, Sum

__all__ = ["DepthChoice", "Layer", "Space", "Term", "WidthChoice"]


@dataclass(frozen=True)
class WidthChoice:
    """A set of candidate widths for one channel dimension.

    Attributes:
        name: unique among the width choices.
        candidates: channel counts, ascending; at least two.
        keys: entries of a shape's ``widths`` that this choice sets.
        sites: paths of the modules whose output channels it narrows.
        group: shared by the choices that ``Space.grouped`` may make one: those of a stage that are
            equally wide, or of one resolution; a choice without it stays alone.
        kind: ``"stream"`` where outputs of several layers are added up, ``"inner"`` within a block.
        each: for every key its own channel counts, where not all have those of ``candidates``.
    """

    name: str
    candidates: tuple[int, ...]
    keys: tuple[str, ...]
    sites: tuple[str, ...]
    group: str = ""
    kind: str = ""
    each: tuple[tuple[int, ...], ...] = ()

    def of(self, key: str) -> tuple[int, ...]:
        """The channel counts of one of the keys, candidate by candidate."""
        return self.each[self.keys.index(key)] if self.each else self.candidates


@dataclass(frozen=True)
class DepthChoice:
    """The numbers of blocks that a stage may keep, from its first block on.

    Attributes:
        name: path of the stage, and its key in a shape's ``depths``.
        candidates: numbers of blocks, ascending, the last one all; at least two.
        blocks: paths of the stage's blocks.
        streams: for every block, the widths whose largest is the width of its output.
    """

    name: str
    candidates: tuple[int, ...]
    blocks: tuple[str, ...]
    streams: tuple[tuple[Side, ...], ...]


@dataclass(frozen=True)
class Term:
    """The cost of one convolution or linear layer, per pair of input and output channels.

    Attributes:
        source, target: input and output width.
        macs: multiply-adds per pair of channels for one image.
        params: parameters per pair of channels.
        params_out: parameters per output channel (norm, bias).
        when: a depth choice and the depths at which the layer exists; None: always.
        unequal: the layer exists only where its two widths differ (a projection).
        more: further widths that ``macs`` and ``params`` are per channel of, as the heads of
            attention are.
    """

    source: Side
    target: Side
    macs: int
    params: int
    params_out: int = 0
    when: tuple[str, frozenset[int]] | None = None
    unequal: bool = False
    more: tuple[Side, ...] = ()

    def factors(self, count: str) -> tuple[int, int]:
        """What it adds to ``"macs"`` or ``"params"``: per pair of channels, per output channel."""
        return (self.macs, 0) if count == "macs" else (self.params, self.params_out)


@dataclass(frozen=True)
class Layer:
    """One operator with multiply-adds, as it runs: what the time of a net depends on.

    Attributes:
        path: unique among the layers.
        sides: the sizes that its cost is proportional to.
        macs: multiply-adds for one image, per product of its sides.
        when, unequal: as in ``Term``.
    """

    path: str
    sides: tuple[Side, ...]
    macs: int
    when: tuple[str, frozenset[int]] | None = None
    unequal: bool = False


@dataclass(frozen=True)
class Space:
    """All choices of a net, with the cost terms that link them.

    >>> import tas
    >>> space = tas.spaces.resnet_space("resnet20", residual="tied")
    >>> space.widths[0].name, space.widths[0].candidates
    ('stem', (4, 6, 8, 9, 11, 12, 14, 16))
    >>> space.depths[0].name, space.depths[0].candidates
    ('stages.0', (1, 2, 3))
    >>> half = space.equal(0.5)  # every layer has half of its channels
    >>> half.macs == space.cost(half) < space.unpruned.macs
    True

    Attributes:
        unpruned: the shape that a ratio of a budget refers to, with its cost.
        widest: the largest shape; the supernet is its net.
        widths, depths: the choices.
        terms: the costs.
        units: by a key of a shape's ``widths``, the number of channels by which it can be cut,
            where that is more than one.
        layers: what runs, in the net's order.
        areas: by a key of a shape's ``widths``, the values that a channel has in one image.
    """

    unpruned: Shape
    widest: Shape
    widths: tuple[WidthChoice, ...]
    depths: tuple[DepthChoice, ...]
    terms: tuple[Term, ...]
    units: Mapping[str, int] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    areas: Mapping[str, int] = field(default_factory=dict)

    @property
    def choices(self) -> tuple["WidthChoice | DepthChoice", ...]:
        """Those of widths, then those of depths."""
        return *self.widths, *self.depths

    @property
    def smallest(self) -> Shape:
        """The shape of the first candidate of every choice: nothing is cheaper."""
        return self.shape([0] * len(self.widths), [0] * len(self.depths))

    def doublings(self, states: Tensor) -> Tensor:
        """log2(candidate / largest) [shapes, choices], float64, of [shapes, choices] indices."""
        columns = []
        for choice, indices in zip(self.choices, states.T, strict=True):
            values = torch.tensor(choice.candidates, dtype=torch.float64)
            columns.append((values / values[-1]).log2()[indices])
        return torch.stack(columns, 1)

    def equal(self, ratio: float) -> Shape:
        """The shape whose every width is one and the same ratio of the unpruned one.

        Widths are rounded to whole channels, or to what a layer can be cut by (``units``). It need
        not be made of this space's candidates; the depths stay.
        """
        widths = {}
        for key, width in self.unpruned.widths.items():
            unit = self.units.get(key, 1)
            widths[key] = max(1, round(ratio * (width // unit))) * unit
        shape = self.unpruned.replace(
            residual=self.widest.residual,
            widths=widths,
            origin=f"equal widths, {ratio:.3f} of each",
        )
        return shape.replace(macs=self.cost(shape, "macs"), params=self.cost(shape, "params"))

    def share(self, name: str) -> float:
        """The part of the multiply-adds that would vanish with a width, or with a run's blocks."""
        full = self.unpruned
        if name in full.depths:
            least = next(d.candidates[0] for d in self.depths if d.name == name)
            without = full.replace(depths={**full.depths, name: least})
        else:
            keys = next((c.keys for c in self.widths if c.name == name), (name,))
            without = full.replace(widths={**full.widths, **dict.fromkeys(keys, 0)})
        return 1 - self.cost(without) / self.cost(full)

    def refined(self, width_probs: Tensor) -> tuple["Space", Tensor]:
        """The space in which the shape is chosen at the end, and its widths' probabilities, from
        those of this space [L, K]."""
        return self, width_probs

    def within(self, low: float, high: float, depth: float) -> "Space":
        """This space with the candidate widths of low to high times the unpruned ones, and with the
        depths of at least ``depth`` times all blocks; a choice keeps its nearest candidate."""
        widths = []
        for choice in self.widths:
            full = self.unpruned.widths[choice.keys[0]]
            ratios = [c / full for c in choice.of(choice.keys[0])]
            off = [max(low - r, r - high, 0) for r in ratios]
            kept = [i for i, distance in enumerate(off) if distance == min(off)]
            widths.append(
                replace(
                    choice,
                    candidates=tuple(choice.candidates[i] for i in kept),
                    each=tuple(tuple(own[i] for i in kept) for own in choice.each),
                )
            )
        depths = [
            replace(d, candidates=tuple(c for c in d.candidates if c >= depth * d.candidates[-1]))
            for d in self.depths
        ]
        return replace(self, widths=tuple(widths), depths=tuple(depths))

    def cost(self, shape: Shape, count: str = "macs") -> int:
        """Exact multiply-adds (``"macs"``) or parameters (``"params"``) of a shape."""
        return sum(self.costs(shape, count))

    def costs(self, shape: Shape, count: str = "macs") -> list[int]:
        """What each of the terms adds to the cost of a shape."""
        alike = {c.name: c.keys for c in self.widths if not c.each}  # whose keys are all one width

        def width(side: Side) -> int:
            if isinstance(side, int):
                return side
            if isinstance(side, Sum):
                return side.constant + sum(n * width(key) // of for key, n, of in side.parts)
            keys = alike.get(side, (side,))
            return next(shape.widths[key] for key in keys if key in shape.widths)

        def cost(term: Term) -> int:
            if term.when is not None and shape.depths[term.when[0]] not in term.when[1]:
                return 0
            a, b = width(term.source), width(term.target)
            if term.unequal and a == b:
                return 0
            pair, single = term.factors(count)
            return pair * a * b * prod(map(width, term.more)) + single * b

        return [cost(term) for term in self.terms]

    def shape(self, widths: Sequence[int], depths: Sequence[int], origin: str = "") -> Shape:
        """The shape with the given candidate index for every width and depth choice."""
        kept = dict(self.widest.depths)
        cut = set()
        for depth, index in zip(self.depths, depths, strict=True):
            kept[depth.name] = depth.candidates[index]
            cut |= set(depth.blocks[depth.candidates[index] :])
        values = dict(self.widest.widths)
        for choice, index in zip(self.widths, widths, strict=True):
            values |= {key: choice.of(key)[index] for key in choice.keys}
        values = {k: v for k, v in values.items() if not any(k.startswith(f"{b}.") for b in cut)}
        shape = self.widest.replace(widths=values, depths=kept, origin=origin)
        return shape.replace(macs=self.cost(shape, "macs"), params=self.cost(shape, "params"))

    def indices(self, shape: Shape) -> tuple[list[int], list[int]]:
        """Candidate indices of a shape; a width that the shape has cut gets its smallest.

        Raises:
            InputError: the shape has a width or depth that is no candidate.
        """

        def index(rows: Sequence[tuple[int, ...]], values: Sequence[int], name: str) -> int:
            candidates = list(zip(*rows, strict=True))
            if tuple(values) not in candidates:
                raise InputError(
                    f"{values[0]} is not a candidate of '{name}': choose from {rows[0]}"
                )
            return candidates.index(tuple(values))

        widths = []
        for choice in self.widths:
            keys = [key for key in choice.keys if key in shape.widths]
            given = [choice.of(key) for key in keys]
            values = [shape.widths[key] for key in keys]
            widths.append(index(given, values, choice.name) if keys else 0)
        depths = [index([d.candidates], [shape.depths[d.name]], d.name) for d in self.depths]
        return widths, depths

    def grouped(self, kinds: bool = False) -> "Space":
        """This space with the width choices of every group made one.

        Args:
            kinds: one for the streams of a group, and another for what is within its blocks.
        """
        groups: dict[tuple[str, str], list[WidthChoice]] = {}
        for choice in self.widths:
            own = choice.group or choice.name, choice.kind if kinds else ""
            groups.setdefault(own, []).append(choice)
        widths = tuple(_joined(of) for of in groups.values())
        name = {
            choice.name: of[0].name
            for of, whole in zip(groups.values(), widths, strict=True)
            for choice in of
            if not whole.each
        }

        def renamed(side: Side) -> Side:
            return name.get(side, side) if isinstance(side, str) else side

        depths = tuple(
            replace(d, streams=tuple(tuple(dict.fromkeys(map(renamed, s))) for s in d.streams))
            for d in self.depths
        )
        terms = tuple(
            replace(
                t,
                source=renamed(t.source),
                target=renamed(t.target),
                more=tuple(map(renamed, t.more)),
            )
            for t in self.terms
        )
        return replace(self, widths=widths, depths=depths, terms=terms)


def _joined(of: list[WidthChoice]) -> WidthChoice:
    """One choice in the place of several; where they differ, by the ratios of the finest."""
    finest = max(of, key=lambda choice: len(choice.candidates))
    keys = tuple(key for choice in of for key in choice.keys)
    sites = tuple(site for choice in of for site in choice.sites)
    each: tuple[tuple[int, ...], ...] = ()
    if any(choice.candidates != finest.candidates for choice in of) or finest.each:
        ratios = [c / finest.candidates[-1] for c in finest.candidates]

        def nearest(own: tuple[int, ...]) -> list[int]:
            places = range(len(own))
            return [min(places, key=lambda i: abs(own[i] - r * own[-1])) for r in ratios]

        each = tuple(
            tuple(choice.of(key)[i] for i in nearest(choice.candidates))
            for choice in of
            for key in choice.keys
        )
    kind = of[0].kind if len({choice.kind for choice in of}) == 1 else ""
    return replace(
        of[0], candidates=finest.candidates, keys=keys, sites=sites, kind=kind, each=each
    )
