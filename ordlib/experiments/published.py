"""The paper's numbers as printed, Tables 1 to 7, with the source of each row.

Errors are in mm, shares in percent. Averages are printed numbers like the others and are never
recomputed: those of Tables 4 to 6 are not always means of their row (see `CAPTIONS`).
"""

import re
from collections.abc import Sequence

import pandas as pd

from ordlib.errors import InputError

CAPTIONS = {
    1: "Human3.6M, mean per joint errors (mm): ordinal supervision against 3D ground truth.",
    2: "Human3.6M, mean per joint errors (mm): more data, and the reconstruction component.",
    3: "MPI-INF-3DHP, PCK3D and AUC (%): what ordinal annotations do for generalisation.",
    4: "Human3.6M, mean per joint errors (mm) by action. The average of Ours is over frames: 56.2,"
    " where the mean of the 15 actions is 55.8.",
    5: "Human3.6M, reconstruction errors (mm) by action. Rows marked * are taken from [5]. The"
    " average of Ours is over frames: 41.8, where the mean of the 15 actions is 41.4.",
    6: "HumanEva-I, reconstruction errors (mm). The paper prints S1, S3, S3 over the columns of"
    " Walking, a misprint for S1, S2, S3. Printed averages that are not the mean of their row:"
    " Moreno-Noguer 26.9 (23.0) and Ours 18.3 (19.0).",
    7: "MPI-INF-3DHP test set, PCK3D by part and over all, and AUC over all (%); nobody trained on"
    " data of this set.",
}
"""What each table holds, and what is odd about it."""

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
_TABLE_2 = (
    ("table1/volume2/full", "Human3.6M", 71.9),
    ("table2/keypoints", "Human3.6M + 2D keyp", 66.6),
    ("table2/ordinal", "Human3.6M + 2D keyp + Ord", 62.1),
    ("table2/keypoints+rec", "Human3.6M + 2D keyp + Rec", 59.1),
    ("table2/ordinal+rec", "Human3.6M + 2D keyp + Ord + Rec", 56.2),
)
_TABLE_3 = (
    ("table1/volume2/full", "Human3.6M", 17.1, 6.3),
    ("table2/keypoints", "Human3.6M + 2D keyp", 44.3, 19.8),
    ("table2/ordinal", "Human3.6M + 2D keyp + Ord", 71.9, 35.3),
)

# Method, then the numbers from left to right; the last of Tables 4 to 6 is the average.
_TABLE_4 = """
Tekin et al. [49] (CVPR'16): 102.4 147.2 88.8 125.3 118.0 182.7 112.4 129.2 138.9 224.9 118.4 138.8 126.3 55.1 65.8 125.0
Zhou et al. [67] (CVPR'16): 87.4 109.3 87.1 103.2 116.2 143.3 106.9 99.8 124.5 199.2 107.4 118.1 114.2 79.4 97.7 113.0
Du et al. [14] (ECCV'16): 85.1 112.7 104.9 122.1 139.1 135.9 105.9 166.2 117.5 226.9 120.0 117.7 137.4 99.3 106.5 126.5
Zhou et al. [65] (ECCVW'16): 91.8 102.4 96.7 98.8 113.4 125.2 90.0 93.8 132.2 159.0 107.0 94.4 126.0 79.0 99.0 107.3
Chen et al. [10] (CVPR'17): 89.9 97.6 90.0 107.9 107.3 139.2 93.6 136.1 133.1 240.1 106.7 106.2 114.1 87.0 90.6 114.2
Tome et al. [51] (CVPR'17): 65.0 73.5 76.8 86.4 86.3 110.7 68.9 74.8 110.2 173.9 85.0 85.8 86.3 71.4 73.1 88.4
Rogez et al. [40] (CVPR'17): 76.2 80.2 75.8 83.3 92.2 105.7 79.0 71.7 105.9 127.1 88.0 83.7 86.6 64.9 84.0 87.7
Pavlakos et al. [32] (CVPR'17): 67.4 71.9 66.7 69.1 72.0 77.0 65.0 68.3 83.7 96.5 71.7 65.8 74.9 59.1 63.2 71.9
Nie et al. [60] (ICCV'17): 90.1 88.2 85.7 95.6 103.9 103.0 92.4 90.4 117.9 136.4 98.5 94.4 90.6 86.0 89.5 97.5
Tekin et al. [48] (ICCV'17): 54.2 61.4 60.2 61.2 79.4 78.3 63.1 81.6 70.1 107.3 69.3 70.3 74.3 51.8 74.3 69.7
Zhou et al. [64] (ICCV'17): 54.8 60.7 58.2 71.4 62.0 65.5 53.8 55.6 75.2 111.6 64.2 66.1 51.4 63.2 55.3 64.9
Martinez et al. [25] (ICCV'17): 51.8 56.2 58.1 59.0 69.5 78.4 55.2 58.1 74.0 94.6 62.3 59.1 65.1 49.5 52.4 62.9
Ours: 48.5 54.4 54.4 52.0 59.4 65.3 49.9 52.9 65.8 71.1 56.6 52.9 60.9 44.7 47.8 56.2
"""  # noqa: E501
_TABLE_5 = """
Akhter & Black [1]* (CVPR'15): 199.2 177.6 161.8 197.8 176.2 186.5 195.4 167.3 160.7 173.7 177.8 181.9 176.2 198.6 192.7 181.1
Ramakrishna et al. [38]* (ECCV'12): 137.4 149.3 141.6 154.3 157.7 158.9 141.8 158.1 168.6 175.6 160.4 161.7 150.0 174.8 150.2 157.3
Zhou et al. [66]* (CVPR'15): 99.7 95.8 87.9 116.8 108.3 107.3 93.5 95.3 109.1 137.5 106.0 102.2 106.5 110.4 115.2 106.7
Bogo et al. [5] (ECCV'16): 62.0 60.2 67.8 76.5 92.1 77.0 73.0 75.3 100.3 137.3 83.4 77.3 86.8 79.7 87.7 82.3
Moreno-Noguer [28] (CVPR'17): 66.1 61.7 84.5 73.7 65.2 67.2 60.9 67.3 103.5 74.6 92.6 69.6 71.5 78.0 73.2 74.0
Pavlakos et al. [32] (CVPR'17): 47.5 50.5 48.3 49.3 50.7 55.2 46.1 48.0 61.1 78.1 51.1 48.3 52.9 41.5 46.4 51.9
Martinez et al. [25] (ICCV'17): 39.5 43.2 46.4 47.0 51.0 56.0 41.4 40.6 56.5 69.4 49.2 45.0 49.5 38.0 43.1 47.7
Ours: 34.7 39.8 41.8 38.6 42.5 47.5 38.0 36.6 50.7 56.8 42.6 39.6 43.9 32.1 36.5 41.8
"""  # noqa: E501
_TABLE_6 = """
Radwan et al. [37]: 75.1 99.8 93.8 79.2 89.8 99.4 89.5
Wang et al. [54]: 71.9 75.7 85.3 62.6 77.7 54.4 71.3
Simo-Serra et al. [43]: 65.1 48.6 73.5 74.2 46.6 32.2 56.7
Bo et al. [4]: 46.4 30.3 64.9 64.5 48.0 38.2 48.7
Kostrikov et al. [20]: 44.0 30.9 41.7 57.2 35.0 33.3 40.3
Yasin et al. [62]: 35.8 32.4 41.6 46.6 41.4 35.4 38.9
Moreno-Noguer [28]: 19.7 13.0 24.9 39.7 20.0 21.0 26.9
Pavlakos et al. [32]: 22.1 21.9 29.0 29.8 23.6 26.0 25.5
Martinez et al. [25]: 19.7 17.4 46.8 26.9 18.2 18.6 24.6
Ours: 18.8 12.7 29.2 23.5 15.4 14.5 18.3
"""
_TABLE_7 = """
Mehta et al. [26]: 70.8 62.3 58.8 64.7 31.7
Zhou et al. [64]: 71.1 64.7 72.7 69.2 32.5
Ours: 76.5 63.1 77.5 71.9 35.3
"""
_METHOD = re.compile(r"(?P<method>[^\[(]+?)(?: \[(?P<number>\d+)\](?P<star>\*?))?(?: \((.+)\))?")


