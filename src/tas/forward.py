"""Running somebody else's net: on what, how, and with the names of the modules that run.

A batch is whatever a net takes: a tensor, a tuple of positional arguments, a mapping of named ones.
What the net returns may hold tensors in tuples, lists, mappings and dataclasses, at any depth.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves

from .errors import InputError, TasError, first_line

__all__ = [
    "Batches",
    "Example",
    "Forward",
    "answer",
    "call",
    "call_batch",
    "cycled",
    "described",
    "device_of",
    "evaluating",
    "example_for",
    "examples_in",
    "first_of",
    "floats",
    "inputs_of",
    "leaves",
    "mapped",
    "measuring",
    "modes_kept",
    "moving_norms",
    "naming",
    "on_threads",
    "training",
    "undisturbed",
]

Forward = Callable[[nn.Module, Any], Any]  # calls a net on a batch; what it returns counts
Batches = Annotated[
    Iterable[Any], "batches, such as torch.utils.data.DataLoader(dataset, batch_size=64)"
]


def call(net: nn.Module, inputs: Any) -> Any:
    """A net's answer: a tuple holds positional arguments, a mapping named ones, else it is one."""
    if isinstance(inputs, Mapping):
        return net(**inputs)
    if isinstance(inputs, tuple):
        return net(*inputs)
    return net(inputs)


def call_batch(net: nn.Module, batch: Any) -> Any:
    """``call`` on the inputs of a batch as a ``DataLoader`` gives it."""
    return call(net, inputs_of(batch))


def inputs_of(batch: Any) -> Any:
    """What a net is given of a batch: the first of two, inputs and targets; the only one; all.

    >>> from tas.forward import inputs_of
    >>> inputs_of(["pictures", "labels"]), inputs_of(("pictures",)), inputs_of({"x": 1})
    ('pictures', 'pictures', {'x': 1})
    """
    if not isinstance(batch, (tuple, list)):
        return batch
    if len(batch) not in (1, 2):
        raise InputError(
            f"a batch is a {type(batch).__name__} of {len(batch)}, and which of them the net takes "
            "is not known: say how it is called, such as forward=lambda net, batch: net(batch[0])"
        )
    return batch[0]


@dataclass(frozen=True, eq=False)
class Example:
    """A batch and how a net is called on it.

    >>> import torch
    >>> from tas.forward import Example
    >>> example = Example({"input": torch.zeros(2, 3)})
    >>> example(torch.nn.Linear(3, 4)).shape, example.first()(torch.nn.Linear(3, 4)).shape
    (torch.Size([2, 4]), torch.Size([1, 4]))
    """

    batch: Any
    forward: Forward = call

    @classmethod
    def of(cls, given: Any, forward: Forward | None = None) -> "Example":
        """What a caller gave, which may be one already."""
        return given if isinstance(given, Example) else cls(given, forward or call)

    def __call__(self, net: nn.Module) -> Any:
        return self.forward(net, self.batch)

    def answer(self, net: nn.Module) -> Any:
        """What a net gives, or an ``InputError`` that says why it does not run."""
        return answer(net, self.batch, self.forward)

    def first(self) -> "Example":
        """The first example alone, where it can be told."""
        return replace(self, batch=first_of(self.batch))

    def noise(self) -> "Example":
        """Random numbers where a tensor of floats tells nothing, being one number throughout."""
        plain, draws = isinstance(self.batch, Tensor), Generator().manual_seed(0)

        def drawn(x: Tensor) -> Tensor:
            flat = x.numel() > 1 and bool((x == x.flatten()[0]).all())
            if x.is_floating_point() and (plain or flat):
                return torch.randn(x.shape, generator=draws).to(x)
            return x

        return replace(self, batch=mapped(self.batch, drawn))

    def pair(self) -> "Example":
        """Two examples, for norms that need more than one in training; else what was given."""
        x = self.batch
        if not isinstance(x, Tensor) or not x.dim() or len(x) > 1:
            return self
        return replace(self, batch=torch.cat([x, -x if x.is_floating_point() else x]))

    def to(self, dtype: torch.dtype) -> "Example":
        """With its floats of another type."""
        change = lambda x: x.to(dtype) if x.is_floating_point() else x  # noqa: E731
        return replace(self, batch=mapped(self.batch, change))

    @property
    def dtypes(self) -> set[torch.dtype]:
        """The types of its floats."""
        return {x.dtype for _, x in leaves(self.batch) if x.is_floating_point()}

    @property
    def picture(self) -> tuple[int, int, int] | None:
        """Channels, height and width, where it is plain pictures [N, C, H, W] that a net takes."""
        x = self.batch
        if self.forward is call and isinstance(x, Tensor) and x.dim() == 4:
            return x.shape[1], x.shape[2], x.shape[3]
        return None


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A batch with its tensors changed; mappings become plain dictionaries."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(part, change) for part in value))
    if isinstance(value, (tuple, list)):
        return type(value)(mapped(part, change) for part in value)
    return value


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in a batch or an answer, with the way to each, as ``out['boxes'][0]``.

    >>> import torch
    >>> from tas.forward import leaves
    >>> [name for name, _ in leaves({"boxes": [torch.zeros(2, 4)], "kind": "box"})]
    ["['boxes'][0]"]
    """
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, f"{name}[{key!r}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from leaves(getattr(value, each.name), f"{name}.{each.name}")
    elif isinstance(value, (tuple, list)):
        for number, part in enumerate(value):
            yield from leaves(part, f"{name}[{number}]")
    else:  # what a library has registered with PyTorch
        found = [part for part in tree_leaves(value) if isinstance(part, Tensor)]
        yield from ((f"{name}({number})", part) for number, part in enumerate(found))


def floats(value: Any) -> list[Tensor]:
    """The tensors of floats in an answer; where gradients are off, without any of the net's own."""
    found = [x for _, x in leaves(value) if x.is_floating_point()]
    return found if torch.is_grad_enabled() else [x.detach() for x in found]


