"""Intervals, verdicts and tables of results, on made-up runs."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ordlib import experiments, synthetic
from ordlib.errors import InputError
from ordlib.experiments import published, results

ROWS = list(published.table(1)["row"])
SAMPLES = 400


def fake_run(row: str, predictions: dict[str, torch.Tensor]) -> experiments.Run:
    """A finished run without files."""
    run = experiments.Run(experiments.ROWS[row], experiments.Setting("smoke", device="cpu"))
    run.__dict__["predictions"] = lambda: predictions
    return run


def fake_runs(error_of_row=None, seeds=1, noise=10.0) -> dict[str, list[experiments.Run]]:
    """Runs whose errors share each test image's difficulty, as real ones do."""
    means = error_of_row or dict.fromkeys(ROWS, 100.0)
    rng = np.random.default_rng(5)
    difficulty = rng.normal(0, 30, (seeds, SAMPLES))
    runs: dict[str, list[experiments.Run]] = {}
    for row in ROWS:
        error = means[row] + difficulty + rng.normal(0, noise, (seeds, SAMPLES))
        values = torch.tensor(error, dtype=torch.float32)
        metrics = results.TABLE_1_COLUMNS.values()
        runs[row] = [fake_run(row, dict.fromkeys(metrics, one)) for one in values]
    return runs


def paper_errors() -> dict[str, float]:
    return dict(published.table(1).set_index("row")["avg_error_mm"])


def test_interval_of_a_mean_is_the_normal_approximation_for_many_samples():
    values = np.random.default_rng(0).gamma(4.0, 25.0, (1, 3000))
    mean, low, high = results.mean_interval(values)
    half = 1.959964 * values.std(ddof=1) / np.sqrt(values.size)
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - half, abs=0.1 * half)
    assert high == pytest.approx(mean + half, abs=0.1 * half)


def test_interval_of_a_skewed_mean_reaches_farther_up_than_down():
    values = np.random.default_rng(1).lognormal(0, 1.5, (1, 40))
    mean, low, high = results.mean_interval(values)
    assert high - mean > 1.05 * (mean - low)


def test_bootstrap_agrees_with_explicit_resampling():
    values = np.random.default_rng(2).gamma(2.0, 10.0, (1, 60))
    rng = np.random.default_rng(99)
    loop = [rng.choice(values[0], values.shape[1]).mean() for _ in range(6000)]
    width = np.subtract(*np.percentile(loop, [97.5, 2.5]))
    mean, low, high = results.mean_interval(values)
    assert [low, high] == pytest.approx(np.percentile(loop, [2.5, 97.5]), abs=0.08 * width)
    assert low < mean < high


def test_seeds_widen_the_interval():
    noise = np.random.default_rng(3).normal(0, 1, (3, 500))
    apart = noise + np.array([[-20.0], [0.0], [20.0]])
    _, low, high = results.mean_interval(apart)
    _, narrow_low, narrow_high = results.mean_interval(noise)
    assert high - low > 20 > 10 * (narrow_high - narrow_low)
    # one of 27 resamples takes the lowest seed three times: 3.7%, more than the 2.5% outside
    assert low == pytest.approx(-20, abs=0.5)
    assert high == pytest.approx(20, abs=0.5)


@hypothesis_settings(max_examples=10)
@given(st.floats(-1e4, 1e4), st.integers(1, 3), st.integers(1, 50))
def test_equal_values_have_an_interval_without_width(value, seeds, samples):
    interval = results.mean_interval(np.full((seeds, samples), value))
    assert interval == pytest.approx((value, value, value), rel=1e-9, abs=1e-9)


def test_intervals_are_the_same_every_time():
    values = np.random.default_rng(4).normal(0, 1, (2, 300))
    first = results.mean_interval(values)
    np.random.seed(1)
    assert results.mean_interval(values.copy()) == first


def test_samples_without_a_value_are_left_out():
    values = np.random.default_rng(6).normal(50, 5, (1, 400))
    holes = values.copy()
    holes[:, ::2] = np.nan
    mean, low, high = results.mean_interval(holes)
    assert mean == pytest.approx(values[:, 1::2].mean())
    assert low < mean < high
    _, all_low, all_high = results.mean_interval(values)
    assert 1.1 < (high - low) / (all_high - all_low) < 1.8  # sqrt(2), from half the samples


def test_draws_that_hold_no_value_do_not_count():
    values = np.array([[np.nan, np.nan, 7.0]])
    assert results.mean_interval(values) == pytest.approx((7.0, 7.0, 7.0))


