"""Actions as data: what the joints do, in degrees.

Each action is a mixture of variants. A variant gives mean angles as 'name degrees' pairs (see
ordlib.synthetic.poses for names and signs): a plain limb name means both sides, `l.` and `r.` one
side, `x.` the left side with the given sign and the right side with the opposite one. Each factor
is one line of loadings: what one standard deviation of a hidden variable does to all joints.
"""

from dataclasses import dataclass
from typing import ClassVar

_NO_CYCLE = ("", "", "", "")
WALK = (
    "x.hip_flex 24 x.knee 7 x.shoulder_flex -17 x.elbow -6 spine_twist 5",
    "x.knee -25",
    "knee -10",
    "knee -6",
)
JOG = (
    "x.hip_flex 36 x.knee 12 x.shoulder_flex -32 x.elbow -10 spine_twist 9",
    "x.knee -42",
    "knee -12",
    "knee -7",
)


@dataclass(frozen=True)
class Variant:
    """One way of doing an action.

    Attributes:
        mean: mean angles that differ from REST.
        factors: loadings of the hidden standard normal variables.
        weight: relative frequency.
        spread: multiplies the independent spread of every angle.
        cycle: loadings of cos, sin of a uniform phase and of cos, sin of twice that phase.
    """

    REST: ClassVar[str] = "shoulder_abduct 9 elbow 16 knee 5 hip_abduct 4 neck_bend 4"
    mean: str
    factors: tuple[str, ...] = ()
    weight: float = 1.0
    spread: float = 1.0
    cycle: tuple[str, str, str, str] = _NO_CYCLE


def _sit(extra: str, *factors: str, weight: float = 1.0) -> Variant:
    """Sitting on a chair; `extra` says what the arms and legs do."""
    base = "hip_flex 86 knee 84 hip_abduct 9 spine_bend 8"
    lean = "tilt_forward 7 hip_flex 7 spine_bend 9 neck_bend -5"
    knees = "knee 14 hip_abduct 6"
    return Variant(f"{base} {extra}", (lean, knees, *factors), weight)


def walk(extra: str = "", *factors: str, weight: float = 1.0) -> Variant:
    """Walking, on which `extra` and the factors build."""
    base = "hip_flex 4 knee 24 elbow 24 tilt_forward 2"
    return Variant(f"{base} {extra}", factors, weight, cycle=WALK)


_LEAN = "tilt_forward 4 hip_flex 4 spine_bend 6"
_STANCE = "hip_abduct 3 x.hip_flex 7 x.knee 4 x.hip_twist 5"
LOOK = "neck_twist 18 spine_twist 8"

