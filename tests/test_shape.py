"""Shapes and their files."""

import pickle
from pathlib import Path

import pytest

from tas.errors import ShapeError
from tas.nets import full_shape
from tas.shape import Shape


def test_a_file_gives_the_shape_back(tmp_path: Path) -> None:
    shape = full_shape("resnet20").replace(macs=1, params=2, origin="a test")
    shape.save(tmp_path / "s.json")
    assert Shape.load(tmp_path / "s.json") == shape
    assert pickle.loads(pickle.dumps(shape)) == shape
    assert len({shape, Shape.load(tmp_path / "s.json")}) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "tas-shape/9"}, "'tas-shape/9', not 'tas-shape/1'"),
        ({"widths": {"stem": 0}}, "widths.stem"),
        ({"widths": {"stem": "16"}}, "'widths.stem' is '16', not a whole number"),
        ({"widths": [16]}, "widths"),
        ({"depths": {"stages.0": True}}, "depths.stages.0"),
        ({"input": [3, 32]}, "input"),
        ({"residual": "loose"}, "'loose', not 'free' or 'tied'"),
        ({"colour": 1}, "unknown field 'colour'"),
        ({"net": 20}, "'net' is 20"),
        (
            {"classes": 10**30},
            "'classes' is 1000000000000000000000000000000, not a whole number from 1 to",
        ),
        (
            {"widths": {"stem": 10**7}},
            "'widths.stem' is 10000000, not a whole number from 1 to 1,048,576",
        ),
        (
            {"input": [3, 10**9, 10**9]},
            "'input[1]' is 1000000000, not a whole number from 1 to 1,048,576",
        ),
        ({"input": [3, 10**6, 10**6]}, "'input' is [3, 1000000, 1000000], an image of more than"),
    ],
)
def test_a_malformed_shape_is_named(change: dict[str, object], words: str) -> None:
    data = full_shape("resnet20").to_dict() | change
    with pytest.raises(ShapeError) as caught:
        Shape.from_dict(data)
    assert words in str(caught.value)


def test_a_missing_field_is_named() -> None:
    data = full_shape("resnet20").to_dict()
    del data["depths"]
    with pytest.raises(ShapeError, match="'depths' is missing"):
        Shape.from_dict(data)


def test_what_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('{"format": ')
    with pytest.raises(ShapeError, match=r"s\.json' is not a shape file: it is not JSON.*line 1"):
        Shape.load(path)
    for text in ("[" * 100_000, "9" * 5_000):
        path.write_text(text)
        with pytest.raises(
            ShapeError,
            match=r"s\.json' is not a shape file: .*(too many lists|a number of 5000 digits)",
        ):
            Shape.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ShapeError, match="not text"):
        Shape.load(path)
    with pytest.raises(ShapeError, match="cannot read"):
        Shape.load(tmp_path / "none.json")


def test_a_net_that_is_no_image_classifier_has_neither_classes_nor_a_size(tmp_path: Path) -> None:
    shape = Shape("mine.Net", None, None, "tied", {"one": 8}, {})
    shape.save(tmp_path / "shape.json")
    assert Shape.load(tmp_path / "shape.json") == shape
    with pytest.raises(ShapeError, match=r"mine\.Net says no size of images"):
        _ = shape.image
    with pytest.raises(ShapeError, match=r"mine\.Net says no number of classes"):
        _ = shape.scores
