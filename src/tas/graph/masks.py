"""A net whose channels are weighted instead of cut: the derived net at 0 and 1, a mixture between.

What reads a channel, reads it times its weight: the weight is multiplied to the parameter of the
layer that reads, not to the activations. Whatever happens channel by channel in between (norms,
activations, gates, pools) then needs no change, and a channel of weight 0 is as good as cut. Layer
norms take their statistics over the weighted channels.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from .structure import Structure

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

    def forward(self, net: nn.Module, images: Tensor, weights: Tensor) -> Any:
        """What the net gives for images when its atoms have these weights [atoms]."""
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
        norms = {
            id(masked.get(name, own[name])): weights[self.get_buffer(slots)].to(own[name].dtype)
            for name, slots in self._norms.items()
        }
        instead = _everywhere(net, own, masked)
        with _LayerNorms(norms) if norms else nullcontext():
            return functional_call(net, instead, (images,), tie_weights=False)

    def _keep(self, slots: Tensor) -> str:
        name = f"slots_{len(self._buffers)}"
        self.register_buffer(name, slots, persistent=False)
        return name


def _everywhere(
    net: nn.Module, own: Mapping[str, Tensor], values: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Values by the names of tensors, for every module that holds such a tensor, once each.

    PyTorch's own ``tie_weights`` finds a module that has two names twice, and puts back at the
    second name what it had put there by the first: the values would stay for good.
    """
    by_tensor = {id(own[name]): value for name, value in values.items()}
    return {
        f"{path}.{name}" if path else name: by_tensor[id(tensor)]
        for path, module in net.named_modules()
        for name, tensor in (*module._parameters.items(), *module._buffers.items())
        if id(tensor) in by_tensor
    }


class _LayerNorms(TorchFunctionMode):
    """Takes the statistics of layer norms over weighted channels."""

    def __init__(self, weights: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.weights = weights

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (F.layer_norm, torch.layer_norm):
            bound = dict(zip(("input", "normalized_shape", "weight", "bias", "eps"), args))  # noqa: B905
            bound |= kwargs
            channels = self.weights.get(id(bound.get("weight")))
            if channels is not None:
                return _layer_norm(
                    bound["input"],
                    channels,
                    bound["weight"],
                    bound.get("bias"),
                    bound.get("eps", 1e-5),
                )
        return func(*args, **kwargs)


def _layer_norm(
    x: Tensor, channels: Tensor, weight: Tensor, bias: Tensor | None, eps: float
) -> Tensor:
    """The layer norm of x [..., C] over the channels that are left, by their weights [C]."""
    total = channels.sum()
    mean = (x * channels).sum(-1, keepdim=True) / total
    centred = x - mean
    variance = (centred**2 * channels).sum(-1, keepdim=True) / total
    y = centred * torch.rsqrt(variance + eps) * weight
    return y if bias is None else y + bias
