"""What a trial of the default search costs beside its forward pass, before and after.

    python benchmarks/trials.py
    python benchmarks/trials.py --nets resnet20 timm:resnet50 --shapes 300 --json
    python benchmarks/trials.py --nets resnet20 --pictures 256 --batches 2
    python benchmarks/trials.py --budgets 0.3 0.5 0.7 --nets resnet20 --data digits

A trial cuts a net to a random shape near half of its multiply-adds, its layers make up for what
they no longer read, and pictures pass through. *Before* is the plain way, which stands in
``trials_before.py``: all least squares solved anew in a full copy of the net, and the copy cut (a
ResNet of ours: built with random weights, and filled). *After* is ``Source.derive``, which keeps
what it solved: its figure is the mean over as many shapes as a search asks, from the first one on,
and so has all that is solved on the way. *First* is the first shape of all.

Channels are put in order once for a search; *before* are blocks of atoms, in float32 where a width
has more than 128. *Readings* is what that takes beforehand: pictures pass through the whole net,
*before* in float32, and what layers are given counts at every place of them; *after* in bf16 where
the hardware has it, at some places, as many of a picture as a search takes of 2,048.

With ``--budgets`` it is the whole search that is timed instead, the final check included: that of
each budget alone, then one search for all of them.

Times are of the processor (``time.process_time``), so that other work on the machine counts little;
memory is the most that a part held beyond what was there before it (Linux alone tells). The nets
have fresh weights, and pictures are noise: neither time depends on them.
"""

import argparse
import ctypes
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn

import tas
from tas.costs import Budget
from tas.graph import Structure
from tas.inherit import Source
from tas.inherit.ordering import selection
from tas.inherit.readings import SAMPLES, Readings, readings, sorted_by
from tas.inherit.settling import watched
from tas.methods.baseline import near_equal
from tas.methods.sampling import states_near
from tas.shape import Shape
from tas.space import Space
from tas.spaces import FINE_RATIOS
from tas.training.pictures import Few, few
from trials_before import cut_plainly, folded, ordered_plainly

NETS = (
    "resnet20",
    "timm:resnet50",
    "torchvision:efficientnet_v2_s",
    "timm:vit_small_patch16_224",
)
PICTURES = 2048  # by which a search puts channels in order

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nets", nargs="+", default=NETS, metavar="NAME")
    parser.add_argument("--shapes", type=int, default=300, help="trials of a search")
    parser.add_argument("--before", type=int, default=4, help="of which so many the plain way, too")
    parser.add_argument("--pictures", type=int, default=16, help="of a batch")
    parser.add_argument("--batches", type=int, default=1, help="of a trial's forward pass")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--budgets", nargs="+", type=float, metavar="RATIO")
    parser.add_argument("--data", default="digits", help="of a search of --budgets")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.budgets:
        for name in options.nets:
            print(json.dumps(together(name, options)), flush=True)
        return
    found = []
    for name in options.nets:
        found.append(measured(name, options))
        if options.json:
            print(json.dumps(found[-1]), flush=True)
    if not options.json:
        print(table(found))


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """All figures of a net, in seconds and MiB."""
    torch.manual_seed(0)
    net = tas.nets.build(name).eval()
    input = tas.nets.full_shape(name).input
    generator = Generator().manual_seed(0)
    batches = [
        torch.randn(options.pictures, *input, generator=generator) for _ in range(options.batches)
    ]
    space = space_of(name, net, input)
    whole = Source.of(space, net)
    structure = whole.structure or tas.graph.analyse(net, batches[0][:1])
    times: dict[str, float] = {}
    times["readings, before"], given = timed(
        lambda: told(net, structure, Few(lambda: batches, samples=10**9))
    )
    times["readings, after"], _ = timed(lambda: told(net, structure, as_searched(net, batches)))
    times["ordering, before"], _ = timed(lambda: ordered_plainly(net, structure, given))
    times["ordering, after"], ranking = timed(lambda: selection(net, structure, given))
    source = Source(  # as ``Source.ordered`` gives it
        tas.graph.reordered(net, structure, ranking),
        structure,
        cut=whole.cut,
        trained=True,
        readings=sorted_by(given, ranking),
    )
    shapes = list(drawn(space, options.shapes, generator))
    before, memory_before = with_memory(lambda: plainly(source, shapes[: options.before]))
    after, memory_after = with_memory(lambda: kept(source, shapes))
    times |= before | after
    small = [source.derive(shape) for shape in shapes[:3]]
    passes = [timed(lambda: asked(net, batches))[0] for net in small]  # noqa: B023
    times["forward pass"] = statistics.median(passes)
    del small
    total = times["least squares, after"] + times["cut and build, after"]
    plain_total = times["least squares, before"] + times["cut and build, before"]
    return {
        "net": name,
        "shapes": len(shapes),
        "pictures": options.pictures * options.batches,
        "input": input,
        **times,
        "ratio": plain_total / total,
        "memory, before": memory_before,
        "memory, after": memory_after,
        "difference": difference(source, shapes[0]),
        "threads": options.threads,
        "torch": torch.__version__,
    }


def told(net: nn.Module, structure: Structure, few: Few) -> Readings:
    """What the layers of a net are given; the moments of its norms are taken as well."""
    with watched(net, few.samples):
        return readings(net, structure, few.pictures(), few.forward, few.samples)


