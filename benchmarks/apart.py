"""A benchmark's other process: of one thread, with a limit of processor time, for one net."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

__all__ = ["apart"]


def apart(limit: int, script: str, *options: str) -> dict[str, Any]:
    """What a script, given its limit of seconds, prints last, or why it found nothing.

    It is time of the processor: a machine that is at other work, too, does not use it up.
    """
    command = [sys.executable, script, *options, "--limit", str(limit)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return {"error": f"nothing within {limit} s"}
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": lines[-1][:200] if lines else f"exit status {done.returncode}"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