def examples_in(batch: Any) -> int | None:
    """How many examples a batch holds: the length that all its tensors and lists share, or None.

    >>> import torch
    >>> from tas.forward import examples_in
    >>> examples_in([torch.zeros(8, 3, 4, 4), torch.zeros(8)])  # as a ``DataLoader`` collates them
    8
    >>> examples_in([torch.zeros(3, 4, 4), torch.zeros(3, 6, 4)])  # as detectors take pictures
    2

    A batch that is a list holds one thing for each argument or target where these are equally long
    and no pictures [C, H, W]; else, and within a batch, a list holds one thing for each example.
    """
    sizes = set(_lengths(tuple(batch) if _is_collated(batch) else batch))
    return sizes.pop() if len(sizes) == 1 else None


def _is_collated(batch: Any) -> bool:
    """Whether a batch is a list of parts, not of examples."""
    if not isinstance(batch, list):
        return False
    pictures = all(isinstance(x, Tensor) and x.dim() == 3 and len(x) in (1, 3) for x in batch)
    return not pictures and len(set(_lengths(tuple(batch)))) == 1


def _lengths(batch: Any) -> Iterator[int]:
    if isinstance(batch, Tensor):
        if batch.dim():
            yield len(batch)
    elif isinstance(batch, list):
        yield len(batch)
    elif isinstance(batch, (tuple, Mapping)):
        for part in batch.values() if isinstance(batch, Mapping) else batch:
            yield from _lengths(part)


def first_of(batch: Any, count: int = 1) -> Any:
    """The first examples of a batch, or the batch where its examples cannot be told apart.

    >>> import torch
    >>> from tas.forward import first_of
    >>> batch = first_of({"ids": torch.zeros(8, 16), "mask": torch.ones(8, 16), "scale": 0.5})
    >>> batch["ids"].shape, batch["scale"]
    (torch.Size([1, 16]), 0.5)
    """
    return _taken(batch, lambda part: part[:count])


def cycled(batch: Any, count: int) -> Any:
    """So many examples, those of a batch over and over; the batch where they cannot be told."""
    which = [i % n for i in range(count)] if (n := examples_in(batch)) else []
    take = lambda part: part[which] if isinstance(part, Tensor) else [part[i] for i in which]  # noqa: E731
    return _taken(batch, take)


