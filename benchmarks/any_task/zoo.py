"""Nets that are no classifiers of images: how each is made, on what it runs, what of it counts.

All have fresh weights and real widths; pictures are small, and transformers whose layers are all
alike have 4 of them. Nets of packages that are not installed cannot be made, and say so:

    pip install transformers
    pip install --no-deps ultralytics opencv-python-headless segmentation-models-pytorch
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Forward = Callable[[nn.Module, Any], Any]


@dataclass(frozen=True)
class Entry:
    """A net, the batch of two that it runs on, and how it is called (None: as it is)."""

    make: Callable[[], nn.Module]
    batch: Callable[[], Any]
    forward: Forward | None = None
    kind: str = field(default="", kw_only=True)


def pictures(side: int, *more: int) -> Callable[[], Tensor]:
    return lambda: torch.rand(2, 3, *more, side, side)


# torchvision ------------------------------------------------------------------------------------


def torchvision_net(room: str, name: str, **how: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchvision

        made = getattr(getattr(torchvision.models, room), name)
        return made(weights=None, **how)

    return make


def raw_heads(net: Any, images: Tensor) -> Any:
    """The scores and boxes of a detector of one stage, before some are chosen."""
    return net.head(list(net.backbone(images).values()))


def raw_regions(net: Any, images: Tensor) -> Any:
    """The answers of a detector of two stages, about regions that are the same for all nets."""
    features = net.backbone(images)
    proposed = net.rpn.head(list(features.values()))
    side = images.shape[-1]
    corners = torch.linspace(0, side / 2, 4)
    regions = corners[:, None] + torch.tensor([0, 0, side / 3, side / 2])
    regions, sizes = [regions.to(images)] * len(images), [(side, side)] * len(images)
    heads, found = net.roi_heads, [*proposed]
    found += heads.box_predictor(heads.box_head(heads.box_roi_pool(features, regions, sizes)))
    for each in ("mask", "keypoint"):
        if getattr(heads, f"{each}_roi_pool") is not None:
            x = getattr(heads, f"{each}_roi_pool")(features, regions, sizes)
            found.append(getattr(heads, f"{each}_predictor")(getattr(heads, f"{each}_head")(x)))
    return found


def detector(name: str, side: int, forward: Forward) -> Entry:
    make = torchvision_net("detection", name, weights_backbone=None)
    return Entry(make, pictures(side), forward, kind="detection")


def segmenter(name: str) -> Entry:
    make = torchvision_net("segmentation", name, weights_backbone=None, num_classes=21)
    return Entry(make, pictures(96), lambda net, x: net(x)["out"], kind="segmentation")


def video(name: str) -> Entry:
    return Entry(torchvision_net("video", name), pictures(56, 8), kind="video")


def flow(net: nn.Module, pair: Any) -> Any:
    return net(*pair, num_flow_updates=2)


TORCHVISION = {
    **{
        f"torchvision:{name}": detector(name, 96, raw_regions)
        for name in (
            "fasterrcnn_resnet50_fpn",
            "fasterrcnn_mobilenet_v3_large_fpn",
            "maskrcnn_resnet50_fpn",
            "keypointrcnn_resnet50_fpn",
        )
    },
    "torchvision:fcos_resnet50_fpn": detector("fcos_resnet50_fpn", 96, raw_heads),
    "torchvision:retinanet_resnet50_fpn": detector("retinanet_resnet50_fpn", 96, raw_heads),
    "torchvision:ssd300_vgg16": detector("ssd300_vgg16", 300, raw_heads),
    "torchvision:ssdlite320_mobilenet_v3_large": detector(
        "ssdlite320_mobilenet_v3_large", 160, raw_heads
    ),
    **{
        f"torchvision:{name}": segmenter(name)
        for name in (
            "deeplabv3_resnet50",
            "deeplabv3_mobilenet_v3_large",
            "fcn_resnet50",
            "lraspp_mobilenet_v3_large",
        )
    },
    **{f"torchvision:{name}": video(name) for name in ("r3d_18", "mc3_18", "r2plus1d_18")},
    "torchvision:raft_small": Entry(
        torchvision_net("optical_flow", "raft_small"),
        lambda: (torch.rand(2, 3, 128, 128), torch.rand(2, 3, 128, 128)),
        flow,
        kind="optical flow",
    ),
}

# Ultralytics ------------------------------------------------------------------------------------


def raw_scores(net: nn.Module, images: Tensor) -> Any:
    """Scores and boxes of every place; behind the decoded ones in evaluation."""
    found = net(images)
    raw = found if net.training else found[1]
    return {name: value for name, value in raw.items() if name != "feats"}


def yolo(name: str) -> Entry:
    def make() -> nn.Module:
        from ultralytics.nn import tasks

        kinds = {"seg": tasks.SegmentationModel, "pose": tasks.PoseModel}
        kind = kinds.get(name.partition("-")[2], tasks.DetectionModel)
        return kind(f"{name}.yaml", verbose=False)

    return Entry(make, pictures(96), raw_scores, kind="detection")


ULTRALYTICS = {
    f"ultralytics:{name}": yolo(name)
    for name in ("yolov8n", "yolo11n", "yolov8n-seg", "yolov8n-pose")
}

# Hugging Face -----------------------------------------------------------------------------------


def hugging_face(name: str, **how: Any) -> Callable[[], nn.Module]:
    """A model of transformers from its configuration: ``ViTForImageClassification`` of ViT's."""

    def make() -> nn.Module:
        import transformers

        kind = getattr(transformers, name)
        return kind(kind.config_class(**how))

    return make


