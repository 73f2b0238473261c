"""The 1,797 handwritten digits that ship with scikit-learn, 8 x 8 pixels: nothing to download."""

import torch
from sklearn.datasets import load_digits

from .parts import Data, Images, measured
from .split import TEST_FRACTION, stratified_split
from .transform import Transform


def load(seed: int) -> Data:
    digits = load_digits()
    pixels = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)
    images = Images(pixels.unsqueeze(1), torch.from_numpy(digits.target).long())
    kept, held_out = stratified_split(images.labels, 1 - TEST_FRACTION, seed)
    train = images.take(kept)
    mean, std = measured(train.pixels)
    return Data(
        name="digits",
        class_names=tuple(str(digit) for digit in digits.target_names.tolist()),
        transform=Transform.of_size("grey", (8, 8), mean, std),
        train=train,
        test=images.take(held_out),
        flip=False,
        notes=(
            f"digits has no test part of its own: {len(held_out)} of its {len(images)} pictures "
            f"were set aside, stratified by class, seed {seed}",
        ),
    )
