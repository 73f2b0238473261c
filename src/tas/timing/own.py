"""Devices of the user's own: a command that measures an ONNX file, or a function in Python."""

import math
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from ..checks import above_zero, whole
from ..errors import InputError, TasError, first_line
from ..exports.plain import onnx_bytes
from ..exports.tensors import as_many
from ..whole import scratch
from .rounds import Ready, Timer

__all__ = ["Command", "OwnDevice"]

PLACE = "{onnx}"
SHOWN = 120  # characters of what a command said


@dataclass(frozen=True)
class Command:
    """A command that measures an ONNX file where it is to run, and prints milliseconds.

    >>> from tas.timing import Command
    >>> phone = Command("adb push {onnx} /data/net.onnx && adb shell bench /data/net.onnx")
    >>> phone.facts()["runtime"]
    'adb push {onnx} /data/net.onnx && adb shell bench /data/net.onnx'

    It is run by the shell. The last number on its standard output counts.

    Attributes:
        command: ``{onnx}`` stands for the path of the file.
        batch_size: examples of one call.
        limit: seconds that it may take.

    Raises:
        InputError: the command has no ``{onnx}``.
    """

    command: str
    batch_size: int = 1
    limit: float = 300.0

    fewest: ClassVar[int] = 1  # it measures in rounds of its own
    most: ClassVar[int] = 1

    def __post_init__(self) -> None:
        whole("batch_size", self.batch_size, 1)
        above_zero("measure_limit", self.limit)
        if PLACE not in self.command:
            raise InputError(
                f"--measure '{self.command}' does not say where the net goes: write {PLACE} in "
                f"the place of the ONNX file, e.g. './bench {PLACE}'"
            )

    def facts(self) -> dict[str, Any]:
        return {"runtime": self.command, "batch_size": self.batch_size, "versions": {}}

    def running(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def timer(self, net: nn.Module, example: Any) -> Timer:
        model = onnx_bytes(net, as_many(example, self.batch_size))

        def measure() -> float:
            with scratch() as home:
                path = home / "net.onnx"
                path.write_bytes(model)
                return self.of_file(path)

        return measure

    def ready(self, net: nn.Module, example: Any) -> Ready:
        timer = self.timer(net, example)
        return lambda: timer

    def of_file(self, path: Path) -> float:
        """Seconds that the command tells of a file.

        Raises:
            InputError: it fails, hangs, or prints no time.
        """
        words = self.command.replace(PLACE, shlex.quote(str(path)))
        running = subprocess.Popen(
            words,
            shell=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = running.communicate(timeout=self.limit)
        except BaseException as error:
            _end(running)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise InputError(
                f"--measure '{self.command}' took more than {self.limit:g} s and was stopped: is "
                "the device there? --measure-limit gives it longer"
            ) from None
        if running.returncode != 0:
            raise InputError(
                f"--measure '{self.command}' failed with status {running.returncode}: "
                f"{_last(err) or _last(out) or 'it said nothing'}"
            )
        return self._seconds(out)

    def _seconds(self, out: str) -> float:
        numbers = re.findall(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", out)
        ms = float(numbers[-1]) if numbers else math.nan
        if not 0 < ms < math.inf:
            raise InputError(
                f"--measure '{self.command}' printed '{_last(out)}', no time: it is to print the "
                "milliseconds of one call, a number above 0"
            )
        return ms / 1000


@dataclass(frozen=True)
class OwnDevice:
    """A function in Python that measures a net: ``module -> seconds``.

    >>> import tas, torch
    >>> from tas.timing import OwnDevice, timed
    >>> device = OwnDevice(lambda net: 0.01, "a phone")
    >>> timed([device.timer(tas.nets.build("resnet20"), torch.zeros(1, 3, 32, 32))], fewest=1)[0].ms
    10.0
    """

    measure: Callable[[nn.Module], float]
    name: str = "a function of one's own"

    fewest: ClassVar[int] = 1
    most: ClassVar[int] = 1

    def facts(self) -> dict[str, Any]:
        return {"runtime": self.name, "versions": {}}

    def running(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def timer(self, net: nn.Module, example: Any) -> Timer:
        def measure() -> float:
            try:
                seconds = float(self.measure(net))
            except TasError:
                raise
            except Exception as error:  # whatever the user's code may raise
                raise InputError(
                    f"measuring with {self.name} failed: {first_line(error)}"
                ) from error
            if not 0 < seconds < math.inf:
                raise InputError(
                    f"measuring with {self.name} gave {seconds}: it is to return seconds above 0"
                )
            return seconds

        return measure

    def ready(self, net: nn.Module, example: Any) -> Ready:
        timer = self.timer(net, example)
        return lambda: timer


def _end(running: "subprocess.Popen[str]") -> None:
    """Stop a command and what it started: they are a group of their own."""
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        running.kill()
    running.communicate()


def _last(text: str) -> str:
    """The last line of what a command said, as far as it is shown."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:SHOWN] if lines else ""