def named(side: int) -> Callable[[], Any]:
    return lambda: {"pixel_values": torch.rand(2, 3, side, side)}


def logits(net: nn.Module, batch: Any) -> Any:
    return net(**batch).logits


def logits_and_boxes(net: nn.Module, batch: Any) -> Any:
    out = net(**batch)
    return out.logits, out.pred_boxes


def states(net: nn.Module, batch: Any) -> Any:
    return net(**batch).last_hidden_state


HUGGING_FACE = {
    "transformers:ViTForImageClassification": Entry(
        hugging_face("ViTForImageClassification", image_size=64, num_hidden_layers=4),
        named(64),
        logits,
        kind="classification",
    ),
    "transformers:DeiTForImageClassification": Entry(
        hugging_face("DeiTForImageClassification", image_size=64, num_hidden_layers=4),
        named(64),
        logits,
        kind="classification",
    ),
    "transformers:SwinForImageClassification": Entry(
        hugging_face("SwinForImageClassification", image_size=224, num_labels=1000),
        named(224),
        logits,
        kind="classification",
    ),
    "transformers:ConvNextForImageClassification": Entry(
        hugging_face("ConvNextForImageClassification", num_labels=1000),
        named(64),
        logits,
        kind="classification",
    ),
    "transformers:SegformerForSemanticSegmentation": Entry(
        hugging_face("SegformerForSemanticSegmentation", num_labels=21),
        named(64),
        logits,
        kind="segmentation",
    ),
    "transformers:DetrForObjectDetection": Entry(
        hugging_face("DetrForObjectDetection", use_pretrained_backbone=False, backbone_config=None),
        named(64),
        logits_and_boxes,
        kind="detection",
    ),
    "transformers:RTDetrForObjectDetection": Entry(
        hugging_face("RTDetrForObjectDetection", anchor_image_size=None, num_queries=50),
        named(96),
        logits_and_boxes,
        kind="detection",
    ),
    "transformers:CLIPVisionModel": Entry(
        hugging_face("CLIPVisionModel", image_size=64, num_hidden_layers=4),
        named(64),
        states,
        kind="embedding",
    ),
    "transformers:Wav2Vec2ForCTC": Entry(
        hugging_face("Wav2Vec2ForCTC", num_hidden_layers=4),
        lambda: {"input_values": torch.randn(2, 4000)},
        logits,
        kind="audio",
    ),
}

# segmentation-models-pytorch --------------------------------------------------------------------


def smp(name: str) -> Entry:
    def make() -> nn.Module:
        import segmentation_models_pytorch

        kind = getattr(segmentation_models_pytorch, name)
        return kind(encoder_name="resnet34", encoder_weights=None, classes=21)

    return Entry(make, pictures(64), kind="segmentation")


SMP = {f"smp:{name}": smp(name) for name in ("Unet", "FPN", "DeepLabV3Plus")}

# Of no library ----------------------------------------------------------------------------------


class M5(nn.Sequential):
    """Words from a wave of 8 kHz: the M5 of Dai et al., Very Deep CNNs for Raw Waveforms, 2016."""

    def __init__(self, words: int = 35) -> None:
        layers: list[nn.Module] = []
        inputs = 1
        for outputs, kernel, stride in ((128, 80, 4), (128, 3, 1), (256, 3, 1), (512, 3, 1)):
            layers += [nn.Conv1d(inputs, outputs, kernel, stride), nn.BatchNorm1d(outputs)]
            layers += [nn.ReLU(), nn.MaxPool1d(4)]
            inputs = outputs
        super().__init__(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(512, words))


class CRNN(nn.Module):
    """A line of text from its picture: Shi et al., An End-to-End Trainable Neural Network, 2015."""

    def __init__(self, characters: int = 37, hidden: int = 256) -> None:
        super().__init__()
        plan = [(64, (2, 2)), (128, (2, 2)), (256, None), (256, (2, 1)), (512, None), (512, (2, 1))]
        layers: list[nn.Module] = []
        inputs = 1
        for outputs, pool in plan:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
            layers += [nn.MaxPool2d(pool)] if pool else []
            inputs = outputs
        self.convolutions = nn.Sequential(*layers, nn.Conv2d(512, 512, 2), nn.ReLU())
        self.recurrent = nn.LSTM(512, hidden, num_layers=2, bidirectional=True)
        self.head = nn.Linear(2 * hidden, characters)

    def forward(self, lines: Tensor) -> Tensor:  # [N, 1, 32, W] -> [W / 4 - 1, N, characters]
        x = self.convolutions(lines).squeeze(2).permute(2, 0, 1)
        return F.log_softmax(self.head(self.recurrent(x)[0]), -1)


OWN = {
    "M5 (1-d convolutions)": Entry(M5, lambda: torch.randn(2, 1, 8000), kind="audio"),
    "CRNN (convolutions and LSTM)": Entry(CRNN, lambda: torch.rand(2, 1, 32, 96), kind="text"),
}

NETS: dict[str, Entry] = {**TORCHVISION, **ULTRALYTICS, **HUGGING_FACE, **SMP, **OWN}
