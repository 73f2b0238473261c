"""The parts of every ResNet here, and the ResNet built from them for any ``Shape``.

One block class serves basic and bottleneck, CIFAR and ImageNet, unpruned and searched: what
differs stands in an ``Architecture``. The paths of the modules are the keys of a ``Shape``:
``stem``, ``stages.0.2.conv1``.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ShapeError
from ..shape import Shape

__all__ = ["Architecture", "Block", "ConvNorm", "ResNet", "fitted"]


@dataclass(frozen=True)
class Architecture:
    """What tells one unpruned ResNet from another.

    >>> import tas
    >>> tas.nets.ARCHITECTURES["resnet56"].blocks, tas.nets.ARCHITECTURES["resnet56"].kernels
    ((9, 9, 9), (3, 3))

    Attributes:
        name: e.g. ``"resnet20"``.
        blocks: blocks of every stage.
        stem: width of the first convolution.
        widths: per stage, the output widths of the convolutions of each of its blocks.
        kernels: kernel sizes of the convolutions of a block; the 3x3 that comes first strides.
        large_input: 7x7 stem with stride 2 and a max-pool, for ImageNet; else a 3x3 stem.
        norm_strided: the shortcut of a block with stride 2 (pool, then 1x1) ends in a norm.
        norm_free: in a free shape, the shortcut of a block with stride 1 (1x1) ends in a norm; in
            a tied one, whose only such shortcuts are the unpruned net's own, it always does.
        zero_init: the last norm of every block starts at zero.
        classes, input: what is assumed where the user does not say.
    """

    name: str
    blocks: tuple[int, ...]
    stem: int
    widths: tuple[tuple[int, ...], ...]
    kernels: tuple[int, ...]
    large_input: bool
    norm_strided: bool
    norm_free: bool
    zero_init: bool
    classes: int
    input: tuple[int, int, int]

    def convolutions(self, depths: dict[str, int] | None = None) -> list[str]:
        """Paths of all convolutions with a width of their own, in order; ``depths`` cuts stages."""
        names = ["stem"]
        for s, count in enumerate(self.blocks):
            for b in range((depths or {}).get(f"stages.{s}", count)):
                names += [f"stages.{s}.{b}.conv{k + 1}" for k in range(len(self.kernels))]
        return names

    def full(self, classes: int | None = None, input: tuple[int, int, int] | None = None) -> Shape:
        """The shape of the unpruned net; it is free and tied at once, and is called tied."""
        widths = {"stem": self.stem}
        for s, count in enumerate(self.blocks):
            for b in range(count):
                for k, width in enumerate(self.widths[s]):
                    widths[f"stages.{s}.{b}.conv{k + 1}"] = width
        return Shape(
            net=self.name,
            classes=self.classes if classes is None else classes,
            input=self.input if input is None else input,
            residual="tied",
            widths=widths,
            depths={f"stages.{s}": n for s, n in enumerate(self.blocks)},
            origin="unpruned",
        )

    def streams(self, depths: dict[str, int] | None = None) -> list[list[str]]:
        """The convolutions whose outputs are added to one another, a list per residual stream."""
        streams = [["stem"]]
        for s, count in enumerate(self.blocks):
            for b in range((depths or {}).get(f"stages.{s}", count)):
                if self.has_projection(s, b):
                    streams.append([])
                streams[-1].append(f"stages.{s}.{b}.conv{len(self.kernels)}")
        return streams

    def stride(self, stage: int, block: int) -> int:
        """Stride of a block: 2 where a stage after the first begins."""
        return 2 if stage > 0 and block == 0 else 1

    def shortcut_norm(self, stride: int, residual: str) -> bool:
        """Whether the convolution on a shortcut is followed by a norm."""
        if stride == 2:
            return self.norm_strided
        return residual == "tied" or self.norm_free

    def has_projection(self, stage: int, block: int) -> bool:
        """Whether the unpruned net has a convolution on this block's shortcut."""
        if block > 0:
            return False
        width_in = self.stem if stage == 0 else self.widths[stage - 1][-1]
        return self.stride(stage, block) == 2 or width_in != self.widths[stage][-1]