def _ablation(rows: Sequence[tuple], columns: Sequence[str]) -> pd.DataFrame:
    """Table 2 or 3, with what each row adds to Human3.6M as truth values of its own."""
    frame = pd.DataFrame(rows, columns=["row", "training", *columns])
    for place, word in enumerate(("keyp", "Ord", "Rec"), 2):
        name = {"keyp": "keypoints", "Ord": "ordinal", "Rec": "reconstruction"}[word]
        frame.insert(place, name, frame["training"].str.contains(word))
    return frame


def _comparison(text: str, columns: Sequence[str]) -> pd.DataFrame:
    """One of Tables 4 to 7: `method`, `reference`, `venue`, `source`, then the numbers."""
    records = []
    for line in text.strip().splitlines():
        title, _, numbers = line.partition(": ")
        found = _METHOD.fullmatch(title)
        assert found is not None
        name, number, star, venue = found.groups()
        source = "this paper" if number is None else "[5]" if star else f"[{number}]"
        reference = "" if number is None else f"[{number}]"
        records.append((name, reference, venue or "", source, *map(float, numbers.split())))
    return pd.DataFrame(records, columns=["method", "reference", "venue", "source", *columns])


def table(number: int) -> pd.DataFrame:
    """A table of the paper, with its rows in order and its numbers as printed.

    - Table 1: `row` (id in `experiments.ROWS`), `architecture`, `supervision`; `avg_error_mm`.
    - Table 2: `row` (id in `experiments.ROWS`, `+rec` with the reconstruction component),
      `training`, and the booleans `keypoints`, `ordinal`, `reconstruction`; `avg_error_mm`.
    - Table 3: `row` and text as in Table 2; `PCK3D`, `AUC`.
    - Tables 4 to 7: `method`, `reference`, `venue`, `source`, then the numbers.
        - 4 and 5: the keys of `ACTIONS`, `Avg`.
        - 6: `HUMANEVA_COLUMNS`, `Avg`.
        - 7: `Studio GS`, `Studio no GS`, `Outdoor`, `All`, `AUC`.

    `reference` is the method's number in the paper's references, empty for the paper itself, which
    is called Ours; `source` says where the paper took the row's numbers from; `venue` is empty
    where none is printed.

    Raises:
        InputError: a number that is not 1 to 7.
    """
    if number == 1:
        return pd.DataFrame(
            _TABLE_1, columns=["row", "architecture", "supervision", "avg_error_mm"]
        )
    if number == 2:
        return _ablation(_TABLE_2, ["avg_error_mm"])
    if number == 3:
        return _ablation(_TABLE_3, ["PCK3D", "AUC"])
    if number in (4, 5):
        return _comparison(_TABLE_4 if number == 4 else _TABLE_5, [*ACTIONS, "Avg"])
    if number == 6:
        return _comparison(_TABLE_6, [*HUMANEVA_COLUMNS, "Avg"])
    if number == 7:
        return _comparison(_TABLE_7, ["Studio GS", "Studio no GS", "Outdoor", "All", "AUC"])
    raise InputError(f"table: expected a number from 1 to 7, found {number!r}")
