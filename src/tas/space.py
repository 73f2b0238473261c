"""The choices of a net and what they cost.

A ``Space`` lists the width and depth choices of a net and one cost term per convolution or linear
layer. The same terms give the exact cost of a shape and, differentiably, the expected cost under
independent probabilities of the candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap

from .errors import InfeasibleBudgetError, InputError, one_of
from .macs import readable
from .shape import Shape

__all__ = ["UNITS", "DepthChoice", "ExpectedCost", "Space", "Term", "WidthChoice", "parse_budget"]

UNITS = ("macs", "params")
Side = str | int  # the name of a width choice, or a width that is fixed


@dataclass(frozen=True)
class WidthChoice:
    """A set of candidate widths for one channel dimension.

    Attributes:
        name: unique among the width choices.
        candidates: channel counts, ascending; at least two.
        keys: entries of a shape's ``widths`` that this choice sets.
        sites: paths of the modules whose output channels it narrows.
        group: shared by the choices that ``Space.grouped`` makes one: those of a stage that are
            equally wide; a choice without it stays alone.
    """

    name: str
    candidates: tuple[int, ...]
    keys: tuple[str, ...]
    sites: tuple[str, ...]
    group: str = ""


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
    """

    source: Side
    target: Side
    macs: int
    params: int
    params_out: int = 0
    when: tuple[str, frozenset[int]] | None = None
    unequal: bool = False


@dataclass(frozen=True)
class Space:
    """All choices of a net, with the cost terms that link them.

    Attributes:
        unpruned: the shape that a ratio of a budget refers to, with its cost.
        widest: the largest shape; the supernet is its net.
        widths, depths: the choices.
        terms: the costs.
    """

    unpruned: Shape
    widest: Shape
    widths: tuple[WidthChoice, ...]
    depths: tuple[DepthChoice, ...]
    terms: tuple[Term, ...]

    def cost(self, shape: Shape, unit: str = "macs") -> int:
        """Exact multiply-adds or parameters of a shape of this space."""
        keys = {choice.name: choice.keys for choice in self.widths}

        def width(side: Side) -> int:
            if isinstance(side, int):
                return side
            return next(shape.widths[key] for key in keys[side] if key in shape.widths)

        total = 0
        for term in self.terms:
            if term.when is None or shape.depths[term.when[0]] in term.when[1]:
                a, b = width(term.source), width(term.target)
                if not (term.unequal and a == b):
                    linear = term.params_out * b if unit == "params" else 0
                    total += getattr(term, unit) * a * b + linear
        return total

    def shape(self, widths: Sequence[int], depths: Sequence[int], origin: str = "") -> Shape:
        """The shape with the given candidate index for every width and depth choice."""
        kept = dict(self.widest.depths)
        cut = set()
        for depth, index in zip(self.depths, depths, strict=True):
            kept[depth.name] = depth.candidates[index]
            cut |= set(depth.blocks[depth.candidates[index] :])
        values = dict(self.widest.widths)
        for choice, index in zip(self.widths, widths, strict=True):
            values |= dict.fromkeys(choice.keys, choice.candidates[index])
        values = {k: v for k, v in values.items() if not any(k.startswith(f"{b}.") for b in cut)}
        shape = self.widest.replace(widths=values, depths=kept, origin=origin)
        return shape.replace(macs=self.cost(shape, "macs"), params=self.cost(shape, "params"))

    def indices(self, shape: Shape) -> tuple[list[int], list[int]]:
        """Candidate indices of a shape; a width that the shape has cut gets its smallest.

        Raises:
            InputError: the shape has a width or depth that is no candidate.
        """

        def index(candidates: tuple[int, ...], value: int, name: str) -> int:
            if value not in candidates:
                raise InputError(f"{value} is no candidate of '{name}': {candidates}")
            return candidates.index(value)

        widths = []
        for choice in self.widths:
            given = [shape.widths[key] for key in choice.keys if key in shape.widths]
            widths.append(index(choice.candidates, (given or choice.candidates)[0], choice.name))
        return widths, [index(d.candidates, shape.depths[d.name], d.name) for d in self.depths]

    def grouped(self) -> "Space":
        """This space with the width choices of every group made one."""
        groups: dict[str, list[WidthChoice]] = {}
        for choice in self.widths:
            groups.setdefault(choice.group or choice.name, []).append(choice)
        name = {choice.name: of[0].name for of in groups.values() for choice in of}

        def renamed(side: Side) -> Side:
            return name[side] if isinstance(side, str) else side

        widths = tuple(
            replace(
                of[0],
                keys=tuple(key for choice in of for key in choice.keys),
                sites=tuple(site for choice in of for site in choice.sites),
            )
            for of in groups.values()
        )
        depths = tuple(
            replace(d, streams=tuple(tuple(dict.fromkeys(map(renamed, s))) for s in d.streams))
            for d in self.depths
        )
        terms = tuple(
            replace(t, source=renamed(t.source), target=renamed(t.target)) for t in self.terms
        )
        return replace(self, widths=widths, depths=depths, terms=terms)

    def full_cost(self, unit: str = "macs") -> int:
        """Cost of the unpruned net."""
        cost = {"macs": self.unpruned.macs, "params": self.unpruned.params}.get(unit)
        if cost is None:
            raise InputError(one_of("unit of the budget", unit, UNITS))
        return cost

    def range(self, unit: str = "macs") -> tuple[int, int]:
        """Smallest and largest cost: all candidates at their smallest, and at their largest."""
        zeros = [0] * len(self.widths), [0] * len(self.depths)
        return self.cost(self.shape(*zeros), unit), self.cost(self.widest, unit)

    def budget(self, given: str | float, unit: str = "macs") -> int:
        """A budget as an absolute number of ``unit``.

        Args:
            given: a ratio of the unpruned net (``0.55``), or an absolute number (``"22.4M"``).

        Raises:
            InputError: it is not a budget.
            InfeasibleBudgetError: no shape, or every shape, of this space is below it.
        """
        budget = parse_budget(given, self.full_cost(unit), unit)
        self.check_feasible(budget, unit, given)
        return budget

    def check_feasible(self, budget: int, unit: str = "macs", given: str | float = "") -> None:
        """Raise ``InfeasibleBudgetError`` where no shape, or every shape, is below the budget."""
        lowest, highest = self.range(unit)
        if not lowest <= budget <= highest:
            full = self.full_cost(unit)
            quoted = f"'{given}' ({readable(budget)} {unit})" if given else f"{budget} {unit}"
            raise InfeasibleBudgetError(
                f"the budget {quoted} cannot be met with these choices: {self.unpruned.net} can "
                f"have {readable(lowest)} to {readable(highest)} {unit}, a ratio of "
                f"{lowest / full:.3f} to {highest / full:.3f}",
                lowest,
                highest,
            )


