"""Numbers in a net's own code that count channels: found, rewritten in the cut copy, proven."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from exactly import IMAGES, check
from torch import Tensor, nn

import tas
from helpers import random_shape
from tas.errors import ShapeError
from tas.inherit import Source
from tas.shape import Shape
from tas.spaces import TracedSpace, trace


class Base(nn.Module):
    """A stem, something between, a head."""

    def __init__(self, made: int = 16, read: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, made, 3, padding=1)
        self.after = nn.Conv2d(read, 12, 1)
        self.head = nn.Linear(12, 5)

    def between(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        y = self.after(self.between(self.stem(x).relu())).tanh()
        return self.head(y.mean((2, 3)))


class Partly(nn.Module):
    """A convolution of the first channels, as FasterNet has it."""

    def __init__(self, dim: int, part: int) -> None:
        super().__init__()
        self.part, self.rest = part, dim - part
        self.conv = nn.Conv2d(part, part, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first, rest = x.split([self.part, self.rest], 1)
        return torch.cat([self.conv(first), rest], 1)


class Blocks(Base):
    def __init__(self) -> None:
        super().__init__(16, 16)
        self.blocks = nn.ModuleList([Partly(16, 6) for _ in range(3)])

    def between(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


class Viewed(Base):
    """The number stands in an attribute of some kind."""

    def __init__(self, keep: Callable[[nn.Module], None], read: Callable[[Any], int]) -> None:
        super().__init__(16, 16)
        keep(self)
        self.read = read

    def between(self, x: Tensor) -> Tensor:
        return x.flatten(2).view(len(x), self.read(self), 8, 8)


def put(name: str, value: Any) -> Callable[[nn.Module], None]:
    return lambda net: setattr(net, name, value)


PLACES: dict[str, tuple[Any, Callable[[Any], int]]] = {
    "kept": (16, lambda net: net.kept),
    "kept[1]": ((3, 16), lambda net: net.kept[1]),
    "kept[0]": ([16, 3], lambda net: net.kept[0]),
    "kept.dim": ({"dim": 16}, lambda net: net.kept["dim"]),
    "kept.dims[2]": (SimpleNamespace(dims=(1, 2, 16)), lambda net: net.kept.dims[2]),
}


def rewritten(space: TracedSpace) -> set[str]:
    return {str(rewrite) for rewrite in space.structure.rewrites}


@pytest.mark.parametrize("name", PLACES)
def test_wherever_the_number_stands(name: str) -> None:
    value, read = PLACES[name]
    net = Viewed(put("kept", value), read)
    space = check(net)
    assert rewritten(space) == {name}
    assert "stem" in {choice.name for choice in space.widths}
    assert read(net) == 16  # the user's own net is left as it was
    assert read(Source.of(space).derive(space.shape([0, 0], []))) == space.widths[0].candidates[0]


def test_multiples_and_sums_of_widths() -> None:
    space = check(Blocks())
    assert rewritten(space) == {f"blocks.{n}.{name}" for n in range(3) for name in ("part", "rest")}

    class Tripled(Base):
        def __init__(self) -> None:
            super().__init__(8, 24)
            self.all, self.whole = 24, 8

        def between(self, x: Tensor) -> Tensor:
            y = torch.cat([x, x.tanh(), x.relu()], 1)
            return (
                y.flatten(2)
                .view(len(x), self.all, -1)
                .view(len(x), 3, self.whole, 64)
                .reshape(len(x), self.all, 8, 8)
            )

    assert rewritten(check(Tripled())) == {"all", "whole"}


def test_a_configuration_that_layers_share_is_each_ones_own_once_they_differ() -> None:
    class Layer(nn.Module):
        def __init__(self, config: SimpleNamespace) -> None:
            super().__init__()
            self.config = config
            self.up, self.down = nn.Conv2d(12, config.wide, 1), nn.Conv2d(config.wide, 12, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.up(x).relu().flatten(2)
            return x + self.down(y.reshape(len(x), self.config.wide, 8, 8))

    class Net(Base):
        def __init__(self) -> None:
            super().__init__(12, 12)
            config = SimpleNamespace(wide=20)
            self.layers = nn.Sequential(Layer(config), Layer(config))

        def between(self, x: Tensor) -> Tensor:
            return self.layers(x)

    net = Net()
    space = check(net)
    assert rewritten(space) == {"layers.0.config.wide", "layers.1.config.wide"}
    assert net.layers[0].config is net.layers[1].config


# Decoys ------------------------------------------------------------------------------------------


class Steps(Base):
    """As many steps as channels, and a number of channels that the code counts on."""

    def __init__(self) -> None:
        super().__init__(6, 6)
        self.steps, self.pixels, self.dim = 6, 64, 6

    def between(self, x: Tensor) -> Tensor:
        for _ in range(self.steps):
            x = x + 0.3 * x.roll(1, 3)
        return x.reshape(len(x), self.dim, self.pixels).view(len(x), -1, 8, 8)


class OneForBoth(Base):
    """The same number is that of the channels and of something else."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.number = 8

    def between(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self.number, self.number, 8) / self.number


