"""A net made anew in the sizes of one that was cut, when only the tensors of that one are known."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..sides import Rewrite
from .constants import rewrite
from .mirrors import Sizes, follow, tensors
from .splits import keeping_groups

__all__ = ["sized"]


@torch.no_grad()
def sized(
    net: nn.Module,
    sizes: Sizes,
    rewrites: Sequence[Rewrite],
    widths: Mapping[str, int],
    splits: Mapping[str, int],
) -> nn.Module:
    """The net itself, its tensors of other sizes and with no values yet, its attributes true.

    >>> from torch import nn
    >>> from tas.graph.sized import sized
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))
    >>> small = sized(net, {"0.weight": (3, 4), "0.bias": (3,), "1.weight": (2, 3)}, (), {}, {})
    >>> small[0].out_features, small[1].in_features
    (3, 3)

    Args:
        net: whole, as the user's function makes it.
        sizes: of the parameters and buffers that a state dict of the cut one holds, tied ones once.
            A module that holds tensors and has none there is gone, as blocks are.
        rewrites, widths: numbers in the net's own code, and the channels that they follow.
        splits: those of a shape.
    """
    named = tensors(net)
    before = {name: tuple(tensor.shape) for name, tensor in named.items()}
    by_tensor = {id(named[name]): size for name, size in sizes.items() if name in named}
    for path in _gone(net, set(by_tensor)):
        container, _, name = path.rpartition(".")
        del net.get_submodule(container)._modules[name]
    made: dict[int, nn.Parameter | torch.Tensor] = {}
    for module in net.modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None and by_tensor.get(id(tensor), tensor.shape) != tensor.shape:
                    if id(tensor) not in made:
                        value = tensor.new_empty(by_tensor[id(tensor)])
                        made[id(tensor)] = (
                            nn.Parameter(value, tensor.requires_grad)
                            if isinstance(tensor, nn.Parameter)
                            else value
                        )
                    held[name] = made[id(tensor)]  # type: ignore[assignment]
    after = {name: tuple(tensor.shape) for name, tensor in tensors(net).items()}
    follow(net, before, after, keeping_groups(splits))
    rewrite(net, rewrites, widths)
    return net


def _gone(net: nn.Module, known: set[int]) -> list[str]:
    """The outermost modules that hold tensors, none of which is known."""
    found: list[str] = []
    for path, module in net.named_modules():
        held = [id(t) for t in module.state_dict(keep_vars=True).values()]
        inside = any(path.startswith(f"{other}.") for other in found)
        if path and held and not inside and known.isdisjoint(held):
            found.append(path)
    return found
