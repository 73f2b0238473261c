"""A derived net is a plain net: it loads and runs where the search does not exist."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tas
from helpers import random_shape
from tas import nets, spaces
from tas.errors import InputError
from tas.inherit import Source
from tas.weights import save_weights

PROGRAM = """
import sys
for name in ("api", "cli", "data", "inherit", "methods", "recipes", "report", "runs",
             "spaces", "training"):
    sys.modules[f"tas.{name}"] = None  # importing it is an error
import torch, tas
net = tas.load("shape.json", "model.safetensors").eval()
assert type(net).__module__ == "tas.nets.resnet"
assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
torch.save(net(torch.load("images.pt")), "scores.pt")
"""


def test_without_the_search(tmp_path: Path) -> None:
    net = nets.build("C010-ResNet20").eval()
    net.shape.save(tmp_path / "shape.json")
    save_weights(net, tmp_path / "model.safetensors")
    images = torch.randn(2, 3, 32, 32)
    torch.save(images, tmp_path / "images.pt")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, cwd=tmp_path)
    with torch.inference_mode():
        torch.testing.assert_close(torch.load(tmp_path / "scores.pt"), net(images))


def test_a_net_of_ones_own_without_the_search(tmp_path: Path) -> None:
    name = "traced_nets:Mixed"
    space = spaces.trace(nets.build(name, 5, (3, 8, 8)), torch.zeros(1, 3, 8, 8), name=name)
    shape = random_shape(space, 0)
    net = Source.of(space).derive(shape).eval()
    shape.save(tmp_path / "shape.json")
    save_weights(net, tmp_path / "model.safetensors")
    images = torch.randn(2, 3, 8, 8)
    torch.save(images, tmp_path / "images.pt")
    program = PROGRAM.replace("tas.nets.resnet", "traced_nets")
    program = program.replace('.safetensors")', f'.safetensors", trust="{name}")')
    path = {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, env=os.environ | path)
    with torch.inference_mode():
        torch.testing.assert_close(torch.load(tmp_path / "scores.pt"), net(images))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_weights(nets.build("resnet20"), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="of another net"):
        tas.load("C010-ResNet20", tmp_path / "w.safetensors")
