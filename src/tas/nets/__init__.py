"""Plain nets, built from a name or from a ``Shape``; no search code."""

from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path

import torch
from torch import nn

from ..costs.count import count
from ..errors import InputError, first_line, one_of
from ..forward import example_for
from ..graph import analyse, cut_to
from ..graph.sized import sized
from ..nets import named, reference, resnet_cifar, resnet_imagenet
from ..shape import Shape
from ..typed import checked
from ..weights import load_weights, read_weights
from .named import is_named
from .resnet import Architecture, Block, ConvNorm, ResNet

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Block",
    "ConvNorm",
    "ResNet",
    "architecture",
    "build",
    "full_shape",
    "is_named",
    "load",
    "load_sized",
    "measured",
    "published",
    "read_shape",
]

ARCHITECTURES = {**resnet_cifar.ARCHITECTURES, **resnet_imagenet.ARCHITECTURES}


@checked
def build(
    net: str | Shape,
    classes: int | None = None,
    input: tuple[int, int, int] | None = None,
    *,
    trust: str | None = None,
    make: Callable[..., nn.Module] | None = None,
) -> nn.Module:
    """Build a net with fresh weights.

    >>> import tas
    >>> net = tas.nets.build("resnet20", classes=7, input=(1, 28, 28))
    >>> small = tas.nets.build("C010-ResNet20")  # a searched net that the authors published
    >>> other = tas.nets.build("torchvision:squeezenet1_1", classes=7)

    Args:
        net: a net's name (``"resnet20"``, ``"timm:resnet50"``, ``"torchvision:mobilenet_v2"``,
            ``"package.module:function"``), a published shape's name (``"C010-ResNet20"``), or a
            ``Shape``.
        classes: number of classes; default: what the shape says, or 10 for the CIFAR nets and
            1000 for all others.
        input: channels, height, width of one image; default: likewise.
        trust: ``"package.module:function"``, where a shape that was read from a file names it: it
            is imported and called, which no file can ask for by itself.
        make: a function that returns the unpruned net, in the place of the name that a shape has
            for it; it is called with ``classes`` or ``num_classes`` if it takes one of them.

    Raises:
        InputError: no net has this name, it does not fit in memory, or (``ShapeError``) the shape,
            the classes or the input cannot be its own.
    """
    shape = read_shape(net, trust=trust)
    given = {"classes": classes, "input": input}
    changed = {k: v for k, v in given.items() if v is not None and v != getattr(shape, k)}
    cost = {"macs": None, "params": None} if changed else {}  # was counted for others
    fields = shape.to_dict() | changed | cost
    shape = Shape.from_dict(fields, source=f"the net {shape.net}")
    if make is None and not is_named(shape.net):
        try:
            return ResNet(architecture(shape.net), shape)
        except RuntimeError as error:  # so many channels that memory is too small
            raise InputError(f"the net {shape.net} cannot be built: {first_line(error)}") from error
    if make is not None:
        unpruned = named.made(shape.net, make, shape.classes)
    else:
        unpruned = named.build_named(shape.net, shape.scores, shape.image)
    if not shape.widths and not shape.depths:
        return unpruned
    example = example_for(unpruned, shape.image)
    return cut_to(unpruned, analyse(unpruned, example, splits=shape.splits), shape)


@checked
def load(
    net: str | Path | Shape,
    weights: str | Path,
    classes: int | None = None,
    input: tuple[int, int, int] | None = None,
    *,
    trust: str | None = None,
    make: Callable[..., nn.Module] | None = None,
) -> nn.Module:
    """Build the net of a name, a shape or a shape file, and fill it with the weights of a file.

    >>> import tas
    >>> from safetensors.torch import save_model
    >>> save_model(tas.nets.build("resnet20"), "model.safetensors")
    >>> net = tas.load("resnet20", "model.safetensors")

    Args:
        weights: ``.safetensors``, or a state dict of ``torch.save``; nothing in it is run.
        trust, make: as in ``build``.

    Raises:
        InputError: the shape or the weights cannot be read, or do not belong together.
    """
    built = build(read_shape(net, trust=trust), classes, input, make=make)
    load_weights(built, weights)
    return built


