"""The broad activities as data, in the notation of ordlib.synthetic.actions."""

from ordlib.synthetic.actions import DAILY, JOG, LOOK, Variant, walk


def _broad(mean: str, *factors: str, weight: float = 1.0) -> Variant:
    """A variant of a broad activity: twice the spread, and limbs that vary together."""
    legs = "x.hip_flex 13 x.knee 12 hip_abduct 6"
    arms = "x.shoulder_flex 22 x.shoulder_abduct 16 x.elbow 20"
    return Variant(mean, (legs, arms, *factors), weight, 1.8)


_TUMBLE = "tilt_forward 22 neck_bend -8"
_ROLL = "tilt_side 22 spine_side 6"

ACTIVITIES: dict[str, tuple[Variant, ...]] = {
    "standing/walking": (
        _broad("", LOOK),
        walk("", "elbow 20 shoulder_flex 10", weight=2.0),
        _broad("shoulder_flex 40 elbow 70 shoulder_twist 20", "shoulder_flex 25 elbow 20"),
    ),
    "exercising": (
        _broad("shoulder_abduct 140 elbow 20 hip_abduct 24", "shoulder_abduct 30 hip_abduct 10"),
        _broad(
            "hip_flex 96 knee 100 tilt_forward 28 spine_bend 16 shoulder_flex 88 elbow 14",
            "hip_flex 16 knee 20 tilt_forward 8",
        ),
        _broad(
            "l.hip_flex 78 l.knee 86 r.hip_flex -12 r.knee 52 shoulder_abduct 40 elbow 60",
            "l.knee 12 r.knee 20 spine_bend 8",
        ),
        _broad(
            "tilt_forward 62 hip_flex 62 spine_bend 52 shoulder_flex 78 elbow 10 knee 8",
            "tilt_forward 16 hip_flex 14 spine_bend 12",
        ),
        _broad(
            "tilt_forward 78 hip_flex 4 knee 6 shoulder_flex 76 elbow 30 shoulder_abduct 22"
            " neck_bend -24",
            "elbow 34 shoulder_flex -16",
            "tilt_forward 6",
        ),
        _broad(
            "shoulder_flex 62 elbow 112 shoulder_twist 26 l.hip_flex 16 knee 22",
            "x.shoulder_flex 16 x.elbow 46 spine_twist 14",
        ),
        _broad(
            "spine_side 24 l.shoulder_abduct 150 r.shoulder_abduct 20 hip_abduct 16",
            "spine_side 8 tilt_side 8",
        ),
    ),
    "sitting": (
        *DAILY["Sitting"],
        _broad("hip_flex 88 knee 70 shoulder_flex 70 elbow 50", "tilt_forward 14 hip_flex 8"),
        _broad("hip_flex 70 knee 66 tilt_forward -22 shoulder_abduct 60 elbow 70", _TUMBLE),
    ),
    "reaching/crouching": (
        _broad(
            "hip_flex 112 knee 128 tilt_forward 24 spine_bend 26 shoulder_flex 60 elbow 40",
            "tilt_forward 12 hip_flex 10 knee 14",
            "shoulder_flex 34",
        ),
        _broad(
            "l.hip_flex 92 l.knee 92 r.hip_flex -8 r.knee 98 spine_bend 16 shoulder_flex 48"
            " elbow 40",
            "tilt_forward 14 spine_bend 12",
            "shoulder_flex 36",
        ),
        _broad(
            "r.shoulder_flex 148 r.shoulder_abduct 40 r.elbow 12 neck_bend -22 spine_bend -8",
            "spine_side 8 r.shoulder_abduct 20",
            "l.shoulder_flex 50",
        ),
        _broad(
            "tilt_forward 46 hip_flex 60 spine_bend 46 r.shoulder_flex 80 r.elbow 12 knee 20",
            "spine_twist 16 spine_side 10",
            "knee 16 hip_flex 10",
        ),
    ),
    "on the floor": (
        _broad(
            "tilt_forward -88 hip_flex 8 shoulder_abduct 40",
            "hip_flex 34 knee 40",
            "shoulder_abduct 40",
            weight=1.5,
        ),
        _broad(
            "tilt_forward 90 shoulder_flex 120 elbow 60 neck_bend -20",
            "knee 40",
            "shoulder_flex 40 elbow 20",
        ),
        _broad(
            "tilt_side 88 hip_flex 46 knee 56 shoulder_flex 50 elbow 50",
            "hip_flex 26 knee 30 spine_bend 14",
            _TUMBLE,
            weight=1.5,
        ),
        _broad(
            "tilt_forward 80 hip_flex 84 knee 90 shoulder_flex 84 elbow 10 neck_bend -24",
            "x.hip_flex 18 x.knee 18 x.shoulder_flex 18",
            "tilt_forward 8 hip_flex 8",
        ),
        _broad(
            "hip_flex 84 knee 20 tilt_forward -22 shoulder_flex -34 shoulder_abduct 26 elbow 8",
            "knee 30 hip_flex 10",
            _TUMBLE,
        ),
        *DAILY["SittingDown"][:3],
    ),
    "sports": (
        _broad(
            "r.hip_flex 84 r.knee 24 r.hip_abduct 16 tilt_forward -14 shoulder_abduct 56 elbow 30",
            "r.hip_flex 24 r.knee -14 tilt_forward -8",
        ),
        _broad(
            "r.hip_abduct 62 r.knee 14 tilt_side 26 l.hip_abduct 14 shoulder_abduct 40 elbow 80",
            "r.hip_abduct 10 tilt_side 12",
        ),
        _broad(
            "r.shoulder_abduct 128 r.shoulder_flex 40 r.elbow 72 r.shoulder_twist -40"
            " l.shoulder_flex 92 l.elbow 20 spine_side 14 spine_bend -10 knee 24",
            "spine_twist 22 r.elbow 28",
            "r.shoulder_flex 36",
        ),
        _broad(
            "tilt_forward 20 hip_flex 42 knee 36 spine_bend 26 spine_twist 22 l.shoulder_flex 70"
            " r.shoulder_flex 58 elbow 14 shoulder_twist 16 l.shoulder_abduct -20",
            "spine_twist 18 shoulder_flex 22",
        ),
        Variant(
            "hip_flex 24 knee 66 elbow 84 tilt_forward 12 spine_bend 8",
            ("elbow 14",),
            1.5,
            1.5,
            JOG,
        ),
        _broad(
            "hip_abduct 48 hip_flex 36 knee 14 shoulder_abduct 96 shoulder_flex 40",
            "hip_abduct 14 knee 16",
            _TUMBLE,
        ),
        _broad(
            "tilt_forward 178 shoulder_flex 168 elbow 8 neck_bend -22",
            "hip_abduct 18 knee 20",
            "x.hip_flex 26 tilt_forward 10",
            weight=1.3,
        ),
        _broad(
            "tilt_side 120 hip_abduct 46 shoulder_abduct 146 elbow 10", _ROLL, _ROLL, weight=1.3
        ),
        _broad(
            "hip_flex 100 knee 116 tilt_forward 70 spine_bend 36 shoulder_flex 70 elbow 40",
            "tilt_forward 60",
            "hip_flex 14 knee 16",
        ),
    ),
    "miscellaneous": (
        _broad(
            "l.hip_flex 92 l.knee 96 l.hip_abduct 22 shoulder_flex 120 shoulder_abduct 50"
            " elbow 60 neck_bend -18",
            "x.shoulder_flex 24 x.hip_flex 20",
            _TUMBLE,
        ),
        _broad("shoulder_flex 160 elbow 14 hip_flex 20 knee 30 neck_bend -14", _TUMBLE, _ROLL),
        _broad(
            "r.hip_flex 40 r.hip_abduct 48 r.hip_twist -40 r.knee 122 shoulder_abduct 146 elbow 40",
            "spine_side 10",
            "r.hip_abduct 8",
        ),
        _broad(
            "tilt_forward 72 l.hip_flex 72 r.hip_flex -10 shoulder_flex 80 shoulder_abduct 70"
            " neck_bend -20",
            "tilt_forward 14 l.hip_flex 14",
        ),
        _broad(
            "tilt_forward 42 hip_flex 70 knee 70 shoulder_abduct 80 shoulder_flex 40",
            _TUMBLE,
            _ROLL,
        ),
        _broad(
            "tilt_forward -40 spine_bend -18 hip_flex 40 knee 66 shoulder_flex 70",
            _TUMBLE,
            _ROLL,
            "shoulder_abduct 44",
        ),
    ),
}
"""The seven activities of MPI-INF-3DHP's test set: broad."""
