"""How long exported files take, beside one another."""

import statistics
import time
from collections.abc import Sequence

from torch import Tensor

from .onnx_file import OnnxNet

__all__ = ["milliseconds"]

ROUNDS, WARM_UP = 21, 3
AT_MOST_SECONDS = 10.0


def milliseconds(nets: Sequence[OnnxNet], pixels: Tensor) -> list[float]:
    """The median time of a call of each net with these pictures, uint8 [N, C, H, W].

    They are called in turn, so that what disturbs the machine disturbs all of them.
    """
    given = [net.form.given(pixels) for net in nets]
    taken: list[list[float]] = [[] for _ in nets]
    begun = time.perf_counter()
    for number in range(WARM_UP + ROUNDS):
        for net, pictures, own in zip(nets, given, taken, strict=True):
            started = time.perf_counter()
            net(pictures)
            if number >= WARM_UP:
                own.append(time.perf_counter() - started)
        if number >= WARM_UP and time.perf_counter() - begun > AT_MOST_SECONDS:
            break
    return [1000 * statistics.median(own) for own in taken]
