"""Attributes that repeat a size of a parameter: what keeps them true when a net is cut.

A layer's code often reads such attributes (``groups``, ``num_features``), and a user who prints a
net does. PyTorch's own names are known; ``mirror`` adds those of a class of one's own.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

from ..errors import InputError, ShapeError, TasError, one_of

__all__ = ["Sizes", "follow", "joined", "mirror", "mirrored", "tensors"]

Sizes = dict[str, tuple[int, ...]]  # by the name of a parameter or buffer
Repeated = tuple[str, int]  # the name of a parameter or buffer, and one of its dimensions

# Known by name in any class, as attributes of what owns a weight: the dimension that they repeat.
BY_NAME = {
    "out_channels": 0,
    "out_features": 0,
    "num_features": 0,
    "num_channels": 0,
    "num_parameters": 0,
    "normalized_shape": 0,
    "in_channels": 1,
    "in_features": 1,
}
COUNTS_OF_GROUPS = ("groups", "num_groups")


def mirror(kind: type[nn.Module], /, **attributes: Repeated | None) -> None:
    """Say which attributes of a class of modules repeat which sizes of its parameters.

    When a net is cut, the attribute shrinks with the size: a number that is the size or a multiple
    of it, or a tuple in which the size stands. A multiple that a candidate would leave in parts
    locks its width. It holds for subclasses, too. A second call for an attribute replaces the
    first. None leaves an attribute alone that has the name of one of PyTorch's.

    >>> import tas.graph
    >>> from torch import nn
    >>> class Attention(nn.Module):
    ...     def __init__(self, dim):
    ...         super().__init__()
    ...         self.inner = dim
    ...         self.qkv = nn.Linear(dim, 3 * dim)
    >>> tas.graph.mirror(Attention, inner=("qkv.weight", 0))

    Args:
        kind: a class of modules.
        attributes: for an attribute's name, the parameter (or buffer, or one of a module within)
            and its dimension.

    Raises:
        InputError: something else was given.
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise InputError(f"{kind!r} is not a module class: give the class, e.g. torch.nn.Conv2d")
    for attribute, place in attributes.items():
        if place is not None and not _is_place(place):
            raise InputError(
                f"{kind.__name__}.{attribute} cannot repeat {place!r}: give a parameter's name and "
                "one of its dimensions, as ('weight', 0)"
            )
    _OWN.setdefault(kind, {}).update(attributes)


def _is_place(place: object) -> bool:
    return (
        isinstance(place, tuple)
        and len(place) == 2
        and isinstance(place[0], str)
        and type(place[1]) is int
    )


_OWN: dict[type[nn.Module], dict[str, Repeated | None]] = {
    nn.RNNBase: {"input_size": ("weight_ih_l0", 1), "hidden_size": ("weight_hh_l0", 1)},
    nn.RNNCellBase: {"input_size": ("weight_ih", 1), "hidden_size": ("weight_hh", 1)},
    nn.Bilinear: {"in1_features": ("weight", 1), "in2_features": ("weight", 2)},
    nn.Embedding: {"embedding_dim": ("weight", 1)},
}


