"""Nets from names and shapes: the published figures, exactly."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tas import nets
from tas.costs.count import count
from tas.errors import InputError, ShapeError
from tas.nets.reference import parse_config, read_config

# Recomputed from the released configurations: multiply-adds and parameters.
UNPRUNED = {
    ("resnet20", 10): (40_813_184, 272_282),
    ("resnet32", 10): (69_124_736, 466_714),
    ("resnet56", 10): (125_747_840, 855_578),
    ("resnet110", 10): (253_149_824, 1_730_522),
    ("resnet164", 10): (247_646_720, 1_703_386),
    ("resnet20", 100): (40_818_944, 278_132),
    ("resnet164", 100): (247_669_760, 1_726_516),
    ("resnet18", 1000): (1_814_073_344, 11_689_512),
    ("resnet50", 1000): (4_089_184_256, 25_557_032),
}
PUBLISHED = {
    "C010-ResNet20": (22_444_472, 228_130),
    "C010-ResNet32": (34_945_344, 320_539),
    "C010-ResNet56": (59_858_430, 449_307),
    "C010-ResNet110": (119_259_258, 795_864),
    "C010-ResNet164": (178_071_224, 1_277_931),
    "C100-ResNet20": (22_433_792, 241_237),
    "C100-ResNet32": (42_468_608, 427_330),
    "C100-ResNet56": (61_233_836, 470_977),
    "C100-ResNet110": (119_578_284, 843_653),
    "C100-ResNet164": (171_143_792, 1_325_258),
    "ImageNet-ResNet18V1": (1_210_757_120, 11_275_098),
    "ImageNet-ResNet50V1": (2_309_248_169, 18_624_362),
}


@pytest.mark.parametrize(("name", "classes"), UNPRUNED)
def test_unpruned_nets_have_the_known_cost(name: str, classes: int) -> None:
    net = nets.build(name, classes)
    counted = count(net, net.shape.input)
    assert (counted.macs, counted.params) == UNPRUNED[name, classes]
    assert not counted.unknown


def test_twelve_shapes_are_published() -> None:
    assert set(nets.published()) == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_rebuild_with_their_exact_cost(name: str) -> None:
    net = nets.build(name)
    counted = count(net, net.shape.input)
    assert (counted.macs, counted.params) == PUBLISHED[name]
    assert (net.shape.macs, net.shape.params) == PUBLISHED[name]


@pytest.mark.parametrize("name", ["resnet44", "resnet34", "resnet101", "resnet152"])
def test_the_other_nets_build(name: str) -> None:
    with torch.device("meta"):
        net = nets.build(name, classes=7, input=(3, 64, 64))
        assert net(torch.empty(2, 3, 64, 64)).shape == (2, 7)


@pytest.mark.parametrize("side", [8, 28, 33, 96])
def test_any_image_size_runs(side: int) -> None:
    net = nets.build("C010-ResNet20", classes=3, input=(1, side, side))
    assert net(torch.zeros(2, 1, side, side)).shape == (2, 3)
    assert net.shape.macs is None  # counted for another input


def reference_config() -> dict[str, Any]:
    """The published shape of ResNet-20, as the release writes it."""
    channels = [3, *nets.read_shape("C010-ResNet20").widths.values()]
    return {
        "dataset": ["str", "cifar"],
        "depth": ["int", "20"],
        "module": ["str", "ResNetBasicblock"],
        "super_type": ["str", "infer-shape"],
        "zero_init_residual": ["bool", "0"],
        "class_num": ["int", "10"],
        "search_mode": ["str", "shape"],
        "xchannels": ["int", [str(c) for c in channels]],
        "xblocks": ["int", ["3", "3", "3"]],
        "estimated_FLOP": ["float", "22.444472"],
    }


def test_a_reference_config_is_read(tmp_path: Path) -> None:
    shape, config = nets.read_shape("C010-ResNet20"), reference_config()
    path = tmp_path / "C010-ResNet20.config"
    path.write_text(json.dumps(config))
    read = nets.read_shape(path)
    assert (read.widths, read.depths) == (shape.widths, shape.depths)
    # A depth search of the release leaves the widths out, a width search the depths.
    depth_only = {k: v for k, v in config.items() if k != "xchannels"} | {
        "xblocks": ["int", ["3", "1", "2"]]
    }
    found = parse_config(depth_only, nets.ARCHITECTURES, "x")
    assert list(found.depths.values()) == [3, 1, 2]
    assert found.widths["stages.2.1.conv2"] == 64
    assert "stages.1.1.conv1" not in found.widths
    nets.build(found)
    path.write_text('{"depth": 20}')
    with pytest.raises(ShapeError, match="not a config of the TAS release"):
        read_config(path, nets.ARCHITECTURES)
    path.write_text("[" * 100_000)
    with pytest.raises(ShapeError, match="is not JSON"):
        read_config(path, nets.ARCHITECTURES)


WIDTHS = ["16"] * 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"xblocks": ["int", ["9", "3", "3"]]}, "keeps 9 blocks of 'stages.0', but resnet20 has 3"),
        (
            {"xblocks": ["int", ["3", "0", "3"]]},
            "'depths.stages.1' is 0, not a whole number from 1",
        ),
        ({"xblocks": ["int", ["3", "-1", "3"]]}, "'depths.stages.1' is -1, not a whole"),
        ({"xblocks": ["float", ["3", "3", "3"]]}, "'xblocks[0]' is 3.0, not a whole"),
        ({"xblocks": ["int", "3"]}, "'xblocks' is 3, not a list of whole numbers"),
        ({"xchannels": ["int", "5"]}, "'xchannels' is 5, not a list of whole numbers"),
        ({"xchannels": ["int", ["3", "0", *WIDTHS[2:]]]}, "'widths.stem' is 0, not a whole"),
        ({"xchannels": ["int", ["3", "-4", *WIDTHS[2:]]]}, "'widths.stem' is -4, not a whole"),
        ({"xchannels": ["float", ["3", "4.5", *WIDTHS[2:]]]}, "'xchannels[0]' is 3.0, not a whole"),
        ({"class_num": ["int", "0"]}, "'classes' is 0, not a whole"),
        ({"class_num": ["str", "ten"]}, "'class_num' is 'ten', not a whole"),
        ({"class_num": ["int", float("inf")]}, "not a config of the TAS release"),
        ({"class_num": ["int", "9" * 5000]}, "not a config of the TAS release"),
    ],
)
def test_a_reference_config_that_is_no_shape_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ShapeError) as caught:
        parse_config(reference_config() | change, nets.ARCHITECTURES, "x.config")
    assert "'x.config'" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"widths": {"stages.0.0.conv9": 4}}, "no convolution 'stages.0.0.conv9'"),
        ({"widths": {"stem": None}}, "no width for 'stem'"),
        ({"depths": {"stages.0": 4}}, "keeps 4 blocks of 'stages.0', but resnet20 has 3"),
        ({"depths": {"stages.7": 1}}, "no stage 'stages.7'"),
        ({"depths": {"stages.1": None}}, "no depth for 'stages.1'"),
        ({"widths": {"stages.0.1.conv2": 12}}, "tied, but 'stages.0.1.conv2' has 12"),
    ],
)
def test_a_shape_that_does_not_fit_is_named(
    change: dict[str, dict[str, int | None]], words: str
) -> None:
    shape = nets.full_shape("resnet20")
    for field, entries in change.items():
        values = dict(getattr(shape, field)) | entries
        shape = shape.replace(**{field: {k: v for k, v in values.items() if v is not None}})
    with pytest.raises(ShapeError) as caught:
        nets.build(shape)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"classes": 0}, "the net resnet20: 'classes' is 0, not a whole number from 1"),
        ({"classes": -3}, "'classes' is -3, not a whole number"),
        ({"classes": 10**30}, f"'classes' is {10**30}, not a whole number from 1"),
        ({"input": (3, 32, 0)}, "'input[2]' is 0, not a whole number"),
    ],
)
def test_classes_and_images_that_cannot_be_are_refused(given: dict[str, Any], words: str) -> None:
    for name in ("resnet20", "traced_nets:Mixed"):
        with pytest.raises(ShapeError) as caught:
            nets.build(name, **given)
        assert words.replace("resnet20", name) in str(caught.value)
        with pytest.raises(InputError, match=r"input=\(3, 32\): give \[a whole number, a whole"):
            nets.build(name, input=(3, 32))  # type: ignore[arg-type]


def test_a_net_that_fits_no_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't allocate memory: you tried to allocate much\nand so on")

    monkeypatch.setattr(nets, "ResNet", refuse)
    with pytest.raises(InputError, match=r"^the net resnet20 cannot be built: .*allocate much$"):
        nets.build("resnet20")


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown net.*'renset20': did you mean 'resnet20'"):
        nets.build("renset20")
