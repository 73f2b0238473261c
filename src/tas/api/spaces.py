"""The space of a net: which widths and depths a search of it chooses from."""

from collections.abc import Sequence

import torch
from torch import nn

from .. import nets
from ..data import Data
from ..errors import InputError, one_of
from ..methods.paper.options import PaperOptions
from ..methods.probes.options import ProbeOptions
from ..methods.trials.options import TrialOptions
from ..nets import ResNet
from ..shape import Shape
from ..space import Space
from ..spaces import FINE_RATIOS, RATIOS, WIDE_RATIOS, resnet_space, trace
from ..training.pictures import check_fits

__all__ = ["search_space"]

WIDTHS_PER = ("layer", "kind", "stage")


def search_space(
    net: str | nn.Module | Space,
    data: Data,
    *,
    what: str = "both",
    residual: str | None = None,
    ratios: tuple[float, ...] | None = None,
    widths_per: str | None = None,
    ignore: Sequence[str] = (),
    only: Sequence[str] = (),
    round_to: int = 1,
    name: str = "",
    inheriting: bool = False,
    options: ProbeOptions | TrialOptions | PaperOptions,
) -> Space:
    """The space that ``search`` searches; the arguments are the same.

    Args:
        inheriting: one of our nets, by its name, is to get trained weights.
        name: what shapes call a net that is given as a module; see ``tas.spaces.trace``.
    """
    if isinstance(net, Space):
        return net
    if not isinstance(net, (str, nn.Module)):
        raise InputError(
            f"the net is {net!r}: give a torch.nn.Module, a name such as 'resnet20', or a Space"
        )
    paper = isinstance(options, PaperOptions)
    inheriting = inheriting or isinstance(net, ResNet)
    if widths_per is None:
        widths_per = "stage" if isinstance(options, ProbeOptions) else "layer"
    if widths_per not in WIDTHS_PER:
        raise InputError(one_of("value of widths per", widths_per, WIDTHS_PER))
    space: Space
    if isinstance(net, ResNet) or (isinstance(net, str) and not nets.is_named(net)):
        if ignore or only or round_to != 1:
            raise InputError(
                "--ignore, --only and --round-to are for nets that are traced, not for our own"
            )
        if ratios is None:
            ratios = RATIOS if paper else FINE_RATIOS if inheriting else WIDE_RATIOS
        space = resnet_space(
            _unpruned(net, data),
            what=what,
            residual=residual or ("free" if paper else "tied"),
            ratios=ratios,
        )
        if isinstance(net, ResNet) and not paper:
            space = space.starting_from(net)
    else:
        if residual not in (None, "tied"):
            raise InputError(f"--residual {residual}: the space of a traced net is always tied")
        if ratios is None:
            ratios = RATIOS if paper else FINE_RATIOS
        model = _fresh(net, data) if isinstance(net, str) else net
        first = next(model.parameters(), None)
        name = name or (net if isinstance(net, str) else "")
        if first is None:
            raise InputError(
                f"the net '{name or type(model).__name__}' has no parameters to train: "
                "give one that has, such as torchvision:mobilenet_v2"
            )
        space = trace(
            model,
            torch.zeros(1, *data.input, device=first.device),
            ignore=ignore,
            only=only,
            round_to=round_to,
            ratios=ratios,
            what=what,
            name=name,
        )
        check_fits(space.unpruned, data, "net")
    return space if widths_per == "layer" else space.grouped(kinds=widths_per == "kind")


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
