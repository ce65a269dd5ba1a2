"""Marginals against softmax-then-sum, positions against known peaks."""

from inspect import unwrap

import numpy as np
import pytest
import torch

from ordlib.errors import InputError
from ordlib.losses import gaussian_heatmaps
from ordlib.volume import bin_centres_mm, decode_xy, expected_depth, marginals


def naive(scores):
    p = scores.flatten(2).softmax(-1).view_as(scores)
    return p.sum(2), p.sum((3, 4))


@pytest.fixture
def scores():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, 5, 6, generator=generator, dtype=torch.float64) * 3


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_softmax_then_sum(scores, layout):
    flat = scores.flatten(1, 2).contiguous(memory_format=layout)
    volume = flat.unflatten(1, (3, 4)).requires_grad_()
    weights = [torch.randn_like(x) for x in naive(scores)]
    grads = []
    for function in (marginals, naive):
        p_xy, p_z = function(volume)
        torch.testing.assert_close((p_xy, p_z), naive(scores))
        total = (p_xy * weights[0]).sum() + (p_z * weights[1]).sum()
        grads += torch.autograd.grad(total, volume)
    torch.testing.assert_close(*grads)
    assert grads[0].stride() == volume.stride()


def test_gradient(scores):
    assert torch.autograd.gradcheck(marginals, scores.requires_grad_())
    assert torch.autograd.gradcheck(lambda s: marginals(s)[1], scores)


def test_backward_twice_gives_the_same(scores):
    p_xy, p_z = marginals(scores.requires_grad_())
    loss = p_xy.square().sum() + p_z.square().sum()
    first = torch.autograd.grad(loss, scores, retain_graph=True)
    assert torch.equal(*first, *torch.autograd.grad(loss, scores))


def test_adding_a_constant_changes_nothing(scores):
    shifted = marginals(scores + torch.tensor([[1e3], [-1e3]])[..., None, None, None].double())
    torch.testing.assert_close(shifted, marginals(scores))


def test_extremes():
    scores = torch.full((1, 1, 3, 2, 4), -1e4)
    scores[0, 0, 1, 0, 3] = 1e4
    scores.requires_grad_()
    p_xy, p_z = marginals(scores)
    assert p_z.tolist() == [[[0, 1, 0]]]
    assert p_xy[0, 0].tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
    (p_xy.sum() + p_z[..., 0].sum()).backward()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_single(scores, dtype):
    half = scores.to(dtype).requires_grad_()
    p_xy, p_z = marginals(half)
    assert p_xy.dtype == p_z.dtype == torch.float32
    torch.testing.assert_close((p_xy, p_z), naive(half.detach().float()))
    p_z.square().sum().backward()
    assert half.grad.dtype == dtype


def test_scores_are_left_alone_and_nothing_is_kept_without_gradient(scores):
    before = scores.clone()
    with torch.no_grad():
        p_xy, _ = marginals(scores.requires_grad_())
    assert p_xy.grad_fn is None
    assert torch.equal(before, scores)


def test_bin_centres_and_expected_depth():
    p_z = torch.tensor([[[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]])
    assert bin_centres_mm(4).tolist() == [-750, -250, 250, 750]
    assert expected_depth(p_z, bin_centres_mm(4)).tolist() == [[-500.0, 750.0]]
    assert bin_centres_mm(64).diff().tolist() == [31.25] * 63


def loop_decode(heatmap):
    """Along each axis the vertex of NumPy's parabola through three logarithms."""
    y, x = divmod(int(heatmap.argmax()), heatmap.shape[1])
    found = []
    for line, place in ((heatmap[y], x), (heatmap[:, x], y)):
        offset = 0.0
        if 0 < place < len(line) - 1:
            a, b, _ = np.polyfit([-1, 0, 1], line[place - 1 : place + 2].double().log(), 2)
            offset = -b / (2 * a)
        found.append(place + offset + 0.5)
    return found


def test_decode_equals_loop_at_borders_too():
    generator = torch.Generator().manual_seed(1)
    p_xy = torch.rand(3, 40, 4, 7, generator=generator) ** 4 + 1e-6
    expected = torch.tensor([[loop_decode(h) for h in sample] for sample in p_xy])
    torch.testing.assert_close(decode_xy(p_xy), expected.float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0])
def test_decode_is_exact_for_gaussians(sigma):
    generator = torch.Generator().manual_seed(2)
    points = 3 + torch.rand(4, 17, 2, generator=generator) * torch.tensor([10.0, 6.0])
    decoded = decode_xy(gaussian_heatmaps(points, (12, 16), sigma))
    torch.testing.assert_close(decoded, points, atol=2e-3, rtol=0)


def test_decode_finds_pixel_centres_and_ignores_a_second_mode():
    points = torch.tensor([[[2.5, 3.5], [6.5, 1.5]]])
    maps = gaussian_heatmaps(points, (6, 9), 0.6)
    both = 0.7 * maps + 0.3 * maps.flip(1)
    torch.testing.assert_close(decode_xy(maps), points, atol=1e-3, rtol=0)
    torch.testing.assert_close(decode_xy(both), points, atol=1e-2, rtol=0)
    assert decode_xy(torch.zeros(1, 1, 3, 4)).isfinite().all()


def test_what_is_no_volume_is_named_and_no_number_gives_none():
    with pytest.raises(InputError, match="scores: expected shape"):
        unwrap(marginals)(torch.zeros(2, 3, 4, 5))
    for found in marginals(torch.full((1, 1, 2, 2, 2), float("nan"))):
        assert found.isnan().all()
