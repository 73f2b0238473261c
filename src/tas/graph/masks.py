"""A net whose channels are weighted instead of cut: the derived net at 0 and 1, a mixture between.

What reads a channel, reads it times its weight: the weight is multiplied to the parameter of the
layer that reads, not to the activations. Whatever happens channel by channel in between (norms,
activations, gates, pools) then needs no change, and a channel of weight 0 is as good as cut. What
takes channels together, as norms and means do, is computed over the weighted ones (``weighted``).
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..forward import Forward, call
from .structure import Structure
from .weighted import Weighted

__all__ = ["Masks"]


class Masks(nn.Module):
    """Where the weights of the atoms go.

    >>> import tas, torch
    >>> net, images = tas.nets.build("resnet20").eval(), torch.rand(2, 3, 32, 32)
    >>> structure = tas.graph.analyse(net, images)
    >>> masks = tas.graph.Masks(structure)
    >>> scores = masks(net, images, torch.ones(structure.atoms))  # all channels at full weight
    >>> torch.allclose(scores, net(images), atol=1e-5)
    True

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

    def forward(self, net: nn.Module, batch: Any, weights: Tensor, forward: Forward = call) -> Any:
        """What the net gives for a batch when its atoms have these weights [atoms].

        Args:
            forward: how the net is called on a batch.
        """
        weights = torch.cat([weights, weights.new_ones(1)])  # the last: what always stays
        own = {**dict(net.named_buffers()), **dict(net.named_parameters())}
        masked: dict[str, Tensor] = {}
        for name, dim, slots in self._reads:
            if name in own:
                value = masked.get(name, own[name])
                size = [1] * value.dim()
                size[dim] = -1
                kept = weights[self.get_buffer(slots)].to(value.dtype)
                masked[name] = value * kept.view(size)
        together = {key: weights[self.get_buffer(slots)] for key, slots in self._norms.items()}
        by_tensor = {id(own[name]): value for name, value in masked.items()}
        recurrent = any(isinstance(module, nn.RNNBase) for module in net.modules())
        with Weighted(net, together, by_tensor) if together or recurrent else nullcontext():
            called = _Called(net, forward)
            values = _everywhere(called, by_tensor)
            return functional_call(called, values, (batch,), tie_weights=False)

    def _keep(self, slots: Tensor) -> str:
        name = f"slots_{len(self._buffers)}"
        self.register_buffer(name, slots, persistent=False)
        return name


class _Called(nn.Module):
    """A net as it is called, for what replaces its parameters while it runs."""

    def __init__(self, net: nn.Module, how: Forward) -> None:
        super().__init__()
        self.net, self.how = net, how

    def forward(self, batch: Any) -> Any:
        return self.how(self.net, batch)


def _everywhere(net: nn.Module, values: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """Values by the identity of tensors, for every module that holds such a tensor, once each.

    PyTorch's own ``tie_weights`` finds a module that has two names twice, and puts back at the
    second name what it had put there by the first: the values would stay for good.
    """
    return {
        f"{path}.{name}" if path else name: values[id(tensor)]
        for path, module in net.named_modules()
        for name, tensor in (*module._parameters.items(), *module._buffers.items())
        if id(tensor) in values
    }
