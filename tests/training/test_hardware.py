"""Devices and precisions: what is not there is refused by name."""

import pytest
import torch
from torch import nn

from tas.errors import InputError
from tas.training import accelerator, pick_precision, place
from tas.training.norms import separate, synchronise
from tas.training.preparing import prepare, release


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


@pytest.mark.parametrize("tracking", [True, False])
def test_a_synchronised_norm_is_tested_as_a_plain_one(tracking):
    norm = nn.BatchNorm2d(3, track_running_stats=tracking).eval()
    x = torch.randn(4, 3, 2, 2)
    expected = norm(x)
    before = synchronise(norm, torch.device("cpu"))
    assert torch.equal(norm(x), expected)
    separate(before)
    assert type(norm) is nn.BatchNorm2d


@pytest.mark.parametrize(
    ("kernel", "stride", "side", "padding"),
    [(3, 2, 1, 1), (7, 2, 1, 3), (3, 4, 2, 1), (3, 2, 1, 2), (1, 2, 1, 0), (3, 2, 5, 1)],
)
def test_bf16_gradients_of_strides_beyond_the_picture_are_those_of_fp32(
    kernel, stride, side, padding
):
    torch.manual_seed(0)
    conv = nn.Conv2d(32, 64, kernel, stride, padding)
    images = torch.randn(64, 32, side, side)
    found = {}
    for precision in ("fp32", "bf16"):
        where = accelerator("cpu", precision)
        net = nn.Sequential(conv)
        prepared = prepare(where, net)
        for _ in range(3):  # what stands in memory is another each time
            torch.full((conv.weight.numel() * 4,), 1e30, dtype=torch.bfloat16)
            net.zero_grad()
            output = prepared(place(images, where.device))
            output.float().square().sum().backward()
            found.setdefault(precision, []).append((output.float(), conv.weight.grad.clone()))
        release(where, net)
    assert "forward" not in vars(conv)
    for output, gradient in found["bf16"]:
        expected, true = found["fp32"][0]
        torch.testing.assert_close(output, expected, rtol=0.05, atol=0.05)
        assert (gradient - true).norm() < 0.02 * true.norm()
