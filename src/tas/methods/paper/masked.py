"""The supernet of a traced net: its channels are weighted by masks, its depths mixed.

The widths of a trained net are mixed by masks, not by interpolation: a channel keeps its meaning,
and the net can inherit. A candidate's mask is 1 on the channels that it keeps, the most important
ones first, so that at one-hot choices the supernet is exactly the derived net.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...costs import MACS, Unit
from ...graph import Masks, copied
from ...inherit import Source
from ...space import Space
from ...spaces import TracedSpace
from ..paper import fast
from .supernet import Supernet, table

__all__ = ["MaskedDraw", "MaskedSupernet"]


@dataclass(frozen=True)
class MaskedDraw:
    """One sample of all choices.

    Attributes:
        atoms: the weight of every atomic channel of the net.
        depths: by the name of a depth choice, the weights [D] of its candidates.
    """

    atoms: Tensor
    depths: dict[str, Tensor]


class MaskedSupernet(Supernet):
    """A user's own net, whose widths and depths are drawn anew for every forward pass.

    Args:
        space: of a traced net.
        source: a copy of its net, the channels to keep first in front, is what is trained; default:
            the net that was traced, as it is.
        unit: what the expected cost counts.
    """

    space: TracedSpace
    channels: Tensor  # [atoms] channels of its width that come before an atom
    width: Tensor  # [atoms] its width; the last where it is not searched
    choice: Tensor  # [widths] the choice that sets each width
    counts: Tensor  # [widths, K] its channel counts, candidate by candidate

    def __init__(self, space: Space, source: Source | None = None, unit: Unit = MACS) -> None:
        assert isinstance(space, TracedSpace)
        self._source = source or Source.of(space)
        super().__init__(space, unit=unit, mixing="mask")

    def _plain_net(self) -> nn.Module:
        assert self._source.net is not None
        return copied(self._source.net, {})

    def _place_choices(self, mixing: str) -> None:
        space = self.space
        self.masks = Masks(space.structure)
        keys = [(i, c.of(key), key) for i, c in enumerate(space.widths) for key in c.keys]
        places = {key: number for number, (_, _, key) in enumerate(keys)}
        before, owner = [torch.empty(0)], [torch.empty(0, dtype=torch.long)]
        for width in space.structure.widths:
            rank = torch.arange(width.atoms, dtype=torch.float32)
            before.append(rank * width.unit)
            owner.append(torch.full((width.atoms,), places.get(width.name, len(places))))
        self.register_buffer("channels", torch.cat(before), persistent=False)
        self.register_buffer("width", torch.cat(owner), persistent=False)
        counts = table(own for _, own, _ in keys)
        self.register_buffer("counts", counts, persistent=False)
        owners = torch.tensor([i for i, _, _ in keys], dtype=torch.long)
        self.register_buffer("choice", owners, persistent=False)

    def _mixed(self, images: Tensor, draw: Any) -> Tensor:
        return self.masks(self.net, images, draw.atoms)  # type: ignore[no-any-return]

    def _applied(self, widths: Tensor, weights: Tensor, depths: Tensor) -> Any:
        drawn = (self.candidates[:, None] == widths[:, :, None]).byte().argmax(-1)  # [choices, 2]
        kept = self.counts.gather(1, drawn[self.choice])  # [widths, 2]
        weights = weights[self.choice]
        # One row more, for what is not searched: all of it, always.
        kept = torch.cat([kept, kept.new_full((1, 2), 2**31)])
        weights = torch.cat([weights, weights.new_tensor([[1.0, 0.0]])])
        inside = self.channels[:, None] < kept[self.width]  # [atoms, 2]
        atoms = (weights[self.width] * inside).sum(1)
        names = [choice.name for choice in self.space.depths]
        sizes = [len(choice.candidates) for choice in self.space.depths]
        return MaskedDraw(
            atoms,
            {n: depths[i, :size] for i, (n, size) in enumerate(zip(names, sizes))},  # noqa: B905
        )

    def _register_hooks(self) -> None:
        for choice in self.space.depths:
            for depth in choice.candidates:
                block = self.net.get_submodule(choice.blocks[depth - 1])
                block.register_forward_hook(self._keep_feature(choice.name))
            last = self.net.get_submodule(choice.blocks[-1])
            last.register_forward_hook(self._mix_depths(choice.name))

    def _mix_depths(self, stage: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            if self._draw is None:
                return None
            weights: Any = self._draw.depths[stage]
            return fast.mix_depths(self._features.pop(stage), weights)

        return hook
