"""Nets of any task: cut to half of their multiply-adds, and put through all that a user does.

    python benchmarks/any_task/run.py --cache found.jsonl --out docs/models.md
    python benchmarks/any_task/run.py --nets torchvision:raft_small smp:Unet

Every net has a process of its own, of one thread, with a limit of processor time. ``--cache`` keeps
a line of JSON for each and goes on from there; ``--again`` measures anew what is in it. ``--out``
replaces the second part of the page that ``benchmarks/models.py`` writes. What it needs beside the
development environment is in ``zoo.py``.
"""

import argparse
import json
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import table
import zoo

from apart import apart

LIMIT = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nets", nargs="+", default=list(zoo.NETS), choices=zoo.NETS)
    parser.add_argument("--limit", type=int, default=LIMIT, help="seconds of one processor")
    parser.add_argument("--cache", type=Path, help="lines of JSON to write, and to go on from")
    parser.add_argument("--again", action="store_true", help="measure what is in the cache, too")
    parser.add_argument("--out", type=Path, help="the page whose second part is replaced")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.nets[0], options.limit)))
        return
    found: dict[str, Any] = {}
    if options.cache and options.cache.is_file():
        entries = map(json.loads, options.cache.read_text().splitlines())
        found = {entry["net"]: entry for entry in entries}
    for name in options.nets:
        if name in found and not options.again:
            continue
        found[name] = entry = {
            "net": name,
            **apart(options.limit, __file__, "--one", "--nets", name),
        }
        print(json.dumps(entry), file=sys.stderr, flush=True)
        if options.cache:
            with options.cache.open("a") as file:
                file.write(json.dumps(entry) + "\n")
    missing = [name for name in zoo.NETS if name not in found]
    section = table.written({n: found[n] for n in zoo.NETS if n in found}, missing)
    if options.out:
        table.put(options.out, section)
    else:
        print(section)


def one(name: str, limit: int) -> dict[str, Any]:
    import checks

    warnings.filterwarnings("ignore")
    # Time of the processor: a machine that is at other work, too, does not use it up.
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    return checks.checked(name)


if __name__ == "__main__":
    main()
