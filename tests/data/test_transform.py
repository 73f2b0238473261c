"""The transform: chosen by the size of the pictures, saved as JSON, used as it is ever after."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from pictures_on_disk import cifar10, digit, folder
from tas.data import Augment, Files, Images, Pictures, Transform, batches, load
from tas.errors import DataError, InputError

SMALL = Transform.of_size("rgb", (16, 20), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
LARGE = Transform.of_size("rgb", (112, 112), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
GREY = Transform.of_size("grey", (8, 8), (0.25,), (0.5,))


def noise(height: int, width: int) -> Image.Image:
    generator = np.random.default_rng(height * width)
    return Image.fromarray(generator.integers(256, size=(height, width, 3), dtype=np.uint8))


# Chosen by the size


@pytest.mark.parametrize(
    ("size", "resize", "vary"),
    [
        ((8, 8), (8, 8), "shift"),
        ((64, 200), (64, 200), "shift"),
        ((65, 65), (74, 74), "zoom"),
        ((224, 224), (256, 256), "zoom"),
    ],
)
def test_the_size_chooses_the_rest(
    size: tuple[int, int], resize: tuple[int, int], vary: str
) -> None:
    transform = Transform.of_size("grey", size, (0.5,), (0.5,))
    assert (transform.resize, transform.vary) == (resize, vary)
    assert transform.interpolation == "bilinear"
    assert transform.input == (1, *size)


def test_a_caller_may_choose_how_pictures_are_varied(tmp_path: Path) -> None:
    folder(tmp_path)
    assert load(tmp_path).transform.vary == "shift"
    assert load(tmp_path, image_size=65).transform.vary == "zoom"
    zoomed = load(tmp_path, vary="zoom").transform
    assert (zoomed.vary, zoomed.size, zoomed.resize) == ("zoom", (8, 8), (9, 9))
    assert load("digits", vary="zoom").transform.vary == "zoom"
    assert load("digits", image_size=65, vary="shift").transform.vary == "shift"
    with pytest.raises(InputError, match="vary='zom': give 'shift' or 'zoom'"):
        load(tmp_path, vary="zom")  # type: ignore[arg-type]


# What it does


def test_small_pictures_are_shown_whole() -> None:
    image = noise(16, 20)
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(SMALL.pixels(image), expected)


@pytest.mark.parametrize("sides", [(112, 112), (128, 128), (90, 300), (200, 131), (100, 255)])
def test_large_pictures_are_scaled_and_cut_as_torchvision_does(sides: tuple[int, int]) -> None:
    image = noise(*sides)
    expected = v2.Compose([v2.Resize(128), v2.CenterCrop(112)])(image)
    expected = torch.from_numpy(np.array(expected)).permute(2, 0, 1)
    difference = (LARGE.pixels(image).int() - expected.int()).abs()
    assert difference.max() <= 1  # rounding: here it is scaled and cut in one step


def test_what_is_kept_of_a_large_picture_covers_twice_what_is_shown() -> None:
    assert LARGE.store(noise(600, 700)).size == (298, 256)
    assert LARGE.store(noise(300, 200)).size == (200, 300)  # never enlarged
    for height, width in [(600, 700), (300, 200), (256, 900)]:
        stored = LARGE.store(noise(height, width))
        assert LARGE.kept_size(height, width) == (stored.height, stored.width)


def test_a_long_and_thin_picture_does_not_fill_the_memory() -> None:
    assert LARGE.pixels(noise(1, 3000)).shape == (3, 112, 112)
    assert LARGE.pixels(noise(3000, 1)).shape == (3, 112, 112)


def test_normalising_is_the_affine_map_of_mean_and_std() -> None:
    pixels = SMALL.pixels(noise(16, 20))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (SMALL.mean, SMALL.std))
    torch.testing.assert_close(SMALL.normalise(pixels), (pixels / 255 - mean) / std)
    both = torch.stack([pixels, pixels])
    assert torch.equal(SMALL.normalise(both)[1], SMALL.normalise(pixels))


def test_the_given_picture_is_left_alone() -> None:
    image = noise(300, 300)
    before = image.tobytes()
    LARGE.pixels(image)
    assert (image.mode, image.size, image.tobytes()) == ("RGB", (300, 300), before)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("transform", [SMALL, GREY], ids=["rgb", "grey"])
def test_any_picture_gets_its_colours(transform: Transform, mode: str) -> None:
    pixels = transform.pixels(noise(30, 30).convert(mode))
    assert (pixels.shape, pixels.dtype) == (transform.input, torch.uint8)


def test_the_interpolation_is_used() -> None:
    image = noise(150, 150)
    kinds = ("nearest", "bilinear", "bicubic", "lanczos")
    shown = [replace(LARGE, interpolation=kind).pixels(image) for kind in kinds]
    assert not any(torch.equal(a, b) for i, a in enumerate(shown) for b in shown[:i])


# As JSON


@pytest.mark.parametrize("transform", [SMALL, LARGE, GREY])
def test_it_comes_back_from_json(transform: Transform) -> None:
    assert Transform.from_dict(json.loads(json.dumps(transform.to_dict()))) == transform


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "'colour' is 'red', not 'grey' or 'rgb'"),
        ({"colour": ["rgb"]}, "'colour' is "),
        ({"colour": "grey"}, "mean is .*0.1.*: it has to be 1 number"),
        (
            {"size": [0, 8]},
            r"'size\[0\]' is 0, not a whole number from 1 to 16,384",
        ),
        ({"size": [True, 8]}, "'size.*' is"),
        ({"size": [8.0, 8]}, "'size.*' is"),
        ({"size": [8]}, "'size.*' is"),
        ({"size": 224}, "'size' is 224"),
        ({"size": [8, 10**9]}, "'size.*' is"),
        ({"size": None}, "'size' is None"),
        ({"resize": [100, 200]}, r"resize is .*: it has to be at least the size, \[112, 112\]"),
        ({"interpolation": "cubic"}, "'interpolation' is 'cubic'"),
        ({"mean": [0.1, 0.2]}, "mean is .*3 number"),
        ({"mean": [123.7, 116.3, 103.5]}, "'mean.*' is .* from 0 to 1"),
        ({"mean": [float("nan")] * 3}, "'mean.*' is"),
        ({"mean": ["0.1"] * 3}, "'mean.*' is"),
        ({"std": [0, 0.5, 0.5]}, "std is .* above 0"),
        ({"std": [10**400] * 3}, "'?std.* is"),
        ({"vary": "crop"}, "'vary' is 'crop', not 'shift' or 'zoom'"),
        (
            {"interpolatoin": "bicubic"},
            "unknown field 'interpolatoin': did you mean 'interpolation'",
        ),
    ],
)
def test_what_is_not_a_transform_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        Transform.from_dict(LARGE.to_dict() | change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, [], "bilinear", 7])
def test_what_has_no_fields_is_refused(content: Any) -> None:
    with pytest.raises(DataError, match="the transform: it holds"):
        Transform.from_dict(content)


def test_a_missing_field_is_named() -> None:
    content = LARGE.to_dict()
    del content["std"]
    with pytest.raises(DataError, match="the field 'std' is missing"):
        Transform.from_dict(content)


def test_a_caller_who_builds_one_wrongly_is_told() -> None:
    with pytest.raises(InputError, match="std is "):
        Transform.of_size("grey", (8, 8), (0.5,), (0.0,))


# That of a model


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("transform", [SMALL, LARGE, GREY], ids=["small", "large", "grey"])
def test_a_given_transform_is_used_whatever_the_folder_would_suggest(
    tmp_path: Path, transform: Transform, in_memory: bool
) -> None:
    folder(tmp_path, size=(50, 40), each=2)
    data = load(tmp_path, transform=transform, in_memory=in_memory)
    assert data.transform == transform
    assert (data.input, data.mean, data.std) == (transform.input, transform.mean, transform.std)
    made = batches(data, data.test, 4, augment=None, device="cpu", shuffle=False, workers=0)
    paths = load(tmp_path, in_memory=False).test
    assert isinstance(paths, Files)
    expected = transform.normalise(torch.stack([transform.read(path) for path in paths.paths]))
    assert torch.equal(torch.cat([images for images, _ in made]), expected)


def test_pretrained_weights_are_shown_what_they_know(tmp_path: Path) -> None:
    """Large pictures as they are; small ones keep their size; an asked size keeps the share that
    is cut off."""
    colours = ((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    own = Transform("rgb", (160, 160), (200, 200), "bicubic", *colours, "zoom")
    large, small = folder(tmp_path / "l", size=(90, 80)), folder(tmp_path / "s", mode="L")
    assert load(large, like=own, progress=False).transform == own
    asked = load(large, like=own, image_size=80, progress=False).transform
    assert (asked.size, asked.resize) == ((80, 80), (100, 100))
    kept = load(small, like=own, progress=False)
    assert (kept.transform.size, kept.transform.resize) == ((8, 8), (8, 8))
    assert (kept.transform.colour, kept.transform.vary, kept.mean) == ("rgb", "shift", colours[0])
    assert load("digits", like=own).transform == kept.transform


@pytest.mark.parametrize("transform", [SMALL, LARGE, GREY], ids=["small", "large", "grey"])
def test_named_sets_obey_it_too(tmp_path: Path, transform: Transform) -> None:
    """As files of the same pictures do."""
    cifar = load("cifar10", data_dir=cifar10(tmp_path, each=2))
    data = load("cifar10", data_dir=tmp_path, transform=transform)
    assert data.transform == transform
    assert isinstance(cifar.test, Images)
    assert isinstance(data.test, Images)
    for raw, made in zip(cifar.test.pixels, data.test.pixels, strict=True):
        assert torch.equal(transform.pixels(Image.fromarray(raw.permute(1, 2, 0).numpy())), made)
    assert isinstance(data.train, Pictures if transform is LARGE else Images)
    made = batches(data, data.train, 4, augment=Augment(), device="cpu", shuffle=True, workers=0)
    assert next(iter(made))[0].shape == (4, *transform.input)


def test_its_own_transform_changes_nothing() -> None:
    digits = load("digits")
    again = load("digits", transform=Transform.from_dict(digits.transform.to_dict()))
    assert isinstance(digits.train, Images)
    assert isinstance(again.train, Images)
    assert torch.equal(digits.train.pixels, again.train.pixels)


def test_files_of_a_named_set_are_shown_as_the_set_is(tmp_path: Path) -> None:
    """A model of the digits at another size sees a picture of one as it saw it in the set."""
    data = load("digits", image_size=20)
    digit(7).save(tmp_path / "7.png")
    wanted = torch.from_numpy(np.array(digit(7)))
    raw = load("digits")
    assert isinstance(raw.test, Images)
    assert isinstance(raw.train, Images)
    assert isinstance(data.test, Images)
    assert isinstance(data.train, Images)
    small = torch.cat([raw.train.pixels, raw.test.pixels])[:, 0]
    (place,) = (small == wanted).flatten(1).all(1).nonzero().squeeze(1).tolist()
    shown = torch.cat([data.train.pixels, data.test.pixels])[place]
    assert torch.equal(data.transform.read(str(tmp_path / "7.png")), shown)


def test_another_size_than_the_models_is_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    with pytest.raises(
        InputError, match="--image-size 32: the model was trained on pictures of 112 x 112"
    ):
        load(tmp_path, image_size=32, transform=LARGE)
    assert load(tmp_path, image_size=112, transform=LARGE).transform == LARGE
