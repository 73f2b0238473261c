"""The supernet: at one-hot it is the derived net; a step never asks the device for a number."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from helpers import images, random_shape, randomise_norms
from tas import nets
from tas.costs import Budget
from tas.inherit import Source
from tas.methods.paper import algorithm as paper
from tas.methods.paper import fast
from tas.methods.paper.supernet import Supernet
from tas.spaces import resnet_space

MIXINGS = ("interpolate", "mask")


def supernet_of(net: str, side: int = 16, mixing: str = "interpolate", **options: Any) -> Supernet:
    space = resnet_space(nets.full_shape(net, 5, (3, side, side)), **options)
    supernet = Supernet(space, mixing=mixing)
    randomise_norms(supernet)
    return supernet.eval()


@torch.no_grad()
def difference(supernet: Supernet, shape: Any, side: int = 16) -> float:
    x = images(3, 3, side, side)
    small = Source(supernet.net).derive(shape).eval()
    whole = supernet(x, supernet.one_hot(shape))
    assert whole.std() > 1e-3  # or equality would mean nothing
    return float((whole - small(x)).abs().max() / whole.std())


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("net", ["resnet20", "resnet164", "resnet18", "resnet50"])
def test_one_hot_is_the_derived_net_in_tied_spaces(net: str, mixing: str) -> None:
    side = 64 if nets.architecture(net).large_input else 16
    supernet = supernet_of(net, side, mixing, residual="tied")
    for seed in range(2):
        assert difference(supernet, random_shape(supernet.space, seed), side) < 1e-4


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("net", ["resnet20", "resnet18"])
def test_one_hot_is_the_derived_net_in_free_spaces_whose_streams_do_not_shrink(
    net: str, mixing: str
) -> None:
    side = 64 if nets.architecture(net).large_input else 16
    supernet = supernet_of(net, side, mixing)
    space = supernet.space
    grew = 0
    for seed in range(3):
        shape = random_shape(space, seed)
        widths = dict(shape.widths)
        for stream in nets.architecture(net).streams(dict(shape.depths)):
            for name, width in zip(stream, sorted(widths[k] for k in stream), strict=True):
                widths[name] = width
            grew += widths[stream[-1]] > widths[stream[0]]
        assert difference(supernet, shape.replace(widths=widths), side) < 1e-4
    assert grew  # some projections were added


@pytest.mark.parametrize("mixing", MIXINGS)
def test_depth_only_and_width_only(mixing: str) -> None:
    for what in ("depth", "width"):
        supernet = supernet_of("resnet20", what=what, residual="tied", mixing=mixing)
        assert difference(supernet, random_shape(supernet.space, 0)) < 1e-4


@pytest.mark.parametrize("mixing", MIXINGS)
def test_without_a_draw_it_is_the_widest_net(mixing: str) -> None:
    supernet = supernet_of("resnet20", mixing=mixing)
    x = images(2, 3, 16, 16)
    assert torch.equal(supernet(x), supernet.net(x))
    torch.testing.assert_close(supernet(x), supernet(x, supernet.one_hot(supernet.space.widest)))


def test_masks_at_the_parameters_are_masks_at_the_channels() -> None:
    """After every norm, or convolution without one: outputs and the gradients of all parameters."""

    def results(supernet: Supernet, draw: Any, mixed: bool) -> list[torch.Tensor]:
        supernet.zero_grad()
        output = supernet(x, draw) if mixed else supernet.net(x)
        F.cross_entropy(output, torch.arange(4)).backward()
        found = [output, *(p.grad for n, p in supernet.named_parameters() if "depth" not in n)]
        return found  # type: ignore[return-value]

    supernet = supernet_of("resnet20", what="width", mixing="mask").train().double()
    x = images(4, 3, 16, 16).double()
    ours = results(supernet, supernet.draw(1.0, seeded()), mixed=True)
    draw = supernet.draw(1.0, seeded())
    for site, mask in draw.widths.items():
        supernet.net.get_submodule(site).register_forward_hook(
            lambda module, inputs, output, mask=mask: output * mask[:, None, None]
        )
    for a, b in zip(ours, results(supernet, draw, mixed=False), strict=True):
        torch.testing.assert_close(a, b)


class NoHostSync(TorchDispatchMode):
    """Fails when a number is read off a tensor."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket is not torch.ops.aten._local_scalar_dense, "a host sync"
        return func(*args, **(kwargs or {}))


