"""An exported net beside the one in PyTorch, on the same pictures."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..forward import evaluating
from .form import Form

__all__ = ["Difference", "compare"]

TOLERANCE = 1e-4  # of the largest score; float32 leaves about 1e-6
BATCH = 64


@dataclass(frozen=True)
class Difference:
    """How far an exported net is from the one in PyTorch.

    Attributes:
        largest: of all scores (or probabilities) of all pictures.
        equal: share of the pictures with the same answer, 0 to 1.
        pictures: how many were compared.
    """

    largest: float
    equal: float
    pictures: int


def compare(
    exported: Callable[[Tensor], Tensor], net: nn.Module, form: Form, pixels: Tensor
) -> Difference:
    """Compare on pictures, uint8 [N, C, H, W]: one alone first, then in batches.

    Args:
        net: the one that was exported, in float32 on the CPU, nothing folded.

    Raises:
        InputError: they differ by more than rounding explains.
    """
    ours, theirs = [], []
    with evaluating(net), torch.inference_mode():
        for batch in (pixels[:1], *torch.split(pixels[1:], BATCH)):
            if not len(batch):
                continue
            ours.append(form.gives(net(form.transform.normalise(batch))).float())
            theirs.append(exported(form.given(batch)).float())
    wanted, found = torch.cat(ours), torch.cat(theirs)
    if wanted.shape != found.shape:
        raise InputError(
            f"the exported net gives {list(found.shape)}, and in PyTorch it gives "
            f"{list(wanted.shape)}: nothing was written"
        )
    apart = (found - wanted).abs().nan_to_num(nan=float("inf"))
    limit = TOLERANCE * float(wanted.abs().max())
    if not apart.max() <= limit:
        picture, which = divmod(int(apart.argmax()), apart.shape[1])
        raise InputError(
            f"the exported net differs from PyTorch: '{form.classes[which]}' of picture {picture} "
            f"has {found[picture, which]:.6g}, not {wanted[picture, which]:.6g} (at most "
            f"{limit:.2g} apart is rounding): nothing was written"
        )
    equal = (found.argmax(1) == wanted.argmax(1)).float().mean()
    return Difference(float(apart.max()), float(equal), len(pixels))
