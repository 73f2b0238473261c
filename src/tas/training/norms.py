"""BatchNorms whose statistics are those of the pictures of all processes.

PyTorch's ``SyncBatchNorm`` runs on GPUs alone; on the CPU stands the same in a few lines. A norm
stays the object that it is (its hooks, parameters and buffers) and changes its class for the time
of a training.
"""

from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import InputError

__all__ = ["separate", "synchronise"]

_PLAIN: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def synchronise(module: nn.Module, device: torch.device) -> dict[nn.Module, type[nn.Module]]:
    """Have the BatchNorms of a module measure the global batch; what each was, for ``separate``.

    Every process is to have the same number of pictures in every batch.

    Raises:
        InputError: a norm is of a class of its own, which cannot be changed.
    """
    before: dict[nn.Module, type[nn.Module]] = {}
    for name, norm in module.named_modules():
        if type(norm) in _PLAIN:
            before[norm] = type(norm)
        elif isinstance(norm, _PLAIN):
            raise InputError(
                f"--sync-norms: '{name}' is a {type(norm).__name__}, and only PyTorch's own "
                "BatchNorms can be synchronised: leave the option out"
            )
    for norm in before:
        norm.__dict__["process_group"] = None  # that of all
        norm.__class__ = nn.SyncBatchNorm if device.type == "cuda" else _HostSyncBatchNorm
    return before


def separate(before: dict[nn.Module, type[nn.Module]]) -> None:
    """Take back what ``synchronise`` did."""
    for norm, kind in before.items():
        norm.__class__ = kind
        del norm.__dict__["process_group"]


class _Sum(torch.autograd.Function):
    """The sum over the processes; every process's gradient is the sum of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad)


class _HostSyncBatchNorm(_BatchNorm):
    """The same on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.functional.batch_norm(
                x,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=self.running_mean is None,  # as the plain norm: of this process alone
                eps=self.eps,
            )
        wide = x if x.dtype == torch.float64 else x.float()
        dims = [d for d in range(x.dim()) if d != 1]
        own = torch.cat(torch.var_mean(wide, dims, correction=0))  # [2 C]
        # Each process fills its own row of the sum: a variance cannot be computed from means alone.
        world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
        rows = own * torch.eye(world, dtype=own.dtype)[rank][:, None]  # [processes, 2 C]
        table: Tensor = _Sum.apply(rows)
        variances, means = table.chunk(2, 1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._remember(mean.detach(), variance.detach(), world * x.numel() // x.shape[1])
        columns = (-1, *[1] * (x.dim() - 2))
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        shifted = (wide - mean.view(columns)) * scale.view(columns)
        if self.bias is not None:
            shifted = shifted + self.bias.view(columns)
        return shifted.to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        unbiased = variance * count / max(count - 1, 1)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
