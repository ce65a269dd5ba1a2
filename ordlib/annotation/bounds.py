"""How few questions could be enough."""

import math

import numpy as np
from jaxtyping import Int64
from torch import Tensor


def weak_orderings(joints: int) -> int:
    """Number of weak orderings of so many joints, 0 or more (ordered Bell or Fubini number)."""
    counts = [1]
    for n in range(1, joints + 1):
        counts.append(sum(math.comb(n, k) * counts[n - k] for k in range(1, n + 1)))
    return counts[joints]


def certain_after(joints: int) -> int:
    """Answers that any certain ordering needs: one for each two neighbours in it.

    No answers about other pairs imply that two neighbouring groups are in this order and not in the
    other, and a group of k joints needs k - 1 ties: N - 1 answers for G groups of N joints.
    """
    return joints - 1


def entropy_bits(ranks: Int64[Tensor, "images joints"]) -> float:
    """Entropy of the observed distribution of weak orderings, bits.

    Of a sample, so at most log2 of the number of images, and below the entropy of the distribution
    that they come from.
    """
    _, counts = np.unique(ranks.numpy(), axis=0, return_counts=True)
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum())


def questions_for_bits(bits: float) -> float:
    """Questions with three answers that so much information takes, at least."""
    return bits / math.log2(3)