def tensors(net: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer, by all of its names."""
    return {
        joined(path, name): tensor
        for path, module in net.named_modules(remove_duplicate=False)
        for name, tensor in {**module._parameters, **module._buffers}.items()
        if isinstance(tensor, Tensor)
    }


def follow(
    net: nn.Module, before: Sizes, after: Sizes, keeping: Collection[str] = frozenset()
) -> None:
    """Bring the attributes of a net that was cut up to date.

    Args:
        before: the sizes of its tensors before it was cut.
        after: those they have now.
        keeping: the paths of modules whose groups all stay.
    """
    changed: dict[str, list[str]] = {}
    for name, size in after.items():
        if size != before[name]:
            changed.setdefault(name.rpartition(".")[0], []).append(name)
    _as_said(net, changed, before, after)
    done: set[int] = set()
    for path, names in changed.items():
        module = _at(net, path)
        if id(module) not in done:  # it may have several paths
            done.add(id(module))
            first = joined(path, "weight")
            first = first if first in names else names[0]
            said = {**_said(module), **dict.fromkeys(COUNTS_OF_GROUPS if path in keeping else ())}
            _by_name(module, before[first], after[first], said)
            if isinstance(module, nn.RNNBase):  # its parameters stand in a list, too
                own = module._flat_weights_names
                module._flat_weights = [getattr(module, name) for name in own]


def mirrored(module: nn.Module) -> frozenset[str]:
    """The attributes of a module that ``follow`` takes care of."""
    by_name = {*BY_NAME, *COUNTS_OF_GROUPS} if module._parameters or module._buffers else set()
    return frozenset(by_name | _said(module).keys())


def joined(path: str, name: str) -> str:
    """The full name of a parameter or buffer of the module at a path."""
    return f"{path}.{name}" if path else name


# As is said of a class ---------------------------------------------------------------------------


def _said(module: nn.Module) -> dict[str, Repeated | None]:
    """What is said of the attributes of a module's class."""
    said: dict[str, Repeated | None] = {}
    for kind in reversed(type(module).__mro__):
        if kind in _OWN:
            said |= _OWN[kind]
    return said


def _as_said(net: nn.Module, changed: Iterable[str], before: Sizes, after: Sizes) -> None:
    """Bring attributes up to date that repeat sizes of the changed modules, or of some within."""
    paths: dict[str, None] = {}  # in order
    for path in changed:
        while path not in paths:
            paths[path] = None
            path = path.rpartition(".")[0]
    done: set[int] = set()
    for path in paths:
        module = _at(net, path)
        if id(module) not in done:  # it may have several paths
            done.add(id(module))
            for attribute, place in _said(module).items():
                if place is not None:
                    _repeat(module, path, attribute, place, before, after)


def _repeat(
    module: nn.Module, path: str, attribute: str, place: Repeated, before: Sizes, after: Sizes
) -> None:
    (name, dim), what = place, f"{type(module).__name__}.{attribute}"
    full = joined(path, name)
    if full not in before:
        start = joined(path, "") if path else ""
        own = [each.removeprefix(start) for each in before if each.startswith(start)]
        raise InputError(f"mirror of {what}: {one_of('parameter', name, own)}")
    if not hasattr(module, attribute):
        raise InputError(f"mirror of {what}: such a module has no attribute '{attribute}'")
    if not -len(before[full]) <= dim < len(before[full]):
        raise InputError(f"mirror of {what}: '{name}' of {list(before[full])} has no dim {dim}")
    if full not in after:  # it went with its block
        return
    old, new = before[full][dim], after[full][dim]
    if old == new:
        return
    try:
        setattr(module, attribute, _resized(getattr(module, attribute), old, new))
    except TasError as error:
        raise type(error)(f"mirror of {what}: {error}") from error


def _resized(value: object, old: int, new: int) -> object:
    if isinstance(value, (tuple, list)):
        return type(value)([new if size == old else size for size in value])
    if type(value) is not int:
        raise InputError(f"it is of type {type(value).__name__}, not an int or a tuple of them")
    if value * new % old:
        raise ShapeError(f"{value} for a size of {old} leaves no whole number for one of {new}")
    return value * new // old


# By PyTorch's names ------------------------------------------------------------------------------


def _by_name(
    module: nn.Module, old: tuple[int, ...], new: tuple[int, ...], said: Mapping[str, object]
) -> None:
    groups = 1
    if _value(module, "transposed", False):
        groups = _value(module, "groups", 1)
        if groups > 1:  # [in, out / groups, ...]: as if it were [out, in / groups, ...]
            shrunk = groups * new[0] // old[0]
            old, new = (old[1] * groups, old[0] // groups), (new[1] * shrunk, new[0] // shrunk)
        else:
            old, new = (old[1], old[0]), (new[1], new[0])
    for name in COUNTS_OF_GROUPS:
        value = _value(module, name, 1)
        if value != 1:
            groups = value if name in said else value * new[0] // old[0]
            setattr(module, name, groups)
    for name in vars(module).keys() & BY_NAME.keys() | _of_class(type(module)):  # type: ignore[arg-type]
        value, dim = getattr(module, name), BY_NAME[name]
        if value is None or name in said or dim >= len(new) or (dim == 0 and old[0] == new[0]):
            continue
        size: Any = new[dim] * (groups if dim == 1 else 1)
        if isinstance(value, (tuple, list)):  # all of a shape, of which the first has changed
            size = type(value)([size, *value[1:]])
        setattr(module, name, size)


# Both in the time that a few of them take by PyTorch's own means: nets are cut by the hundred.


def _at(net: nn.Module, path: str) -> nn.Module:
    """The module at a path."""
    found: Any = net
    for name in path.split(".") if path else ():
        found = found._modules[name]
    return found  # type: ignore[no-any-return]


@lru_cache(maxsize=1024)
def _of_class(kind: type[nn.Module]) -> frozenset[str]:
    """Those of PyTorch's names that are attributes of a class."""
    return frozenset(name for name in BY_NAME if hasattr(kind, name))


def _value(module: nn.Module, name: str, otherwise: Any) -> Any:
    """An attribute of a module itself or of its class."""
    own = vars(module)
    if name in own:
        return own[name]
    return getattr(module, name) if hasattr(type(module), name) else otherwise
