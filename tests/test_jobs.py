"""The jobs of the library."""

from dataclasses import replace

import pytest

import tas
from tas import data, recipes
from tas.errors import InputError
from tas.macs import count


def test_a_budget_counts_the_pictures_that_are_there() -> None:
    """A net built for another image size is searched, and paid for, at the size of the data."""
    digits = data.load("digits", image_size=16)
    net = tas.nets.build("resnet20", 10, (1, 32, 32))
    options = replace(recipes.quick().search, epochs=1, warmup_epochs=0, batch_size=512)
    found = tas.search(net, digits, budget=0.5, options=options, progress=False)
    assert found.shape.input == (1, 16, 16)
    assert found.budget == int(0.5 * count(net, (1, 16, 16)).macs)
    assert count(found.derive(), digits.input).macs == found.shape.macs <= found.budget


def test_a_net_of_other_classes_or_channels_is_refused() -> None:
    for net in (tas.nets.build("resnet20", 7, (1, 8, 8)), tas.nets.build("resnet20", 10)):
        for job in (lambda: tas.search(net, "digits", 0.5), lambda: tas.evaluate(net, "digits")):  # noqa: B023
            with pytest.raises(InputError, match=r"build it with tas\.nets\.build"):
                job()
