"""The ResNets of ImageNet: four stages, 7x7 stem and max-pool.

He et al. 2015, table 1, with the stride of a bottleneck in its 3x3 convolution (as torchvision has
it) and the shortcuts of the TAS release: a 2x2 average pool, a 1x1 convolution and a norm.
"""

from .resnet import Architecture

__all__ = ["ARCHITECTURES"]


def _imagenet(name: str, blocks: tuple[int, ...], bottleneck: bool) -> Architecture:
    inner = (64, 128, 256, 512)
    return Architecture(
        name=name,
        blocks=blocks,
        stem=64,
        widths=tuple((w, w, 4 * w) if bottleneck else (w, w) for w in inner),
        kernels=(1, 3, 1) if bottleneck else (3, 3),
        large_input=True,
        norm_strided=True,
        norm_free=True,
        zero_init=True,
        classes=1000,
        input=(3, 224, 224),
    )


ARCHITECTURES = {
    "resnet18": _imagenet("resnet18", (2, 2, 2, 2), False),
    "resnet34": _imagenet("resnet34", (3, 4, 6, 3), False),
    "resnet50": _imagenet("resnet50", (3, 4, 6, 3), True),
    "resnet101": _imagenet("resnet101", (3, 4, 23, 3), True),
    "resnet152": _imagenet("resnet152", (3, 8, 36, 3), True),
}
