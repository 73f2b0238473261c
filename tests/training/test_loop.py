"""Laws of the loop: it continues bit for bit, stops in time, and never chooses by the test set."""

import copy
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from tas import sums
from tas.errors import DivergedError, InputError
from tas.methods.paper.options import PaperOptions
from tas.methods.paper.supernet import Supernet
from tas.methods.paper.task import Paired, Search
from tas.nets import build
from tas.runs import RunDir
from tas.spaces.resnet import resnet_space
from tas.training import Classification, Distillation, fit
from tas.training.loop import _advice
from tiny_training import (
    TinyBatches,
    assert_same_bits,
    state_of,
    tiny_net,
    tiny_options,
)


def run_dir(path: Path) -> RunDir:
    return RunDir.open(path, {"lr": 0.1})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def without_time(lines):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_training_ends_like_an_uninterrupted_one(tmp_path, precision):
    options = tiny_options(precision=precision)
    whole, broken = run_dir(tmp_path / "whole"), run_dir(tmp_path / "broken")
    task = Classification(tiny_net(), options)
    expected = fit(task, TinyBatches(), out=whole, progress=False)

    with pytest.raises(KeyboardInterrupt):
        fit(
            Classification(tiny_net(), options),
            TinyBatches(break_at=(3, 1)),
            out=broken,
            progress=False,
        )
    assert [line["epoch"] for line in broken.log_lines] == [1, 2]
    again = Classification(tiny_net(seed=5), options)  # other weights: all come from the checkpoint
    found = fit(again, TinyBatches(), out=broken, progress=False)

    assert_same_bits(state_of(task.module), state_of(again.module))
    assert without_time(found.epochs) == without_time(expected.epochs)
    assert without_time(broken.log_lines) == without_time(whole.log_lines)
    for start, end in zip(tiny_net().parameters(), again.module.parameters(), strict=True):
        assert not torch.equal(start, end)


@pytest.fixture(scope="module")
def space():
    return resnet_space(build("resnet20", classes=4, input=(3, 8, 8)))


def search(space, seed: int = 0) -> Search:
    torch.manual_seed(seed)
    options = PaperOptions(epochs=2, batch_size=8, precision="fp32")
    return Search(Supernet(space), options, budget=1e5)


def pairs(break_at: tuple[int, int] | None = None) -> Paired:
    return Paired(TinyBatches(batches=2, break_at=break_at), TinyBatches(batches=3, seed=1))


