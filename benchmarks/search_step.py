"""What a search step costs, as a ratio to a plain training step of the unpruned net.

    python benchmarks/search_step.py [--net resnet20 resnet56] [--batch-size 256] [--json]
        [--kinds plain search mask] [--compile] [--reference PATH]

A search step trains the weights on one batch and the logits on another; its floor is 5/3 of a
plain step, because the logits need no gradient of the weights. Widths are mixed by interpolation
(``search``) or by masks (``mask``), and either in one pass as well (``--bilevel false``). Beside
them stand a distillation step whose teacher is the same net, that teacher's part of it alone
(``teacher``), and with ``--reference`` the search step of a checkout of the released code, run as
it is, in float32. All kinds of step take turns in one process, so that the ratios hold while the
machine's speed drifts: each is the median of the ratios of neighbours. Peak memory is taken in a
process of its own for each kind, on CUDA of the device's. With ``--compile`` every kind is measured
compiled as well, and on CUDA every kind as a replayed graph (``--cuda-graphs``, which trainings
have by default), where the launches of a step are counted, too; all ratios are to the plain step
that is neither.
"""

import argparse
import gc
import itertools
import json
import multiprocessing
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from accelerate import Accelerator
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tas import nets
from tas.costs import Budget
from tas.methods.paper.options import PaperOptions
from tas.methods.paper.supernet import Supernet
from tas.methods.paper.task import Search
from tas.spaces import resnet_space
from tas.training import Classification, Distillation, TrainOptions, accelerator, place, repeatable
from tas.training.memory_format import place_module
from tas.training.preparing import compiled

FLOOR = 5 / 3
SEARCHES = {  # how each is made
    "search": {"mixing": "interpolate"},
    "mask": {"mixing": "mask"},
    "one_pass": {"mixing": "interpolate", "bilevel": False},
    "mask_one_pass": {"mixing": "mask", "bilevel": False},
}
KINDS = ("plain", *SEARCHES, "distil", "teacher")
WARM = 6  # steps that are not timed: a step is compiled at the first, recorded at the fourth
COMPILED, GRAPHS = "_compiled", "_graphs"  # and both, in this order
MEASURED = ("plain", "search", "mask")  # those whose peak memory is taken
Step = Callable[[], None]


