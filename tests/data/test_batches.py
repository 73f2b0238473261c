"""Batches: every picture once, the same on every run and among any number of processes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pictures_on_disk import folder
from tas.data import Augment, Batches, Data, Files, Images, Transform, batches, load
from tas.errors import DataError, InputError

N, SIZE = 50, 16


def pictures(count: int = N, channels: int = 3, height: int = SIZE, width: int = SIZE) -> Data:
    """Random pictures; the label of each is its number."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, channels, height, width), generator=generator)
    part = Images(pixels.to(torch.uint8), torch.arange(count))
    names = tuple(str(i) for i in range(count))
    mean, std = (0.2, 0.4, 0.6)[:channels], (0.25, 0.3, 0.35)[:channels]
    transform = Transform.of_size("grey" if channels == 1 else "rgb", (height, width), mean, std)
    return Data("p", names, transform, part, part, flip=True)


def cut(
    data: Data,
    batch_size: int = 8,
    augment: Augment | None = None,
    shuffle: bool = True,
    seed: int = 0,
    epoch: int = 0,
    drop_last: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Batches:
    made = batches(
        data,
        data.train,
        batch_size,
        augment=augment,
        device="cpu",
        seed=seed,
        shuffle=shuffle,
        drop_last=drop_last,
        workers=0,
        rank=rank,
        world=world,
    )
    made.set_epoch(epoch)
    return made


def whole(made: Batches) -> tuple[Tensor, Tensor]:
    """All of an epoch: images [N, C, H, W] and labels [N]."""
    images, labels = zip(*made, strict=True)
    return torch.cat(images), torch.cat(labels)


def raw(data: Data) -> Tensor:
    assert isinstance(data.train, Images)
    return data.train.pixels


def denormalised(data: Data, images: Tensor) -> Tensor:
    """Back to uint8 [N, C, H, W]."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
    return ((images * std + mean) * 255).round().to(torch.uint8)


@pytest.mark.parametrize("given", [{"padding": -1}, {"jitter": -0.1}, {"jitter": float("nan")}])
def test_pictures_cannot_be_varied_by_less_than_nothing(given: dict[str, float]) -> None:
    ((name, value),) = given.items()
    with pytest.raises(InputError, match=f"--{name} {value}: give 0 "):
        Augment(**given)  # type: ignore[arg-type]


def test_workers_and_seeds_are_checked() -> None:
    data = pictures()
    with pytest.raises(InputError, match="--workers -1: give 0 or more"):
        batches(data, data.test, 8, augment=None, device="cpu", shuffle=False, workers=-1)
    with pytest.raises(InputError, match="--workers -1: give 0 or more"):
        load("digits", workers=-1)
    with pytest.raises(InputError, match="--seed -1: give a whole number"):
        cut(data, seed=-1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 36 pictures, 30 x 26 pixels."""
    return folder(tmp_path_factory.mktemp("pictures"), each=12, size=(30, 26))


@pytest.fixture(scope="module")
def on_disk(root: Path) -> Data:
    """Its pictures, as if they were large ones, and left on disk."""
    return load(root, in_memory=False, vary="zoom")


@pytest.fixture(scope="module")
def large(root: Path) -> Data:
    """The same in memory."""
    return load(root, in_memory=True, vary="zoom")


@pytest.fixture(scope="module", params=["memory", "disk", "large"])
def data(request: pytest.FixtureRequest, on_disk: Data, large: Data) -> Data:
    """What holds of pictures in memory holds of those on disk, and of those that zoom."""
    if request.param == "memory":
        return pictures()
    of = on_disk if request.param == "disk" else large
    return replace(of, train=replace(of.train, labels=torch.arange(len(of.train))))


# Order


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 7, 36, 1000])
def test_every_picture_comes_once(data: Data, shuffle: bool, batch_size: int) -> None:
    made = cut(data, batch_size, shuffle=shuffle)
    labels = [labels for _, labels in made]
    count = len(data.train)
    assert len(labels) == len(made) == -(-count // batch_size)
    assert made.examples == count
    assert all(len(each) == batch_size for each in labels[:-1])
    everything = torch.cat(labels)
    assert torch.equal(everything.sort().values, torch.arange(count))
    assert torch.equal(everything, torch.arange(count)) is not shuffle


def test_images_are_float_and_labels_int(data: Data) -> None:
    images, labels = next(iter(cut(data, 8)))
    assert images.shape == (8, *data.input)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64


def test_drop_last_leaves_whole_batches(data: Data) -> None:
    made = cut(data, 8, drop_last=True)
    assert [len(labels) for _, labels in made] == [8] * len(made)
    assert made.examples == 8 * len(made) == len(data.train) // 8 * 8


def test_an_epoch_repeats_and_the_next_differs(data: Data) -> None:
    made = cut(data, 8, Augment())
    first, again = whole(made), whole(made)
    made.set_epoch(1)
    second = whole(made)
    made.set_epoch(0)
    back = whole(made)
    other = whole(cut(data, 8, Augment(), seed=1))
    for repeat in (again, back, whole(cut(data, 8, Augment()))):
        assert torch.equal(first[0], repeat[0])
        assert torch.equal(first[1], repeat[1])
    assert not torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])


