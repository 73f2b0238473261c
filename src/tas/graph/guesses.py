"""Guesses at which numbers in a net's attributes follow a width, the likeliest first.

A number is a guess where it is the size of something that the width makes larger or smaller, or a
whole multiple or part of it. Layers that are alike in several blocks are guessed at together: the
same attribute in every block.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import gcd

from torch import nn

from ..sides import Rewrite, Sum
from .constants import Steps, numbers
from .mirrors import mirrored
from .structure import Structure

__all__ = ["Guess", "guesses", "kind"]

Guess = tuple[Rewrite, ...]
Seen = dict[str, list[tuple[int, Sum]]]  # by the path of a module, sizes and what they follow


def kind(name: str) -> str:
    """A path with its numbers left out: what layers of several blocks have in common.

    That it is the second or third width of a layer is no part of the path.
    """
    return re.sub(r"(?<![#\d])\d+", "*", name)


def guesses(
    net: nn.Module,
    structure: Structure,
    names: Sequence[str],
    place: str,
    taken: Sequence[Rewrite],
    read: Collection[tuple[str, str]] | None = None,
    joints: Sequence[Sequence[str]] = (),
) -> Iterator[Guess]:
    """What may follow some widths that are alike.

    Args:
        names: of the widths.
        place: the path of the module that fails once they are cut; empty where nobody knows.
        taken: what is rewritten already.
        read: the attributes that the net reads, with the paths of their modules; None: any.
        joints: widths that keep the same ratio, so that it does not matter which one is followed.
    """
    wanted = set(names)
    seen: Seen = {
        path: [(n, side) for n, side in sizes if any(p[0] in wanted for p in side.parts)]
        for path, sizes in structure.seen.items()
    }
    atoms = {width.name: width.atoms for width in structure.widths}
    done = {(rewrite.module, rewrite.steps) for rewrite in taken}
    first = {name: joint[0] for joint in joints for name in joint}
    modules = dict(net.named_modules())
    for paths in _alike(modules, _places(modules, seen, place), of_class=not place):
        found: dict[tuple[int, Steps], list[Rewrite]] = {}
        for path in paths:
            skipped = mirrored(modules[path])
            for steps, value in numbers(modules[path]):
                if steps[0] in skipped or (path, steps) in done:
                    continue
                if read is not None and (path, steps[0]) not in read:
                    continue
                sizes = {
                    _same(size, first): size for size in _follow(value, path, seen, atoms)[::-1]
                }
                for rank, size in enumerate([*sizes.values()][::-1]):
                    found.setdefault((rank, steps), []).append(
                        Rewrite(path, steps, value, size.parts, size.constant)
                    )
        yield from _in_order(found)


def _alike(
    modules: Mapping[str, nn.Module], kinds: Sequence[str], of_class: bool
) -> Iterator[list[str]]:
    """The paths of all modules of each kind.

    Args:
        of_class: and then of its classes where they have other names, too, as attention to oneself
            and to others: nothing tells that one of two numbers is right.
    """
    done: set[type[nn.Module]] = set()
    for of_kind in kinds:
        paths = [path for path in modules if kind(path) == of_kind]
        yield paths
        for own in dict.fromkeys(type(modules[path]) for path in paths if of_class):
            all_of_it = [path for path, module in modules.items() if type(module) is own]
            if own not in done and len(all_of_it) > len(paths):
                yield all_of_it
            done.add(own)


def _in_order(found: dict[tuple[int, Steps], list[Rewrite]]) -> Iterator[Guess]:
    """All numbers of one attribute, each by itself, all of the module; then what else they may be.

    Args:
        found: by how likely it is (0: most), and the way to a number.
    """
    of_attribute: dict[str | int, list[Rewrite]] = {}
    for (rank, steps), rewrites in found.items():
        if rank == 0:
            of_attribute.setdefault(steps[0], []).extend(rewrites)
    alone = {key: tuple(rewrites) for key, rewrites in found.items()}
    first = [guess for (rank, _), guess in alone.items() if rank == 0]
    together = [tuple(rewrites) for rewrites in of_attribute.values()]
    everything = tuple(rewrite for guess in first for rewrite in guess)
    others = [alone[key] for key in sorted(alone, key=lambda key: key[0]) if key[0] > 0]
    yield from (guess for guess in dict.fromkeys([*together, *first, everything, *others]) if guess)


def _places(modules: dict[str, nn.Module], seen: Seen, place: str) -> list[str]:
    """Kinds of modules: that which fails, those around it from within outward, those beside it."""
    paths = [place] if place else sorted((p for p in seen if seen[p]), key=lambda p: -p.count("."))
    around = []
    for path in paths:
        around.append(path)
        while path:
            path = path.rpartition(".")[0]
            around.append(path)
    beside = [p for p in modules if place and p.startswith(f"{place.rpartition('.')[0]}.")]
    return list(dict.fromkeys(kind(path) for path in [*around, *beside]))


def _follow(value: int, path: str, seen: Seen, atoms: dict[str, int]) -> list[Sum]:
    """What a number of a module may follow: sizes seen in it, then within it, then around it."""
    inner = [p for p in seen if p.startswith(f"{path}.") or not path]
    outer = path.rpartition(".")[0]
    sizes = [each for p in [path, *inner, outer] for each in seen.get(p, ())]
    equal = [side for size, side in sizes if size == value]
    found = dict.fromkeys(sorted(equal, key=lambda side: side.constant))  # all of it, if it may be
    for size, side in sizes:
        if len(side.parts) == 1 and side.constant == 0 and size != value:
            ((name, n, of),) = side.parts
            if value % size == 0:
                found.setdefault(_times(name, n * (value // size), of))
            elif size % value == 0 and value % atoms[name] == 0:
                found.setdefault(_times(name, n, of * (size // value)))
    return list(found)


def _same(size: Sum, first: Mapping[str, str]) -> Sum | str:
    """What is equal for sizes that are equal whatever is cut; they are so in the whole net."""
    alone = len(size.parts) == 1 and size.constant == 0
    return first.get(size.parts[0][0], size.parts[0][0]) if alone else size


def _times(name: str, n: int, of: int) -> Sum:
    divisor = gcd(n, of)
    return Sum(((name, n // divisor, of // divisor),))
