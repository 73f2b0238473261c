"""A rule = brute force: what an operator makes of some channels is what it makes of all, cut.

Arguments are drawn. What a rule lets pass is tried with fewer channels along every dimension that
it says may shrink: the results of the smaller call are those of the whole one at the labels left.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tas.graph import Plane, Tracer
from tas.graph.rules import apply_rule

LAW = settings(max_examples=60, deadline=None)
Call = Callable[..., Any]


def law(
    call: Call,
    *operands: tuple[Tensor, dict[int, int]],
    seed: int = 0,
    reads: tuple[int, int] | None = None,
) -> None:
    """Check a call against itself on fewer channels.

    Args:
        operands: tensors, and for each the dimensions that have channels, with a kind: dimensions
            of one kind have the same channels.
    """
    tracer, start = Tracer(nn.Module(), apply_rule), {}
    count = 1
    for tensor, dims in operands:
        planes = []
        for dim, kind in dims.items():
            if kind not in start:
                start[kind] = torch.arange(count, count + tensor.shape[dim])
                count += tensor.shape[dim]
            planes.append(Plane(dim, start[kind]))
        tracer.carry(tensor, planes)
    with torch.no_grad(), tracer:
        out = call(*[tensor for tensor, _ in operands])
    outs = [out] if isinstance(out, Tensor) else [o for o in out if isinstance(o, Tensor)]
    left = survivors(tracer, list(start.values()), count, seed)
    small = [cut(t, {d: start[k] for d, k in dims.items()}, left) for t, dims in operands]
    if reads is not None:
        number, dim = reads
        labels = start[operands[number][1][dim]]
        weighted = [tensor for tensor, _ in operands]
        weighted[number] = weighted[number].movedim(dim, -1) * left[labels]
        weighted[number] = weighted[number].movedim(-1, dim)
        outs[0].copy_(call(*weighted))
    fewer = call(*small)
    fewer = [fewer] if isinstance(fewer, Tensor) else [o for o in fewer if isinstance(o, Tensor)]
    for whole, few in zip(outs, fewer, strict=True):
        planes = {p.dim: p.labels for p in tracer.planes(whole)}
        wanted = cut(whole, planes, left)
        torch.testing.assert_close(wanted, few, rtol=1e-4, atol=1e-5, equal_nan=True)


def survivors(tracer: Tracer, kinds: list[Tensor], count: int, seed: int) -> Tensor:
    """Labels that stay: what is tied goes together, what is locked stays, some of the rest goes."""
    group = list(range(count))

    def top(label: int) -> int:
        while group[label] != label:
            label = group[label]
        return label

    for first, second in tracer.notes.ties:
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            group[top(a)] = top(b)
    stay = {top(0)} | {top(i) for labels, _ in tracer.notes.locks for i in labels.tolist()}
    stay |= {top(int(labels[0])) for labels in kinds}  # one of each kind there must be
    draw = torch.rand(count, generator=torch.Generator().manual_seed(seed))
    left = [top(i) in stay or bool(draw[top(i)] < 0.6) for i in range(count)]
    return torch.tensor(left)


def cut(tensor: Tensor, labels: dict[int, Tensor], left: Tensor) -> Tensor:
    for dim, own in labels.items():
        tensor = tensor.index_select(dim, left[own].nonzero()[:, 0])
    return tensor


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


seeds = st.integers(0, 99)
sizes = st.integers(2, 5)


@LAW
@given(seeds, st.lists(sizes, min_size=3, max_size=3), st.data())
def test_broadcasting(seed: int, shape: list[int], data: st.DataObject) -> None:
    ones = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
    fewer = data.draw(st.integers(0, 2))
    second = [1 if one else n for n, one in zip(shape, ones, strict=True)][fewer:]
    dim = data.draw(st.integers(0, 2))
    own = dim - fewer
    alike = own >= 0 and second[own] > 1
    x, y = drawn(seed, *shape), drawn(seed + 1, *second)
    operator = data.draw(st.sampled_from([torch.add, torch.mul, torch.maximum, torch.where]))
    if operator is torch.where:
        law(lambda a, b: torch.where(a > 0, a, b), (x, {dim: 0}), (y, {own: 1} if alike else {}))
    else:
        law(operator, (x, {dim: 0}), (y, {own: 1} if alike else {}), seed=seed)


@LAW
@given(seeds, sizes, st.integers(1, 3), st.integers(0, 3), st.lists(st.integers(-1, 2), min_size=4))
def test_padding(seed: int, channels: int, size: int, dim: int, pads: list[int]) -> None:
    shape = [2, 3, 3, 4]
    shape[dim] = channels + 2
    given_ = [
        max(p, 0) if n // 2 == 3 - dim else p for n, p in enumerate(pads[: 2 * (len(pads) // 2)])
    ]
    law(lambda x: F.pad(x, given_[:8], value=0.5), (drawn(seed, *shape), {dim: 0}), seed=seed)


@LAW
@given(seeds, st.integers(1, 3), st.integers(2, 3), st.booleans())
def test_pixels_and_channels(seed: int, channels: int, factor: int, back: bool) -> None:
    if back:
        x = drawn(seed, 2, channels + 1, 2 * factor, factor)
        law(lambda x: F.pixel_unshuffle(x, factor), (x, {1: 0}), seed=seed)
    else:
        x = drawn(seed, 2, channels * factor**2, 3, 2)
        law(lambda x: F.pixel_shuffle(x, factor), (x, {1: 0}), seed=seed)


@LAW
@given(seeds, st.integers(1, 3), st.integers(2, 4), st.integers(0, 2))
def test_shuffles_and_gates(seed: int, groups: int, each: int, dim: int) -> None:
    x = drawn(seed, 2, groups * each, 3)
    law(lambda x: torch.channel_shuffle(x, groups), (x, {1: 0}), seed=seed)
    shape = [2, 4, 6]
    shape[dim] = 2 * each
    law(lambda x: F.glu(x, dim), (drawn(seed, *shape), {dim: 0}), seed=seed)


@LAW
@given(seeds, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_convolutions(seed: int, groups: int, into: int, out: int, kernel: int) -> None:
    x, weight = drawn(seed, 2, groups * into, 5), drawn(seed + 1, groups * out, into, kernel)
    dims = {d: d + 1 for d in (0, 1) if weight.shape[d] > 1}
    channels = {1: 0} if groups * into > 1 else {}

    def convolution(x: Tensor, weight: Tensor) -> Tensor:
        count = x.shape[1] // weight.shape[1] if groups > 1 else 1
        return F.conv1d(x, weight, padding=1, groups=count)

    reads = (1, 1) if groups == 1 < into else None
    law(convolution, (x, channels), (weight, dims), seed=seed, reads=reads)


@LAW
@given(seeds, sizes, sizes, sizes, st.integers(0, 2))
def test_matrix_products(seed: int, i: int, k: int, j: int, kind: int) -> None:
    if kind == 0:
        first, second = (drawn(seed, i, k), {0: 0, 1: 2}), (drawn(seed, k, j), {0: 3, 1: 1})
        law(torch.mm, first, second, seed=seed, reads=(1, 0))
    elif kind == 1:
        first, second = (drawn(seed, 2, i, k), {1: 0}), (drawn(seed, 2, k, j), {2: 1})
        law(torch.bmm, first, second, seed=seed)
    else:
        bias = (drawn(seed + 2, j), {0: 2})
        call = lambda bias, x, y: torch.addmm(bias, x, y)  # noqa: E731
        law(call, bias, (drawn(seed, i, k), {0: 0}), (drawn(seed, k, j), {1: 1}), seed=seed)


@LAW
@given(
    seeds,
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["gather", "scatter", "fill", "put"]),
)
def test_places(seed: int, dim: int, over: int, name: str) -> None:
    x = drawn(seed, 4, 4, 4)
    where = torch.randint(0, 4, (4, 4, 4), generator=torch.Generator().manual_seed(seed))
    if name == "fill":
        law(lambda x: x.index_fill(over, torch.tensor([1]), 0.0), (x, {dim: 0}), seed=seed)
    elif name == "put":
        index = [None, None, None]
        index[over] = torch.tensor([0, 2])
        value = torch.tensor(1.0)
        law(lambda x: torch.ops.aten.index_put(x, index, value), (x, {dim: 0}), seed=seed)
    else:
        own = {} if dim == over else {dim: 1}
        call = torch.gather if name == "gather" else lambda x, d, i: x.scatter(d, i, 1.0)
        law(lambda x, i: call(x, over, i), (x, {dim: 0}), (where, own), seed=seed)


@LAW
@given(
    seeds, st.permutations([0, 1, 2, 3]), st.integers(0, 3), st.integers(2, 4), st.integers(0, 3)
)
def test_moves(seed: int, order: list[int], dim: int, n: int, kind: int) -> None:
    shape = [2, 3, 2, 3]
    shape[dim] = n
    x = (drawn(seed, *shape), {dim: 0})
    calls: list[Call] = [
        lambda x: x.permute(order),
        lambda x: x.flip(order[0]),
        lambda x: x.rot90(1, (order[0], order[1])),
        lambda x: x.roll(1, order[0]),
        lambda x: x.repeat(1, *[2 if d == order[0] else 1 for d in range(4)]),
        lambda x: x.flatten(1, 2) if dim in (0, 1, 3) else x.flatten(2),
    ]
    for call in calls:
        law(call, x, seed=seed)


@LAW
@given(seeds, st.integers(0, 1), st.booleans(), st.integers(0, 2))
def test_joins(seed: int, dim: int, stacked: bool, along: int) -> None:
    x, y = (drawn(seed, 3, 4), {dim: 0}), (drawn(seed + 1, 3, 4), {dim: 1})
    if stacked:
        law(lambda x, y: torch.stack([x, y], along), x, y, seed=seed)
    else:
        law(lambda x, y: torch.cat([x, y], along % 2), x, y, seed=seed)
    z = (drawn(seed, 2, 4, 3), {1: 0})
    law(lambda z: torch.stack(z.unbind(1)[::1], along), z, seed=seed)
    law(lambda z: torch.cat(z.split(1, 1), 1), z, seed=seed)


@LAW
@given(seeds, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_norms_by_groups(seed: int, groups: int, each: int, scaled: bool) -> None:
    x, weight = drawn(seed, 2, groups * each, 3), drawn(seed, groups * each)
    dims = {0: 1} if groups * each > 1 else {}

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return F.group_norm(x, x.shape[1] // each, weight if scaled else None)

    left = (x, {1: 0} if groups * each > 1 else {})
    if x.shape[1] >= each:
        law(norm, left, (weight, dims if scaled else {}), seed=seed)
