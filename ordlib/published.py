"""The paper's numbers as printed."""

import pandas as pd

from ordlib.errors import InputError

# Table 1: mean per joint errors (mm) on Human3.6M.
_TABLE_1 = (
    ("table1/depth/weak", "depth prediction", "ordinal supervision", 84.24),
    ("table1/depth/full", "depth prediction", "direct regression", 80.23),
    ("table1/coordinate/weak", "coordinate regression", "weakly supervised", 115.08),
    ("table1/coordinate/full", "coordinate regression", "fully supervised [32]", 112.41),
    ("table1/volume1/weak", "volume regression, one hourglass", "weakly supervised", 89.93),
    ("table1/volume1/full", "volume regression, one hourglass", "fully supervised [32]", 85.82),
    ("table1/volume2/weak", "volume regression, two hourglasses", "weakly supervised", 79.03),
    ("table1/volume2/full", "volume regression, two hourglasses", "fully supervised [32]", 69.77),
)


def table(number: int) -> pd.DataFrame:
    """A table of the paper, with its rows and numbers as printed.

    Table 1 has the columns `row` (the id in `experiments.ROWS`), `architecture`, `supervision` and
    `avg_error_mm`.

    Raises:
        InputError: a table that is not here.
    """
    if number != 1:
        raise InputError(f"table: expected 1, found {number!r}")
    return pd.DataFrame(_TABLE_1, columns=["row", "architecture", "supervision", "avg_error_mm"])
