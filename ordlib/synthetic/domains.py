"""The four domains of the built-in benchmark as data, and how their people are built.

`studio` plays Human3.6M, `duo` HumanEva-I, `wild` LSP + MPII Ordinal, `shift` MPI-INF-3DHP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ordlib.files import digest
from ordlib.skeleton import MEAN_LIMB_LENGTHS_MM, mean_limb_lengths
from ordlib.synthetic.poses import BROAD, H36M_ACTIONS

# Lengths are those of the bones that end in joints 1 to 16 of H36M17, in joint order.
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
    """Lengths of subjects of `studio`; those of the training subjects average to the means."""
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


def generator(*key: object) -> Generator:
    """A random generator that depends on the key alone."""
    return torch.Generator().manual_seed(int(digest([str(k) for k in key]), 16))


@dataclass(frozen=True)
class CameraSpec:
    """How the cameras of a domain are placed; each pair is the range of a uniform distribution."""

    count: int  # cameras around one room; 0 means that each image has its own
    distance_mm: tuple[float, float]  # from the room's centre, or from each image's person
    height_mm: tuple[float, float]  # above the ground
    person_px: tuple[float, float]  # height of who stands in an image of IMAGE_PX; sets the focal
    roll_deg: float  # standard deviation
    wander_mm: float  # how far people go from the room's centre, or the aim from the person


@dataclass(frozen=True)
class Split:
    """A split that is made and stored."""

    size: str  # which count of the scale it has, "train_images" or "test_images"
    people: tuple[str, ...] = ()  # names of its people; none means a new person in each image
    views: Mapping[str, tuple[str, ...]] | None = None  # subsets, by the people that they keep
    halved: bool = False  # whether it has one half of that count
    clips: str = "train"  # share of the motion capture clips that it uses: train, val, test


@dataclass(frozen=True)
class Domain:
    """One stand-in for a data set."""

    name: str
    splits: Mapping[str, Split]  # what is stored
    actions: Mapping[str, float]  # names with relative frequencies
    cameras: CameraSpec
    parts: Mapping[str, tuple[float, str]]  # names with relative frequencies and kind of scene
    style: str  # of clothes
    metric: bool = True  # whether joints in mm belong to it; otherwise only ordinal relations do
    outfits: int = 1  # sets of clothes of each named person, changed from action to action

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names of all splits, stored ones and views."""
        views = (tuple(split.views or ()) for split in self.splits.values())
        return (*self.splits, *(name for names in views for name in names))

    @property
    def people(self) -> tuple[str, ...]:
        """Names of the people of all splits, each once."""
        return tuple(dict.fromkeys(p for split in self.splits.values() for p in split.people))

    @cached_property
    def limb_lengths_mm(self) -> Float[Tensor, "people bones"]:
        """Bone lengths of `people`; they do not depend on the seed."""
        if self.name == "studio":
            return studio_limb_lengths(self.people)
        return sample_limb_lengths(len(self.people), generator("people", self.name))


_STRANGERS = tuple(f"P{number}" for number in range(1, 25))
_DUO = ("S1", "S2", "S3")
_BROAD = {
    "standing/walking": 0.6,
    "exercising": 1.2,
    "sitting": 0.8,
    "reaching/crouching": 1.0,
    "on the floor": 1.0,
    "sports": 2.4,
    "miscellaneous": 1.0,
}

DOMAINS = {
    domain.name: domain
    for domain in (
        Domain(
            "studio",
            {
                "train": Split(
                    "train_images",
                    TRAINING_SUBJECTS,
                    {"fit": TRAINING_SUBJECTS[:-1], "val": TRAINING_SUBJECTS[-1:]},
                ),
                "test": Split("test_images", TEST_SUBJECTS, clips="test"),
            },
            dict.fromkeys(H36M_ACTIONS, 1.0),
            CameraSpec(4, (4900.0, 5100.0), (1500.0, 1700.0), (382.0, 397.0), 0.5, 950.0),
            {"Studio": (1.0, "studio")},
            "studio",
            # real subjects keep their clothes, but real cloth and light vary more than rendered
            outfits=15,
        ),
        Domain(
            "duo",
            {
                "train": Split("train_images", _DUO, halved=True),
                "validation": Split("test_images", _DUO, clips="test"),
            },
            {"Walking": 1.0, "Jogging": 1.0},
            CameraSpec(3, (4300.0, 4700.0), (1300.0, 1600.0), (400.0, 450.0), 0.5, 900.0),
            {"Studio": (1.0, "studio")},
            "studio",
        ),
        Domain(
            "wild",
            {"train": Split("train_images"), "val": Split("test_images", clips="val")},
            {**_BROAD, **dict.fromkeys(H36M_ACTIONS, 0.25)},
            CameraSpec(0, (2000.0, 8000.0), (250.0, 3200.0), (350.0, 800.0), 5.0, 250.0),
            {"Indoor": (1.0, "indoor"), "Outdoor": (1.5, "outdoor")},
            "wild",
            metric=False,
        ),
        Domain(
            "shift",
            {"test": Split("test_images", _STRANGERS, clips="test")},
            dict.fromkeys(BROAD, 1.0),
            CameraSpec(0, (2500.0, 5500.0), (500.0, 2800.0), (400.0, 750.0), 2.0, 200.0),
            {
                "Studio GS": (1143.0, "green_screen"),
                "Studio no GS": (1058.0, "indoor"),
                "Outdoor": (728.0, "outdoor"),
            },
            "wild",
        ),
    )
}
"""All domains by name."""
