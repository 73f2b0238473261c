"""The ``Space`` of any net: traced, tried out, and put into choices.

    space = tas.spaces.trace(model, torch.randn(1, 3, 224, 224))

How the channels are followed is told in ``graph/labels.py``. Everything that is added together
shares one width (the space is *tied*), widths are at most the net's own, and a derived net is the
user's own class, cut (``graph/cut.py``).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import some_ratios
from ..costs.count import count
from ..errors import InputError, nearest, one_of
from ..forward import Example, Forward, call, described, examples_in, leaves, on_threads
from ..graph import Locked, Run, Structure, Width, analyse
from ..graph.joints import counts
from ..graph.verify import trial
from ..shape import Shape
from ..space import DepthChoice, Space, WidthChoice
from ..typed import checked
from .resnet import RATIOS, WHAT, width_candidates
from .terms import layers_of, terms_of

__all__ = ["TracedSpace", "trace"]

GROUPS = 8  # that a search by probes may have; each is a slope to learn


@dataclass(frozen=True, eq=False, kw_only=True)
class TracedSpace(Space):
    """The space of any net that was run once and followed.

    >>> import tas, torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    >>> space = tas.spaces.trace(net, torch.zeros(1, 3, 5, 5), ratios=(0.25, 0.5, 1.0))
    >>> space.model is net, space.locked[0].layer, space.locked[0].reason
    (True, '3', "they are the net's output")

    Attributes:
        model: the net; derived nets are cut from copies of it, and inherit its weights.
        structure: what the trace found.
        locked: layers whose output channels must stay, with the reason.
        fine: of a grouped space, the one with a width for every layer.
        note: what was not counted, in words; empty where all costs are known.
        forward: how the net is called on a batch.
    """

    model: nn.Module
    structure: Structure
    locked: tuple[Locked, ...]
    fine: "TracedSpace | None" = None
    note: str = ""
    forward: Forward = call

    def grouped(self, kinds: bool = False) -> "TracedSpace":
        """This space with one choice for the widths of every resolution; see ``Space.grouped``.

        Where ``kinds`` would leave too many choices, the resolutions alone decide.
        """
        kinds = kinds and len({(c.group, c.kind) for c in self.widths}) <= GROUPS
        joined = super().grouped(kinds)
        assert isinstance(joined, TracedSpace)
        return replace(joined, fine=self.fine or self)

    def within(self, low: float, high: float, depth: float) -> "TracedSpace":
        """As ``Space.within``, with the layers' own choices as well."""
        near = super().within(low, high, depth)
        assert isinstance(near, TracedSpace)
        fine = self.fine.within(low, high, depth) if self.fine else None
        return replace(near, fine=fine)

    def refined(self, width_probs: Tensor) -> "tuple[Space, Tensor]":
        """The fine space and its widths' probabilities [layers, K], from those of a grouped one.

        A layer has the part of its group's log-probabilities that it has of the group's cost: then
        all of them thinned alike are as likely as the group is, and what the coarse choices would
        leave of a budget can go to single layers.
        """
        if self.fine is None or not self.widths:
            return self, width_probs
        group = {key: i for i, choice in enumerate(self.widths) for key in choice.keys}
        shares = [self.share(choice.name) for choice in self.fine.widths]
        total: dict[int, float] = defaultdict(float)
        for choice, share in zip(self.fine.widths, shares, strict=True):
            total[group[choice.name]] += share
        table = torch.full(
            (len(shares), max(len(c.candidates) for c in self.fine.widths)), -torch.inf
        )
        for row, choice, share in zip(table, self.fine.widths, shares, strict=True):
            number = group[choice.name]
            coarse = self.widths[number].candidates
            logs = width_probs[number].clamp_min(1e-30).log() * share / max(total[number], 1e-9)
            for k, own in enumerate(choice.candidates):
                ratio = own / choice.candidates[-1]
                nearest = min(range(len(coarse)), key=lambda i: abs(coarse[i] / coarse[-1] - ratio))
                row[k] = logs[nearest]
        return self.fine, table.softmax(1)


