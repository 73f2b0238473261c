"""One net whose weights serve every shape of a space: a shape computes with slices of them.

A width of c channels takes the first c slices, a depth of d blocks the first d. So a forward pass
of a shape costs what the shape costs, and equals the derived net with inherited weights. It is how
slimmable nets share weights (Yu et al., *Slimmable Neural Networks*, ICLR 2019), and
once-for-all nets (Cai et al., ICLR 2020).
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .derive import inherit
from .nets import Block, ConvNorm, ResNet, build
from .space import Space

__all__ = ["SharedNet"]

State = tuple[int, ...]  # a candidate index per width choice, then per depth choice
_LABEL = 1_000_000  # above every number of channels: a width that stands for a choice


class SharedNet(nn.Module):
    """The weights of a space, and the forward pass of each of its shapes.

    Norms use the statistics of the batch, always: those of one shape say nothing of another's.

    Args:
        space: the choices.
        widest: the trained net of ``space.widest``, whose weights are taken over.

    Attributes:
        net: holds the weights, under the names that they have in every derived net.
    """

    width_logits: Tensor  # [L, K]; -inf where a choice has fewer candidates
    depth_logits: Tensor  # [D, K_d]

    def __init__(self, space: Space, widest: ResNet) -> None:
        super().__init__()
        self.space = space
        self.net: ResNet = build(space.widest)
        if space.widest.residual == "free":
            _add_projections(self.net)
        inherit(self.net, widest)
        for name, choices in (("width_logits", space.widths), ("depth_logits", space.depths)):
            sizes = [len(choice.candidates) for choice in choices]  # type: ignore[attr-defined]
            logits = torch.full((len(sizes), max(sizes, default=1)), -torch.inf)
            for row, size in zip(logits, sizes, strict=True):
                row[:size] = 0
            self.register_buffer(name, logits)
        self._parameters_by_name = dict(self.net.named_parameters())
        self._skeletons: dict[State, _Skeleton] = {}

    def probabilities(self) -> tuple[Tensor, Tensor]:
        """Probabilities of the candidate widths [L, K] and depths [D, K_d]."""
        return self.width_logits.softmax(-1), self.depth_logits.softmax(-1)

    def forward(self, images: Tensor, state: State | None = None) -> Tensor:
        """Class scores [N, classes] of images [N, C, H, W], computed by one shape.

        Args:
            state: the shape: a candidate index per width choice, then per depth choice; None: the
                widest.
        """
        choices = self.space.widths
        if state is None:
            state = tuple(len(c.candidates) - 1 for c in (*choices, *self.space.depths))
        widths = [c.candidates[k] for c, k in zip(choices, state, strict=False)]
        skeleton = self._skeleton(state[len(choices) :])
        weights = {}
        for name, labels in skeleton.needed(widths):
            weight = self._parameters_by_name[name]
            for dim, choice in labels:
                if widths[choice] != weight.shape[dim]:
                    weight = weight.narrow(dim, 0, widths[choice])
            weights[name] = weight
        return functional_call(skeleton.net, weights, (images,))  # type: ignore[no-any-return]

    @torch.no_grad()
    def sort_channels(self) -> None:
        """Bring the channels of the widest net into the order of their importance, largest first.

        The importance is the sum of |gamma| over the norms of a channel (Liu et al., *Network
        Slimming*, ICCV 2017). Convolutions whose outputs are added share one order; the widest
        net computes what it did before.
        """
        labels = _labels_of_streams(self.net)
        importance: dict[int, Tensor] = {}
        for name, dims in labels.items():
            if dims and name.endswith("norm.weight"):
                stream = dims[0][1]
                gamma = self._parameters_by_name[name].abs()
                importance[stream] = importance.get(stream, 0) + gamma
        order = {s: values.argsort(descending=True) for s, values in importance.items()}
        for name, dims in labels.items():
            weight = self._parameters_by_name[name]
            for dim, stream in dims:
                weight.copy_(weight.index_select(dim, order[stream]))

    def _skeleton(self, depths: State) -> "_Skeleton":
        if depths not in self._skeletons:
            self._skeletons[depths] = _Skeleton(self.space, depths)
        return self._skeletons[depths]


class _Skeleton:
    """The derived net of one choice of depths, without weights, every width of it a label.

    Attributes:
        net: the net, on the meta device; its projections come and go with the widths.
        labels: of every parameter, the dimensions that follow a width choice, and which.
    """

    def __init__(self, space: Space, depths: State) -> None:
        shape = space.shape([0] * len(space.widths), depths)
        labels = {key: _LABEL + i for i, c in enumerate(space.widths) for key in c.keys}
        widths = {key: labels.get(key, width) for key, width in shape.widths.items()}
        with torch.device("meta"):
            self.net = build(shape.replace(widths=widths, macs=None, params=None))
        for module in self.net.modules():
            if isinstance(module, nn.BatchNorm2d):  # without buffers: statistics of the batch
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
        self.labels = _labels(self.net)
        # Blocks of a free net whose projection is there only where their two widths differ.
        self.optional: list[tuple[Block, ConvNorm, str]] = []
        a = self.net.architecture
        for path, block in self.net.named_modules():
            if isinstance(block, Block) and block.shortcut is not None:
                _, stage, index = path.split(".")
                if not a.has_projection(int(stage), int(index)):
                    self.optional.append((block, block.shortcut, f"{path}.shortcut."))

    def needed(self, widths: list[int]) -> list[tuple[str, list[tuple[int, int]]]]:
        """The parameters that the net of these widths has, and their labels; sets up the net."""
        absent = []
        for block, shortcut, name in self.optional:
            ends = shortcut.conv.out_channels, shortcut.conv.in_channels
            source, target = (widths[n - _LABEL] if n >= _LABEL else n for n in ends)
            block.shortcut = None if source == target else shortcut
            if source == target:
                absent.append(name)
        if not absent:
            return list(self.labels.items())
        return [(n, x) for n, x in self.labels.items() if not n.startswith(tuple(absent))]


def _add_projections(net: ResNet) -> None:
    """Give every block a projection, as some derived net of a free space has it."""
    width = net.shape.widths["stem"]
    for stage in net.stages:
        for block in stage:  # type: ignore[union-attr]
            last = block.get_submodule(block.convs[-1]).conv.out_channels
            if block.shortcut is None:
                norm = net.architecture.shortcut_norm(block.stride, "free")
                block.shortcut = ConvNorm(width, last, 1, 1, norm)
            width = last


def _labels(net: nn.Module) -> dict[str, list[tuple[int, int]]]:
    """The dimensions of every parameter whose size is a label, and the label's number."""
    return {
        name: [(dim, size - _LABEL) for dim, size in enumerate(p.shape) if size >= _LABEL]
        for name, p in net.named_parameters()
    }


def _labels_of_streams(net: ResNet) -> dict[str, list[tuple[int, int]]]:
    """``_labels`` with a number for every set of convolutions whose channels keep one order.

    The projections that a free space adds stand for the identity at first, in any order, and are
    left out.
    """
    streams = net.architecture.streams()
    added = {key for stream in streams for key in stream}
    sets = [*streams, *([key] for key in net.shape.widths if key not in added)]
    widths = {key: _LABEL + i for i, keys in enumerate(sets) for key in keys}
    with torch.device("meta"):
        tied = build(net.shape.replace(residual="tied", widths=widths, macs=None, params=None))
    return _labels(tied)