def test_the_augmentation_of_an_epoch_does_not_repeat_in_the_next(data: Data) -> None:
    first, second = (whole(cut(data, 8, Augment(), shuffle=False, epoch=i))[0] for i in (0, 1))
    assert not torch.equal(first, second)


def test_a_pass_can_be_left_early(data: Data) -> None:
    made = cut(data, 8, Augment())
    for _ in made:
        break
    assert torch.equal(whole(made)[0], whole(cut(data, 8, Augment()))[0])


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_what_one_would_see(data: Data, world: int) -> None:
    one = list(cut(data, 8, Augment(), epoch=3))
    shares = [
        list(cut(data, 8, Augment(), epoch=3, rank=rank, world=world)) for rank in range(world)
    ]
    assert all(len(share) == len(one) for share in shares)
    assert all(len(labels) == 8 // world for share in shares for _, labels in share[:-1])
    for batch, *parts in zip(one, *shares, strict=True):
        assert torch.equal(torch.cat([images for images, _ in parts if len(images)]), batch[0])
        assert torch.equal(torch.cat([labels for _, labels in parts]), batch[1])


def test_the_random_numbers_of_the_program_are_left_alone(data: Data) -> None:
    before = torch.get_rng_state()
    whole(cut(data, 8, Augment()))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_size_that_does_not_fit_is_refused(data: Data) -> None:
    count = len(data.train)
    with pytest.raises(InputError, match=f"batch size 1000 is more than the {count} pictures"):
        cut(data, 1000, drop_last=True)
    with pytest.raises(InputError, match=r"batch size 9 .* 2 process.* multiple of 2"):
        cut(data, 9, drop_last=True, world=2)
    assert len(cut(data, 9, world=2)) == -(-count // 9)  # to measure, shares may differ
    with pytest.raises(InputError, match="batch size 0"):
        cut(data, 0)


# In memory: normalise, pad, crop, mirror


def test_pixels_are_normalised_per_channel() -> None:
    data = pictures()
    images, _ = whole(cut(data, shuffle=False))
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
    torch.testing.assert_close(images, (raw(data) / 255 - mean) / std)


def test_the_digits_come_with_mean_0_and_deviation_1() -> None:
    images, _ = whole(cut(load("digits"), 256))
    assert images.mean().abs() < 1e-3
    assert (images.std() - 1).abs() < 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_every_crop_and_mirror_occurs_and_nothing_else(channels: int) -> None:
    one = pictures(1, channels, height=6, width=9)
    count = 3000
    part = Images(raw(one).expand(count, -1, -1, -1), torch.zeros(count, dtype=torch.int64))
    data = replace(one, train=part)
    seen = denormalised(data, whole(cut(data, 100, Augment(padding=1)))[0])
    padded = F.pad(raw(one)[0], (1,) * 4)  # black before it is normalised
    counts = []
    for top in range(3):
        for left in range(3):
            crop = padded[:, top : top + 6, left : left + 9]
            for expected in (crop, crop.flip(-1)):
                counts.append(int((seen == expected).flatten(1).all(1).sum()))
    assert sum(counts) == count
    assert min(counts) > 0.6 * count / 18
    assert max(counts) < 1.5 * count / 18


@pytest.mark.parametrize(("size", "padding"), [(32, 4), (8, 1)])
def test_the_padding_is_an_eighth(size: int, padding: int) -> None:
    data = pictures(200, height=size, width=size)
    both = [
        whole(cut(data, 50, Augment(padding=given), shuffle=False))[0] for given in (None, padding)
    ]
    assert torch.equal(*both)
    assert not torch.equal(both[0], whole(cut(data, 50, Augment(padding=0), shuffle=False))[0])


def test_what_must_not_be_mirrored_is_not() -> None:
    data = pictures()
    plain = whole(cut(data, shuffle=False))[0]

    def mirrored(of: Data, flip: bool | None) -> int:
        images = whole(cut(of, augment=Augment(padding=0, flip=flip), shuffle=False))[0]
        return int((images != plain).flatten(1).any(1).sum())

    assert 10 < mirrored(data, None) < 40
    assert mirrored(data, False) == 0
    assert mirrored(replace(data, flip=False), None) == 0
    assert 10 < mirrored(replace(data, flip=False), True) < 40


def test_the_augmentation_of_a_picture_does_not_depend_on_the_batch_size() -> None:
    data = pictures()
    assert torch.equal(*(whole(cut(data, size, Augment()))[0] for size in (3, 10)))


def test_taking_pictures_keeps_their_order() -> None:
    part = pictures().train
    taken = part.take(torch.tensor([5, 2, 9]))
    assert isinstance(part, Images)
    assert isinstance(taken, Images)
    assert taken.labels.tolist() == [5, 2, 9]
    assert torch.equal(taken.pixels, part.pixels[[5, 2, 9]])
    assert len(taken) == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_sees_what_the_cpu_sees() -> None:
    data = pictures()
    options = {"augment": Augment(), "shuffle": True}
    host, device = (batches(data, data.train, 8, device=d, **options) for d in ("cpu", "cuda"))  # type: ignore[arg-type]
    for expected, seen in zip(host, device, strict=True):
        assert seen[0].is_cuda
        torch.testing.assert_close(seen[0].cpu(), expected[0])
        assert torch.equal(seen[1].cpu(), expected[1])


# On disk: worker processes


def test_workers_change_nothing(on_disk: Data) -> None:
    def made(workers: int) -> Batches:
        options = {"augment": Augment(), "device": "cpu", "shuffle": True}
        return batches(on_disk, on_disk.train, 8, workers=workers, **options)  # type: ignore[arg-type]

    none, two = made(0), made(2)
    for epoch in range(2):
        none.set_epoch(epoch)
        two.set_epoch(epoch)
        expected, seen = whole(none), whole(two)
        assert torch.equal(expected[0], seen[0])
        assert torch.equal(expected[1], seen[1])


def test_evaluation_shows_what_the_transform_makes_of_a_file(on_disk: Data) -> None:
    assert isinstance(on_disk.train, Files)
    images, labels = whole(cut(on_disk, shuffle=False))
    pixels = torch.stack([on_disk.transform.read(path) for path in on_disk.train.paths])
    assert torch.equal(images, on_disk.transform.normalise(pixels))
    assert torch.equal(labels, on_disk.train.labels)


def test_training_pictures_are_varied(on_disk: Data) -> None:
    plain = whole(cut(on_disk, shuffle=False))[0]
    varied = whole(cut(on_disk, augment=Augment(), shuffle=False))[0]
    assert (plain != varied).flatten(1).any(1).all()


def test_a_broken_picture_shrinks_its_batch_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = load(folder(tmp_path, each=12), in_memory=False)
    broken = tmp_path / "train" / "one" / "0.png"
    broken.write_text("a text")
    made = cut(data, 12, shuffle=False)
    assert [len(labels) for _, labels in made] == [12, 11, 12]
    assert f"1: {broken} (not a picture)" in caplog.text
    caplog.clear()
    assert sum(len(labels) for _, labels in made) == 35
    assert caplog.text == ""  # once is enough


def test_while_training_the_next_picture_takes_the_place_of_a_broken_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every process has as many pictures at every step, whichever of them are broken."""
    data = load(folder(tmp_path, each=12), in_memory=False)
    for name in ("one/0.png", "one/1.png", "two/9.png"):  # the last one of all
        (tmp_path / "train" / name).write_text("a text")
    sizes, labels = [], []
    for rank in range(2):
        made = list(cut(data, 12, Augment(), drop_last=True, rank=rank, world=2))
        sizes += [len(batch[1]) for batch in made]
        labels += [batch[1] for batch in made]
    assert sizes == [6] * 6
    assert torch.cat(labels).bincount().tolist() == [13, 12, 11]
    assert "two/9.png (not a picture)" in caplog.text


@pytest.mark.parametrize("off", [{"crop": False, "jitter": 0, "flip": False}])
def test_variation_on_disk_can_be_left_out(on_disk: Data, off: dict[str, object]) -> None:
    plain = whole(cut(on_disk, shuffle=False))[0]
    assert torch.equal(whole(cut(on_disk, augment=Augment(**off), shuffle=False))[0], plain)
    for name in off:
        varied = cut(on_disk, augment=Augment(**{**off, name: Augment(flip=True).__dict__[name]}))
        assert not torch.equal(whole(varied)[0].sort(0).values, plain.sort(0).values), name


def test_too_many_broken_pictures_stop(tmp_path: Path) -> None:
    data = load(folder(tmp_path, each=12), in_memory=False)
    for path in (tmp_path / "train" / "one").iterdir():
        path.write_text("a text")
    with pytest.raises(DataError, match="too many pictures cannot be read, 11: "):
        whole(cut(data, 4))
