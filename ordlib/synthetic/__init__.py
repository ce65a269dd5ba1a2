"""The built-in benchmark: rendered stand-ins for the data sets of the paper."""

from ordlib.synthetic.dataset import Skeletons, load, skeletons
from ordlib.synthetic.domains import DOMAINS

__all__ = ["DOMAINS", "Skeletons", "load", "skeletons"]
