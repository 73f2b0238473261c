"""What a result says of the time of its nets: measured, beside the unpruned net, and in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from .. import processes
from ..errors import InputError, first_line
from ..forward import example_for
from ..timing import runtime_named, sessions
from ..timing.runtimes import has_onnx

__all__ = ["times_in", "times_of"]

SECONDS = 3.0  # for all nets of a runtime, all sessions
SESSIONS = sessions.SESSIONS
TITLES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime"}
HOW = "Milliseconds are those of one picture on one thread of the CPU, measured in turns."


def times_of(nets: Mapping[str, nn.Module], input: tuple[int, int, int]) -> dict[str, Any]:
    """``ms`` by runtime and by net, and ``notes`` in words.

    PyTorch, and ONNX Runtime where it is installed. A net that a runtime has no way for is told.

    Args:
        nets: by the names that they have in the result, the unpruned one first.
    """
    return processes.by_first(lambda: _measured(nets, input))


def times_in(times: Mapping[str, Any], own: str, names: Sequence[str]) -> dict[str, Any]:
    """What the times of a run with several budgets say of one, and of the unpruned net.

    Args:
        own: this budget, which the names of its nets begin with.
        names: all budgets.
    """

    def mine(text: str) -> bool:
        return not any(f"{name}: " in text for name in names if name != own)

    ms = {
        runtime: {net.removeprefix(f"{own}: "): ms for net, ms in by.items() if mine(net)}
        for runtime, by in times["ms"].items()
    }
    return {"ms": ms, "notes": [n.replace(f"{own}: ", "") for n in times["notes"] if mine(n)]}


def _measured(nets: Mapping[str, nn.Module], input: tuple[int, int, int]) -> dict[str, Any]:
    found: dict[str, dict[str, float]] = {}
    notes = [HOW]
    first = next(iter(nets))
    for name, title in TITLES.items():
        if name == "onnxruntime" and not has_onnx():
            continue
        try:
            runtime, example = runtime_named(name), example_for(nets[first], input).cpu()
            times = sessions.net_times([*nets.values()], example, runtime, SECONDS, SESSIONS)
        except InputError as error:
            notes.append(f"No time in {title}: {first_line(error)}.")
            continue
        whole = times[0].ms
        found[name] = {
            net: round(whole * time.ratio, 4) for net, time in zip(nets, times, strict=True)
        }
        for net, time in list(zip(nets, times, strict=True))[1:]:
            if not time.comparable:
                notes.append(f"In {title} '{net}' cannot be told from '{first}': {time.noise}.")
            elif time.ratio >= 1 - time.uncertain:
                notes.append(
                    f"In {title} '{net}' is not faster than '{first}': it takes {time.ratio:.2f} "
                    "of its time. A budget in milliseconds would be (--unit ms)."
                )
    return {"ms": found, "notes": notes}
