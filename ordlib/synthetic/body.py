"""Solid bodies around 17 joints, and what makes people look different.

Every part is a clipped ellipsoid of elliptical cross-section: along its axis the squared radius is
a concave parabola through three given radii. This one shape covers tapered limbs (clipped at both
ends, with a ball at the joint), balls and plain ellipsoids, and a ray meets it in closed form.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from ordlib.errors import InputError
from ordlib.skeleton import H36M17

STYLES = ("studio", "wild")
MATERIALS = ("skin", "hair", "shirt", "shirt_print", "trousers", "trousers_print", "shoes")
WEAR = ("torso", "arm", "leg", "foot", "bare", "head", "hair")
"""What a part wears; codes in `Bodies.wear`."""

_MEAN_BONES_MM = 4138.7  # sum of the 16 mean limb lengths of the training subjects
_FRONTS = ("pelvis", "chest", "face", "right_toes", "left_toes", "right_palm", "left_palm")


@dataclass(frozen=True)
class Appearance:
    """Looks and girth of P people.

    `shape` has factors on the radii of torso, arms, legs, head and hair, and the hair's length (0
    short, 1 to the shoulders). `cut` says where sleeves end (0 shoulder, 1 elbow, 2 wrist), where
    trousers end (0 hip, 1 knee, 2 ankle), and the hem of the shirt (0 lower, 1 upper end of the
    pelvis). `pattern` of the shirt is 0 plain, 1 stripes across, 2 stripes along, 3 checks, 4 dots,
    5 two blocks.
    """

    shape: Float[Tensor, "people 6"]
    palette: Float[Tensor, "people 7 3"]  # RGB in 0 to 1 of each of `MATERIALS`
    cut: Float[Tensor, "people 3"]
    pattern: Int64[Tensor, " people"]
    period_mm: Float[Tensor, " people"]  # of the pattern
    beard: Float[Tensor, " people"]  # 0 or 1

    def take(self, indices: Int64[Tensor, " chosen"]) -> "Appearance":
        """The people at `indices`, with repetition if indices repeat."""
        return Appearance(**{f.name: getattr(self, f.name)[indices] for f in fields(self)})

    def wearing(self, other: "Appearance") -> "Appearance":
        """The same bodies, skin and hair in the clothes of as many other people."""
        own = torch.tensor([name in ("skin", "hair") for name in MATERIALS])
        own = own.to(self.palette.device)[:, None]
        palette = torch.where(own, self.palette, other.palette)
        return replace(other, shape=self.shape, beard=self.beard, palette=palette)

    def to(self, device: str | torch.device) -> "Appearance":
        """The same people with every tensor on `device`."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


_SKIN = ((0.96, 0.80, 0.69), (0.89, 0.69, 0.55), (0.74, 0.53, 0.39), (0.50, 0.33, 0.23))
_HAIR = ((0.08, 0.06, 0.05), (0.25, 0.16, 0.10), (0.45, 0.30, 0.16), (0.74, 0.60, 0.36))
_DENIM = ((0.13, 0.17, 0.30), (0.12, 0.12, 0.13), (0.45, 0.40, 0.33), (0.30, 0.36, 0.45))


def _uniform(generator: Generator, low: int | float, high: int | float, *shape: int) -> Tensor:
    draws = torch.rand(shape, generator=generator, device=generator.device)
    return low + (high - low) * draws


def _tone(generator: Generator, people: int, tones: tuple[tuple[float, ...], ...]) -> Tensor:
    """(people, 3) colours between two random neighbours of a list of tones."""
    table = torch.tensor(tones, device=generator.device)
    place = _uniform(generator, 0, len(tones) - 1.001, people)
    lower = place.long()
    return torch.lerp(table[lower], table[lower + 1], (place - lower)[:, None])


