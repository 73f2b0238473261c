"""What the time of a net may depend on, layer by layer: each a product of sizes, as costs are.

Of every layer that multiplies:

- its multiply-adds, at its widths and at widths rounded up to what kernels compute at once
  (``BLOCKS``): times rise in steps;
- the values that it reads and writes, which bound layers of low intensity, and the activations and
  sums around them, which move the same values;
- its weights, which a small batch reads for one picture;
- that it runs at all: what a layer costs however narrow it is, and so what a depth is worth.

A rounded width is a further key of a shape, ``stem@16``, so that the exact and the expected cost of
all this are those of a ``Space``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...shape import Shape, Side, Sum
from ...space import Layer, Space, Term, WidthChoice

__all__ = ["Feature", "features", "timed_shape", "timed_space"]

BLOCKS = (16, 32)


@dataclass(frozen=True)
class Feature:
    """One thing that a time may be proportional to.

    Attributes:
        kind: ``"macs"``, ``"macs16"``, ``"macs32"``, ``"values"``, ``"weights"`` or ``"runs"``.
        family: of its layer: those of one family take alike.
        path: of its layer.
        terms: as in ``Space.terms``; their ``macs`` add up to its amount.
    """

    kind: str
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

    def feature(kind: str, terms: Sequence[Term]) -> Feature:
        return Feature(kind, family, layer.path, tuple(terms))

    found = [feature("macs", [_term(layer, layer.macs, sides)])]
    if layer.unequal:  # whether it is there depends on widths that are not rounded
        return found
    for block in BLOCKS:
        rounded = tuple(_rounded(side, block) for side in sides)
        found.append(feature(f"macs{block}", [_term(layer, layer.macs, rounded)]))
    moved = [_term(layer, area, (key,)) for key, area in _moved(varying, areas)]
    if moved:
        found.append(feature("values", moved))
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


def _rounded(side: Side, block: int) -> Side:
    """A side whose widths are rounded up to whole blocks, each for itself."""
    if isinstance(side, str):
        return f"{side}@{block}"
    if isinstance(side, Sum):
        parts = tuple((f"{key}@{block}", n, of) for key, n, of in side.parts)
        return Sum(parts, side.constant)
    return side


def _up(width: int, block: int) -> int:
    return -(-width // block) * block


def timed_shape(shape: Shape) -> Shape:
    """A shape with the rounded widths as further keys."""
    return shape.replace(widths=_with_rounded(shape.widths))


def _with_rounded(widths: Mapping[str, int]) -> dict[str, int]:
    rounded = {f"{k}@{block}": _up(w, block) for block in BLOCKS for k, w in widths.items()}
    return {**widths, **rounded}


def timed_space(space: Space, terms: Sequence[Term]) -> Space:
    """A space with other terms, of rounded widths as well."""
    return replace(
        space,
        widths=tuple(map(_with_blocks, space.widths)),
        widest=timed_shape(space.widest),
        terms=tuple(terms),
    )


def _with_blocks(choice: WidthChoice) -> WidthChoice:
    keys = dict.fromkeys((choice.name, *choice.keys))
    own = {key: choice.of(key) if key in choice.keys else choice.candidates for key in keys}
    for block in BLOCKS:
        own |= {f"{k}@{block}": tuple(_up(w, block) for w in own[k]) for k in keys}
    return replace(choice, keys=tuple(own), each=tuple(own.values()))
