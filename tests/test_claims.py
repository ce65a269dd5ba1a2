"""The list of claims, and verdicts where the truth is known."""

import numpy as np
import pandas as pd
import pytest

from ordlib import experiments
from ordlib.experiments import claim_values, claims, comparisons, published
from ordlib.experiments.ablations import KEYPOINTS, ORDINAL, REC, STUDIO
from ordlib.experiments.claim_values import ANNOTATION
from ordlib.experiments.claims import CLAIMS, judge
from ordlib.experiments.published import table
from ordlib.experiments.results import Key, Statement

BY_ID = {claim.id: claim for claim in CLAIMS}
SAMPLES = 9
Numbers = dict[int, dict[Key, float]]


def printed() -> Numbers:
    """The paper's numbers, and for its reasons the gains that it tells in words."""
    found: Numbers = {n: {} for n in range(8)}
    for row in table(1).itertuples():
        found[1][row.row, "mpjpe"] = row.avg_error_mm
    for row in table(2).itertuples():
        found[2][row.row, "mpjpe"] = row.avg_error_mm
    for row in table(3).itertuples():
        found[3][row.row, "pck3d"], found[3][row.row, "auc3d"] = row.PCK3D, row.AUC
    gains = {KEYPOINTS: ("2d", 44.3 - 17.1), ORDINAL: ("depth", 71.9 - 44.3)}
    for row, (source, points) in gains.items():
        for name in ("2d", "depth"):
            found[3][row, f"pck3d_by_{name}"] = points if name == source else 0.0
    for number, methods in comparisons.METHODS.items():
        numbers = table(number).set_index("reference").select_dtypes("number")
        for method in methods:
            if method.reference in numbers.index:
                one = numbers.loc[method.reference]
                found[number] |= {(method.row, column): one[column] for column in numbers}
    for strategy, count in (("all", 91.0), ("kinematic", 17.0), ("informed", 17.0)):
        found[ANNOTATION][strategy, "questions"] = count
        found[ANNOTATION][strategy, "seconds"] = 3.5 * count
    return found


def opposite() -> Numbers:
    """A world in which nothing that the paper claims is true."""
    found: Numbers = {n: dict.fromkeys(values, 100.0) for n, values in printed().items()}
    one = {"depth": 100.0, "coordinate": 80.0, "volume1": 120.0, "volume2": 140.0}
    for name, error in one.items():
        found[1][f"table1/{name}/full", "mpjpe"] = error
        found[1][f"table1/{name}/weak", "mpjpe"] = error * (1.0 if name == "volume2" else 1.3)
    errors = {STUDIO: 100, KEYPOINTS: 120, ORDINAL: 140, KEYPOINTS + REC: 160, ORDINAL + REC: 180}
    found[2] = {(row, "mpjpe"): float(error) for row, error in errors.items()}
    for place, row in enumerate((STUDIO, KEYPOINTS, ORDINAL)):
        for metric in ("pck3d", "auc3d"):
            found[3][row, metric] = 70.0 - 20 * place
    for row, source in ((KEYPOINTS, "depth"), (ORDINAL, "2d")):
        for name in ("2d", "depth"):
            found[3][row, f"pck3d_by_{name}"] = 10.0 if name == source else 0.0
    for number in (4, 5, 6):
        for row, column in found[number]:
            if row == comparisons.full_method(number):
                found[number][row, column] = 130.0 if column in comparisons.HARD else 110.0
    for column in ("Studio GS", "Studio no GS", "Outdoor", "All", "AUC"):
        found[7][comparisons.full_method(7), column] = 50.0 if column == "Outdoor" else 60.0
    for strategy, count in (("all", 91.0), ("kinematic", 40.0), ("informed", 30.0)):
        found[ANNOTATION][strategy, "questions"] = count
        found[ANNOTATION][strategy, "seconds"] = 3.5 * count
    return found


def constant(numbers: Numbers) -> dict[int, dict[Key, np.ndarray]]:
    return {
        n: {key: np.full((1, SAMPLES), value) for key, value in one.items()}
        for n, one in numbers.items()
    }


def verdicts(judged: pd.DataFrame) -> dict[str, str]:
    return dict(zip(judged["id"], judged["verdict"], strict=True))


# The list


