"""The experiments: every row of every table, what it is measured by, and what follows from it."""

from ordlib.experiments.rows import ROWS, Row, get_row
from ordlib.experiments.runs import (
    Run,
    batch_indices,
    configuration,
    is_done,
    run,
    seeds,
    train,
    warm_start,
)

__all__ = [
    "ROWS",
    "Row",
    "Run",
    "batch_indices",
    "configuration",
    "get_row",
    "is_done",
    "run",
    "seeds",
    "train",
    "warm_start",
]