def as_searched(net: nn.Module, batches: list[Tensor]) -> Few:
    """As a search puts channels in order, which has more batches."""
    found = few(net, batches, torch.device("cpu"), precision="auto")
    return found._replace(samples=len(batches[0]) * SAMPLES // PICTURES)


def together(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the searches of single budgets, and of one search for all."""
    data = tas.data.load(options.data)
    torch.manual_seed(0)
    net = tas.nets.build(name, data.classes, data.input)
    how = replace(tas.recipes.quick().inheriting().search, trials=options.shapes)

    def search(budget: Any) -> float:
        return timed(lambda: tas.search(net, data, budget, options=how, progress=False))[0]

    alone = [search(budget) for budget in options.budgets]
    all_seconds = search(options.budgets)
    return {
        "net": name,
        "data": data.name,
        "budgets": options.budgets,
        "alone": alone,
        "together": all_seconds,
        "ratio": all_seconds / statistics.mean(alone),
        "trials": options.shapes,
        "torch": torch.__version__,
    }


def space_of(name: str, net: nn.Module, input: tuple[int, ...]) -> Space:
    if tas.nets.is_named(name):
        return tas.spaces.trace(net, torch.zeros(1, *input), ratios=FINE_RATIOS)
    return tas.spaces.resnet_space(name, residual="tied", ratios=FINE_RATIOS)


def drawn(space: Any, count: int, generator: Generator) -> Iterator[Shape]:
    """Random shapes near half of the multiply-adds, as a search begins with them."""
    budget = Budget.of(space, 0.5)
    near = near_equal(space, budget)
    for state in states_near(near, budget, 0.97, 1.0, count, generator):
        numbers = state.tolist()
        yield near.shape(numbers[: len(near.widths)], numbers[len(near.widths) :])


# After -------------------------------------------------------------------------------------------


def kept(source: Source, shapes: list[Shape]) -> dict[str, float]:
    """Seconds of a shape: solving what is new, and what is left when nothing is."""
    whole, known = [], []
    for shape in shapes:
        whole.append(timed(lambda: source.derive(shape))[0])  # noqa: B023
        known.append(timed(lambda: source.derive(shape))[0])  # noqa: B023
    return {
        "first, after": whole[0],
        "least squares, after": statistics.mean(whole) - statistics.mean(known),
        "cut and build, after": statistics.mean(known),
    }


# Before ------------------------------------------------------------------------------------------


def plainly(source: Source, shapes: list[Shape]) -> dict[str, float]:
    """The same in the plain way."""
    folds, cuts = [], []
    for shape in shapes:
        fold, whole = timed(lambda: folded(source, shape))  # noqa: B023
        cut, _ = timed(lambda: cut_plainly(source, whole, shape))  # noqa: B023
        folds.append(fold)
        cuts.append(cut)
    return {
        "least squares, before": statistics.mean(folds),
        "cut and build, before": statistics.mean(cuts),
    }


# What both are held against ----------------------------------------------------------------------


@torch.no_grad()
def asked(net: nn.Module, batches: list[Tensor]) -> None:
    """The forward passes of a trial."""
    for module in net.eval().modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    for images in batches:
        net(images)


def difference(source: Source, shape: Shape) -> float:
    """The largest difference between the two nets' weights, by the largest weight of a tensor."""
    plain = cut_plainly(source, folded(source, shape), shape).state_dict()
    return max(
        float((tensor - plain[name]).abs().max() / plain[name].abs().max().clamp_min(1e-12))
        for name, tensor in source.derive(shape).state_dict().items()
        if tensor.is_floating_point()
    )


def timed(do: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the processor, and the result."""
    started = time.process_time()
    result = do()
    return time.process_time() - started, result


def with_memory(do: Callable[[], T]) -> tuple[T, float | None]:
    """The result, and the MiB that the process held at most beyond what it held before."""
    gc.collect()
    gc.freeze()  # what PyTorch has in memory is not looked through again and again
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")

    def held(name: str) -> float:
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines[name].split()[0]) / 1024

    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed goes back
        clear.write_text("5")  # the peak is what is held now
        before = held("VmRSS")
    except (OSError, KeyError):
        return do(), None
    result = do()
    return result, held("VmHWM") - before


PARTS = ("least squares", "cut and build")


def table(found: list[dict[str, Any]]) -> str:
    """For people: milliseconds of a trial, before / after; seconds of readings and ordering."""
    lines = [
        "| net | readings (s, pictures) | ordering (s) | least squares (ms) | cut and build (ms) "
        "| both (ms) | times less | first trial (ms) | forward pass (ms, pictures) | memory (MiB) "
        "| difference |",
        "|---" * 11 + "|",
    ]
    for each in found:
        both = [sum(each[f"{part}, {when}"] for part in PARTS) for when in ("before", "after")]
        cells = [
            each["net"],
            f"{each['readings, before']:.1f} / {each['readings, after']:.1f} ({each['pictures']})",
            f"{each['ordering, before']:.2f} / {each['ordering, after']:.2f}",
            *(
                f"{1e3 * each[f'{part}, before']:.1f} / {1e3 * each[f'{part}, after']:.1f}"
                for part in PARTS
            ),
            f"{1e3 * both[0]:.1f} / {1e3 * both[1]:.1f}",
            f"**{each['ratio']:.1f}**",
            f"{1e3 * each['first, after']:.1f}",
            f"{1e3 * each['forward pass']:.0f} ({each['pictures']})",
            " / ".join(
                "-" if each[f"memory, {when}"] is None else f"{each[f'memory, {when}']:.0f}"
                for when in ("before", "after")
            ),
            f"{each['difference']:.0e}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    shapes = ", ".join(sorted({str(each["shapes"]) for each in found}))
    return "\n".join([*lines, "", f"Before / after; {shapes} shapes; torch {torch.__version__}."])


if __name__ == "__main__":
    main()
