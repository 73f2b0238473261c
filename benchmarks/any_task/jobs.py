"""Two whole jobs through a training loop that is not ours: segmentation and detection.

    pip install torch-pruning torchmetrics pycocotools
    python benchmarks/any_task/jobs.py --job segmentation --data-dir FOLDER --work FOLDER

Net, loop, scenes and score are those of ``examples/segmentation.py`` and ``examples/detection.py``.
One teacher; then every method cuts it to half of its multiply-adds and is trained by the same loop
with the same seeds, and tested after the last epoch on scenes of other garments. Torch-Pruning cuts
by the setting of three that scores best on scenes to train on, untrained. Norms of its nets measure
anew, as those of ours do. Every measured net is a line of ``jobs.csv``, appended when it is done;
the command goes on from there.
"""

import argparse
import csv
import os
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

import tas
from tas.costs import Budget, count
from tas.methods import Found, TrialOptions, even_widths
from tas.training import recompute_norm_statistics
from tas.weights import load_weights, save_weights

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "examples"), str(HERE.parent / "rivals")]

from bisection import within  # noqa: E402

TABLE = HERE / "jobs.csv"
FIELDS = (
    "job",
    "scenes",
    "method",
    "seed",
    "macs",
    "params",
    "untrained",
    "tuned",
    "epochs",
    "cut_s",
    "tune_s",
    "note",
)
BUDGET = 0.5
TEST = 500
SCOPES = ("local", "global", "isomorphic")


@dataclass(frozen=True)
class Job:
    """An example and how long it is trained.

    Attributes:
        scenes: to train on, unless another number is asked for.
        inputs: channels of its pictures.
        distance: as the example gives it.
        rates: of the teacher, and of what is cut.
        epochs: likewise; for segmentation, of what is cut, those by which equal ratios did best:
            20 at 4e-3, rather than 20 or 6 at 2e-3.
        trials: of the search, as the example has it.
    """

    module: ModuleType
    scenes: int
    inputs: int
    make: Callable[[], nn.Module]
    forward: Any
    distance: Any
    rates: tuple[float, float]
    epochs: tuple[int, int]
    trials: int


def job(name: str) -> Job:
    module = import_module(name)
    if name == "segmentation":
        return Job(module, 3000, 1, module.UNet, None, "kl", (4e-3, 4e-3), (20, 20), 300)
    return Job(module, 9000, 3, module.make_model, module.heads, None, (2e-3, 1e-3), (24, 8), 200)


