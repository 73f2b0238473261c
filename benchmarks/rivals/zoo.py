"""The nets of the table, small enough for two cores, and how each of them is trained.

Torchvision's and timm's nets are made for pictures of 224 pixels. Where their stem would throw a
picture of 32 away its stride is taken out, and pictures of one channel get a stem that reads one;
what was changed stands in ``changed`` and on the page. All else is the library's own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

import tas

Input = tuple[int, int, int]


@dataclass(frozen=True)
class Net:
    """A net, and its trainings on the pictures of the table.

    Attributes:
        make: from classes and channels, height and width of a picture to a net of fresh weights.
        changed: what differs from the library's net, in words.
        epochs, lr: of the teacher's training, on 10,000 pictures; with more of them fewer epochs.
        tune_epochs: of every fine-tuning.
        rates: learning rates among which equal ratios choose that of every fine-tuning.
        adam: trained and fine-tuned by AdamW, without which it does not learn; else by SGD.
        precision: the faster one on a CPU: depthwise convolutions are slow in bf16.
    """

    make: Callable[[int, Input], nn.Module]
    changed: str = ""
    epochs: int = 16
    lr: float = 0.1
    tune_epochs: int = 6
    rates: tuple[float, ...] = (0.01, 0.03, 0.1)
    adam: bool = False
    precision: str = "bf16"


def _ours(name: str) -> Callable[[int, Input], nn.Module]:
    return lambda classes, input: tas.nets.build(name, classes, input)


def _vgg(classes: int, input: Input) -> nn.Module:
    from torchvision.models import vgg11_bn

    net = vgg11_bn(num_classes=classes)
    net.features[0] = nn.Conv2d(input[0], 64, 3, padding=1)
    if min(input[1:]) < 32:
        net.features[-1] = nn.Identity()  # the fifth pool, for which nothing is left
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = nn.Linear(512, classes)
    return net


def _mobilenet(classes: int, input: Input) -> nn.Module:
    from torchvision.models import mobilenet_v2

    net = mobilenet_v2(num_classes=classes)
    net.features[0][0] = nn.Conv2d(input[0], 32, 3, padding=1, bias=False)
    return net


def _densenet(classes: int, input: Input) -> nn.Module:
    from torchvision.models import DenseNet

    net = DenseNet(
        growth_rate=12, block_config=(6, 6, 6), num_init_features=24, num_classes=classes
    )
    net.features.conv0 = nn.Conv2d(input[0], 24, 3, padding=1, bias=False)
    net.features.pool0 = nn.Identity()
    return net


def _regnet(classes: int, input: Input) -> nn.Module:
    import timm

    net = timm.create_model("regnetx_002", num_classes=classes, in_chans=input[0])
    net.stem.conv.stride = (1, 1)
    return net


def _convnext(classes: int, input: Input) -> nn.Module:
    import timm

    # Not by its option patch_size: with 2 the first stage halves the picture as well.
    net = timm.create_model("convnext_atto", num_classes=classes, in_chans=input[0])
    net.stem[0] = nn.Conv2d(input[0], net.stem[0].out_channels, 2, stride=2)
    return net


def _vit(classes: int, input: Input) -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    net = VisionTransformer(
        img_size=input[1:],
        patch_size=4,
        in_chans=input[0],
        num_classes=classes,
        embed_dim=128,
        depth=6,
        num_heads=4,
    )
    for block in net.blocks:
        block.attn.fused_attn = False  # Torch-Pruning reads the graph of the plain products
    return net


def _shufflenet(classes: int, input: Input) -> nn.Module:
    from torchvision.models import shufflenet_v2_x1_0

    net = shufflenet_v2_x1_0(num_classes=classes)
    net.conv1[0] = nn.Conv2d(input[0], 24, 3, padding=1, bias=False)
    return net


NETS: dict[str, Net] = {
    "resnet20": Net(_ours("resnet20")),
    "resnet20_long": Net(_ours("resnet20"), "none, but a teacher that has learnt to the end", 80),
    "mobilenet_v2": Net(_mobilenet, "stem of stride 1", epochs=12, precision="fp32"),
    "vgg11_bn": Net(_vgg, "one linear layer behind a mean, as is usual for CIFAR", 12, 0.05),
    "regnetx_002": Net(_regnet, "stem of stride 1"),
    "convnext_atto": Net(
        _convnext,
        "patches of 2",
        20,
        2e-3,
        rates=(2e-4, 5e-4, 1e-3),
        adam=True,
        precision="fp32",
    ),
    "shufflenet_v2": Net(_shufflenet, "stem of stride 1", 16, precision="fp32"),
    "densenet40": Net(_densenet, "growth 12, 6 + 6 + 6 layers, stem of stride 1, no pool", 12),
    "resnet56": Net(_ours("resnet56"), epochs=12),
    "vit_tiny": Net(
        _vit,
        "patches of 4, 128 channels, 4 heads, 6 blocks",
        20,
        1e-3,
        rates=(1e-4, 3e-4, 1e-3),
        adam=True,
        precision="fp32",
    ),
}
