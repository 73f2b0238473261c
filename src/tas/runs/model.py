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

from ..errors import InputError, first_line
from ..shape import Shape

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
        transform: what happens to a picture, as ``tas.data.Transform.to_dict`` gives it.
        classes: names, in the order of the net's scores.
        shape: of the net; None while it is not known yet.
        provenance: where the weights come from: command, seed, data, accuracy, cost, versions.
    """

    transform: Mapping[str, Any]
    classes: tuple[str, ...]
    shape: Shape | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The JSON of the file."""
        content = {
            "format": FORMAT,
            "net": self.shape.net if self.shape else None,
            "shape": self.shape.to_dict() if self.shape else None,
            "transform": dict(self.transform),
            "classes": list(self.classes),
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
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"'{file}' cannot be read: {first_line(error)}") from None
        return cls._of(content, str(file))

    @classmethod
    def _of(cls, content: Any, file: str) -> "ModelConfig":
        found = content.get("format") if isinstance(content, dict) else None
        if found != FORMAT:
            newer = re.fullmatch(r"tas-model/(\d{1,9})", str(found))
            if newer and int(newer[1]) > 1:
                raise InputError(
                    f"'{file}' was written by a newer version of torch-tas ('{found}', not "
                    f"'{FORMAT}'): install that one, by pip install --upgrade torch-tas"
                )
            raise InputError(f"'{file}' is not the config of a model: its format is not '{FORMAT}'")
        transform, classes = content.get("transform"), content.get("classes")
        if not isinstance(transform, dict):
            raise InputError(f"'{file}' is damaged: it has no transform")
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise InputError(f"'{file}' is damaged: its classes are not a list of names")
        if len(set(classes)) < len(classes):
            raise InputError(f"'{file}' is damaged: two of its classes have the same name")
        provenance = content.get("provenance", {})  # files of earlier runs have none
        if not isinstance(provenance, dict):
            raise InputError(f"'{file}' is damaged: its provenance is not an object")
        shape = content.get("shape")
        known = None if shape is None else Shape.from_dict(shape, source=f"'{file}'")
        if known and known.classes != len(classes):
            raise InputError(
                f"'{file}' is damaged: it names {len(classes)} classes, and its net has "
                f"{known.classes}"
            )
        return cls(transform, tuple(classes), known, provenance)
