"""The built-in benchmark: rendered stand-ins for the data sets of the paper."""

from ordlib.synthetic.dataset import SyntheticDataset, fingerprint, load
from ordlib.synthetic.domains import DOMAINS

__all__ = ["DOMAINS", "SyntheticDataset", "fingerprint", "load"]
