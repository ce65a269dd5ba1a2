"""Means, ratios and formulas with bootstrap intervals, and verdicts on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ordlib.experiments import intervals


def gamma(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(4.0, 25.0, shape)


def test_many_samples_give_the_normal_approximation() -> None:
    values = gamma(0, 1, 3000)
    mean, low, high = intervals.mean(values)
    half = 1.959964 * values.std(ddof=1) / np.sqrt(values.size)
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)


def test_few_samples_agree_with_a_loop() -> None:
    values, rng = gamma(2, 1, 60), np.random.default_rng(99)
    loop = [rng.choice(values[0], values.shape[1]).mean() for _ in range(6000)]
    mean, low, high = intervals.mean(values)
    ends = np.percentile(loop, [2.5, 97.5])
    assert [low, high] == pytest.approx(ends, abs=0.08 * (ends[1] - ends[0]))
    assert low < mean < high


def test_seeds_widen_the_interval() -> None:
    noise = np.random.default_rng(3).normal(0, 1, (3, 500))
    _, low, high = intervals.mean(noise + np.array([[-20.0], [0.0], [20.0]]))
    _, narrow_low, narrow_high = intervals.mean(noise)
    assert high - low > 20 > 10 * (narrow_high - narrow_low)
    # one of 27 resamples takes the lowest seed three times: 3.7%, more than the 2.5% outside
    assert (low, high) == pytest.approx((-20, 20), abs=0.5)


@hypothesis_settings(max_examples=10)
@given(st.floats(-1e4, 1e4), st.integers(1, 3), st.integers(1, 50))
def test_equal_values_have_an_interval_without_width(value, seeds, samples) -> None:
    interval = intervals.mean(np.full((seeds, samples), value))
    assert interval == pytest.approx((value, value, value), rel=1e-9, abs=1e-9)


def test_samples_without_a_value_are_left_out() -> None:
    values = gamma(6, 1, 400)
    holes = values.copy()
    holes[:, ::2] = np.nan
    mean, low, high = intervals.mean(holes)
    assert mean == pytest.approx(values[:, 1::2].mean())
    _, all_low, all_high = intervals.mean(values)
    assert 1.1 < (high - low) / (all_high - all_low) < 1.8  # sqrt(2), from half the samples
    # draws that hold no value do not count, nor do seeds without one
    assert intervals.mean(np.array([[np.nan, np.nan, 7.0]])) == pytest.approx((7.0, 7.0, 7.0))
    assert intervals.mean(np.stack([np.full(5, np.nan), np.arange(5.0)]))[0] == 2.0
    nothing = np.full((2, 5), np.nan)
    assert np.isnan(intervals.mean(nothing)).all()
    assert np.isnan(intervals.ratio(nothing, np.ones((2, 5)))).all()


def test_a_ratio_follows_the_delta_method() -> None:
    rng = np.random.default_rng(9)
    over, under = rng.normal(120, 20, (1, 2500)), rng.normal(100, 20, (1, 2500))
    ratio, low, high = intervals.ratio(over, under)
    relative = over / over.mean() - under / under.mean()
    half = 1.959964 * ratio * relative.std(ddof=1) / np.sqrt(over.size)
    assert (low, high) == pytest.approx((ratio - half, ratio + half), abs=0.1 * half)
    np.random.seed(1)
    assert intervals.ratio(over, under) == (ratio, low, high)  # the same draws every time
    assert intervals.ratio(under, under) == (1.0, 1.0, 1.0)


def test_a_difference_is_that_of_the_paired_differences() -> None:
    rng = np.random.default_rng(10)
    difficulty = rng.normal(100, 30, (2, 300))
    a, b = (difficulty + rng.normal(shift, 3, difficulty.shape) for shift in (0, 5))
    interval = intervals.resampled({"a": a, "b": b})(lambda m: m["b"] - m["a"])
    assert interval == pytest.approx(intervals.mean(b - a))
    assert interval[2] - interval[1] < 0.3 * np.subtract(*intervals.mean(a)[:0:-1])


def test_only_what_a_formula_asks_for_must_be_there() -> None:
    interval = intervals.resampled({"a": np.ones((1, 3))})
    assert interval(lambda m: m["a"] if "b" not in m else np.nan) == (1.0, 1.0, 1.0)
    with pytest.raises(KeyError, match="b"):
        interval(lambda m: m["b"])


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
def test_verdict(low, high, expected) -> None:
    assert intervals.verdict(low, high, 1.0) == expected
    assert intervals.verdict(-high, -low, -1.0, above=True) == expected


def test_text() -> None:
    assert intervals.text((1.23456, 1.0, 2.0)) == "1.23 [1, 2]"
    assert intervals.text((1.0, 0.5, 2.0), ".1f") == "1.0 [0.5, 2.0]"
    assert intervals.text((np.nan, np.nan, np.nan)) == ""
