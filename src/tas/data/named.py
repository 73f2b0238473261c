"""Named sets, whose pictures lie in memory at one size, as another transform wants them."""

from dataclasses import replace

import torch

from .parts import Data, Images, Part, Pictures
from .pictures import coloured
from .transform import Transform, as_image, as_pixels, as_rows


def transformed(data: Data, transform: Transform) -> Data:
    """``data``, whose parts are ``Images`` as its files have them, made ready for ``transform``."""

    def made(part: Part, zooms: bool) -> Part:
        assert isinstance(part, Images)
        shown = (transform.channels, *transform.resize)
        if not zooms and part.pixels.shape[1:] == transform.input == shown:
            return part  # a transform that changes nothing
        images = (coloured(as_image(pixels), transform.colour) for pixels in part.pixels)
        kept = (transform.store(image) for image in images)
        if zooms:
            return Pictures.of([as_rows(image) for image in kept], part.labels)
        return Images(torch.stack([as_pixels(transform.fit(i)) for i in kept]), part.labels)

    train = made(data.train, transform.vary == "zoom")
    return replace(data, transform=transform, train=train, test=made(data.test, False))
