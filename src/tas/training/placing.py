"""How a net and its pictures are computed: what the net itself bears.

Channels-last pictures and bf16 are the faster ones, but code may count on pictures that lie channel
by channel (``x.view(len(x), -1)`` behind a convolution), and an operator may have no bf16 kernel on
a device. So the net is run once, on two pictures of noise and as it is going to be run.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import InputError, first_line
from ..forward import (
    Forward,
    answer,
    call,
    evaluating,
    example_for,
    first_of,
    floats,
    leaves,
    mapped,
    undisturbed,
)
from ..runs import say
from ..typed import checked
from .memory_format import place, place_module

__all__ = ["Placing", "halve", "refuse_halves", "settled", "settled_with"]

T = TypeVar("T")

HALVES = (torch.float16, torch.bfloat16)
NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Placing:
    """How a net and its pictures are computed, as ``tas.training.settled`` finds it out.

    Attributes:
        device: where.
        dtype: of pictures, which is that of the net's parameters.
        channels_last: pictures and the weights of convolutions lie pixel by pixel, where the device
            prefers that.
        bf16: under autocast.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    channels_last: bool = True
    bf16: bool = False

    def pictures(self, batch: T) -> T:
        """A batch on the device, as the net takes it: its tensors, if it is none itself."""
        placed: T = mapped(batch, self._tensor)
        return placed

    def _tensor(self, x: Tensor) -> Tensor:
        if x.is_floating_point():
            x = x.to(self.dtype)
        return place(x, self.device, self.channels_last)

    def net(self, module: nn.Module) -> nn.Module:
        """A net on the device, in place."""
        return place_module(module, self.device, self.channels_last)

    def autocast(self) -> AbstractContextManager[object]:
        """What the net is run under."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def takes_halves(self, net: nn.Module, batch: Any, forward: Forward) -> bool:
        """Whether a net that is computed in bf16 answers the same with weights of it; the net has
        these afterwards."""
        if not self.bf16:
            return False
        call = self.calling(forward)
        with evaluating(net), torch.no_grad():
            expected = floats(answer(net, batch, call))
            halve(net)
            try:
                found = floats(answer(net, batch, call))
            except InputError:
                return False
        return _alike(found, expected)

    def calling(self, forward: Forward) -> Forward:
        """How a net is called under it."""

        def called(net: nn.Module, batch: Any) -> Any:
            with self.autocast():
                return forward(net, batch)

        return called


@checked
def settled(
    nets: Sequence[nn.Module],
    batch: Any,
    device: torch.device,
    *,
    bf16: bool = False,
    weights: bool = True,
    forward: Forward = call,
) -> Placing:
    """How some nets that are given the same pictures are computed; the first one's type is theirs.

    >>> import tas, torch
    >>> from tas.training import settled
    >>> net = tas.nets.build("resnet20")
    >>> placing = settled([net], torch.zeros(2, 3, 32, 32), torch.device("cpu"))
    >>> placing.channels_last, placing.bf16
    (True, False)

    The nets are on the device and placed so afterwards, and otherwise as they were.

    Args:
        batch: some of the pictures, or whatever the nets take.
        bf16: what is wanted.
        weights: those of convolutions are to be channels-last, too; else they stay as they are
            where the net bears channels-last pictures.
        forward: how a net is called on a batch.

    Raises:
        InputError: a net does not run on such pictures at all.
    """
    dtype = example_for(nets[0], (1, 1, 1)).dtype
    placing = Placing(device, dtype, bf16=bf16 and dtype == torch.float32)
    pair = mapped(_pair_like(batch), lambda x: x.to(device))
    for net in nets:
        net.to(device)
        with undisturbed(net):
            placing = _settle(_Asked(net, pair, forward), placing, weights)
    for net in nets:
        if weights or not placing.channels_last:
            placing.net(net)
    return placing


def settled_with(
    accelerator: Accelerator, nets: Sequence[nn.Module], batch: Any, forward: Forward = call
) -> Placing:
    """``settled`` on the device of an ``Accelerator``, whose precision may be raised to fp32."""
    bf16 = accelerator.mixed_precision == "bf16" and accelerator.native_amp
    placing = settled(nets, batch, accelerator.device, bf16=bf16, forward=forward)
    accelerator.native_amp = placing.bf16
    return placing


@dataclass(frozen=True)
class _Asked:
    """A net, two examples for it, and how it is called on them."""

    net: nn.Module
    pair: Any
    forward: Forward

    def scores(self, placing: Placing) -> list[Tensor]:
        dtype = example_for(self.net, (1, 1, 1)).dtype
        with evaluating(self.net), torch.no_grad(), placing.autocast():
            pair = replace(placing, dtype=dtype).pictures(self.pair)
            return floats(answer(self.net, pair, self.forward))

    @property
    def has_pictures(self) -> bool:
        return any(x.dim() == 4 and x.is_floating_point() for _, x in leaves(self.pair))


def _settle(asked: _Asked, placing: Placing, weights: bool) -> Placing:
    """What is left of a placing where a net has been asked."""
    net = asked.net
    plain = replace(placing, channels_last=False, bf16=False)
    if placing.channels_last and asked.has_pictures:
        wanted = replace(plain, channels_last=True)
        reason = _differs(asked, wanted, plain, weights)
        if reason:
            _tell(f"{_name(net)} takes no channels-last pictures ({reason}); it gets them plain")
            placing = replace(placing, channels_last=False)
    else:
        asked.scores(plain)
    if placing.bf16:
        if placing.channels_last and weights:
            placing.net(net)
        try:
            asked.scores(placing)
        except InputError as error:
            _tell(
                f"{_name(net)} cannot be computed in bf16 on this device "
                f"({_reason(error)}); it is in fp32"
            )
            placing = replace(placing, bf16=False)
    return placing


def _differs(asked: _Asked, wanted: Placing, plain: Placing, weights: bool) -> str:
    """Why a net cannot be given channels-last pictures; empty where it can."""
    try:
        if weights:
            wanted.net(asked.net)
        found = asked.scores(wanted)
    except InputError as error:
        plain.net(asked.net)
        asked.scores(plain)
        return _reason(error)
    try:
        expected = asked.scores(plain)
    except InputError:
        return ""  # it counts on channels-last ones
    return "" if _alike(found, expected) else "its answers are others then"


def _alike(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Whether answers differ by no more than roundings do."""
    # Of sizes that depend on the numbers nothing is told.
    pairs = [(a, b) for a, b in zip(found, expected, strict=False) if a.shape == b.shape]
    for a, b in pairs:
        differ = (a != b) & ~(a.isnan() & b.isnan())
        if not differ.any():
            continue
        known = b[b.isfinite()]
        if not len(known):
            return False
        bound = max(0.1 * float(known.std(correction=0)), 1e-3 * float(known.abs().max()))
        if not float((a - b)[differ].abs().max()) <= bound:  # a NaN is not
            return False
    return True


