"""A copy of a net on which cuts are tried out: its weights are random, and its answers tame.

What a cut net gives is compared with what the whole one gives whose cut channels nobody reads. The
two differ by rounding alone, or something is wrong. How far rounding carries is measured on the net
itself, against float64; where it carries far (a net may be chaotic with random weights), the two
are compared in float64.
"""

import random
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..errors import InputError, ShapeError, first_line
from ..forward import evaluating
from ..sides import Rewrite
from .cut import copied, cut
from .masks import Masks
from .noise import still
from .scrambled import scrambled, tame
from .structure import Structure

__all__ = ["Bench", "Failure"]

SMALLEST, FIRST, ANY = "smallest", "first", "any"  # draws of what to cut

# In standard deviations of the scores:
BLIND = 1e-2  # answers that are all so near to one another tell nothing
SURE = 1e-5  # no difference of this size comes from wrong channels
CALM = 1e-5  # rounding that is no larger tells by itself what is rounding
TOLERANCE = 1e-3  # where nothing is known of rounding
TOLERANCE_HALF = 0.1  # likewise, in 16 bits
IN_DOUBLE = 1e-6
ROUNDINGS = 30  # times the measured rounding that two ways to compute may differ
WRONG = "the net's code reads the wrong channels once some are cut"

Plan = tuple[Mapping[str, Tensor], Mapping[str, int]]  # atoms, and numbers of blocks, to keep


@dataclass(frozen=True)
class Failure:
    """Why a cut net fails, the module that was running, and how far it came."""

    reason: str
    place: str = ""
    reached: tuple[int, ...] = ()  # it ran, or not; the draw; operators


