"""Trials are the same with any number of threads, from the same weights."""

from pathlib import Path

import pytest
import torch

import tas
from helpers import randomise_norms
from tas.methods import TrialOptions


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_do_not_depend_on_the_number_of_threads(precision: str, tmp_path: Path) -> None:
    net = tas.nets.build("resnet20", 10, (3, 8, 8))
    randomise_norms(net)
    batches = [torch.randn(64, 3, 8, 8)]

    def losses(threads: int) -> list[list[float]]:
        out = tas.RunDir.open(tmp_path / str(threads), {"net": "resnet20"})
        options = TrialOptions(trials=6, precision=precision)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            tas.search(net, batches=batches, budget=0.5, options=options, out=out, progress=False)
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        return [line["losses"] for line in out.log_lines]

    assert losses(1) == losses(3)
