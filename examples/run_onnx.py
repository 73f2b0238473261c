"""Run a file of `tas export --preprocess --softmax` with NumPy, Pillow and ONNX Runtime alone.

    python examples/run_onnx.py mine.onnx picture.png ...

Pictures are prepared as `tas predict` prepares them, to the bit but for JPEGs of several times the
size that the net sees: those `tas predict` decodes at a part of their size, which is faster.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def covering(sides, least):
    """The smallest width and height in the proportions of `sides` that cover `least`."""
    return (sides * max(least / sides) + 1e-6).astype(int)


def prepared(image, how):
    """What the net sees of a picture; `how` is the transform that the file holds."""
    size, resize = (np.array(how[name][::-1]) for name in ("size", "resize"))  # width, height
    resample = Image.Resampling[how["interpolation"].upper()]
    image = ImageOps.exif_transpose(image).convert("L" if how["colour"] == "grey" else "RGB")
    if how["vary"] == "zoom":  # large pictures are made smaller first, to twice what is needed
        least = np.minimum(covering(np.array(image.size), 2 * resize), image.size)
        image = image.resize(tuple(least), resample)
    if how["resize"] == how["size"]:
        return ImageOps.fit(image, tuple(size), resample)
    sides = np.array(image.size)
    over = covering(sides, resize)
    corner = np.round((over - size) / 2)
    box = np.r_[corner, corner + size] * np.tile(sides / over, 2)
    return image.resize(tuple(size), resample, tuple(np.minimum(box, np.tile(sides, 2))))


def main(path, *pictures):
    session = onnxruntime.InferenceSession(path)
    about = json.loads(session.get_modelmeta().custom_metadata_map["tas"])
    for picture in pictures:
        image = prepared(Image.open(picture), about["transform"])
        pixels = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)[None]  # [1, C, H, W]
        probabilities = session.run(None, {"pictures": pixels})[0][0]
        print(about["classes"][probabilities.argmax()], probabilities.max())


if __name__ == "__main__":
    main(*sys.argv[1:])