class OnlyInTraining(Base):
    """An equal number that is read in training alone."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.dim, self.other = 8, 8

    def between(self, x: Tensor) -> Tensor:
        x = x.reshape(len(x), self.dim, 64).view(len(x), -1, 8, 8)
        return x * self.other if self.training else x


class Reader(Base):
    """The number is nowhere to be found."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.pictures = 10

    def between(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), 2**3, 64).view(len(x), -1, 8, 8)


def test_equal_numbers_that_mean_something_else_are_left_alone() -> None:
    assert rewritten(check(Steps())) == {"dim"}
    assert rewritten(check(OnlyInTraining())) == {"dim"}


@pytest.mark.parametrize("kind", [OneForBoth, Reader])
def test_what_cannot_be_rewritten_is_locked(kind: type[nn.Module]) -> None:
    space = check(kind())
    assert not rewritten(space)
    assert [choice.name for choice in space.widths] == ["after"]


# As data -----------------------------------------------------------------------------------------


def test_a_file_can_rewrite_nothing_else() -> None:
    torch.manual_seed(0)
    net = Viewed(*[put("kept", 16), lambda net: net.kept])
    shape = random_shape(trace(net, IMAGES[:1]), 1)
    data = shape.to_dict()
    (entry,) = data["rewrites"]
    assert entry == {
        "module": "", "steps": ["kept"], "full": 16, "parts": [["stem", 1, 1]], "constant": 0,
    }  # fmt: skip

    def built(**changes: Any) -> None:
        changed = Shape.from_dict({**data, "rewrites": [{**entry, **changes}]})
        tas.nets.build(changed, make=lambda: Viewed(put("kept", 16), lambda net: net.kept))

    def refused(**changes: Any) -> str:
        with pytest.raises(ShapeError) as caught:
            built(**changes)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    for steps in (["__class__"], ["kept", "__dict__", "x"], ["_modules", "stem"], ["forward"], []):
        refused(steps=steps)
    for steps in (["kept", 0], ["lost"], [0], "kept", [None], ["training"], ["stem", "groups"]):
        refused(steps=steps)
    refused(module="nowhere")
    refused(module="stem", steps=["out_channels"], full=17)
    refused(full=15)
    assert "no width 'other'" in refused(parts=[["other", 1, 1]])
    for parts in ([], [["stem", 0, 1]], [["stem", 1]], [["stem", 2, 1]], [["stem", -1, 1]]):
        refused(parts=parts)
    refused(constant=1)
    with pytest.raises(ShapeError, match="'rewrites' is 3, not"):
        Shape.from_dict({**data, "rewrites": 3})


def test_a_shape_without_rewrites_has_no_word_of_them() -> None:
    assert "rewrites" not in tas.nets.full_shape("resnet20").to_dict()