def _taken(batch: Any, take: Callable[[Any], Any]) -> Any:
    """A batch of some of its examples, which are taken from each of its tensors and lists."""

    def of(part: Any) -> Any:
        if isinstance(part, list) or (isinstance(part, Tensor) and part.dim()):
            return take(part)
        if isinstance(part, Mapping):
            return {key: of(each) for key, each in part.items()}
        if isinstance(part, tuple):
            parts = [of(each) for each in part]
            return type(part)(*parts) if hasattr(part, "_fields") else tuple(parts)
        return part

    if examples_in(batch) is None:
        return batch
    return [of(part) for part in batch] if _is_collated(batch) else of(batch)


def device_of(net: nn.Module) -> torch.device:
    """Where a net's parameters are, the first of them; the CPU of a net without any."""
    return next((p.device for p in net.parameters()), torch.device("cpu"))


def example_for(net: nn.Module, input: tuple[int, int, int]) -> Tensor:
    """A black picture [1, C, H, W] such as a net takes: on its device, of its parameters' type."""
    tensors = (*net.parameters(), *net.buffers())
    first = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    return torch.zeros(1, *input, device=first.device, dtype=first.dtype)


def answer(net: nn.Module, inputs: Any, forward: Forward = call) -> Any:
    """What a net gives for a batch.

    Raises:
        InputError: it does not run on it.
    """
    try:
        return forward(net, inputs)
    except TasError:  # of a rule or a counter: it says itself what is wrong
        raise
    except Exception as error:  # whatever the user's code may raise
        raise InputError(
            f"the net does not run on {described(inputs)}: {first_line(error)}"
        ) from error


def described(inputs: Any) -> str:
    """What a net was given, for an error."""
    if isinstance(inputs, Tensor) and inputs.dim() == 4:
        return f"images of {list(inputs.shape[1:])}"
    sizes = [f"{name or 'a tensor'} {list(x.shape)}" for name, x in leaves(inputs)]
    more = [f"{len(sizes) - 4} more"] if len(sizes) > 4 else []
    return f"the example ({', '.join([*sizes[:4], *more]) or type(inputs).__name__})"


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while, then each module as it was.

    Multi-head attention then computes by its parts, as it does in training, and not by one fused
    operator whose parts nobody sees.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with modes_kept(net):
            net.eval()
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def training(net: nn.Module) -> Iterator[None]:
    """Training mode for a while; then each module, buffer and the random numbers as they were."""
    with undisturbed(net), modes_kept(net):
        net.train()
        yield


@contextmanager
def undisturbed(net: nn.Module) -> Iterator[None]:
    """Buffers, and the random numbers of the CPU and of the net's device, are afterwards as they
    were."""
    before = [(buffer, buffer.clone()) for buffer in net.buffers()]
    device = device_of(net)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in before:
                    buffer.copy_(value)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """PyTorch computes on so many threads inside, and afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def moving_norms(net: nn.Module) -> list[_BatchNorm]:
    """The BatchNorms whose statistics a training moves: all but those that are frozen, in
    evaluation mode within a net in training mode."""
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.training or not net.training]


def measuring(net: nn.Module) -> list[_BatchNorm]:
    """Have those norms measure what they are given when the net is used, without dropout and the
    like: all else is in evaluation mode from now on. Returns the norms."""
    norms = moving_norms(net)
    net.eval()
    for norm in norms:
        norm.train()
    return norms


@contextmanager
def modes_kept(net: nn.Module) -> Iterator[None]:
    """Each module is afterwards in the mode in which it was."""
    before = [(module, module.training) for module in net.modules()]
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


@contextmanager
def naming(net: nn.Module, path: list[str]) -> Iterator[None]:
    """Keeps the path of the innermost running module at the end of ``path``."""
    handles = []
    for name, module in net.named_modules():
        if name:
            handles += [
                module.register_forward_pre_hook(lambda m, x, name=name: path.append(name)),
                module.register_forward_hook(lambda m, x, y: path.pop() and None, always_call=True),
            ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
