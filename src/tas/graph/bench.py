"""A copy of a net on which cuts are tried out: its weights are random, and its answers tame.

What a cut net gives is compared with what the whole one gives whose cut channels nobody reads. The
two differ by rounding alone, or something is wrong. How far rounding carries is measured on the net
itself, against float64; where it carries far (a net may be chaotic with random weights), the two
are compared in float64.
"""

import random
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ShapeError, first_line
from ..forward import Example, device_of, evaluating, training
from ..sides import Rewrite
from .compare import Answer, answered
from .cut import Cutter, copied
from .joints import Joint, counts
from .masks import Masks
from .noise import still
from .reads import reading
from .scrambled import scrambled, tame
from .structure import Structure

__all__ = ["ANY", "WRONG", "Bench", "Failure"]

DRAWS = SMALLEST, FIRST, ANY = "smallest", "first", "any"  # of what to cut

# In standard deviations of the scores:
BLIND = 1e-2  # answers that are all so near to one another tell nothing
SURE = 1e-5  # no difference of this size comes from wrong channels
CALM = 1e-5  # rounding that is no larger tells by itself what is rounding
TOLERANCE = 1e-3  # where nothing is known of rounding
TOLERANCE_HALF = 0.1  # likewise, in 16 bits
IN_DOUBLE = 1e-6
LEAPS = 1e30  # of answers that differ in what they hold
ROUNDINGS = 30  # times the measured rounding that two ways to compute may differ
WRONG = "once some are cut the net computes something else: it reads others, or uses their number"

Mode = Callable[[nn.Module], AbstractContextManager[None]]
Plan = tuple[Mapping[str, Tensor], Mapping[str, int]]  # atoms, and numbers of blocks, to keep


@dataclass(frozen=True)
class Failure:
    """Why a cut net fails, the module that was running, and how far it came."""

    reason: str
    place: str = ""
    reached: tuple[int, ...] = ()  # the kind of test; the draw; operators


