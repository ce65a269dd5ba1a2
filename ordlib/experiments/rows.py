"""Rows of the tables as data: which network, what supervision, which images."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ordlib.errors import InputError
from ordlib.scales import Scale, get_scale

TEST_SPLITS = {"studio": "test", "duo": "validation", "shift": "test", "wild": "val"}
"""What each domain is tested on. `wild` has no 3D ground truth: its errors are 2D and ordinal."""

_STUDIO_AND_SHIFT = ("studio", "shift")
_STUDIO_ONLY, _DUO_ONLY = "table1/volume2/full", "table6/duo"
_CHOICE_START = "choice/mixed/studio"


@dataclass(frozen=True)
class Row:
    """One row of a table: which network, what supervision, which data.

    Attributes:
        id: table, architecture and supervision.
        network: `depth` (3.1), `coordinate` (3.2) or `volume` (3.3).
        stacks: hourglasses of a volume network.
        weak: ordinal relations and 2D keypoints instead of 3D ground truth.
        train_split, test_split: splits of the domain that has the 3D ground truth.
        wild: what is learned from images of `wild` beside their 2D keypoints, a name in
            `objectives.WILD`; as many as of the other domain are in each batch (Section 4.2).
            Empty for none of these images.
        domains: which test sets it is evaluated on; the first is the domain that has the 3D
            ground truth.
        changes: fields of the scale that this row sets differently.
        start: the row whose trained network this one begins with where the scale says so
            (`Scale.warm_start`); it has seen no image that this row is tested on.
    """

    id: str
    network: str
    weak: bool
    stacks: int = 1
    train_split: str = "train"
    test_split: str = "test"
    wild: str = ""
    domains: tuple[str, ...] = ("studio",)
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    start: str = ""

    @property
    def home(self) -> str:
        """The domain that gives the 3D ground truth."""
        return self.domains[0]

    def scaled(self, scale: str) -> Scale:
        """The scale with this row's changes."""
        return replace(get_scale(scale), **self.changes)

    def steps(self, scale: Scale) -> int:
        """Optimiser steps; `duo` with `wild` has 1.5M of the 2.5M of `studio` (Section 4.2)."""
        if not self.wild:
            return scale.steps
        return scale.mixed_steps if self.home == "studio" else scale.mixed_steps * 3 // 5

    def begins_with(self, scale: Scale) -> "Row | None":
        """The row whose trained weights this one begins with; None where it begins from scratch."""
        return get_row(self.start) if self.start and scale.warm_start else None

    def steps_before(self, scale: Scale) -> int:
        """Steps that went into the weights it begins with, all on its home domain."""
        start = self.begins_with(scale)
        return start.steps(scale) if start else 0

    def tests(self) -> dict[str, str]:
        """Test split of each domain that it is evaluated on."""
        splits = TEST_SPLITS | {self.home: self.test_split}
        return {domain: splits[domain] for domain in self.domains}


_ARCHITECTURES = {
    "depth": ("depth", 1),
    "coordinate": ("coordinate", 1),
    "volume1": ("volume", 1),
    "volume2": ("volume", 2),
}

# What is chosen from at small scales, on the held-out training subject S8 alone: the loss of weak
# volumes, and the learning rate.
_CHOICES: dict[str, Mapping[str, Any]] = {
    "l2": {"heatmap_loss": "l2", "heatmap_weight": 100.0},
    "l2-1000": {"heatmap_loss": "l2", "heatmap_weight": 1000.0},
    "cross-entropy": {},
    "cross-entropy-1": {"heatmap_weight": 1.0},
    "cross-entropy-16": {"heatmap_weight": 16.0},
    "unit-31": {"ranking_unit_mm": 31.25},
    "unit-250": {"ranking_unit_mm": 250.0},
}

_RATES = (1e-3, 3e-3, 1e-2)

# Beside full supervision: weight and unit of the ranking loss, weight of the limb lengths; judged
# on S8 and on held-out images of `wild`.
_RANKING = (
    *((1.0, 125.0), (0.3, 300.0), (1.0, 300.0), (3.0, 300.0)),
    *((3.0, 500.0), (3.0, 1000.0), (6.0, 1000.0)),
)
_MIXED_CHOICES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "studio": ("", {}),
    "keypoints": ("keypoints", {}),
    **{
        f"ordinal-{weight:g}-unit-{unit:g}": (
            "ordinal",
            {"mixed_rank_weight": weight, "mixed_unit_mm": unit},
        )
        for weight, unit in _RANKING
    },
    **{f"limbs-{weight:g}": ("limbs", {"limb_weight": weight}) for weight in (10.0, 100.0)},
}

# How long is long enough for seeds to agree (notebook 08), with the images of `desk`: steps of full
# volumes, and what follows the longest training.
_BUDGETS = (2_500, 6_000, 12_000)
_AFTERWARDS = {"steps": 12_000, "mixed_steps": 1_500, "warm_start": True}

ROWS: dict[str, Row] = {
    row.id: row
    for row in (
        *(
            Row(
                f"table1/{name}/{'weak' if weak else 'full'}",
                network,
                weak,
                stacks,
                domains=_STUDIO_AND_SHIFT if name == "volume2" and not weak else ("studio",),
            )
            for name, (network, stacks) in _ARCHITECTURES.items()
            for weak in (True, False)
        ),
        *(
            Row(
                id,
                *("volume", False, 2),
                wild=wild,
                start=_STUDIO_ONLY,
                domains=_STUDIO_AND_SHIFT,
            )
            for id, wild in (
                ("table2/keypoints", "keypoints"),
                ("table2/ordinal", "ordinal"),
                ("table4/limbs", "limbs"),
            )
        ),
        *(
            Row(
                id,
                *("volume", False, 2),
                test_split="validation",
                wild=wild,
                start=start,
                domains=("duo",),
            )
            for id, wild, start in ((_DUO_ONLY, "", ""), ("table6/ordinal", "ordinal", _DUO_ONLY))
        ),
        *(
            Row(f"choice/volume1/{name}", "volume", True, 1, "fit", "val", changes=changes)
            for name, changes in _CHOICES.items()
        ),
        *(
            Row(
                f"choice/mixed/{name}",
                *("volume", False, 2, "fit", "val"),
                wild=wild,
                domains=("studio", "wild"),
                start=_CHOICE_START if wild else "",
                changes=changes,
            )
            for name, (wild, changes) in _MIXED_CHOICES.items()
        ),
        *(
            Row(
                f"choice/rate/{name}-{rate:g}",
                *(kind, weak, 1, "fit", "val"),
                changes={"learning_rate": rate},
            )
            for name, kind, weak in (("volume1", "volume", False), ("depth", "depth", True))
            for rate in _RATES
        ),
        *(
            Row(
                f"choice/budget/volume2-full-{steps}",
                *("volume", False, 2, "fit", "val"),
                changes={"steps": steps},
            )
            for steps in _BUDGETS
        ),
        *(
            Row(
                f"choice/budget/{wild}",
                *("volume", False, 2, "fit", "val"),
                wild=wild,
                start="choice/budget/volume2-full-12000",
                domains=("studio", "wild"),
                changes=_AFTERWARDS,
            )
            for wild in ("keypoints", "ordinal")
        ),
    )
}


def get_row(row: str) -> Row:
    """The row of that id. Raises InputError for any other."""
    if row not in ROWS:
        raise InputError(f"row: expected one of {', '.join(ROWS)}, found {row!r}")
    return ROWS[row]
