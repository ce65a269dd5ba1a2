"""Means with 95% bootstrap intervals, and verdicts on them.

Test samples and seeds are drawn again together, `DRAWS` times, with the same draws for all that is
compared: rows of a table share their test images, so ratios and differences are paired.
(`scipy.stats.bootstrap` does not resample two levels jointly.)
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

DRAWS = 2000
VERDICTS = ("reproduced", "not reproduced", "undecided")

Interval = tuple[float, float, float]
"""A number, and the lower and upper end of its interval."""

Values = Mapping[Any, np.ndarray]
"""One value a seed and test sample, (seeds, samples); nan where a sample has none."""

Formula = Callable[[Mapping[Any, Any]], Any]
"""From the mean of each of some values to one number."""


class _Lazily(dict[Any, Any]):
    """A statistic of each of some values, computed when it is asked for."""

    def __init__(self, statistic: Callable[[np.ndarray], Any], values: Values) -> None:
        self._statistic, self._values = statistic, values

    def __contains__(self, key: Any) -> bool:
        return key in self._values

    def __missing__(self, key: Any) -> Any:
        self[key] = self._statistic(self._values[key])
        return self[key]


@lru_cache(maxsize=2)
def _counts(samples: int) -> np.ndarray:
    """How often each bootstrap draw takes each test sample, (DRAWS, samples), always the same."""
    generator, counts = np.random.default_rng(0), np.empty((DRAWS, samples))
    for draw in counts:  # one by one: real test sets have 100,000 images
        draw[:] = np.bincount(generator.integers(0, samples, samples), minlength=samples)
    return counts


def _drawn_means(values: np.ndarray) -> np.ndarray:
    """Means over resampled test samples and seeds, (DRAWS,)."""
    counts, known = _counts(values.shape[1]), np.isfinite(values)
    with np.errstate(invalid="ignore"):  # a draw may hold no value at all, and is nan
        by_seed = (counts @ np.where(known, values, 0).T) / (counts @ known.T)
    seeds = np.random.default_rng(1).integers(0, len(values), (DRAWS, len(values)))
    return np.take_along_axis(by_seed, seeds, axis=1).mean(axis=1)


def _mean(values: np.ndarray) -> float:
    """Mean over the seeds that have any value; nan without one."""
    known = values[np.isfinite(values).any(axis=1)]
    return float(np.nanmean(known, axis=1).mean()) if len(known) else np.nan


def resampled(values: Values) -> Callable[[Formula], Interval]:
    """What gives formulas over the means of `values` their intervals; draws are made once."""
    means, draws = _Lazily(_mean, values), _Lazily(_drawn_means, values)

    def interval(formula: Formula) -> Interval:
        drawn = formula(draws)
        if np.isnan(drawn).all():
            return float(formula(means)), np.nan, np.nan
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        return float(formula(means)), float(low), float(high)

    return interval


def mean(values: np.ndarray) -> Interval:
    """The mean of (seeds, samples) values."""
    return resampled({0: values})(lambda m: m[0])


def ratio(over: np.ndarray, under: np.ndarray) -> Interval:
    """The ratio of two means of the same test samples."""
    return resampled({0: over, 1: under})(lambda m: m[0] / m[1])


def text(interval: Interval, form: str = ".3g") -> str:
    """An interval as readers see it; empty without a number."""
    centre, low, high = (f"{number:{form}}" for number in interval)
    return "" if np.isnan(interval[0]) else f"{centre} [{low}, {high}]"


def verdict(low: float, high: float, bound: float, above: bool = False) -> str:
    """Whether an interval lies on the stated side of a bound, one of `VERDICTS`.

    Reproduced if all of it does (the bound included), not reproduced if none of it does, undecided
    if the bound is inside it or a number is missing.
    """
    if above:
        low, high, bound = -high, -low, -bound
    if high <= bound:
        return "reproduced"
    return "not reproduced" if low > bound else "undecided"
