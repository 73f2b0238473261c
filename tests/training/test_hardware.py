"""Devices and precisions: what is not there is refused by name."""

import pytest
import torch

from tas.errors import InputError
from tas.training import accelerator, pick_precision
from tas.training.norms import synchronise


def test_precisions_may_change_within_a_process():
    for precision, mixed in (("bf16", "bf16"), ("fp32", "no"), ("bf16", "bf16")):
        found = accelerator("cpu", precision)
        assert found.mixed_precision == mixed
        assert found.device == torch.device("cpu")
        assert (found.process_index, found.num_processes) == (0, 1)


def test_automatic_precision_is_one_of_the_two():
    assert pick_precision("auto", torch.device("cpu")) in ("fp32", "bf16")
    assert pick_precision("bf16", torch.device("cpu")) == "bf16"
    with pytest.raises(InputError, match="did you mean 'fp32'"):
        pick_precision("fp23", torch.device("cpu"))


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(InputError, match=f"unknown device '{device}'.*choose from auto, cpu, cuda"):
        accelerator(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_device_is_refused(device):
    with pytest.raises(InputError, match=f"--device {device}: PyTorch finds no CUDA devices here"):
        accelerator(device)


def test_processes_that_were_launched_and_are_not_connected_are_refused(monkeypatch):
    """Each would do the whole work by itself."""
    monkeypatch.setattr("tas.processes.launched", lambda: 4)
    with pytest.raises(InputError, match=r"4 processes were launched .* start them with torchrun"):
        accelerator("cpu")


def test_a_norm_of_its_own_kind_cannot_be_synchronised():
    class Own(torch.nn.BatchNorm2d):
        pass

    net = torch.nn.Sequential(torch.nn.BatchNorm2d(2), Own(2))
    with pytest.raises(InputError, match="--sync-norms: '1' is a Own"):
        synchronise(net, torch.device("cpu"))
    assert type(net[0]) is torch.nn.BatchNorm2d
