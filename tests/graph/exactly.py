"""Holds a net that was traced against the laws that all of them have to keep."""

import copy
from dataclasses import replace

import torch
from torch import nn

import tas
from helpers import images, random_shape
from tas.costs import count
from tas.graph.noise import still
from tas.inherit import Source
from tas.methods.paper.masked import MaskedSupernet
from tas.shape import Shape
from tas.spaces import TracedSpace, trace

__all__ = ["IMAGES", "check"]

IMAGES = images(2, 3, 8, 8)


def check(net: nn.Module) -> TracedSpace:
    """Trace a net; smaller ones are the masked whole, cost what their shape says, and are built
    again from their files."""
    for parameter in net.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape)
    space = trace(net, IMAGES[:1])
    supernet = MaskedSupernet(space).eval()
    for seed in range(3):
        shape = random_shape(space, seed)
        small = Source.of(space).derive(shape).eval()
        counted = count(small, IMAGES)
        assert (shape.macs, shape.params) == (counted.macs, counted.params)
        with torch.no_grad(), still():
            wanted = supernet(IMAGES, supernet.one_hot(shape))
            torch.testing.assert_close(small(IMAGES), wanted, rtol=1e-4, atol=1e-5)
        again = tas.nets.build(Shape.from_dict(shape.to_dict()), make=lambda: copy.deepcopy(net))
        again.load_state_dict(small.state_dict())
        with torch.no_grad(), still():
            assert torch.equal(again.eval()(IMAGES), small(IMAGES))
        small.train()(IMAGES).sum().backward()
        assert small(IMAGES).isfinite().all()
    draw = supernet.one_hot(space.unpruned)
    draw = replace(draw, atoms=draw.atoms.clone().requires_grad_())
    supernet.train()(IMAGES, draw).sum().backward()
    assert draw.atoms.grad.isfinite().all()
    grads = [p.grad for p in supernet.parameters() if p.grad is not None]
    assert grads
    assert all(g.isfinite().all() for g in grads)
    return space
