"""What one net is put through: traced, cut to half, compared, trained, saved, loaded, exported."""

import io
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import zoo
from torch import Tensor, nn

import tas
from tas.costs import Budget, count
from tas.forward import Example, leaves
from tas.graph import Masks
from tas.graph.compare import answered
from tas.graph.cut import kept_atoms
from tas.inherit import Source
from tas.methods.sampling import states_near
from tas.shape import Shape
from tas.spaces import TracedSpace, trace

BUDGET = 0.5
CLOSE = 1e-3  # of an ONNX file's answers, in standard deviations
ROUNDINGS = 3  # or so many times what PyTorch's own float32 is away from its float64


def checked(name: str) -> dict[str, Any]:
    """All figures of a net by its name."""
    entry = zoo.NETS[name]
    torch.manual_seed(0)
    net, batch = entry.make(), entry.batch()
    tame(net)
    started = time.process_time()
    space = trace(net, batch, forward=entry.forward)
    lowest, highest = Budget(0).range(space)
    shape = near(space, max(int(BUDGET * highest), lowest))
    small = Source.of(space).derive(shape).eval()
    seconds = time.process_time() - started
    example = Example.of(batch, entry.forward)
    counted = count(small, example.first())
    return {
        "kind": entry.kind,
        "macs": highest,
        "widths": len(space.widths),
        "depths": len(space.depths),
        "why": reason(space),
        "lowest": lowest / highest,
        "ratio": counted.macs / highest,
        "exact": (counted.macs, counted.params) == (shape.macs, shape.params),
        "difference": difference(space, shape, small, example),
        "loads": loads(small, shape, entry, example),
        "onnx": onnx(small, example),
        "trains": trains(small, example),
        "seconds": seconds,
    }


def near(space: TracedSpace, budget: int) -> Shape:
    """A shape at random, at most 2 % below the budget."""
    draws = torch.Generator().manual_seed(0)
    state = states_near(space, Budget(budget), 0.98, 1.0, 1, draws)[0].tolist()
    return space.shape(state[: len(space.widths)], state[len(space.widths) :])


def tame(net: nn.Module) -> None:
    """Norms as of a trained net: behind the zeros and ones of a fresh one mistakes hide."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)


@torch.no_grad()
def difference(space: TracedSpace, shape: Shape, small: nn.Module, example: Example) -> float:
    """Between the cut net and the whole one whose cut channels nobody reads.

    In float64, but where a net's own code makes numbers in float32. Blocks that the cut net lacks
    are left out of the whole one as well.
    """
    whole = Source.of(space).derive(space.unpruned.replace(depths=shape.depths)).eval()
    if shape.depths != space.unpruned.depths:
        space = trace(whole, example.batch, forward=example.forward)
    kept, weights = kept_atoms(space.structure, shape), []
    for width in space.structure.widths:
        one, own = torch.ones(width.atoms), kept.get(width.name)
        weights.append(one if own is None else torch.zeros_like(one).index_fill(0, own, 1.0))
    masks = Masks(space.structure)

    def compared(kind: torch.dtype) -> float:
        own, wide, given = small.to(kind), whole.to(kind), example.to(kind)
        together = torch.cat(weights).to(kind)
        masked = answered(wide, lambda net: masks(net, given.batch, together, given.forward))
        return answered(own, given).apart(masked)

    try:
        return compared(torch.float64)
    except RuntimeError:
        return compared(torch.float32)
    finally:
        small.float()


def loads(small: nn.Module, shape: Shape, entry: zoo.Entry, example: Example) -> bool:
    """Whether it is the same net after it was saved and loaded."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        tas.save(small, Path(folder) / "small", shape=shape)
        again = tas.load(Path(folder) / "small", make=entry.make)
        return apart(example(again), example(small)) == 0


def trains(small: nn.Module, example: Example) -> bool:
    """Whether a step of SGD in training mode leaves finite numbers, some of them changed."""
    before = [p.detach().clone() for p in small.parameters()]
    optimizer = torch.optim.SGD(small.train().parameters(), 1e-3)
    out = [x for _, x in leaves(example(small)) if x.is_floating_point()]
    sum(x.square().mean() for x in out).backward()  # type: ignore[union-attr]
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, small.parameters(), strict=True)]
    return all(bool(p.isfinite().all()) for p in small.parameters()) and sum(moved) > len(moved) / 2


class _Called(nn.Module):
    def __init__(self, net: nn.Module, example: Example) -> None:
        super().__init__()
        self.net, self.example = net, example

    def forward(self, batch: Any) -> list[Tensor]:
        out = self.example.forward(self.net, batch)
        return [x for _, x in leaves(out) if x.is_floating_point()]


def onnx(small: nn.Module, example: Example) -> str:
    """Empty where ONNX Runtime gives what PyTorch gives; else what goes wrong."""
    import onnxruntime

    called = _Called(small, example).eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = called(example.batch)
            how = {"kwargs": {"batch": example.batch}, "dynamo": True, "verbose": False}
            made = torch.onnx.export(called, (), **how)
            file = io.BytesIO()
            made.save(file)
        session = onnxruntime.InferenceSession(file.getvalue())
        given = [x.numpy() for _, x in leaves(example.batch)]
        names = [i.name for i in session.get_inputs()]
        found = session.run(None, dict(zip(names, given, strict=True)))
        found = [torch.from_numpy(x) for x in found if x.dtype.kind == "f"]
        far = apart(found, wanted)
        close = far < CLOSE or far < ROUNDINGS * rounding(small, example)
        return "" if close else f"answers differ by {far:.0e}"
    except Exception as error:  # of three libraries
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:160]


@torch.no_grad()
def rounding(small: nn.Module, example: Example) -> float:
    """Of the net's answers in float32."""
    found = [x.clone() for _, x in leaves(example(small)) if x.is_floating_point()]
    wanted = example.to(torch.float64)(small.double())
    small.float()
    return apart(found, [x for _, x in leaves(wanted) if x.is_floating_point()])


def apart(found: Any, wanted: Any) -> float:
    """The largest difference of two answers, in standard deviations of each tensor."""
    pairs = zip(leaves(found), leaves(wanted), strict=True)
    each = [(a - b).abs().max() / b.std().clamp_min(1e-12) for (_, a), (_, b) in pairs]
    return float(max(each))


def reason(space: TracedSpace) -> str:
    """Why the most locked channels are locked, but for those of the output."""
    channels: Counter[str] = Counter()
    for entry in space.locked:
        if "net's output" not in entry.reason:
            channels[entry.reason] += entry.channels
    return channels.most_common(1)[0][0] if channels else ""