def parse_budget(given: str | float, full: int, unit: str = "macs") -> int:
    """A budget as a whole number: ``0.55`` times ``full``, or absolute, ``22.4M``, ``1.2G``.

    A bare number up to 1 is a ratio, from 1000 on an absolute count.

    Raises:
        InputError: it is neither.
    """
    help_text = (
        f"give a ratio of the unpruned net above 0 and up to 1, or {unit} like 22.4M or 1.2G"
    )
    text = str(given).strip()
    sizes = {"k": 1e3, "m": 1e6, "g": 1e9}
    size = sizes.get(text[-1:].lower())
    try:
        value = float(text[:-1] if size else text)
    except ValueError:
        raise InputError(f"'{given}' is not a budget: {help_text}") from None
    if not (0 < value < float("inf")):
        raise InputError(f"the budget '{given}' is not above 0: {help_text}")
    if size:
        return int(value * size)
    if value <= 1:
        return int(value * full)
    if value < 1000:
        raise InputError(f"the budget '{given}' is a ratio above 1: {help_text}")
    return int(value)


class ExpectedCost(nn.Module):
    """The expected cost of a space under independent probabilities of its candidates.

    It is the exact expectation of ``Space.cost``: E[c^2] where one choice feeds both sides of a
    layer, the width of the last kept block where a stage is cut, projections with the probability
    that they are needed. Probabilities of one-hot rows give the cost of that shape. All of it is a
    handful of tensor operations, however many layers there are.
    """

    values: Tensor  # [L + constants, K] candidates; a constant is its own only candidate
    slots: Tensor  # [L + constants, K] the place of each value among all distinct values
    distinct: Tensor  # [U] all distinct values
    fixed: Tensor  # [constants, K] the probabilities of the constants
    masks: Tensor  # [conditions, D, K_d] the depths that meet each condition

    def __init__(
        self, space: Space, unit: str = "macs", dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        names = {choice.name: i for i, choice in enumerate(space.widths)}
        sides = [s for t in space.terms for s in (t.source, t.target)]
        constants = sorted({s for s in sides if isinstance(s, int)})
        rows = [c.candidates for c in space.widths] + [(c,) for c in constants]
        columns = max((len(row) for row in rows), default=1)
        self.choices = len(space.widths)
        self.columns = (columns, max((len(d.candidates) for d in space.depths), default=1))
        values = torch.zeros(len(rows), columns, dtype=dtype)
        for row, candidates in enumerate(rows):
            values[row, : len(candidates)] = torch.tensor(candidates, dtype=dtype)
        distinct, slots = torch.unique(values, return_inverse=True)
        self.register_buffer("values", values, persistent=False)
        self.register_buffer("slots", slots, persistent=False)
        self.register_buffer("distinct", distinct, persistent=False)
        fixed = torch.zeros(len(constants), columns, dtype=dtype)
        fixed[:, :1] = 1
        self.register_buffer("fixed", fixed, persistent=False)

        def row_of(side: Side) -> int:
            return len(names) + constants.index(side) if isinstance(side, int) else names[side]

        depths = {d.name: i for i, d in enumerate(space.depths)}
        conditions = sorted(
            {t.when for t in space.terms if t.when}, key=lambda w: (w[0], *sorted(w[1]))
        )
        masks = torch.zeros(len(conditions), len(depths), self.columns[1], dtype=dtype)
        for i, (name, allowed) in enumerate(conditions):
            for k, depth in enumerate(space.depths[depths[name]].candidates):
                masks[i, depths[name], k] = depth in allowed
        self.register_buffer("masks", masks, persistent=False)

        # Three kinds of layers: two different choices, the same choice twice, and projections.
        kinds: dict[str, list[Term]] = {"apart": [], "same": [], "unequal": []}
        for term in space.terms:
            same = term.source == term.target
            if not (same and term.unequal):
                kinds["unequal" if term.unequal else "same" if same else "apart"].append(term)
        self.kinds = tuple(kind for kind, terms in kinds.items() if terms)
        for kind in self.kinds:
            terms = kinds[kind]
            index = [
                [row_of(t.source), row_of(t.target), conditions.index(t.when) if t.when else -1]
                for t in terms
            ]
            linear = [t.params_out if unit == "params" else 0 for t in terms]
            factors = [[getattr(t, unit), n] for t, n in zip(terms, linear, strict=True)]
            self.register_buffer(f"index_{kind}", torch.tensor(index).T, persistent=False)
            self.register_buffer(
                f"factor_{kind}", torch.tensor(factors, dtype=dtype).T, persistent=False
            )

    def forward(self, width_probs: Tensor, depth_probs: Tensor) -> Tensor:
        """The expected cost, a scalar.

        Args:
            width_probs: [number of width choices, most candidates of one], rows sum to 1.
            depth_probs: likewise for the depth choices.
        """
        probs = torch.cat([width_probs, self.fixed])  # [R, K]
        mean = (probs * self.values).sum(1)  # [R]
        present = (self.masks * depth_probs).sum((1, 2))  # [conditions]
        present = torch.cat([present, present.new_ones(1)])  # the last, -1: always
        total = mean.new_zeros(())
        for kind in self.kinds:
            a, b, when = self.get_buffer(f"index_{kind}")
            pair, single = self.get_buffer(f"factor_{kind}")
            if kind == "same":
                cost = pair * (probs * self.values**2).sum(1)[a] + single * mean[b]
            else:
                cost = pair * mean[a] * mean[b] + single * mean[b]
            if kind == "unequal":  # less what the layer would cost where both widths are equal
                spread = probs.new_zeros(len(probs), len(self.distinct))
                spread = spread.scatter_add(1, self.slots, probs)  # [R, U]
                both = spread[a] * spread[b] * self.distinct  # [terms, U]
                cost = cost - pair * (both * self.distinct).sum(1) - single * both.sum(1)
            total = total + (cost * present[when]).sum()
        return total

    def of_states(self, states: Tensor) -> Tensor:
        """Exact costs [B] of states [B, choices]: a candidate index per width, then per depth."""
        costs: Tensor = vmap(self, chunk_size=1024)(*self.one_hot(states))
        return costs.round()

    def one_hot(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of states [B, choices]: one-hot widths [B, L, K] and depths [B, D, K_d]."""
        widths, depths = states[:, : self.choices], states[:, self.choices :]
        k, k_d = self.columns
        to = self.values.dtype
        return F.one_hot(widths, k).to(to), F.one_hot(depths, k_d).to(to)
