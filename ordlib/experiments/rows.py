"""Rows of the tables as data: which network, what supervision, which images."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ordlib.errors import InputError
from ordlib.scales import Scale, get_scale

TEST_SPLITS = {"studio": "test", "duo": "validation", "shift": "test", "wild": "val"}
"""What each domain is tested on. `wild` has no 3D ground truth: its errors are 2D and ordinal."""


@dataclass(frozen=True)
class Row:
    """One row of a table: which network, what supervision, which data."""

    id: str  # table, architecture and supervision
    network: str  # depth (3.1), coordinate (3.2) or volume (3.3)
    weak: bool  # ordinal relations and 2D keypoints instead of 3D ground truth
    stacks: int = 1  # hourglasses of a volume network
    # splits of the domain that has the 3D ground truth
    train_split: str = "train"
    test_split: str = "test"
    # what is learned from images of `wild` beside their 2D keypoints, a name in `supervision.WILD`;
    # they are half of each batch (Section 4.2). Empty for none of these images
    wild: str = ""
    domains: tuple[str, ...] = ("studio",)  # test sets; the first has the 3D ground truth
    # fields of the scale that this row sets differently
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    # the row whose trained network this one begins with where the scale says so
    # (`Scale.warm_start`); it has seen no image that this row is tested on
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


_SHIFT = ("studio", "shift")
_FULL, _DUO = "table1/volume2/full", "table6/duo"

_TABLES = (
    Row("table1/depth/weak", "depth", weak=True),
    Row("table1/depth/full", "depth", weak=False),
    Row("table1/coordinate/weak", "coordinate", weak=True),
    Row("table1/coordinate/full", "coordinate", weak=False),
    Row("table1/volume1/weak", "volume", weak=True),
    Row("table1/volume1/full", "volume", weak=False),
    Row("table1/volume2/weak", "volume", weak=True, stacks=2),
    Row(_FULL, "volume", weak=False, stacks=2, domains=_SHIFT),
    Row("table2/keypoints", "volume", False, 2, wild="keypoints", start=_FULL, domains=_SHIFT),
    Row("table2/ordinal", "volume", False, 2, wild="ordinal", start=_FULL, domains=_SHIFT),
    Row("table4/limbs", "volume", False, 2, wild="limbs", start=_FULL, domains=_SHIFT),
    Row(_DUO, "volume", False, 2, test_split="validation", domains=("duo",)),
    Row(
        *("table6/ordinal", "volume", False, 2),
        wild="ordinal",
        start=_DUO,
        test_split="validation",
        domains=("duo",),
    ),
)
_ROWS = {row.id: row for row in _TABLES}


def _choice(id: str, row: str, start: str = "", wild: bool = False, **changes: Any) -> Row:
    """A row with other settings, trained without S8 and judged on S8, and on held-out `wild`."""
    tests = ("studio", "wild") if wild else ("studio",)
    return replace(
        _ROWS[row],
        id=f"choice/{id}",
        train_split="fit",
        test_split="val",
        domains=tests,
        start=f"choice/{start}" if start else "",
        changes=changes,
    )


def _mixed(id: str, row: str, **changes: Any) -> Row:
    return _choice(f"mixed/{id}", row, start="mixed/studio", wild=True, **changes)


# after the longest training
_AFTER: dict[str, Any] = {
    **{"start": "budget/volume2-full-12000", "wild": True, "warm_start": True},
    **{"steps": 12_000, "mixed_steps": 1_500},
}

_CHOICES = (
    # the loss of weak volumes
    _choice("volume1/l2", "table1/volume1/weak", heatmap_loss="l2", heatmap_weight=100.0),
    _choice("volume1/l2-1000", "table1/volume1/weak", heatmap_loss="l2", heatmap_weight=1000.0),
    _choice("volume1/cross-entropy", "table1/volume1/weak"),
    _choice("volume1/cross-entropy-1", "table1/volume1/weak", heatmap_weight=1.0),
    _choice("volume1/cross-entropy-16", "table1/volume1/weak", heatmap_weight=16.0),
    _choice("volume1/unit-31", "table1/volume1/weak", ranking_unit_mm=31.25),
    _choice("volume1/unit-250", "table1/volume1/weak", ranking_unit_mm=250.0),
    # beside full supervision: weight and unit of the ranking loss, weight of the limb lengths
    _choice("mixed/studio", _FULL, wild=True),
    _mixed("keypoints", "table2/keypoints"),
    *(
        _mixed(
            f"ordinal-{weight:g}-unit-{unit:g}",
            "table2/ordinal",
            mixed_rank_weight=weight,
            mixed_unit_mm=unit,
        )
        for weight, unit in (
            *((1.0, 125.0), (0.3, 300.0), (1.0, 300.0), (3.0, 300.0)),
            *((3.0, 500.0), (3.0, 1000.0), (6.0, 1000.0)),
        )
    ),
    _mixed("limbs-10", "table4/limbs", limb_weight=10.0),
    _mixed("limbs-100", "table4/limbs", limb_weight=100.0),
    # the learning rate
    *(
        _choice(f"rate/{name}-{rate:g}", row, learning_rate=rate)
        for name, row in (("volume1", "table1/volume1/full"), ("depth", "table1/depth/weak"))
        for rate in (1e-3, 3e-3, 1e-2)
    ),
    # how long is long enough for seeds to agree, with the images of `desk`
    *(
        _choice(f"budget/volume2-full-{steps}", _FULL, steps=steps)
        for steps in (2_500, 6_000, 12_000)
    ),
    _choice("budget/keypoints", "table2/keypoints", **_AFTER),
    _choice("budget/ordinal", "table2/ordinal", **_AFTER),
)

ROWS: dict[str, Row] = _ROWS | {row.id: row for row in _CHOICES}
"""The 13 rows of the tables, and what settings were chosen from (notebook 08)."""


def get_row(row: str) -> Row:
    """The row of that id. Raises InputError for any other."""
    if row not in ROWS:
        raise InputError(f"row: expected one of {', '.join(ROWS)}, found {row!r}")
    return ROWS[row]
