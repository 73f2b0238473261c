"""Every test starts from the same random state, on one thread: for nets and pictures as small as
these a pool of threads costs more than it computes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # of the processes that tests start
        yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def _short_times() -> Iterator[None]:
    """The milliseconds of a result come from a few rounds of PyTorch; see report/test_times.py."""
    from tas.api import times

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "SECONDS", 0.0)
        patch.setattr(times, "SESSIONS", 1)
        patch.setattr(times, "has_onnx", lambda: False)
        yield