@repeatable()  # as trainings are
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", nargs="+", default=["resnet20", "resnet56", "resnet110"])
    parser.add_argument(
        "--batch-size", type=int, nargs="+", default=[256, 64, 64], help="one, or one per net"
    )
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--residual", default="free", choices=["free", "tied"])
    parser.add_argument("--what", default="both", choices=["width", "depth", "both"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--compile", action="store_true", help="each kind compiled as well")
    parser.add_argument("--pairs", type=int, default=8, help="timed steps of each kind (default 8)")
    parser.add_argument("--reference", help="a checkout of D-X-Y/AutoDL-Projects, for CIFAR nets")
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
    kinds = list(dict.fromkeys(["plain", *options.kinds]))
    if options.compile:
        torch._dynamo.config.recompile_limit = 64  # all kinds call nets by the same function
        kinds += [f"{kind}{COMPILED}" for kind in kinds]
    if where.type == "cuda":
        kinds += [f"{kind}{GRAPHS}" for kind in kinds if "teacher" not in kind]
    memory = {kind: peak_mib(kind, *arguments) for kind in kinds if base(kind) in MEASURED}
    steps = {kind: step_of(kind, *arguments) for kind in kinds}
    if options.reference:
        steps["reference"] = reference_step(options.reference, net, size, options.what, where)
    times: dict[str, list[float]] = {kind: [] for kind in steps}
    for pair in range(options.pairs + WARM):
        for kind, step in steps.items():
            seconds = timed(step, where)
            if pair >= WARM:
                times[kind].append(seconds)
    ratios = {
        kind: [s / p for s, p in zip(each, times["plain"], strict=True)]
        for kind, each in times.items()
    }
    launches = {kind: launched(step) for kind, step in steps.items() if where.type == "cuda"}
    row: dict[str, Any] = {
        "net": net,
        "batch": size,
        "precision": precision,
        "device": str(where),
        **{f"{kind}_ms": round(statistics.median(each) * 1e3, 1) for kind, each in times.items()},
        "floor": round(FLOOR, 2),
    }
    for kind in kinds[1:]:
        row[f"{kind}_ratio"] = round(statistics.median(ratios[kind]), 2)
        row[f"{kind}_ratio_spread"] = [round(f(ratios[kind]), 2) for f in (min, max)]
    for kind, mib in memory.items():
        row[f"{kind}_mib"] = round(mib)
        row[f"{kind}_memory_ratio"] = round(mib / memory["plain"], 2)
    for kind, count in launches.items():
        row[f"{kind}_launches"] = count
    for kind in SEARCHES:
        if options.reference and kind in kinds:
            pairs = zip(times["reference"], times[kind], strict=True)
            row[f"reference_over_{kind}"] = round(statistics.median(r / s for r, s in pairs), 2)
    return row


def step_of(
    kind: str, net: str, size: int, precision: str, device: str, residual: str, what: str
) -> Step:
    """One step of a real task on fixed random pictures, as the training loop takes it."""
    where = accelerator(device, precision)
    compile, graphs, kind = COMPILED in kind, GRAPHS in kind, base(kind)
    images = torch.randn(size, *nets.full_shape(net).input, device=where.device)
    batch = images, torch.randint(0, 10, (size,), device=where.device)
    if kind == "teacher":
        return teacher_step(net, images, where, compile)
    common: dict[str, Any] = {"precision": precision, "compile": compile, "cuda_graphs": graphs}
    task: Classification | Search
    if kind in ("plain", "distil"):
        options = TrainOptions(**common)
        model = nets.build(net)
        plain = kind == "plain"
        task = (
            Classification(model, options)
            if plain
            else Distillation(model, nets.build(net), options)
        )
    else:
        space = resnet_space(net, residual=residual, what=what)
        how: dict[str, Any] = SEARCHES[kind]
        supernet = Supernet(space, mixing=how["mixing"])
        task = Search(supernet, PaperOptions(**common, **how), Budget.of(space, 0.55).limit)
    task.start(where, 1000, 0)
    task.module.train()
    paired = isinstance(task, Search) and task.options.bilevel
    given = (batch, batch) if paired else batch
    number = itertools.count()  # every step of a search has another draw
    return lambda: void(task.step(given, next(number)))


def teacher_step(net: str, images: torch.Tensor, where: Accelerator, compile: bool) -> Step:
    """What a distillation asks of its teacher."""
    teacher = place_module(nets.build(net), where.device).eval()
    teacher = compiled(teacher) if compile else teacher

    def step() -> None:
        with torch.inference_mode(), where.autocast():
            teacher(place(images, where.device))

    return step


def reference_step(path: str, net: str, size: int, what: str, device: torch.device) -> Step:
    """One step of the released search of CIFAR nets, from a checkout: its model, optimizers and
    training function, on an epoch of one step.

    It has NCHW tensors, float32 and no other choice, and moves its labels to CUDA whatever there
    is; without CUDA that is made to do nothing while it runs.
    """
    if not net.removeprefix("resnet").isdigit() or net in ("resnet18", "resnet34"):
        raise SystemExit(f"--reference measures the CIFAR nets, not {net}")
    if not (Path(path) / "xautodl").is_dir():
        raise SystemExit(f"--reference {path}: no checkout of AutoDL-Projects (no folder xautodl)")
    sys.path.insert(0, path)
    from xautodl.config_utils import load_config
    from xautodl.models import obtain_search_model
    from xautodl.procedures import get_optim_scheduler
    from xautodl.procedures.search_main_v2 import search_train_v2
    from xautodl.utils import get_model_infos

    name = net.replace("resnet", "ResNet")
    mode = {"both": "shape"}.get(what, what)
    extra = {"class_num": 10, "search_mode": mode}
    model = obtain_search_model(
        load_config(f"{path}/configs/archs/CIFAR-{name}.config", extra, None)
    )
    flop, _ = get_model_infos(model, (1, 3, 32, 32))
    config = load_config(
        f"{path}/configs/search-opts/CIFARX.config", {"class_num": 10, "FLOP": flop}, None
    )
    model.to(device)
    optimizer, _, criterion = get_optim_scheduler(model.base_parameters(), config)
    arch = torch.optim.Adam(
        model.arch_parameters(),
        lr=config.arch_LR,
        betas=(0.5, 0.999),
        weight_decay=config.arch_decay,
    )
    model.set_tau(5, 0.1, 0.01)
    images = torch.randn(size, 3, 32, 32, device=device)
    labels = torch.randint(0, 10, (size,), device=device)
    network = Alone(model)
    quiet = SimpleNamespace(log=void, update=lambda *_: None)
    budget = {"FLOP-exp": 0.55 * flop, "FLOP-weight": 2, "FLOP-tolerant": 0.05 * flop}
    info = {"epoch-str": "", **budget}
    batches = [(images, labels, images, labels)]
    arguments = (batches, network, criterion, quiet, optimizer, arch, config, info, 100, quiet)

    def step() -> None:
        if device.type == "cuda":
            search_train_v2(*arguments)
        else:
            with mock.patch.object(torch.Tensor, "cuda", lambda tensor, **_: tensor):
                search_train_v2(*arguments)

    return step


class Alone(torch.nn.Module):
    """What ``DataParallel`` is around a net on one device, as the released code expects it."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> Any:
        return self.module(images)


def void(result: object) -> None:
    """A step's figures stay on the device, unread."""


def base(kind: str) -> str:
    """A kind of step, however it is taken."""
    return kind.removesuffix(GRAPHS).removesuffix(COMPILED)


def launched(step: Step) -> int:
    """What the host gives to the device in a step: kernels, copies and graphs."""
    torch.cuda.synchronize()
    activities = (torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as seen:
        step()
        torch.cuda.synchronize()
    calls = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpyAsync", "cudaMemsetAsync")
    return sum(event.name.startswith(calls) for event in seen.events())


def timed(step: Step, device: torch.device) -> float:
    synchronise(device)
    started = time.perf_counter()
    step()
    synchronise(device)
    return time.perf_counter() - started


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_mib(kind: str, *arguments: Any) -> float:
    """Peak memory of some steps, above what was held before: of the device, or of a process."""
    if torch.device(arguments[3]).type != "cuda":
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            return pool.apply(_peak_resident_mib, (kind, *arguments))
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    step = step_of(kind, *arguments)
    for _ in range(WARM):
        step()
    return (torch.cuda.max_memory_reserved() - before) / 2**20


def _peak_resident_mib(kind: str, *arguments: Any) -> float:
    step = step_of(kind, *arguments)
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
    figures = ("plain_ms", "plain_mib", "plain_launches")
    columns = dict(zip(("plain, ms", "plain, MiB", "plain, launches"), figures, strict=True))
    ways = itertools.product(("", COMPILED), ("", GRAPHS), KINDS)
    for kind in [f"{kind}{compile}{graphs}" for compile, graphs, kind in ways][1:]:
        name = kind.replace("_", " ")
        columns |= {f"{name}, time": f"{kind}_ratio", f"{name}, memory": f"{kind}_memory_ratio"}
        columns |= {f"{name}, launches": f"{kind}_launches"}
    columns |= {f"released / {k.replace('_', ' ')}": f"reference_over_{k}" for k in SEARCHES}
    columns = {title: figure for title, figure in columns.items() if figure in rows[0]}
    for title in columns:
        table.add_column(title, justify="right")
    for row in rows:
        texts = (row["net"], str(row["batch"]), row["precision"])
        table.add_row(*texts, *(f"{row[figure]:g}" for figure in columns.values()))
    Console(width=30 + 11 * len(columns)).print(table)
    print("time and peak memory of a kind: as a ratio to a plain step")
    facts = {"device": rows[0]["device"], "floor of the ratio": rows[0]["floor"], **machine()}
    print(", ".join(f"{name} {value}" for name, value in facts.items()))


if __name__ == "__main__":
    main()
