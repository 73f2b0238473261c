"""What a search found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..costs import Budget
from ..errors import InputError
from ..inherit import Source
from ..nets import build
from ..shape import Shape
from ..space import Space
from ..training import History
from .baseline import Probabilities

__all__ = ["Found", "Tried"]


def _as_it_is(net: nn.Module) -> nn.Module:
    return net


class Tried(NamedTuple):
    """Shapes that were asked, in whatever space."""

    at: Tensor  # log2 of what was chosen of every choice [shapes, choices]
    losses: Tensor  # [shapes]
    params: Tensor  # [shapes]

    @property
    def for_size(self) -> Tensor:
        """Losses over the root of the parameters: of two shapes that lose as much, the one with
        more parameters is often the better one once both are trained."""
        return self.losses / self.params.sqrt()

    def and_also(self, *others: "Tried") -> "Tried":
        """These shapes and others."""
        return Tried(*map(torch.cat, zip(self, *others, strict=True)))

    def states(self, space: Space) -> Tensor:
        """Their candidate indices [shapes, choices] in a space that has them all."""
        chosen = self.at.exp2().round().long()
        sizes = [torch.tensor(choice.candidates) for choice in space.choices]
        columns = zip(sizes, chosen.T.contiguous(), strict=True)
        return torch.stack([torch.searchsorted(each, own) for each, own in columns], 1)


@dataclass(frozen=True)
class Found:
    """What a search found; ``tas.search`` returns it, with an example.

    Attributes:
        shape: the best shape within the budget; from trained weights equal widths, as far as the
            budget allows, where these were better.
        budget: what it may cost: ``budget.limit`` in ``budget.unit``.
        history: a line per epoch of the search, and per generation of its trials.
        space: what was searched.
        source: whose weights derived nets inherit: the net that was given, or the supernet's.
        fresh: derived nets start with fresh weights, unless one is asked for that inherits.
        probabilities: of the candidate widths [L, K] and depths [D, K_d], by which the shape was
            chosen; None where shapes were tried.
        measured: what a derived net is given to before it is handed out: after a search on batches
            its norms measure what they see.
        tried: the shapes whose losses the search asked; None where it trained nets instead.
    """

    shape: Shape
    budget: Budget
    history: History
    space: Space
    source: Source
    fresh: bool = False
    probabilities: Probabilities | None = None
    measured: Callable[[nn.Module], nn.Module] = _as_it_is
    tried: Tried | None = None

    def derive(self, inherit: bool | None = None) -> nn.Module:
        """The plain net of the shape.

        Its norms have seen other mixtures of channels: train it, or let them measure anew
        (``tas.training.recompute_norm_statistics``) before it is used. After a search on batches
        they have done so.

        Args:
            inherit: with the weights that the search started from, or that its supernet ended
                with; False: with fresh ones. Default: to inherit where the search was given a net
                with its weights. A net that is cut from one of another class always inherits.

        Raises:
            InputError: there are no weights to inherit.
        """
        if inherit is None:
            inherit = not self.fresh
        if inherit and self.source.net is None:
            raise InputError(
                "there are no weights to inherit: give the search a trained net, not its name"
            )
        if not inherit and not self.source.cut:
            return build(self.shape)
        return self.measured(self.source.derive(self.shape))
