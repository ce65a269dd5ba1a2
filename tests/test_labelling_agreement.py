"""Agreement statistics against values worked by hand and against naive versions."""

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ordlib.errors import InputError
from ordlib.labelling.agreement import agreement, cohen_kappa, krippendorff_alpha


def int8(values):
    return torch.tensor(values, dtype=torch.int8)


def test_kappa_by_hand():
    # closer/farther of 50 pairs: 20 both closer, 15 both farther, 5 and 10 mixed:
    # p_o = 0.7, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5, so kappa = 0.4
    first = int8([1] * 20 + [1] * 5 + [-1] * 10 + [-1] * 15)
    second = int8([1] * 20 + [-1] * 5 + [1] * 10 + [-1] * 15)
    assert cohen_kappa(first, second) == pytest.approx(0.4)


def test_alpha_by_hand():
    # Two annotators, four units: (1,1) (1,0) (0,0) (0,0). n = 8, n_1 = 3, n_0 = 5:
    # D_o = 2/8, D_e = 2 * 3 * 5 / (8 * 7), so alpha = 1 - (1/4) / (15/28) = 8/15
    counts = torch.tensor([[0, 0, 2], [0, 1, 1], [0, 2, 0], [0, 2, 0]])
    assert krippendorff_alpha(counts) == pytest.approx(8 / 15)


def test_alpha_of_four_observers_with_missing_values():
    # The nominal example of Krippendorff, Computing Krippendorff's Alpha-Reliability (2011):
    # four observers, twelve units, 0 where one did not judge; alpha = 0.743
    observers = torch.tensor(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
            [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
        ]
    )
    counts = torch.stack([(observers == c).sum(0) for c in range(1, 6)], -1)
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)


answers = st.lists(
    st.lists(st.sampled_from([None, -1, 0, 1]), min_size=3, max_size=3), min_size=2, max_size=25
)


@given(answers)
def test_alpha_is_that_of_all_pairs_of_values(units):
    units = [[v for v in unit if v is not None] for unit in units]
    units = [unit for unit in units if len(unit) > 1]
    rows = [[unit.count(c) for c in (-1, 0, 1)] for unit in units]
    counts = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    values = [v for unit in units for v in unit]
    chance = [a != b for a, b in permutations(values, 2)]
    alpha = krippendorff_alpha(counts)
    if not any(chance):
        assert alpha != alpha
        return
    within = sum(
        sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units
    ) / len(values)
    assert alpha == pytest.approx(1 - within / (sum(chance) / len(chance)))


def matrices(*values):
    """Relations of three joints from r(0,1), r(0,2), r(1,2) for each annotator; None: not known."""
    relations = torch.zeros(len(values), 1, 3, 3, dtype=torch.int8)
    known = torch.zeros(len(values), 1, 3, 3, dtype=torch.bool)
    for a, triple in enumerate(values):
        for (i, j), value in zip(((0, 1), (0, 2), (1, 2)), triple, strict=True):
            if value is not None:
                relations[a, 0, i, j], relations[a, 0, j, i] = value, -value
                known[a, 0, i, j] = known[a, 0, j, i] = True
    return relations, known


def test_each_pair_counts_once_and_only_where_two_know_it():
    relations, known = matrices((1, 0, -1), (1, 1, None), (1, None, None))
    found = agreement(["a", "b", "c"], relations, known)
    assert found.relations == 2  # pairs (0, 1) and (0, 2)
    assert found.alike == 0.5
    assert found.known.tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert found.equal.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert found.of_two["a", "b"][:2] == (2, 0.5)
    assert found.of_two["b", "c"][:2] == (1, 1.0)
    assert "kappa undefined" in found.text()  # b and c: one relation


def test_nothing_shared_is_undefined_and_no_error():
    relations, known = matrices((1, None, None), (None, None, 1))
    found = agreement(["a", "b"], relations, known)
    assert found.relations == 0
    assert "0 relations known to two or more, all alike in no share" in found.text()


def test_one_annotator_cannot_be_compared():
    with pytest.raises(InputError, match="at least two to compare, found 1"):
        agreement(["a"], *matrices((1, 1, 1)))
