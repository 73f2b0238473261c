"""What a teacher has answered is not asked again, and is what it would answer."""

import pytest
import torch
from torch import Tensor, nn

from tas.training import Answers, Distillation, Imitation, answers, fit
from tiny_training import TinyBatches, assert_same_bits, state_of, tiny_net, tiny_options


class Counted:
    """A teacher that counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.asked += 1
        return images.flatten(1).float().cumsum(1)


@pytest.mark.parametrize("kind", [Distillation, Imitation])
def test_a_net_learns_from_kept_answers_what_it_learns_from_its_teacher(
    kind: type[Distillation],
) -> None:
    known, teacher = Answers(), tiny_net(seed=7)
    options, batches = tiny_options(epochs=2), TinyBatches()
    asked: list[int] = []
    teacher.register_forward_hook(lambda net, given, made: asked.append(len(made)))
    ends, counts = [], []
    for kept in (None, known, known):
        net = tiny_net(seed=1)
        asked.clear()
        fit(kind(net, teacher, options, kept), batches, progress=False)
        ends.append(state_of(net))
        counts.append(len(asked))
    assert_same_bits(ends[0], ends[1])
    assert_same_bits(ends[0], ends[2])
    without, first, again = counts
    assert first <= without
    assert again <= first - len(batches)


def test_other_pictures_are_asked() -> None:
    known, teacher = Answers(), Counted()
    images = torch.rand(2, 3, 4, 4)
    other = images.clone()
    other[1, 2, 3, 3] += 1e-6
    for given in (images, other, images.bfloat16(), images.reshape(2, 3, 16), images[:1]):
        for _ in range(2):
            assert torch.equal(known.of(given, teacher), Counted()(given))
    assert teacher.asked == 5


def test_pictures_are_known_again_however_they_lie_in_memory() -> None:
    known, teacher = Answers(), Counted()
    images = torch.rand(2, 3, 4, 4)
    known.of(images, teacher)
    known.of(images.contiguous(memory_format=torch.channels_last), teacher)
    known.of(torch.rand(2, 3, 4, 8)[..., ::2].copy_(images), teacher)
    assert teacher.asked == 1


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST", 4 * 48 * 2)
    known, teacher = Answers(), Counted()
    pictures = [torch.rand(1, 3, 4, 4) for _ in range(3)]
    for given in 2 * pictures:
        assert torch.equal(known.of(given, teacher), Counted()(given))
    assert teacher.asked == 4


def test_the_devices_pictures_are_not_read() -> None:
    asked: list[torch.device] = []

    def teacher(images: Tensor) -> Tensor:
        asked.append(images.device)
        return nn.functional.avg_pool2d(images, 4)

    known, images = Answers(), torch.rand(1, 3, 4, 4, device="meta")
    for _ in range(2):
        known.of(images, teacher)
    assert len(asked) == 2