@checked
def halve(net: nn.Module) -> None:
    """Give a net weights of bf16 instead of float32, in place, but for its norms: these compute in
    float32 in any case.

    >>> import torch
    >>> from tas.training import halve
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.LayerNorm(8))
    >>> halve(net)
    >>> net[0].weight.dtype, net[1].weight.dtype
    (torch.bfloat16, torch.float32)
    """
    for module in net.modules():
        if not isinstance(module, NORMS):
            for parameter in module.parameters(recurse=False):
                if parameter.dtype == torch.float32:
                    parameter.data = parameter.data.bfloat16()


def _pair_like(batch: Any) -> Any:
    """Two of the kind: the same ones in every process, however few of the pictures it has."""
    if not isinstance(batch, Tensor):
        return first_of(batch, 2)
    if not batch.is_floating_point():
        return batch[:1].expand(2, *batch.shape[1:])
    return torch.randn(2, *batch.shape[1:], generator=Generator().manual_seed(0))


def _reason(error: InputError) -> str:
    """What the net's own code raised."""
    return first_line(error.__cause__ if isinstance(error.__cause__, Exception) else error)


def _name(net: nn.Module) -> str:
    return f"the net ({type(net).__name__})"


_TOLD: set[str] = set()


def _tell(note: str) -> None:
    """Say a note, unless it was said before."""
    if note not in _TOLD:
        _TOLD.add(note)
        say(f"note: {note}")


def refuse_halves(net: nn.Module) -> None:
    """Raise ``InputError`` for a net that is to be trained and has weights of 16 bits."""
    for name, parameter in net.named_parameters():
        if parameter.requires_grad and parameter.dtype in HALVES:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise InputError(
                f"'{name}' is {kind}, in which the small steps of a training are lost: give "
                "net.float(); it is computed in bf16 where --precision says so"
            )
