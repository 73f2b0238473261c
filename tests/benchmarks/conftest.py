"""The benches' own modules can be imported."""

import sys
from pathlib import Path

for folder in ("benchmarks", "benchmarks/any_task", "benchmarks/rivals"):
    sys.path.insert(0, str(Path(__file__).parents[2] / folder))
