"""Small BVH files in several dialects, and their kinematics joint by joint, for the tests."""

import numpy as np
from scipy.spatial.transform import Rotation

ZYX, ZXY = "Zrotation Yrotation Xrotation", "Zrotation Xrotation Yrotation"
XYZ_POSITION = "Xposition Yposition Zposition"
SIX = f"{XYZ_POSITION} {ZXY}"


def person_of(unit_mm, names, limb, middle, first=XYZ_POSITION + " " + ZYX, end_mm=100.0):
    """A small skeleton; `names`: root, chest, neck, head and templates of six limb joints."""
    root, chest, neck, head, hip, knee, ankle, shoulder, elbow, wrist = names
    rows = [
        (root, "", (5, 900, -20), first),
        (chest, root, (0, 200, -10), middle),
        (neck, chest, (0, 230, 0), middle),
        (head, neck, (0, 100, 10), middle),
        ("", head, (0, end_mm, 0), ""),
    ]
    for side, sign in (("Left", 1), ("Right", -1)):
        joint = [n.format(side, side[0]) for n in (hip, knee, ankle, shoulder, elbow, wrist)]
        rows += [
            (joint[0], root, (100 * sign, -20, 0), middle),
            (joint[1], joint[0], (10 * sign, -400, 0), middle),
            (joint[2], joint[1], (0, -430, -5), middle),
            ("", joint[2], (0, -30, 100), ""),
            (joint[3], chest, (180 * sign, 190, 0), limb),
            (joint[4], joint[3], (280 * sign, 0, 0), limb),
            (joint[5], joint[4], (240 * sign, 0, 0), limb),
            ("", joint[5], (80 * sign, 0, 0), ""),
        ]
    return [(n, p, np.array(o) / unit_mm, c.split()) for n, p, o, c in rows]


def names_of(middle, limbs):
    """Names as `person_of` takes them, both parts separated by commas."""
    return f"{middle},{limbs}".split(",")


CMU_NAMES = names_of(
    "Hips,Chest,Neck,Head", "{0}Hip,{0}Knee,{0}Ankle,{0}Shoulder,{0}Elbow,{0}Wrist"
)
NAMCO_NAMES = names_of(
    "Hips,Spine,Neck,Head",
    "UpperLeg_{1},LowerLeg_{1},Foot_{1},UpperArm_{1},LowerArm_{1},Hand_{1}",
)
MIXAMO_NAMES = names_of(
    "Hips,Spine1,Neck,Head", "{0}UpLeg,{0}Leg,{0}Foot,{0}Arm,{0}ForeArm,{0}Hand"
)
BIPED_NAMES = names_of(
    "Pelvis,Spine,Neck,Head", "{1} Thigh,{1} Calf,{1} Foot,{1} UpperArm,{1} Forearm,{1} Hand"
)
SMPL_NAMES = names_of(
    "pelvis,spine2,neck,head", "{1}_Hip,{1}_Knee,{1}_Ankle,{1}_Shoulder,{1}_Elbow,{1}_Wrist"
)
BLENDER_NAMES = names_of(
    "hips,chest,neck,head", "thigh.{1},shin.{1},foot.{1},upper_arm.{1},forearm.{1},hand.{1}"
)
WISCONSIN_NAMES = names_of(
    "Hips,Chest,Neck,Head", "{0}UpLeg,{0}LowLeg,{0}Foot,{0}UpArm,{0}LowArm,{0}Hand"
)
UNREAL_NAMES = names_of(
    "pelvis,spine_02,neck_01,head",
    "thigh_{1},calf_{1},foot_{1},upperarm_{1},lowerarm_{1},hand_{1}",
)
CMU = person_of(56.444, CMU_NAMES, ZXY, ZYX)
NAMCO = person_of(10, NAMCO_NAMES, SIX, SIX, first=SIX, end_mm=0)
DIALECTS = {"cmu": CMU, "bandai-namco": NAMCO}


def bvh_text(person, values, frame_time="0.0333333"):
    """Text of a BVH file, children in the order of the rows."""
    lines = ["HIERARCHY"]

    def node(row, depth):
        name, _, offset, channels = row
        pad = "  " * depth
        lines.append(pad + (("ROOT " if depth == 0 else "JOINT ") + name if name else "End Site"))
        lines.append(pad + "{")
        lines.append(f"{pad}  OFFSET " + " ".join(f"{x:.9g}" for x in offset))
        if channels:
            lines.append(f"{pad}  CHANNELS {len(channels)} " + " ".join(channels) + " ")
        for child in person:
            if name and child[1] == name:
                node(child, depth + 1)
        lines.append(pad + "}")

    node(person[0], 0)
    lines += ["MOTION", f"Frames:\t{len(values)}", f"Frame Time: {frame_time}"]
    lines += [" ".join(f"{x:.9g}" for x in row) for row in values]
    return ("\n".join(lines) + "\n").encode()


def depth_first(person):
    """Rows depth first, as the file lists them."""

    def walk(row):
        yield row
        for child in person:
            if row[0] and child[1] == row[0]:
                yield from walk(child)

    return list(walk(person[0]))


def kinematics(person, values):
    """Joint positions by name in the file's unit and axes, one frame and joint at a time."""
    frames = []
    for numbers in values:
        numbers, world = list(numbers), {"": (np.zeros(3), Rotation.identity())}
        for name, parent, offset, channels in depth_first(person):
            start, turned = world[parent]
            local, turn = np.array(offset, float), Rotation.identity()
            for channel in channels:
                value, axis = numbers.pop(0), "XYZ".index(channel[0])
                if channel.endswith("position"):
                    local[axis] = value
                else:
                    turn = turn * Rotation.from_rotvec(np.deg2rad(value) * np.eye(3)[axis])
            world[name or f"end of {parent}"] = (start + turned.apply(local), turned * turn)
        frames.append({name: place for name, (place, _) in world.items()})
    return frames


def random_values(person, frames=4, degrees=40.0, seed=0):
    """Rows with random angles; position channels near the offsets."""
    rng = np.random.default_rng(seed)
    columns = []
    for _, _, offset, channels in depth_first(person):
        for channel in channels:
            around = offset["XYZ".index(channel[0])] if channel.endswith("position") else 0
            spread = 0.1 if channel.endswith("position") else degrees
            columns.append(around + spread * rng.standard_normal(frames))
    return np.stack(columns, 1)


def rest_values(person, frames=1):
    return random_values(person, frames, degrees=0) * 0 + random_values(person, 1, 0)


def save(folder, text, name="clip.bvh"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path
