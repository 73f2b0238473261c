"""What the shapes of a traced net cost: a term for each set of widths that some layers share."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import prod

from ..graph import Structure
from ..shape import Side, Sum
from ..space import DepthChoice, Layer, Term

__all__ = ["layers_of", "terms_of"]

_Key = tuple[tuple[Side, ...], tuple[str, frozenset[int]] | None]  # sizes that vary, and when


def terms_of(
    structure: Structure, searched: set[str], depths: Sequence[DepthChoice]
) -> tuple[Term, ...]:
    """One term for each set of sizes that some layers' costs are proportional to."""
    full = {width.name: width.channels for width in structure.widths}
    macs: dict[_Key, int] = defaultdict(int)
    params: dict[_Key, int] = defaultdict(int)
    entries = [(layer.path, layer.macs, layer.sides, macs) for layer in structure.layers]
    entries += [(name, 1, sides, params) for name, sides in structure.sizes.items()]
    for path, factor, given, into in entries:
        sides = [_fixed(side, searched, full) for side in given]
        varying = [side for side in sides if not isinstance(side, int)]
        factor *= prod(side for side in sides if isinstance(side, int))
        into[tuple(varying), _when(path, depths)] += factor
    terms = []
    for key in dict.fromkeys((*macs, *params)):
        own, when = key
        source, target = [*own, 1, 1][:2]
        terms.append(Term(source, target, macs[key], params[key], 0, when, more=own[2:]))
    return tuple(terms)


def layers_of(
    structure: Structure, searched: set[str], depths: Sequence[DepthChoice]
) -> Iterator[Layer]:
    """What runs, with the sizes that are not searched as constants."""
    full = {width.name: width.channels for width in structure.widths}
    names: Counter[str] = Counter()
    for layer in structure.layers:
        names[layer.path] += 1
        path = f"{layer.path}#{names[layer.path]}" if names[layer.path] > 1 else layer.path
        sides = [_fixed(side, searched, full) for side in layer.sides]
        varying = tuple(side for side in sides if not isinstance(side, int))
        macs = layer.macs * prod(side for side in sides if isinstance(side, int))
        yield Layer(path, varying, macs, _when(layer.path, depths))


def _fixed(side: Side, searched: set[str], full: Mapping[str, int]) -> Side:
    """A side with the widths that are not searched as constants."""
    if isinstance(side, str):
        return side if side in searched else full[side]
    if isinstance(side, Sum):
        parts = tuple(part for part in side.parts if part[0] in searched)
        constant = side.constant + sum(
            n * full[k] // of for k, n, of in side.parts if k not in searched
        )
        if not parts:
            return constant
        plain = constant == 0 and len(parts) == 1 and parts[0][1] == parts[0][2]
        return parts[0][0] if plain else Sum(parts, constant)
    return side


def _when(path: str, depths: Sequence[DepthChoice]) -> tuple[str, frozenset[int]] | None:
    """The depths at which a module or parameter exists; None: always."""
    for depth in depths:
        for number, block in enumerate(depth.blocks):
            if path == block or path.startswith(f"{block}."):
                kept = frozenset(d for d in depth.candidates if d > number)
                return None if len(kept) == len(depth.candidates) else (depth.name, kept)
    return None
