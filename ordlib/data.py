"""The sample type that every data set yields, rendered or real."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ordlib.shapes import MixedBatch, PoseBatch
from ordlib.skeleton import Skeleton

__all__ = ["MixedBatch", "PoseBatch", "PoseDataset"]


@runtime_checkable
class PoseDataset(Protocol):
    """What every data set offers; samples are made when asked for.

    Attributes:
        name: name of the data set.
        split: which part of it this is.
        skeleton: joint set of all arrays.
        limb_lengths_mm: (N-1,) mean lengths of the bones that end in joints 1 to N-1, in joint
            order, over the training subjects.
    """

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def skeleton(self) -> Skeleton: ...
    @property
    def limb_lengths_mm(self) -> Float[Tensor, " bones"]: ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def batch(self, indices: "np.ndarray | Tensor | list[int]", device: str = "cpu") -> PoseBatch:
        """The samples at `indices`, as tensors on `device`."""
        ...
