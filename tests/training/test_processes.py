"""Two processes learn what one learns from the same global batch, and continue like one."""

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from torch import Tensor, nn

from tas.nets import ConvNorm, build
from tas.spaces.resnet import resnet_space
from tas.supernet import Supernet
from tas.training import Classification, Paired, RunDir, Search, SearchOptions, fit
from tiny_training import TinyBatches, state_of, tiny_net, tiny_options


def trained(path: Path, rank: int = 0, world: int = 1) -> dict[str, dict[str, Tensor]]:
    """The state of a net and of a supernet after two epochs, on this process's part of the data.

    Without batch norms, whose statistics are a process's own, and dropout.
    """
    net = tiny_net()
    net[1], net[3] = nn.GroupNorm(1, 8), nn.Identity()
    share = {"rank": rank, "world": world}
    options = tiny_options(epochs=2, batch_size=8)
    out = RunDir.open(path, {})
    try:  # broken off and continued
        fit(Classification(net, options), TinyBatches(break_at=(2, 1), **share), out=out)
    except KeyboardInterrupt:
        fit(Classification(net, options), TinyBatches(**share), out=out)

    torch.manual_seed(0)
    supernet = Supernet(resnet_space(build("resnet20", classes=4, input=(3, 8, 8))))
    for module in supernet.net.modules():
        if isinstance(module, ConvNorm):
            module.norm = nn.GroupNorm(1, module.conv.out_channels)
    search = Search(supernet, SearchOptions(epochs=2, lr=0.01, precision="fp32"), budget=1e5)
    pairs = Paired(TinyBatches(**share), TinyBatches(seed=1, **share))
    fit(search, pairs, out=out, device="cpu", seed=3)
    return {"net": state_of(net), "supernet": state_of(supernet)}


def work(rank: int, world: int, port: int, path: Path) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    torch.set_num_threads(1)
    states = trained(path / "two", rank, world)
    torch.save(states, path / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")
def test_two_processes_learn_what_one_learns(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(work, (2, port, tmp_path), nprocs=2)
    expected = trained(tmp_path / "one")
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    for kind, state in expected.items():
        for name, value in state.items():
            torch.testing.assert_close(first[kind][name], value, rtol=1e-3, atol=1e-5)
            assert torch.equal(first[kind][name], second[kind][name]), name
    one, two = RunDir.open(tmp_path / "one", {}), RunDir.open(tmp_path / "two", {})
    assert len(one.log_lines) == len(two.log_lines) == 4
    for a, b in zip(one.log_lines, two.log_lines, strict=True):
        assert a["phase"] == b["phase"]
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-4)
