"""Tables of reproduced numbers beside published ones, with bootstrap intervals and verdicts."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ordlib.experiments import Run, published
from ordlib.experiments import roles as domains
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
Key = tuple[str, str]
"""A row's id and a metric."""


@lru_cache(maxsize=2)
def _counts(samples: int) -> np.ndarray:
    """How often each bootstrap draw takes each test sample, (DRAWS, samples), always the same."""
    generator, counts = np.random.default_rng(0), np.empty((DRAWS, samples))
    for draw in counts:  # one by one: real test sets have 100,000 images
        draw[:] = np.bincount(generator.integers(0, samples, samples), minlength=samples)
    return counts


def _bootstrap_means(values: np.ndarray) -> np.ndarray:
    """Means of (seeds, samples) values over resampled test samples and seeds, (DRAWS,)."""
    counts, known = _counts(values.shape[1]), np.isfinite(values)
    with np.errstate(invalid="ignore"):  # a draw may hold no value at all, and is nan
        by_seed = (counts @ np.where(known, values, 0).T) / (counts @ known.T)
    seeds = np.random.default_rng(1).integers(0, len(values), (DRAWS, len(values)))
    return np.take_along_axis(by_seed, seeds, axis=1).mean(axis=1)


def _mean(values: np.ndarray) -> float:
    """Mean of (seeds, samples) values over the seeds that have any; nan without a value."""
    known = values[np.isfinite(values).any(axis=1)]
    return float(np.nanmean(known, axis=1).mean()) if len(known) else np.nan


def _interval(centre: float, draws: np.ndarray) -> Interval:
    if np.isnan(draws).all():
        return float(centre), np.nan, np.nan
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(centre), float(low), float(high)


def mean_interval(values: np.ndarray) -> Interval:
    """Mean of a metric with its 95% bootstrap interval over test samples and seeds.

    Args:
        values: (seeds, samples), one value a test sample; nan where a sample has none.
    """
    return _interval(_mean(values), _bootstrap_means(values))


def ratio_interval(over: np.ndarray, under: np.ndarray) -> Interval:
    """Ratio of two means with its 95% interval; both are resampled together, as they are paired.

    Args:
        over, under: (seeds, samples) of the same test samples.
    """
    return _interval(_mean(over) / _mean(under), _bootstrap_means(over) / _bootstrap_means(under))


def quantity_interval(
    quantity: Callable[[Mapping[Key, Any]], Any], values: Mapping[Key, np.ndarray]
) -> Interval:
    """A number made of several means, with its 95% interval; all are resampled together.

    Args:
        quantity: from the means to the number; see `Statement`.
        values: (seeds, samples) for each row and metric, of the same test samples.
    """
    means, draws = _resampled(values)
    return _interval(quantity(means), quantity(draws))


def _resampled(
    values: Mapping[Key, np.ndarray],
) -> tuple[dict[Key, float], dict[Key, np.ndarray]]:
    means = {key: _mean(value) for key, value in values.items()}
    return means, {key: _bootstrap_means(value) for key, value in values.items()}


def per_sample(runs: Sequence[Run], metric: str) -> np.ndarray:
    """A metric of one row's runs, (seeds, samples), float64."""
    return np.stack([run.predictions()[metric].double().numpy() for run in runs])


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


def _weak_over_full(means: Mapping[Key, Any], architecture: str, metric: str = "mpjpe") -> Any:
    weak, full = (f"table1/{architecture}/{kind}" for kind in ("weak", "full"))
    return means[weak, metric] / means[full, metric]


ARCHITECTURES = tuple(
    row.split("/")[1] for row in published.table(1)["row"] if row.endswith("/weak")
)
"""The four architectures of Table 1, in its order."""


def gaps(runs: Mapping[str, Sequence[Run]], metric: str = "mpjpe") -> pd.DataFrame:
    """For each architecture of Table 1 the ratio weak / full of a metric.

    Returns:
        Columns `architecture`, `metric`, `published` (nan but for `mpjpe`, the only metric that the
        paper prints), `reproduced`, `ci_low`, `ci_high`.
    """
    printed, records = _printed(), []
    for name in ARCHITECTURES:
        rows = (f"table1/{name}/weak", f"table1/{name}/full")
        interval = ratio_interval(*(per_sample(runs[row], metric) for row in rows))
        records.append((name, metric, _weak_over_full(printed, name, metric), *interval))
    columns = ["architecture", "metric", "published", "reproduced", "ci_low", "ci_high"]
    return pd.DataFrame(records, columns=columns)


def _printed() -> Mapping[Key, float]:
    """The paper's numbers for Table 1; nan for what it does not print."""
    rows = published.table(1).set_index("row")["avg_error_mm"]
    return defaultdict(lambda: np.nan, {(row, "mpjpe"): value for row, value in rows.items()})


@dataclass(frozen=True)
class Statement:
    """A statement of the paper as a number that lies on one side of a bound.

    Attributes:
        text: the statement in words.
        quantity: from the mean of every row and metric to the number that is judged.
        bound: what it is held against; None for the number that the paper's own errors give.
        above: whether the statement says that the number is above the bound, not below.
    """

    text: str
    quantity: Callable[[Mapping[Key, Any]], Any]
    bound: float | None = None
    above: bool = False


def _largest_gap(means: Mapping[Key, Any]) -> Any:
    return np.maximum.reduce([_weak_over_full(means, name) for name in ARCHITECTURES])


def _growth(means: Mapping[Key, Any], metric: str) -> Any:
    """How much the ratio of the two hourglasses exceeds the largest of the others."""
    *others, last = (_weak_over_full(means, name, metric) for name in ARCHITECTURES)
    return last - np.maximum.reduce(others)


