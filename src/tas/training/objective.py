"""What nets are compared by: how they are called, how far answers are apart, how good a net is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError, one_of
from ..forward import Forward, call_batch, evaluating, leaves, mapped
from ..typed import checked
from ..usable import check_floats, check_values

__all__ = [
    "Distance",
    "Objective",
    "check_answer",
    "distance",
    "distance_told",
    "distil",
    "divergence",
    "squared_error",
]

TEMPERATURE = 4.0
NAMED = ("kl", "mse")  # distances

# Of a net's answer from the whole net's: a function that gives one number, or the name of one.
Distance = Callable[[Any, Any], Tensor] | Literal["kl", "mse"]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a search compares nets by.

    >>> import torch
    >>> from tas.training import Objective
    >>> objective = Objective(forward=lambda net, batch: net(batch["wave"]))
    >>> net, batch = torch.nn.Conv1d(1, 4, 3), {"wave": torch.randn(2, 1, 16)}
    >>> answer = objective.forward(net, batch)
    >>> objective.apart(answer, answer)
    0.0

    Attributes:
        forward: calls a net on a batch; what it returns counts. Default: a net is given the first
            of a pair (inputs and targets), a mapping as named arguments, or else the batch itself.
        distance: of a net's answer from the whole net's. Default: ``tas.training.distance``;
            ``"kl"`` and ``"mse"`` are its two parts; with ``"kl"`` all classes of pixels count
            alike (``class_divergence``).
        score: of a net, higher is better; None: it is judged by the distance of its answers.
        train: trains a net for a short time, in place; None: nets are judged untrained.
    """

    forward: Forward = call_batch
    distance: Distance | None = None
    score: Callable[[nn.Module], float] | None = None
    train: Callable[[nn.Module], None] | None = None

    def apart(self, own: Any, whole: Any) -> float:
        """The distance of two answers, as a number."""
        apart = _chosen(self.distance, of_scores=class_divergence)
        return float(_one_number(apart(own, whole)).detach())

    @torch.no_grad()
    def mean_apart(
        self, net: nn.Module, whole: nn.Module, batches: Iterable[Any], device: torch.device
    ) -> float:
        """The mean distance of a net's answers to some batches from the whole net's, both in
        evaluation mode on the device."""
        parts = []
        with evaluating(net), evaluating(whole):
            for batch in batches:
                placed = mapped(batch, lambda x: x.to(device))
                parts.append(self.apart(self.forward(net, placed), self.forward(whole, placed)))
        return sum(parts) / len(parts)

    def scored(self, net: nn.Module) -> float:
        """A net's score.

        Raises:
            InputError: it is no number.
        """
        assert self.score is not None
        with torch.no_grad():
            found: Any = self.score(net)
        if isinstance(found, Tensor) and found.numel() == 1:
            found = float(found)
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise InputError(
                f"score= returns {_what(found)}: it must return one number, the higher the better"
            )
        return float(found)


def distance(own: Any, whole: Any, temperature: float = TEMPERATURE) -> Tensor:
    """How far an answer is from the whole net's.

    >>> import torch
    >>> from tas.training import distance
    >>> scores, boxes = torch.tensor([[2.0, 1.0]]), {"box": torch.tensor([[0.0, 1.0, 2.0, 3.0]])}
    >>> float(distance(scores, scores)), float(distance(boxes, boxes))
    (0.0, 0.0)

    One tensor [N, C] is taken for the scores of C classes, compared by ``divergence``. Anything
    else is compared by ``squared_error``.

    Raises:
        InputError: the answers hold other tensors, or none of floats.
    """
    pairs = _pairs(own, whole)
    mine, wanted = pairs[0]
    if len(pairs) == 1 and isinstance(own, Tensor) and wanted.dim() == 2 and wanted.shape[1] > 1:
        return divergence(mine.float(), wanted.float(), temperature)
    return squared_error(own, whole)


def squared_error(own: Any, whole: Any) -> Tensor:
    """The squared error of each tensor of floats, in units of its variance in the whole net's
    answer, on average over the tensors.

    >>> import torch
    >>> from tas.training import squared_error
    >>> float(squared_error(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, -1.0]])))
    1.0

    Raises:
        InputError: the answers hold other tensors, or none of floats.
    """
    errors = []
    for mine, wanted in _pairs(own, whole):
        error = (mine.float() - wanted.float()).square().mean()
        errors.append(error / wanted.float().var(correction=0).clamp_min(1e-12))
    return torch.stack(errors).mean()