def _dye(generator: Generator, people: int, saturation: float) -> Tensor:
    """(people, 3) cloth colours: a random hue, brightness from dark to light."""
    hue = _uniform(generator, 0, 1, people, 1)
    phase = torch.tensor([0.0, 1 / 3, 2 / 3], device=generator.device)
    pure = 0.5 + 0.5 * torch.cos(2 * torch.pi * (hue - phase))
    depth = _uniform(generator, 0, saturation, people, 1)
    return (1 - depth * (1 - pure)) * _uniform(generator, 0.12, 0.95, people, 1)


def sample_appearance(people: int, style: str, generator: Generator) -> Appearance:
    """Draw the looks of people in one of `STYLES`, on the generator's device.

    Raises:
        InputError: another style.
    """
    if style not in STYLES:
        raise InputError(f"style: found {style!r}, expected one of {', '.join(STYLES)}")
    wild = style == "wild"
    spread = 0.16 if wild else 0.10
    bulk = _uniform(generator, 1 - spread, 1 + spread, people, 1)
    factors = bulk * _uniform(generator, 0.93, 1.07, people, 3)
    head = _uniform(generator, 0.96, 1.04, people, 1)
    bald = _uniform(generator, 0, 1, people, 1) < 0.08
    hair = torch.where(bald, 0.85 * head, head * _uniform(generator, 0.97, 1.08, people, 1))
    long = _uniform(generator, -1.0, 1.0, people, 1).clamp_min(0) * ~bald
    dark = _tone(generator, people, _DENIM)
    bright = _dye(generator, people, 0.8)
    coloured = _uniform(generator, 0, 1, people, 1) < (0.4 if wild else 0.15)
    trousers = torch.where(coloured, bright, dark)
    shirt = _dye(generator, people, 0.9)
    prints = (shirt + _uniform(generator, 0.35, 0.65, people, 3)) % 1.0
    shoes = _dye(generator, people, 0.3)
    skin, hair_colour = _tone(generator, people, _SKIN), _tone(generator, people, _HAIR)
    palette = [skin, hair_colour, shirt, prints, trousers, 0.7 * trousers, shoes]
    short = _uniform(generator, 0, 1, people, 2) < torch.tensor([0.55, 0.3]).to(shirt.device)
    low, high = torch.tensor([0.55, 0.85]), torch.tensor([0.95, 1.15])
    ends = _uniform(generator, 0, 1, people, 2)
    ends = torch.where(short, low.to(ends.device).lerp(high.to(ends.device), ends), 1.85)
    kinds = torch.randint(-1, 6 if wild else 3, (people,), generator=generator, device=ends.device)
    return Appearance(
        shape=torch.cat([factors, head, hair, long], 1),
        palette=torch.stack(palette, 1),
        cut=torch.cat([ends, _uniform(generator, 0.4, 0.8, people, 1)], 1),
        pattern=kinds.clamp_min(0),
        period_mm=_uniform(generator, 70, 170, people),
        beard=((_uniform(generator, 0, 1, people) < 0.3) & (long[:, 0] == 0)).float(),
    )


