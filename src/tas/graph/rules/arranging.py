"""Channels and places rearranged: shuffles of pixels and channels, gates, patches, warps."""

from ..labels import Plane, Tracer
from .call import Call

__all__ = [
    "channel_shuffle",
    "columns_to_map",
    "glu",
    "map_to_columns",
    "pixel_shuffle",
    "pixel_unshuffle",
    "warp",
]


def pixel_shuffle(trace: Tracer, call: Call) -> None:
    """[..., C r r, H, W] to [..., C, H r, W r]: r x r channels are one afterwards."""
    x, factor = call["self"], call["upscale_factor"]
    planes = _of_maps(trace, call)
    for plane in trace.along(x, -3):
        members = plane.labels.view(-1, factor * factor)
        for column in members.T[1:]:
            trace.tie(members[:, 0], column, "channels that become pixels of one")
        planes.append(Plane(plane.dim, members[:, 0].clone()))
    trace.carry(call.out, planes)


def pixel_unshuffle(trace: Tracer, call: Call) -> None:
    """[..., C, H r, W r] to [..., C r r, H, W]: one channel is r x r afterwards."""
    x, factor = call["self"], call["downscale_factor"]
    planes = _of_maps(trace, call)
    for plane in trace.along(x, -3):
        planes.append(Plane(plane.dim, plane.labels.repeat_interleave(factor * factor)))
    trace.carry(call.out, planes)


def _of_maps(trace: Tracer, call: Call) -> list[Plane]:
    """The planes of a batch of maps [..., C, H, W] but for C; those of H and W are locked."""
    x = call["self"]
    trace.lock([p for p in trace.planes(x) if p.dim >= x.dim() - 2], f"'{call.name}' along them")
    return [p.at(p.dim) for p in trace.planes(x) if p.dim < x.dim() - 3]


def channel_shuffle(trace: Tracer, call: Call) -> None:
    """[N, g k, ...]: the k of each group in turn; k may shrink, the same in every group."""
    x, groups = call["self"], call["groups"]
    planes = [p.at(p.dim) for p in trace.planes(x) if p.dim != 1]
    for plane in trace.along(x, 1):
        members = plane.labels.view(groups, -1)
        for row in members[1:]:
            trace.tie(members[0], row, "groups that are shuffled")
        planes.append(Plane(1, members.T.flatten()))
    trace.carry(call.out, planes)


def glu(trace: Tracer, call: Call) -> None:
    """The first half times the sigmoid of the second."""
    x = call["self"]
    dim = call["dim"] % x.dim()
    planes = []
    for plane in trace.planes(x):
        if plane.dim == dim:
            first, second = plane.labels.chunk(2)
            trace.tie(first, second, "halves of a gate")
            planes.append(Plane(dim, first))
        else:
            planes.append(plane.at(plane.dim))
    trace.carry(call.out, planes)


def map_to_columns(trace: Tracer, call: Call) -> None:
    """im2col: [N, C, H, W] to [N, C k k, L]."""
    x, kernel = call["self"], call["kernel_size"]
    first = x.dim() - 3
    trace.lock([p for p in trace.planes(x) if p.dim > first], "patches along them")
    planes = [p.at(p.dim) for p in trace.planes(x) if p.dim < first]
    for plane in trace.along(x, first):
        planes.append(Plane(first, plane.labels.repeat_interleave(kernel[0] * kernel[1])))
    trace.carry(call.out, planes)


def columns_to_map(trace: Tracer, call: Call) -> None:
    """col2im: [N, C k k, L] to [N, C, H, W]."""
    x, kernel = call["self"], call["kernel_size"]
    first = x.dim() - 2
    trace.lock(trace.along(x, -1), "patches along them")
    planes = [p.at(p.dim) for p in trace.planes(x) if p.dim < first]
    for plane in trace.along(x, first):
        members = plane.labels.view(-1, kernel[0] * kernel[1])
        for column in members.T[1:]:
            trace.tie(members[:, 0], column, "places of a patch")
        planes.append(Plane(first, members[:, 0].clone()))
    trace.carry(call.out, planes)


def warp(trace: Tracer, call: Call) -> None:
    """A map [N, C, ...] that is read at places given by another tensor: channel by channel."""
    x, *places = call.tensors
    for other in places:
        trace.lock(trace.planes(other), "places to read a map at")
    trace.lock([p for p in trace.planes(x) if p.dim != 1], f"'{call.name}' along them")
    kept = [p.at(1) for p in trace.along(x, 1)]
    for out in call.outs:
        trace.carry(out, kept if out.dim() > 1 and out.shape[1] == x.shape[1] else [])
