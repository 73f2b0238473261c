"""The examples run, from a clean interpreter, as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_your_own_model() -> None:
    command = [sys.executable, "your_own_model.py", "--epochs", "1", "--trials", "60"]
    one = os.environ | {"OMP_NUM_THREADS": "1"}  # for nets this small a pool of threads waits
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, env=one)
    assert done.returncode == 0, done.stderr
    found = re.search(r"([\d.]+) % with ([\d.]+) of the MACs", done.stdout)
    assert found, done.stdout
    assert 0.495 <= float(found[2]) <= 0.5
    assert "locked: classifier: they are the net's output" in done.stdout
