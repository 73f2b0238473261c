"""What the verbs that run for long share: data, recipe, run directory, and how they end."""

import platform
import random
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from torch import nn

from .. import __version__, processes, training
from .. import data as data_room
from ..api import Trained, evaluate
from ..cli import ending
from ..data import Augment, Data
from ..errors import InputError, first_line
from ..methods.paper.options import PaperOptions
from ..methods.probes.options import ProbeOptions
from ..methods.trials.options import TrialOptions
from ..recipes import Recipe, recipe
from ..report import html, quantity, table
from ..runs import RunDir
from ..seeds import check_seed
from ..shape import Shape
from ..training import TrainOptions

__all__ = [
    "Run",
    "below_unpruned",
    "chosen_augment",
    "chosen_recipe",
    "chosen_seed",
    "load_data",
    "print_rows",
    "print_shapes",
    "row",
    "say",
    "tested",
]

# Where a run computes and who shows it change no result, and may change when it is continued.
NOT_OF_THE_RUN = ("out", "device", "compile", "cuda_graphs", "workers", "download", "data_dir")

console = Console()
OptionsT = TypeVar("OptionsT", bound=TrainOptions | PaperOptions)
_SEARCHES = (PaperOptions, ProbeOptions, TrialOptions)


@dataclass
class Run:
    """A run directory in use, and what its command was."""

    verb: str
    directory: RunDir
    seed: int
    finished: bool

    @classmethod
    def open(cls, verb: str, options: Any, net: str) -> "Run":
        """Create the run directory, or continue in it; says which.

        A seed of -1 is drawn, or is the one with which the run was begun.
        """
        training.accelerator(options.device, options.precision or "auto")  # or an error, now
        chosen_augment(options)  # likewise
        name = Path(str(options.data)).name
        now = datetime.now().strftime("%Y%m%d-%H%M%S")
        path = processes.agreed(Path(options.out or f"runs/{verb}-{Path(net).stem}-{name}-{now}"))
        config = {k: v for k, v in asdict(options).items() if k not in NOT_OF_THE_RUN}
        recorded = processes.by_first(lambda: RunDir.recorded(path))
        if options.seed == -1 and recorded and isinstance(recorded.get("seed"), int):
            config["seed"] = recorded["seed"]
        if "budget" in config:
            config["budget"] = _as_text(config["budget"])
        config = {"verb": verb, **config, "seed": processes.agreed(chosen_seed(config["seed"]))}
        directory = RunDir.open(path, config)
        finished = processes.agreed(directory.finished)
        if not finished:
            say(f"{'continuing in' if recorded else 'writing to'} {path}")
        return cls(verb, directory, config["seed"], finished)

    def common(self, options: Any) -> dict[str, Any]:
        """The arguments that every training of the run shares."""
        return {
            "augment": chosen_augment(options),
            "seed": self.seed,
            "device": options.device,
            "workers": options.workers,
            "out": self.directory,
        }

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM, the end of another process and a full disk say how to go on.

        The exit status is 130, 143, 1 and 1.
        """
        try:
            with ending.on_sigterm(lambda: self._last_words("told to stop (SIGTERM)")):
                yield
        except KeyboardInterrupt:
            if processes.is_first():
                self._last_words("interrupted")
            sys.exit(130)
        except Exception as error:
            if ending.lost(error):
                self._last_words("another process of this run has ended")
            elif ending.unwritable(error):
                self._last_words(
                    f"'{self.directory.path}' cannot be written ({first_line(error)}): make room"
                )
            else:
                raise
            ending.at_once(1)

    def _last_words(self, what: str) -> None:
        arguments = sys.argv[1:]
        if "--out" not in arguments and not any(a.startswith("--out=") for a in arguments):
            arguments += ["--out", str(self.directory.path)]
        if "-1" in arguments:
            arguments[arguments.index("-1")] = str(self.seed)
        many = processes.count() > 1
        if many and what.endswith("(SIGTERM)"):
            what += ", by a batch system or by the launcher when another process has ended"
        who = f"process {processes.rank()}: " if many else ""
        where = ", on as many processes as you like," if many else ""
        command = shlex.join(["tas", *arguments])
        print(
            f"\n{who}{what}: every finished epoch is saved; continue{where} with\n  {command}",
            file=sys.stderr,
            flush=True,
        )

    def show(self) -> None:
        """Print the result and where it lies; a finished run is only read."""
        if not processes.is_first():
            return
        result = self.directory.result
        try:
            print_rows(result["rows"])
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise self.directory.damaged(error) from None
        report = html(self.directory.path)
        print(f"report: {report}")

    def finish(self, content: Mapping[str, Any]) -> None:
        """Write ``result.json`` with what a reader must know to trust the figures."""
        lines = self.directory.log_lines
        if processes.count() > 1:
            content = {**content, "processes": processes.count()}
        result = {
            "verb": self.verb,
            **content,
            "seed": self.seed,
            "hardware": hardware(),
            "versions": {
                "torch-tas": __version__,
                "torch": torch.__version__,
                "torchvision": version("torchvision"),
                "python": platform.python_version(),
            },
            "seconds_total": sum(line["seconds"] for line in lines),
        }
        self.directory.finish(result)


def load_data(options: Any) -> Data:
    """The data set of the options; what its reader must know is printed."""
    if not options.data:
        raise InputError("--data is empty: give the name of a data set or a folder of pictures")
    if hasattr(options, "device"):
        training.accelerator(options.device)  # connects the processes, which are to load the same
    data = data_room.load(
        options.data,
        data_dir=options.data_dir,
        download=options.download,
        image_size=options.image_size,
        workers=options.workers,
        in_memory=options.in_memory,
    )
    for note in data.notes:
        say(f"note: {note}")
    return data


def chosen_seed(seed: int) -> int:
    """The seed, or for -1 one that is drawn and printed."""
    if seed == -1:
        seed = random.SystemRandom().randrange(100_000)
        say(f"seed {seed}")
    check_seed(seed)
    return seed


def chosen_recipe(options: Any, inheriting: bool = False) -> Recipe:
    """The preset with every option that was given in its place.

    Args:
        inheriting: what is searched or trained starts from trained weights.
    """
    base = recipe(options.preset)
    base = base.inheriting() if inheriting else base
    _check_method(options, base.search)
    shared = _given(options, base.student)
    if "lr" in shared:
        shared["travel"] = 0.0  # what is asked for is meant
    search = _given(options, base.search)
    if hasattr(options, "search_epochs"):  # a whole run: these are those of its trainings
        search.pop("epochs", None)
        search.pop("warmup_epochs", None)
        if not isinstance(base.search, PaperOptions):  # short ones, each of another net
            search.pop("compile", None)
        if "lr" in search:  # that of a picture keeps the part of the trainings' that it has
            search["lr"] *= base.search.lr / base.student.lr
            if "batch_size" in search:  # else the batches differ as they did before
                search["lr"] *= base.student.batch_size / base.search.batch_size
        if options.search_epochs is not None:
            if options.search_epochs < 1:
                raise InputError(f"--search-epochs {options.search_epochs}: must be at least 1")
            search["epochs"] = options.search_epochs
    return replace(
        base,
        teacher=_replaced(base.teacher, shared),
        student=_replaced(base.student, shared),
        search=_replaced(base.search, search),
    )


def _check_method(options: Any, search: PaperOptions | ProbeOptions | TrialOptions) -> None:
    """An option of a search that this one does not use is a mistake, not to be passed over."""
    names = {kind: {f.name for f in fields(kind)} for kind in _SEARCHES}
    used = names[type(search)]
    whole_run = hasattr(options, "search_epochs")
    if whole_run:  # the trainings that come with it take these
        used |= {f.name for f in fields(TrainOptions)}
    for name in sorted(set().union(*names.values()) - used):
        if getattr(options, name, None) is None:
            continue
        if isinstance(search, PaperOptions) or name in names[PaperOptions]:
            presets = ["quick", "cifar", "imagenet"]
            if name in names[PaperOptions]:
                presets = ["paper", "paper-imagenet"]
            this, advice = (
                f"of --preset {options.preset}",
                f"choose --preset {' or '.join(presets)}",
            )
        elif isinstance(search, TrialOptions):
            this = "from trained weights, by trials"
            advice = "give --inherit false" if whole_run else "leave out --weights as well"
        else:
            this = "from fresh weights, by probes"
            advice = "leave out --inherit false as well" if whole_run else "give trained --weights"
        raise InputError(
            f"--{name.replace('_', '-')} is no option of the search {this}: "
            f"leave it out, or {advice}"
        )


def _as_text(budget: str | float) -> str:
    """A budget as it is recorded: 0.50 is 0.5, and a number in a config file is that of a text."""
    try:
        return str(float(budget))
    except ValueError:  # such as 22.4M
        return str(budget)


def _given(options: Any, target: TrainOptions | PaperOptions) -> dict[str, Any]:
    """The options that were given and that ``target`` has."""
    names = (f.name for f in fields(target))
    return {n: v for n in names if (v := getattr(options, n, None)) is not None}


def _replaced(base: OptionsT, changes: dict[str, Any]) -> OptionsT:
    # A short training with the preset's warm-up would be all warm-up.
    epochs = changes.get("epochs", base.epochs)
    warmup = min(base.warmup_epochs, max(epochs // 5, 0))
    return replace(base, **{"warmup_epochs": warmup, **changes})


def chosen_augment(options: Any) -> Augment:
    """How training pictures are varied."""
    if not options.augment:
        return Augment(padding=0, flip=False, crop=False, jitter=0)
    return Augment(padding=options.padding, flip=options.flip, jitter=options.jitter)


def tested(net: nn.Module, data: Data, options: Any) -> dict[str, float]:
    """Accuracy and loss on the test pictures."""
    return evaluate(
        net,
        data,
        batch_size=256 if options.batch_size is None else options.batch_size,
        device=options.device,
        precision=options.precision or "auto",
        workers=options.workers,
    )


def row(name: str, trained: Trained | None = None, **more: Any) -> dict[str, Any]:
    """A row of a result table."""
    figures: dict[str, Any] = {}
    if trained is not None:
        figures = {
            "macs": trained.macs,
            "params": trained.params,
            "accuracy": trained.accuracy,
            "seconds": trained.history.seconds,
        }
    return {"name": name, **figures, **more}


def below_unpruned(net: dict[str, Any], full: Shape) -> list[dict[str, Any]]:
    """The row of a net, below that of its unpruned net where it is a smaller one."""
    if net["macs"] == full.macs and net["params"] == full.params:
        return [net]
    return [row("unpruned", macs=full.macs, params=full.params), net]


def print_rows(rows: list[dict[str, Any]]) -> None:
    """The result as a table on the terminal."""
    console.print(table(rows))  # type: ignore[arg-type]


def print_shapes(shapes: list[tuple[str, Shape]]) -> None:
    """A list of shapes with their cost and depths."""
    listing = Table("shape", "net", "classes", "MACs", "params", "blocks kept", box=SIMPLE_HEAD)
    for name, shape in shapes:
        assert shape.macs is not None
        assert shape.params is not None
        depths = " ".join(str(depth) for depth in shape.depths.values())
        cost = quantity(shape.macs), quantity(shape.params)
        listing.add_row(name, shape.net, str(shape.classes), *cost, depths)
    console.print(listing)


def say(text: str) -> None:
    """Tell the person at the terminal; what is not a result goes to standard error."""
    if processes.is_first():
        print(text, file=sys.stderr)


def hardware() -> str:
    """Processor and accelerators, for the result."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return ", ".join(f"{names.count(n)} x {n}" for n in sorted(set(names)))
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        model = next(
            (ln.partition(":")[2].strip() for ln in lines if ln.startswith("model name")), model
        )
    return f"{model}, {torch.get_num_threads()} threads"
