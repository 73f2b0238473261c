"""``load``: a net from its shape and weights, or from the folder that a run left."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from .. import nets
from ..errors import InputError
from ..shape import Shape
from ..typed import checked

__all__ = ["load"]


@checked
def load(
    net: str | Path | Shape,
    weights: str | Path | None = None,
    classes: int | None = None,
    input: tuple[int, int, int] | None = None,
    *,
    trust: str | None = None,
    make: Callable[..., nn.Module] | None = None,
) -> nn.Module:
    """Load a net: of a folder or of the hub, or of a shape and a file of weights.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)  # train it first
    >>> _ = tas.save(net, "mine", transform=data.transform, classes=data.class_names)
    >>> net = tas.load("mine")  # of tas.save, tas run, tas train or tas search; in eval mode
    >>> net.transform == data.transform, net.classes == data.class_names
    (True, True)
    >>> net = tas.load("mine/shape.json", "mine/model.safetensors")  # the net alone

    ``transform`` and ``classes`` are plain attributes: they are in no state dict, and are copied
    and pickled with the net. A net that has attributes of these names keeps its own, which is said.
    Folders of runs before there was a ``config.json`` give None for both.

    Files are data: nothing in them is run. A function of yours that made the net is called if you
    name it (``trust``) or give it (``make``).

    Args:
        net: a run or model folder, or ``"user/name"`` of a model on the Hugging Face Hub (also
            ``"user/name@revision"``; ``pip install 'torch-tas[hub]'``); or the name of a net, a
            shape or a shape file, for ``weights``.
        weights: ``.safetensors``, or a state dict of ``torch.save``.
        classes, input: as in ``tas.nets.build``; a folder says both itself.
        trust: ``"package.module:function"``, where the files name it.
        make: a function that returns the unpruned net.

    Raises:
        InputError: the files cannot be read, or do not belong together.
    """
    if weights is not None:
        return nets.load(net, weights, classes, input, trust=trust, make=make)
    if isinstance(net, Shape):
        raise InputError("a shape has no weights: give them as well, tas.load(shape, weights)")
    if classes is not None or input is not None:
        raise InputError("a model folder says its classes and input itself: leave them out")
    from .folder import ModelFolder

    return ModelFolder.of(net).net(trust, make)
