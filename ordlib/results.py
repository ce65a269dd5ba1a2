"""Tables of reproduced numbers beside published ones, with bootstrap intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ordlib import published
from ordlib.experiments import ROWS, Run
from ordlib.files import replacing

DRAWS = 2000
COLUMNS = ["table", "row", "column", "published", "reproduced", "ci_low", "ci_high", "seeds"]

TABLE_1_COLUMNS = {
    "avg_error_mm": "mpjpe",
    "oracle_scale_mm": "mpjpe_oracle_scale",
    "given_2d_mm": "mpjpe_given_2d",
    "reconstruction_error_mm": "reconstruction_error",
    "depth_error_mm": "depth_error",
    "keypoint_error_percent": "keypoint_error",
    "ordinal_accuracy": "ordinal_accuracy",
}
"""Column of Table 1 to metric of `evaluation.evaluate`; only the first is in the paper."""

Interval = tuple[float, float, float]


def _resampled(samples: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of test samples and of seeds for every bootstrap draw, always the same ones."""
    generator = np.random.default_rng(0)
    return (
        generator.integers(0, samples, (DRAWS, samples)),
        generator.integers(0, seeds, (DRAWS, seeds)),
    )


def _bootstrap_means(values: np.ndarray) -> np.ndarray:
    """Means of (seeds, samples) values over resampled test samples and seeds, (DRAWS,)."""
    samples, seeds = _resampled(values.shape[1], values.shape[0])
    # one seed at a time: (DRAWS, seeds) means, then a resampled choice among the seeds
    by_seed = np.stack([np.nanmean(row[samples], axis=1) for row in values], axis=1)
    return np.take_along_axis(by_seed, seeds, axis=1).mean(axis=1)


def _interval(centre: float, draws: np.ndarray) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(centre), float(low), float(high)


def mean_interval(values: np.ndarray) -> Interval:
    """Mean of a metric with its 95% bootstrap interval over test samples and seeds.

    Args:
        values: (seeds, samples), one value a test sample; nan where a sample has none.
    """
    return _interval(np.nanmean(values, axis=1).mean(), _bootstrap_means(values))


def ratio_interval(over: np.ndarray, under: np.ndarray) -> Interval:
    """Ratio of two means with its 95% interval; both are resampled together, as they are paired.

    Args:
        over, under: (seeds, samples) of the same test samples.
    """
    centre = np.nanmean(over, axis=1).mean() / np.nanmean(under, axis=1).mean()
    return _interval(centre, _bootstrap_means(over) / _bootstrap_means(under))


def per_sample(runs: Sequence[Run], metric: str) -> np.ndarray:
    """A metric of one row's runs, (seeds, samples)."""
    return np.stack([run.predictions[metric].numpy() for run in runs])


def table1(runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """Table 1 with the columns of `COLUMNS`, published and reproduced apart.

    Args:
        runs: for each row id the runs of all seeds.
    """
    printed = published.table(1).set_index("row")["avg_error_mm"]
    records = [
        (
            *(1, row, column, printed[row] if column == "avg_error_mm" else np.nan),
            *mean_interval(per_sample(runs[row], metric)),
            len(runs[row]),
        )
        for row in printed.index
        for column, metric in TABLE_1_COLUMNS.items()
    ]
    return pd.DataFrame(records, columns=COLUMNS)


def gaps(runs: Mapping[str, Sequence[Run]], metric: str = "mpjpe") -> pd.DataFrame:
    """For each architecture of Table 1 the ratio weak / full, published and reproduced.

    Returns:
        Columns `architecture`, `published`, `reproduced`, `ci_low`, `ci_high`.
    """
    printed = published.table(1).set_index("row")["avg_error_mm"]
    names = [row.removesuffix("/weak") for row in printed.index if ROWS[row].weak]
    records = [
        (name.removeprefix("table1/"), printed[f"{name}/weak"] / printed[f"{name}/full"])
        + ratio_interval(*(per_sample(runs[f"{name}/{kind}"], metric) for kind in ("weak", "full")))
        for name in names
    ]
    return pd.DataFrame(
        records, columns=["architecture", "published", "reproduced", "ci_low", "ci_high"]
    )


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table with four decimals, replacing the file as a whole."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.4f")
