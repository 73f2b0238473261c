"""Evaluation agrees with a count by hand and leaves the net as it found it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tas.training import evaluate, recompute_norm_statistics
from tiny_training import TinyBatches, assert_same_bits, state_of, tiny_net


@pytest.mark.parametrize("training", [True, False])
def test_accuracy_and_loss_are_means_over_pictures(training):
    net = tiny_net().train(training)
    batches = TinyBatches(batches=3, size=8)
    batches.images, batches.labels = batches.images[:20], batches.labels[:20]  # a last one of 4
    before = state_of(net)
    found = evaluate(net, batches, device="cpu", precision="fp32")
    assert net.training == training
    assert_same_bits(before, state_of(net))
    net.eval()
    with torch.no_grad():
        logits = net(batches.images)
    correct = (logits.argmax(1) == batches.labels).sum().item()
    assert found["accuracy"] == pytest.approx(100 * correct / 20)
    assert found["loss"] == pytest.approx(F.cross_entropy(logits, batches.labels).item(), rel=1e-5)


def test_bf16_is_computed_in_bf16():
    net, dtypes = tiny_net(), []
    net[0].register_forward_hook(lambda module, inputs, output: dtypes.append(output.dtype))
    evaluate(net, TinyBatches(), device="cpu", precision="bf16")
    assert dtypes[-3:] == [torch.bfloat16] * 3  # before, it was asked what it bears


def test_norm_statistics_are_those_of_the_data():
    net, batches = nn.Sequential(nn.BatchNorm2d(3)), TinyBatches()
    net[0].running_mean.fill_(99)
    recompute_norm_statistics(net, batches, device="cpu", precision="fp32")
    expected = batches.images.mean((0, 2, 3))
    torch.testing.assert_close(net[0].running_mean, expected)
    assert net[0].momentum == 0.1
