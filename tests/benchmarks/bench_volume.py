"""Time and peak memory of volume marginals and cross-entropy, against softmax-then-sum.

Run with `pytest tests/benchmarks/bench_volume.py --benchmark-only`; `peak_volumes` in the report is
the largest number of extra bytes alive in forward and backward, the gradient included, in units of
the volume.
"""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ordlib.losses import volume_cross_entropy
from ordlib.volume import marginals

SHAPES = {"quick": (8, 17, 16, 12, 12), "paper": (1, 17, 64, 64, 64)}


class PeakMemory(TorchDispatchMode):
    """Counts bytes of the storages that operations create, while they are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if _is_tensor(x)}
        result = func(*args, **(kwargs or {}))
        for tensor in filter(_is_tensor, tree_leaves(result)):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in known and key not in self.alive:
                self.alive[key] = storage.nbytes()
                weakref.finalize(storage, self.alive.pop, key, None)
                self.peak = max(self.peak, sum(self.alive.values()))
        return result


def _is_tensor(value) -> bool:
    return isinstance(value, torch.Tensor)


def plain_marginals(scores):
    p = scores.flatten(2).softmax(-1).view_as(scores)
    return p.sum(2), p.sum((3, 4))


def plain_cross_entropy(scores, q_xy, q_z):
    log_p = scores.flatten(2).log_softmax(-1).view_as(scores)
    return -(q_xy[:, :, None] * q_z[..., None, None] * log_p).sum() / len(scores)


def marginal_step(function):
    def step(scores, q_xy, q_z):
        p_xy, p_z = function(scores)
        loss = (p_xy * q_xy).sum() + (p_z * q_z).sum()
        return torch.autograd.grad(loss, scores)

    return step


def entropy_step(function):
    return lambda scores, *targets: torch.autograd.grad(function(scores, *targets), scores)


STEPS = {
    "marginals": marginal_step(marginals),
    "marginals_plain": marginal_step(plain_marginals),
    "cross_entropy": entropy_step(volume_cross_entropy),
    "cross_entropy_plain": entropy_step(plain_cross_entropy),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("name", STEPS)
def test_training_step(benchmark, name, size, layout):
    batch, joints, bins, height, width = SHAPES[size]
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(batch, joints * bins, height, width, generator=generator)
    scores = flat.contiguous(memory_format=layout).unflatten(1, (joints, bins)).requires_grad_()
    q_xy, q_z = plain_marginals(scores.detach())
    with PeakMemory() as memory:
        STEPS[name](scores, q_xy, q_z)
    benchmark.group = f"{size} {layout}"
    benchmark.extra_info["peak_volumes"] = memory.peak / scores.nbytes
    benchmark(STEPS[name], scores, q_xy, q_z)
