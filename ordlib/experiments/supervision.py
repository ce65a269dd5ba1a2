"""What each kind of network is trained to do, weakly or fully.

| network    | weak (relations and 2D keypoints)     | full (3D ground truth)                   |
|------------|---------------------------------------|------------------------------------------|
| depth      | Eq. 2                                 | squared error of depths                  |
| coordinate | Eq. 2 + lambda Eq. 3                  | squared error of depths + lambda Eq. 3   |
| volume     | Eq. 2 on mean depth + lambda heatmaps | cross-entropy to the 3D Gaussian of [32] |

Depths that a network gives are in units of `Scale.ranking_unit_mm`; under ordinal supervision only
up to a scale, which `evaluation` fits.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ordlib import losses as L
from ordlib.camera import weak_perspective
from ordlib.data import MixedBatch, PoseBatch
from ordlib.errors import InputError
from ordlib.experiments.rows import Row
from ordlib.relations import relations_from_depth
from ordlib.scales import Scale
from ordlib.shapes import Bones
from ordlib.skeleton import H36M17
from ordlib.volume import bin_centres_mm, expected_depth, marginals


def depth_target(batch: PoseBatch) -> Float[Tensor, "batch joints"]:
    """Root-relative depths in mm. Raises InputError for a batch without 3D truth."""
    if batch.joints_mm is None:
        raise InputError("batch: expected joints_mm for full supervision, found none")
    z = batch.joints_mm[..., 2]
    return z - z[:, H36M17.root, None]


def relation_target(batch: PoseBatch) -> tuple[Tensor, Tensor | None]:
    """Relations and annotated pairs; from metric depth where nobody annotated (Section 4.3)."""
    if batch.relations is not None:
        return batch.relations, batch.annotated
    if batch.joints_mm is None:
        raise InputError("batch: expected relations or joints_mm for weak supervision, found none")
    return relations_from_depth(batch.joints_mm[..., 2]), None


def _rank(depth: Tensor, batch: PoseBatch) -> Tensor:
    return L.ranking_loss(depth, *relation_target(batch))


def _regress(depth: Tensor, batch: PoseBatch, unit_mm: float) -> Tensor:
    return (depth - depth_target(batch) / unit_mm).square().sum(-1).mean()


def _fractions(batch: PoseBatch) -> Tensor:
    return batch.keypoints_px / batch.images.shape[-1] - 0.5


def depth_losses(output: Tensor, batch: PoseBatch, weak: bool, scale: Scale) -> dict:
    """Section 3.1."""
    if weak:
        return {"rank": _rank(output, batch)}
    return {"depth": _regress(output, batch, scale.ranking_unit_mm)}


def coordinate_losses(output: Tensor, batch: PoseBatch, weak: bool, scale: Scale) -> dict:
    """Section 3.2."""
    keypoint = L.keypoint_loss(output[..., :2], _fractions(batch), batch.visible)
    depth = depth_losses(output[..., 2], batch, weak, scale)
    return {**depth, "keypoint": scale.keypoint_weight * keypoint}


def volume_losses(output: tuple[Tensor, ...], batch: PoseBatch, weak: bool, scale: Scale) -> dict:
    """Section 3.3, summed over the hourglasses (intermediate supervision)."""
    if not weak:
        return _over_hourglasses(_full_volume, output, batch, scale)

    def rank(depth_mm: Tensor) -> dict:
        return {"rank": _rank(depth_mm / scale.ranking_unit_mm, batch)}

    return _over_hourglasses(partial(_weak_volume, depth_terms=rank), output, batch, scale)


def _over_hourglasses(
    one: Callable[..., dict], output: tuple[Tensor, ...], batch: PoseBatch, scale: Scale
) -> dict:
    rows, columns = output[0].shape[-2:]
    stride = batch.images.shape[-1] / columns
    q_xy = L.gaussian_heatmaps(batch.keypoints_px / stride, (rows, columns), scale.sigma)
    terms = [one(scores, q_xy, batch, scale) for scores in output]
    return {name: torch.stack([term[name] for term in terms]).sum() for name in terms[0]}


def _weak_volume(
    scores: Tensor,
    q_xy: Tensor,
    batch: PoseBatch,
    scale: Scale,
    depth_terms: Callable[[Tensor], dict],
) -> dict:
    p_xy, p_z = marginals(scores)
    compare = {"l2": L.heatmap_loss, "cross_entropy": L.heatmap_cross_entropy}[scale.heatmap_loss]
    heatmap = scale.heatmap_weight * compare(p_xy, q_xy, batch.visible)
    return {"heatmap": heatmap, **depth_terms(_mean_depth_mm(p_z))}


def _full_volume(scores: Tensor, q_xy: Tensor, batch: PoseBatch, scale: Scale) -> dict:
    bins = bin_centres_mm(scores.shape[2]).to(q_xy)
    q_z = L.gaussian_line(depth_target(batch), bins, scale.sigma * float(bins[1] - bins[0]))
    return {"volume": L.volume_cross_entropy(scores, q_xy, q_z, batch.visible)}


def mixed_volume_losses(
    output: tuple[Tensor, ...],
    batch: MixedBatch,
    wild: str,
    scale: Scale,
    limb_lengths_mm: Float[Tensor, " bones"],
) -> dict:
    """Section 4.2: full supervision where there is 3D truth, weak supervision elsewhere.

    Args:
        wild: a name in `WILD`, what is used of the weak images beside their 2D keypoints.
        limb_lengths_mm: means over the people with 3D truth.
    """
    count, weak = len(batch.full), batch.weak
    full = volume_losses(tuple(s[:count] for s in output), batch.full, False, scale)

    def depth_terms(depth_mm: Tensor) -> dict:
        return WILD[wild](depth_mm, weak, scale, limb_lengths_mm)

    one = partial(_weak_volume, depth_terms=depth_terms)
    return full | _over_hourglasses(one, tuple(s[count:] for s in output), weak, scale)


def _no_depth(depth_mm: Tensor, batch: PoseBatch, scale: Scale, limb_lengths_mm: Tensor) -> dict:
    return {}


def _ordinal(depth_mm: Tensor, batch: PoseBatch, scale: Scale, limb_lengths_mm: Tensor) -> dict:
    rank = _rank(depth_mm / scale.mixed_unit_mm, batch)
    return {"rank": scale.mixed_rank_weight * rank}


def _limbs(depth_mm: Tensor, batch: PoseBatch, scale: Scale, limb_lengths_mm: Tensor) -> dict:
    """[64]: bones between annotated 2D keypoints at the predicted depths, in weak perspective."""
    lengths = limb_lengths_mm.to(depth_mm)
    pose = weak_perspective(batch.keypoints_px, depth_mm, lengths, batch.visible)
    return {"limbs": scale.limb_weight * L.limb_loss(pose, lengths, batch.visible)}


WILD: dict[str, Callable[[Tensor, PoseBatch, Scale, Tensor], dict]] = {
    "keypoints": _no_depth,
    "ordinal": _ordinal,
    "limbs": _limbs,
}
"""What can be learned of depth from images without 3D truth: nothing; Eq. 2; the lengths of limbs
in the way of Zhou et al. [64], the paper's rival."""


def _mean_depth_mm(p_z: Tensor) -> Tensor:
    return expected_depth(p_z, bin_centres_mm(p_z.shape[-1]).to(p_z))


LOSSES: dict[str, Callable[[Any, PoseBatch, bool, Scale], dict]] = {
    "depth": depth_losses,
    "coordinate": coordinate_losses,
    "volume": volume_losses,
}


def loss(row: Row, scale: Scale, limb_lengths_mm: Bones) -> Callable[[Any, Any], dict[str, Tensor]]:
    """What a row's network is trained with: from the network and a batch to named terms."""

    def terms(network: Any, batch: Any) -> dict[str, Tensor]:
        output = network(batch.images)
        if row.wild:
            return mixed_volume_losses(output, batch, row.wild, scale, limb_lengths_mm)
        return LOSSES[row.network](output, batch, row.weak, scale)

    return terms
