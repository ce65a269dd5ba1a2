"""Proportions of the people in the built-in benchmark.

Lengths are those of the bones that end in joints 1 to 16 of H36M17, in joint order, millimetres.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ordlib.skeleton import MEAN_LIMB_LENGTHS_MM, mean_limb_lengths

# hip, thigh, shin, spine, thorax, neck, head, clavicle, upper arm, forearm
_SEGMENT_OF_BONE = (0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9)

_RATIOS = {
    "S1": (0.95, 0.97, 0.96, 0.98, 0.97, 1.00, 1.02, 0.94, 0.96, 0.96),
    "S5": (1.04, 0.94, 0.95, 0.97, 0.96, 0.98, 0.98, 0.95, 0.93, 0.95),
    "S6": (0.99, 1.04, 1.03, 1.01, 1.03, 1.03, 0.99, 1.04, 1.04, 1.03),
    "S7": (1.02, 1.02, 1.04, 1.00, 1.02, 0.97, 1.00, 1.03, 1.02, 1.04),
    "S8": (1.00, 1.03, 1.02, 1.04, 1.02, 1.02, 1.01, 1.04, 1.05, 1.02),
    "S9": (0.926, 1.0512, 1.0517, 1.0748, 1.02, 1.03, 1.01, 1.05, 1.0591, 0.998),
    "S11": (1.03, 0.96, 0.93, 1.01, 0.97, 0.96, 1.03, 0.99, 0.95, 0.97),
}
TRAINING_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")


def studio_limb_lengths(subjects: tuple[str, ...]) -> Float[Tensor, "subjects bones"]:
    """Lengths of the subjects of `studio`; over the training subjects they average to the means."""
    ratios = torch.tensor([_RATIOS[s] for s in subjects], dtype=torch.float64)
    training = torch.tensor([_RATIOS[s] for s in TRAINING_SUBJECTS], dtype=torch.float64)
    excess = ratios - (training.mean(0) - 1)
    means = torch.tensor(MEAN_LIMB_LENGTHS_MM, dtype=torch.float64)
    return (excess[:, _SEGMENT_OF_BONE] * means).float()


def sample_limb_lengths(people: int, generator: Generator) -> Float[Tensor, "people bones"]:
    """Lengths of people of varying size (sd 7 %, within 18 %) and build (sd 4 % a segment)."""
    size = 1 + 0.07 * torch.randn(people, 1, generator=generator).clamp(-2.5, 2.5)
    build = 1 + 0.04 * torch.randn(people, 10, generator=generator).clamp(-2.5, 2.5)
    return (size * build)[:, _SEGMENT_OF_BONE] * mean_limb_lengths()
