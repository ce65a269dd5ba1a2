"""The four domains of the built-in benchmark as data.

`studio` plays Human3.6M, `duo` HumanEva-I, `wild` LSP + MPII Ordinal, `shift` MPI-INF-3DHP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ordlib.files import digest
from ordlib.synthetic.actions import H36M_ACTIONS
from ordlib.synthetic.activities import ACTIVITIES
from ordlib.synthetic.people import (
    TEST_SUBJECTS,
    TRAINING_SUBJECTS,
    sample_limb_lengths,
    studio_limb_lengths,
)
from ordlib.synthetic.views import CameraSpec


@dataclass(frozen=True)
class Split:
    """A split that is made and stored.

    Attributes:
        size: which count of the scale it has, "train_images" or "test_images".
        people: names of its people; none means a new person in each image.
        views: names of subsets, by the people that they keep.
        halved: whether it has one half of that count.
        clips: share of the motion capture clips that it uses: "train", "val", "test".
    """

    size: str
    people: tuple[str, ...] = ()
    views: Mapping[str, tuple[str, ...]] | None = None
    halved: bool = False
    clips: str = "train"


@dataclass(frozen=True)
class Domain:
    """One stand-in for a data set.

    Attributes:
        splits: what is stored, by name.
        actions: names with relative frequencies.
        cameras: how it is filmed.
        parts: names with relative frequencies and kind of scene.
        style: style of clothes.
        metric: whether joints in mm belong to it; otherwise only ordinal relations do.
        outfits: sets of clothes that each named person has, changed from action to action.
    """

    name: str
    splits: Mapping[str, Split]
    actions: Mapping[str, float]
    cameras: CameraSpec
    parts: Mapping[str, tuple[float, str]]
    style: str
    metric: bool = True
    outfits: int = 1

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
            dict.fromkeys(ACTIVITIES, 1.0),
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


def generator(*key: object) -> Generator:
    """A random generator that depends on the key alone."""
    return torch.Generator().manual_seed(int(digest([str(k) for k in key]), 16))