def test_claims_are_distinct_and_name_their_place() -> None:
    assert 20 <= len(CLAIMS) <= 24
    assert len(BY_ID) == len(CLAIMS) == len({claim.text for claim in CLAIMS})
    places = pd.Series([claim.place for claim in CLAIMS])
    assert places.str.fullmatch(r"Section 4\.[134](, Tables? \d(, \d)*)?").all()
    named = {int(n) for place in places for n in place.partition("Table")[2] if n.isdigit()}
    assert named == set(range(1, 8))
    assert list(places) == sorted(places, key=lambda place: place.split(",")[0])
    for claim in CLAIMS:
        assert isinstance(claim.test, Statement) and claim.test.bound is not None
        assert claim.test.text and claim.text and claim.note.endswith(".")
        assert not claim.text.endswith(".")


def test_notes_are_possibilities() -> None:
    for claim in CLAIMS:
        words = set(claim.note.split())
        assert words & {"may"}, claim.id


def test_rows_are_all_that_tables_are_made_of() -> None:
    rivals = [m.network for methods in comparisons.METHODS.values() for m in methods]
    ablated = [row.removesuffix(REC) for n in (2, 3) for row in table(n)["row"]]
    assert set(claims.ROWS) == {*table(1)["row"], *ablated, *rivals}
    assert len(set(claims.ROWS)) == len(claims.ROWS) == 13
    assert set(claims.ROWS) <= set(experiments.ROWS)


def test_published_numbers_are_those_that_can_be_read_off() -> None:
    error = table(1).set_index("row")["avg_error_mm"]
    gap = {
        name: error[f"table1/{name}/weak"] / error[f"table1/{name}/full"]
        for name in ("depth", "coordinate", "volume1", "volume2")
    }
    t4, t5, t6 = (table(n).set_index("reference").select_dtypes("number") for n in (4, 5, 6))
    rivals = (t4.loc[["[32]", "[64]", "[25]"]], t5.loc[["[32]", "[25]"]], t6.loc[["[32]", "[25]"]])
    saved = [1 - t.loc[""] / rival.min() for t, rival in zip((t4, t5, t6), rivals, strict=True)]
    hard = ["SitingD", "Photo", "Sitting"]
    easy = [name for name in published.ACTIONS if name not in hard]
    expected = {
        "questions": 17.0,
        "faster": 91 / 17,
        "close-depth": gap["depth"],
        "close-coordinate": gap["coordinate"],
        "close-volume": gap["volume1"],
        "gap-grows": gap["volume2"] - gap["depth"],
        "two-hourglasses": 79.03 / 89.93,
        "volume": 89.93 / 115.08,
        "keypoints": 66.6 / 71.9,
        "ordinal": 62.1 / 66.6,
        "component": 56.2 / 62.1,
        "ordinal-component": 56.2 / 59.1,
        "shift-keypoints": 19.8 - 6.3,
        "shift-ordinal": 35.3 - 19.8,
        "shift-2d": np.nan,
        "shift-depth": np.nan,
        "average": 56.2 / 62.9,
        "tenth": 1 - 56.2 / 62.9,
        "actions": 14.0,
        "actions-aligned": 15.0,
        "hard-actions": min(s[hard].mean() - s[easy].mean() for s in saved[:2]),
        "humaneva": 18.3 / 24.6,
        "shift-rival": 71.9 - 69.2,
        "outdoors": (77.5 - 72.7) - ((76.5 - 71.1) + (63.1 - 64.7)) / 2,
    }
    stated = {claim.id: claim.published for claim in CLAIMS}
    assert stated == pytest.approx(expected, nan_ok=True)
    assert pytest.approx(84.24 / 80.23 - 1) == claims.MARGIN


def test_bounds_are_stated_or_the_papers_own_with_the_margin() -> None:
    own = {"close-depth", "close-coordinate", "close-volume"}
    for name, claim in BY_ID.items():
        bound = claim.test.bound
        if name in own:
            assert bound == pytest.approx(claim.published + claims.MARGIN)
        elif name == "questions":
            assert bound == pytest.approx(17 * 84.24 / 80.23)
        elif name.startswith("actions"):
            assert bound == claim.published
        else:
            assert bound in (0.0, 0.1, 1.0, 5.0)


# Verdicts


def test_the_papers_own_numbers_reproduce_every_claim() -> None:
    judged = judge(constant(printed()))
    assert verdicts(judged) == dict.fromkeys(BY_ID, "reproduced")
    assert not judged["note"].any()
    printed_ones = judged[judged["published"].notna()]
    assert len(printed_ones) == len(CLAIMS) - 2
    assert printed_ones["reproduced"].to_numpy() == pytest.approx(
        printed_ones["published"].to_numpy()
    )
    assert list(judged.columns) == [
        *("id", "place", "claim", "number", "published", "bound"),
        *("reproduced", "ci_low", "ci_high", "verdict", "note"),
    ]


