"""A run: a directory that one command or call works in, and goes on in after an interruption."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import data as data_room
from .. import nets, processes, training
from ..costs import budget_text
from ..data import Data, Transform
from ..errors import InputError
from ..models import card
from ..recipes import recipe
from ..runs import ModelConfig, RunDir, say
from ..shape import Shape
from ..training.trackers import Trackers, chosen_trackers
from ..typed import checked
from .provenance import NOT_OF_THE_RUN, command, hardware, provenance, versions
from .settings import chosen_augment, chosen_seed
from .starting import own_transform
from .train import Trained

__all__ = ["Guard", "Run", "below_unpruned", "load_data", "read_own", "row", "unguarded"]


@dataclass
class Run:
    """A run: its directory, and what it found once it is finished; see ``tas.run``.

    Attributes:
        verb: ``"run"``, ``"search"`` or ``"train"``.
        directory: where everything lies.
        seed: of all that is random.
        finished: it was there already, and was only read.
        command: what gives the same result again.
    """

    verb: str
    directory: RunDir
    seed: int
    finished: bool
    command: str = ""
    _saved: tuple[Shape, Data] | None = field(default=None, repr=False)
    _trackers: Trackers | None = field(default=None, repr=False)
    _parts: list["Run"] = field(default_factory=list, repr=False)

    @classmethod
    def open(cls, verb: str, options: Any, net: str, data: Data) -> "Run":
        """Create the run directory, or continue in it; says which.

        What the run's models need beside their weights is written at once: the transform and the
        classes of its pictures.

        A seed of -1 is drawn, or is the one with which the run was begun.
        """
        training.where(options.device, options.precision or "auto")  # or an error, now
        chosen_augment(options)  # likewise
        chosen_seed(options.seed)
        tracked = chosen_trackers(options.tracker)
        path = _directory(verb, options, net)
        config = {k: v for k, v in asdict(options).items() if k not in NOT_OF_THE_RUN}
        begun = processes.agreed((path / "config.yaml").exists())
        if options.seed == -1 and begun:
            recorded = processes.by_first(lambda: RunDir.recorded(path)) or {}
            if isinstance(recorded.get("seed"), int):
                config["seed"] = recorded["seed"]
        if "budget" in config:
            config["budget"] = budget_text(config["budget"])
        config = {"verb": verb, **config, "seed": processes.agreed(chosen_seed(config["seed"]))}
        directory = RunDir.open(path, config)
        finished = processes.agreed(directory.finished)
        if not finished:
            _begin(directory, data, processes.by_first(lambda: _threads(path)))
            say(f"{'continuing in' if begun else 'writing to'} {path}")
        seed = config["seed"]
        trackers = Trackers(tracked, path, config)
        directory.listeners.append(trackers.log)
        told = command(verb, options, seed)
        return cls(verb, directory, seed, finished, told, _trackers=trackers)

    def parts(self, names: Sequence[str] | None, data: Data) -> list["Run"]:
        """A run in this one for every budget; None: there is one budget, and this is its run."""
        if names is None:
            return [self]
        threads = processes.by_first(lambda: _threads(self.path))
        self._parts = [self._part(name, data, threads) for name in names]
        return self._parts

    def _part(self, name: str, data: Data, threads: int) -> "Run":
        directory, trackers = self.directory.part(name), self._trackers
        _begin(directory, data, threads)
        if trackers is not None:
            directory.listeners.append(
                lambda line: trackers.log({**line, "phase": f"{name}/{line.get('phase')}"})
            )
        return replace(self, directory=directory, _saved=None, _trackers=None, _parts=[])

    @contextmanager
    def working(self, guard: "Guard") -> Iterator[None]:
        """Around the work: a mistake that is found before anything was done leaves no trace."""
        with guard(self), self.directory.claimed():
            yield

    def common(self, options: Any) -> dict[str, Any]:
        """The arguments that every training of the run shares."""
        return {
            "augment": chosen_augment(options),
            "seed": self.seed,
            "device": options.device,
            "workers": options.workers,
            "out": self.directory,
        }

    def save(self, net: nn.Module, shape: Shape, data: Data) -> None:
        """Write the net that the run is for: ``model.safetensors``, ``shape.json``."""
        self.directory.save_shape(shape)
        self.directory.save_model(net)
        self._saved = shape, data

    def finish(self, content: Mapping[str, Any]) -> None:
        """Write ``result.json`` with what a reader must know to trust the figures.

        Before it, where the run has a net, what makes its folder one that stands for itself:
        ``config.json`` and ``README.md``.
        """
        lines = [x for each in (self, *self._parts) for x in each.directory.log_lines]
        if processes.count() > 1:
            content = {**content, "processes": processes.count()}
        result = {
            "verb": self.verb,
            **content,
            "seed": self.seed,
            "hardware": hardware(),
            "versions": versions(),
            "seconds_total": sum(line.get("seconds", 0.0) for line in lines),
        }
        if self._saved is not None:
            shape, data = self._saved
            facts = provenance(result, lines, command=self.command, test_pictures=len(data.test))
            config = ModelConfig(data.transform.to_dict(), data.class_names, shape, facts)
            self.directory.save_config(config)
            self.directory.save_card(card(config))
        self.directory.finish(result)
        if self._trackers is not None:
            self._trackers.finish(result["rows"])

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def result(self) -> dict[str, Any]:
        """What ``result.json`` says: ``rows`` of the table, budget, seed, hardware, versions."""
        return self.directory.result

    def report(self) -> Path:
        """Draw the figures and the page of the run again; where the page lies."""
        from .reporting import report  # which computes what the net answers

        return report(self.path)


# What is put around the work of a run: the command says there how to go on after an interruption.
Guard = Callable[[Run], AbstractContextManager[Any]]


def unguarded(run: Run) -> AbstractContextManager[Any]:
    """Nothing around the work: exceptions are the caller's."""
    return nullcontext()


