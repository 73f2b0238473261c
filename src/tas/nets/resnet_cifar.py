"""The ResNets of CIFAR: three stages, 3x3 stem. They take any small image.

He et al., *Deep Residual Learning for Image Recognition*, 2015, section 4.2, with the shortcuts of
the TAS release: where a stage begins, a 2x2 average pool and a 1x1 convolution without norm.
"""

from .resnet import Architecture

__all__ = ["ARCHITECTURES"]


def _cifar(name: str, blocks: int, bottleneck: bool) -> Architecture:
    inner = (16, 32, 64)
    return Architecture(
        name=name,
        blocks=(blocks,) * 3,
        stem=16,
        widths=tuple((w, w, 4 * w) if bottleneck else (w, w) for w in inner),
        kernels=(1, 3, 1) if bottleneck else (3, 3),
        large_input=False,
        norm_strided=False,
        norm_free=not bottleneck,
        zero_init=False,
        classes=10,
        input=(3, 32, 32),
    )


ARCHITECTURES = {
    **{f"resnet{6 * n + 2}": _cifar(f"resnet{6 * n + 2}", n, False) for n in (3, 5, 7, 9, 18)},
    "resnet164": _cifar("resnet164", 18, True),
}
