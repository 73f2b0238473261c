"""Tell the classes of pictures, prepared as the net's test pictures were."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from .. import checks
from ..data import Transform, chosen_pictures, read_chosen
from ..errors import InputError
from ..exports import OnnxNet
from ..forward import answer, evaluating
from ..training import Device, computing, where
from ..training.placing import Placing, settled_with
from ..typed import checked
from ..usable import check_weights
from .opening import OpenedFolder, described

__all__ = ["Prediction", "Scorer", "predict", "predictions", "scorer"]

Pictures = str | Path | Image.Image | Sequence[str | Path | Image.Image]


@dataclass(frozen=True)
class Prediction:
    """What a net says of a picture, as ``tas.predict`` returns it.

    Attributes:
        picture: its path, as given or found; of an ``Image`` its file's.
        classes: the most probable ones, the first is the ``label``.
        probabilities: of these classes, by softmax.
        error: why the picture cannot be read; there are no classes then.
    """

    picture: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    error: str = ""

    @property
    def label(self) -> str:
        """The most probable class; empty where the picture cannot be read."""
        return self.classes[0] if self.classes else ""

    @property
    def probability(self) -> float:
        """That of the label."""
        return self.probabilities[0] if self.probabilities else float("nan")


@checked
def predict(
    model: nn.Module | str | Path,
    pictures: Pictures,
    *,
    top: int = 1,
    transform: Transform | None = None,
    classes: Sequence[str] | None = None,
    batch_size: int = 256,
    device: Device = "auto",
    precision: str = "auto",
    workers: int | None = None,
) -> list[Prediction]:
    """Tell the classes of pictures.

    >>> import tas
    >>> data = tas.data.load("digits")
    >>> net = tas.nets.build("resnet20", classes=data.classes, input=data.input)
    >>> _ = tas.save(net, "mine", transform=data.transform, classes=data.class_names)
    >>> from PIL import Image
    >>> Image.new("L", (8, 8)).save("black.png")
    >>> for guess in tas.predict("mine", "black.png"):
    ...     print(guess.picture, guess.label in data.class_names)
    black.png True

    Pictures are prepared as those of the test set are, bit for bit: predictions on the files of a
    test set have the accuracy of ``tas eval``.

    Args:
        model: a run or model folder, an ``.onnx`` file of ``tas.export``, or a net that
            ``tas.load`` gave.
        pictures: a file, a folder (all pictures below it), a pattern such as ``photos/*.png``, an
            image of Pillow; or several of them.
        top: so many classes, the most probable first.
        transform, classes: for a net that was not loaded from a folder.

    Returns:
        One for each picture, in order; of one that cannot be read it has the ``error``.

    Raises:
        InputError: the model or an option cannot be used.
    """
    if isinstance(pictures, str | Path | Image.Image):
        pictures = [pictures]
    score = scorer(model, transform, classes, device=device, precision=precision)
    return list(predictions(score, pictures, top=top, batch_size=batch_size, workers=workers))


class Scorer(Protocol):
    """What gives the probabilities of the classes of pictures."""

    transform: Transform
    classes: tuple[str, ...]

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 [N, C, H, W] -> float32 [N, classes]."""


def scorer(
    model: nn.Module | str | Path,
    transform: Transform | None = None,
    classes: Sequence[str] | None = None,
    *,
    net: str | None = None,
    device: Device = "auto",
    precision: str = "auto",
) -> Scorer:
    """A model ready to score pictures.

    Args:
        net: the function that makes a net of the user's own, ``package.module:function``.

    Raises:
        InputError: the model, its transform or its classes are missing or cannot be used.
    """
    where(device, precision)  # or an error, now
    if isinstance(model, str | Path) and Path(model).suffix == ".onnx":
        if net is not None:
            raise InputError(f"--net {net}: '{model}' holds its net itself, leave it out")
        return _Onnx(OnnxNet(model))
    folder = None
    if not isinstance(model, nn.Module):
        opened = OpenedFolder.of(model, net)
        folder, model = opened.folder, opened.net
    check_weights(model, "net", precision)
    transform, classes = described(model, folder, transform, classes)
    return _Net(model, transform, classes, device, precision)


def predictions(
    score: Scorer,
    pictures: Sequence[str | Path | Image.Image],
    *,
    top: int = 1,
    batch_size: int = 256,
    workers: int | None = None,
) -> Iterator[Prediction]:
    """``predict``, one after the other, of a model that is ready."""
    checks.whole("top", top, 1)
    checks.whole("batch_size", batch_size, 1)
    top = min(top, len(score.classes))
    chosen = chosen_pictures(pictures)
    for batch in read_chosen(chosen, score.transform, batch_size=batch_size, workers=workers):
        pixels = [content for _, content in batch if isinstance(content, Tensor)]
        best = iter(_best(score, torch.stack(pixels), top) if pixels else [])
        for name, content in batch:
            if isinstance(content, Tensor):
                yield Prediction(name, *next(best))
            else:
                yield Prediction(name, (), (), content)


def _best(
    score: Scorer, pixels: Tensor, top: int
) -> list[tuple[tuple[str, ...], tuple[float, ...]]]:
    """Classes and probabilities of each picture, the most probable first."""
    found = score(pixels)
    # Of equals the first, as argmax has it.
    values, places = found.sort(dim=1, descending=True, stable=True)
    return [
        (tuple(score.classes[i] for i in row[:top]), tuple(probabilities[:top]))
        for row, probabilities in zip(places.tolist(), values.tolist(), strict=True)
    ]


@dataclass
class _Net:
    """A net in PyTorch, computed as ``evaluate`` computes it."""

    net: nn.Module
    transform: Transform
    classes: tuple[str, ...]
    device: Device
    precision: str
    placing: Placing | None = None  # found out by the first pictures, as in a test

    def __call__(self, pixels: Tensor) -> Tensor:
        with computing(self.device, self.precision) as accelerator, evaluating(self.net):
            pictures = self.transform.normalise(pixels.to(accelerator.device))
            if self.placing is None:
                self.placing = settled_with(accelerator, [self.net], pictures)
            with torch.inference_mode(), self.placing.autocast():
                scores = answer(self.net, self.placing.pictures(pictures))
        if getattr(scores, "shape", None) != (len(pixels), len(self.classes)):
            got = list(scores.shape[1:]) if isinstance(scores, Tensor) else type(scores).__name__
            raise InputError(
                f"the net gives {got} for a picture, and {len(self.classes)} classes are named: "
                "give one that returns a score for each"
            )
        return scores.float().softmax(1).cpu()  # type: ignore[no-any-return]


class _Onnx:
    """An ONNX file, run by ONNX Runtime."""

    def __init__(self, net: OnnxNet) -> None:
        self.net = net
        self.transform, self.classes = net.form.transform, net.form.classes

    def __call__(self, pixels: Tensor) -> Tensor:
        given = self.net(self.net.form.given(pixels))
        return given if self.net.form.softmax else given.softmax(1)