class ConvNorm(nn.Module):
    """Convolution, then a norm if wanted; no activation, so that a hook sits right before it.

    >>> import tas, torch
    >>> layer = tas.nets.ConvNorm(16, 32, kernel=3, stride=2, norm=True)
    >>> layer(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    def __init__(self, width_in: int, width: int, kernel: int, stride: int, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # [N, C_in, H, W] -> [N, C, H / stride, W / stride]
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """A residual block: relu(shortcut(x) + convN(... relu(conv1(x)))).

    >>> import tas, torch
    >>> shortcut = tas.nets.ConvNorm(16, 24, kernel=1, stride=1, norm=True)
    >>> block = tas.nets.Block(16, widths=(8, 24), kernels=(3, 3), stride=2, shortcut=shortcut)
    >>> block(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 24, 4, 4])

    The shortcut is the identity, or pooled and projected where the block strides, or projected by
    a 1x1 convolution where the widths of input and output differ.
    """

    def __init__(
        self,
        width_in: int,
        widths: tuple[int, ...],
        kernels: tuple[int, ...],
        stride: int,
        shortcut: ConvNorm | None,
    ) -> None:
        super().__init__()
        inputs = (width_in, *widths[:-1])
        self.convs = [f"conv{k + 1}" for k in range(len(widths))]
        for k, name in enumerate(self.convs):
            step = stride if k == kernels.index(3) else 1
            self.add_module(name, ConvNorm(inputs[k], widths[k], kernels[k], step, norm=True))
        self.stride = stride
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:  # [N, C_in, H, W] -> [N, C, H / stride, W / stride]
        y = x
        for name in self.convs[:-1]:
            y = F.relu(self.get_submodule(name)(y), inplace=True)
        y = self.get_submodule(self.convs[-1])(y)
        if self.shortcut is not None:
            # ceil_mode: an odd side then pools to the size that the strided 3x3 gives.
            pooled = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
            x = self.shortcut(pooled)
        return F.relu(x + y, inplace=True)


class ResNet(nn.Module):
    """A plain ResNet of the given ``Shape``; ``tas.nets.build`` makes one from a name.

    >>> import tas, torch
    >>> shape = tas.nets.full_shape("resnet20", classes=7)
    >>> net = tas.nets.ResNet(tas.nets.architecture("resnet20"), shape)
    >>> net(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 7])

    Raises:
        ShapeError: the shape does not fit the architecture.
    """

    def __init__(self, architecture: Architecture, shape: Shape) -> None:
        super().__init__()
        a, self.architecture = architecture, architecture
        self.shape = shape = fitted(a, shape)
        width = shape.widths["stem"]
        kernel, stride = (7, 2) if a.large_input else (3, 1)
        self.stem = ConvNorm(shape.image[0], width, kernel, stride, norm=True)
        self.pool = nn.MaxPool2d(3, 2, 1) if a.large_input else nn.Identity()
        self.stages = nn.ModuleList()
        for s in range(len(a.blocks)):
            blocks = []
            for b in range(shape.depths[f"stages.{s}"]):
                path, stride = f"stages.{s}.{b}", a.stride(s, b)
                widths = tuple(shape.widths[f"{path}.conv{k + 1}"] for k in range(len(a.kernels)))
                shortcut = None
                if a.has_projection(s, b) or width != widths[-1]:
                    norm = a.shortcut_norm(stride, shape.residual)
                    shortcut = ConvNorm(width, widths[-1], 1, 1, norm)
                blocks.append(Block(width, widths, a.kernels, stride, shortcut))
                width = widths[-1]
            self.stages.append(nn.Sequential(*blocks))
        self.classifier = nn.Linear(width, shape.scores)
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, classes]
        x = self.pool(F.relu(self.stem(x), inplace=True))
        for stage in self.stages:
            x = stage(x)
        return self.classifier(x.mean((2, 3)))  # type: ignore[no-any-return]

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)
        if self.architecture.zero_init:
            for module in self.modules():
                if isinstance(module, Block):
                    last = module.get_submodule(module.convs[-1])
                    nn.init.zeros_(last.norm.weight)  # type: ignore[union-attr, arg-type]


def fitted(a: Architecture, shape: Shape) -> Shape:
    """The shape without the entries of blocks that are cut, after checking that it fits."""
    if shape.net != a.name:
        raise ShapeError(f"the shape belongs to '{shape.net}', not to '{a.name}'")
    stages = {f"stages.{s}": n for s, n in enumerate(a.blocks)}
    for name, depth in shape.depths.items():
        if name not in stages:
            raise ShapeError(f"{a.name} has no stage '{name}': it has {', '.join(stages)}")
        if depth > stages[name]:
            raise ShapeError(
                f"the shape keeps {depth} blocks of '{name}', but {a.name} has {stages[name]}"
            )
    missing = [name for name in stages if name not in shape.depths]
    if missing:
        raise ShapeError(f"the shape has no depth for '{missing[0]}' of {a.name}")
    every = a.convolutions()
    unknown = [name for name in shape.widths if name not in set(every)]
    if unknown:
        raise ShapeError(
            f"{a.name} has no convolution '{unknown[0]}': names run from {every[0]} to {every[-1]}"
        )
    kept = a.convolutions(dict(shape.depths))
    missing = [name for name in kept if name not in shape.widths]
    if missing:
        raise ShapeError(f"the shape has no width for '{missing[0]}' of {a.name}")
    widths = {name: shape.widths[name] for name in kept}
    if shape.residual == "tied":
        for stream in a.streams(dict(shape.depths)):
            first = stream[0]
            for name in stream[1:]:
                if widths[name] != widths[first]:
                    raise ShapeError(
                        f"the shape is tied, but '{name}' has {widths[name]} channels and "
                        f"'{first}', to which it is added, {widths[first]}"
                    )
    return shape.replace(widths=widths, depths={name: shape.depths[name] for name in stages})
