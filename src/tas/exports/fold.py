"""BatchNorms folded into the convolutions before them, where that is exact.

In evaluation a BatchNorm is a product and a sum per channel, as a convolution can do by itself. It
is folded where it is all that reads a convolution, as one run tells; and the net that comes out is
kept only if it equals the net that went in, in double precision.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ..forward import Example, evaluating, floats, leaves

__all__ = ["Folded", "folded"]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
TOLERANCE = 1e-9  # of the largest score, in double precision


@dataclass(frozen=True)
class Folded:
    """A net without the BatchNorms that could be folded.

    Attributes:
        net: a copy in evaluation mode, on the CPU.
        folded, norms: how many BatchNorms were folded, and of how many.
    """

    net: nn.Module
    folded: int
    norms: int


def folded(net: nn.Module, input: tuple[int, ...] | Example) -> Folded:
    """A copy of a net with as many BatchNorms folded as is exact.

    Args:
        input: of one picture, [C, H, W]; or what a net takes that takes something else.
    """
    plain = copy.deepcopy(net).to("cpu").eval()
    norms = sum(isinstance(module, _BatchNorm) for module in plain.modules())
    tensors = [*plain.parameters(), *plain.buffers()]
    kinds = {t.dtype for t in tensors if t.is_floating_point()}
    if not norms or kinds != {torch.float32}:
        return Folded(plain, 0, norms)
    exact = copy.deepcopy(plain).double()
    example = input.first() if isinstance(input, Example) else Example(torch.zeros(2, *input))
    example = example.noise().to(torch.float64)
    try:
        with torch.no_grad(), evaluating(exact):
            wanted = floats(example(exact))
            pairs = _pairs(exact, example)
            for conv, norm in pairs:
                _fold(exact, conv, norm)
            found = floats(example(exact))
        same = all(_equal(a, b) for a, b in zip(found, wanted, strict=True))
    except Exception:  # whatever the user's code may raise, in double precision alone
        return Folded(plain, 0, norms)
    return Folded(exact.float().eval(), len(pairs), norms) if same else Folded(plain, 0, norms)


def _equal(found: Tensor, wanted: Tensor) -> bool:
    return bool((found - wanted).abs().max() <= TOLERANCE * wanted.abs().max())


def _fold(net: nn.Module, conv: str, norm: str) -> None:
    first, second = net.get_submodule(conv), net.get_submodule(norm)
    assert isinstance(second, _BatchNorm)
    made = fuse_conv_bn_eval(first, second)  # type: ignore[type-var]
    net.set_submodule(conv, made)
    net.set_submodule(norm, nn.Identity())


def _pairs(net: nn.Module, example: Example) -> list[tuple[str, str]]:
    """Convolutions and the BatchNorms that alone read them, by their paths."""
    paths: dict[nn.Module, list[str]] = {}
    for path, module in net.named_modules(remove_duplicate=False):
        paths.setdefault(module, []).append(path)
    watch = _Watch()
    with watch, watch.hooks(net):
        out = example(net)
    answered = {id(x) for _, x in leaves(out)}
    pairs = []
    for norm, tensor in watch.read_by.items():
        conv = watch.made_by.get(id(tensor))
        if conv is None or watch.uses[id(tensor)] or id(tensor) in answered:
            continue
        once = all(
            watch.calls[id(m)] == 1 and len(paths[m]) == 1 and not _has_extras(m)
            for m in (conv, norm)
        )
        if once and not any(_shares(m, net) for m in (conv, norm)):
            pairs.append((paths[conv][0], paths[norm][0]))
    return pairs


def _has_extras(module: nn.Module) -> bool:
    """Hooks of the user's, or weights that are computed: more than a plain layer."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        getattr(module, "parametrizations", None),
    )
    return any(hooks)


def _shares(module: nn.Module, net: nn.Module) -> bool:
    """Whether another module has a parameter of this one."""
    own = {id(p) for p in module.parameters()}
    others = (m for m in net.modules() if m is not module)
    return any(id(p) in own for m in others for p in m._parameters.values() if p is not None)


class _Watch(TorchFunctionMode):
    """What reads the outputs of convolutions while a net runs."""

    def __init__(self) -> None:
        super().__init__()
        self.keep: list[Any] = []  # so that no identity is used twice
        self.made_by: dict[int, nn.Module] = {}  # tensor -> convolution
        self.read_by: dict[nn.Module, Tensor] = {}  # BatchNorm -> tensor
        self.uses: Counter[int] = Counter()  # of a tensor, outside of BatchNorms
        self.calls: Counter[int] = Counter()  # of a module
        self.inside = 0  # a BatchNorm looks at its input in several ways

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not self.inside:
            for each in tree_leaves((args, kwargs or {})):
                if isinstance(each, Tensor):
                    self.uses[id(each)] += 1
        return func(*args, **(kwargs or {}))

    @contextmanager
    def hooks(self, net: nn.Module) -> Iterator[None]:
        handles: list[Any] = []
        for module in net.modules():
            if type(module) in CONVOLUTIONS:
                if not _has_extras(module):
                    handles.append(module.register_forward_hook(self._made))
            elif type(module) in NORMS and module.track_running_stats and not _has_extras(module):
                handles.append(module.register_forward_pre_hook(self._enter))
                handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _made(self, module: nn.Module, given: Any, made: Tensor) -> None:
        self.calls[id(module)] += 1
        self.keep.append(made)
        self.uses[id(made)] = 0  # what was counted is of one that is gone
        self.made_by[id(made)] = module

    def _enter(self, module: nn.Module, given: Any) -> None:
        self.inside += 1
        self.calls[id(module)] += 1
        self.read_by[module] = given[0]

    def _leave(self, module: nn.Module, given: Any, made: Tensor) -> None:
        self.inside -= 1