def search_parts(**options: Any) -> tuple[Supernet, Any, Any, Any]:
    supernet = supernet_of("resnet20", **options).train()
    weights = torch.optim.SGD(supernet.weight_parameters(), 0.1)
    logits = torch.optim.Adam(supernet.logit_parameters(), 0.1, fused=True)
    batch = images(8, 3, 16, 16), torch.arange(8) % 5
    return supernet, weights, logits, batch


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("what", ["width", "depth", "both"])
@pytest.mark.parametrize("residual", ["free", "tied"])
def test_a_search_step_moves_what_is_searched_and_never_syncs(
    residual: str, what: str, mixing: str
) -> None:
    supernet, weights, logits, batch = search_parts(residual=residual, what=what, mixing=mixing)
    before = [p.detach().clone() for p in supernet.parameters()]
    with NoHostSync():
        figures = paper.search_step(supernet, batch, batch, weights, logits, tau=1.0, budget=1e6)
    moved = [not torch.equal(a, b) for a, b in zip(before, supernet.parameters(), strict=True)]
    names = [name for name, _ in supernet.named_parameters()]
    fixed = {"width": {"depth_logits"}, "depth": {"width_logits"}, "both": set()}[what]
    assert {n for n, m in zip(names, moved, strict=True) if not m} == fixed
    assert all(p.requires_grad for p in supernet.parameters())
    assert all(v.isfinite() and not v.requires_grad for v in figures.values())


@pytest.mark.parametrize("mixing", MIXINGS)
def test_the_pass_of_the_logits_makes_no_gradient_of_the_weights_and_the_other_way_round(
    mixing: str,
) -> None:
    supernet, weights, logits, batch = search_parts(mixing=mixing)
    seen: list[tuple[bool, bool]] = []

    def backward(loss: torch.Tensor) -> None:
        weights.zero_grad()
        logits.zero_grad()
        loss.backward()
        seen.append(
            tuple(  # type: ignore[arg-type]
                any(p.grad is not None for p in group)
                for group in (supernet.weight_parameters(), supernet.logit_parameters())
            )
        )

    paper.search_step(
        supernet, batch, batch, weights, logits, tau=1.0, budget=1e6, backward=backward
    )
    assert seen == [(True, False), (False, True)]


def test_one_pass_takes_the_gradients_of_both_from_one_loss() -> None:
    supernet, weights, logits, batch = search_parts()
    twin, *_ = search_parts()
    twin.load_state_dict(supernet.state_dict())
    with NoHostSync():
        figures = paper.one_pass_step(
            supernet, batch, weights, logits, tau=1.0, budget=1e6, generator=seeded()
        )
    loss = F.cross_entropy(twin(batch[0], twin.draw(1.0, seeded())), batch[1])
    cost = paper.budget_loss(twin.expected_cost(), twin.likely_cost(), 1e6, 0.05)
    (loss + 2 * cost).backward()
    for ours, theirs in zip(supernet.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert torch.equal(figures["loss"], loss.detach())
    assert torch.equal(figures["logit_loss"], loss.detach())


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("residual", ["free", "tied"])
def test_the_fast_form_of_the_whole_step_is_the_plain_one(
    residual: str, mixing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All gradients of a pass of a supernet in float64, and the norms' statistics after it."""

    def results() -> list[torch.Tensor]:
        torch.manual_seed(0)
        supernet = supernet_of("resnet20", residual=residual, mixing=mixing).train().double()
        x = images(4, 3, 16, 16).double()
        output = supernet(x, supernet.draw(1.0, seeded()))
        F.cross_entropy(output, torch.arange(4)).backward()
        statistics = [b for n, b in supernet.named_buffers() if "running" in n or "tracked" in n]
        return [output, *(p.grad for p in supernet.parameters()), *statistics]  # type: ignore[list-item]

    fast_ones = results()
    monkeypatch.setattr(fast, "_fast", lambda x, cuda=False: False)
    for ours, plain in zip(fast_ones, results(), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("what", ["width", "depth", "both"])
def test_a_search_step_never_syncs_on_a_gpu(what: str, mixing: str) -> None:
    supernet = supernet_of("resnet20", what=what, mixing=mixing).cuda().train()
    weights = torch.optim.SGD(supernet.weight_parameters(), 0.1, momentum=0.9, nesterov=True)
    logits = torch.optim.Adam(supernet.logit_parameters(), 1e-3)
    batch = images(8, 3, 16, 16).cuda(), (torch.arange(8) % 5).cuda()
    generator = torch.Generator("cuda").manual_seed(0)
    for step in (paper.search_step, paper.one_pass_step):
        batches = (batch, batch) if step is paper.search_step else (batch,)
        for strict in ("default", "error"):  # the first step allocates and tunes
            torch.cuda.set_sync_debug_mode(strict)
            try:
                step(supernet, *batches, weights, logits, tau=1.0, budget=1e6, generator=generator)
            finally:
                torch.cuda.set_sync_debug_mode("default")


def test_the_same_generator_draws_the_same() -> None:
    supernet = supernet_of("resnet20")
    x = images(2, 3, 16, 16)
    outputs = [supernet(x, supernet.draw(1.0, torch.Generator().manual_seed(s))) for s in (1, 1, 2)]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_logits_learn_the_budget() -> None:
    """With the cost alone as a loss, the most likely shape ends in the band of the budget."""
    supernet = supernet_of("resnet20")
    budget = Budget.of(supernet.space, 0.5).limit
    optimizer = torch.optim.Adam(supernet.logit_parameters(), 0.05)
    for _ in range(200):
        loss = paper.budget_loss(supernet.expected_cost(), supernet.likely_cost(), budget, 0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert 0.9 * budget < float(supernet.likely_cost()) < 1.1 * budget
