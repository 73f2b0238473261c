"""What a trained model needs beside its weights: ``config.json`` in the folder of the weights.

It says which net it is, what happens to a picture before the net sees it, the names of the classes
in the order of the net's scores, and where the weights come from. Data alone: nothing in it is run.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, quoted
from ..reading import read_json
from ..shape import Shape
from ..typed import record

__all__ = ["ModelConfig"]

FORMAT = "tas-model/1"  # fields may be added to it; what is there keeps its meaning
NAME = "config.json"


@dataclass(frozen=True)
class ModelConfig:
    """The content of a ``config.json``.

    >>> import tas
    >>> from tas.runs import ModelConfig
    >>> data = tas.data.load("digits")
    >>> config = ModelConfig(data.transform.to_dict(), data.class_names)
    >>> directory = tas.RunDir.open("runs/mine", {"net": "resnet20"})
    >>> directory.save_config(config)
    >>> ModelConfig.beside("runs/mine").classes == data.class_names
    True

    Attributes:
        transform: what happens to a picture, as ``tas.data.Transform.to_dict`` gives it; None of a
            net that is no classifier of pictures, or whose owner prepares its inputs.
        classes: names, in the order of the net's scores; None likewise.
        shape: of the net; None while it is not known yet.
        provenance: where the weights come from: command, seed, data, accuracy, cost, versions.
    """

    transform: Mapping[str, Any] | None
    classes: tuple[str, ...] | None
    shape: Shape | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The JSON of the file."""
        content = {
            "format": FORMAT,
            "net": self.shape.net if self.shape else None,
            "shape": self.shape.to_dict() if self.shape else None,
            "transform": None if self.transform is None else dict(self.transform),
            "classes": None if self.classes is None else list(self.classes),
            "provenance": dict(self.provenance),
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def beside(cls, path: str | Path) -> "ModelConfig | None":
        """The config of a model folder, or of the folder that a file of weights lies in.

        Returns:
            None where there is none, as beside weights that come from elsewhere.

        Raises:
            InputError: it cannot be read, or is not such a file.
        """
        folder = path if os.path.isdir(path) else Path(path).parent
        file = Path(folder) / NAME
        if not os.path.lexists(file):
            return None
        return cls._of(read_json(file, "config of a model"), f"'{file}'")

    @classmethod
    def _of(cls, content: Any, source: str) -> "ModelConfig":
        found = content.get("format") if isinstance(content, dict) else None
        if found != FORMAT:
            newer = re.fullmatch(r"tas-model/(\d{1,9})", str(found))
            if newer and int(newer[1]) > 1:
                raise InputError(
                    f"{source} was written by a newer version of torch-tas ('{found}', not "
                    f"'{FORMAT}'): install that one, by pip install --upgrade torch-tas"
                )
            raise InputError(
                f"{source} is not the config of a model: its format is {quoted(found)}, not "
                f"'{FORMAT}'"
            )
        held = record(_Held, content, f"{source} is damaged", extra=True)  # fields may be added
        names = held.classes
        if (names is None) != (held.transform is None):
            raise InputError(f"{source} is damaged: it has one of a transform and classes alone")
        if names is not None and len(set(names)) < len(names):
            raise InputError(f"{source} is damaged: two of its classes have the same name")
        known = None if held.shape is None else Shape.from_dict(held.shape, source=source)
        if known and names is not None and known.classes != len(names):
            raise InputError(
                f"{source} is damaged: it names {len(names)} classes, and its net has "
                f"{known.classes}"
            )
        return cls(held.transform, held.classes, known, held.provenance)


@dataclass(frozen=True)
class _Held:
    """What the file holds."""

    transform: Mapping[str, Any] | None
    classes: tuple[str, ...] | None
    shape: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)  # files of earlier runs have none