# One image is too little to share: where a core is busy, the others wait for it at every step.
# Measured with other work on one of two cores: a third of the time; on idle ones 5 % more.
@checked
@on_threads(1)
def trace(
    model: nn.Module,
    example: Any,
    *,
    forward: Forward | None = None,
    ignore: Sequence[str] = (),
    only: Sequence[str] = (),
    round_to: int | None = 1,
    ratios: Sequence[float] = RATIOS,
    what: str = "both",
    name: str = "",
) -> TracedSpace:
    """The space of a net: run it once, see what may shrink, and try it out.

    >>> import tas, torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    >>> space = tas.spaces.trace(net, torch.zeros(1, 3, 5, 5), ratios=(0.25, 0.5, 1.0))
    >>> [(choice.name, choice.candidates) for choice in space.widths]
    [('0', (4, 8, 16))]

    Args:
        model: any net; it is left as it was.
        example: a batch that it takes: a tensor; a tuple of positional arguments; or a mapping of
            named ones. The first example is run, or all where tensors are not equally long.
        forward: calls the net on a batch and returns what of its answer counts (its tensors of
            floats keep their channels), as ``lambda net, batch: net(batch["image"])["logits"]``.
            Default: the net is called on the batch as it is, and all counts.
        ignore: paths of modules of which nothing may shrink.
        only: paths of modules; nothing else is searched.
        round_to: candidate widths are multiples of it, where a layer has at least so many channels;
            None: of what hardware is fast with.
        ratios: candidate widths, as ratios of the unpruned ones, at most 1.
        what: ``"width"``, ``"depth"`` or ``"both"``.
        name: what shapes call the net; default: the name of its class. A name that
            ``tas.nets.build`` knows lets ``tas.load`` build the net again.

    Raises:
        InputError: the net does not run on the example or returns no tensor of floats, an option
            cannot be used, or nothing in the net can be searched.
    """
    given = Example.of(example, forward)
    _check(model, given, ignore, only, round_to, ratios, what)
    asked = _Asked(ignore, only, round_to, ratios, what)
    structure = analyse(model, given, ignore)
    if structure.wanted and what != "depth":
        structure = analyse(model, given, ignore, splits=structure.wanted)
    # Where heads cannot go, what they have may shrink: it is seen at once, or once they were tried.
    structure = _with_splits_of(structure.widths, structure, model, given, ignore)
    found = _searched(model, given, structure, asked)
    tried = _with_splits_of(found.widths, structure, model, given, ignore)
    if tried is not structure:
        found = _searched(model, given, tried, asked)
    if not found.widths and not found.runs:
        # Which tells least: last.
        locked = sorted(found.locked, key=lambda entry: "net's output" in entry.reason)
        why = f": {locked[0].layer}: {locked[0].reason}" if locked else ""
        raise InputError(f"nothing can be searched in {name or type(model).__name__}{why}")
    return _space(model, given, found, name)


def _with_splits_of(
    widths: Iterable[Width],
    structure: Structure,
    model: nn.Module,
    given: Example,
    ignore: Sequence[str],
) -> Structure:
    """A structure with those splits alone whose dimension has one of some widths."""
    kept = structure.splits_of({width.name for width in widths})
    return structure if kept == structure.splits else analyse(model, given, ignore, splits=kept)


@dataclass(frozen=True)
class _Asked:
    """What a caller asks to be searched; as in ``trace``."""

    ignore: Sequence[str]
    only: Sequence[str]
    round_to: int | None
    ratios: Sequence[float]
    what: str


@dataclass(frozen=True)
class _Searched:
    """What can be searched of a structure, and what is locked."""

    structure: Structure
    widths: Sequence[Width]
    runs: Sequence[Run]
    candidates: dict[str, tuple[int, ...]]
    locked: Sequence[Locked]


