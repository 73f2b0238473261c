"""The picture of a found shape, drawn over the unpruned net."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ShapeError
from ..typed import checked
from .canvas import BLUE, GREY, PALE, SKY, canvas
from .tables import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class _Bar:
    """One convolution of the unpruned net."""

    stage: str
    block: str | None  # its name within the stage; None: it stands alone, as the stem does
    full: int  # channels in the unpruned net
    found: int  # channels in the found net
    cut: bool  # the found net does not have its block
    ends_block: bool


@checked
def shape_figure(
    shape: Mapping[str, Any], full: Mapping[str, Any], path: str | Path, *, narrow: bool = False
) -> None:
    """Draw a found shape over its unpruned net, one bar for every convolution in order.

    >>> import tas
    >>> from tas.report import shape_figure
    >>> found = tas.nets.read_shape("C010-ResNet20")
    >>> full = tas.nets.measured(tas.nets.full_shape("resnet20"))
    >>> shape_figure(found.to_dict(), full.to_dict(), "shape.png")

    Args:
        shape: the found shape, as its JSON file holds it.
        full: the same of the unpruned net.
        path: the file to write, ``.png`` or ``.svg``.
        narrow: for a phone.

    Raises:
        ShapeError: the shape has a width that the unpruned net does not have.
    """
    bars = _bars(shape, full)
    kept = [i for i, bar in enumerate(bars) if not bar.cut]
    cut = [i for i, bar in enumerate(bars) if bar.cut]
    looks: dict[str, dict[str, Any]] = {
        "unpruned": {"color": PALE},
        "found, last of a block": {"color": BLUE},
        "found, inside a block": {"color": SKY},
        "block cut": {"fc": "white", "ec": GREY, "hatch": "//////", "lw": 0.6},
    }
    layers = {
        "unpruned": kept,
        "found, last of a block": [i for i in kept if bars[i].ends_block],
        "found, inside a block": [i for i in kept if not bars[i].ends_block],
        "block cut": cut,
    }
    with canvas(path, 4.4, narrow=narrow) as figure:
        top, below = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, 1])
        for axes, unit in ((top, [bar.full for bar in bars]), (below, [100] * len(bars))):
            for name, places in layers.items():
                share = [bars[i].found / bars[i].full if name[0] == "f" else 1.0 for i in places]
                heights = [unit[i] * part for i, part in zip(places, share, strict=True)]
                axes.bar(places, heights, 0.8, label=name, **looks[name])
            axes.grid(axis="y")
            axes.margins(y=0.06)
        if len(bars) <= (20 if narrow else 40):  # more numbers than that would overlap
            for i in kept:
                top.annotate(
                    str(bars[i].found),
                    (i, bars[i].found),
                    (0, 1.5),
                    textcoords="offset points",
                    ha="center",
                    size=7,
                )
        _mark_stages((top, below), bars, figure.get_figwidth())
        top.set_ylabel("channels")
        below.set_ylabel("kept (%)")
        below.set_yticks(range(0, max(100, *(bar.found * 100 // bar.full for bar in bars)) + 1, 50))
        below.set_xlabel("convolutions of the unpruned net, in order")
        below.set_xlim(-0.7, len(bars) - 0.3)
        below.set_xticks([])
        figure.align_ylabels()
        handles, labels = top.get_legend_handles_labels()
        drawn = [number for number, name in enumerate(labels) if layers[name]]
        size = 9.5 if narrow else 11
        figure.suptitle(_title(shape, full), x=0.01, ha="left", size=size, weight="bold")
        figure.legend(
            [handles[i] for i in drawn],
            [labels[i] for i in drawn],
            loc="outside lower left",
            ncols=2 if narrow else 4,
        )


def _bars(shape: Mapping[str, Any], full: Mapping[str, Any]) -> list[_Bar]:
    foreign = [key for key in shape["widths"] if key not in full["widths"]]
    if foreign:
        raise ShapeError(
            f"the shape has a width '{foreign[0]}' that its unpruned net '{full['net']}' lacks"
        )
    places = {key: _place(key, full["depths"]) for key in full["widths"]}
    last = {place: key for key, place in places.items()}
    blocks = _blocks(places.values())
    bars = []
    for key, channels in full["widths"].items():
        stage, block = places[key]
        depth = shape["depths"].get(stage, len(blocks[stage]))
        bars.append(
            _Bar(
                stage=stage,
                block=block,
                full=channels,
                # A width that was not searched is not in the shape: it is as it was.
                found=shape["widths"].get(key, channels),
                cut=block is not None and blocks[stage].index(block) >= depth,
                ends_block=last[stage, block] == key,
            )
        )
    return bars


def _place(key: str, stages: Iterable[str]) -> tuple[str, str | None]:
    """The stage and block of a convolution: of ``stages.0.2.conv1``, ``stages.0`` and ``2``.

    A stage may be a part of a container: ``features[4:7]`` has ``features.4`` to ``features.6``.
    """
    for stage in stages:
        container, _, part = stage.partition("[")
        if key.startswith(f"{container}."):
            block = key.removeprefix(f"{container}.").split(".")[0]
            first, _, end = part.rstrip("]").partition(":")
            if not part or (block.isdigit() and int(first) <= int(block) < int(end)):
                return stage, block
    parts = key.split(".")
    return (".".join(parts[:-2]), parts[-2]) if len(parts) > 2 else (parts[0], None)


def _blocks(places: Iterable[tuple[str, str | None]]) -> dict[str, list[str]]:
    """The blocks of every stage, in order."""
    blocks: dict[str, list[str]] = {}
    for stage, block in places:
        found = blocks.setdefault(stage, [])
        if block is not None and block not in found:
            found.append(block)
    return blocks


def _title(shape: Mapping[str, Any], full: Mapping[str, Any]) -> str:
    if not (shape.get("macs") and full.get("macs")):
        return str(shape["net"])
    percent = 100 * shape["macs"] / full["macs"]
    found, unpruned = quantity(shape["macs"]), quantity(full["macs"])
    return f"{shape['net']}: {found} of {unpruned} MACs ({percent:.0f} %)"


def _mark_stages(panels: "Sequence[Axes]", bars: Sequence[_Bar], width: float) -> None:
    """A band behind every other stage; above each stage its name and its depth."""
    everything = _blocks((bar.stage, bar.block) for bar in bars)
    kept = _blocks((bar.stage, bar.block) for bar in bars if not bar.cut)
    for number, (stage, blocks) in enumerate(everything.items()):
        places = [i for i, bar in enumerate(bars) if bar.stage == stage]
        if len(places) != places[-1] - places[0] + 1:  # layers between the stages of a container
            continue
        first, last = places[0] - 0.5, places[-1] + 0.5
        if number % 2:
            for axes in panels:
                axes.axvspan(first, last, color="#F2F4F7", zorder=-1)
        lines = [stage, f"{len(kept[stage])} of {len(blocks)} blocks"] if blocks else [stage]
        # About 0.07 inches a letter: a label wider than its stage would run into the next one.
        if max(map(len, lines)) * 0.07 < (last - first) / len(bars) * width:
            panels[0].annotate(
                "\n".join(lines),
                ((first + last) / 2, 1),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                size=8.5,
            )
