"""What a search step costs, as a ratio to a plain training step of the unpruned net.

    python benchmarks/search_step.py [--net resnet20 resnet56] [--batch-size 256] [--json]

A search step trains the weights on one batch and the logits on another; its floor is 5/3 of a
plain step, because the logits need no gradient of the weights. Both kinds of step take turns in one
process, so that the ratio holds while the machine's speed drifts: it is the median of the ratios
of neighbours. Peak memory is taken in a process of its own for each kind.
"""

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tas import nets
from tas.spaces import resnet_space
from tas.supernet import Supernet
from tas.training import Classification, Search, SearchOptions, TrainOptions, accelerator

FLOOR = 5 / 3
Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", nargs="+", default=["resnet20", "resnet56"])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[256, 64], help="one per net")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--residual", default="free", choices=["free", "tied"])
    parser.add_argument("--what", default="both", choices=["width", "depth", "both"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pairs", type=int, default=8, help="timed pairs of steps (default 8)")
    parser.add_argument("--json", action="store_true", help="print JSON objects instead of a table")
    options = parser.parse_args()

    sizes = (
        options.batch_size * len(options.net)
        if len(options.batch_size) == 1
        else options.batch_size
    )
    rows = [
        measure(net, size, precision, options)
        for net, size in zip(options.net, sizes, strict=True)
        for precision in options.precision
    ]
    if options.json:
        print(json.dumps({"machine": machine(), "rows": rows}))
    else:
        show(rows)


def measure(net: str, size: int, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """Times in milliseconds and peak memory in MiB of both kinds of step."""
    where = accelerator(options.device, precision).device
    arguments = (net, size, precision, str(where), options.residual, options.what)
    steps = {kind: step_of(kind, *arguments) for kind in ("plain", "search")}
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    for pair in range(options.pairs + 2):
        for kind, step in steps.items():
            seconds = timed(step, where)
            if pair >= 2:  # the first two warm up
                times[kind].append(seconds)
    ratios = [s / p for s, p in zip(times["search"], times["plain"], strict=True)]
    memory = {kind: peak_mib(kind, *arguments) for kind in steps}
    return {
        "net": net,
        "batch": size,
        "precision": precision,
        "device": str(where),
        "plain_ms": round(statistics.median(times["plain"]) * 1e3, 1),
        "search_ms": round(statistics.median(times["search"]) * 1e3, 1),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "floor": round(FLOOR, 2),
        "plain_mib": round(memory["plain"]),
        "search_mib": round(memory["search"]),
        "memory_ratio": round(memory["search"] / memory["plain"], 2),
    }


def step_of(
    kind: str, net: str, size: int, precision: str, device: str, residual: str, what: str
) -> Step:
    """One step of a real task on fixed random pictures, as the training loop takes it."""
    where = accelerator(device, precision)
    images = torch.randn(size, *nets.full_shape(net).input, device=where.device)
    batch = images, torch.randint(0, 10, (size,), device=where.device)
    if kind == "plain":
        plain = Classification(nets.build(net), TrainOptions(precision=precision))
        plain.start(where, 1000, 0)
        plain.module.train()
        return lambda: void(plain.step(batch, 10))
    space = resnet_space(net, residual=residual, what=what)
    search = Search(Supernet(space), SearchOptions(precision=precision), space.budget(0.55))
    search.start(where, 1000, 0)
    search.module.train()
    return lambda: void(search.step((batch, batch), 10))


def void(result: object) -> None:
    """A step's figures stay on the device, unread."""


def timed(step: Step, device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    step()
    synchronise(device)
    return time.perf_counter() - started


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_mib(*arguments: Any) -> float:
    """Peak memory of three steps, above what the process held when the pictures were made."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_mib, arguments)


def _peak_mib(kind: str, *arguments: Any) -> float:
    device = torch.device(arguments[3])
    step = step_of(kind, *arguments)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        for _ in range(3):
            step()
        return torch.cuda.max_memory_allocated(device) / 2**20
    before = resident_mib("VmRSS")
    for _ in range(3):
        step()
    return resident_mib("VmHWM") - before


def resident_mib(field: str) -> float:
    """Resident memory of this process now (VmRSS) or at its highest (VmHWM), as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(kib) / 2**10


def machine() -> dict[str, str]:
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """The rows as a table."""
    table = Table("net", "batch", "dtype", box=SIMPLE_HEAD)
    figures = ["plain_ms", "search_ms", "ratio", "plain_mib", "search_mib", "memory_ratio"]
    for title in ("plain", "search", "ratio", "memory", "search", "ratio"):
        table.add_column(title, justify="right")
    for row in rows:
        texts = (row["net"], str(row["batch"]), row["precision"])
        table.add_row(*texts, *(f"{row[figure]:g}" for figure in figures))
    Console().print(table)
    print("times in ms, peak memory in MiB: plain training step, search step, their ratio")
    facts = {"device": rows[0]["device"], "floor of the ratio": rows[0]["floor"], **machine()}
    print(", ".join(f"{name} {value}" for name, value in facts.items()))


if __name__ == "__main__":
    main()
