"""The paper's numbers as printed, Tables 1 to 7, with the source of each row.

Errors are in mm, shares in percent. Averages are printed numbers like the others and are never
recomputed: those of Tables 4 to 6 are not always means of their row. Ours is over frames in Tables
4 (56.2, the mean of the actions is 55.8) and 5 (41.8 and 41.4), and in Table 6 neither 18.3 (19.0)
nor Moreno-Noguer's 26.9 (23.0) is the mean. Table 6 heads the columns of Walking S1, S3, S3, a
misprint for S1, S2, S3.
"""

from pathlib import Path

import pandas as pd

from ordlib.errors import InputError

ACTIONS = {
    "Direct.": "Directions",
    "Discuss": "Discussion",
    "Eating": "Eating",
    "Greet": "Greeting",
    "Phone": "Phoning",
    "Photo": "Photo",
    "Pose": "Posing",
    "Purch.": "Purchases",
    "Sitting": "Sitting",
    "SitingD": "SittingDown",
    "Smoke": "Smoking",
    "Wait": "Waiting",
    "WalkD": "WalkDog",
    "Walk": "Walking",
    "WalkT": "WalkTogether",
}
"""Column headings of Tables 4 and 5, as printed, with the names of the actions of Human3.6M."""

HUMANEVA_COLUMNS = tuple(f"{action} S{n}" for action in ("Walking", "Jogging") for n in (1, 2, 3))
"""Columns of Table 6 but for the average."""


def table(number: int) -> pd.DataFrame:
    """A table of the paper, with its rows in order and its numbers as printed.

    - Table 1: `row` (id in `experiments.ROWS`), `architecture`, `supervision`; `avg_error_mm`.
    - Table 2: `row` (`+rec` with the reconstruction component), `training`, and the booleans
      `keypoints`, `ordinal`, `reconstruction`; `avg_error_mm`. Table 3 the same; `PCK3D`, `AUC`.
    - Tables 4 to 7: `method`, `reference` (its number in the paper's references, empty for the
      paper itself), `venue`, `source` (where the paper took the numbers from), then the numbers.
    """
    if number not in range(1, 8):
        raise InputError(f"table: expected a number from 1 to 7, found {number!r}")
    # an empty text stays one
    return pd.read_csv(Path(__file__).with_name(f"table{number}.csv"), keep_default_na=False)