def divergence(own: Tensor, whole: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """T^2 KL(whole_T || own_T) of class scores [N, classes, ...], before the softmax, T softened;
    the mean over examples, and over pixels or the like where there are any.

    >>> import torch
    >>> from tas.training import divergence
    >>> scores = torch.tensor([[2.0, 1.0]])
    >>> float(divergence(scores + 3, scores)) < 1e-6  # only differences of scores count
    True
    """
    soft = _divergences(own, whole, temperature).sum()
    return temperature**2 * soft * own.shape[1] / own.numel()


def class_divergence(own: Tensor, whole: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """``divergence``, on average over the classes that the whole net gives to pixels or the like,
    whatever part of them each class has; of scores [N, classes] the mean over examples.

    >>> import torch
    >>> from tas.training.objective import class_divergence, divergence
    >>> whole = torch.tensor([[[9.0, 9.0, 9.0, 0.0], [0.0, 0.0, 0.0, 9.0]]])  # [1, 2, 4]
    >>> sky = whole.clone()
    >>> sky[..., 3] = sky[..., 0]  # the one pixel of the rare class is wrong
    >>> ratio = class_divergence(sky, whole) / divergence(sky, whole)
    >>> round(float(ratio), 3)  # half of the classes, a quarter of the pixels
    2.0
    """
    if own.dim() == 2:
        return divergence(own, whole, temperature)
    apart, of = _divergences(own, whole, temperature).sum(1).flatten(), whole.argmax(1).flatten()
    ends = of.bincount().cumsum(0)[:-1].cpu()
    classes = torch.tensor_split(apart[of.argsort(stable=True)], ends)
    return temperature**2 * torch.stack([each.mean() for each in classes if len(each)]).mean()


def _divergences(own: Tensor, whole: Tensor, temperature: float) -> Tensor:
    """[N, classes, ...]: the parts of what ``divergence`` adds up, without T^2."""
    own, whole = (F.log_softmax(scores / temperature, 1) for scores in (own, whole))
    return F.kl_div(own, whole, reduction="none", log_target=True)


@checked
def distil(
    student: nn.Module,
    teacher: nn.Module,
    *,
    forward: Forward = call_batch,
    distance: Distance | None = None,
    weight: float = 1.0,
    temperature: float = TEMPERATURE,
) -> Callable[..., Tensor]:
    """A loss for a training loop of your own: how far a student's answers are from its teacher's.

    >>> import tas, torch
    >>> teacher, student = torch.nn.Linear(8, 3), torch.nn.Linear(8, 3)
    >>> taught = tas.distil(student, teacher)
    >>> x, y = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    >>> answer = student(x)
    >>> loss = torch.nn.functional.cross_entropy(answer, y) + taught(x, answer)
    >>> loss.backward()

    Called with a batch and, if it is there, with what the student has answered, lest it is run
    again. The teacher is run in evaluation mode and gets no gradients.

    Args:
        student, teacher: on the device of the batches.
        forward, distance: as those of ``Objective``. Without a distance, targets say what answers
            are: floats [N, C] values (``"mse"``), whole numbers [N, ...] beside answers
            [N, C, ...] classes (``"kl"``).
        weight: the loss is multiplied by it.
        temperature: of class scores; see ``divergence``.

    Raises:
        InputError: the teacher cannot be run.
    """
    check_values(teacher, "teacher")

    def loss(batch: Any, answer: Any = None) -> Tensor:
        own = forward(student, batch) if answer is None else answer
        apart = _chosen(distance or distance_told(batch, own), temperature)
        with evaluating(teacher), torch.no_grad():
            wanted = forward(teacher, batch)
        return weight * _one_number(apart(own, wanted))

    return loss


def distance_told(batch: Any, answer: Any) -> Literal["kl", "mse"] | None:
    """The distance of an answer that the targets of a batch tell, where its shape alone would
    tell another one.

    An answer [N, C] holds values where targets are floats of its shape, and no probabilities; and
    an answer [N, C, ...] holds class scores where targets [N, ...] are whole numbers.
    """
    targets = batch[1] if isinstance(batch, (tuple, list)) and len(batch) == 2 else None
    if not isinstance(targets, Tensor) or not isinstance(answer, Tensor):
        return None
    if answer.dim() < 2 or answer.shape[1] < 2:
        return None
    if targets.dtype == torch.long:
        dense = answer.dim() > 2 and targets.shape == answer[:, 0].shape
        last = targets.shape == answer.shape[:-1]  # it may be [N, T, C], of T = C tokens
        return "kl" if dense and not last else None
    if not targets.is_floating_point() or targets.shape != answer.shape or answer.dim() != 2:
        return None
    shares = (targets >= 0).all() & ((targets.sum(1) - 1).abs() < 1e-3).all()
    return None if bool(shares) else "mse"


_default = distance  # which arguments of the same name hide


def _chosen(
    given: Distance | None,
    temperature: float = TEMPERATURE,
    of_scores: Callable[[Tensor, Tensor, float], Tensor] = divergence,
) -> Callable[[Any, Any], Tensor]:
    """The function that is meant.

    Args:
        of_scores: what ``"kl"`` measures each tensor by.
    """
    if given is None:
        return partial(_default, temperature=temperature)
    if given == "mse":
        return squared_error
    if given == "kl":
        return partial(_of_scores, measure=of_scores, temperature=temperature)
    if isinstance(given, str):
        raise InputError(f"{one_of('distance', given, NAMED)}, or give a function")
    return given


def _of_scores(
    own: Any, whole: Any, measure: Callable[[Tensor, Tensor, float], Tensor], temperature: float
) -> Tensor:
    """A divergence of what can be scores; the mean over the tensors."""
    parts = []
    for mine, wanted in _pairs(own, whole):
        if wanted.dim() < 2 or wanted.shape[1] < 2:
            raise InputError(
                f"distance='kl' is for class scores [N, classes, ...], and the net returns "
                f"{_what(wanted)}: give 'mse', or a function"
            )
        parts.append(measure(mine.float(), wanted.float(), temperature))
    return torch.stack(parts).mean()


def _one_number(found: Any) -> Tensor:
    """What a distance returned.

    Raises:
        InputError: it is not one number.
    """
    if isinstance(found, (int, float)):
        return torch.tensor(float(found))
    if not isinstance(found, Tensor) or found.numel() != 1:
        raise InputError(
            f"distance= returns {_what(found)}: it must return one number for a batch, such as "
            "(own - whole).square().mean()"
        )
    return found.reshape(())


def check_answer(answer: Any, first: Any) -> None:
    """Raise ``InputError`` where a whole net's answer cannot be compared with, or is of another
    kind than that to the first batch."""
    if _kind(answer) != _kind(first):
        raise InputError(
            f"the answer to one batch is {_told(answer)}, and to the first one {_told(first)}: "
            "return by forward= the same tensors for every batch"
        )
    check_floats(answer)
    for name, x in leaves(answer):
        if x.is_floating_point() and not x.isfinite().all():
            raise InputError(
                f"the net's answer{name} is not finite: give a net that was trained and batches as "
                "it was trained on"
            )


def _pairs(own: Any, whole: Any) -> list[tuple[Tensor, Tensor]]:
    """The tensors of floats of two answers, one beside the other."""
    mine = [(name, x) for name, x in leaves(own) if x.is_floating_point()]
    wanted = [(name, x) for name, x in leaves(whole) if x.is_floating_point()]
    sizes = [[(name, list(x.shape)) for name, x in side] for side in (mine, wanted)]
    if not mine or sizes[0] != sizes[1]:
        told = ["; ".join(f"{name or 'a tensor'} {size}" for name, size in s) for s in sizes]
        raise InputError(
            f"two nets' answers to one batch hold other tensors ({told[0] or 'none'}, and "
            f"{told[1] or 'none'}): return by forward= what has one size whatever the net finds, "
            "such as scores before boxes are chosen by them"
        )
    return [(a, b) for (_, a), (_, b) in zip(mine, wanted, strict=True)]


def _kind(answer: Any) -> list[tuple[str, int, int]]:
    """What is the same for answers to all batches: tensors, their dimensions, classes of scores."""
    found = ((name, x) for name, x in leaves(answer) if x.is_floating_point())
    return [(name, x.dim(), x.shape[1] if x.dim() == 2 else 0) for name, x in found]


def _told(answer: Any) -> str:
    sizes = [f"{name or 'a tensor'} {list(x.shape)}" for name, x in leaves(answer)]
    return "; ".join(sizes[:4]) or _what(answer)


def _what(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    return f"a {type(value).__name__}"
