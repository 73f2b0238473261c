"""Where a result comes from: the command, the seed, versions, hardware, and what it is worth."""

import platform
import shlex
from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from .. import nets
from ..costs import budget_text
from ..errors import flag
from ..report.tables import SHARES
from ..version import __version__

__all__ = ["command", "hardware", "provenance", "versions"]

# Where a run computes and who shows it change no result, and may change when it is continued.
NOT_OF_THE_RUN = (
    "out",
    "device",
    "compile",
    "cuda_graphs",
    "workers",
    "download",
    "data_dir",
    "quiet",
    "tracker",
)


def command(verb: str, options: Any, seed: int) -> str:
    """The command that gives the result again: options that differ from their defaults.

    Of a net that was given in Python it is the call, which cannot name the net.
    """
    net = getattr(options, "net", None)
    in_python = net is not None and not (nets.is_named(net) or net in nets.ARCHITECTURES)
    words, arguments = ["tas", verb], ["model=..."]
    for f in fields(options):
        value = getattr(options, f.name)
        assert f.default is not MISSING
        if f.name == "seed":
            value = seed
        if f.name in NOT_OF_THE_RUN or value == f.default or (in_python and f.name == "net"):
            continue
        arguments.append(f"{f.name}={value!r}")
        words.append(flag(f.name))
        if f.name == "budget" and isinstance(value, list | tuple):
            words.append(budget_text(value))
        elif isinstance(value, list | tuple):
            words.append(f"[{','.join(map(str, value))}]")
        elif isinstance(value, bool):
            words.append(str(value).lower())
            if f.default is False:  # such a flag stands alone
                words.pop()
        else:
            words.append(str(value))
    return f"tas.run({', '.join(arguments)})" if in_python else shlex.join(words)


def provenance(
    content: Mapping[str, Any],
    lines: list[dict[str, Any]],
    *,
    command: str,
    test_pictures: int,
) -> dict[str, Any]:
    """What ``config.json`` and the model card say of a run.

    Args:
        content: of ``result.json``; its last row is the net's own.
        lines: of the log.
    """
    own, whole = content["rows"][-1], content["rows"][0]
    facts: dict[str, Any] = {"command": command, "seed": content["seed"], "data": content["data"]}
    shares = {share: own[share] for share in SHARES if own.get(share) is not None}
    if shares:
        epochs = [line.get("epoch") for line in lines if line.get("phase") in ("student", "train")]
        facts |= {
            **shares,
            "test_pictures": test_pictures,
            "epochs": max((e for e in epochs if isinstance(e, int)), default=None),
        }
    facts |= {"macs": own["macs"], "params": own["params"]}
    if whole is not own:
        known = {name: whole.get(name) for name in ("macs", "params", *SHARES)}
        facts["unpruned"] = {name: value for name, value in known.items() if value is not None}
    for name in ("budget", "notes", "hardware", "versions", "processes"):
        if content.get(name):
            facts[name] = content[name]
    return facts


def versions() -> dict[str, str]:
    """Of what computes here."""
    return {
        "torch-tas": __version__,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "python": platform.python_version(),
    }


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