def test_paired_ratio_is_narrower_than_an_unpaired_one():
    rng = np.random.default_rng(7)
    difficulty = rng.normal(100, 30, (1, 1000))
    over = 1.1 * difficulty + rng.normal(0, 3, difficulty.shape)
    ratio, low, high = results.ratio_interval(over, difficulty)
    shuffled = rng.permutation(difficulty, axis=1)
    same, wide_low, wide_high = results.ratio_interval(over, shuffled)
    assert ratio == pytest.approx(same)
    assert ratio == pytest.approx(1.1, abs=0.01)
    assert (high - low) < 0.3 * (wide_high - wide_low)


def test_ratio_of_equal_errors_is_one_without_width():
    values = np.random.default_rng(8).gamma(4.0, 25.0, (2, 200))
    assert results.ratio_interval(values, values) == (1.0, 1.0, 1.0)


def test_ratio_interval_follows_the_delta_method():
    rng = np.random.default_rng(9)
    over, under = rng.normal(120, 20, (1, 2500)), rng.normal(100, 20, (1, 2500))
    ratio, low, high = results.ratio_interval(over, under)
    relative = over / over.mean() - under / under.mean()
    half = 1.959964 * ratio * relative.std(ddof=1) / np.sqrt(over.size)
    assert (low, high) == pytest.approx((ratio - half, ratio + half), abs=0.1 * half)


@pytest.mark.parametrize("seeds", [1, 3])
def test_table_1_has_a_row_for_each_error_and_keeps_published_apart(seeds):
    table = results.table1(fake_runs(paper_errors(), seeds))
    assert list(table.columns) == [
        *("table", "row", "column", "published", "reproduced", "ci_low", "ci_high", "seeds")
    ]
    assert len(table) == len(ROWS) * len(results.TABLE_1_COLUMNS)
    assert set(table["seeds"]) == {seeds}
    errors = table.query("column == 'avg_error_mm'")
    assert dict(zip(errors["row"], errors["published"], strict=True)) == paper_errors()
    assert table.query("column != 'avg_error_mm'")["published"].isna().all()
    assert (
        (table["ci_low"] < table["reproduced"]) & (table["reproduced"] < table["ci_high"])
    ).all()


def test_gaps_divide_weak_by_full():
    means = {row: 110.0 if row.endswith("weak") else 100.0 for row in ROWS}
    gaps = results.gaps(fake_runs(means, noise=1.0))
    assert list(gaps["architecture"]) == ["depth", "coordinate", "volume1", "volume2"]
    assert gaps["published"].round(3).tolist() == [1.05, 1.024, 1.048, 1.133]
    assert gaps["reproduced"].tolist() == pytest.approx([1.1] * 4, abs=0.01)
    assert (gaps["ci_high"] - gaps["ci_low"] < 0.02).all()


def test_gaps_of_errors_that_the_paper_does_not_print():
    gaps = results.gaps(fake_runs(), "depth_error")
    assert gaps["published"].isna().all()
    assert gaps["reproduced"].notna().all()


def test_means_without_a_value_are_missing_and_seeds_without_one_do_not_count():
    nothing = np.full((2, 5), np.nan)
    assert np.isnan(results.mean_interval(nothing)).all()
    assert np.isnan(results.ratio_interval(nothing, np.ones((2, 5)))).all()
    half = np.stack([np.full(5, np.nan), np.arange(5.0)])
    assert results.mean_interval(half)[0] == 2.0


def test_interval_of_a_difference_is_that_of_the_paired_differences():
    rng = np.random.default_rng(10)
    difficulty = rng.normal(100, 30, (2, 300))
    one, other = (difficulty + rng.normal(shift, 3, difficulty.shape) for shift in (0, 5))
    values = {("a", "x"): one, ("b", "x"): other}
    interval = results.quantity_interval(lambda m: m["b", "x"] - m["a", "x"], values)
    assert interval == pytest.approx(results.mean_interval(other - one))
    assert interval[2] - interval[1] < 0.3 * np.subtract(*results.mean_interval(one)[:0:-1])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.8, 0.9, "reproduced"),
        (0.8, 1.0, "reproduced"),
        (0.9, 1.1, "undecided"),
        (1.0, 1.1, "undecided"),
        (1.1, 1.2, "not reproduced"),
        (float("nan"), float("nan"), "undecided"),
    ],
)
def test_verdict(low, high, expected):
    assert results.verdict(low, high, 1.0) == expected
    assert results.verdict(-high, -low, -1.0, above=True) == expected