def test_an_interrupted_search_ends_like_an_uninterrupted_one(tmp_path, space):
    task = search(space)
    before = state_of(task.module)
    expected = fit(task, pairs(), seed=3, progress=False)

    out = run_dir(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        fit(search(space), pairs(break_at=(2, 1)), out=out, seed=3, progress=False)
    again = search(space, seed=5)
    found = fit(again, pairs(), out=out, seed=3, progress=False)

    assert_same_bits(state_of(task.module), state_of(again.module))
    assert without_time(found.epochs) == without_time(expected.epochs)
    assert not torch.equal(before["width_logits"], task.module.width_logits)
    assert not torch.equal(before["net.stem.conv.weight"], task.module.net.stem.conv.weight)
    wanted = {"loss", "logit_loss", "accuracy", "expected_cost", "likely_cost", "tau", "entropy"}
    assert wanted <= found.last.keys()


def test_another_seed_draws_another_search(space):
    first, second = search(space), search(space)
    fit(first, pairs(), seed=3, progress=False)
    fit(second, pairs(), seed=4, progress=False)
    assert not torch.equal(first.module.width_logits, second.module.width_logits)


def test_a_finished_phase_is_read_back_and_not_trained(tmp_path):
    out = run_dir(tmp_path / "run")
    task = Classification(tiny_net(), tiny_options())
    expected = fit(task, TinyBatches(), out=out, progress=False)
    again = Classification(tiny_net(seed=5), tiny_options())
    found = fit(again, TinyBatches(break_at=(1, 0)), out=out, progress=False)
    assert found == expected
    assert len(out.log_lines) == 4
    assert_same_bits(state_of(task.module), state_of(again.module))


def test_phases_share_a_directory(tmp_path):
    out = run_dir(tmp_path / "run")
    for phase in ("teacher", "student"):
        fit(
            Classification(tiny_net(), tiny_options(epochs=2)),
            TinyBatches(),
            phase=phase,
            out=out,
            progress=False,
        )
    assert [(line["phase"], line["epoch"]) for line in out.log_lines] == [
        ("teacher", 1),
        ("teacher", 2),
        ("student", 1),
        ("student", 2),
    ]
    assert sorted(p.name for p in (out.path / "checkpoint").iterdir()) == ["student", "teacher"]


def test_a_crash_between_log_and_checkpoint_leaves_no_line_twice(tmp_path):
    out = run_dir(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        fit(
            Classification(tiny_net(), tiny_options()),
            TinyBatches(break_at=(3, 0)),
            out=out,
            progress=False,
        )
    out.log({"phase": "train", "epoch": 3, "loss": 99.0})
    with (out.path / "log.jsonl").open("a") as file:
        file.write('{"phase": "train", "epo')  # the power went
    partial = out.checkpoint("train") / ".partial.123"
    partial.mkdir()
    (partial / "states.pt").write_bytes(b"half")
    del out
    out = run_dir(tmp_path / "run")
    fit(Classification(tiny_net(), tiny_options()), TinyBatches(), out=out, progress=False)
    assert [line["epoch"] for line in out.log_lines] == [1, 2, 3, 4]
    assert 99.0 not in [line["loss"] for line in out.log_lines]
    assert names(out.checkpoint("train")) == ["epoch-0003", "epoch-0004"]


@pytest.mark.parametrize("spoil_at", [(3, 0), (3, 2)])  # its first batch, its last
def test_a_diverged_training_stops_and_keeps_the_last_good_checkpoint(tmp_path, spoil_at):
    out = run_dir(tmp_path / "run")
    task = Classification(tiny_net(), tiny_options())
    with pytest.raises(
        DivergedError, match=r"NaN.* in epoch 3: lower --lr \(0.1\), e.g. to 0.03"
    ) as e:
        fit(task, TinyBatches(spoil_at=spoil_at), out=out, progress=False)
    assert "epoch-0002" in str(e.value)
    assert "\n" not in str(e.value)
    assert names(out.checkpoint("train")) == ["epoch-0001", "epoch-0002"]
    assert [line["epoch"] for line in out.log_lines] == [1, 2]
    fit(Classification(tiny_net(), tiny_options()), TinyBatches(), out=out, progress=False)
    assert len(out.log_lines) == 4
    for states in out.checkpoint("train").glob("*/states.pt"):  # the advice does without them
        states.write_bytes(b"")
    assert _advice(task, out.checkpoint("train")).endswith("with another --out")


def test_weights_that_the_last_step_spoils_are_not_kept(tmp_path):
    class Spoilt(Classification):
        def end_epoch(self):
            with torch.no_grad():
                self.module[0].weight[0, 0, 0, 0] = torch.nan
            return super().end_epoch()

    out = run_dir(tmp_path / "run")
    with pytest.raises(DivergedError, match="a weight became NaN"):
        fit(Spoilt(tiny_net(), tiny_options()), TinyBatches(), out=out, progress=False)
    assert not list(out.path.glob("checkpoint/train/epoch-*"))


def test_held_out_pictures_change_nothing_but_the_log():
    seen, unseen = (Classification(tiny_net(), tiny_options()) for _ in range(2))
    with_test = fit(
        seen, TinyBatches(), evaluate_on=TinyBatches(seed=9), evaluate_every=2, progress=False
    )
    without = fit(unseen, TinyBatches(), progress=False)
    assert_same_bits(state_of(seen.module), state_of(unseen.module))
    assert ["test_accuracy" in line for line in with_test.epochs] == [False, True, False, True]
    assert not any("test_accuracy" in line for line in without.epochs)


def test_a_net_that_was_evaluated_trains_like_any_other():
    fresh, used = tiny_net(), tiny_net().eval()
    for net in (fresh, used):
        fit(Classification(net, tiny_options(epochs=1)), TinyBatches(), progress=False)
    assert_same_bits(state_of(fresh), state_of(used))


def test_the_log_says_what_happened():
    history = fit(
        Classification(tiny_net(), tiny_options(epochs=12)),
        TinyBatches(batches=8),
        phase="teacher",
        evaluate_on=TinyBatches(batches=8),
        progress=False,
    )
    first, last = history.epochs[0], history.last
    assert (first["phase"], first["epoch"], first["epochs"]) == ("teacher", 1, 12)
    assert last["loss"] < first["loss"]
    assert last["accuracy"] > 60  # of four classes
    assert last["test_accuracy"] > 60
    assert 0 < last["lr"] < first["lr"] == 0.1
    assert 0 < history.seconds < 60
    assert json.loads(json.dumps(history.epochs)) == list(history.epochs)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_net_comes_back_plain(precision):
    net = tiny_net()
    dtypes: list[torch.dtype] = []
    hook = net[0].register_forward_hook(
        lambda module, inputs, output: dtypes.append(output.dtype) if module.training else None
    )
    for _ in range(2):  # a second training of the same net is under autocast again
        options = tiny_options(epochs=1, precision=precision)
        fit(Classification(net, options), TinyBatches(), progress=False)
    hook.remove()
    assert len(dtypes) == 6
    assert set(dtypes) == {torch.bfloat16 if precision == "bf16" else torch.float32}

    assert "forward" not in vars(net)
    assert not [name for name in vars(net) if "accelerate" in name or "original" in name]
    images = torch.randn(2, 3, 8, 8)
    net.eval()
    assert net(images).dtype == torch.float32
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(copied(images), net(images))


def test_another_plan_does_not_continue(tmp_path):
    out = run_dir(tmp_path / "run")
    fit(Classification(tiny_net(), tiny_options()), TinyBatches(), out=out, progress=False)
    with pytest.raises(InputError, match="written with epochs 4, not 5"):
        fit(
            Classification(tiny_net(), tiny_options(epochs=5)),
            TinyBatches(),
            out=out,
            progress=False,
        )
    with pytest.raises(InputError, match="written with seed 0, not 1"):
        fit(
            Classification(tiny_net(), tiny_options()),
            TinyBatches(),
            out=out,
            seed=1,
            progress=False,
        )
    with pytest.raises(InputError, match="damaged or of another net"):
        fit(
            Classification(tiny_net(classes=7), tiny_options()),
            TinyBatches(),
            out=out,
            progress=False,
        )


class Evil:
    def __reduce__(self):
        return os.mkdir, ("gotcha",)


def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog):
    whole, broken = run_dir(tmp_path / "whole"), run_dir(tmp_path / "broken")
    expected = Classification(tiny_net(), tiny_options())
    for out in (whole, broken):
        task = Classification(tiny_net(), tiny_options()) if out is broken else expected
        fit(task, TinyBatches(), out=out, progress=False)
    newest = broken.checkpoint("train") / "epoch-0004" / "states.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    again = Classification(tiny_net(seed=5), tiny_options())
    fit(again, TinyBatches(), out=broken, progress=False)
    assert "'states.pt' is damaged): going on from the one before" in caplog.text
    assert_same_bits(state_of(again.module), state_of(expected.module))
    assert without_time(broken.log_lines) == without_time(whole.log_lines)
    for number in (3, 4):
        (broken.checkpoint("train") / f"epoch-000{number}" / "states.pt").unlink()
    with pytest.raises(InputError, match=r"'states.pt' is missing.*there is none before it"):
        fit(again, TinyBatches(), out=broken, progress=False)


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path, caplog):
    out = run_dir(tmp_path / "run")
    expected = Classification(tiny_net(), tiny_options())
    fit(expected, TinyBatches(), out=out, progress=False)
    sums.unseal(out.checkpoint("train") / "epoch-0004")
    again = Classification(tiny_net(seed=5), tiny_options())
    fit(again, TinyBatches(), out=out, progress=False)
    assert_same_bits(state_of(again.module), state_of(expected.module))
    assert "epoch-0004' has no SHA256SUMS" in caplog.text


