"""Puts to the test what a trace found: cut the net, run it, compare.

What the net's own code takes for a constant (a number of heads in a view, a split at a fixed place)
cannot be seen in a trace. So the net is cut as far as it goes and run: it has to run, and to give
what the whole net gives whose cut channels nobody reads. What fails is found by bisection.
"""

import random
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Generator, Tensor, nn

from ..errors import InputError, ShapeError, first_line
from ..forward import evaluating
from ..graph import Masks, Structure, copied, cut
from .noise import still

__all__ = ["trial"]

TOLERANCE = 1e-3  # of the scores' standard deviation; float32 leaves about 1e-5
PERIOD = 65_537  # of the random weights: prime, so that no two channels are alike


def trial(
    net: nn.Module,
    structure: Structure,
    example: Tensor,
    candidates: Mapping[str, Sequence[int]],
) -> dict[str, str]:
    """The names of widths and runs that do not bear to be cut, with the reason.

    Args:
        candidates: by a width's name, the numbers of atoms that it may be asked to keep, ascending,
            the last one all.
    """
    bench = _Bench(net, structure, example, candidates)
    good: list[str] = []
    failed: dict[str, str] = {}

    def extend(items: Sequence[str], test: Test) -> None:
        """Add to what is good those of the items with which it stays good."""
        failure = test([*good, *items])
        if failure is None:
            good.extend(items)
            return
        if len(items) == 1:
            failed[items[0]] = failure.reason
            return
        kinds = [list(of) for _, of in groupby(items, _kind)]
        if len(kinds) > 1:
            suspects = [of for of in kinds if any(bench.touches(n, failure.place) for n in of)]
            calm = [name for of in kinds if of not in suspects for name in of]
            for part in [calm, *suspects] if calm and suspects else kinds:
                extend(part, test)
            return
        # The same layer of several blocks: what fails in the first and the last fails in all.
        ends = [test([*good, items[0]]), test([*good, items[-1]])]
        if all(ends):
            failed.update(dict.fromkeys(items, failure.reason))
            return
        middle = len(items) // 2
        extend(items[:middle], test)
        extend(items[middle:], test)

    # Widths first, with all blocks there: a block that is cut is not tried out.
    for names in (list(candidates), [run.name for run in structure.runs]):
        if names:
            extend(sorted(names, key=_kind), bench.runs)
    passed, good = sorted(good, key=_kind), []
    if passed:
        extend(passed, bench.computes)
    bench.trains(good)
    return failed


def _kind(name: str) -> str:
    return re.sub(r"\d+", "#", name)


@dataclass(frozen=True)
class Failure:
    """Why a cut net fails, and the module that was running."""

    reason: str
    place: str = ""


Test = Callable[[Sequence[str]], Failure | None]


