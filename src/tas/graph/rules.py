"""What every operator does to the planes of its tensors.

One function per kind of operator; ``apply_rule`` finds the one of an operator by its name or its
tags. Whatever has no rule locks what flows into it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ..costs import operator_macs
from .labels import Plane, Tracer, tensors

__all__ = ["apply_rule"]

Rule = Callable[[Tracer, Any, Any, Any, Any], None]


def apply_rule(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Give the results of an operator their planes, and note what it ties and locks."""
    name = func.overloadpacket.__name__
    rule = RULES.get(name)
    if rule is None and name.startswith("_scaled_dot_product"):
        rule = _attention
    if rule is None and func.is_view and "as_strided" not in name:
        rule = _move
    if rule is None and (torch.Tag.pointwise in func.tags or name in POINTWISE):
        rule = _pointwise
    if rule is None:
        rule = _unknown
    rule(tracer, func, args, kwargs, out)


def _unknown(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    name = func.overloadpacket.__name__
    for tensor in tensors(args, kwargs):
        tracer.lock(tracer.planes(tensor), f"no rule for the operator '{name}'")
    tracer.note_cost(operator_macs(func, args, kwargs, out))  # of sizes that stay


# Element by element ------------------------------------------------------------------------------


def _pointwise(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Operands are united where each of them has more than one index."""
    operands = list(tensors(args, kwargs))
    for result in tensors(out):
        tracer.carry(result, _united(tracer, operands, result.dim(), _verb(func)))


def _verb(func: Any) -> str:
    return f"'{func.overloadpacket.__name__}' with something of a fixed size"


def _united(tracer: Tracer, operands: Sequence[Tensor], dims: int, why: str) -> list[Plane]:
    """The planes of a result that is broadcast from operands; they are tied to one another."""
    found: list[Plane] = []
    for dim in range(dims):
        sized = [(t, t.dim() - dims + dim) for t in operands if t.dim() >= dims - dim]
        sized = [(t, own) for t, own in sized if t.shape[own] > 1]
        kinds = [tracer.along(t, own) for t, own in sized]
        if not any(kinds):
            continue
        first = kinds[0]
        if any(len(kind) != len(first) for kind in kinds):
            for kind in kinds:
                tracer.lock(kind, why)
            continue
        for other in kinds[1:]:
            for a, b in zip(first, other, strict=True):
                if a.labels is not b.labels:
                    tracer.tie(a.labels, b.labels, why)
        own_origin = len(kinds) == 1
        found += [Plane(dim, p.labels, p.origin if own_origin else None) for p in first]
    return found


# Moved about -------------------------------------------------------------------------------------


def _move(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Views, permutations, rolls, pads, selections: the labels take the way of the data."""
    name = func.overloadpacket.__name__
    sources = [t for t in tensors(args, kwargs) if tracer.planes(t)]
    if not sources:
        return
    source = sources[0]
    if len(sources) > 1:
        _unknown(tracer, func, args, kwargs, out)
        return
    outs = list(tensors(out))
    carried: list[list[Plane]] = [[] for _ in outs]
    for plane in tracer.planes(source):
        size = [1] * source.dim()
        size[plane.dim] = -1
        # Positions, not labels: these may be all the same. 0 is what the operator puts in.
        image = torch.arange(1, len(plane.labels) + 1).view(size).expand(source.shape)
        lookup = torch.cat([torch.zeros(1, dtype=torch.long), plane.labels])
        moved = _moved(func, name, args, kwargs, source, image, outs)
        parts = []
        for positions, planes in zip(moved, carried, strict=True):
            found = _line(positions)
            if found is None:
                one = Plane(0, lookup[positions.flatten()[:1]])
                tracer.lock([one], f"'{name}' with a constant index")
                continue
            dim, rows = found
            for row in rows[1:]:
                tracer.tie(lookup[rows[0]], lookup[row], f"'{name}'")
            planes.append(Plane(dim, lookup[rows[0]], plane.origin))
            parts.append(lookup[rows[0]])
        if len(parts) > 1 and len({len(p) for p in parts}) == 1:
            for part in parts[1:]:  # halves, thirds: the net's code counts on equal ones
                tracer.tie(parts[0], part, f"'{name}'")
        elif name == "slice" and len(parts) == 1:
            _tie_parts(tracer, plane, parts[0])
    for result, planes in zip(outs, carried, strict=True):
        tracer.carry(result, planes)


def _moved(
    func: Any, name: str, args: Any, kwargs: Any, source: Tensor, image: Tensor, outs: list[Tensor]
) -> list[Tensor]:
    """What the operator makes of the labels ``image`` in the place of ``source``."""
    if name in ("view", "_unsafe_view", "reshape", "_reshape_alias"):
        return [image.reshape(outs[0].shape)]
    if name == "constant_pad_nd":
        return [func(image, args[1], 0)]
    if name == "expand":  # the example's own strides may be those of another expansion
        return [image.expand(outs[0].shape)]
    swap = {id(source): image}

    def given(x: Any) -> Any:
        return swap.get(id(x), x.cpu()) if isinstance(x, Tensor) else x

    return list(tensors(func(*tree_map(given, args), **tree_map(given, kwargs))))


def _line(positions: Tensor) -> tuple[int, Tensor] | None:
    """The dimension along which positions vary, and they [n, its size]; None where none does.

    Where a view splits the channels into a x b, they vary along two: the rows are then the a parts,
    and what stands at the same place of each is to be tied. The net's code takes a for a constant,
    so it is b that may shrink.
    """
    still = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in positions.stride())
    small = positions[still]
    varying = [
        d
        for d in range(small.dim())
        if small.shape[d] > 1 and not torch.equal(small, small.narrow(d, 0, 1).expand_as(small))
    ]
    if not varying:
        return None
    last = varying[-1]
    for d in sorted(set(range(small.dim())) - set(varying), reverse=True):
        small = small.select(d, 0)
    return last, small.flatten(0, -2) if len(varying) > 1 else small[None]


def _tie_parts(tracer: Tracer, plane: Plane, part: Tensor) -> None:
    """A slice that is one of several equal parts: the code counts on equal ones."""
    whole = plane.labels
    if len(part) == 0 or len(whole) == len(part) or len(whole) % len(part):
        return
    rows = whole.view(-1, len(part))
    if bool((rows == part).all(1).any()):
        for row in rows[1:]:
            tracer.tie(rows[0], row, "'slice'")


def _cat(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Along the dimension, one behind the other; along the others, tied."""
    parts = [t for t in args[0] if t.numel()]
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    found = _united_but(tracer, parts, out.dim(), dim)
    kinds = [tracer.along(t, dim) for t in parts]
    for kind in range(max(map(len, kinds), default=0)):
        lines = [
            own[kind].labels if kind < len(own) else torch.zeros(t.shape[dim], dtype=torch.long)
            for own, t in zip(kinds, parts, strict=True)
        ]
        found.append(Plane(dim, torch.cat(lines)))
    tracer.carry(out, found)


def _united_but(
    tracer: Tracer, parts: Sequence[Tensor], dims: int, apart: int | None
) -> list[Plane]:
    """The planes along all dimensions but one, in which the parts must be alike."""
    found: list[Plane] = []
    for dim in range(dims):
        kinds = [tracer.along(t, dim) for t in parts]
        if dim == apart or not any(kinds):
            continue
        if any(len(kind) != len(kinds[0]) for kind in kinds):
            for kind in kinds:
                tracer.lock(kind, "joined with something of a fixed size")
            continue
        for other in kinds[1:]:
            for a, b in zip(kinds[0], other, strict=True):
                tracer.tie(a.labels, b.labels, "'cat'")
        found += [Plane(dim, p.labels) for p in kinds[0]]
    return found


def _stack(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    parts = list(args[0])
    new = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % out.dim()
    found = _united_but(tracer, parts, parts[0].dim(), None)
    tracer.carry(out, [Plane(p.dim + (p.dim >= new), p.labels) for p in found])


def _same(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """What changes how a tensor lies in memory, at most."""
    if out is not args[0]:
        tracer.carry(out, tracer.planes(args[0]))


# Layers ------------------------------------------------------------------------------------------


def _convolution(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Fresh channels out of those that the input carries.

    Groups: a group lives or dies as a whole, with all it reads and all it makes; ``groups``
    shrinks. A depthwise convolution is the case of one channel to a group. The weight [in, out /
    groups, ...] of a transposed one has no places for all that it makes: they go by its inputs.
    """
    x, weight, bias = args[0], args[1], args[2]
    transposed = func.overloadpacket.__name__ != "mkldnn_convolution" and args[6]
    groups = args[6] if func.overloadpacket.__name__ == "mkldnn_convolution" else args[8]
    to, of = (1, 0) if transposed else (0, 1)
    for dim in range(2, weight.dim()):
        tracer.lock(tracer.along(weight, dim), "a kernel")
    for dim in (0, *range(2, x.dim())):
        tracer.lock(tracer.along(x, dim), "a convolution along them")
    inputs = tracer.labels(x, 1)
    outputs = tracer.along(weight, to)
    made = tracer.labels(weight, to)
    if transposed and groups > 1:
        outputs = tracer.along(weight, 0)
        read = tracer.labels(weight, 0)
        tracer.tie(inputs, read, "a grouped convolution of something of a fixed size")
        if not isinstance(read, int):
            made = read.view(groups, -1)[:, :1].expand(groups, weight.shape[1]).flatten()
    if groups == 1:
        tracer.tie(inputs, tracer.labels(weight, of), "reads what has a fixed size")
        tracer.consume(tracer.along(weight, of))
    else:
        tracer.lock(tracer.along(weight, 1), "within a group")
        if isinstance(inputs, int) or isinstance(made, int):
            tracer.tie(inputs, made, "a grouped convolution of something of a fixed size")
        else:
            members = torch.cat([inputs.view(groups, -1), made.view(groups, -1)], 1)
            for column in members.T[1:]:
                tracer.tie(members[:, 0], column, "groups")
    if isinstance(bias, Tensor):
        tracer.tie(made, tracer.labels(bias, 0), "its bias")
    sides = tracer.labels(weight, 0), tracer.labels(weight, 1)
    tracer.note_cost(operator_macs(func, args, kwargs, out), *sides)
    tracer.produce(outputs, out)
    tracer.carry(out, [] if isinstance(made, int) else [Plane(1, made)])


def _product(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """mm, bmm, addmm, baddbmm: [..., i, k] times [..., k, j]."""
    added = func.overloadpacket.__name__ in ("addmm", "baddbmm")
    first, second = args[added], args[added + 1]
    _contract(tracer, first, second, -2)
    out_planes = _product_planes(tracer, first, second, out)
    if added:
        _add_bias(tracer, args[0], out, out_planes)
    tracer.produce([*tracer.along(first, -2), *tracer.along(second, -1)], out)
    tracer.carry(out, out_planes)
    sides = [tracer.labels(out, d) for d in range(out.dim())]
    tracer.note_cost(operator_macs(func, args, kwargs, out), tracer.labels(first, -1), *sides)


def _linear(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """x [..., k] times the transpose of a weight [j, k]."""
    x, weight = args[0], args[1]
    _contract(tracer, x, weight, -1)
    rows = [p for p in tracer.planes(x) if p.dim < x.dim() - 1]
    columns = [Plane(out.dim() - 1, p.labels) for p in tracer.along(weight, 0)]
    planes = [*rows, *columns]
    if len(args) > 2 and args[2] is not None:
        _add_bias(tracer, args[2], out, planes)
    sides = [tracer.labels(x, d) for d in range(x.dim())]
    macs = operator_macs(func, args, kwargs, out) or x.numel() * weight.shape[0]
    tracer.note_cost(macs, *sides, tracer.labels(weight, 0))
    tracer.produce(tracer.along(weight, 0), out)
    tracer.carry(out, planes)


def _contract(tracer: Tracer, first: Tensor, second: Tensor, dim: int) -> None:
    """The last dimension of ``first`` is multiplied with ``dim`` of ``second`` and summed."""
    a, b = tracer.labels(first, -1), tracer.labels(second, dim)
    tracer.tie(a, b, "reads what has a fixed size")
    origins = [
        p for p in (*tracer.along(first, -1), *tracer.along(second, dim)) if p.origin is not None
    ]
    if origins:
        tracer.consume(origins)
    elif not (isinstance(a, int) or isinstance(b, int)):
        tracer.notes.multiplied.append(a)


def _product_planes(tracer: Tracer, first: Tensor, second: Tensor, out: Tensor) -> list[Plane]:
    last = out.dim() - 1
    found = [Plane(last - 1, p.labels) for p in tracer.along(first, -2)]
    found += [Plane(last, p.labels) for p in tracer.along(second, -1)]
    for dim in range(last - 1):
        a, b = tracer.along(first, dim), tracer.along(second, dim)
        if len(a) == len(b):
            for p, q in zip(a, b, strict=True):
                tracer.tie(p.labels, q.labels, "a matrix product")
            found += [Plane(dim, p.labels) for p in a]
        else:
            tracer.lock([*a, *b], "a matrix product with something of a fixed size")
    return found


def _add_bias(tracer: Tracer, bias: Tensor, out: Tensor, planes: Sequence[Plane]) -> None:
    for plane in planes:
        own = plane.dim - out.dim() + bias.dim()
        if own >= 0 and bias.shape[own] > 1:
            tracer.tie(plane.labels, tracer.labels(bias, own), "its bias")


def _attention(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """softmax(q k^T) v of q [..., L, E], k [..., S, E], v [..., S, V]."""
    query, key, value = args[:3]
    result = out[0] if isinstance(out, tuple) else out
    for more in tensors(args[3:], kwargs):
        tracer.lock(tracer.planes(more), "an attention mask")
    _contract(tracer, query, key, -1)
    for dim in range(query.dim() - 2):
        tracer.lock(tracer.along(query, dim), "attention heads")
        tracer.lock(tracer.along(key, dim), "attention heads")
        tracer.lock(tracer.along(value, dim), "attention heads")
    tracer.lock([*tracer.along(key, -2), *tracer.along(value, -2)], "attention over them")
    last = result.dim() - 1
    planes = [Plane(last - 1, p.labels) for p in tracer.along(query, -2)]
    planes += [Plane(last, p.labels) for p in tracer.along(value, -1)]
    if operator_macs(func, args, kwargs, out):
        for wide in (query, value):  # q k^T, and the sum of the values
            size = query[..., 0].numel() * key.shape[-2]
            tracer.note_cost(size * wide.shape[-1], tracer.labels(wide, -1))
    tracer.carry(result, planes)


def _batch_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Each channel for itself; its parameters and statistics are tied to it."""
    x = args[0]
    result = out[0] if isinstance(out, (tuple, list)) else out
    own = tracer.labels(x, 1)
    for other in args[1:5]:
        if isinstance(other, Tensor) and other.dim() == 1 and len(other) > 1:
            tracer.tie(own, tracer.labels(other, 0), "a norm of something of a fixed size")
    tracer.lock([p for p in tracer.planes(x) if p.dim != 1], "a norm over them")
    tracer.carry(result, [Plane(1, p.labels) for p in tracer.along(x, 1)])


def _layer_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Over the last dimension: its channels may shrink, its statistics are then those left."""
    x, over = args[0], len(args[1])
    if over == 1:
        own = tracer.labels(x, -1)
        for other in args[2:4]:
            if isinstance(other, Tensor):
                tracer.tie(own, tracer.labels(other, 0), "a norm of something of a fixed size")
        if not isinstance(own, int):
            scale = tracer.along(args[2], 0)[0] if isinstance(args[2], Tensor) else None
            if scale is None or scale.origin is None:
                tracer.lock(tracer.along(x, -1), "a layer norm without a scale of its own")
            else:
                tracer.notes.norms[scale.origin[0]] = own
    else:
        for dim in range(x.dim() - over, x.dim()):
            tracer.lock(tracer.along(x, dim), "a layer norm over several dimensions")
        for other in args[2:4]:
            if isinstance(other, Tensor):
                tracer.lock(tracer.planes(other), "a layer norm over several dimensions")
    tracer.carry(out[0], [Plane(p.dim, p.labels) for p in tracer.planes(x)])


def _group_norm(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """A group lives or dies as a whole; ``num_groups`` shrinks."""
    x, groups = args[0], args[6]
    own = tracer.labels(x, 1)
    for other in args[1:3]:
        if isinstance(other, Tensor):
            tracer.tie(own, tracer.labels(other, 0), "a norm of something of a fixed size")
    if not isinstance(own, int):
        members = own.view(groups, -1)
        for column in members.T[1:]:
            tracer.tie(members[:, 0], column, "groups of a norm")
    tracer.lock([p for p in tracer.planes(x) if p.dim != 1], "a norm over them")
    tracer.carry(out[0], [Plane(1, p.labels) for p in tracer.along(x, 1)])


def _window(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Pooling and resizing of [N, C, ...]: each channel for itself."""
    x = args[0]
    result = next(tensors(out))
    spatial = [p for p in tracer.planes(x) if p.dim >= 2]
    tracer.lock(spatial, f"'{func.overloadpacket.__name__}' along them")
    tracer.carry(result, [Plane(p.dim, p.labels) for p in tracer.planes(x) if p.dim < 2])


def _reduce(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Sums, means, softmax: what is reduced over must stay, the rest is handed on."""
    x = args[0]
    planes = tracer.planes(x)
    if not planes:
        return
    name = func.overloadpacket.__name__
    given = [a for a in (*args[1:], *kwargs.values()) if isinstance(a, (int, list, tuple))]
    dims = kwargs.get("dim", given[0] if given and not isinstance(given[0], bool) else None)
    if name == "linalg_vector_norm":
        dims = args[2] if len(args) > 2 else None
    if dims is None or dims == []:
        dims = range(x.dim())
    over = {d % x.dim() for d in ([dims] if isinstance(dims, int) else dims)}
    for result in tensors(out):
        if result.dim() == x.dim():
            place = {d: d for d in range(x.dim())}
        else:
            left = [d for d in range(x.dim()) if d not in over]
            if result.dim() != len(left):
                tracer.lock(planes, f"'{name}'")
                return
            place = {d: n for n, d in enumerate(left)}
        tracer.carry(result, [Plane(place[p.dim], p.labels) for p in planes if p.dim not in over])
    tracer.lock([p for p in planes if p.dim in over], f"'{name}' over its channels")


def _nothing(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Makes a tensor out of nothing but sizes."""


# fmt: off
POINTWISE = {
    "clone", "_to_copy", "copy_", "copy", "lift_fresh", "lift_fresh_copy", "native_dropout",
    "dropout", "contiguous", "bernoulli", "bernoulli_", "fill_", "zero_", "fill",
    "hardswish", "hardswish_", "_prelu_kernel",  # not tagged as what they are
}
RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution", "mkldnn_convolution"), _convolution),
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), _product),
    "linear": _linear,
    **dict.fromkeys((
        "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
        "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_with_update", "_batch_norm_no_update",
    ), _batch_norm),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    **dict.fromkeys((
        "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "mkldnn_adaptive_avg_pool2d", "avg_pool2d",
        "adaptive_max_pool2d", "max_pool2d", "max_pool2d_with_indices", "mkldnn_max_pool2d",
        "upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d",
        "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "reflection_pad2d",
        "replication_pad2d", "_adaptive_avg_pool3d", "adaptive_max_pool3d", "avg_pool3d",
        "max_pool3d_with_indices", "upsample_linear1d", "upsample_nearest1d",
        "upsample_nearest3d", "upsample_trilinear3d", "_upsample_nearest_exact2d",
        "reflection_pad1d", "reflection_pad3d", "replication_pad1d", "replication_pad3d",
    ), _window),
    **dict.fromkeys((
        "mean", "sum", "amax", "amin", "max", "min", "var", "var_mean", "std", "prod", "argmax",
        "argmin", "linalg_vector_norm", "logsumexp", "_softmax", "_log_softmax", "cumsum", "any",
        "all", "sort", "topk",
    ), _reduce),
    **dict.fromkeys((
        "view", "_unsafe_view", "reshape", "_reshape_alias", "roll", "flip", "repeat", "index",
        "index_select", "constant_pad_nd", "gather",
    ), _move),
    "cat": _cat,
    "stack": _stack,
    **dict.fromkeys(("as_strided_", "resolve_conj", "resolve_neg"), _same),
    **dict.fromkeys((
        "arange", "empty", "empty_like", "empty_strided", "full", "full_like", "linspace",
        "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros", "ones",
        "ones_like", "rand", "randn", "rand_like", "randn_like", "scalar_tensor", "zeros",
        "zeros_like",
    ), _nothing),
}
# fmt: on