def test_a_directory_that_is_removed_is_missed(tmp_path):
    class Removing(Classification):
        def end_epoch(self):
            shutil.rmtree(tmp_path / "run")
            return super().end_epoch()

    out = run_dir(tmp_path / "run")
    with pytest.raises(FileNotFoundError):
        fit(Removing(tiny_net(), tiny_options()), TinyBatches(), out=out, progress=False)
    assert not (tmp_path / "run").exists()


def test_code_in_a_checkpoint_is_never_run(tmp_path, monkeypatch):
    out = run_dir(tmp_path / "run")
    fit(Classification(tiny_net(), tiny_options()), TinyBatches(), out=out, progress=False)
    target = out.checkpoint("train") / "epoch-0004" / "states.pt"
    assert target.exists()
    torch.save({"state": Evil()}, target)
    sums.seal(target.parent, ["progress.json", "states.pt"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="damaged"):
        fit(Classification(tiny_net(), tiny_options()), TinyBatches(), out=out, progress=False)
    assert not (tmp_path / "gotcha").exists()


def test_no_batch_is_refused():
    with pytest.raises(InputError, match="lower --batch-size"):
        fit(Classification(tiny_net(), tiny_options()), TinyBatches(batches=0), progress=False)


def test_distillation_continues_too(tmp_path):
    def distil(seed=0):
        return Distillation(tiny_net(seed=seed), tiny_net(seed=7), tiny_options(epochs=3))

    whole, out, again = distil(), run_dir(tmp_path / "run"), distil(seed=5)
    fit(whole, TinyBatches(), progress=False)
    with pytest.raises(KeyboardInterrupt):
        fit(distil(), TinyBatches(break_at=(2, 2)), out=out, progress=False)
    fit(again, TinyBatches(), out=out, progress=False)
    assert_same_bits(state_of(whole.module), state_of(again.module))
