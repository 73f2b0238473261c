"""Recurrent nets of PyTorch's own: one width for all layers, directions and gates."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from exactly import check
from torch import Tensor, nn

from tas.inherit import Source


class Recurrent(nn.Module):
    def __init__(self, inner: nn.Module, width: int) -> None:
        super().__init__()
        self.before, self.inner = nn.Conv2d(3, 8, 3, 2, 1), inner
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x).flatten(2).transpose(1, 2)
        return self.head(self.inner(y)[0][:, -1])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"bias": False}])
def test_recurrent_nets(kind: Any, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    width = 6 * (1 + bool(options.get("bidirectional")))
    space = check(Recurrent(kind(8, 6, batch_first=True, **options), width))
    names: Sequence[str] = [choice.name for choice in space.widths]
    assert names == ["before", "inner"]
    small = Source.of(space).derive(space.shape([0, 0], []))
    assert small.inner.hidden_size == small.inner.weight_hh_l0.shape[1] < 6
    assert small.inner.input_size == small.before.out_channels < 8
    assert all(
        a is b for a, b in zip(small.inner._flat_weights, small.inner.parameters(), strict=True)
    )


def test_a_state_that_is_handed_on_by_hand() -> None:
    class Cells(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            state = None
            for step in self.before(x).flatten(2).unbind(2)[:4]:
                state = self.inner(step, state)
            return self.head(state[0] if isinstance(state, tuple) else state)

    for kind in (nn.LSTMCell, nn.GRUCell, nn.RNNCell):
        names = [choice.name for choice in check(Cells(kind(8, 6), 6)).widths]
        assert names == ["before", "inner"]


def test_sequences_of_their_own_lengths() -> None:
    class Packed(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            y = self.before(x).flatten(2).transpose(1, 2)
            lengths = torch.arange(len(x)) + 3
            rows = nn.utils.rnn.pack_padded_sequence(y, lengths, True, enforce_sorted=False)
            out, _ = nn.utils.rnn.pad_packed_sequence(self.inner(rows)[0], batch_first=True)
            return self.head(out.sum(1))

    names = [choice.name for choice in check(Packed(nn.LSTM(8, 6, batch_first=True), 6)).widths]
    assert names == ["before", "inner"]


def test_inference_mode_in_the_code_of_a_net() -> None:
    class Inferring(Recurrent):
        def forward(self, x: Tensor) -> Tensor:
            with torch.inference_mode(not self.training):
                return super().forward(x)

    names = [choice.name for choice in check(Inferring(nn.GRU(8, 6, batch_first=True), 6)).widths]
    assert names == ["before", "inner"]