DAILY: dict[str, tuple[Variant, ...]] = {
    "Directions": (
        Variant(
            "r.shoulder_flex 72 r.shoulder_abduct 22 r.elbow 28 neck_twist -12",
            (
                "r.shoulder_flex 16 r.elbow -12 neck_bend -5",
                "r.shoulder_abduct 24 spine_twist -12 neck_twist -14",
                _STANCE,
            ),
            2.0,
        ),
        Variant(
            "r.shoulder_abduct 78 r.shoulder_flex 18 r.elbow 18 neck_twist -30 spine_twist -8",
            ("r.shoulder_abduct 16 neck_bend -6", "r.shoulder_flex 16 r.elbow 12", _STANCE),
        ),
    ),
    "Discussion": (
        Variant(
            "shoulder_flex 30 shoulder_abduct 18 elbow 78 shoulder_twist 12",
            (
                "shoulder_flex 12 elbow 22",
                "x.shoulder_flex 14 x.elbow 24 spine_twist 8",
                "shoulder_abduct 9 shoulder_twist -18",
                _STANCE,
                LOOK,
            ),
        ),
    ),
    "Eating": (
        Variant(
            "r.shoulder_flex 42 r.shoulder_abduct 22 r.elbow 122 r.shoulder_twist 40"
            " l.shoulder_flex 22 l.elbow 82 l.shoulder_twist 30 neck_bend 14",
            ("r.elbow 12 r.shoulder_flex 8 neck_bend 5", "l.elbow 18 l.shoulder_flex 8", _STANCE),
        ),
    ),
    "Greeting": (
        Variant(
            "r.shoulder_abduct 105 r.shoulder_flex 40 r.elbow 62 r.shoulder_twist -45",
            ("r.elbow 28 r.shoulder_twist -12", "r.shoulder_abduct 16 spine_side 5", _STANCE),
            2.0,
        ),
        Variant(
            "shoulder_abduct 52 shoulder_flex 48 elbow 30",
            ("shoulder_abduct 14 elbow 10", "tilt_forward 8 spine_bend 12 hip_flex 8", _STANCE),
        ),
    ),
    "Phoning": (
        Variant(
            "r.shoulder_flex 42 r.shoulder_abduct 32 r.elbow 140 r.shoulder_twist 8 neck_side -9",
            (
                "r.shoulder_flex 10 r.shoulder_abduct 8",
                "l.shoulder_flex 16 l.elbow 30",
                _STANCE,
                "neck_bend 9 spine_bend 5",
            ),
        ),
        walk("r.shoulder_flex 42 r.shoulder_abduct 32 r.elbow 142 r.shoulder_twist 8", weight=0.3),
    ),
    "Photo": (
        Variant(
            "shoulder_flex 66 shoulder_abduct 16 elbow 112 shoulder_twist 42 neck_bend 8",
            (
                "shoulder_flex 12 elbow -14 neck_bend -8",
                "hip_flex 16 knee 24 tilt_forward 6 spine_bend 8",
                _STANCE,
            ),
        ),
    ),
    "Posing": (
        Variant(
            "shoulder_abduct 46 elbow 88 shoulder_twist 52 shoulder_flex -12 hip_abduct 7",
            (
                "shoulder_abduct 7 shoulder_twist 8",
                "spine_twist 12 spine_side 7 tilt_side 4",
                _STANCE,
            ),
        ),
        Variant(
            "r.shoulder_abduct 44 r.elbow 88 r.shoulder_twist 52 r.shoulder_flex -12"
            " l.shoulder_abduct 135 l.shoulder_flex 35 l.elbow 105 l.shoulder_twist -30"
            " spine_side -8",
            ("l.elbow 14 l.shoulder_abduct 12", "spine_twist 10 spine_side 6", _STANCE),
        ),
    ),
    "Purchases": (
        Variant(
            "tilt_forward 22 hip_flex 42 spine_bend 34 knee 30 neck_bend -8"
            " r.shoulder_flex 68 r.elbow 22 l.shoulder_flex 44 l.elbow 52",
            (
                "tilt_forward 8 hip_flex 12 spine_bend 8 knee 12",
                "r.shoulder_flex 22 r.shoulder_abduct 12",
                "l.shoulder_flex 20 l.elbow -16",
            ),
        ),
        Variant(
            "shoulder_flex 22 elbow 86 shoulder_twist 24 spine_bend 10 neck_bend 16",
            ("shoulder_flex 10 elbow 14", "x.shoulder_flex 12 x.elbow 14", _STANCE),
        ),
    ),
    "Sitting": (
        _sit("shoulder_flex 28 elbow 58 shoulder_twist 22", "shoulder_flex 10 elbow -14"),
        _sit(
            "r.hip_flex 102 r.hip_abduct -6 r.knee 70 shoulder_flex 30 elbow 66 shoulder_twist 42",
            "r.knee 14 r.hip_twist -8",
        ),
        _sit(
            "r.hip_flex 92 r.hip_abduct 34 r.hip_twist -36 r.knee 112 shoulder_flex 26 elbow 62"
            " spine_bend 18",
            "r.hip_abduct 8 spine_bend 8",
        ),
        _sit(
            "tilt_forward 22 hip_flex 104 spine_bend 30 shoulder_flex 52 elbow 72"
            " shoulder_twist 36 hip_abduct 20",
            "spine_bend 8 shoulder_flex 10",
        ),
    ),
    "SittingDown": (
        Variant(
            "hip_flex 100 hip_abduct 40 hip_twist -36 knee 122 spine_bend 24 tilt_forward -8"
            " shoulder_flex 38 elbow 48 shoulder_twist 22",
            ("spine_bend 12 neck_bend 8", "hip_abduct 8 knee 8", "shoulder_flex 12 elbow 16"),
        ),
        Variant(
            "hip_flex 118 knee 126 hip_abduct 6 spine_bend 42 tilt_forward -14 shoulder_flex 62"
            " elbow 52 shoulder_twist 34 neck_bend 14",
            ("spine_bend 10 neck_bend 12", "x.hip_flex 8 x.knee 16", "elbow 16 shoulder_flex 8"),
        ),
        Variant(
            "hip_flex 118 knee 138 hip_abduct 14 tilt_forward 26 spine_bend 32 shoulder_flex 58"
            " elbow 62 shoulder_twist 24",
            ("tilt_forward 10 spine_bend 10", "hip_abduct 8 shoulder_abduct 8", "elbow 20"),
        ),
        Variant(
            "hip_flex 82 knee 146 hip_abduct 8 tilt_forward 2 spine_bend 20 shoulder_flex 24"
            " elbow 44 shoulder_twist 18",
            ("tilt_forward 10 spine_bend 12", "x.hip_flex 6", "shoulder_flex 12 elbow 12"),
        ),
        Variant(
            "l.hip_flex 98 l.knee 18 r.hip_flex 104 r.knee 96 r.hip_abduct 12 tilt_forward -12"
            " shoulder_flex -30 shoulder_abduct 24 elbow 12 spine_bend 14",
            ("l.knee 18 r.knee 18", "shoulder_flex 16 spine_bend 12", "hip_abduct 8"),
        ),
    ),
    "Smoking": (
        Variant(
            "r.shoulder_flex 34 r.shoulder_abduct 14 r.elbow 132 r.shoulder_twist 36"
            " l.shoulder_flex 4 l.elbow 22 neck_bend -6",
            ("r.elbow -12 r.shoulder_flex -8", "neck_bend -8 spine_bend -4", _STANCE),
            2.0,
        ),
        _sit(
            "r.shoulder_flex 44 r.elbow 124 r.shoulder_twist 32 l.shoulder_flex 26 l.elbow 58",
            "r.elbow 14",
        ),
    ),
    "Waiting": (
        Variant(
            "shoulder_flex 24 shoulder_abduct 12 elbow 104 shoulder_twist 68",
            (
                "elbow 8 shoulder_flex 5",
                "tilt_side 4 spine_side -7 x.hip_abduct 5 x.knee 9",
                LOOK,
                _STANCE,
            ),
        ),
        Variant(
            "shoulder_flex -4 elbow 14",
            ("tilt_side 4 spine_side -7 x.hip_abduct 5 x.knee 10", LOOK, _STANCE, _LEAN),
        ),
        Variant(
            "shoulder_flex -32 elbow 52 shoulder_twist 60 shoulder_abduct 14",
            (LOOK, _STANCE, "x.knee 9 tilt_side 3"),
            0.6,
        ),
    ),
    "WalkDog": (
        walk(
            "r.shoulder_flex 46 r.shoulder_abduct 18 r.elbow 22 tilt_forward -2",
            "r.shoulder_flex 16 r.elbow -8 spine_twist 8",
            "tilt_forward -6 spine_bend 6",
            weight=2.0,
        ),
        Variant(
            "tilt_forward 30 hip_flex 52 knee 42 spine_bend 36 r.shoulder_flex 62 r.elbow 18"
            " l.shoulder_flex 30 l.elbow 46",
            ("tilt_forward 10 hip_flex 16 knee 20", "r.shoulder_flex 16 spine_twist -8"),
        ),
    ),
    "Walking": (walk("", "elbow 10 shoulder_flex 4", "spine_bend 4 neck_bend 6"),),
    "WalkTogether": (
        walk(
            "neck_twist -38 spine_twist -10 r.shoulder_abduct 24 r.elbow 62 r.shoulder_flex 12"
            " r.shoulder_twist -12",
            "neck_twist 10 spine_twist 5",
            "r.elbow 22",
        ),
    ),
    "Jogging": (
        Variant(
            "hip_flex 14 knee 52 elbow 88 tilt_forward 6 spine_bend 6 shoulder_flex -6",
            ("elbow 9", "tilt_forward 4 spine_bend 4"),
            cycle=JOG,
        ),
    ),
}
"""The 15 actions of Human3.6M, and jogging: narrow, upright daily life."""

H36M_ACTIONS = tuple(name for name in DAILY if name != "Jogging")
