"""What a trace comes to: the widths and depths of a net, what each layer costs, what is locked.

Labels that are tied make one *atomic channel*: slices of parameters that live and die together.
Atomic channels that are alike, one from every layer that they pass, make a ``Width``.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd, prod
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from ..errors import ShapeError
from ..forward import Example, Forward, evaluating
from ..shape import Side, Sum
from ..usable import check_floats
from .labels import Notes, Place, Plane, Tracer
from .parts import Layer, Locked, Structure, Width
from .passes import OUTPUT, follow_training, followed, lock_output, unseen
from .refused import refuse
from .rules import apply_rule
from .runs import Visit, find_runs, visiting
from .splits import Splits

__all__ = ["Layer", "Locked", "Structure", "Width", "analyse"]

TOGETHER = "its channels can only be cut all together"
UNTRAINED = "it does not run in evaluation, and training cannot be followed"
COMPLEX = "complex numbers, which are not followed"
BESIDE = ("bias", "running_mean", "running_var")  # what stands beside a weight
COMPUTED = "its weight is computed from parameters in the net's own code"


def analyse(
    net: nn.Module,
    example: Any,
    ignore: Sequence[str] = (),
    forward: Forward | None = None,
    splits: Mapping[str, int] | None = None,
) -> Structure:
    """Run the net once on the first of some examples and see what may shrink.

    >>> import tas, torch
    >>> from torch import nn
    >>> net = nn.Sequential(
    ...     nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.Flatten(), nn.Linear(8, 10)
    ... )
    >>> structure = tas.graph.analyse(net, torch.zeros(1, 3, 5, 5))
    >>> [(width.name, width.channels) for width in structure.widths]
    [('0', 16), ('2', 8)]
    >>> structure.locked
    (Locked(layer='4', channels=10, reason="they are the net's output"),)

    The net is left as it was.

    Parts that only training runs are followed in a pass in training mode, and shrink with the rest.

    Args:
        example, forward: as in ``tas.spaces.trace``.
        ignore: paths of modules of which nothing may shrink.
        splits: by its name, the dimension of a split that may shrink (``Structure.wanted``).

    Raises:
        InputError: the net does not run on the example, or returns no tensor of floats, or
            (``ShapeError``) it has no such split.
    """
    refuse(net)
    given = Example.of(example, forward)
    tracer = Tracer(net, apply_rule, Splits(splits or {}))
    with evaluating(net), visiting(net, tracer) as visits:
        out = followed(net, given.first(), tracer)
    check_floats(out)
    found = lock_output(out, tracer)
    if unseen(net, tracer):
        follow_training(net, given, tracer)
    if strange := sorted(tracer.splits.along.keys() - tracer.splits.labels.keys()):
        raise ShapeError(f"the shape goes by a split '{strange[0]}', but the net has no such split")
    for (name, _), labels in tracer.places.items():
        if any(name.startswith(f"{path}.") or not path for path in ignore):
            tracer.notes.locks.append((labels, "ignored, as asked for"))
    scores = len(found) == 1 and found[0].dim() == 2 and len(found[0]) == 1
    build = _Build(net, tracer, visits)
    structure = build.structure(found[0].shape[1] if scores else None)
    never = [name for name in unseen(net, tracer) if tracer.notes.produced]
    return replace(structure, locked=(*structure.locked, *_never_run(net, never)))


def _never_run(net: nn.Module, names: Sequence[str]) -> list[Locked]:
    """Layers whose parameters nothing has read."""
    found: dict[str, Locked] = {}
    for name, parameter in net.named_parameters():
        path = name.rpartition(".")[0]
        if name in names and path not in found and parameter.dim() > 1:
            why = COMPLEX if parameter.is_complex() else UNTRAINED
            found[path] = Locked(path, len(parameter), why)
    return list(found.values())


class _Build:
    """From ties and locks to widths: connected components, sorted by where they are found."""

    def __init__(self, net: nn.Module, tracer: Tracer, visits: dict[str, Visit]) -> None:
        self.net = net
        self.notes: Notes = tracer.notes
        self.places = tracer.places
        self.noticed, self.told = tracer.seen, tracer.splits
        self.component = _components(self.notes.ties, tracer.count)
        self.reasons: dict[int, str] = {}
        for labels, reason in self.notes.locks:
            for component in np.unique(self.component[labels.numpy()]):
                self.reasons.setdefault(int(component), reason)
        self.reasons[int(self.component[0])] = "no channel"
        # Sizes of activations are places, too: atoms that differ there are not alike.
        self.inner: dict[Place, Tensor] = {}
        for number, cost in enumerate(self.notes.costs):
            for place, side in enumerate(cost.sides):
                if isinstance(side, Tensor):
                    self.inner[f"#cost{number}", place] = side
        for weight, labels in self.notes.norms.items():
            self.inner[f"#norm{weight}", 0] = labels
        self.runs = find_runs(self.net, visits, self.same)
        self._settle()

    def structure(self, classes: int | None) -> Structure:
        notes = self.notes
        multiplied = {int(self.component[v]) for t in notes.multiplied for v in t.tolist()}
        inner = {
            place: self.slots(labels)
            for place, labels in self.places.items()
            if place not in notes.consumed
            and not self._measured(place)
            and multiplied.intersection(self.component[labels.numpy()].tolist())
        }
        consumed = {p: self.slots(self.places[p]) for p in sorted(notes.consumed)}
        norms = {weight: self.slots(labels) for weight, labels in notes.norms.items()}
        total = self.offsets[-1]
        return Structure(
            widths=tuple(self.widths),
            runs=tuple(self.runs),
            locked=tuple(self._locked()),
            layers=tuple(self.layers),
            sizes=self.sizes,
            slots={p: s for p, s in consumed.items() if bool((s < total).any())},
            norms={w: s for w, s in norms.items() if bool((s < total).any())},
            multiplied={p: s for p, s in inner.items() if bool((s < total).any())},
            classes=classes,
            seen=self._seen(),
            splits=dict(self.told.along),
            wanted={**self.told.wanted, **self._tied_groups()},
            heads={name: self._named(labels) for name, labels in self.told.labels.items()},
        )

    def _tied_groups(self) -> dict[str, int]:
        """Grouped convolutions none of whose groups can go by itself."""
        found = {}
        for name, made in self.told.groups.items():
            first, *others = np.unique(self.component[made.numpy()]).tolist()
            if not others and self.reasons.get(first) == TOGETHER:
                found[name] = 1
        return found

    def _measured(self, place: Place) -> bool:
        """Whether these are a norm's statistics, which do not matter where its scale is 0."""
        path, _, own = place[0].rpartition(".")
        return own in BESIDE[1:] and (f"{path}.weight", 0) in self.places

    # Widths ------------------------------------------------------------------------------------

    def _settle(self) -> None:
        self.widths = self._widths()
        self.offsets = np.cumsum([0, *(w.atoms for w in self.widths)])
        self._slot: Any = None  # by component, made when it is first asked for
        self.layers, self.sizes = self._layers(), self._sizes()
        pairs = {name for labels in self.notes.summed for name in self._named(labels)}
        self.widths = [replace(w, least=2) if w.name in pairs else w for w in self.widths]

    def _widths(self) -> list[Width]:
        where: dict[int, list[tuple[Place, int]]] = defaultdict(list)
        for place, labels in [*self.places.items(), *self.inner.items()]:
            seen, counts = np.unique(self.component[labels.numpy()], return_counts=True)
            for kind, count in zip(seen.tolist(), counts.tolist(), strict=True):
                if kind not in self.reasons:
                    where[kind].append((place, count))
        alike: dict[tuple[tuple[Place, int], ...], list[int]] = defaultdict(list)
        for kind, found in where.items():
            alike[tuple(found)].append(kind)
        widths: list[Width] = []
        names: Counter[str] = Counter()
        order = {place: number for number, place in enumerate(self.notes.produced)}
        for signature, kinds in alike.items():
            made = [(place, n) for place, n in signature if place in order]
            if not made:
                continue
            made.sort(key=lambda m: order[m[0]])
            if len(kinds) == 1:
                self.reasons[kinds[0]] = TOGETHER
                continue
            first, unit = self._named_after(made)
            name = self.notes.produced[first]
            names[name] += 1
            if names[name] > 1:
                name = f"{name}#{names[name]}"
            widths.append(
                Width(
                    name=name,
                    atoms=len(kinds),
                    unit=unit,
                    places=self._positions(signature, kinds),
                    layers=tuple(dict.fromkeys(self.notes.produced[place] for place, _ in made)),
                    area=self.notes.areas[first],
                )
            )
        return sorted(widths, key=lambda w: min(order[p] for p in w.places if p in order))

    def _named_after(self, made: list[tuple[Place, int]]) -> tuple[Place, int]:
        """The layer that a width is named after: one that no depth cuts off, as early as can be."""
        cut = tuple(f"{block}." for run in self.runs for block in run.blocks[run.least :])
        staying = [m for m in made if not self.notes.produced[m[0]].startswith(cut)]
        return (staying or made)[0]

    def _positions(
        self, signature: tuple[tuple[Place, int], ...], kinds: list[int]
    ) -> dict[Place, Tensor]:
        atom = np.full(len(self.component), -1)
        atom[kinds] = np.arange(len(kinds))
        found = {}
        for place, n in signature:
            if place in self.places:
                atoms = atom[self.component[self.places[place].numpy()]]
                rows = np.argsort(atoms, kind="stable")[(atoms < 0).sum() :]
                found[place] = torch.from_numpy(rows.reshape(len(kinds), n))
        return found

    def _locked(self) -> list[Locked]:
        found = []
        for place, layer in self.notes.produced.items():
            kinds = self.component[self.places[place].numpy()]
            reasons = Counter(self.reasons[k] for k in kinds.tolist() if k in self.reasons)
            found += [Locked(layer, channels, reason) for reason, channels in reasons.items()]
        if not self.widths and all(entry.reason == OUTPUT for entry in found):
            found += self._computed()
        return found

    def _computed(self) -> list[Locked]:
        """Layers whose weight is computed from parameters, which make no channels themselves."""
        found = []
        for (name, dim), labels in self.places.items():
            path, _, own = name.rpartition(".")
            makes = (name, dim) in self.notes.produced or own in BESIDE
            if dim == 0 and path and not makes and len(labels) > 1:
                reason = self.reasons.get(int(self.component[labels[0]]), COMPUTED)
                found.append(Locked(path, len(labels), reason))
        return found

    # Sizes -------------------------------------------------------------------------------------

    def slots(self, labels: Tensor) -> Tensor:
        """For every label the place of its atom among all atoms; their number where it stays."""
        if self._slot is None:
            slot = np.full(len(self.component), self.offsets[-1])
            for width, offset in zip(self.widths, self.offsets, strict=False):
                slot[self._kinds(width)] = offset + np.arange(width.atoms)
            self._slot = slot
        return torch.from_numpy(self._slot[self.component[labels.numpy()]])

    def _kinds(self, width: Width) -> Any:
        """The number of the set of labels of every atom of a width."""
        place, rows = next(iter(width.places.items()))
        return self.component[self.places[place].numpy()[rows[:, 0].numpy()]]

    def same(self, a: Sequence[Plane], b: Sequence[Plane]) -> bool:
        """Whether two tensors have the same channels."""
        return len(a) == len(b) and all(
            p.dim == q.dim
            and np.array_equal(self.component[p.labels.numpy()], self.component[q.labels.numpy()])
            for p, q in zip(a, b, strict=True)
        )

    def side(self, place: Place, size: int) -> Side:
        """The size of a place as a sum of widths."""
        labels = self.places.get(place, self.inner.get(place))
        return size if labels is None else self._sum(labels)

    def _sum(self, labels: Tensor) -> Side:
        """The number of labels as a sum of widths."""
        slots = self.slots(labels).numpy()
        number = np.searchsorted(self.offsets, slots, side="right") - 1
        parts: list[tuple[str, int, int]] = []
        fixed = int((slots == self.offsets[-1]).sum())
        for index, count in zip(*np.unique(number, return_counts=True), strict=True):
            if index < len(self.widths):
                width = self.widths[index]
                n = int(count) // width.atoms
                divisor = gcd(n, width.unit)
                parts.append((width.name, n // divisor, width.unit // divisor))
        if not parts:
            return len(labels)
        if len(parts) == 1 and parts[0][1] == parts[0][2] and fixed == 0:
            return parts[0][0]
        return Sum(tuple(parts), fixed)

    def _named(self, labels: Tensor) -> frozenset[str]:
        """The widths that some labels are of."""
        side = self._sum(labels)
        parts = side.parts if isinstance(side, Sum) else [(side,)]
        return frozenset(str(part[0]) for part in parts if not isinstance(part[0], int))

    def _seen(self) -> dict[str, tuple[tuple[int, Sum], ...]]:
        """The sizes that modules have seen, and what they follow."""
        known: dict[int, Side] = {}
        found: dict[str, tuple[tuple[int, Sum], ...]] = {}
        for path, labels in self.noticed.items():
            own: dict[tuple[int, Sum], None] = {}
            for key, each in labels.items():
                if key not in known:
                    known[key] = self._sum(each)
                side = known[key]
                if not isinstance(side, int):
                    as_sum = Sum(((side, 1, 1),)) if isinstance(side, str) else side
                    own[len(each), as_sum] = None
            found[path] = tuple(own)
        return found

    def _layers(self) -> list[Layer]:
        found = []
        for number, cost in enumerate(self.notes.costs):
            sizes = [len(s) if isinstance(s, Tensor) else s for s in cost.sides]
            sides = [self.side((f"#cost{number}", n), size) for n, size in enumerate(sizes)]
            found.append(Layer(cost.path, cost.macs // prod(sizes), tuple(sides)))
        return found

    def _sizes(self) -> dict[str, tuple[Side, ...]]:
        return {
            name: tuple(self.side((name, dim), size) for dim, size in enumerate(tensor.shape))
            for name, tensor in self.net.named_parameters()
        }


def _components(ties: list[tuple[Tensor, Tensor]], count: int) -> Any:
    """The number of its set for every label."""
    if not ties:
        return np.arange(count)
    a = torch.cat([a for a, _ in ties]).numpy()
    b = torch.cat([b for _, b in ties]).numpy()
    graph = coo_matrix((np.ones(len(a), dtype=np.int8), (a, b)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)
