"""Ordinal relations against loops over pairs."""

from inspect import unwrap

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.errors import InputError
from ordlib.relations import ordinal_accuracy, relations_from_depth


def loop_relations(depth, tie):
    def one(a, b):
        return 0 if abs(a - b) < tie else (a < b) - (a > b)

    return [[one(a, b) for b in depth] for a in depth]


def test_hand_worked_pair():
    found = relations_from_depth(torch.tensor([0.0, 99.9, 100.0, -250.0]))
    assert found.tolist() == [[0, 0, 1, -1], [0, 0, 0, -1], [-1, 0, 0, -1], [1, 1, 1, 0]]
    assert found.dtype == torch.int8


@settings(max_examples=30)
@given(
    st.lists(st.integers(-2000, 2000), min_size=1, max_size=8), st.sampled_from([0.0, 50.0, 100.0])
)
def test_equals_loop_and_is_antisymmetric(depth, tie):
    found = relations_from_depth(torch.tensor(depth, dtype=torch.float32), tie)
    assert found.tolist() == loop_relations(depth, tie)
    assert torch.equal(found, -found.mT)


def test_leading_dimensions_and_shift():
    depth = torch.randn(2, 3, 17, generator=torch.Generator().manual_seed(0)) * 200
    found = relations_from_depth(depth)
    assert found.shape == (2, 3, 17, 17)
    assert torch.equal(found[1, 2], relations_from_depth(depth[1, 2]))
    assert torch.equal(found, relations_from_depth(depth.double() + 4096.0))


def loop_accuracy(depth, relations, annotated):
    values = []
    for z, r, known in zip(depth, relations, annotated, strict=True):
        hits = [
            (z[j] - z[i]) * r[i][j] > 0
            for i in range(len(z))
            for j in range(i + 1, len(z))
            if known[i][j] and r[i][j] != 0
        ]
        values.append(sum(hits) / len(hits) if hits else float("nan"))
    return values


def test_accuracy_equals_loop():
    generator = torch.Generator().manual_seed(1)
    depth = torch.randint(-3, 3, (6, 9), generator=generator).float()
    relations = torch.randint(-1, 2, (6, 9, 9), generator=generator).to(torch.int8)
    annotated = torch.rand(6, 9, 9, generator=generator) < 0.4
    annotated[2] = False
    found = ordinal_accuracy(depth, relations, annotated)
    expected = loop_accuracy(depth.tolist(), relations.tolist(), annotated.tolist())
    torch.testing.assert_close(found, torch.tensor(expected), equal_nan=True)
    assert found[2].isnan()


def test_accuracy_of_truth_mirror_and_constant():
    depth = torch.randn(4, 17, generator=torch.Generator().manual_seed(2)) * 300
    relations = relations_from_depth(depth)
    assert ordinal_accuracy(depth, relations).tolist() == [1.0] * 4
    assert ordinal_accuracy(-depth, relations).tolist() == [0.0] * 4
    assert ordinal_accuracy(torch.zeros(4, 17), relations).tolist() == [0.0] * 4


def test_lower_triangle_is_not_read():
    depth, relations = torch.tensor([[0.0, 1.0]]), torch.tensor([[[0, 1], [1, 0]]])
    only_lower = torch.tensor([[[False, False], [True, False]]])
    assert ordinal_accuracy(depth, relations).tolist() == [1.0]
    assert ordinal_accuracy(depth, relations, only_lower).isnan().all()


def test_bad_input_is_named():
    with pytest.raises(InputError, match=r"tie_mm: expected 0 or more, found -1"):
        relations_from_depth(torch.zeros(3), -1.0)
    with pytest.raises(InputError, match="tie_mm"):
        relations_from_depth(torch.zeros(3), float("nan"))
    with pytest.raises(InputError, match="depth_mm: expected finite values, found 1 of 3"):
        relations_from_depth(torch.tensor([0.0, float("inf"), 1.0]))
    accuracy = unwrap(ordinal_accuracy)
    with pytest.raises(InputError, match=r"relations: expected shape \(..., 2, 3, 3\)"):
        accuracy(torch.zeros(2, 3), torch.zeros(2, 4, 4, dtype=torch.int8))
    with pytest.raises(InputError, match="annotated: expected the shape of relations"):
        accuracy(torch.zeros(1, 2), torch.zeros(1, 2, 2, dtype=torch.int8), torch.ones(2, 2) > 0)