def _searched(model: nn.Module, given: Example, structure: Structure, asked: _Asked) -> _Searched:
    """Try out what may shrink, as far as it is asked for."""
    locked = list(structure.locked)
    widths = [] if asked.what == "depth" else list(structure.widths)
    runs = [] if asked.what == "width" else list(structure.runs)
    runs = [run for run in runs if not any(_under(block, asked.ignore) for block in run.blocks)]
    if asked.only:
        widths = [w for w in widths if any(_under(layer, asked.only) for layer in w.layers)]
        runs = [run for run in runs if _under(run.blocks[0], asked.only)]
    candidates = {w.name: _candidates(w, asked.ratios, asked.round_to) for w in widths}
    for width in widths:
        if len(candidates[width.name]) < 2:
            reason = f"{width.channels} channels are too few for a second candidate"
            locked.append(Locked(width.name, width.channels, reason))
    widths = [w for w in widths if len(candidates[w.name]) > 1]
    atoms = {w.name: [c // w.unit for c in candidates[w.name]] for w in widths}
    verdict = trial(model, replace(structure, runs=tuple(runs)), given, atoms)
    failed = verdict.failed
    structure = replace(structure, rewrites=verdict.rewrites, joints=verdict.joints)
    for joint in verdict.joints:
        for name, own in counts(joint, atoms).items():
            unit = next(w.unit for w in widths if w.name == name)
            candidates[name] = tuple(unit * count for count in own)
    for width in widths:
        if width.name in failed:
            for layer in width.layers:
                locked.append(Locked(layer, width.channels, failed[width.name]))
    locked += [Locked(r.name, 0, failed[r.name]) for r in runs if r.name in failed]
    widths = [w for w in widths if w.name not in failed]
    runs = [r for r in runs if r.name not in failed]
    return _Searched(structure, widths, runs, candidates, locked)


def _check(
    model: nn.Module,
    example: Example,
    ignore: Sequence[str],
    only: Sequence[str],
    round_to: int | None,
    ratios: Sequence[float],
    what: str,
) -> None:
    if what not in WHAT:
        raise InputError(one_of("--what", what, WHAT))
    some_ratios(ratios, most=1)
    if round_to is not None and round_to < 1:
        raise InputError(f"round_to {round_to}: give 1 or more, e.g. 8")
    if not list(leaves(example.batch)):
        raise InputError(
            f"the example is a {type(example.batch).__name__} without a tensor: give a batch that "
            "the net takes, as torch.zeros(1, 3, 224, 224), a tuple of arguments, or a dict of them"
        )
    if examples_in(example.batch) == 0:
        raise InputError(f"the example is an empty batch: {described(example.batch)}")
    modules = [path for path, _ in model.named_modules()]
    for path in (*ignore, *only):
        if path not in modules:
            near = nearest(path, modules)
            parts = ", ".join(name for name, _ in model.named_children())
            hint = f"did you mean '{near}'?" if near else f"its parts are {parts}"
            raise InputError(f"the net has no module '{path}': {hint}")


def _under(path: str, parents: Iterable[str]) -> bool:
    return any(path == parent or path.startswith(f"{parent}.") for parent in parents)


def _candidates(width: Width, ratios: Sequence[float], round_to: int | None) -> tuple[int, ...]:
    """Multiples of what a layer can be cut by; the net's own width is always one of them."""
    full, least = width.channels, width.least * width.unit
    every = {*width_candidates(full, ratios, round_to, width.unit), full}
    return tuple(sorted(channels for channels in every if channels >= least))


def _depth_candidates(run: Run) -> tuple[int, ...]:
    """1, 3, 5 ... and all blocks; 1, 2, 3 where there are three."""
    n = len(run.blocks)
    return tuple(range(run.least, n + 1)) if n <= 3 else (*range(run.least, n, 2), n)


def _space(model: nn.Module, example: Example, found: _Searched, name: str) -> TracedSpace:
    structure, widths = found.structure, found.widths
    choices, units = _choices(found)
    depths = tuple(
        DepthChoice(run.name, _depth_candidates(run), run.blocks, ((),) * len(run.blocks))
        for run in found.runs
    )
    kind = type(model)
    unpruned = Shape(
        net=name or f"{kind.__module__}.{kind.__qualname__}",
        classes=structure.classes,
        input=example.picture,
        residual="tied",
        widths={width.name: width.channels for width in widths},
        depths={run.name: len(run.blocks) for run in found.runs},
        origin="unpruned",
        rewrites=structure.rewrites,
        splits=structure.splits,
    )
    terms = terms_of(structure, {width.name for width in widths}, depths)
    space = TracedSpace(
        unpruned=unpruned,
        widest=unpruned,
        widths=choices,
        depths=depths,
        terms=terms,
        units=units,
        layers=tuple(layers_of(structure, {width.name for width in widths}, depths)),
        areas={width.name: width.area for width in structure.widths},
        model=model,
        structure=structure,
        locked=tuple(found.locked),
        forward=example.forward,
    )
    counted = count(model, example)
    unpruned = unpruned.replace(macs=counted.macs, params=counted.params)
    for what, number in (("macs", counted.macs), ("params", counted.params)):
        if space.cost(unpruned, what) != number:
            raise InputError(
                f"the {what} of {unpruned.net} do not follow from its widths: its layers add up to "
                f"{space.cost(unpruned, what):,}, but {number:,} were counted; what it computes "
                "may depend on its input, or a rule of yours notes other sizes than its counter"
            )
    return replace(space, unpruned=unpruned, widest=unpruned, note=counted.note)


def _choices(found: _Searched) -> tuple[tuple[WidthChoice, ...], dict[str, int]]:
    """One choice for every width, or for all that are joined; and what each can be cut by."""
    by_name = {width.name: width for width in found.widths}
    units = {width.name: width.unit for width in found.widths}
    joints = {name: joint for joint in found.structure.joints for name in joint}
    choices = []
    for name, width in by_name.items():
        keys = joints.get(name, (name,))
        if name != keys[0]:
            continue
        each: tuple[tuple[int, ...], ...] = ()
        if len(keys) > 1:
            each = tuple(found.candidates[key] for key in keys)
            steps = gcd(*(by_name[key].atoms for key in keys))
            units |= {key: by_name[key].channels // steps for key in keys}
        sites = tuple(dict.fromkeys(site for key in keys for site in by_name[key].layers))
        own = found.candidates[name]
        area = f"{width.area} values"
        choices.append(WidthChoice(name, own, keys, sites, area, _kind(width), each))
    return tuple(choices), units


def _kind(width: Width) -> str:
    """A width is of a stream if several layers make it."""
    return "stream" if len(width.layers) > 2 else "inner"
