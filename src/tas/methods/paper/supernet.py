"""The supernet: the plain net, hooks on it, and the logits of its choices.

After each searched convolution (after its norm, before the activation) the channels are mixed: by
interpolation, which multiplies them by one matrix, or by a mask, one factor per channel. Hooks on
the blocks and on the stage mix the outputs at the candidate depths. What is computed stands in
``algorithm.py``; this file brings it to the right places, in its fast form (``fast.py``) if any.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from ...costs import MACS, Unit
from ...inherit.leading import inherit
from ...nets import build
from ...shape import Shape
from ...space import Space
from ..paper import algorithm as paper
from ..paper import fast

__all__ = ["Draw", "Supernet", "table"]

Mixture: TypeAlias = tuple[Tensor, Tensor | None, Tensor | None]


@dataclass(frozen=True)
class Draw:
    """One sample of all choices: what the hooks apply.

    Attributes:
        widths: by the path of the module whose output it multiplies, a matrix [C, C] or a mask [C].
        depths: by the path of a stage: weights [D], matrices [D, C, C] and the widths [D] that they
            start from (None: nothing to bring to another width).
    """

    widths: dict[str, Tensor]
    depths: dict[str, Mixture]


class Supernet(nn.Module):
    """A net whose widths and depths are drawn anew for every forward pass.

    Args:
        space: the choices; the net is the plain net of its widest shape.
        source: a net whose weights the supernet starts from; None: fresh weights.
        unit: what the expected cost counts.
        mixing: of two widths: ``"interpolate"``, the paper's, or ``"mask"``.
    """

    candidates: Tensor  # [L, K] channel counts
    width_mask: Tensor  # [L, K] 0 for a candidate, -inf where a choice has fewer
    depth_mask: Tensor  # [D, K_d]

    def __init__(
        self,
        space: Space,
        source: nn.Module | None = None,
        unit: Unit = MACS,
        mixing: str = "interpolate",
    ) -> None:
        super().__init__()
        self.space = space
        self.net = self._plain_net()
        if source is not None:
            inherit(self.net, source)
        self.cost = unit.expected(space)
        candidates = [choice.candidates for choice in space.widths]
        depths = [choice.candidates for choice in space.depths]
        self.register_buffer("candidates", table(candidates), persistent=False)
        self.register_buffer("width_mask", _mask(candidates), persistent=False)
        self.register_buffer("depth_mask", _mask(depths), persistent=False)
        # Nearly equal at first; the noise breaks the tie of the most likely shape (as released).
        self.width_logits = nn.Parameter(0.01 * torch.randn(self.width_mask.shape))
        self.depth_logits = nn.Parameter(0.01 * torch.randn(self.depth_mask.shape))
        self._place_choices(mixing)
        self._draw: Draw | None = None
        self._features: dict[str, list[Tensor]] = {}
        self._register_hooks()

    # What a search step needs -----------------------------------------------------------------

    def weight_parameters(self) -> list[nn.Parameter]:
        """Parameters of the net."""
        return list(self.net.parameters())

    def logit_parameters(self) -> list[nn.Parameter]:
        """Parameters of the choices."""
        return [self.width_logits, self.depth_logits]

    def draw(self, tau: float | Tensor, generator: Generator | None = None) -> Draw:
        """Sample two candidate widths of every choice, and weights of all depths."""
        if self.space.widths:
            logits = self.width_logits + self.width_mask
            indices, weights = paper.sample_two(logits, tau, generator)
            widths = self.candidates.gather(1, indices)  # [L, 2]
        else:
            widths, weights = self.candidates.new_zeros(0, 2), self.width_logits.new_zeros(0, 2)
        noisy = paper.gumbel_logits(self.depth_logits + self.depth_mask, tau, generator)
        return self._applied(widths, weights, noisy.softmax(-1))

    def one_hot(self, shape: Shape) -> Draw:
        """The draw that makes this supernet compute what the derived net of ``shape`` computes."""
        widths, depths = self.space.indices(shape)
        device = self.width_logits.device
        index = torch.tensor(widths, device=device, dtype=torch.long)[:, None]
        same = self.candidates.gather(1, index).expand(-1, 2)
        weights = torch.tensor([1.0, 0.0], device=device).expand(len(widths), 2)
        hot = torch.zeros_like(self.depth_mask)
        hot[torch.arange(len(depths)), depths] = 1
        return self._applied(same, weights, hot)

    def expected_cost(self) -> Tensor:
        """Expected cost under the logits, a scalar that carries their gradient."""
        return self.cost(*self.probabilities())  # type: ignore[no-any-return]

    def likely_cost(self) -> Tensor:
        """Cost of the most likely shape, a scalar on the device."""
        hot = []
        for probs in self.probabilities():
            best = probs.argmax(-1, keepdim=True)
            hot.append(torch.zeros_like(probs).scatter(1, best, 1.0))
        return self.cost(*hot)  # type: ignore[no-any-return]

    def probabilities(self) -> tuple[Tensor, Tensor]:
        """Probabilities of the candidate widths [L, K] and depths [D, K_d]."""
        return (
            (self.width_logits + self.width_mask).softmax(-1),
            (self.depth_logits + self.depth_mask).softmax(-1),
        )

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """Class scores [N, classes] of images [N, C, H, W]; without a draw, of the widest net."""
        if draw is None:
            return self.net(images)  # type: ignore[no-any-return]
        self._draw = draw
        try:
            return self._mixed(images, draw)
        finally:
            self._draw = None
            self._features.clear()

    # How it is done -----------------------------------------------------------------------------

    def _plain_net(self) -> nn.Module:
        return build(self.space.widest)

    def _place_choices(self, mixing: str) -> None:
        """Group the choices by full width, so that a group's factors are built at once."""
        space, row = self.space, {c.name: i for i, c in enumerate(self.space.widths)}
        self._mixer = MIXERS[mixing](self.net, [s for c in space.widths for s in c.sites])
        self._groups: list[tuple[int, list[tuple[str, ...]]]] = []
        for size in sorted({c.candidates[-1] for c in space.widths}):
            rows = [i for i, c in enumerate(space.widths) if c.candidates[-1] == size]
            sites = [space.widths[i].sites for i in rows]
            self.register_buffer(f"rows_{size}", torch.tensor(rows), persistent=False)
            self._groups.append((size, sites))
        # Per stage: the buffer of the choices whose sampled widths make up the stream at each
        # candidate depth, and the full width.
        self._streams: dict[str, tuple[str, int]] = {}
        if isinstance(self._mixer, _Masking):  # a narrower stream's channels stay where they are
            return
        for depth in space.depths:
            streams = [depth.streams[d - 1] for d in depth.candidates]
            if any(set(stream) != set(streams[0]) for stream in streams):
                members = [tuple(row[str(s)] for s in stream) for stream in streams]
                buffer = f"streams_{len(self._streams)}"
                self.register_buffer(buffer, table(members), persistent=False)
                self._streams[depth.name] = buffer, space.widths[members[0][0]].candidates[-1]

    def _mixed(self, images: Tensor, draw: Draw) -> Tensor:
        return self._mixer(self.net, images, draw.widths)

    def _applied(self, widths: Tensor, weights: Tensor, depths: Tensor) -> Draw:
        """Factors and mixtures for sampled widths [L, 2], weights [L, 2] and depths [D, K_d]."""
        factors: dict[str, Tensor] = {}
        for size, sites in self._groups:
            rows = self.get_buffer(f"rows_{size}")
            built = self._mixer.factors(widths[rows], weights[rows], size)
            for factor, names in zip(built, sites, strict=True):
                factors |= dict.fromkeys(names, factor)
        mixtures: dict[str, Mixture] = {}
        active = widths.amax(-1)
        for i, choice in enumerate(self.space.depths):
            weight = depths[i, : len(choice.candidates)]
            mixtures[choice.name] = (weight, *self._stream_matrices(choice.name, active))
        return Draw(factors, mixtures)

    def _stream_matrices(
        self, stage: str, active: Tensor
    ) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """[D, C, C] from the stream's width at each candidate depth to the widest of them, and [D]
        these widths."""
        if stage not in self._streams:
            return None, None
        buffer, size = self._streams[stage]
        widths = active[self.get_buffer(buffer)].amax(-1)
        return paper.channel_matrix(widths.amax().expand_as(widths), widths, size), widths

    def _register_hooks(self) -> None:
        for depth in self.space.depths:
            for d in depth.candidates:
                block = self.net.get_submodule(depth.blocks[d - 1])
                block.register_forward_hook(self._keep_feature(depth.name))
            self.net.get_submodule(depth.name).register_forward_hook(self._mix_depths(depth.name))

    def _keep_feature(self, stage: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if self._draw is not None:
                self._features.setdefault(stage, []).append(output)

        return hook

    def _mix_depths(self, stage: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            if self._draw is None:
                return None
            return fast.mix_depths(self._features.pop(stage), *self._draw.depths[stage])

        return hook


class _Interpolation:
    """Multiplies matrices to channels: within the norms that can do it, by hooks elsewhere."""

    factors = staticmethod(paper.width_matrix)

    def __init__(self, net: nn.Module, sites: Iterable[str]) -> None:
        self._norms: dict[str, nn.BatchNorm2d] = {}  # those that mix by themselves, see ``fast``
        self._matrices: Mapping[str, Tensor] = {}
        for site in sites:
            norm = net.get_submodule(f"{site}.norm")  # what a ``ConvNorm`` returns
            if fast.foldable(norm):
                self._norms[site] = norm
            norm.register_forward_hook(self._hook(site))

    def __call__(self, net: nn.Module, images: Tensor, matrices: Mapping[str, Tensor]) -> Tensor:
        # PyTorch's compiler cannot follow a norm whose ``forward`` changes; it folds by itself.
        folded = {} if torch.compiler.is_compiling() else self._norms
        self._matrices = {site: m for site, m in matrices.items() if site not in folded}
        try:
            with fast.mixing(folded, matrices):
                return net(images)  # type: ignore[no-any-return]
        finally:
            self._matrices = {}

    def _hook(self, site: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
            matrix = self._matrices.get(site)
            return None if matrix is None else paper.mix_channels(output, matrix)

        return hook


class _Masking:
    """Multiplies masks to the parameters that channels come from, and nothing to the channels: to
    scale and shift of the norm or, where there is none, to the weights of the convolution."""

    factors = staticmethod(paper.width_mask)

    def __init__(self, net: nn.Module, sites: Iterable[str]) -> None:
        self._sites: dict[str, str] = {}  # by the path of a parameter
        for site in sites:
            bare = isinstance(net.get_submodule(f"{site}.norm"), nn.Identity)
            source = f"{site}.conv" if bare else f"{site}.norm"
            for name, _ in net.get_submodule(source).named_parameters():
                self._sites[f"{source}.{name}"] = site

    def __call__(self, net: nn.Module, images: Tensor, masks: Mapping[str, Tensor]) -> Tensor:
        own = dict(net.named_parameters())
        masked = {
            name: own[name] * masks[site].view(-1, *[1] * (own[name].dim() - 1))
            for name, site in self._sites.items()
        }
        return functional_call(net, masked, (images,))  # type: ignore[no-any-return]


MIXERS: dict[str, type[_Interpolation] | type[_Masking]] = {
    "interpolate": _Interpolation,
    "mask": _Masking,
}


def table(rows: Iterable[tuple[int, ...]]) -> Tensor:
    """Rows of different lengths as one table of whole numbers, padded with the last of each."""
    rows = list(rows)
    columns = max(map(len, rows), default=1)
    padded = [[*row, *[row[-1]] * (columns - len(row))] for row in rows]
    return torch.tensor(padded, dtype=torch.long).reshape(len(rows), columns)


def _mask(rows: Iterable[tuple[int, ...]]) -> Tensor:
    """0 where a row has an entry, -inf where it is padded."""
    rows = list(rows)
    columns = max(map(len, rows), default=1)
    mask = torch.zeros(len(rows), columns)
    for i, row in enumerate(rows):
        mask[i, len(row) :] = -torch.inf
    return mask