class _Bench:
    """A copy of the net with random weights, so that every channel matters."""

    def __init__(
        self,
        net: nn.Module,
        structure: Structure,
        example: Tensor,
        candidates: Mapping[str, Sequence[int]],
    ) -> None:
        self.structure, self.candidates = structure, candidates
        noise = torch.randn(example[:1].shape, generator=Generator().manual_seed(0))
        self.example = noise.to(example)
        self.net = _scrambled(net)
        self.blocks = {run.name: run for run in structure.runs}
        self.masks = Masks(structure).to(example.device)
        self.random = random.Random(0)
        self.names = {
            width.name: [name for name, _ in width.places] for width in structure.widths
        } | {run.name: [f"{block}." for block in run.blocks] for run in structure.runs}

    def touches(self, name: str, place: str) -> bool:
        """Whether a choice has parameters in a module."""
        return bool(place) and any(own.startswith(f"{place}.") for own in self.names[name])

    def runs(self, names: Sequence[str]) -> Failure | None:
        """Whether the net runs: all at their smallest; and mixed, for equals may get along."""
        for mixed in (False, True):
            failure = self._scores(*self._plan(names, mixed))
            if isinstance(failure, Failure):
                return failure
        return None

    def computes(self, names: Sequence[str]) -> Failure | None:
        """Whether the net gives what the whole one gives whose cut channels nobody reads."""
        kept, depths = self._plan(names, mixed=True)
        found = self._scores(kept, depths)
        if isinstance(found, Failure):
            return found
        wanted = self._whole(kept, depths)
        if not wanted.isfinite().all():
            return Failure("the net's scores are not finite, and cannot be compared")
        scale = wanted.std() if wanted.numel() > 1 else wanted.abs()
        if torch.allclose(found, wanted, rtol=0, atol=TOLERANCE * float(scale)):
            return None
        return Failure("the net's code takes other channels than it should when some are gone")

    def trains(self, names: Sequence[str]) -> None:
        """Raise an ``InputError`` unless the net that is cut gives scores in training, too."""
        small = cut(self.net, self.structure, *self._plan(names, mixed=True))
        failure = self._in_training(small)
        if failure is not None:
            whole = self._in_training(self.net)
            raise InputError(
                f"in training mode the net {whole or f'that was cut {failure}'}; what runs in "
                "training alone, as auxiliary heads do, is not seen: build the net without it"
            )

    @torch.no_grad()
    def _in_training(self, net: nn.Module) -> str | None:
        """What is wrong with what a net gives in training; None: nothing."""
        pair = torch.cat([self.example, -self.example])  # norms need more than one
        try:
            with _same_draws():
                found = net.train()(pair)
        except Exception as error:  # whatever the user's code may raise
            return f"fails in {_place(error, net) or 'its own code'} ({first_line(error)})"
        if not isinstance(found, Tensor):
            return f"gives {type(found).__name__}, not scores"
        if found.shape != (2, self.structure.classes):
            return f"gives {list(found.shape)} for two images, not scores"
        return None

    def _plan(self, names: Sequence[str], mixed: bool) -> tuple[dict[str, Tensor], dict[str, int]]:
        """The atoms and the numbers of blocks to keep."""
        kept, depths = {}, {}
        for name in names:
            if name in self.blocks:
                run = self.blocks[name]
                most = len(run.blocks) - 1 if mixed else run.least
                depths[name] = self.random.randint(run.least, most)
            else:
                smaller = self.candidates[name][:-1]
                count = self.random.choice(smaller) if mixed else smaller[0]
                # Any channels may be the ones to go, so none in particular go here.
                atoms = self.random.sample(range(self.candidates[name][-1]), count)
                kept[name] = torch.tensor(sorted(atoms))
        return kept, depths

    @torch.no_grad()
    def _scores(self, kept: Mapping[str, Tensor], depths: Mapping[str, int]) -> Tensor | Failure:
        try:
            small = cut(self.net, self.structure, kept, depths)
        except ShapeError as error:  # an attribute that cannot follow
            return Failure(str(error))
        try:
            with evaluating(small), _same_draws():
                found = small(self.example)
        except Exception as error:  # whatever the user's code may raise
            place = _place(error, small)
            return Failure(f"{place or 'the net'} counts on them: {first_line(error)}", place)
        if found.shape != (1, self.structure.classes):
            return Failure(f"the net then gives {list(found.shape)}")
        return found  # type: ignore[no-any-return]

    @torch.no_grad()
    def _whole(self, kept: Mapping[str, Tensor], depths: Mapping[str, int]) -> Tensor:
        """What the whole net gives when nobody reads what is cut."""
        parts = []
        for width in self.structure.widths:
            weights = torch.ones(width.atoms)
            if width.name in kept:
                weights = torch.zeros(width.atoms)
                weights[kept[width.name]] = 1
            parts.append(weights)
        cut_blocks = [b for n, depth in depths.items() for b in self.blocks[n].blocks[depth:]]
        handles = [
            self.net.get_submodule(block).register_forward_hook(lambda m, x, y: x[0])
            for block in cut_blocks
        ]
        try:
            with evaluating(self.net), _same_draws():
                weights = torch.cat([torch.empty(0), *parts]).to(self.example)
                scores: Tensor = self.masks(self.net, self.example, weights)
                return scores
        finally:
            for handle in handles:
                handle.remove()


@contextmanager
def _same_draws() -> Iterator[None]:
    """A net may draw random numbers in evaluation, too: their means each time."""
    with torch.random.fork_rng(devices=[]), still():  # type: ignore[no-untyped-call]
        torch.manual_seed(0)
        yield


@torch.no_grad()
def _scrambled(net: nn.Module) -> nn.Module:
    """A copy with random parameters: a trained or fresh one may have zeros that hide mistakes."""
    fresh = {id(p): nn.Parameter(torch.empty_like(p), p.requires_grad) for p in net.parameters()}
    net = copied(net, fresh)
    generator = Generator().manual_seed(0)
    noise = torch.randn(PERIOD, generator=generator)
    for parameter in fresh.values():
        fan_in = max(parameter.numel() / max(parameter.shape[:1] or (1,)), 1)
        if parameter.numel() == max(parameter.shape, default=1):  # scales and shifts
            values = 1 + 0.2 * noise
        else:
            values = noise / fan_in**0.5
        values = values.roll(int(torch.randint(PERIOD, (), generator=generator)))
        flat = parameter.as_strided((parameter.numel(),), (1,))  # as it lies in memory
        for begin in range(0, len(flat), PERIOD):
            flat[begin : begin + PERIOD] = values[: len(flat) - begin]
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
            assert module.running_mean is not None
            size = module.running_var.shape
            module.running_mean.copy_(0.2 * torch.randn(size, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(size, generator=generator))
    return net


def _place(error: Exception, net: nn.Module) -> str:
    """The path of the innermost module of the net that was running."""
    names = {id(module): name for name, module in net.named_modules()}
    found = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = names.get(id(frame.f_locals.get("self")), "") or found
    return found
