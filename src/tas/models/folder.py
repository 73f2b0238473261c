"""A model folder: ``config.json``, ``model.safetensors``, and a card for people.

A run directory is one as well. Those of earlier versions have a ``shape.json`` and no
``config.json``: their nets load, but nobody knows their transform and classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from .. import nets, sums
from ..costs import given_budgets
from ..data import Transform
from ..errors import DataError, InputError
from ..runs import ModelConfig, RunDir, say
from ..shape import Shape
from .hub import downloaded, is_hub_name

__all__ = ["ModelFolder"]


@dataclass(frozen=True)
class ModelFolder:
    """What a model folder says, all checked but the weights.

    Attributes:
        path: the folder.
        shape: of its net.
        transform, classes: of its pictures; None where an earlier version wrote the folder, and of
            a net whose owner prepares its inputs.
        own: the net's owner prepares its inputs.
        provenance: where the weights come from.
        hub: its name on the Hugging Face Hub, if it was fetched from there: nothing is to be
            written into ``path`` then.
    """

    path: Path
    shape: Shape
    transform: Transform | None
    classes: tuple[str, ...] | None
    provenance: dict[str, Any]
    hub: str = ""
    own: bool = False

    @classmethod
    def of(cls, folder: str | Path) -> "ModelFolder":
        """Read a folder, or what ``user/name`` is on the Hugging Face Hub.

        Raises:
            InputError: it is none, is damaged, or was written by a newer version.
        """
        if is_hub_name(folder):
            return replace(cls.of(downloaded(str(folder))), hub=str(folder))
        path = Path(folder)
        if not path.is_dir():
            what = "is a file" if path.exists() else "does not exist"
            raise InputError(
                f"'{path}' {what}: give the folder of a run or of tas.save, or user/name of a "
                "model on the Hugging Face Hub"
            )
        if sums.listed(path) is None:
            say(f"note: '{path}' {sums.UNLISTED}")
        names = ("config.json", "model.safetensors")
        sums.check(*(path / name for name in names if not (path / name).is_file()))
        config = ModelConfig.beside(path)
        earlier = path / "shape.json"
        if not (path / "model.safetensors").is_file():
            raise _without_weights(path, config)
        if config is None or config.shape is None:
            if not earlier.is_file():
                raise InputError(
                    f"'{path}' is no model folder: it has no config.json, as tas run, tas train, "
                    "tas search and tas.save write it"
                )
            shape = Shape.load(earlier)
        else:
            shape = config.shape
        if config is None:
            return cls(path, shape, None, None, {})
        if config.transform is None:
            return cls(path, shape, None, None, dict(config.provenance), own=True)
        transform = _transform(config, path)
        if transform.input != shape.input:
            raise InputError(
                f"'{path / 'config.json'}' is damaged: its pictures become {list(transform.input)} "
                f"and its net takes {list(shape.image)}"
            )
        return cls(path, shape, transform, config.classes, dict(config.provenance))

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    def net(
        self, trust: str | None = None, make: Callable[..., nn.Module] | None = None
    ) -> nn.Module:
        """The net in eval mode, with ``transform`` and ``classes``; see ``tas.load``."""
        known = nets.is_named(self.shape.net) or self.shape.net in nets.ARCHITECTURES
        if make is None and not known:
            raise InputError(
                f"the net '{self.shape.net}' of '{self.path}' is your own: give what makes it, "
                "unpruned, by tas.load(folder, make=function), or --net package.module:function"
            )
        if self.own:
            return nets.load_sized(self.shape, self.weights, trust=trust, make=make).eval()
        net = nets.load(self.shape, self.weights, trust=trust, make=make).eval()
        if self.transform is None:
            say(
                f"note: '{self.path}' was written by an earlier version and has no config.json: "
                "its transform and classes are not known"
            )
        for name, value in (("transform", self.transform), ("classes", self.classes)):
            if hasattr(net, name):
                say(f"note: the net has a '{name}' of its own, which stays as it is")
            else:
                setattr(net, name, value)
        return net


def _without_weights(path: Path, config: ModelConfig | None) -> InputError:
    """What to say of a folder without ``model.safetensors``."""
    run = RunDir.recorded(path)
    if run is None:
        if config is None:
            return InputError(
                f"'{path}' is no model folder: it has no model.safetensors, as tas run, tas train, "
                "tas search and tas.save write it"
            )
        return InputError(f"'{path}' has no model.safetensors: its weights are missing")
    if run.get("verb") == "search" and (path / "result.json").is_file():
        return InputError(
            f"the search in '{path}' started from fresh weights and has no trained net: train "
            f"its shape with `tas train --shape {path / 'shape.json'}`"
        )
    names = given_budgets(str(run.get("budget")))
    if names is not None:
        parts = ", ".join(f"'{path / name}'" for name in names)
        return InputError(f"'{path}' holds a model for each of its budgets: give one of {parts}")
    return InputError(f"the run in '{path}' is not finished: it has no model.safetensors")


def _transform(config: ModelConfig, path: Path) -> Transform:
    try:
        return Transform.from_dict(config.transform)
    except DataError as error:
        raise InputError(f"'{path / 'config.json'}' is damaged: {error}") from None
