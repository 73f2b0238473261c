"""The Hugging Face Hub: a model folder goes up, and comes down as JSON and safetensors alone."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from .. import sums
from ..checks import known
from ..data import Transform
from ..errors import InputError, first_line
from ..shape import Shape
from ..typed import checked
from ..version import __version__
from ..whole import scratch

__all__ = ["downloaded", "is_hub_name", "push_to_hub"]

PACKAGE = {"huggingface_hub": "huggingface_hub"}
DATA = ["config.json", "model.safetensors"]  # what comes down: no file that could be run
FETCHED = [*DATA, sums.NAME]
SENT = [*FETCHED, "shape.json", "README.md"]
NAME = re.compile(r"[\w-][\w.-]*/[\w.-]*[\w-](@[\w./-]+)?")
FILES = (".json", ".onnx", ".pt2", ".safetensors", ".pt", ".pth")


def is_hub_name(name: str | Path) -> bool:
    """Whether a name can only be one on the hub: ``user/name`` or ``user/name@revision``.

    What is there on this machine, or would lie in a folder that is there, is a path.

    >>> from tas.models.hub import is_hub_name
    >>> is_hub_name("someone/resnet20-digits"), is_hub_name("./mine"), is_hub_name("a/b/c")
    (True, False, False)
    """
    text, path = str(name), Path(name)
    looks = isinstance(name, str) and NAME.fullmatch(text) and not text.endswith(FILES)
    return bool(looks) and not path.exists() and not path.parent.exists()


def downloaded(name: str) -> Path:
    """The folder of a model on the hub, in the cache of ``huggingface_hub``.

    Only ``config.json``, ``model.safetensors`` and ``SHA256SUMS`` are fetched, once for each
    revision.

    Raises:
        InputError: the package is missing, the hub cannot be reached or has no such model.
    """
    try:
        known(PACKAGE, "hub")
    except InputError as error:
        raise InputError(
            f"there is no '{name}' here, and to look for it on the Hugging Face Hub {error}"
        ) from None
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    with _told(name, "fetched"):
        path = Path(
            snapshot_download(
                repo,
                revision=revision or None,
                allow_patterns=FETCHED,
                library_name="torch-tas",
                library_version=__version__,
            )
        )
    lacking = [file for file in DATA if not (path / file).is_file()]
    if lacking:
        raise InputError(
            f"'{name}' on the Hugging Face Hub is no model of torch-tas: it has no {lacking[0]}"
        )
    return path


@checked
def push_to_hub(
    model: nn.Module | str | Path,
    name: str,
    *,
    private: bool = False,
    token: str | None = None,
    transform: Transform | None = None,
    classes: Sequence[str] | None = None,
    shape: Shape | None = None,
) -> str:
    """Send a model to the Hugging Face Hub, with its card; ``tas.load(name)`` loads it anywhere.

    It takes ``pip install 'torch-tas[hub]'`` and ``hf auth login``.

    >>> import tas
    >>> tas.push_to_hub("runs/mine", "user/name")  # doctest: +SKIP
    'https://huggingface.co/user/name'
    >>> net = tas.load("user/name")  # doctest: +SKIP

    The card and ``config.json`` say with which command the model was made, paths included: read
    ``README.md`` before. Of a run nothing else is sent: no log, no checkpoint, no teacher.

    Args:
        model: a run or model folder, or a net.
        name: of the repository, which is made if it is not there.
        private: make one that others cannot see.
        token: default: that of ``hf auth login``.
        transform, classes, shape: of a net, as in ``tas.save``.

    Returns:
        The address of the model.

    Raises:
        InputError: the package is missing, it is no model, or the hub does not take it.
    """
    from .folder import ModelFolder
    from .saving import save

    known(PACKAGE, "hub")
    if not NAME.fullmatch(name) or "@" in name:
        raise InputError(f"'{name}' is no name on the Hugging Face Hub: give user/name")
    with scratch() as home:
        if isinstance(model, nn.Module):
            how: dict[str, Any] = {"transform": transform, "classes": classes, "shape": shape}
            path = save(model, home / "model", **how)
        else:
            path = ModelFolder.of(model).path
            if not (path / "config.json").is_file():
                raise InputError(
                    f"'{path}' was written by an earlier version and has no config.json: load the "
                    "net, and push it with its transform and classes"
                )
        chosen = home / "chosen"
        chosen.mkdir()
        for file in SENT:
            if (path / file).is_file():
                shutil.copyfile(path / file, chosen / file)
        sums.seal(chosen, SENT)
        return _send(chosen, name, private, token)


def _send(path: Path, name: str, private: bool, token: str | None) -> str:
    from huggingface_hub import HfApi

    hub = HfApi(token=token, library_name="torch-tas", library_version=__version__)
    with _told(name, "sent"):
        address = hub.create_repo(name, private=private or None, exist_ok=True)
        hub.upload_folder(
            repo_id=name,
            folder_path=path,
            commit_message=f"A model of torch-tas {__version__}",
        )
    return str(address)


@contextmanager
def _told(name: str, what: str) -> Iterator[None]:
    """Whatever the hub raises, as one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"'{name}' is no folder here, and no model on the Hugging Face Hub that you may see: "
            "is the name right? A private one needs `hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(f"'{name}' on the Hugging Face Hub has no such revision") from None
    except errors.LocalEntryNotFoundError:
        raise InputError(
            f"'{name}' is no folder here, it was not fetched before, and the Hugging Face Hub "
            "cannot be reached"
        ) from None
    except Exception as error:  # its own, those of its HTTP client, and those of the disk
        raise InputError(
            f"'{name}' cannot be {what} (Hugging Face Hub): {first_line(error)}"
        ) from None
