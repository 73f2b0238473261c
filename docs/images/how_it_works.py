"""The figure of docs/how-it-works.md: the default search in six panels.

    python docs/images/how_it_works.py

The figures in it are measured, on ResNet-20 and CIFAR-10 at 55 % of the multiply-adds, from a
teacher of 16 epochs: panels 4 and 6 from docs/results.md, panel 5 from
docs/research/2026-11-25-trials.md. Panels 2 and 3 are drawings.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, Rectangle

INK, SOFT, CUT = "#222222", "#5a5a5a", "#d6d6d6"
STREAM, INSIDE, OTHER = "#0072b2", "#56b4e9", "#d55e00"  # of Okabe and Ito, safe for all eyes

UNPRUNED = ((16, (16, 16, 16)), (32, (32, 32, 32)), (64, (64, 64, 64)))
SEARCHED = ((16, (7, 6, 9)), (32, (14, 16, 12)), (64, (44, 64, 32)))
EQUAL = ((12, (12, 12, 12)), (23, (23, 23, 23)), (47, (47, 47, 47)))
RANDOM = ((12, (14, 16, 8)), (30, (12, 30, 14)), (40, (64, 44, 36)))
Net = Sequence[tuple[int, Sequence[int]]]

TRIALS = (100, 150, 200, 300)
PROMISING = (0.591, 0.546, 0.526, 0.525)
AS_DRAWN = (0.790, 0.664, 0.624, 0.544)
TESTED = (("unpruned", 85.35, INK), ("searched", 85.35, STREAM), ("equal widths", 84.80, OTHER))


def layers(net: Net) -> list[tuple[int, str]]:
    """Channels and colour of every convolution, in order."""
    found = [(net[0][0], STREAM)]
    for stream, blocks in net:
        for inside in blocks:
            found += [(inside, INSIDE), (stream, STREAM)]
    return found


def silhouette(axes: Any, net: Net, x: float, y: float, width: float, height: float) -> None:
    """A net from the side: a bar for every convolution, as tall as it has channels."""
    step = width / 19
    for number, ((kept, colour), (full, _)) in enumerate(
        zip(layers(net), layers(UNPRUNED), strict=True)
    ):
        for channels, look in ((full, CUT), (kept, colour)):
            tall = height * channels / 64
            corner = (x + number * step, y - tall / 2)
            axes.add_patch(Rectangle(corner, 0.78 * step, tall, color=look, linewidth=0))


def panel(axes: Any, number: int, title: str, words: str) -> None:
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 6)
    axes.axis("off")
    axes.text(0, 7.15, f"{number}", color="white", fontsize=13, weight="bold", va="center",
              bbox={"boxstyle": "circle,pad=0.25", "color": INK})  # fmt: skip
    axes.text(0.85, 7.15, title, color=INK, fontsize=13.5, weight="bold", va="center")
    axes.text(-0.15, -0.55, words, color=SOFT, fontsize=10.5, va="top", linespacing=1.35)


def trained(axes: Any) -> None:
    panel(axes, 1, "A trained net", "The teacher: ResNet-20, 40.8 M multiply-adds.\n"
          "A bar is a layer, as tall as it has channels.")  # fmt: skip
    silhouette(axes, UNPRUNED, 0.2, 3, 9.6, 5.4)


def ordered(axes: Any) -> None:
    panel(axes, 2, "Order the channels", "First the channel that explains most of what\n"
          "the next layers compute, then the next best ...")  # fmt: skip
    explained = [1.0, 0.86, 0.74, 0.6, 0.52, 0.42, 0.36, 0.24, 0.2, 0.16, 0.13, 0.1, 0.08, 0.06]
    for number, part in enumerate(explained):
        colour = INSIDE if number < 7 else CUT
        axes.add_patch(Rectangle((0.5 + 0.66 * number, 0.3), 0.5, 5 * part, color=colour))
    axes.plot([0.3, 9.8], [0.3, 0.3], color=INK, linewidth=1)
    axes.plot([5.04, 5.04], [0, 4.6], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(4.85, 4.75, "kept", color=STREAM, fontsize=11, ha="right", weight="bold")
    axes.text(5.25, 4.75, "cut", color=SOFT, fontsize=11, ha="left", weight="bold")


def compensated(axes: Any) -> None:
    panel(axes, 3, "Cut and compensate", "Least squares: the weights on the kept channels\n"
          "take over what the cut ones contributed.")  # fmt: skip
    for row in range(7):
        for column in range(7):
            kept = column < 4
            corner = (0.1 + 0.66 * column + (0.2 if not kept else 0), 0.5 + 0.66 * row)
            axes.add_patch(Rectangle(corner, 0.58, 0.58, color=INSIDE if kept else CUT))
        for column in range(4):
            corner = (7.1 + 0.66 * column, 0.5 + 0.66 * row)
            axes.add_patch(Rectangle(corner, 0.58, 0.58, color=STREAM))
    axes.add_patch(FancyArrowPatch((4.2, 5.3), (1.5, 5.3), connectionstyle="arc3,rad=0.3",
                   arrowstyle="-|>", mutation_scale=14, color=INK))  # fmt: skip
    axes.add_patch(FancyArrowPatch((5.3, 2.75), (6.8, 2.75), arrowstyle="-|>",
                   mutation_scale=14, color=INK))  # fmt: skip
    axes.text(2.5, -0.05, "weights of the next layer", color=SOFT, fontsize=9.5, ha="center")
    axes.text(8.4, -0.05, "cut", color=SOFT, fontsize=9.5, ha="center")


def asked(axes: Any) -> None:
    panel(axes, 4, "Ask, without training", "512 pictures: how far are the answers from the\n"
          "whole net's? (Kullback-Leibler divergence)")  # fmt: skip
    rows = (("searched", SEARCHED, 0.53), ("equal widths", EQUAL, 1.54), ("random", RANDOM, 1.68))
    for number, (name, net, loss) in enumerate(rows):
        y = 5.1 - 2.1 * number
        silhouette(axes, net, 2.7, y, 4.7, 1.75)
        axes.text(2.45, y, name, color=INK, fontsize=10.5, ha="right", va="center")
        axes.text(7.7, y, f"{loss:.2f} nats", color=INK, fontsize=11, va="center", weight="bold")


def evolved(axes: Any) -> None:
    panel(axes, 5, "Evolve, 300 shapes in all", "24 random shapes, then 12 at a time: a Gaussian\n"
          "process picks the children that promise most.")  # fmt: skip

    def at(trials: Sequence[int], losses: Sequence[float]) -> tuple[list[float], list[float]]:
        return [1.4 + (t - 80) / 220 * 7.6 for t in trials], [(x - 0.5) * 16 + 1.2 for x in losses]

    for losses, colour, mark, words, place in (
        (AS_DRAWN, OTHER, "s", "children as drawn", (3.4, 4.75)),
        (PROMISING, STREAM, "o", "chosen by the process", (2.9, 0.75)),
    ):
        axes.plot(*at(TRIALS, losses), color=colour, marker=mark, linewidth=2, markersize=6)
        axes.text(*place, words, color=colour, fontsize=10.5, weight="bold")
    axes.plot([1.4, 1.4, 9.6], [6.0, 0.4, 0.4], color=INK, linewidth=1)
    for trials in TRIALS:
        x = at([trials], [0])[0][0]
        axes.text(x, 0.05, f"{trials}", color=SOFT, fontsize=9, ha="center", va="center")
    for loss in (0.5, 0.6, 0.7, 0.8):
        y = at([0], [loss])[1][0]
        axes.text(1.2, y, f"{loss}", color=SOFT, fontsize=9, ha="right", va="center")
    axes.text(0.1, 3, "lowest divergence", color=SOFT, fontsize=9, rotation=90, va="center")


def distilled(axes: Any) -> None:
    panel(axes, 6, "Check, then distil", "Best shapes and equal widths are trained a little.\n"
          "The best one is distilled from the teacher.")  # fmt: skip
    silhouette(axes, SEARCHED, 0.1, 5.1, 3.6, 1.5)
    silhouette(axes, EQUAL, 5.9, 5.1, 3.6, 1.5)
    axes.text(4.8, 5.1, "or", color=INK, fontsize=11, ha="center", va="center", style="italic")
    axes.plot([0.1, 9.7], [3.85, 3.85], color=CUT, linewidth=1)
    axes.text(
        0.1,
        3.4,
        "test accuracy (%) in the end, mean of three seeds",
        color=SOFT,
        fontsize=9.5,
        va="center",
    )
    for number, (name, accuracy, colour) in enumerate(TESTED):
        y, x = 2.5 - 1.0 * number, 3.5 + (accuracy - 84.5) * 5
        axes.plot([3.5, 9.7], [y, y], color=CUT, linewidth=1)
        axes.plot([x], [y], color=colour, marker="o", markersize=9)
        axes.text(3.2, y, name, color=INK, fontsize=10.5, ha="right", va="center")
        axes.text(x + 0.25, y, f"{accuracy:.2f}", color=INK, fontsize=10.5, va="center",
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip


def main() -> None:
    plt.rcParams["font.family"] = "DejaVu Sans"
    figure, grid = plt.subplots(2, 3, figsize=(14, 7.6))
    figure.subplots_adjust(0.025, 0.09, 0.985, 0.91, wspace=0.2, hspace=0.72)
    panels = (trained, ordered, compensated, asked, evolved, distilled)
    for axes, draw in zip(grid.flat, panels, strict=True):
        draw(axes)
    for axes in grid[:, :2].flat:  # to the panel on the right
        box = axes.get_position()
        y = (box.y0 + box.y1) / 2
        figure.add_artist(
            FancyArrowPatch(
                (box.x1 + 0.012, y),
                (box.x1 + 0.042, y),
                transform=figure.transFigure,
                arrowstyle="-|>",
                mutation_scale=24,
                color=SOFT,
                linewidth=2.5,
            )
        )
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