def test_the_papers_own_errors_reproduce_every_statement():
    means = paper_errors()
    # a hair better for weak rows, as the bounds are the published ratios themselves
    values = {row: mean * (0.9999 if row.endswith("weak") else 1) for row, mean in means.items()}
    keys = results.TABLE_1_COLUMNS.values()
    runs = {
        row: [fake_run(row, dict.fromkeys(keys, torch.full((20,), value)))]
        for row, value in values.items()
    }
    judged = results.judge(runs)
    assert set(judged["verdict"]) == {"reproduced"}
    printed = judged.dropna(subset="published")
    assert printed["reproduced"].to_numpy() == pytest.approx(printed["published"], rel=1e-2)
    assert judged["published"].isna().sum() == 2  # 2D given and depth error are not in the paper


def test_opposite_errors_reproduce_nothing():
    means = {
        row: (300.0 if row.endswith("weak") else 100.0) * factor
        for row, factor in zip(ROWS, (1, 1, 1, 1, 2, 2.1, 3, 4), strict=True)
    }
    judged = results.judge(fake_runs(means, noise=0.1))
    assert set(judged["verdict"]) == {"not reproduced"}


def test_noise_leaves_statements_undecided():
    judged = results.judge(fake_runs(noise=40.0))
    orders = judged[judged["statement"].str.contains("better")]
    assert "undecided" in set(orders["verdict"])
    assert (judged["ci_low"] <= judged["ci_high"]).all()


def test_verdicts_are_shown_grouped_counted_and_with_their_numbers():
    values = {(row, "x"): np.full((1, 4), mean) for row, mean in (("a", 1.0), ("b", 2.0))}
    statements = [
        results.Statement("b is larger", lambda m: m["b", "x"] / m["a", "x"], 1.0, above=True),
        results.Statement("a is larger", lambda m: m["a", "x"] / m["b", "x"], 1.0, above=True),
        results.Statement("b is smaller", lambda m: m["b", "x"] / m["a", "x"], 1.0),
    ]
    printed = {("a", "x"): 1.0, ("b", "x"): 3.0}
    shown = results.show(results.weigh(statements, values, printed))
    assert list(shown.index) == [
        ("reproduced, 1 of 3", "b is larger"),
        ("not reproduced, 2 of 3", "a is larger"),
        ("not reproduced, 2 of 3", "b is smaller"),
    ]
    first = shown.iloc[0].to_dict()
    assert first == {
        "reproduced": "2.000 [2.000, 2.000]", "claimed": ">= 1.000", "published": "3.000"
    }  # fmt: skip
    missing = {("a", "x"): np.nan, ("b", "x"): np.nan}
    assert set(results.show(results.weigh(statements, values, missing))["published"]) == {""}


def test_words_say_what_the_intervals_cover():
    assert "test images and 3 seeds" in results.scope("desk", [0, 1, 2])
    assert "too few for 95 percent" in results.scope("desk", [0, 1, 2])
    assert "too few" not in results.scope("desk", range(6)) + results.scope("quick", [4])
    one = results.scope("quick", [4])
    assert "test images only" in one and "Another seed" in one and "Smoke" not in one
    assert "mean nothing" in results.scope("smoke", [0])


def test_statements_are_short_and_distinct():
    texts = [statement.text for statement in results.STATEMENTS]
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) <= 50  # pandas cuts what is longer


def test_csv_has_four_decimals_and_replaces_the_file_as_a_whole(tmp_path):
    path = tmp_path / "tables" / "x.csv"
    frame = pd.DataFrame({"row": ["a, b", "c"], "value": [1 / 3, np.nan], "seeds": [1, 3]})
    results.write_csv(pd.DataFrame({"old": range(100)}), path)
    results.write_csv(frame, path)
    assert path.read_text() == 'row,value,seeds\n"a, b",0.3333,1\nc,,3\n'
    assert [entry.name for entry in path.parent.iterdir()] == ["x.csv"]


def test_a_csv_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "x.csv"
    results.write_csv(pd.DataFrame({"a": [1]}), path)

    def refuse(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", refuse)
    with pytest.raises(InputError, match=r"x\.csv.*No space left"):
        results.write_csv(pd.DataFrame({"a": [2]}), path)
    assert path.read_text() == "a\n1\n"
    assert len(list(tmp_path.glob("*x.csv*"))) == 1


def test_truth_is_that_of_the_test_images(tmp_path):
    row = experiments.ROWS["table1/depth/weak"]
    run = experiments.Run(row, experiments.Setting("smoke", 3, device="cpu"))
    joints, actions = results.truth(run)
    test_set = synthetic.load("studio", "test", "smoke", 3)
    batch = test_set.batch(np.arange(len(test_set)))
    assert joints.shape == (len(test_set), 17, 3)
    assert (joints[:, 0] == 0).all()
    assert torch.allclose(
        joints[:, 5] - joints[:, 2], batch.joints_mm[:, 5] - batch.joints_mm[:, 2]
    )
    assert list(actions) == list(batch.meta["action"])
