"""Widths that must keep the same ratio of their channels: a stream, and what its number divides.

Code that finds the size of a head as ``C // heads``, where C are the channels of its input, counts
on queries that are as wide as the input. No number can be rewritten there, and the two have no
labels in common. But both may shrink if they do so together: a *joint*.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from math import gcd

from ..errors import ShapeError
from .guesses import kind
from .parts import Structure

__all__ = ["Joint", "check_joints", "counts", "joined", "united"]

Joint = tuple[str, ...]  # names of widths, in the order in which the net makes them


def counts(joint: Joint, candidates: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """The numbers of atoms that each width of a joint may keep, candidate by candidate.

    They are as near to the candidates of the first as all of them can come.

    >>> from tas.graph.joints import counts
    >>> counts(("stream", "heads"), {"stream": (12, 24, 48, 64), "heads": (1, 2, 3, 4)})
    {'stream': [16, 32, 48, 64], 'heads': [1, 2, 3, 4]}

    Args:
        candidates: of each width by itself, ascending, the last one all.
    """
    full = {name: candidates[name][-1] for name in joint}
    steps = gcd(*full.values())
    own = full[joint[0]] // steps
    kept = sorted({min(max(round(count / own), 1), steps) for count in candidates[joint[0]]})
    return {name: [n * atoms // steps for n in kept] for name, atoms in full.items()}


def joined(
    structure: Structure,
    names: Collection[str],
    place: str,
    candidates: Mapping[str, Sequence[int]],
    multiples: bool = False,
) -> tuple[Joint, ...]:
    """The joints of some widths with all others that are as large in a kind of modules.

    Args:
        names: of the widths.
        place: the path of a module of this kind; empty: the net itself.
        candidates: of every width that may shrink, as in ``counts``.
        multiples: with those, too, that are whole multiples or parts of them.
    """
    found: list[set[str]] = []
    for path in structure.seen:
        if kind(path) == kind(place):
            of_size: dict[int, set[str]] = defaultdict(set)
            for inner, sizes in structure.seen.items():
                if not path or inner == path or inner.startswith(f"{path}."):
                    for size, side in sizes:
                        if len(side.parts) == 1 and side.constant == 0:
                            of_size[size].add(side.parts[0][0])
            for size, own in of_size.items():
                if own & set(names):
                    like = [n for n in of_size if n == size or (multiples and not _apart(n, size))]
                    found.append(set().union(*(of_size[n] for n in like)) & candidates.keys())
    order = [width.name for width in structure.widths]
    joints = united(order, found)
    return tuple(joint for joint in joints if len(counts(joint, candidates)[joint[0]]) > 1)


def _apart(a: int, b: int) -> bool:
    """Whether neither of two sizes is a whole multiple of the other."""
    return max(a, b) % min(a, b) > 0


def united(order: Sequence[str], sets: Sequence[Collection[str]]) -> tuple[Joint, ...]:
    """Sets that have something in common made one; those of two names and more, in order."""
    apart: list[set[str]] = []
    for each in sets:
        touching = [other for other in apart if other & set(each)]
        apart = [other for other in apart if other not in touching]
        apart.append(set(each).union(*touching))
    rank = {name: number for number, name in enumerate(order)}
    joints = [tuple(sorted(each, key=rank.__getitem__)) for each in apart if len(each) > 1]
    return tuple(sorted(joints, key=lambda joint: rank[joint[0]]))


def check_joints(structure: Structure, widths: Mapping[str, int]) -> None:
    """Raise a ``ShapeError`` where widths that are joined do not keep the same ratio.

    Args:
        widths: the channels of some of the widths.
    """
    full = {width.name: width.channels for width in structure.widths}
    for joint in structure.joints:
        given = [name for name in joint if name in widths]
        for a, b in pairwise(given):
            if widths[a] * full[b] != widths[b] * full[a]:
                raise ShapeError(
                    f"the shape has {widths[a]} of {full[a]} channels for '{a}', but {widths[b]} "
                    f"of {full[b]} for '{b}': the net's code counts on the same ratio of both"
                )