# The solid parts, lengths in mm for a person of mean bone lengths. The axis runs from `tail` to
# `head` with length L; a part covers a L + a_mm to b L + b_mm along it, moved by `fwd` towards its
# front, with radii r0, r1, r2 at the start, in the middle and at the end, `deep` times as large
# towards the front. `fat` is the column of Appearance.shape, `wear` what it wears, and g to h
# its place on the garment. `*` is a side; the rows of one side follow those of the trunk.
_TRUNK = """
name   tail           head          a     a_mm b    b_mm r0  r1  r2  deep fwd front  fat wear  g   h
pelvis pelvis         spine         0     -130 0    130  0   178 0   0.68 0   pelvis 0   torso 0   1
belly  pelvis         thorax        0.05  0    0.75 0    148 148 140 0.72 8   pelvis 0   torso 0.6 3
chest  spine          thorax        -0.5  0    1    10   120 168 70  0.7  0   chest  0   torso 1   4
yoke   right_shoulder left_shoulder 0     -10  1    10   35  82  35  1    0   chest  0   torso 3   4
neck   thorax         head_top      -0.25 0    0.6  0    66  60  50  1    -8  face   3   bare  0   1
head   jaw            head_top      0     -62  1    28   0   78  0   1.22 -30 face   3   head  0   1
hair   jaw            head_top      0     -10  1    45   0   88  0   1.1  -52 face   4   hair  0   1
nose   jaw            head_top      0     0    0    58   0   15  0   1.7  58  face   3   bare  0   1
"""
_SIDE = """
*_hip      *_hip      *_knee  0 -76 0 76  0  76 0  1   0  *_toes 2 leg  -0.2 0.2
thigh      *_hip      *_knee  0 0   1 0   84 78 53 1   0  *_toes 2 leg  0    1
*_knee     *_knee     *_ankle 0 -53 0 53  0  53 0  1   0  *_toes 2 leg  0.9  1.1
shin       *_knee     *_ankle 0 0   1 10  51 53 36 1   0  *_toes 2 leg  1    2
foot       *_knee     *_ankle 1 -30 1 80  0  45 0  2.9 62 *_toes 3 foot 0    1
*_shoulder *_shoulder *_elbow 0 -60 0 60  0  60 0  1   0  chest  1 arm  -0.2 0.2
arm        *_shoulder *_elbow 0 0   1 0   57 52 41 1   0  *_palm 1 arm  0    1
*_elbow    *_elbow    *_wrist 0 -41 0 41  0  41 0  1   0  *_palm 1 arm  0.85 1.15
forearm    *_elbow    *_wrist 0 0   1 12  41 41 27 1   0  *_palm 1 arm  1    2
hand       *_elbow    *_wrist 1 -20 1 175 0  46 0  0.6 0  *_palm 3 bare 0    1
"""
_HEADER, *_ROWS = [
    line.split()
    for line in (_TRUNK + _SIDE.replace("*", "right") + _SIDE.replace("*", "left")).splitlines()
    if line
]
_COLUMNS = dict(zip(_HEADER, zip(*_ROWS, strict=True), strict=True))
PART_NAMES = _COLUMNS["name"]
_HAIR_PART = PART_NAMES.index("hair")
_WEAR = [WEAR.index(word) for word in _COLUMNS["wear"]]
_PRINT = [PART_NAMES.index("chest") if w == WEAR.index("torso") else i for i, w in enumerate(_WEAR)]


def _numbers(*names: str) -> Float[Tensor, "parts columns"]:
    """Columns of the table of parts."""
    return torch.tensor([[float(text) for text in _COLUMNS[name]] for name in names]).T.double()


@dataclass(frozen=True)
class Bodies:
    """The K solid parts of B people in the camera frame.

    In a part's own coordinates q = axes (x - origin), in mm, its surface is
    q0^2 + (q1 / depth)^2 = profile[0] + profile[1] q2 + profile[2] q2^2 for 0 <= q2 <= length_mm.
    """

    origin_mm: Float[Tensor, "batch parts 3"]  # point on the axis where the part starts
    axes: Float[Tensor, "batch parts 3 3"]  # rows: the sideways, front and long axis
    depth: Float[Tensor, " parts"]  # radius towards the front by radius sideways
    profile: Float[Tensor, "batch parts 3"]  # coefficients of the squared radius
    length_mm: Float[Tensor, "batch parts"]
    wear: Int64[Tensor, " parts"]  # index into `WEAR`
    along: Float[Tensor, "parts 2"]  # place on the garment at the start and at the end
    print_part: Int64[Tensor, " parts"]  # in whose coordinates the cloth is printed


