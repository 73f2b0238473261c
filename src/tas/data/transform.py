"""The transform: what happens to a picture before the net sees it.

It follows from the size of the pictures and is saved with a model, as JSON: whatever uses the model
later, with other pictures or on another machine, shows it pictures of the same kind. Where pictures
are kept (in memory, on disk) has no part in it.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import DataError, InputError, quoted
from ..typed import Between, checked, record
from .pictures import coloured, open_picture

Colour = Literal["grey", "rgb"]
Vary = Literal["shift", "zoom"]

SMALL = 64  # pixels on the short side: up to here pictures are shifted, above they are zoomed
MOST_PIXELS = 16_384  # of a side: no picture is larger
Sides = Annotated[
    tuple[Annotated[int, Between(1, MOST_PIXELS)], Annotated[int, Between(1, MOST_PIXELS)]],
    "height and width, each from 1 to 16,384 pixels",
]
Level = Annotated[float, Between(0, 1)]
_CHANNELS = {"grey": 1, "rgb": 3}
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


INTERPOLATIONS = tuple(_RESAMPLING)


@checked
@dataclass(frozen=True)
class Transform:
    """From a picture of any size and colours to the numbers that a net takes.

    >>> from tas.data import Transform
    >>> transform = Transform.of_size("rgb", (224, 224), mean=(0.5,) * 3, std=(0.25,) * 3)
    >>> transform.resize, transform.vary
    ((256, 256), 'zoom')
    >>> Transform.from_dict(transform.to_dict()) == transform
    True

    A picture is scaled, its proportions kept, until it just covers ``resize``, and ``size`` is cut
    out of its centre. Then it is normalised: (pixel / 255 - ``mean``) / ``std``. To train, a
    picture is varied as ``vary`` says: "shift" moves it by a few pixels, "zoom" cuts out a random
    place of it at a random size; ``Augment`` says how much.

    Raises ``InputError`` where a field is not what it has to be.
    """

    colour: Colour
    size: Sides  # height, width in pixels, as the net sees them
    resize: Sides  # height, width
    interpolation: Annotated[str, Literal["nearest", "bilinear", "bicubic", "lanczos"]]
    mean: tuple[Level, ...]  # per channel, of pixels in 0..1
    std: tuple[Level, ...]
    vary: Vary

    def __post_init__(self) -> None:
        if any(cut > scaled for cut, scaled in zip(self.size, self.resize, strict=True)):
            raise self._wrong("resize", f"at least the size, {list(self.size)}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                what = f"{self.channels} number(s), one for each channel of '{self.colour}'"
                raise self._wrong(name, what)
        if 0 in self.std:
            raise self._wrong("std", "above 0")

    def _wrong(self, name: str, wanted: str) -> InputError:
        value = quoted(list(getattr(self, name)))
        return InputError(f"the transform's {name} is {value}: it has to be {wanted}")

    @classmethod
    def of_size(
        cls,
        colour: Colour,
        size: tuple[int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        vary: Vary | None = None,
    ) -> "Transform":
        """The transform of pictures of this size where nothing else was chosen.

        Small pictures (64 pixels on the short side) are shown whole and shifted. Of larger ones
        the central 7/8 are shown, which is 224 of 256 pixels, and they are zoomed. ``vary``
        decides that instead.
        """
        if vary is None:
            vary = "shift" if min(size) <= SMALL else "zoom"
        scaled = size if vary == "shift" else (int(size[0] * 256 / 224), int(size[1] * 256 / 224))
        return cls(colour, size, scaled, "bilinear", mean, std, vary)

    def like(self, own: "Transform") -> "Transform":
        """This one, of as many pixels, as weights that were learnt before were shown pictures.

        >>> from tas.data import Transform
        >>> grey = (0.5,) * 3
        >>> own = Transform("rgb", (224, 224), (232, 232), "bicubic", grey, grey, "zoom")
        >>> Transform.of_size("grey", (448, 448), (0.4,), (0.3,)).like(own).resize
        (464, 464)

        Colours, interpolation, mean and spread are ``own``; of pictures that zoom as much is cut
        off. Small ones are still shown whole.
        """
        resize = self.size
        if self.vary == "zoom":
            height, width = (
                side * scaled // whole
                for side, scaled, whole in zip(self.size, own.resize, own.size, strict=True)
            )
            resize = height, width
        return replace(own, size=self.size, resize=resize, vary=self.vary)

    # As JSON

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        values = asdict(self).items()
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values}

    @classmethod
    def from_dict(cls, content: Any) -> "Transform":
        """What ``to_dict`` wrote. Raises ``DataError`` where it is anything else."""
        try:
            return record(cls, content, "the transform", DataError)
        except InputError as error:
            raise DataError(str(error)) from None

    # What it does

    @property
    def channels(self) -> int:
        return _CHANNELS[self.colour]

    @property
    def input(self) -> tuple[int, int, int]:
        """What the net is given for one picture: channels, height, width."""
        return (self.channels, *self.size)

    def read(self, path: str | Path) -> Tensor:
        """The file of a picture as uint8 [C, H, W], ready to be normalised.

        Raises whatever Pillow raises on a broken file, which is nearly anything.
        """
        return as_pixels(self.fit(self.open(path)))

    def pixels(self, image: Image.Image) -> Tensor:
        """A picture as uint8 [C, H, W], ready to be normalised.

        ``read`` is faster on the file of a large JPEG, which it decodes at a part of its size; its
        pixels may be a level off.
        """
        return as_pixels(self.fit(self.store(coloured(image, self.colour))))

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 [..., C, H, W] as the float32 that the net takes."""
        mean, scale = self.affine(pixels.device)
        return pixels.to(torch.float32).sub_(mean).mul_(scale)

    def affine(self, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """[C, 1, 1] each: (pixels / 255 - mean) / std as one difference and one product."""
        mean, std = (torch.tensor(v, device=device).view(-1, 1, 1) for v in (self.mean, self.std))
        return mean * 255, 1 / (std * 255)

    # What is kept of a picture, and what is made of that. In memory the first has been done once,
    # from disk it is done again and again; the bits are the same.

    def open(self, path: str | Path) -> Image.Image:
        """The picture of a file as it is kept in memory."""
        # A JPEG can be decoded at 1/2, 1/4 or 1/8: at twice the wanted size no eye sees it.
        return self.store(open_picture(path, self.colour, self._enough))

    def store(self, image: Image.Image) -> Image.Image:
        """What is kept of an upright picture in its colours: a zoom finds all in it that it needs.

        A picture to be shifted is kept as the net sees it. One to be zoomed is kept whole, but no
        larger than it takes to cover ``resize`` twice.
        """
        if self.vary == "shift":
            return self._cut(image)
        height, width = self.kept_size(image.height, image.width)
        if (height, width) == (image.height, image.width):
            return image
        return image.resize((width, height), self._resampling)

    def kept_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what is kept of a picture of these."""
        if self.vary == "shift":
            return self.size
        return min(_covering(height, width, self._enough), (height, width))

    def fit(self, kept: Image.Image) -> Image.Image:
        """What the net sees of a kept picture where it is not varied."""
        return kept if self.vary == "shift" else self._cut(kept)

    def _cut(self, image: Image.Image) -> Image.Image:
        """The centre of ``image``, as torchvision's ``Resize`` and ``CenterCrop`` cut it."""
        height, width = self.size
        if self.resize == self.size:
            if image.size == (width, height):
                return image
            return ImageOps.fit(image, (width, height), self._resampling)
        # Scaled and cut at once, for a long and thin picture would become enormous before the cut.
        over = _covering(image.height, image.width, self.resize)
        top, left = round((over[0] - height) / 2), round((over[1] - width) / 2)
        y, x = image.height / over[0], image.width / over[1]
        right, bottom = min((left + width) * x, image.width), min((top + height) * y, image.height)
        return image.resize((width, height), self._resampling, (left * x, top * y, right, bottom))

    @property
    def _enough(self) -> tuple[int, int]:
        return 2 * self.resize[0], 2 * self.resize[1]

    @property
    def _resampling(self) -> Image.Resampling:
        return _RESAMPLING[self.interpolation]


def _covering(height: int, width: int, sides: tuple[int, int]) -> tuple[int, int]:
    """Such a picture's height and width, in its proportions, where it just covers ``sides``."""
    if height * sides[1] >= width * sides[0]:
        return int(sides[1] * height / width), sides[1]
    return sides[0], int(sides[0] * width / height)


def as_rows(image: Image.Image) -> Tensor:
    """uint8 [H, W, C] of a grey or RGB picture."""
    pixels = torch.from_numpy(np.array(image))  # a copy, for what Pillow shows is not writable
    return pixels.unsqueeze(2) if pixels.ndim == 2 else pixels


def as_pixels(image: Image.Image) -> Tensor:
    """uint8 [C, H, W] of a grey or RGB picture."""
    return as_rows(image).permute(2, 0, 1).contiguous()


def as_image(pixels: Tensor) -> Image.Image:
    """The picture of uint8 [C, H, W], 1 channel or 3."""
    array = pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0).contiguous()
    return Image.fromarray(array.numpy())