class Bench:
    """Runs cuts of a net.

    Args:
        example: a batch, or an ``Example``, which says how the net is called.
        candidates: as in ``trial``.

    Attributes:
        rewrites: numbers in the net's code that follow what is cut.
        joints: widths that are cut together, in the same ratio.
    """

    def __init__(
        self,
        net: nn.Module,
        structure: Structure,
        example: Any,
        candidates: Mapping[str, Sequence[int]],
    ) -> None:
        example = Example.of(example)
        self.structure, self.candidates = structure, candidates
        self.blocks = {run.name: run for run in structure.runs}
        self.device = device_of(net)
        self.masks = Masks(structure).to(self.device)
        self.net, self.example = _in_float32(scrambled(net), example.first().noise())
        self.several = example.noise().pair()  # norms need more than one in training
        if not _is_half(self.net) and _is_half(net):
            self.several = self.several.to(torch.float32)
        self.tamed = False
        self.rewrites: tuple[Rewrite, ...] = ()
        self.joints: tuple[Joint, ...] = ()
        self._cut: dict[Any, Answer] = {}  # what cut nets gave, by what was cut
        self._uncut: Answer | None = None
        self._cutters: dict[int, Cutter] = {}  # by the net: this one, and the same in float64
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

    def computes(self, names: Sequence[str], draws: Sequence[str] = DRAWS) -> Failure | None:
        """Whether the net gives what the whole one gives whose cut channels nobody reads."""
        answers = [] if len(draws) > 1 else [self.uncut]
        for number, draw in enumerate(draws):
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
            finite = all(answer.finite for answer in answers)
            return (
                None
                if finite
                else Failure("the net's scores are not finite, so that nothing can be compared")
            )
        with _same_draws():
            tame(self.net, self.example)
        self.tamed, self._cut, self._floor, self._uncut = True, {}, None, None
        return self.computes(names, draws)

    def agrees(self, names: Sequence[str]) -> Failure | None:
        """Whether it gives that for two examples in training as well, where the whole net runs."""
        draws = (ANY, FIRST) if self._trained else ()
        for number, draw in enumerate(draws):
            failure = self._agrees(self._plan(names, draw))
            if failure is not None:
                return replace(failure, reached=(2, number, *failure.reached))
        return None

    def _agrees(self, plan: Plan) -> Failure | None:
        found = self._scores(self.net, self.several, plan, training, several=True)
        if isinstance(found, Failure):
            return found
        apart = found.apart(self._whole(self.net, self.several, plan, training))
        if apart <= SURE or (apart <= TOLERANCE and self._rounding() == float("inf")):
            return None
        if self._rounding() < float("inf"):
            several = self.several.to(torch.float64)
            found = self._scores(self.net_in_double, several, plan, training, several=True)
            if isinstance(found, Answer):
                whole = self._whole(self.net_in_double, several, plan, training)
                if found.apart(whole) <= IN_DOUBLE:
                    return None
        return Failure(WRONG)

    def _blind(self, answers: Sequence[Answer]) -> bool:
        """Whether nothing can be told from answers: not finite, or the same whatever is cut."""
        if not all(answer.finite for answer in answers):
            return True
        return len(answers) > 1 and max(a.apart(answers[0]) for a in answers[1:]) < BLIND

    def trains(self, names: Sequence[str]) -> Failure | None:
        """Whether the net that is cut runs in training, where the whole one does."""
        small = self._small(self.net, self._plan(names, SMALLEST, depths=True))
        failure = self._in_training(small)
        return failure if failure and self._trained else None

    # What is cut -------------------------------------------------------------------------------

    def _plan(self, names: Sequence[str], draw: str, depths: bool = False) -> Plan:
        """The atoms and the numbers of blocks to keep.

        The smallest: of all widths, with all blocks there (for a block that is cut is not tried
        out), or with the fewest. The others are mixed, some blocks gone: once the first atoms stay,
        as in the nets of a search, and once any but the first, lest a shift by one goes unseen.
        What is cut of one choice does not depend on the others, but for those it is joined with.
        """
        kept: dict[str, Tensor] = {}
        left: dict[str, int] = {}
        for joint in self.joined(names):
            drawn = random.Random(f"{draw} {joint[0]}")
            if joint[0] in self.blocks:
                run = self.blocks[joint[0]]
                if draw != SMALLEST:
                    left[run.name] = drawn.randint(run.least, len(run.blocks) - 1)
                elif depths:
                    left[run.name] = run.least
                continue
            smaller = [*zip(*counts(joint, self.candidates).values(), strict=True)][:-1]
            several = [each for each in smaller if min(each) > 1] or smaller  # one: in any order
            chosen = smaller[0] if draw == SMALLEST else drawn.choice(several)
            for name, count in zip(joint, chosen, strict=True):
                atoms = drawn.sample(range(draw == ANY, self.candidates[name][-1]), count)
                kept[name] = torch.arange(count) if draw == FIRST else torch.tensor(sorted(atoms))
        return kept, left

    def joined(self, names: Iterable[str]) -> tuple[Joint, ...]:
        """Choices with those that they are joined with; the others alone."""
        of = {name: joint for joint in self.joints for name in joint}
        return tuple(dict.fromkeys(of.get(name, (name,)) for name in names))

    def whole(self, names: Iterable[str]) -> list[str]:
        """The names of choices and of those that they are joined with."""
        return [name for joint in self.joined(names) for name in joint]

    def _given(self, names: Sequence[str], draw: str) -> Answer | Failure:
        """What the net gives that is cut to a draw; it is run once."""
        if draw == SMALLEST:
            names = [name for name in names if name not in self.blocks]
        key = (draw, *sorted(self.joined(names)), *self._following(self.whole(names)))
        if key not in self._cut:
            found = self._scores(self.net, self.example, self._plan(names, draw))
            if isinstance(found, Failure):
                return found
            self._cut[key] = found
        return self._cut[key]

    def _following(self, names: Iterable[str]) -> tuple[Rewrite, ...]:
        """The rewrites that follow some of the choices."""
        cut_now = set(names)
        return tuple(r for r in self.rewrites if cut_now.intersection(p[0] for p in r.parts))

    def _small(self, net: nn.Module, plan: Plan) -> nn.Module:
        if id(net) not in self._cutters:
            self._cutters[id(net)] = Cutter(net, self.structure)
        return self._cutters[id(net)].cut(*plan, rewrites=self._following(plan[0]))

    @property
    def read(self) -> Collection[tuple[str, str]] | None:
        """The attributes that the whole net reads of its modules; None where nobody can tell."""
        return self._observed[0]

    @property
    def _trained(self) -> bool:
        """Whether the whole net runs in training; it may want targets."""
        return self._observed[1]

    @cached_property
    @torch.no_grad()
    def _observed(self) -> tuple[Collection[tuple[str, str]] | None, bool]:
        try:
            with reading(self.net) as read:
                with evaluating(self.net), _same_draws():
                    self.example(self.net)
                if self._in_training(self.net) is None:
                    return read, True
        except Exception:  # whatever the user's code may raise
            read = None
        return read, self._in_training(self.net) is None

    @property
    @torch.no_grad()
    def uncut(self) -> Answer:
        """What the whole net answers."""
        if self._uncut is None:
            with evaluating(self.net), _same_draws():
                self._uncut = answered(self.net, self.example)
        return self._uncut

    @torch.no_grad()
    def _scores(
        self,
        net: nn.Module,
        example: Example,
        plan: Plan,
        mode: Mode = evaluating,
        several: bool = False,
    ) -> Answer | Failure:
        try:
            small = self._small(net, plan)
        except ShapeError as error:  # an attribute that cannot follow
            return Failure(str(error))
        draws = still()
        try:
            with mode(small), _same_draws(draws):
                found = answered(small, example)
        except Exception as error:  # whatever the user's code may raise
            place = _place(error, small)
            reason = f"{place or 'the net'} relies on their number: {first_line(error)}"
            return Failure(reason, place, (draws.calls,))
        if not several and found.shapes != self.uncut.shapes and not self.uncut.chosen_by:
            reason = f"the cut net returns {_told(found)}, not {_told(self.uncut)}"
            return Failure(reason, "", (draws.calls,))
        return found

    @torch.no_grad()
    def _whole(
        self, net: nn.Module, example: Example, plan: Plan, mode: Mode = evaluating
    ) -> Answer:
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
            with mode(net), _same_draws():
                weights, batch = torch.cat(parts).to(self.device), example.batch
                return answered(net, lambda net: self.masks(net, batch, weights, example.forward))
        finally:
            for handle in handles:
                handle.remove()

    # Whether it is the same --------------------------------------------------------------------

    def _same(self, found: Answer, wanted: Answer, plan: Plan) -> bool:
        apart = found.apart(wanted)
        if apart <= SURE:
            return True
        if _is_half(self.net):
            return apart <= TOLERANCE_HALF
        floor = self._rounding()
        if floor == float("inf"):
            return apart <= TOLERANCE
        calm = floor <= CALM and not self.uncut.chosen_by
        if calm and not ROUNDINGS * floor < apart <= TOLERANCE:  # there the scores may be nearer
            return apart <= TOLERANCE
        exact, example = self.net_in_double, self.example.to(torch.float64)
        small = self._scores(exact, example, plan)
        if isinstance(small, Failure):
            return apart <= TOLERANCE
        return small.apart(self._whole(exact, example, plan)) <= IN_DOUBLE

    @torch.no_grad()
    def _rounding(self) -> float:
        """How far the net's own scores are from those in float64; infinite: it does not run so."""
        if self._floor is None:
            try:
                self.net_in_double = copied(self.net, {}).double()
                with evaluating(self.net_in_double), _same_draws():
                    wide = answered(self.net_in_double, self.example.to(torch.float64))
                self._floor = min(self.uncut.apart(wide), LEAPS)
            except Exception:  # whatever the user's code may raise
                self._floor = float("inf")
        return self._floor

    @torch.no_grad()
    def _in_training(self, net: nn.Module) -> Failure | None:
        """Why a net fails in training; None: it does not."""
        try:
            with training(net), _same_draws():
                self.several(net)
        except Exception as error:  # whatever the user's code may raise
            place = _place(error, net)
            where = f"{place or 'the net'} relies on their number in training"
            return Failure(f"{where}: {first_line(error)}", place)
        return None


def _told(answer: Answer) -> str:
    """The sizes of an answer, for a reason."""
    return ", ".join(map(str, answer.shapes)) or "nothing"


@contextmanager
def _same_draws(draws: still | None = None) -> Iterator[None]:
    """A net may draw random numbers in evaluation, too: their means each time."""
    with torch.random.fork_rng(devices=[]), draws or still():
        torch.manual_seed(0)
        yield


def _is_half(net: nn.Module) -> bool:
    return any(p.dtype in (torch.float16, torch.bfloat16) for p in net.parameters())


@torch.no_grad()
def _in_float32(net: nn.Module, example: Example) -> tuple[nn.Module, Example]:
    """A net of 16 bits in 32, which tell more, where it runs in them."""
    if not _is_half(net):
        return net, example
    wide = copied(net, {}).float()
    try:
        with evaluating(wide), _same_draws():
            example.to(torch.float32)(wide)
    except Exception:  # whatever the user's code may raise
        return net, example
    return wide, example.to(torch.float32)


def _place(error: Exception, net: nn.Module) -> str:
    """The path of the innermost module of the net that was running."""
    names = {id(module): name for name, module in net.named_modules()}
    found = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        found = names.get(id(frame.f_locals.get("self")), "") or found
    return found
