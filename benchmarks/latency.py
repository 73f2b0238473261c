"""What a budget of half of the time gives, beside half of the multiply-adds, measured.

    pip install torch-pruning
    python benchmarks/latency.py [--nets torchvision:mobilenet_v2 ...] [--runtime onnxruntime]

For each net a table is measured (or goes on, in ``--tables``), and its error on shapes that it was
not fitted to is told. Then, without any training: equal widths at half of the time, measured and
corrected as a search does; equal widths at half of the multiply-adds, of any width and of those
that hardware is fast with; and Torch-Pruning's net at half of the multiply-adds (by magnitude, one
ratio for all layers, widths in multiples of 8). Each is timed in turns with the unpruned net. Nets
have fresh weights, for which a clock does not care.
"""

import argparse
import json
import statistics
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tas.api.latency_table import space_of
from tas.api.time_budget import bench_of
from tas.costs import Budget, count
from tas.costs.latency import Latency, errors
from tas.methods import Found, equal_widths, even_widths
from tas.methods.baseline import nearest
from tas.methods.timed import aimed, fill, met
from tas.model_options import LatencyOptions
from tas.shape import Shape
from tas.timing.bench import FOUND
from tas.training import History

NETS = (
    "torchvision:resnet18",
    "torchvision:resnet50",
    "torchvision:mobilenet_v2",
    "torchvision:efficientnet_b0",
    "timm:mobilenetv3_small_100",
    "torchvision:regnet_y_400mf",
    "timm:convnext_atto",
    "torchvision:shufflenet_v2_x1_0",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nets", nargs="+", default=list(NETS))
    parser.add_argument("--runtime", default="onnxruntime", help="torch, openvino, ...")
    parser.add_argument("--budget", type=float, default=0.5, help="of the time, and of the MACs")
    parser.add_argument("--shapes", type=int, default=150, help="of a table; every third tests it")
    parser.add_argument("--minutes", type=float, default=15.0, help="of a table, at most")
    parser.add_argument("--tables", default="tables", help="folder where tables are kept")
    options = parser.parse_args()
    Path(options.tables).mkdir(exist_ok=True)
    for net in options.nets:
        print(json.dumps(row(net, options)), flush=True)


def row(net: str, options: Any) -> dict[str, Any]:
    """What was asked, predicted and measured of a net."""
    space = space_of(LatencyOptions(net=net))
    any_width = space_of(LatencyOptions(net=net, round_to=1))
    name = f"{net.replace(':', '-')}-{options.runtime}.jsonl"
    bench = bench_of(space, options.runtime, Path(options.tables) / name)
    fill(bench, options.shapes, options.minutes)
    off = errors(bench.table, space)
    worst = statistics.quantiles(off, n=20, method="inclusive")[-1]

    unit = Latency(bench.table, space, ("fit", "test"))
    budget = Budget.of(space, options.budget, unit)
    # Where what every layer costs however narrow it is takes half of the time, blocks have to go.
    first = even_widths(space, aimed(budget)) or nearest(space, space.unpruned, aimed(budget), "")
    start = Found(first, budget, History("search", ()), space, bench.source)
    found, _ = met(start, budget, bench)

    shapes: dict[str, Shape | None] = {
        "half of the time": found.shape,
        "half of the MACs": even_widths(space, Budget.of(space, options.budget)),
        "half of the MACs, any width": equal_widths(
            any_width, Budget.of(any_width, options.budget)
        ),
    }
    nets = {key: bench.source.derive(shape) for key, shape in shapes.items() if shape}
    nets |= rival(bench.source.derive(space.unpruned), space.unpruned.image)
    nets = {"unpruned": bench.source.derive(space.unpruned), **nets}
    # Two nets at a time, for more do not fit into the caches.
    times = {key: bench.times(each, FOUND)[1] for key, each in nets.items()}
    whole = count(nets["unpruned"], space.unpruned.image).macs
    measured = {
        key: {
            "time": round(times[key].ratio, 4),
            "uncertain": round(times[key].uncertain, 4),
            "macs": round(count(net, space.unpruned.image).macs / whole, 4),
        }
        for key, net in nets.items()
        if key != "unpruned"
    }
    return {
        "net": net,
        "runtime": options.runtime,
        "ms": round(times["unpruned"].ms, 3),
        "shapes": len(bench.table.lines),
        "held_out": len(off),
        "median_error": round(statistics.median(off), 4),
        "error_95": round(worst, 4),
        **measured,
    }


def rival(net: nn.Module, image: tuple[int, ...]) -> dict[str, nn.Module]:
    """Torch-Pruning's net; none where it cannot prune this one, which is said."""
    sys.path.insert(0, str(Path(__file__).parent / "rivals"))
    limit = 0.5 * count(net, image).macs
    try:
        from torch_pruning_settings import SETTINGS, pruned

        setting = SETTINGS["tp-magnitude-local"]
        return {"Torch-Pruning": pruned(net.eval(), image, limit, setting, [], round_to=8)}
    except Exception as error:  # whatever it may raise
        print(f"Torch-Pruning: {type(error).__name__}: {error}", file=sys.stderr)
        return {}


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    main()