class Bench:
    """Runs cuts of a net.

    Args:
        candidates: as in ``trial``.

    Attributes:
        rewrites: numbers in the net's code that follow what is cut.
    """

    def __init__(
        self,
        net: nn.Module,
        structure: Structure,
        example: Tensor,
        candidates: Mapping[str, Sequence[int]],
    ) -> None:
        self.structure, self.candidates = structure, candidates
        self.blocks = {run.name: run for run in structure.runs}
        self.masks = Masks(structure).to(example.device)
        self.net, self.example = _in_float32(scrambled(net), _noise(example))
        self.tamed = False
        self.rewrites: tuple[Rewrite, ...] = ()
        self._cut: dict[Any, Tensor] = {}  # what cut nets gave, by what was cut
        self._floor: float | None = None
        self.names = {
            width.name: [name for name, _ in width.places] for width in structure.widths
        } | {run.name: [f"{block}." for block in run.blocks] for run in structure.runs}

    def touches(self, name: str, place: str) -> bool:
        """Whether a choice has parameters in a module."""
        return bool(place) and any(own.startswith(f"{place}.") for own in self.names[name])

    def runs(self, names: Sequence[str]) -> Failure | None:
        """Whether the net runs: all at their smallest; and mixed, for equals may get along."""
        for number, draw in enumerate((SMALLEST, FIRST)):
            failure = self._given(names, draw)
            if isinstance(failure, Failure):
                return replace(failure, reached=(0, number, *failure.reached))
        return None

    def computes(self, names: Sequence[str]) -> Failure | None:
        """Whether the net gives what the whole one gives whose cut channels nobody reads."""
        answers = []
        for number, draw in enumerate((SMALLEST, FIRST, ANY)):
            found = self._given(names, draw)
            if isinstance(found, Failure):
                return replace(found, reached=(0, number, *found.reached))
            plan = self._plan(names, draw)
            answers.append(self._whole(self.net, self.example, plan))
            if not self._same(found, answers[-1], plan) and not self._blind(answers[-1:]):
                return Failure(WRONG, reached=(1, number))
        if not self._blind(answers):
            return None
        if self.tamed:
            finite = all(answer.isfinite().all() for answer in answers)
            return (
                None
                if finite
                else Failure("the net's scores are not finite, so that nothing can be compared")
            )
        with _same_draws():
            tame(self.net, self.example)
        self.tamed, self._cut, self._floor = True, {}, None
        return self.computes(names)

    def agrees(self, names: Sequence[str]) -> Failure | None:
        """Whether it gives that for two images as well, in evaluation and in training."""
        pair = torch.cat([self.example, -self.example])
        for number, (draw, training) in enumerate(((FIRST, False), (ANY, True))):
            plan = self._plan(names, draw)
            net = copied(self.net, {})  # norms keep what they see in training
            found = self._scores(net, pair, plan, training)
            if isinstance(found, Failure):
                return replace(found, reached=(2, number, *found.reached))
            if _apart(found, self._whole(net, pair, plan, training)) <= SURE:
                continue
            wide = copied(self.net_in_double if self._rounds() else self.net, {})
            pair_in = pair.double() if self._rounds() else pair
            found = self._scores(wide, pair_in, plan, training)
            limit = IN_DOUBLE if self._rounds() else TOLERANCE
            if isinstance(found, Failure) or limit < _apart(
                found, self._whole(wide, pair_in, plan, training)
            ):
                return Failure(WRONG, reached=(2, number))
        return None

    def _rounds(self) -> bool:
        """Whether the net runs in float64, too, so that it is known how it rounds."""
        return self._rounding() < float("inf")

    def _blind(self, answers: Sequence[Tensor]) -> bool:
        """Whether nothing can be told from answers: not finite, or the same whatever is cut."""
        if not all(answer.isfinite().all() for answer in answers):
            return True
        return len(answers) > 1 and max(_apart(a, answers[0]) for a in answers[1:]) < BLIND

    def trains(self, names: Sequence[str]) -> None:
        """Raise an ``InputError`` unless the net that is cut gives scores in training, too."""
        small = self._small(self.net, self._plan(names, SMALLEST, depths=True))
        failure = self._in_training(small)
        if failure is not None:
            whole = self._in_training(self.net)
            raise InputError(
                f"in training mode the net {whole or f'that was cut {failure}'}; parts that "
                "run only in training, such as auxiliary heads, are not traced: build the net "
                "without"
            )

    # What is cut -------------------------------------------------------------------------------

    def _plan(self, names: Sequence[str], draw: str, depths: bool = False) -> Plan:
        """The atoms and the numbers of blocks to keep.

        The smallest: of all widths, with all blocks there (for a block that is cut is not tried
        out), or with the fewest. The others are mixed, some blocks gone: once the first atoms stay,
        as in the nets of a search, and once any but the first, lest a shift by one goes unseen.
        What is cut of one choice does not depend on the others.
        """
        kept: dict[str, Tensor] = {}
        left: dict[str, int] = {}
        for name in names:
            drawn = random.Random(f"{draw} {name}")
            if name in self.blocks:
                run = self.blocks[name]
                if draw != SMALLEST:
                    left[name] = drawn.randint(run.least, len(run.blocks) - 1)
                elif depths:
                    left[name] = run.least
                continue
            smaller = self.candidates[name][:-1]
            several = [count for count in smaller if count > 1] or smaller  # one is in any order
            count = smaller[0] if draw == SMALLEST else drawn.choice(several)
            atoms = drawn.sample(range(draw == ANY, self.candidates[name][-1]), count)
            kept[name] = torch.arange(count) if draw == FIRST else torch.tensor(sorted(atoms))
        return kept, left

    def _given(self, names: Sequence[str], draw: str) -> Tensor | Failure:
        """What the net gives that is cut to a draw; it is run once."""
        if draw == SMALLEST:
            names = [name for name in names if name not in self.blocks]
        key = (draw, *sorted(names), *self._rewrites(names))
        if key not in self._cut:
            plan = self._plan(names, draw)
            found = self._scores(self.net, self.example, plan)
            if isinstance(found, Failure):
                return found
            self._cut[key] = found
        return self._cut[key]

    def _rewrites(self, names: Iterable[str]) -> tuple[Rewrite, ...]:
        """Those that follow some of the choices."""
        cut_now = set(names)
        return tuple(r for r in self.rewrites if cut_now.intersection(p[0] for p in r.parts))

    def _small(self, net: nn.Module, plan: Plan) -> nn.Module:
        return cut(net, replace(self.structure, rewrites=self._rewrites(plan[0])), *plan)

    @torch.no_grad()
    def _scores(
        self, net: nn.Module, example: Tensor, plan: Plan, training: bool = False
    ) -> Tensor | Failure:
        try:
            small = self._small(net, plan)
        except ShapeError as error:  # an attribute that cannot follow
            return Failure(str(error))
        draws = still()
        try:
            with evaluating(small), _same_draws(draws):
                found = small.train(training)(example)
        except Exception as error:  # whatever the user's code may raise
            place = _place(error, small)
            reason = f"{place or 'the net'} relies on their number: {first_line(error)}"
            return Failure(reason, place, (draws.calls,))
        if found.shape != (len(example), self.structure.classes):
            return Failure(f"the cut net returns {list(found.shape)}", "", (draws.calls,))
        return found  # type: ignore[no-any-return]

    @torch.no_grad()
    def _whole(self, net: nn.Module, example: Tensor, plan: Plan, training: bool = False) -> Tensor:
        """What the whole net gives when nobody reads what is cut."""
        kept, depths = plan
        parts = [torch.empty(0)]
        for width in self.structure.widths:
            weights = torch.ones(width.atoms)
            if width.name in kept:
                weights = torch.zeros(width.atoms)
                weights[kept[width.name]] = 1
            parts.append(weights)
        cut_blocks = [b for n, depth in depths.items() for b in self.blocks[n].blocks[depth:]]
        handles = [
            net.get_submodule(block).register_forward_hook(lambda m, x, y: x[0])
            for block in cut_blocks
        ]
        try:
            with evaluating(net), _same_draws():
                net.train(training)
                scores: Tensor = self.masks(net, example, torch.cat(parts).to(example))
                return scores
        finally:
            for handle in handles:
                handle.remove()

    # Whether it is the same --------------------------------------------------------------------

    def _same(self, found: Tensor, wanted: Tensor, plan: Plan) -> bool:
        apart = _apart(found, wanted)
        if apart <= SURE:
            return True
        if self.example.dtype in (torch.float16, torch.bfloat16):
            return apart <= TOLERANCE_HALF
        floor = self._rounding()
        if floor == float("inf"):
            return apart <= TOLERANCE
        if floor <= CALM:
            return apart <= ROUNDINGS * floor
        exact, example = self.net_in_double, self.example.double()
        small = self._scores(exact, example, plan)
        if isinstance(small, Failure):
            return apart <= TOLERANCE
        return _apart(small, self._whole(exact, example, plan)) <= IN_DOUBLE

    @torch.no_grad()
    def _rounding(self) -> float:
        """How far the net's own scores are from those in float64; infinite: it does not run so."""
        if self._floor is None:
            try:
                self.net_in_double = copied(self.net, {}).double()
                with evaluating(self.net), evaluating(self.net_in_double), _same_draws():
                    wide = self.net_in_double(self.example.double())
                with evaluating(self.net), _same_draws():
                    self._floor = _apart(self.net(self.example), wide)
            except Exception:  # whatever the user's code may raise
                self._floor = float("inf")
        return self._floor

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
            return f"returns {type(found).__name__}, not scores"
        if found.shape != (2, self.structure.classes):
            return f"returns {list(found.shape)} for two images, not scores"
        return None