@checked
def load_sized(
    shape: Shape,
    weights: str | Path,
    *,
    trust: str | None = None,
    make: Callable[..., nn.Module] | None = None,
) -> nn.Module:
    """The net of a shape, cut as its file of weights has it, whatever it takes and gives.

    >>> import tas
    >>> from torch import nn
    >>> tas.save(nn.Linear(4, 2), "mine", shape=tas.Shape("my", None, None, "tied", {}, {})).name
    'mine'
    >>> shape = tas.nets.read_shape("mine/shape.json")
    >>> tas.nets.load_sized(shape, "mine/model.safetensors", make=lambda: nn.Linear(8, 2))
    Linear(in_features=4, out_features=2, bias=True)

    Args:
        trust, make: as in ``build``.

    Raises:
        InputError: the weights cannot be read, or are of another net.
    """
    if trust is not None:
        named.trust(trust)
    if make is not None:
        net = named.made(shape.net, make, shape.classes)
    else:
        net = named.build_named(shape.net, shape.scores, shape.image)
    sizes = {name: tuple(value.shape) for name, value in read_weights(weights).items()}
    net = sized(net, sizes, shape.rewrites, shape.widths, shape.splits)
    load_weights(net, weights)
    return net


@checked
def architecture(name: str) -> Architecture:
    """The architecture of a net's name, or an ``InputError`` that names the nearest.

    >>> import tas
    >>> tas.nets.architecture("resnet50").blocks
    (3, 4, 6, 3)
    """
    if name not in ARCHITECTURES:
        raise InputError(one_of("net", name, ARCHITECTURES))
    return ARCHITECTURES[name]


@checked
def full_shape(
    name: str, classes: int | None = None, input: tuple[int, int, int] | None = None
) -> Shape:
    """The shape of an unpruned net; that of another library's names no widths: all are its own.

    >>> import tas
    >>> shape = tas.nets.full_shape("resnet20")
    >>> shape.widths["stem"], dict(shape.depths)
    (16, {'stages.0': 3, 'stages.1': 3, 'stages.2': 3})
    """
    if is_named(name):
        classes = 1000 if classes is None else classes
        input = named.default_input(name) if input is None else input
        return Shape(name, classes, input, "tied", {}, {})
    return architecture(name).full(classes, input)


@checked
def measured(shape: Shape) -> Shape:
    """The shape with its multiply-adds and parameters, counted on its net (without memory).

    >>> import tas
    >>> tas.nets.measured(tas.nets.full_shape("resnet20")).macs
    40813184

    The unpruned shape of another library's net gets all its widths and depths, too.
    """
    if is_named(shape.net):
        net = build(shape)
        counted = count(net, shape.image)
        shape = shape.replace(macs=counted.macs, params=counted.params)
        if shape.widths or shape.depths:
            return shape
        structure = analyse(net, example_for(net, shape.image))
        return shape.replace(
            widths={width.name: width.channels for width in structure.widths},
            depths={run.name: len(run.blocks) for run in structure.runs},
        )
    with torch.device("meta"):
        counted = count(build(shape), torch.empty(1, *shape.image))
    return shape.replace(macs=counted.macs, params=counted.params)


@cache
def published() -> tuple[str, ...]:
    """Names of the twelve shapes that the TAS release published.

    >>> import tas
    >>> tas.nets.published()[0]
    'C010-ResNet110'
    """
    return tuple(sorted(p.name.removesuffix(".json") for p in _published_folder().iterdir()))


@checked
def read_shape(name: str | Path | Shape, *, trust: str | None = None) -> Shape:
    """A shape from a published shape's name, a net's name, a shape file or a ``.config`` file.

    >>> import tas
    >>> tas.nets.read_shape("C010-ResNet20").save("mine.json")
    >>> tas.nets.read_shape("mine.json").net
    'resnet20'

    Args:
        trust: a function of the user's that a file may name; see ``build``.

    Raises:
        ShapeError: the file cannot be read or is not a shape.
        InputError: it is neither a known name nor a file.
    """
    if trust is not None:
        named.trust(trust)
    if isinstance(name, Shape):
        return name
    text = str(name)
    if is_named(text):
        named.trust(text)
    if text in published():
        return Shape.load(Path(str(_published_folder() / f"{text}.json")))
    if text in ARCHITECTURES or is_named(text):
        return full_shape(text)
    path = Path(text)
    if path.suffix == ".config":
        return reference.read_config(path, ARCHITECTURES)
    if path.is_file() or path.suffix == ".json":
        return Shape.load(path)
    raise InputError(one_of("net, shape or shape file", text, [*ARCHITECTURES, *published()]))


def _published_folder() -> Path:
    return Path(str(resources.files(__package__) / "published"))
