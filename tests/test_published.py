"""The paper's tables: their shape, what they say of each other, and the averages they print."""

import numpy as np
import pytest

from ordlib.errors import InputError
from ordlib.experiments import published

# rows, columns of numbers, and the sum of all numbers times their place in the order of reading
CONTENT = {
    1: (8, 1, 3115.52),
    2: (5, 1, 908.8),
    3: (3, 2, 813.1),
    4: (13, 16, 1708085.6),
    5: (8, 16, 549416.9),
    6: (10, 7, 79474.8),
    7: (3, 5, 7340.3),
}

# Rows whose printed average is not the mean of the printed numbers: by what it is off, rounded.
NOT_MEANS = {
    4: {"[67]": 0.1, "[10]": -1.8, "[51]": -0.1, "[40]": 0.7, "[32]": 0.4, "[48]": -0.8}
    | {"[64]": 0.3, "": 0.4},
    5: {"[1]": -0.5, "[38]": 1.3, "[66]": 0.6, "[5]": -0.1, "[32]": 0.2, "": 0.4},
    6: {"[28]": 3.8, "[32]": 0.1, "": -0.7},
}


def _ours(number: int):
    return published.table(number).set_index("method").loc["Ours"]


@pytest.mark.parametrize("number", CONTENT)
def test_content_of_each_table(number):
    frame = published.table(number)
    numbers = frame.select_dtypes("number").to_numpy()
    weighted = float(numbers.ravel() @ np.arange(1, numbers.size + 1))
    assert (*numbers.shape, round(weighted, 2)) == CONTENT[number]
    assert not frame.isna().any(axis=None)


@pytest.mark.parametrize("number", [4, 5, 6, 7])
def test_methods_have_a_reference_and_a_source(number):
    frame = published.table(number)
    *others, ours = frame.itertuples()
    assert (ours.method, ours.reference, ours.source) == ("Ours", "", "this paper")
    assert all(row.reference.startswith("[") and row.source.startswith("[") for row in others)
    assert frame["reference"].is_unique
    assert all("[" not in row.method and "*" not in row.method for row in others)
    copied = {row.reference: row.source for row in others if row.source != row.reference}
    if number == 5:  # the starred rows
        assert copied == dict.fromkeys(("[1]", "[38]", "[66]"), "[5]")


@pytest.mark.parametrize("number", NOT_MEANS)
def test_averages_are_means_of_their_rows_but_for_the_known_ones(number):
    frame = published.table(number).set_index("reference").select_dtypes("number")
    mean = frame.drop(columns="Avg").mean(axis=1)
    off = frame["Avg"] - mean
    odd = off[off.abs() > 0.06]  # the last digit is rounded, in the numbers too
    assert odd.round(1).to_dict() == pytest.approx(NOT_MEANS[number])


def test_ours_averages_frames_and_not_actions():
    for number, printed, of_actions in ((4, 56.2, 55.8), (5, 41.8, 41.4)):
        row = _ours(number)
        assert row["Avg"] == printed
        assert round(row[list(published.ACTIONS)].mean(), 1) == of_actions


def test_tables_agree_where_they_report_the_same():
    table2 = published.table(2).set_index("training")["avg_error_mm"]
    table4 = published.table(4).set_index("reference")
    assert table2["Human3.6M"] == table4.loc["[32]", "Avg"]
    assert table2["Human3.6M + 2D keyp + Ord + Rec"] == _ours(4)["Avg"]
    last = published.table(3).iloc[-1]
    assert (last["PCK3D"], last["AUC"]) == (_ours(7)["All"], _ours(7)["AUC"])


def test_ours_is_best_where_the_paper_says_so():
    numbers = published.table(5).select_dtypes("number")
    assert (numbers.idxmin() == len(numbers) - 1).all()
    averages = published.table(4)["Avg"]
    assert averages.idxmin() == len(averages) - 1
    assert published.table(6)["Avg"].min() == _ours(6)["Avg"]


def test_rows_of_the_ablations_say_what_they_add():
    frame = published.table(2)
    assert frame["keypoints"].tolist() == [False, True, True, True, True]
    assert frame["ordinal"].tolist() == [False, False, True, False, True]
    assert frame["reconstruction"].tolist() == [False, False, False, True, True]
    assert not published.table(3)["reconstruction"].any()


@pytest.mark.parametrize("number", [0, 8, "1", 2.5])
def test_other_tables_are_refused(number, request):
    if isinstance(number, (str, float)) and request.config.getoption("--jaxtyping-packages", None):
        pytest.skip("the type checks speak first")
    with pytest.raises(InputError, match="expected a number from 1 to 7, found"):
        published.table(number)