class Bench:
    """One job: its scenes, its teacher, and the lines that are measured."""

    def __init__(
        self, name: str, data_dir: str, work: Path, scenes: int | None, epochs: int | None
    ) -> None:
        import garments

        self.name, self.job = name, job(name)
        self.scenes = scenes or self.job.scenes
        self.epochs = epochs or self.job.epochs[1]
        self.cut: dict[str, tuple[nn.Module, str, float]] = {}  # where seeds only train
        side = self.job.module.SIDE
        self.training, self.test = garments.load(
            self.scenes, TEST, side, name="fashion-mnist", data_dir=data_dir
        )
        self.example = torch.zeros(1, self.job.inputs, side, side)
        work.mkdir(parents=True, exist_ok=True)
        own = (name, str(self.scenes))
        self.lines = [line for line in read() if (line["job"], line["scenes"]) == own]
        self.teacher = self._teacher(work / f"{name}-{self.scenes}.safetensors")
        self.whole = count(self.teacher, self.example, self.job.forward).macs

    def _teacher(self, path: Path) -> nn.Module:
        torch.manual_seed(0)
        net = self.job.make()
        if path.is_file():
            load_weights(net, path)
            return net.eval()
        started = time.process_time()
        self.job.module.train(net, self.training, self.job.epochs[0], self.job.rates[0])
        save_weights(net, path)
        spent = time.process_time() - started
        told = {"tuned": self.score(net), "epochs": self.job.epochs[0], "tune_s": spent}
        self.add(net, method="unpruned", seed=0, **told)
        return net.eval()

    def score(self, net: nn.Module, scenes: Any = None) -> float:
        found: float = self.job.module.score(net.eval(), scenes or self.test)
        return found

    def add(self, net: nn.Module, **line: Any) -> None:
        counted = count(net.eval(), self.example, self.job.forward)
        sizes = {"macs": counted.macs, "params": counted.params}
        line = {"job": self.name, "scenes": self.scenes, **sizes, **line}
        line = {key: f"{v:.2f}" if isinstance(v, float) else v for key, v in line.items()}
        self.lines.append(line)
        print(line, flush=True)
        fresh = not TABLE.is_file()
        with TABLE.open("a", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            if fresh:
                writer.writeheader()
            writer.writerow(line)

    def measure(self, method: str, seed: int) -> None:
        """Cut by a method, score, train, score."""
        wanted = (method, seed, self.epochs)
        for line in self.lines:
            if (line["method"], int(line["seed"]), int(line["epochs"])) == wanted:
                return
        if method not in self.cut:
            started = time.process_time()
            made = METHODS[method](self, seed)
            self.cut[method] = *made, time.process_time() - started
        net, note, cut = deepcopy(self.cut[method])
        if method == "ours":  # which draws
            del self.cut[method]
        untrained = self.score(net)
        started = time.process_time()
        teacher = deepcopy(self.teacher)
        how = self.epochs, self.job.rates[1]
        self.job.module.train(net, self.training, *how, teacher=teacher, seed=seed)
        spent = time.process_time() - started
        figures = {"untrained": untrained, "tuned": self.score(net), "epochs": self.epochs}
        seconds = {"cut_s": cut, "tune_s": spent}
        self.add(net, method=method, seed=seed, note=note, **figures, **seconds)


def searched(bench: Bench, seed: int, trials: int) -> Found:
    return tas.search(
        bench.teacher,
        batches=bench.job.module.pictures(bench.training),
        forward=bench.job.forward,
        distance=bench.job.distance,
        budget=BUDGET,
        options=TrialOptions(trials=trials),
        seed=seed,
        progress=False,
    )


def ours(bench: Bench, seed: int) -> tuple[nn.Module, str]:
    """As the example does it."""
    return searched(bench, seed, bench.job.trials).derive(), ""


def equal(bench: Bench, seed: int) -> tuple[nn.Module, str]:
    """Every layer thinned by one ratio, cut and compensated as ours."""
    found = searched(bench, seed, trials=1)
    shape = even_widths(found.space, Budget.of(found.space, BUDGET))
    assert shape is not None
    return replace(found, shape=shape).derive(), ""


def whole(bench: Bench, seed: int) -> tuple[nn.Module, str]:
    """Nothing is cut: the teacher, trained on as long as the others."""
    return deepcopy(bench.teacher), ""


def rival(bench: Bench, seed: int) -> tuple[nn.Module, str]:
    """Torch-Pruning by magnitude, in its best scope."""
    part = replace(bench.training, images=bench.training.images[:500])
    nets = {scope: pruned(bench, scope) for scope in SCOPES}
    scores = {scope: bench.score(net, part) for scope, net in nets.items()}
    best = max(scores, key=lambda scope: scores[scope])
    return nets[best], best


def pruned(bench: Bench, scope: str) -> nn.Module:
    import torch_pruning

    call = bench.job.forward or (lambda net, x: net(x))
    out = [entry.layer for entry in _space(bench).locked if "net's output" in entry.reason]

    def cut(ratio: float) -> tuple[int, nn.Module]:
        net = deepcopy(bench.teacher).eval()
        torch_pruning.pruner.BasePruner(
            net,
            bench.example,
            forward_fn=call,
            importance=torch_pruning.importance.GroupMagnitudeImportance(),
            global_pruning=scope != "local",
            isomorphic=scope == "isomorphic",
            pruning_ratio=ratio,
            ignored_layers=[net.get_submodule(path) for path in out],
            in_channel_groups={},
            out_channel_groups={},
            channel_groups={},
            num_heads={},
        ).step()
        return count(net, bench.example, bench.job.forward).macs, net

    net = within(cut, BUDGET * bench.whole)[1]
    batches = bench.job.module.pictures(bench.training)[:64]
    recompute_norm_statistics(net, batches, forward=call, device="cpu")
    return net


def _space(bench: Bench) -> Any:
    return tas.spaces.trace(bench.teacher, bench.example, forward=bench.job.forward)


METHODS = {"ours": ours, "equal": equal, "torch-pruning": rival, "unpruned, trained on": whole}


def read() -> list[dict[str, Any]]:
    if not TABLE.is_file():
        return []
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--job", choices=["segmentation", "detection"], required=True)
    parser.add_argument("--data-dir", required=True, help="the files of Fashion-MNIST")
    parser.add_argument("--work", type=Path, required=True, help="where teachers are kept")
    parser.add_argument("--scenes", type=int, help="to train on (default: as in the table)")
    parser.add_argument("--epochs", type=int, help="of what is cut (default: as in the table)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    bench = Bench(options.job, options.data_dir, options.work, options.scenes, options.epochs)
    for seed in options.seeds:
        for method in options.methods:
            bench.measure(method, seed)


if __name__ == "__main__":
    main()
