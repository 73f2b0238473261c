"""The fast forms are held to the plain ones of ``algorithm.py``: outputs, gradients, statistics."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers import images, randomise_norms
from tas.methods.paper import algorithm as paper
from tas.methods.paper import fast

C, OUT = 6, 5


def norm_of(dtype: torch.dtype = torch.float32, **options: Any) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(C, **options)
    if norm.affine and norm.track_running_stats:
        randomise_norms(norm)
    return norm.to(dtype)


def picture(dtype: torch.dtype = torch.float32, seed: int = 0, n: int = 4) -> Tensor:
    """Channels of different means and deviations, in the memory format of training."""
    scale = torch.arange(1.0, C + 1)[:, None, None]
    x = images(n, C, 5, 3, seed=seed) * scale + scale.flip(0)
    return x.to(dtype, memory_format=torch.channels_last)


def results(form: Any, norm: nn.BatchNorm2d, x: Tensor, frozen: tuple[str, ...]) -> dict[str, Any]:
    """Output, gradients, and what is left in the norm."""
    torch.manual_seed(0)
    matrix = torch.randn(OUT, C, dtype=norm.weight.dtype).requires_grad_("matrix" not in frozen)
    x = x.clone().requires_grad_()
    for name in ("weight", "bias"):
        getattr(norm, name).requires_grad_("norm" not in frozen)
    y = form(norm, x, matrix)
    y.backward(images(*y.shape, seed=9).to(y.dtype))
    found = {"y": y.detach(), "x": x.grad, "matrix": matrix.grad, **norm.state_dict()}
    return found | {f"d {k}": p.grad for k, p in norm.named_parameters()}


def plain(norm: nn.BatchNorm2d, x: Tensor, matrix: Tensor) -> Tensor:
    return paper.mix_channels(norm(x), matrix)


def assert_same(a: dict[str, Any], b: dict[str, Any], **tolerance: float) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert (a[name] is None) == (b[name] is None), name
        if a[name] is not None:
            torch.testing.assert_close(a[name], b[name], **tolerance, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize("frozen", [(), ("matrix",), ("norm",)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norm_mix_is_the_norm_and_the_product(dtype: torch.dtype, frozen: tuple[str, ...]) -> None:
    x = picture(dtype)
    both = [results(form, norm_of(dtype), x, frozen) for form in (fast.norm_mix, plain)]
    assert both[0]["num_batches_tracked"] == 1
    assert_same(*both, rtol=1e-4, atol=1e-4 if dtype == torch.float32 else 1e-10)


def test_the_fast_form_is_taken_where_it_should_be_and_keeps_only_the_input() -> None:
    x, matrix = picture().requires_grad_(), torch.randn(OUT, C)
    y = fast.norm_mix(norm_of(), x, matrix)
    assert "_NormMix" in y.grad_fn.name()  # type: ignore[union-attr]
    kept = [t for t in y.grad_fn.saved_tensors if t.dim() == 4]  # type: ignore[union-attr]
    assert [t.data_ptr() for t in kept] == [x.data_ptr()]


def test_gradients_by_finite_differences() -> None:
    norm, x = norm_of(torch.float64), picture(torch.float64, n=2).requires_grad_()
    matrix = torch.randn(OUT, C, dtype=torch.float64)

    def form(*arguments: Tensor) -> Tensor:
        x, norm.weight.data, norm.bias.data, matrix = arguments
        return fast.norm_mix(norm, x, matrix)

    x = x.detach().requires_grad_()
    for matrix_too in (False, True):
        matrix.requires_grad_(matrix_too)
        assert torch.autograd.gradcheck(
            form, (x, norm.weight.detach(), norm.bias.detach(), matrix), fast_mode=False
        )


def test_bf16_is_about_as_near_to_the_truth_as_the_plain_form() -> None:
    # Means of up to 1.5 deviations: more than that, and the sums of the logits' pass lose digits.
    x = images(16, C, 5, 3) + torch.linspace(-1.5, 1.5, C)[:, None, None]
    x = x.to(torch.bfloat16, memory_format=torch.channels_last)
    truth = results(plain, norm_of(torch.float64), x.double(), ())

    def errors(form: Any) -> dict[str, float]:
        with torch.autocast("cpu", torch.bfloat16):
            found = results(form, norm_of(), x, ())
        assert found["y"].dtype == found["x"].dtype == torch.bfloat16
        return {
            k: float((found[k].double() - truth[k]).norm() / truth[k].norm())
            for k in truth
            if truth[k] is not None and truth[k].is_floating_point()
        }

    ours, theirs = errors(fast.norm_mix), errors(plain)
    for name, error in ours.items():
        assert error < max(1.5 * theirs[name], 4e-3), (name, error, theirs[name])


@pytest.mark.parametrize(
    "norm",
    [
        norm_of(momentum=None),
        norm_of(affine=False),
        norm_of(track_running_stats=False),
        nn.GroupNorm(2, C),
        nn.SyncBatchNorm(C),
        type("Own", (nn.BatchNorm2d,), {"forward": lambda self, x: x + 1})(C),
    ],
    ids=lambda n: f"{type(n).__name__}-{getattr(n, 'momentum', '')}-{getattr(n, 'affine', '')}",
)
def test_other_norms_are_not_folded(norm: nn.Module) -> None:
    assert not fast.foldable(norm)
    if isinstance(norm, nn.BatchNorm2d):
        twin = type(norm)(C, momentum=norm.momentum, affine=norm.affine)
        twin.track_running_stats = norm.track_running_stats
        twin.load_state_dict(norm.state_dict(), strict=False)
        x, matrix = picture(), torch.randn(OUT, C)
        torch.testing.assert_close(fast.norm_mix(norm, x, matrix), plain(twin, x, matrix))


def test_eval_takes_the_running_statistics_and_leaves_them() -> None:
    both = [results(form, norm_of().eval(), picture(), ()) for form in (fast.norm_mix, plain)]
    assert both[0]["num_batches_tracked"] == 0
    assert_same(*both)


def test_one_value_per_channel_is_refused_as_the_norm_refuses_it() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        fast.norm_mix(norm_of(), images(1, C, 1, 1), torch.randn(OUT, C))


def test_a_norm_that_is_used_twice_mixes_twice_and_is_itself_again_afterwards() -> None:
    norm, twin, matrix = norm_of(), norm_of(), torch.randn(C, C)
    x = picture()
    with fast.mixing({"n": norm}, {"n": matrix}):
        y = norm(norm(x))
    torch.testing.assert_close(y, plain(twin, plain(twin, x, matrix), matrix))
    assert norm.num_batches_tracked == 2
    assert "forward" not in vars(norm)
    torch.testing.assert_close(norm(x), twin(x))
    with pytest.raises(ZeroDivisionError), fast.mixing({"n": norm}, {"n": matrix}):
        1 / 0  # noqa: B018
    assert "forward" not in vars(norm)


def test_the_layout_of_the_pictures_does_not_matter() -> None:
    x = picture()
    assert not x.is_contiguous()
    both = [results(fast.norm_mix, norm_of(), each, ()) for each in (x, x.contiguous())]
    assert_same(*both)


@pytest.mark.parametrize("shape", [(1, C, 4, 4), (16, C, 1, 1), (1, C, 1, 2)])
def test_few_pixels_are_as_good(shape: tuple[int, ...]) -> None:
    x = images(*shape)
    both = [results(form, norm_of(), x, ()) for form in (fast.norm_mix, plain)]
    assert_same(*both, rtol=1e-4, atol=1e-4)


ON_CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
)


@pytest.mark.parametrize("device", ["cpu", ON_CUDA])
@pytest.mark.parametrize("same_width", [False, True])
@pytest.mark.parametrize("searched", [False, True])
def test_mix_depths_is_the_plain_one(searched: bool, same_width: bool, device: str) -> None:
    widths = torch.tensor([4, 6, 5]).to(device)

    def run(form: Any) -> list[Tensor | None]:
        features = [picture(torch.float64, seed).to(device).requires_grad_() for seed in range(3)]
        weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64, device=device)
        weights.requires_grad_(searched)
        matrices = None
        if not same_width:
            full = torch.tensor(6, device=device).expand(3)
            matrices = paper.channel_matrix(full, widths, C).double()
        y = form(features, weights, matrices)
        y.backward(images(*y.shape, seed=9).double().to(device))
        return [y.detach(), weights.grad, *(f.grad for f in features)]

    for form in (fast.mix_depths, partial(fast.mix_depths, widths=widths)):
        for a, b in zip(run(form), run(paper.mix_depths), strict=True):
            assert (a is None) == (b is None)
            if a is not None and b is not None:
                torch.testing.assert_close(a, b)


@pytest.mark.parametrize("device", ["cpu", ON_CUDA])
@pytest.mark.parametrize("same_width", [False, True])
def test_mix_depths_stays_in_bf16(same_width: bool, device: str) -> None:
    features = [picture(torch.bfloat16, seed).to(device).requires_grad_() for seed in range(3)]
    weights = torch.tensor([0.2, 0.3, 0.5], device=device, requires_grad=True)
    matrices = None
    if not same_width:
        widths = torch.tensor([4, 6, 5], device=device)
        full = torch.tensor(6, device=device).expand(3)
        matrices = paper.channel_matrix(full, widths, C)
    with torch.autocast(device, torch.bfloat16):
        y = fast.mix_depths(features, weights, matrices)
        reference = paper.mix_depths([f.float() for f in features], weights, matrices)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), reference.float(), rtol=0.03, atol=0.1)
    y.sum().backward()
    assert all(f.grad is not None and f.grad.dtype == torch.bfloat16 for f in features)
    assert weights.grad is not None
    assert weights.grad.dtype == torch.float32
