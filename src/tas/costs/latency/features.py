"""What the time of a net may depend on, layer by layer: each a product of sizes, as costs are.

Of every layer that multiplies:

- its multiply-adds, at its widths and at widths rounded up to what kernels compute at once: times
  rise in steps;
- the values that it reads and writes, which bound layers of low intensity, and the activations and
  sums around them, which move the same values;
- both once more where a width leaves the fast layouts of kernels: because it is no multiple of 4,
  or less than a block (in ONNX Runtime either costs a change of layout, or a slower kernel);
- its weights, which a small batch reads for one picture;
- that it runs at all: what a layer costs however narrow it is, and so what a depth is worth.

What kernels make of a width is a further key of a shape, ``stem@16``, so that the exact and the
expected cost of all this are those of a ``Space``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...shape import Shape, Side, Sum
from ...space import Layer, Space, Term, WidthChoice

__all__ = ["Feature", "features", "timed_shape", "timed_space"]

Seen = Mapping[str, Callable[[int], int]]  # what kernels make of a width, by a key's mark
BLOCKS: Seen = {
    "@16": lambda width: -(-width // 16) * 16,
    "@32": lambda width: -(-width // 32) * 32,
}
# The width, where it leaves the fast layouts; else 0.
ODD: Seen = {
    "%4": lambda width: width if width % 4 else 0,
    "<16": lambda width: width if width < 16 else 0,
}
SEEN: Seen = {**BLOCKS, **ODD}


@dataclass(frozen=True)
class Feature:
    """One thing that a time may be proportional to.

    Attributes:
        kind: ``"macs"``, ``"values"``, ``"weights"`` or ``"runs"``, and a mark.
        like: the kind in whose amounts it is counted.
        family: of its layer: those of one family take alike.
        path: of its layer.
        terms: as in ``Space.terms``; their ``macs`` add up to its amount.
    """

    kind: str
    like: str
    family: str
    path: str
    terms: tuple[Term, ...]


def features(space: Space) -> list[Feature]:
    """All features of a space's layers."""
    return [feature for layer in space.layers for feature in _of_layer(layer, space.areas)]


def _of_layer(layer: Layer, areas: Mapping[str, int]) -> list[Feature]:
    sides = layer.sides
    varying = [side for side in sides if not isinstance(side, int)]
    family = f"{len(sides)} sizes"

    def feature(kind: str, terms: Sequence[Term], mark: str = "") -> Feature:
        like = kind if mark in ODD else f"{kind}{mark}"
        return Feature(f"{kind}{mark}", like, family, layer.path, tuple(terms))

    found = [feature("macs", [_term(layer, layer.macs, sides)])]
    if layer.unequal:  # whether it is there depends on widths that are not rounded
        return found
    for mark in BLOCKS:
        rounded = tuple(_marked(side, mark) for side in sides)
        found.append(feature("macs", [_term(layer, layer.macs, rounded)], mark))
    if sides and not isinstance(sides[0], int):
        for mark in ODD:  # of what it reads
            odd = (_marked(sides[0], mark), *sides[1:])
            found.append(feature("macs", [_term(layer, layer.macs, odd)], mark))
    moved = _moved(varying, areas)
    for mark in ("", *ODD) if moved else ():
        terms = [_term(layer, area, (_marked(side, mark),)) for side, area in moved]
        found.append(feature("values", terms, mark))
    if len(varying) > 1:
        found.append(feature("weights", [_term(layer, 1, sides)]))
    found.append(feature("runs", [_term(layer, 1, ())]))
    return found


def _term(layer: Layer, factor: int, sides: tuple[Side, ...]) -> Term:
    source, target = [*sides, 1, 1][:2]
    return Term(source, target, factor, 0, 0, layer.when, layer.unequal, sides[2:])


def _moved(sides: Sequence[Side], areas: Mapping[str, int]) -> list[tuple[Side, int]]:
    """The tensors that a layer reads and writes: a width, and the values of one of its channels."""
    found: list[tuple[Side, int]] = []
    for side in sides:
        if isinstance(side, str):
            found.append((side, areas.get(side, 1)))
        elif isinstance(side, Sum):
            found += [(Sum((part,)), areas.get(part[0], 1)) for part in side.parts]
    return found


def _marked(side: Side, mark: str) -> Side:
    """A side whose widths are as kernels see them, each for itself."""
    if isinstance(side, str):
        return f"{side}{mark}"
    if isinstance(side, Sum):
        parts = tuple((f"{key}{mark}", n, of) for key, n, of in side.parts)
        return Sum(parts, side.constant)
    return side


def timed_shape(shape: Shape) -> Shape:
    """A shape with its widths as kernels see them as further keys."""
    seen = {f"{k}{mark}": see(w) for mark, see in SEEN.items() for k, w in shape.widths.items()}
    return shape.replace(widths={**shape.widths, **seen})


def timed_space(space: Space, terms: Sequence[Term]) -> Space:
    """A space with other terms, of widths as kernels see them as well."""
    return replace(
        space,
        widths=tuple(map(_with_seen, space.widths)),
        widest=timed_shape(space.widest),
        terms=tuple(terms),
    )


def _with_seen(choice: WidthChoice) -> WidthChoice:
    keys = dict.fromkeys((choice.name, *choice.keys))
    own = {key: choice.of(key) if key in choice.keys else choice.candidates for key in keys}
    for mark, see in SEEN.items():
        own |= {f"{k}{mark}": tuple(map(see, own[k])) for k in keys}
    return replace(choice, keys=tuple(own), each=tuple(own.values()))