def _apart(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, in standard deviations of what is wanted; NaN is infinitely far."""
    scale = wanted.std() if wanted.numel() > 1 else wanted.abs()
    apart = float((found - wanted).abs().max() / scale)
    return 0.0 if torch.equal(found, wanted) else apart if apart == apart else float("inf")


@contextmanager
def _same_draws(draws: still | None = None) -> Iterator[None]:
    """A net may draw random numbers in evaluation, too: their means each time."""
    with torch.random.fork_rng(devices=[]), draws or still():
        torch.manual_seed(0)
        yield


def _noise(example: Tensor) -> Tensor:
    return torch.randn(example[:1].shape, generator=Generator().manual_seed(0)).to(example)


@torch.no_grad()
def _in_float32(net: nn.Module, example: Tensor) -> tuple[nn.Module, Tensor]:
    """A net of 16 bits in 32, which tell more, where it runs in them."""
    if example.dtype not in (torch.float16, torch.bfloat16):
        return net, example
    wide = copied(net, {}).float()
    try:
        with evaluating(wide), _same_draws():
            wide(example.float())
    except Exception:  # whatever the user's code may raise
        return net, example
    return wide, example.float()


def _place(error: Exception, net: nn.Module) -> str:
    """The path of the innermost module of the net that was running."""
    names = {id(module): name for name, module in net.named_modules()}
    found = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = names.get(id(frame.f_locals.get("self")), "") or found
    return found
