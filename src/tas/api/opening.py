"""A model folder that a user names, and ``--net`` beside it: the function that made the net."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from torch import nn

from .. import nets, sums
from ..data import Data, Transform
from ..errors import InputError
from ..models import ModelFolder
from ..runs import RunDir, say
from ..shape import Shape

__all__ = [
    "OpenedFolder",
    "described",
    "given_net",
    "given_out",
    "net_name",
    "own_data",
    "unpruned",
]


@dataclass(frozen=True)
class OpenedFolder:
    """A model folder with its net."""

    folder: ModelFolder
    net: nn.Module

    @classmethod
    def of(cls, folder: str | Path | ModelFolder, net: str | None = None) -> "OpenedFolder":
        """Read a folder and build its net.

        Args:
            net: a function of the user's, ``package.module:function``, that makes it unpruned.

        Raises:
            InputError: the folder cannot be used, or is one of another net.
        """
        read = folder if isinstance(folder, ModelFolder) else ModelFolder.of(folder)
        name = read.shape.net
        if net is None or net == name:
            return cls(read, read.net(trust=net))
        if not nets.is_named(net) or nets.is_named(name) or name in nets.ARCHITECTURES:
            raise InputError(f"'{read.path}' is a model of {name}, not of --net {net}: give one")

        def make() -> nn.Module:
            return nets.build(net, read.shape.classes, read.shape.input)

        return cls(read, read.net(make=make))


def given_net(net: nn.Module | str | Path) -> nn.Module:
    """A net, or that of a run or model folder."""
    return net if isinstance(net, nn.Module) else OpenedFolder.of(net).net


@contextmanager
def given_out(
    out: RunDir | str | Path | None,
    verb: str,
    net: Any,
    data: Data | str,
    seed: int,
    asked: Mapping[str, Any],
) -> Iterator[RunDir | None]:
    """A run directory, or the one of a path: the call with the same arguments goes on in it.

    A mistake that is found inside, before anything was done, leaves no trace of that of a path.

    Args:
        data: a data set, or what is in its place.
        asked: the other arguments that say which call it is.
    """
    if out is None or isinstance(out, RunDir):
        yield out
        return
    told = {n: asdict(v) if is_dataclass(v) else v for n, v in asked.items()}  # type: ignore[arg-type]
    whose = {"verb": verb, "net": net_name(net), "data": getattr(data, "name", data), "seed": seed}
    directory = RunDir.open(out, {**whose, **told})
    with directory.claimed():
        yield directory


def net_name(net: Any) -> str:
    """What a net is called: its own name, that of its shape, or of its class."""
    if isinstance(net, str | Path):
        return str(net)
    shape = getattr(net, "unpruned", None) or (net if isinstance(net, Shape) else None)
    if shape is not None:
        return str(shape.net)
    return f"{type(net).__module__}.{type(net).__qualname__}"


def described(
    net: nn.Module,
    folder: ModelFolder | None,
    transform: Transform | None,
    classes: Sequence[str] | None,
) -> tuple[Transform, tuple[str, ...]]:
    """The transform and the classes of a net: those given, of its folder, or attached to it.

    Raises:
        InputError: nobody says what they are.
    """
    of = f"'{folder.path}'" if folder else "the net"
    if transform is None:
        transform = folder.transform if folder else getattr(net, "transform", None)
    if classes is None:
        classes = folder.classes if folder else getattr(net, "classes", None)
    if not isinstance(transform, Transform):
        raise InputError(
            f"{of} does not say what happens to a picture before: give transform=data.transform, "
            "or save it with tas.save(net, folder, transform=..., classes=...)"
        )
    if not isinstance(classes, list | tuple):
        raise InputError(f"{of} does not name its classes: give classes=data.class_names")
    return transform, tuple(classes)


def own_data(folder: ModelFolder) -> dict[str, Any]:
    """The data that a model was tested on, as options: of its run, or what ``tas.save`` was told.

    Empty where they are not known.
    """
    run = RunDir.recorded(folder.path)
    if run is not None:
        names = ("data", "image_size", "in_memory", "data_dir", "unlabelled")
        return {name: run[name] for name in names if run.get(name) is not None}
    data = folder.provenance.get("data")
    return {"data": data} if isinstance(data, str) else {}


def unpruned(folder: ModelFolder) -> nn.Module | None:
    """The net that a run cut its own from, in eval mode; None where its weights are not at hand.

    Such are the weights of the teacher that the run trained, or of the files that it was given.

    Raises:
        InputError: the run's own are damaged, or missing.
    """
    run = RunDir.recorded(folder.path)
    if run is None or run.get("verb") not in ("run", "search"):
        return None
    given = [Path(str(run[name])) for name in ("teacher", "weights") if run.get(name)]
    # A run with several budgets has one for all of them.
    home = folder.path.parent if run.get("budgets") else folder.path
    own = home / "teacher.safetensors"
    sums.check(own)
    weights = next((path for path in (own, *given) if path.exists()), None)
    shape = folder.shape
    if weights is None or not (nets.is_named(shape.net) or shape.net in nets.ARCHITECTURES):
        return None
    if weights.is_dir():
        weights /= "model.safetensors"
    try:
        full = nets.full_shape(shape.net, shape.classes, shape.input)
        return nets.load(full, weights).eval()
    except InputError as error:  # it was moved or replaced since
        say(f"note: the unpruned net is left out: {error}")
        return None
