"""A run says with how many threads it was begun, and warns where it goes on with others."""

from pathlib import Path

import pytest
import torch

from pictures_on_disk import folder
from tas.api import train_run
from tas.api.session import Run
from tas.runs import ModelConfig


def test_a_run_that_goes_on_with_other_threads_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = str(folder(tmp_path / "data")), tmp_path / "run"

    def begin() -> None:
        def stop(run: Run) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_run(data=data, net="resnet20", batch_size=8, out=str(out), guard=stop)

    begin()
    begin()
    config = ModelConfig.beside(out)
    assert config is not None
    assert config.provenance == {"threads": torch.get_num_threads()}
    assert "threads" not in capsys.readouterr().err
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    begin()
    assert "was begun with 1 threads and goes on with 64" in capsys.readouterr().err