def _begin(directory: RunDir, data: Data, threads: int) -> None:
    """Write what is known of the pictures, and with how many threads the run was begun."""
    facts = {"threads": threads}
    directory.begin(ModelConfig(data.transform.to_dict(), data.class_names, None, facts))


def _threads(path: Path) -> int:
    """With how many threads a run was begun, or is; says so where it goes on with others."""
    now = torch.get_num_threads()
    config = ModelConfig.beside(path)
    begun = config.provenance.get("threads") if config else None
    if not isinstance(begun, int):
        return now
    if begun != now:
        say(
            f"warning: this run was begun with {begun} threads and goes on with {now}: on the CPU "
            "last digits differ, and a search may end elsewhere than undisturbed; set "
            f"OMP_NUM_THREADS={begun} to prevent that"
        )
    return begun


def _directory(verb: str, options: Any, net: str) -> Path:
    """``--out``, or a directory of its own."""
    if options.out:
        return processes.agreed(Path(options.out))
    name = Path(str(options.data)).name
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    wanted = Path(f"runs/{verb}-{Path(net).stem}-{name}-{now}")
    return processes.by_first(lambda: RunDir.fresh(wanted))


@checked
def load_data(options: Any, *, to_train: bool = True) -> Data:
    """The data set of the options; what its reader must know is said.

    >>> from tas.api import load_data
    >>> from tas.options import RunOptions
    >>> load_data(RunOptions(data="digits")).input
    (1, 8, 8)

    Where the run goes on, or starts from a model that was saved with its transform and classes,
    pictures are prepared and classes numbered as they were then.

    Args:
        to_train: every class is to have training pictures.

    Raises:
        InputError: an option cannot be used, or two models differ in their transform or classes.
        DataError: the data are missing or damaged, or have other classes than the model.
    """
    if not options.data:
        raise InputError("--data is empty: give the name of a data set or a folder of pictures")
    if hasattr(options, "device"):
        training.where(options.device)  # connects the processes, which are to load the same
    known = _known(options)
    data = data_room.load(
        options.data,
        data_dir=options.data_dir,
        download=options.download,
        image_size=options.image_size,
        workers=options.workers,
        in_memory=options.in_memory,
        vary=recipe(options.preset).vary if hasattr(options, "preset") else None,
        transform=Transform.from_dict(known.transform) if known else None,
        class_names=known.classes if known else None,
        unlabelled=getattr(options, "unlabelled", False),
        like=own_transform(options),
    )
    if to_train and data.absent:
        names = ", ".join(f"'{name}'" for name in data.absent[:3])
        raise InputError(
            f"'{options.data}' has no training pictures of {names}, classes of the model: "
            "add some, or train a net on your classes only"
        )
    for note in data.notes:
        say(f"note: {note}")
    return data


def read_own(name: str, net: str | None) -> Shape:
    """The shape of a name or a file; its net may be a function of the user's if that is given.

    Args:
        net: ``--net`` beside a shape.

    Raises:
        InputError: the shape is one of another net.
    """
    shape = nets.read_shape(name, trust=net)
    if net is not None and shape.net != net:
        raise InputError(
            f"'{name}' is a shape of {shape.net}, not of --net {net}: give one of the two"
        )
    return shape


def _known(options: Any) -> ModelConfig | None:
    """What the run that goes on, or the models that it starts from, say of their pictures."""
    found: dict[str, ModelConfig] = {}
    for name in ("out", "weights", "teacher"):
        path = getattr(options, name, None)
        if path and (config := ModelConfig.beside(path)):
            found[name] = config
    if not found:
        return None
    (first, known), *others = found.items()
    for name, config in others:
        if (config.transform, config.classes) != (known.transform, known.classes):
            what = "classes" if config.transform == known.transform else "transforms of pictures"
            both = f"--{first} {getattr(options, first)} and --{name} {getattr(options, name)}"
            raise InputError(
                f"{both} were saved with different {what}: give models that were trained on the "
                "same data set"
            )
    return known


def row(name: str, trained: Trained | None = None, **more: Any) -> dict[str, Any]:
    """A row of a result table."""
    figures: dict[str, Any] = {}
    if trained is not None:
        shares = {"accuracy": trained.accuracy}
        if trained.agreement is not None:
            shares = {"agreement": trained.agreement, "distance": trained.history.last["test_loss"]}
        figures = {
            "macs": trained.macs,
            "params": trained.params,
            **shares,
            "seconds": trained.history.seconds,
        }
    return {"name": name, **figures, **more}


def below_unpruned(net: dict[str, Any], full: Shape) -> list[dict[str, Any]]:
    """The row of a net, below that of its unpruned net where it is a smaller one."""
    if net["macs"] == full.macs and net["params"] == full.params:
        return [net]
    return [row("unpruned", macs=full.macs, params=full.params), net]
