"""Laws of the tasks: learning rate, teacher, and steps that never wait for the device."""

import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tas.errors import InputError
from tas.methods.paper.options import PaperOptions
from tas.methods.paper.supernet import Supernet
from tas.methods.paper.task import Paired, Search
from tas.nets import build
from tas.runs import RunDir
from tas.spaces.resnet import resnet_space
from tas.training import Classification, Distillation, evaluate, fit
from tas.training.hardware import accelerator
from tas.training.rate import learning_rate
from tiny_training import TinyBatches, assert_same_bits, state_of, tiny_net, tiny_options


def test_the_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate(step, 100, 10, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx([0.01 * (i + 1) for i in range(10)])
    assert rates[10] == 0.1 == max(rates)
    assert rates[55] == pytest.approx(0.05)
    assert rates[100] == pytest.approx(0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(0, 100, 0, 0.1) == 0.1
    assert learning_rate(99, 100, 100, 0.1) == 0.1  # all of it is warm-up


def test_one_epoch_equals_a_loop_written_by_hand():
    net, options = tiny_net(), tiny_options(epochs=1, warmup_epochs=0, label_smoothing=0.1)
    net[3] = nn.Identity()  # the loop seeds the dropout
    expected = state_of(net)
    task = Classification(net, options)
    history = fit(task, TinyBatches(), progress=False)

    by_hand = tiny_net()
    by_hand[3] = nn.Identity()
    assert_same_bits(expected, state_of(by_hand))
    sgd = torch.optim.SGD(by_hand.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    losses = []
    for step, (images, labels) in enumerate(TinyBatches()):
        sgd.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / 3))
        loss = loss_of(by_hand(images), labels)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    for name, value in state_of(by_hand).items():
        torch.testing.assert_close(task.module.state_dict()[name], value)
    assert history.last["loss"] == pytest.approx(sum(losses) / 3, rel=1e-5)


def test_the_mean_of_the_weights_is_what_is_tested_and_kept(tmp_path):
    seen: list[dict[str, torch.Tensor]] = []

    class Watched(Classification):
        def step(self, batch, step):
            done = super().step(batch, step)
            seen.append(state_of(self.module))
            return done

    def trained(task, out=None, **break_at):
        return fit(
            task,
            TinyBatches(**break_at),
            out=RunDir.open(out, {}) if out else None,
            evaluate_on=TinyBatches(seed=9),
            progress=False,
        )

    options = tiny_options(epochs=2, ema=0.9)
    task = Watched(tiny_net(), options)
    history = trained(task)
    expected = seen[0]
    for step, state in enumerate(seen[1:], start=1):
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in state.items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(task.module.state_dict()[name], value)
    assert not torch.equal(task.module.state_dict()["6.weight"], seen[-1]["6.weight"])
    found = evaluate(task.module, TinyBatches(seed=9), precision="fp32")
    assert found["loss"] == pytest.approx(history.last["test_loss"])

    with pytest.raises(KeyboardInterrupt):
        trained(Classification(tiny_net(), options), tmp_path, break_at=(2, 1))
    again = Classification(tiny_net(seed=5), options)
    trained(again, tmp_path)
    assert_same_bits(state_of(again.module), state_of(task.module))


def test_long_gradients_are_shortened_and_short_ones_left_alone():
    def moved(clip_norm):  # by one step of plain SGD
        net = tiny_net()
        net[3] = nn.Identity()
        before = [p.detach().clone() for p in net.parameters()]
        options = tiny_options(
            epochs=1, lr=1.0, momentum=0.0, nesterov=False, weight_decay=0.0, clip_norm=clip_norm
        )
        fit(Classification(net, options), TinyBatches(batches=1), progress=False)
        pairs = zip(net.parameters(), before, strict=True)
        return torch.cat([(after - b).flatten() for after, b in pairs]).detach()

    whole = moved(0.0)
    length = float(whole.norm())
    torch.testing.assert_close(moved(0.25 * length), 0.25 * whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(moved(2 * length), whole)


@pytest.mark.parametrize(
    ("travel", "highest"), [(0.0, 0.1), (100.0, 0.1), (1.6, 0.05), (0.1, 0.025)]
)
def test_a_training_that_may_not_go_far_has_a_lower_rate(travel, highest):
    options = tiny_options(epochs=4, lr=0.1, travel=travel)
    history = fit(Classification(tiny_net(), options), TinyBatches(batches=8), progress=False)
    assert history.epochs[0]["lr"] == pytest.approx(highest)  # after the warm-up


@pytest.mark.parametrize("pieces", [2, 3, 100])
def test_a_batch_in_pieces_is_one_batch(pieces):
    whole, cut = tiny_net(), tiny_net()
    for net, accumulate in ((whole, 1), (cut, pieces)):
        net[1], net[3] = nn.GroupNorm(1, 8), nn.Identity()
        options = tiny_options(epochs=1, accumulate=accumulate)
        fit(Classification(net, options), TinyBatches(), progress=False)
    for name, value in state_of(whole).items():
        torch.testing.assert_close(cut.state_dict()[name], value)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_teacher_is_asked_and_left_alone(precision):
    student, teacher = tiny_net(), tiny_net(seed=7)
    before = state_of(teacher)
    seen = []

    def note(module, inputs, output):
        if len(inputs[0]) > 2:  # not where it is asked what it bears
            asked = torch.is_inference_mode_enabled(), teacher.training
            seen.append((*asked, output.dtype, inputs[0].stride()))

    teacher[0].register_forward_hook(note)
    student_seen = []
    student[0].register_forward_hook(
        lambda module, inputs, output: (
            student_seen.append((output.dtype, inputs[0].stride())) if len(inputs[0]) > 2 else None
        )
    )
    fit(
        Distillation(student, teacher, tiny_options(epochs=1, precision=precision)),
        TinyBatches(),
        progress=False,
    )
    assert len(seen) == len(student_seen) == 3
    for (inference, training, *same), expected in zip(seen, student_seen, strict=True):
        assert inference
        assert not training
        assert tuple(same) == expected
    for net in (student, teacher):
        assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert_same_bits(before, state_of(teacher))
    assert all(p.grad is None for p in teacher.parameters())


def test_distillation_without_weight_on_the_teacher_is_classification():
    options = tiny_options(kd_alpha=0.0, label_smoothing=0.1)
    plain = Classification(tiny_net(), options)
    taught = Distillation(tiny_net(), tiny_net(seed=7), options)
    for task in (plain, taught):
        fit(task, TinyBatches(), progress=False)
    for name, value in state_of(plain.module).items():
        torch.testing.assert_close(taught.module.state_dict()[name], value)


def test_a_student_follows_its_teacher_whatever_the_labels_say():
    torch.manual_seed(1)
    images = torch.randn(64, 3, 8, 8)
    teacher = tiny_net(seed=7).eval()
    with torch.no_grad():
        teacher[-1].weight.mul_(8)  # a teacher of firm opinions
        opinion = teacher(images).argmax(1)
    student = tiny_net(seed=1)
    student[3] = nn.Identity()
    batches = TinyBatches(batches=8)
    batches.images = images  # the labels have nothing to do with them
    options = tiny_options(epochs=40, kd_alpha=1.0, kd_temperature=1.0)
    fit(Distillation(student, teacher, options), batches, progress=False)
    student.eval()
    agreed = (student(images).argmax(1) == opinion).float().mean()
    by_label = (student(images).argmax(1) == batches.labels).float().mean()
    assert agreed > 0.85 > 0.6 > by_label


def test_a_teacher_of_other_classes_is_refused():
    task = Distillation(tiny_net(), tiny_net(classes=7), tiny_options())
    with pytest.raises(InputError, match="the teacher knows 7 classes, the student 4"):
        fit(task, TinyBatches(), progress=False)


class Reads(TorchDispatchMode):
    """Counts what makes the host wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            self.count += 1
        return func(*args, **(kwargs or {}))


def small_search(bilevel: bool = True) -> Search:
    space = resnet_space(build("resnet20", classes=4, input=(3, 8, 8)))
    options = PaperOptions(epochs=1, batch_size=8, bilevel=bilevel)
    return Search(Supernet(space), options, budget=1e5)


@pytest.mark.parametrize("kind", ["classification", "distillation", "search", "one pass"])
def test_a_step_reads_nothing_from_the_device(kind):
    batches = TinyBatches()
    task, batch = {
        "classification": lambda: (Classification(tiny_net(), tiny_options()), next(iter(batches))),
        "distillation": lambda: (
            Distillation(tiny_net(), tiny_net(), tiny_options()),
            next(iter(batches)),
        ),
        "search": lambda: (small_search(), next(iter(Paired(batches, batches)))),
        "one pass": lambda: (small_search(bilevel=False), next(iter(batches))),
    }[kind]()
    task.start(accelerator("cpu", "fp32"), 10, 0)
    if isinstance(task, Search):  # Adam counts its steps in tensors of the host, and reads those
        task.logit_optimizer.step = lambda: None
    task.step(batch, 0)  # the first one finds out what the net bears
    with Reads() as reads:
        pictures, figures = task.step(batch, 1)
        assert reads.count == 0
        figures["loss"].item()
        assert reads.count == 1  # the counter works
    assert pictures == 8
    assert all(f.ndim == 0 and not f.requires_grad for f in figures.values())
    task.stop()


def test_a_pair_is_as_long_as_its_shorter_half():
    first, second = TinyBatches(batches=2), TinyBatches(batches=3, seed=1)
    both = Paired(first, second)
    both.set_epoch(5)
    assert first.epoch == second.epoch == 5
    found = list(both)
    assert len(both) == len(found) == 2
    for ((images, _), (others, _)), (a, _), (b, _) in zip(found, first, second, strict=False):
        assert torch.equal(images, a)
        assert torch.equal(others, b)
