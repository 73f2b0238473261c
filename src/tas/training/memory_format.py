"""Pictures and nets brought to a device, in the memory format that convolutions prefer there.

Only what is sure to gain from channels-last gets it: batches of pictures, and the weights of plain
2-d convolutions. All else keeps its format: token ids, sound, video, and parameters that a net's
own code may look at in another shape.
"""

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["place", "place_module"]

_FORWARDS = (nn.Conv2d.forward, nn.ConvTranspose2d.forward)


def place(x: Tensor, device: torch.device, channels_last: bool = True) -> Tensor:
    """A batch on the device: pictures [N, C, H, W] channels-last, anything else as it is.

    >>> import torch
    >>> from tas.training import place
    >>> images = place(torch.zeros(2, 3, 8, 8), torch.device("cpu"))
    >>> images.is_contiguous(memory_format=torch.channels_last)
    True

    Args:
        channels_last: False for plain pictures.
    """
    if x.dim() == 4 and x.is_floating_point() and _prefers_channels_last(device):
        form = torch.channels_last if channels_last else torch.contiguous_format
        return x.to(device, memory_format=form, non_blocking=True)
    return x.to(device, non_blocking=True)


def place_module(module: nn.Module, device: torch.device, channels_last: bool = True) -> nn.Module:
    """A module moved to the device, the weights of its 2-d convolutions as ``place`` has pictures.

    >>> import tas, torch
    >>> from tas.training import place_module
    >>> net = place_module(tas.nets.build("resnet20"), torch.device("cpu"))
    >>> net.stem.conv.weight.is_contiguous(memory_format=torch.channels_last)
    True

    A class with a ``forward`` of its own, such as one that standardises its weight, keeps them.
    """
    module.to(device)
    form = torch.channels_last if channels_last else torch.contiguous_format
    if _prefers_channels_last(device):
        for part in module.modules():
            if getattr(type(part), "forward", None) in _FORWARDS:
                weight = part._parameters.get("weight")  # none where it is computed
                if weight is not None and not is_lazy(weight):
                    weight.data = weight.data.to(memory_format=form)
    return module


def _prefers_channels_last(device: torch.device) -> bool:
    return device.type in ("cpu", "cuda")
