"""How fast pictures reach the net, beside how fast a net can eat them.

    python benchmarks/input_path.py [--folder PATH] [--device cuda] [--json]
    python benchmarks/input_path.py --on-disk PATH --workers 1

The in-memory batches, with crops and flips, are timed alone on random pictures; a plain training
step of ResNet-20 stands beside them. With ``--folder`` its pictures are decoded as they are for a
training run. With ``--on-disk`` its pictures are decoded, cut out, mirrored and jittered by worker
processes, as those of ImageNet are, and nothing else is measured.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table

from tas import nets
from tas.data import Augment, Data, Files, Images, Transform, batches, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--image-size", type=int, default=32, help="pixels (default 32)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=20, help="timed training steps (default 20)")
    parser.add_argument("--folder", help="a folder of images to decode")
    parser.add_argument("--on-disk", help="a folder of images to leave on disk, as ImageNet is")
    parser.add_argument("--workers", type=int, help="decoding threads (default: one per core)")
    parser.add_argument(
        "--needed",
        type=float,
        default=2470,
        help="pictures per second that one GPU trains on (default: ResNet-50, A100, mixed "
        "precision, as NVIDIA measured it)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    options = parser.parse_args()

    if options.on_disk:
        result = measure_workers(options)
        print(json.dumps(result) if options.json else told(result))
        return
    result = measure_batches(options) | measure_step(options)
    result["step_per_loader"] = result["step_ms"] / result["loader_ms"]
    if options.folder:
        result |= measure_folder(options)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


def measure_batches(options: argparse.Namespace) -> dict[str, Any]:
    """Median milliseconds per batch of the in-memory loader with augmentation, and nothing else."""
    data = random_pictures(40 * options.batch_size, options.image_size)
    loader = batches(
        data,
        data.train,
        options.batch_size,
        augment=Augment(),
        device=options.device,
        shuffle=True,
        drop_last=True,
    )
    seconds = []
    for epoch in range(6):  # the first one warms up
        loader.set_epoch(epoch)
        seconds.append(seconds_of(lambda: [None for _ in loader], options.device) / len(loader))
    loader_ms = statistics.median(seconds[1:]) * 1e3
    return {
        "device": device_name(options.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch_size": options.batch_size,
        "image_size": options.image_size,
        "loader_ms": loader_ms,
        "loader_batches_per_second": 1e3 / loader_ms,
    }


def measure_step(options: argparse.Namespace) -> dict[str, Any]:
    """Median milliseconds of a training step of ResNet-20 on a batch that is already there."""
    size, device = options.image_size, options.device
    net = nets.build("resnet20", classes=10, input=(3, size, size)).to(device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    images = torch.randn(options.batch_size, 3, size, size, device=device)
    labels = torch.randint(10, (options.batch_size,), device=device)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()

    for _ in range(3):
        step()
    step_ms = statistics.median(seconds_of(step, device) for _ in range(options.steps)) * 1e3
    return {"step_ms": step_ms, "step_batches_per_second": 1e3 / step_ms}


def measure_folder(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds to list, decode and measure a folder, and pictures per second."""
    start = time.perf_counter()
    data = load(options.folder, workers=options.workers)
    seconds = time.perf_counter() - start
    pictures = len(data.train) + len(data.test)
    return {
        "folder_pictures": pictures,
        "folder_input": data.input,
        "folder_in_memory": not isinstance(data.train, Files),
        "folder_seconds": seconds,
        "folder_pictures_per_second": pictures / seconds,
    }


def measure_workers(options: argparse.Namespace) -> dict[str, Any]:
    """Pictures per second that worker processes make ready for training at 224 pixels."""
    data = load(options.on_disk, image_size=224, in_memory=False, progress=False)
    workers = options.workers or 1
    loader = batches(
        data,
        data.train,
        min(64, len(data.train)),
        augment=Augment(),
        device=options.device,
        shuffle=True,
        drop_last=True,
        workers=workers,
    )
    rates = []
    for epoch in range(4):  # the first one starts the workers and fills the disk's cache
        loader.set_epoch(epoch)
        rates.append(loader.examples / seconds_of(lambda: [None for _ in loader], options.device))
    rate = statistics.median(rates[1:])
    return {
        "pictures": len(data.train),
        "workers": workers,
        "pictures_per_second": rate,
        "pictures_per_second_per_worker": rate / workers,
        "needed": options.needed,
        "workers_for_one_gpu": math.ceil(options.needed * workers / rate),
        "torch": torch.__version__,
    }


def told(result: dict[str, Any]) -> str:
    return (
        f"{result['workers']} worker(s) made {result['pictures_per_second']:.0f} pictures per "
        f"second ready, {result['pictures_per_second_per_worker']:.0f} each; a GPU that trains on "
        f"{result['needed']:.0f} needs {result['workers_for_one_gpu']} of them"
    )


def random_pictures(count: int, size: int) -> Data:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    part = Images(pixels, torch.randint(10, (count,), generator=generator))
    names = tuple("abcdefghij")
    transform = Transform.of_size("rgb", (size, size), (0.5,) * 3, (0.25,) * 3, vary="shift")
    return Data("random", names, transform, part, part, flip=True)


def seconds_of(work: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def show(result: dict[str, Any]) -> None:
    title = f"{result['device']}, {result['threads']} threads, torch {result['torch']}"
    table = Table("", "ms per batch", "batches per second", title=title)
    what = f"{result['batch_size']} x {result['image_size']} px"
    for name, key in ((f"batches alone, {what}", "loader"), (f"ResNet-20 step, {what}", "step")):
        ms, rate = result[f"{key}_ms"], result[f"{key}_batches_per_second"]
        table.add_row(name, f"{ms:.2f}", f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}")
    console = Console()
    console.print(table)
    console.print(f"the batches come {result['step_per_loader']:.0f} times as fast as they go")
    if "folder_seconds" in result:
        where = "into memory" if result["folder_in_memory"] else "left on disk"
        console.print(
            f"{result['folder_pictures']} pictures {where} in {result['folder_seconds']:.1f} s, "
            f"{result['folder_pictures_per_second']:.0f} per second"
        )


if __name__ == "__main__":
    main()
