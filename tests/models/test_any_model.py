"""Nets that take and give anything, saved and loaded again."""

from pathlib import Path
from typing import Any

import pytest
import torch

import tas
from any_nets import ANY, UNet
from helpers import random_shape, randomise_norms
from tas.errors import InputError
from tas.forward import Example
from tas.graph.compare import answered
from tas.inherit import Source
from tas.spaces import trace


@torch.no_grad()
@pytest.mark.parametrize("which", ANY)
def test_it_is_the_same_again(which: str, tmp_path: Path) -> None:
    make, batch, forward = ANY[which]
    net: Any = make()
    randomise_norms(net)
    small, example = net, Example.of(batch, forward)
    for seed in (1, 2):  # once more from what came out
        space = trace(small, batch, forward=forward)
        shape = random_shape(space, seed)
        small = Source.of(space).derive(shape).eval()
    folder = tas.save(small, tmp_path / "mine", shape=shape)
    again = tas.load(folder, make=make)
    assert type(again) is type(net)
    assert not again.training
    assert str(again) == str(small)  # attributes as well
    assert answered(again, example).apart(answered(small, example)) == 0


def test_its_card_says_what_it_is_and_how_to_load_it(tmp_path: Path) -> None:
    space = trace(UNet(), {"image": torch.zeros(1, 3, 16, 16)})
    folder = tas.save(space.model, tmp_path / "mine", shape=space.unpruned)
    card = (folder / "README.md").read_text()
    assert "multiply-adds for one example" in card
    assert 'tas.load(".", make=make_net)' in card
    with pytest.raises(InputError, match="is your own: give what makes it"):
        tas.load(folder)
    with pytest.raises(InputError, match="is of another net"):
        tas.load(folder, make=lambda: torch.nn.Linear(3, 4))
