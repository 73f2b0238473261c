"""Compiled steps compute what plain ones do, and leave the plain net."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

TRAININGS = """
from dataclasses import replace
from functools import partial
import torch
from tas.errors import InputError
from tas.nets import ARCHITECTURES, full_shape
from tas.spaces import resnet_space
from tas.methods.paper.supernet import Supernet
from tas.methods.paper.options import PaperOptions
from tas.methods.paper.task import Paired, Search
from tas.training import Classification, Distillation, fit
from tiny_training import CLASSES, TinyBatches, state_of, tiny_net, tiny_options
from torch import nn

ARCHITECTURES["small"] = replace(
    ARCHITECTURES["resnet20"], name="small", blocks=(1, 2, 1), widths=((8, 8), (8, 8), (8, 8))
)
space = resnet_space(full_shape("small", CLASSES, (3, 8, 8)))

def search(compile, **changes):
    torch.manual_seed(0)
    mixing = changes.pop("mixing")
    options = PaperOptions(epochs=1, lr=0.01, precision="fp32", compile=compile, **changes)
    task = Search(Supernet(space, mixing=mixing), options, space.unpruned.macs / 2)
    return task, TinyBatches() if not options.bilevel else Paired(TinyBatches(), TinyBatches())

def small_net():
    net = tiny_net()
    net[3] = nn.Identity()  # a compiled dropout draws other numbers
    return net

def train(compile):
    return Classification(small_net(), tiny_options(lr=0.01, compile=compile)), TinyBatches()

def distil(compile):
    options = tiny_options(lr=0.01, accumulate=2, ema=0.5, compile=compile)
    return Distillation(small_net(), tiny_net(seed=1), options), TinyBatches()

graphs = []

def as_it_is(graph, inputs):
    graphs.append(graph)
    return graph.forward

# That the code which PyTorch makes of a graph is right is for PyTorch's own tests.
true_compile, torch.compile = torch.compile, partial(torch.compile, backend=as_it_is)

kinds = {  # and the graphs of each: a step is to be compiled whole
    "train": (train, 1),
    "distil": (distil, 2),
    "interpolate": (lambda c: search(c, mixing="interpolate"), 2),
    "mask": (lambda c: search(c, mixing="mask", bilevel=False), 1),
}
for name, (make, count) in kinds.items():
    graphs.clear()
    states = []
    for compiled in (False, True):
        task, batches = make(compiled)
        fit(task, batches, device="cpu", evaluate_on=TinyBatches(size=5), progress=False)
        assert "forward" not in vars(task.module)
        states.append(state_of(task.module))
    assert states[0].keys() == states[1].keys()
    for key, plain in states[0].items():
        close = torch.allclose(states[1][key], plain, rtol=1e-3, atol=1e-4)
        assert close, (name, key)
    assert len(graphs) == count, (name, len(graphs))
    print(name)

torch.compile = true_compile  # and the compiler that it calls is not there
try:
    task = Classification(tiny_net(), tiny_options(compile=True))
    fit(task, TinyBatches(), device="cpu", progress=False)
except InputError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """By a process of its own: what the compiler leaves behind would change later tests."""
    own = {
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path_factory.mktemp("inductor")),
        "CXX": "/no/compiler",
    }
    done = subprocess.run(
        [sys.executable, "-c", TRAININGS], capture_output=True, text=True, env={**os.environ, **own}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_compiled_steps_compute_what_plain_ones_do(said: list[str]) -> None:
    assert said[:-1] == ["train", "distil", "interpolate", "mask"]


def test_a_compiler_that_fails_is_one_line(said: list[str]) -> None:
    line = said[-1]
    assert line.startswith("--compile: PyTorch's compiler failed (InvalidCxxCompiler")
    assert line.endswith("leave it out")
