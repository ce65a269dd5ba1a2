"""The experiments: every row of every table, what it is measured by, and what follows from it."""

from ordlib.experiments.rows import ROWS, Row, get_row
from ordlib.experiments.runs import Run, run, train
from ordlib.experiments.setting import Setting

__all__ = ["ROWS", "Row", "Run", "Setting", "get_row", "run", "train"]
