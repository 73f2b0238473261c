"""A net whose channels are weighted instead of cut: the derived net at 0 and 1, a mixture between.

What reads a channel, reads it times its weight: the weight is multiplied to the parameter of the
layer that reads, not to the activations. Whatever happens channel by channel in between (norms,
activations, gates, pools) then needs no change, and a channel of weight 0 is as good as cut. What
takes channels together, as norms and means do, is computed over the weighted ones (``weighted``).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .structure import Structure
from .weighted import Weighted

__all__ = ["Masks"]


class Masks(nn.Module):
    """Where the weights of the atoms go.

    Args:
        structure: of the net that is masked.
    """

    def __init__(self, structure: Structure) -> None:
        super().__init__()
        self._reads: list[tuple[str, int, str]] = []
        for places in (structure.slots, structure.multiplied):
            for (name, dim), slots in places.items():
                self._reads.append((name, dim, self._keep(slots)))
        self._norms = {name: self._keep(slots) for name, slots in structure.norms.items()}

    def forward(self, net: nn.Module, images: Tensor, weights: Tensor) -> Any:
        """What the net gives for images when its atoms have these weights [atoms]."""
        weights = torch.cat([weights, weights.new_ones(1)])  # the last: what always stays
        own = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        masked: dict[str, Tensor] = {}
        for name, dim, slots in self._reads:
            if name in own:
                value = masked.get(name, own[name])
                size = [1] * value.dim()
                size[dim] = -1
                kept = weights[self.get_buffer(slots)].to(value.dtype)
                masked[name] = value * kept.view(size)
        together = {key: weights[self.get_buffer(slots)] for key, slots in self._norms.items()}
        recurrent = any(isinstance(module, nn.RNNBase) for module in net.modules())
        if not together and not recurrent:
            return functional_call(net, masked, (images,))
        with Weighted(net, together, {id(own[name]): value for name, value in masked.items()}):
            return functional_call(net, masked, (images,))

    def _keep(self, slots: Tensor) -> str:
        name = f"slots_{len(self._buffers)}"
        self.register_buffer(name, slots, persistent=False)
        return name
