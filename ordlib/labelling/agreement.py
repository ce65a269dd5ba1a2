"""How far several annotators agree about relations of the same joints in the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, Int64
from torch import Tensor

from ordlib.errors import InputError

CATEGORIES = (-1, 0, 1)


@dataclass(frozen=True)
class Agreement:
    """Agreement about the relations that at least two annotators know.

    Relations of one image follow from each other, so these are counts of relations and not of
    independent answers.

    Attributes:
        annotators: their names.
        relations: relations that at least two know.
        alike: share of these on which all who know them agree.
        alpha: Krippendorff's alpha for nominal data, 1 for full agreement and 0 for chance; NaN
            where all relations are alike or none is shared.
        of_two: for each two annotators the relations that both know, the share that is alike, and
            Cohen's kappa.
        known, equal: for each pair of joints, (joints, joints), the images in which at least two
            know it, and those in which all of them agree.
    """

    annotators: tuple[str, ...]
    relations: int
    alike: float
    alpha: float
    of_two: dict[tuple[str, str], tuple[int, float, float]]
    known: Int64[Tensor, "joints joints"]
    equal: Int64[Tensor, "joints joints"]

    def text(self) -> str:
        """The statistics in words, a line each."""
        lines = [
            f"agreement: {self.relations} relations known to two or more, all alike in"
            f" {_percent(self.alike)}, Krippendorff's alpha {_number(self.alpha)}"
        ]
        lines += [
            f"  {a} and {b}: {count} relations, {_percent(share)} alike, kappa {_number(kappa)}"
            for (a, b), (count, share, kappa) in self.of_two.items()
        ]
        return "\n".join(lines)


def _percent(share: float) -> str:
    return "no share" if np.isnan(share) else f"{100 * share:.1f}%"


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}"


def agreement(
    annotators: Sequence[str],
    relations: Int8[Tensor, "annotators images joints joints"],
    known: Bool[Tensor, "annotators images joints joints"],
) -> Agreement:
    """Compare annotators; each pair of joints counts once.

    Args:
        annotators: their names.
        relations: r(i, j) in {-1, 0, 1}.
        known: pairs whose relation an annotator knows.

    Raises:
        InputError: fewer than two annotators.
    """
    if len(annotators) < 2:
        raise InputError(f"annotators: expected at least two to compare, found {len(annotators)}")
    joints = relations.shape[-1]
    known = known & torch.ones(joints, joints, dtype=torch.bool).triu(1)
    shared = known.sum(0) >= 2
    low = relations.masked_fill(~known, 2).amin(0)
    high = relations.masked_fill(~known, -2).amax(0)
    equal = shared & (low == high)
    units = counts_by_category(relations, known)[shared]
    of_two = {}
    for a, b in combinations(range(len(annotators)), 2):
        both = known[a] & known[b]
        first, second = relations[a][both], relations[b][both]
        alike = float((first == second).float().mean())
        of_two[annotators[a], annotators[b]] = (len(first), alike, cohen_kappa(first, second))
    return Agreement(
        annotators=tuple(annotators),
        relations=int(shared.sum()),
        alike=float(equal.sum() / shared.sum()),
        alpha=krippendorff_alpha(units),
        of_two=of_two,
        known=shared.sum(0),
        equal=equal.sum(0),
    )


def counts_by_category(
    relations: Int8[Tensor, "annotators images joints joints"],
    known: Bool[Tensor, "annotators images joints joints"],
) -> Int64[Tensor, "images joints joints 3"]:
    """How many annotators gave each of -1, 0 and 1."""
    return torch.stack([((relations == c) & known).sum(0) for c in CATEGORIES], -1)


def cohen_kappa(first: Int8[Tensor, " units"], second: Int8[Tensor, " units"]) -> float:
    """Cohen's kappa of two annotators, (p_o - p_e) / (1 - p_e).

    p_o is the share of equal relations, p_e the share that is expected if each drew at random from
    the relations that they gave. NaN where p_e is 1, or without relations.
    """
    if not len(first):
        return float("nan")
    shares = [torch.stack([(x == c).double().mean() for c in CATEGORIES]) for x in (first, second)]
    by_chance = float((shares[0] * shares[1]).sum())
    observed = float((first == second).double().mean())
    return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")


def krippendorff_alpha(counts: Int64[Tensor, "units categories"]) -> float:
    """Krippendorff's alpha for nominal data with missing values, 1 - D_o / D_e.

    With n_uc annotators who gave category c to unit u, n_u of them in all, n_c = sum_u n_uc and
    n = sum_c n_c: D_o = (1/n) sum_u sum_{c != k} n_uc n_uk / (n_u - 1), and
    D_e = sum_{c != k} n_c n_k / (n (n - 1)). Units that one annotator or none knows are left out.
    NaN where all relations are of one category.

    Args:
        counts: n_uc.
    """
    counts = counts[counts.sum(-1) >= 2].double()
    of_unit, of_category = counts.sum(-1), counts.sum(0)
    total = float(of_category.sum())
    observed = float((_different(counts) / (of_unit - 1)).sum()) / max(total, 1)
    expected = float(_different(of_category)) / max(total * (total - 1), 1)
    return 1 - observed / expected if expected > 0 else float("nan")


def _different(counts: Float[Tensor, "*units categories"]) -> Float[Tensor, "*units"]:
    """Ordered pairs of annotators who gave different categories."""
    return counts.sum(-1) ** 2 - (counts**2).sum(-1)
