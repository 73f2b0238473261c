"""A net of any task as one file, checked against PyTorch on several sizes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, first_line
from ..forward import Example, Forward, evaluating, examples_in, leaves, mapped
from .check import TOLERANCE, Difference
from .form import exporting, without_traces
from .onnx_file import check_packages, run_onnx, write_graph
from .program_file import read_program
from .tensors import OfTensors, as_many, names_in, tensors_in

__all__ = ["AnyNet"]

Run = Callable[[Sequence[Tensor]], list[Tensor]]
SIZES = (1, 3)  # examples, on which a file is run beside those that were given


@dataclass(frozen=True)
class AnyNet:
    """What a file takes.

    Attributes:
        example: a batch, and how the net is called on it.
        other: another batch, of other sizes: where they differ, the file takes any size.
        counted: the file takes any number of examples, where it can be told what is one.
    """

    example: Example
    other: Example | None = None
    counted: bool = True

    @classmethod
    def of(cls, example: Any, other: Any = None, forward: Forward | None = None) -> "AnyNet":
        """What a caller gave, on the CPU."""
        first, second = (
            Example.of(mapped(batch, lambda x: x.detach().cpu()), forward)
            for batch in (example, other)
        )
        return cls(first, None if other is None else second)

    def tried(self, net: nn.Module) -> "AnyNet":
        """It with its own number of examples alone, if the net does not run on others.

        Raises:
            InputError: the net does not run on the example.
        """
        self._given(self._count).answer(net)
        with suppress(InputError):
            for count in SIZES:
                self._given(count).answer(net)
            return self
        return replace(self, counted=False)

    def write(self, net: nn.Module, to: str, path: Path) -> Run:
        """Write a net that is in evaluation mode, on the CPU; what runs the file.

        Args:
            to: ``"onnx"`` or ``"torch-export"``.

        Raises:
            InputError: a package is missing, or the exporter has no way for the net.
        """
        if to == "onnx":
            check_packages()
        least = 2 if any(self._by_count()) else 1  # of one example, sizes are taken for constants
        given = self._given(max(least, self._count))
        names, tensors = [*tensors_in(given)], [*tensors_in(given).values()]
        made = OfTensors(net, given).eval()
        with exporting("torch.export"), evaluating(made), torch.no_grad():
            outputs = names_in(given.answer(net), "output")
            dims = tuple(dict.fromkeys(free, torch.export.Dim.AUTO) for free in self._free())
            followed = torch.export.export(
                made, tuple(tensors), dynamic_shapes={"given": dims}, strict=False
            )
        if to == "onnx":
            own = [f"{name}_out" if name in names else name for name in outputs]
            write_graph(followed, names, own, path)
            return lambda tensors: run_onnx(path, dict(zip(names, tensors, strict=True)))
        with exporting("torch.export"):
            torch.export.save(without_traces(followed), path)
        program = read_program(path)
        return lambda tensors: [x for _, x in leaves(program(*tensors))]

    def compare(self, run: Run, net: nn.Module) -> Difference:
        """The file beside the net, on the batches and on other numbers of their examples.

        Raises:
            InputError: they differ by more than rounding explains, or it does not run.
        """
        largest, examples = 0.0, 0
        for given in self._batches():
            with evaluating(net), torch.inference_mode():
                wanted = [x for _, x in leaves(given.answer(net))]
            tensors = [*tensors_in(given).values()]
            sizes = [list(x.shape) for x in tensors]
            try:
                with torch.inference_mode():
                    found = run(tensors)
            except Exception as error:  # of each runtime's own classes
                raise InputError(
                    f"the exported net does not run on {sizes}: {first_line(error)}; its code "
                    "takes a size for a constant: nothing was written"
                ) from None
            largest = max(largest, _apart(found, wanted, sizes))
            examples += examples_in(given.batch) or 1
        return Difference(largest, 1.0, examples)

    @property
    def checked_on(self) -> str:
        """On what it is compared, in words."""
        given = "the example" if self.other is None else "the example and other"
        return f"{given}, and 1 and 3 examples" if any(self._by_count()) else given

    def _batches(self) -> list[Example]:
        counts = {self._count}
        if any(self._by_count()):
            counts |= {*SIZES}
        given = [self._given(count) for count in sorted(counts)]
        if self.other is not None:
            given.append(as_many(self.other, examples_in(self.other.batch) or 1))
        return given

    @property
    def _count(self) -> int:
        return examples_in(self.example.batch) or 1

    def _given(self, count: int) -> Example:
        """So many examples, if it can be told what is one."""
        return as_many(self.example, count if examples_in(self.example.batch) else 1)

    def _free(self) -> list[set[int]]:
        """The dimensions of every tensor that may have any size."""
        free = self._by_count()
        if self.other is None:
            return free
        pairs = _beside(self.example, self.other)
        if not pairs:
            raise InputError("other= holds other tensors than example=: give a batch of its kind")
        return [own | _differ(a, b) for own, (a, b) in zip(free, pairs, strict=True)]

    def _by_count(self) -> list[set[int]]:
        """The dimensions of every tensor that say how many examples there are."""
        if self.counted and examples_in(self.example.batch):
            pairs = _beside(as_many(self.example, 2), as_many(self.example, 3))
            if pairs:  # a list of pictures has more tensors
                return [_differ(a, b) for a, b in pairs]
        return [set() for _ in tensors_in(self.example)]


def _beside(one: Example, two: Example) -> list[tuple[Tensor, Tensor]]:
    """The tensors of two batches; none where they hold other ones."""
    mine, others = tensors_in(one), tensors_in(two)
    if mine.keys() != others.keys():
        return []
    pairs = [(x, others[key]) for key, x in mine.items()]
    return pairs if all(a.dim() == b.dim() for a, b in pairs) else []


def _differ(one: Tensor, two: Tensor) -> set[int]:
    return {d for d in range(one.dim()) if one.shape[d] != two.shape[d]}


def _apart(found: Sequence[Tensor], wanted: Sequence[Tensor], given: object) -> float:
    """By how much answers differ at most."""
    sizes = [[list(x.shape) for x in side] for side in (found, wanted)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"the exported net gives {sizes[0]} on {given}, and in PyTorch it gives {sizes[1]}: "
            "nothing was written"
        )
    most = 0.0
    for mine, whole in zip(found, wanted, strict=True):
        apart = (mine.double() - whole.double()).abs().nan_to_num(nan=float("inf"))
        limit = TOLERANCE * float(whole.double().abs().max()) if whole.is_floating_point() else 0.0
        if apart.numel() and not apart.max() <= limit:
            raise InputError(
                f"the exported net differs from PyTorch by {float(apart.max()):.2g} on {given} (at "
                f"most {limit:.2g} is rounding): nothing was written"
            )
        most = max(most, float(apart.max()) if apart.numel() else 0.0)
    return most