def test_in_the_opposite_world_no_claim_is_reproduced() -> None:
    judged = judge(constant(opposite()))
    assert verdicts(judged) == dict.fromkeys(BY_ID, "not reproduced")
    assert list(judged["note"]) == [claim.note for claim in CLAIMS]


@pytest.mark.parametrize("number", range(8))
def test_a_table_decides_the_claims_about_it_alone(number: int) -> None:
    mixed = printed() | {number: opposite()[number]}
    found = verdicts(judge(constant(mixed)))
    about = {claim.id for claim in CLAIMS if str(number) in claim.place.partition("Table")[2]} or {
        claim.id for claim in CLAIMS if claim.place == "Section 4.1"
    }
    assert {name for name, word in found.items() if word == "not reproduced"} == about


def test_what_is_not_there_is_undecided() -> None:
    only = judge({1: constant(printed())[1]})
    decided = only[only["verdict"] != "undecided"]
    assert set(decided["id"]) == {c.id for c in CLAIMS if c.place.endswith("Table 1")}
    assert only["reproduced"].isna().sum() == len(CLAIMS) - len(decided)


def test_a_number_near_its_bound_is_undecided() -> None:
    rng = np.random.default_rng(0)
    values = constant(printed())
    limit = BY_ID["close-depth"].test.bound
    assert limit is not None
    full = rng.gamma(9.0, 10.0, (3, 400))
    for factor, expected in ((0.9, "reproduced"), (1.0, "undecided"), (1.1, "not reproduced")):
        weak = full * limit * factor + rng.normal(0, 20, full.shape)
        weak += full.mean() * limit * factor - weak.mean()
        depth = {("table1/depth/weak", "mpjpe"): weak, ("table1/depth/full", "mpjpe"): full}
        one = judge(values | {1: values[1] | depth}).set_index("id").loc["close-depth"]
        assert one["verdict"] == expected
        assert one["ci_low"] < one["reproduced"] < one["ci_high"]
        assert one["reproduced"] == pytest.approx(limit * factor)
        assert bool(one["note"]) == (expected == "not reproduced")


def test_a_claim_is_as_strong_as_its_weakest_part() -> None:
    numbers = printed()
    numbers[1]["table1/volume2/full", "mpjpe"] = 1.02 * numbers[1]["table1/volume1/full", "mpjpe"]
    one = judge(constant(numbers)).set_index("id").loc["two-hourglasses"]
    assert one["verdict"] == "not reproduced" and one["reproduced"] == pytest.approx(1.02)
    numbers = printed()
    numbers[5]["table4/lifting", "Avg"] = 41.0
    found = verdicts(judge(constant(numbers)))
    assert found["average"] == found["tenth"] == "not reproduced"
    assert found["actions"] == found["humaneva"] == "reproduced"


# For readers


def test_readable_numbers_and_colours() -> None:
    judged = judge({n: one for n, one in constant(opposite()).items() if n != 7})
    frame = claims.readable(judged).set_index(judged["id"])
    assert frame.loc["questions", "claimed"] == "≤ 17.85"
    assert frame.loc["questions", "reproduced"] == "30.00 [30.00, 30.00]"
    assert frame.loc["keypoints", "reproduced"] == "1.200 [1.200, 1.200]"
    assert frame.loc["keypoints", "published"] == "0.926"
    assert frame.loc["shift-2d", "published"] == ""
    assert frame.loc["outdoors", "reproduced"] == "" and frame.loc["outdoors", "claimed"]
    page = claims.show(judged).to_html()
    for word in ("not reproduced", "undecided"):
        assert claims.COLOURS[word] in page and f">{word}<" in page
    assert claims.COLOURS["reproduced"] not in page


# Values


def test_annotation_is_counted_as_in_the_procedure() -> None:
    found = claim_values._annotated("smoke", [0, 1], None)
    assert {key: value.shape for key, value in found.items()} == dict.fromkeys(
        [(s, m) for s in ("all", "kinematic", "informed") for m in ("questions", "seconds")],
        (2, 48),
    )
    assert (found["all", "questions"] == 91).all()
    for strategy in ("kinematic", "informed"):
        questions, seconds = (found[strategy, name] for name in ("questions", "seconds"))
        assert (questions >= 13).all() and questions.mean() < 30
        # never faster than full groups, never slower than a new pair each time
        assert (3.5 * questions <= seconds + 1e-6).all() and (seconds <= 7 * questions).all()
    assert not np.array_equal(*found["kinematic", "questions"])
