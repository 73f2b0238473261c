"""Pretrained weights of other libraries: the backbone is taken, what cannot be had is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import Tensor
from torchvision import models

from tas.data import Transform
from tas.data.transform import as_image
from tas.errors import InputError
from tas.nets.pretrained import pretrained, shown_as

INPUT = (3, 32, 32)


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", failing)
    monkeypatch.setattr("torch.hub.download_url_to_file", failing)


def failing(*_: Any, **__: Any) -> None:
    raise OSError("no route to host")


def of_torchvision(name: str) -> dict[str, Tensor]:
    """Weights in the place of the real ones, in the cache."""
    state = models.get_model(name, weights=None).state_dict()
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / Path(models.get_model_weights(name).DEFAULT.url).name)
    return state  # type: ignore[no-any-return]


def of_timm(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Weights in the place of the real ones, in a file that timm is told of."""
    state = timm.create_model(name).state_dict()
    torch.save(state, path)
    told = timm.models._registry._model_pretrained_cfgs
    theirs = timm.get_pretrained_cfg(name)
    for key in (name, f"{name}.{theirs.tag}"):
        monkeypatch.setitem(told, key, replace(theirs, file=str(path)))
    return state  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("torchvision:mobilenet_v3_small", "classifier.3"),
        ("torchvision:squeezenet1_1", "classifier.1"),
        ("timm:test_resnet", "fc"),
        ("timm:test_vit", "head"),  # whose positions are resized to other pictures
    ],
)
def test_all_but_the_classifier_is_taken(
    name: str, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _, which = name.partition(":")
    if source == "timm":
        theirs = of_timm(which, tmp_path / "a.pth", monkeypatch)
    else:
        theirs = of_torchvision(which)
    torch.manual_seed(1)
    net, left = pretrained(name, 7, INPUT)
    assert left == (last, 1000)
    assert net.eval()(torch.zeros(1, *INPUT)).shape == (1, 7)
    for key, value in net.state_dict().items():
        if key.rpartition(".")[0] == last:
            assert len(value) == 7
        elif key != "pos_embed":
            assert torch.equal(value, theirs[key]), key
    torch.manual_seed(1)
    net, left = pretrained(name, 1000, INPUT)
    assert left is None
    assert torch.equal(net.get_parameter(f"{last}.weight"), theirs[f"{last}.weight"])


@pytest.mark.parametrize("name", ["torchvision:swin_t", "torchvision:resnet50", "timm:resnet50"])
def test_pictures_are_shown_as_they_were(name: str) -> None:
    """Scaled, cut and normalised as the library itself does it, but for a level of rounding."""
    shown = shown_as(name)
    assert shown is not None
    transform = Transform("rgb", *shown, "zoom")
    colours = torch.rand(3, 6, 9, generator=torch.Generator().manual_seed(0)).mul(255).byte()
    picture = as_image(colours).resize((600, 400), Image.Resampling.BICUBIC)
    if name.startswith("timm"):
        theirs = create_transform(
            **resolve_data_config(timm.get_pretrained_cfg(name[5:]).to_dict())
        )
    else:
        theirs = models.get_model_weights(name[12:]).DEFAULT.transforms()
    ours = transform.normalise(transform.pixels(picture))
    assert ours.shape == theirs(picture).shape
    assert (ours - theirs(picture)).abs().max() < 0.1  # of 4.6 from black to white


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet20", "'resnet20' has no pretrained weights: give --net timm:NAME or torch"),
        ("traced_nets:Mixed", "'traced_nets:Mixed' has no pretrained weights.*by --weights"),
        ("timm:resnet19", "unknown net 'resnet19'"),
        ("torchvision:resnet19", "unknown net 'resnet19'"),
        ("timm:resnet10t", "cannot be had: no route to host.*into the cache.*by --weights"),
        ("torchvision:resnet18", "cannot be had: no route to host.*hub/checkpoints'.*--weights"),
    ],
)
def test_what_cannot_be_had(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        pretrained(name, 7, INPUT)
    assert "\n" not in str(error.value)


def test_positions_of_pictures_of_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    make = models.vision_transformer._vision_transformer
    small = {"num_layers": 1, "num_heads": 1, "hidden_dim": 8, "mlp_dim": 8}

    def thin(**how: Any) -> Any:
        return make(**{**how, **small})

    monkeypatch.setattr(models.vision_transformer, "_vision_transformer", thin)
    of_torchvision("vit_b_32")
    with pytest.raises(InputError, match=r"do not fit pictures of 3 x 64 x 64.*--image-size 224"):
        pretrained("torchvision:vit_b_32", 7, (3, 64, 64))
