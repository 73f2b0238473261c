"""Which widths and depths a search of a net chooses from, and whose weights its nets inherit."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .. import nets
from ..data import Data
from ..errors import InputError, one_of
from ..forward import example_for
from ..inherit import Source
from ..methods import Method
from ..nets import ResNet
from ..shape import Shape
from ..space import Space
from ..spaces import TracedSpace, resnet_space, rounding, trace
from ..training.pictures import check_fits, check_net
from ..typed import checked
from ..usable import check_weights

__all__ = ["WIDTHS_PER", "per_widths", "search_space"]

WIDTHS_PER = ("layer", "kind", "stage")


@checked
def search_space(
    net: str | nn.Module | Space,
    data: Data,
    method: Method,
    *,
    what: str = "both",
    residual: str | None = None,
    ratios: tuple[float, ...] | None = None,
    widths_per: str | None = None,
    ignore: Sequence[str] = (),
    only: Sequence[str] = (),
    round_to: int | None = None,
    name: str = "",
    inheriting: bool = False,
) -> tuple[Space, Source]:
    """The space that ``search`` searches, and the source of its nets; the arguments are the same.

    >>> import tas
    >>> from tas.api import search_space
    >>> from tas.methods import TrialOptions
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> space, source = search_space(net, data, TrialOptions().method())
    >>> space.unpruned.input, source.net is net
    ((1, 8, 8), True)

    Args:
        method: whose defaults stand in for what is not given.
        inheriting: one of our nets, by its name, is to get trained weights.
        name: what shapes call a net that is given as a module; see ``tas.spaces.trace``.
    """
    if isinstance(net, Space):
        return net, Source.of(net)
    per = _checked(net, method.widths_per if widths_per is None else widths_per)
    fresh = isinstance(net, str) and not nets.is_named(net) and not inheriting
    chosen = method.ratios(not fresh) if ratios is None else ratios
    space: Space
    if isinstance(net, ResNet) or (isinstance(net, str) and not nets.is_named(net)):
        if ignore or only:
            raise InputError(
                "--ignore and --only are for traced nets, not for the built-in ResNets: leave them "
                "out"
            )
        given = net if isinstance(net, ResNet) and method.takes_weights else None
        whole = round_to is None and (fresh or not method.takes_weights)
        space = resnet_space(
            _unpruned(net, data),
            what=what,
            residual=residual or method.residual,
            ratios=chosen,
            round_to=1 if whole else rounding(round_to, ratios),
        )
        source = Source.of(space, given)
    else:
        if residual not in (None, "tied"):
            raise InputError(
                f"--residual {residual}: a traced net is always searched with --residual tied"
            )
        space = _traced(
            net,
            data,
            ignore=ignore,
            only=only,
            round_to=rounding(round_to, ratios),
            ratios=chosen,
            what=what,
            name=name or (net if isinstance(net, str) else ""),
        )
        source = Source.of(space, trained=isinstance(net, nn.Module))
    return per_widths(space, per), source


def per_widths(space: Space, per: str) -> Space:
    """The space with one choice for what is to share its width."""
    if per not in WIDTHS_PER:
        raise InputError(one_of("--widths-per", per, WIDTHS_PER))
    return space if per == "layer" else space.grouped(kinds=per == "kind")


def _checked(net: Any, per: str) -> str:
    """What has a width of its own, where it and the net can be used."""
    if isinstance(net, nn.Module):
        check_weights(net)
    if per not in WIDTHS_PER:
        raise InputError(one_of("--widths-per", per, WIDTHS_PER))
    return per


def _traced(net: str | nn.Module, data: Data, *, name: str, **how: Any) -> TracedSpace:
    """The space of another library's or a user's net."""
    model = _fresh(net, data) if isinstance(net, str) else net
    if next(model.parameters(), None) is None:
        raise InputError(
            f"the net '{name or type(model).__name__}' has no parameters to train: "
            "give one that has, such as torchvision:mobilenet_v2"
        )
    space = trace(model, example_for(model, data.input), name=name, **how)
    if space.unpruned.classes is None:
        check_net(model, data, "net")  # says what it gives instead
    check_fits(space.unpruned, data, "net")
    return space


def _fresh(net: str, data: Data) -> nn.Module:
    """A net by its name, with the same weights each time: a run may be begun anew, and go on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nets.build(net, data.classes, data.input)


def _unpruned(net: str | ResNet, data: Data) -> Shape:
    if isinstance(net, ResNet):
        check_fits(net.shape, data, "net")
        return net.shape.replace(input=data.input)  # a ResNet takes any side; it costs by it
    return nets.full_shape(net, data.classes, data.input)
