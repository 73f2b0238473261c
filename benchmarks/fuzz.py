"""Mutated files and arguments: each ends in a result or in one short line, never in a traceback.

    python benchmarks/fuzz.py --minutes 10 --seed 0

Seeds are a shape, a published config, a model folder, a split, a result, a log and a YAML file of
options. A few of their bytes are flipped, cut, doubled or replaced by what parsers dislike; then a
verb that reads the file is called in this process. Arguments are mutated likewise. Prints counts,
and every input that crashed, with the seed that gives it again; exits with 1 if there was one.
"""

import argparse
import collections
import contextlib
import io
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import tas
from tas.cli.main import main as command

NASTY = (
    b"\x00",
    b"\xff",
    b"[" * 300,
    b"9" * 500,
    b"1e999",
    b"-1",
    b"null",
    b"{}",
    b'"',
    b"\x1b[31m",
)
WORDS = (
    "",
    "0",
    "-1",
    "1e308",
    "nan",
    "[]",
    "{}",
    "[1e308]",
    "~nobody/x",
    "x" * 5000,
    "\x1b[31m",
    "a\nb",
)
OPTIONS = (
    "--budget",
    "--ratios",
    "--input",
    "--classes",
    "--net",
    "--split",
    "--weights",
    "--unit",
)


def seeds(home: Path) -> dict[str, list[str]]:
    """Files to mutate, by their paths within ``home``, and the command that reads each."""
    data = tas.data.load("digits", progress=False)
    net = tas.nets.build("resnet20", data.classes, data.input)
    tas.save(net, home / "model", transform=data.transform, classes=data.class_names)
    tas.nets.read_shape("C010-ResNet20").save(home / "shape.json")
    tas.data.write_split(home / "split.json", tas.data.search_split(data))
    (home / "run.yaml").write_text("budget: 0.5\nepochs: 0\nignore: [stem]\nout: lost/x\n")
    released = {"dataset": ["str", "cifar10"], "module": ["str", "ResNet"], "depth": ["int", "20"]}
    (home / "net.config").write_text(json.dumps(released | {"class_num": ["int", "10"]}))
    run = tas.RunDir.open(home / "run", {"net": "resnet20"})
    run.log({"phase": "train", "epoch": 1, "loss": 2.3, "seconds": 1.0})
    run.finish({"rows": [{"name": "a", "macs": 1e6, "params": 1e5, "accuracy": 90.0}]})
    return {
        "shape.json": ["macs", "{}/shape.json"],
        "net.config": ["macs", "{}/net.config"],
        "run.yaml": ["run", "--config", "{}/run.yaml"],
        "split.json": ["search", "--split", "{}/split.json", "--out", "{}/run"],
        "model/config.json": ["predict", "{}/model", "{}/none.png"],
        "model/model.safetensors": ["predict", "{}/model", "{}/none.png"],
        "run/result.json": ["report", "{}/run"],
        "run/log.jsonl": ["report", "{}/run"],
    }


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One to four changes."""
    for _ in range(draw.randint(1, 4)):
        at, to = sorted(draw.randrange(len(content) + 1) for _ in range(2))
        kind = draw.randrange(5)
        if kind == 0 and content:
            at = min(at, len(content) - 1)
            content = (
                content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]
            )
        elif kind == 1:
            content = content[:at]
        elif kind == 2:
            content = content[:to] + content[at:]
        else:
            content = content[:at] + draw.choice(NASTY) + content[at if kind == 3 else to :]
    return content


def ending(words: list[str]) -> tuple[str, str]:
    """How a command ends, in a word, and the trace where it crashes."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            command(words)
    except SystemExit as end:
        lines = [x for x in err.getvalue().splitlines() if x.startswith("error: ")]
        if end.code == 2 and (len(lines) != 1 or len(lines[0]) > 450 or not lines[0].isprintable()):
            return "not one short line", err.getvalue()[-2000:]
        return f"status {end.code or 0}", ""
    except BaseException:
        return "crash", traceback.format_exc()
    return "status 0", ""


def fuzz(minutes: float, seed: int) -> int:
    counts: collections.Counter[str] = collections.Counter()
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        whole, home = Path(folder) / "whole", Path(folder) / "home"
        whole.mkdir()
        files = seeds(whole)
        until, number = time.monotonic() + 60 * minutes, 0
        while time.monotonic() < until:
            number += 1
            draw = random.Random(f"{seed}-{number}")
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(whole, home)
            name = draw.choice([*files, "arguments"])
            if name == "arguments":
                verb = draw.choice((["macs", "resnet20"], ["run", "--epochs", "0"], ["doctor"]))
                words = [*verb, f"{draw.choice(OPTIONS)}={draw.choice(WORDS)}"]
            else:
                (home / name).write_bytes(mutated((whole / name).read_bytes(), draw))
                words = [word.replace("{}", str(home)) for word in files[name]]
            how, trace = ending(words)
            counts[f"{name}: {how}"] += 1
            if trace:
                bad += 1
                print(f"{seed}-{number} {name} {words}: {how}\n{trace}", file=sys.stderr)
    for what, count in sorted(counts.items()):
        print(f"{count:6} {what}")
    print(f"{number} inputs, {bad} crashes")
    return bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.exit(1 if fuzz(given.minutes, given.seed) else 0)
