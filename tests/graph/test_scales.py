"""Attention's scale: where the call leaves it to PyTorch it follows the heads, which then stay."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers import random_shape
from tas.inherit import Source
from tas.methods.paper.masked import MaskedSupernet
from tas.spaces import trace


class Heads(nn.Module):
    """The number of heads stands in the code, and their size is what is left."""

    def __init__(self, scale: float | None, parts: bool = False) -> None:
        super().__init__()
        self.scale, self.parts = scale, parts
        self.patch, self.qkv = nn.Conv2d(3, 12, 2, 2), nn.Linear(12, 3 * 16)
        self.project, self.head = nn.Linear(16, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, 2, -1).permute(2, 0, 3, 1, 4)
        if self.parts:
            weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
            y = weights @ v
        else:
            y = F.scaled_dot_product_attention(query=q, key=k, value=v, scale=self.scale)
        return self.head((x + self.project(y.transpose(1, 2).reshape(n, t, -1))).mean(1))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_scale_in_the_call_frees_the_heads_and_none_locks_them(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 8, 8, dtype=dtype)
    for scale in (8**-0.5, None):
        space = trace(Heads(scale).to(dtype), x)
        names = {choice.name for choice in space.widths}
        reasons = {entry.layer: entry.reason for entry in space.locked}
        assert ("qkv" in names) == (scale is not None)
        assert scale or "attention scaled by the size of its heads" in reasons["qkv"]
        supernet = MaskedSupernet(space).to(dtype).eval()
        for seed in range(3):
            shape = random_shape(space, seed)
            small = Source.of(space).derive(shape).eval()
            torch.testing.assert_close(small(x), supernet(x, supernet.one_hot(shape)))


def test_a_scale_that_the_code_reckons_by_itself_is_found_out_by_the_trial() -> None:
    space = trace(Heads(None, parts=True), torch.randn(1, 3, 8, 8))
    assert {choice.name for choice in space.widths} == {"patch"}