def over(first: str, second: str, metric: str = "mpjpe") -> Callable[[Mapping[Key, Any]], Any]:
    """The quantity of a statement: the ratio of a metric's means in two rows."""
    return lambda means: means[first, metric] / means[second, metric]


STATEMENTS = (
    Statement("competitive in all cases: largest weak / full", _largest_gap),
    *(
        Statement(
            f"{name}: weak / full as small as published",
            partial(_weak_over_full, architecture=name),
        )
        for name in ARCHITECTURES
    ),
    *(
        Statement(
            f"gap grows only with two hourglasses: {word}",
            partial(_growth, metric=metric),
            0.0,
            above=True,
        )
        for word, metric in (
            ("error", "mpjpe"),
            ("2D given", "mpjpe_given_2d"),
            ("depth error", "depth_error"),
        )
    ),
    *(
        Statement(f"{text}, {kind}", over(f"table1/{first}/{kind}", f"table1/{second}/{kind}"), 1.0)
        for text, first, second in (
            ("volume better than coordinates", "volume1", "coordinate"),
            ("two hourglasses better than one", "volume2", "volume1"),
        )
        for kind in ("weak", "full")
    ),
)
"""What Section 4.3 and Table 1 say about the eight rows."""


def verdict(low: float, high: float, bound: float, above: bool = False) -> str:
    """Whether an interval lies on the stated side of a bound.

    Returns:
        `reproduced` if all of it does (the bound included), `not reproduced` if none of it does,
        `undecided` if the bound is inside it or a number is missing.
    """
    if above:
        low, high, bound = -high, -low, -bound
    if high <= bound:
        return "reproduced"
    return "not reproduced" if low > bound else "undecided"


def judge(
    runs: Mapping[str, Sequence[Run]], statements: Sequence[Statement] = STATEMENTS
) -> pd.DataFrame:
    """Statements about Table 1, see `weigh`.

    Args:
        runs: for each row id of Table 1 the runs of all seeds.
    """
    values = {
        (row, metric): per_sample(runs[row], metric)
        for row in published.table(1)["row"]
        for metric in TABLE_1_COLUMNS.values()
    }
    return weigh(statements, values, _printed())


def weigh(
    statements: Sequence[Statement],
    values: Mapping[Key, np.ndarray],
    printed: Mapping[Key, float],
) -> pd.DataFrame:
    """Each statement with its published and its reproduced number and a verdict.

    Everything is resampled together, as the rows share their test images.

    Args:
        values: (seeds, samples) for each row and metric, of the same test samples.
        printed: the published means; nan where there is none.

    Returns:
        Columns `statement`, `published`, `bound` (with its side), `reproduced`, `ci_low`,
        `ci_high`, `verdict`.
    """
    means, draws = _resampled(values)
    records = []
    for one in statements:
        stated = float(one.quantity(printed))
        interval = _interval(one.quantity(means), one.quantity(draws))
        bound = stated if one.bound is None else one.bound
        side = f"{'>=' if one.above else '<='} {bound:.3f}"
        judged = verdict(*interval[1:], bound, one.above)
        records.append((one.text, stated, side, *interval, judged))
    columns = ["statement", "published", "bound", "reproduced", "ci_low", "ci_high", "verdict"]
    return pd.DataFrame(records, columns=columns)


VERDICTS = ("reproduced", "not reproduced", "undecided")


def show(judged: pd.DataFrame) -> pd.DataFrame:
    """Verdicts for a reader: grouped and counted, each number with its interval in one text.

    Args:
        judged: see `weigh`.

    Returns:
        Columns `reproduced`, `claimed`, `published` as text, by verdict and statement.
    """
    groups = [(word, judged[judged["verdict"] == word]) for word in VERDICTS]
    records = {
        (f"{word}, {len(part)} of {len(judged)}", one.statement): {
            "reproduced": f"{one.reproduced:.3f} [{one.ci_low:.3f}, {one.ci_high:.3f}]",
            "claimed": one.bound,
            "published": "" if np.isnan(one.published) else f"{one.published:.3f}",
        }
        for word, part in groups
        for one in part.itertuples()
    }
    frame = pd.DataFrame.from_dict(records, orient="index")
    frame.index = pd.MultiIndex.from_tuples(records, names=["verdict", "statement"])
    return frame


def scope(scale: str, seeds: Sequence[int]) -> str:
    """What the intervals and verdicts of a scale cover, in words."""
    many = len(seeds) > 1
    covers = f"test images and {len(seeds)} seeds" if many else "test images only"
    lines = [f"Seeds: {len(seeds)}. The intervals cover {covers}."]
    if not many:
        lines.append(
            "Another seed would give other images, other people's looks and other weights;\n"
            "by how much the numbers would change, these intervals do not say."
        )
    elif len(seeds) < 6:
        lines.append(
            "So few seeds are too few for 95 percent where seeds differ more than test images do:\n"
            "the interval then runs from the lowest to the highest of them, and is too narrow."
        )
    if scale == "smoke":
        lines.append("Scale smoke: the networks are hardly trained; its verdicts mean nothing.")
    return "\n".join(lines)


def truth(run: Run) -> tuple[Tensor, np.ndarray]:
    """Root-relative 3D joints (samples, N, 3) in mm and actions of the test images of its home."""
    dataset = run.setting.load(run.row.home, run.row.test_split)
    # in parts: the images come along, and at full size they would fill the memory
    parts = np.array_split(np.arange(len(dataset)), -(-len(dataset) // 256))
    batches = [domains.labels(dataset, part) for part in parts]
    joints = torch.cat([batch.joints_mm for batch in batches if batch.joints_mm is not None])
    root = dataset.skeleton.root
    actions = np.concatenate([batch.meta["action"] for batch in batches])
    return joints - joints[:, root, None], actions


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table with four decimals, replacing the file as a whole."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.4f")