def _unit(vector: Tensor) -> Tensor:
    # A millionth of a fixed direction keeps the null vector from becoming NaN.
    fallback = vector.new_tensor([0.31, -0.89, 0.33]) * 1e-6
    vector = vector + fallback
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def _across(vector: Tensor, axis: Tensor) -> Tensor:
    """Unit vector along the part of `vector` that is at right angles to the unit `axis`."""
    return _unit(vector - (vector * axis).sum(-1, keepdim=True) * axis)


def _fronts(joints: Tensor) -> Tensor:
    """(B, 7, 3) directions of `_FRONTS`: what the joints tell of facing, toes and palms."""
    at = {name: joints[:, i] for i, name in enumerate(H36M17.joints)}
    left = _unit(at["left_shoulder"] - at["right_shoulder"])
    hips_left = _unit(at["left_hip"] - at["right_hip"])
    pelvis = _unit(torch.linalg.cross(hips_left, at["spine"] - at["pelvis"]))
    chest = _unit(torch.linalg.cross(left, at["thorax"] - at["spine"]))
    # The jaw lies before the neck and turns with the head; the chest steadies it.
    face = _unit(at["jaw"] - at["thorax"]) + 0.3 * chest
    # A bent knee shows where the toes point; for a straight leg the pelvis does.
    feet = [_unit(at[f"{s}_knee"] - at[f"{s}_hip"]) + 0.4 * pelvis for s in ("right", "left")]
    up = _unit(at["thorax"] - at["pelvis"])
    palms = [left + 0.6 * up, left - 0.6 * up]
    return torch.stack([pelvis, chest, face, *feet, *palms], 1)


def build(joints_mm: Float[Tensor, "batch 17 3"], appearance: Appearance) -> Bodies:
    """Put the solid parts around joints of the Human3.6M skeleton.

    Sizes follow the sum of the bone lengths and `appearance.shape`. Fronts of torso, head and feet
    follow from neighbouring joints; hands continue the forearms. Coincident joints give finite,
    though meaningless, parts.
    """
    device, joints = joints_mm.device, joints_mm.double()

    def indices(names: Sequence[str], column: str) -> Tensor:
        return torch.tensor([names.index(word) for word in _COLUMNS[column]], device=device)

    bones = torch.tensor(H36M17.bones, device=device)
    size = (joints[:, bones[:, 1]] - joints[:, bones[:, 0]]).norm(dim=-1).sum(1) / _MEAN_BONES_MM
    factor = appearance.shape.double()[:, _numbers("fat")[:, 0].long().to(device)]
    factor = factor * size.clamp(0.3, 2.0)[:, None]
    tail = joints[:, indices(H36M17.joints, "tail")]
    bone = joints[:, indices(H36M17.joints, "head")] - tail
    axis = _unit(bone)
    front = _across(_fronts(joints)[:, indices(_FRONTS, "front")], axis)
    share, shift, share_end, shift_end = _numbers("a", "a_mm", "b", "b_mm").to(device).T
    span = bone.norm(dim=-1)
    start = share * span + shift * factor
    start[:, _HAIR_PART] -= 110 * appearance.shape[:, 5].double()
    length = (share_end * span + shift_end * factor - start).clamp_min(1.0)
    forward = _numbers("fwd")[:, 0].to(device) * factor
    radii = _numbers("r0", "r1", "r2").to(device) * factor[..., None]
    first, middle, last = radii.pow(2).unbind(-1)
    # Concave, so that every part is an ellipsoid and the camera stays outside of it.
    bulge = (middle - (first + last) / 2).clamp_min(0.03 * middle) * 4
    return Bodies(
        origin_mm=tail + start[..., None] * axis + forward[..., None] * front,
        axes=torch.stack([torch.linalg.cross(front, axis), front, axis], -2),
        depth=_numbers("deep")[:, 0].to(device),
        profile=torch.stack([first, (last - first + bulge) / length, -bulge / length**2], -1),
        length_mm=length,
        wear=indices(WEAR, "wear"),
        along=_numbers("g", "h").float().to(device),
        print_part=torch.tensor(_PRINT, device=device),
    )
