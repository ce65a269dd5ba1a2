"""The four sizes at which everything runs."""

from dataclasses import dataclass

from ordlib.errors import InputError


@dataclass(frozen=True)
class Scale:
    """Sizes and budgets of one scale; the method is the same at all of them."""

    name: str
    image_size: int  # side of the square crop, pixels; heatmaps are a quarter of it
    features: int  # channels of the hourglass
    levels: int  # how many times the hourglass halves its resolution
    depth_bins: int  # of the volume over +-1 m
    train_images: int  # rendered, per domain and split
    test_images: int
    steps: int  # of a network of Table 1
    mixed_steps: int  # of one trained on two kinds of images, half of each batch each
    batch_size: int = 8
    optimizer: str = "adam"  # this and the next two: see `training.Budget`
    learning_rate: float = 3e-3
    schedule: str = "cosine"
    # begin mixed networks with the weights of the one that has learned from the images with 3D
    # ground truth alone (`Row.start`); Section 4.2 does not say where they begin
    warm_start: bool = False
    seeds: int = 1  # that the published results of this scale average
    keypoint_weight: float = 100.0  # lambda of Section 3.2, for keypoints as fractions of the crop
    heatmap_loss: str = "cross_entropy"  # between marginal heatmaps, or l2 (Section 3.3)
    heatmap_weight: float = 4.0  # lambda of Section 3.3
    ranking_unit_mm: float = 125.0  # losses.RANKING_UNIT_MM, whose import would load PyTorch
    # beside full supervision, which fixes the scale of depths: the unit and weight of the ranking
    # loss, and the weight of the limb lengths of [64]
    mixed_unit_mm: float = 300.0
    mixed_rank_weight: float = 1.0
    limb_weight: float = 10.0

    @property
    def heatmap_size(self) -> int:
        """Side of the heatmaps and of the volume, pixels."""
        return self.image_size // 4

    @property
    def sigma(self) -> float:
        """Standard deviation of the Gaussian targets, heatmap pixels and depth bins.

        The baseline [32] has 2 pixels at 64; other sizes keep its share of the map.
        """
        return self.heatmap_size / 32


SCALES = {
    scale.name: scale
    for scale in (
        Scale("smoke", 32, 16, 2, 8, 96, 48, steps=12, mixed_steps=12, warm_start=True),
        Scale(
            "quick", 48, 64, 2, 16, 8_000, 1_000, steps=1_000, mixed_steps=1_000,
            warm_start=True,
        ),
        Scale(
            "desk", 64, 64, 3, 16, 20_000, 2_000, steps=2_500, mixed_steps=2_500,
            warm_start=True, seeds=3,
        ),
        Scale(
            "paper", 256, 256, 4, 64,
            train_images=100_000, test_images=10_000, steps=300_000, mixed_steps=2_500_000,
            batch_size=4, optimizer="rmsprop", learning_rate=2.5e-4, schedule="constant",
            heatmap_loss="l2", heatmap_weight=100.0,
        ),
    )
}  # fmt: skip


def get_scale(name: str) -> Scale:
    """The scale of that name. Raises InputError for any other name."""
    if name not in SCALES:
        raise InputError(f"scale: expected one of {', '.join(SCALES)}, found {name!r}")
    return SCALES[name]


def check_seed(seed: object) -> int:
    """The seed as a number, also from its digits. Raises InputError beyond 0 to 2^32 - 1."""
    if not (text := str(seed)).isdecimal() or int(text) >= 2**32:
        raise InputError(f"seed: expected a whole number from 0 to {2**32 - 1}, found {seed!r}")
    return int(text)
