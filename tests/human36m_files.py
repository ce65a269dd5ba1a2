"""Human3.6M in both of its layouts, with people made by hand, for the tests."""

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat
from scipy.spatial.transform import Rotation

_USUAL = (
    "pelvis right_hip right_knee right_ankle left_hip left_knee left_ankle spine thorax jaw"
    " head_top left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist"
)
_LEFT_FIRST = (
    "pelvis left_hip left_knee left_ankle right_hip right_knee right_ankle spine thorax jaw"
    " head_top left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist"
)
USUAL, LEFT_FIRST = _USUAL.split(), _LEFT_FIRST.split()
PLACE_OF_32 = dict(
    pelvis=0, right_hip=1, right_knee=2, right_ankle=3, left_hip=6, left_knee=7, left_ankle=8,
    spine=12, thorax=13, jaw=14, head_top=15, left_shoulder=17, left_elbow=18, left_wrist=19,
    right_shoulder=25, right_elbow=26, right_wrist=27,
)  # fmt: skip
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
LENS = {  # fx fy cx cy k1 k2 k3 px py
    "54138969": (1145.0494, 1143.7811, 512.5415, 515.4515, -0.207099, 0.247775, -0.003075,
                 -0.000975699, -0.00142447),
    "55011271": (1149.6757, 1147.5917, 508.8486, 508.0649, -0.194214, 0.240409, 0.006820,
                 -0.00161903, -0.00274089),
    "58860488": (1149.1407, 1148.7990, 519.8158, 501.4026, -0.208338, 0.255488, -0.002460,
                 0.00148439, -0.000759999),
    "60457274": (1145.5114, 1144.7739, 514.9682, 501.8820, -0.198384, 0.218324, -0.008948,
                 -0.000587206, -0.00181336),
}  # fmt: skip

# Facing the camera with bent knees: the person's left is at the right of the image, and what is
# ahead of the person is nearer to the camera.
_SIDE = {
    "hip": (134, 0, 0), "knee": (140, 425, -150), "ankle": (140, 850, -10),
    "shoulder": (145, -450, 0), "elbow": (190, -180, 40), "wrist": (170, 20, -110),
}  # fmt: skip
_MIDDLE = {
    "pelvis": (0, 0, 0), "spine": (0, -238, 10), "thorax": (0, -492, 0), "jaw": (0, -600, -50),
    "head_top": (0, -715, -10),
}  # fmt: skip


def facing_the_camera():
    """(17, 3) joints in the usual order about the pelvis, mm, x right, y down, z away."""
    place = {name: np.array(point, float) for name, point in _MIDDLE.items()}
    for joint, point in _SIDE.items():
        place[f"left_{joint}"] = np.array(point, float)
        place[f"right_{joint}"] = np.array(point, float) * (-1, 1, 1)
    return np.stack([place[name] for name in USUAL])


def people(count, seed=0):
    """(count, 17, 3) people who face anywhere, about 5 m before the camera, mm."""
    rng = np.random.default_rng(seed)
    turn, joints = rng.uniform(0, 2 * np.pi, count), facing_the_camera()
    x = joints[:, 0] * np.cos(turn)[:, None] + joints[:, 2] * np.sin(turn)[:, None]
    z = joints[:, 2] * np.cos(turn)[:, None] - joints[:, 0] * np.sin(turn)[:, None]
    turned = np.stack([x, np.broadcast_to(joints[:, 1], x.shape), z], -1)
    turned[:, 1:] += rng.normal(0, 12, turned[:, 1:].shape)
    place = rng.uniform((-900, -300, 4500), (900, 300, 6000), (count, 1, 3))
    return turned + place


def seen_by(joints, camera):
    """(joints, 2) where a camera sees joints, lens and all, its first pixel's centre at 0."""
    fx, fy, cx, cy, k1, k2, k3, px, py = LENS[camera]
    points = []
    for x, y, z in joints:
        x, y = x / z, y / z
        r = (x**2 + y**2) ** 0.5
        a = 1 + k1 * r**2 + k2 * r**4 + k3 * r**6 + px * x + py * y
        points.append((fx * (x * a + px * r**2) + cx, fy * (y * a + py * r**2) + cy))
    return np.array(points)


def ordered(joints, names=LEFT_FIRST):
    """Joints (..., 17, n) in the usual order, in another."""
    return np.asarray(joints)[..., [USUAL.index(name) for name in names], :]


def film_names(subjects, actions=("Eating_1",), cameras=CAMERAS, frames=(1, 6)):
    """Names as in the coarse-to-fine layout, without `.jpg`."""
    return [
        f"{subject}_{action}.{camera}_{frame:06d}"
        for subject in subjects
        for action in actions
        for camera in cameras
        for frame in frames
    ]


def c2f(names, seed=0):
    """What a half of the coarse-to-fine layout holds, as its files have it."""
    joints = people(len(names), seed)
    cameras = [name.rpartition(".")[2].split("_")[0] for name in names]
    points = np.stack([seen_by(pose, one) for pose, one in zip(joints, cameras, strict=True)])
    low, high = points.min(1), points.max(1)
    depth = joints[..., 2] - joints[:, :1, 2]
    return {
        "names": list(names),
        "joints": joints,
        "center": (low + high) / 2,
        "scale": ((high - low).max(1) + 40) / 200,
        "part": ordered(points),
        "zind": ordered(np.round((depth[..., None] + 1020.70) / 31.031965))[..., 0],
        "S": ordered(joints),
    }


ALL_KEYS = ("center", "scale", "part", "zind", "S")


def save_c2f(root, half, content, keys=ALL_KEYS, mat=False, images=True):
    """Write `annot/{half}.h5`, `annot/{half}_images.txt`, with `mat` a `.mat`, and the images.

    Images are grey, each of another brightness: 40, 42 and so on by row.
    """
    annot, names = root / "annot", content["names"]
    annot.mkdir(parents=True, exist_ok=True)
    (annot / f"{half}_images.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    with h5py.File(annot / f"{half}.h5", "w") as file:
        for key in keys:
            file[key] = content[key]
    if mat:
        save_annot(annot / f"{half}.mat", names, np.swapaxes(content["S"], 1, 2), content)
    if images:
        save_films(root / "images", [f"{name}.jpg" for name in names])
    return root


TEST_NAMES = film_names(("S9", "S11"))


def save_test_set(root, content=None, **options):
    """The coarse-to-fine layout with its test half alone; options as for `save_c2f`."""
    return save_c2f(root, "valid", content or c2f(TEST_NAMES), **options)


def save_annot(path, names, poses, content):
    """A MATLAB file of v5 with the struct `annot`; `poses` are (N, 3, 17) in the real one."""
    cell, pinholes = np.empty((len(names), 1), object), np.empty((len(names), 1), object)
    for row, name in enumerate(names):
        cell[row, 0], pinholes[row, 0] = name, np.eye(3)
    annot = {"imgname": cell, "center": content["center"], "S": poses, "K": pinholes}
    savemat(path, {"annot": annot | {"scale": content["scale"][:, None]}})


def save_films(folder, names, size=(1000, 1000)):
    for row, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (40 + 2 * row,) * 3).save(path)


def sequence(frames=(1, 6, 11), cameras=CAMERAS, seed=0):
    """What one `annot.h5` of h36m-fetch holds: a mapping from keys to arrays."""
    joints = people(len(frames) * len(cameras), seed)
    serials = np.repeat([int(camera) for camera in cameras], len(frames))
    points = np.stack([seen_by(pose, str(n)) for pose, n in zip(joints, serials, strict=True)])
    places = [PLACE_OF_32[name] for name in USUAL]
    wide = {"pose/3d": np.full((len(joints), 32, 3), 9999.0)}
    wide["pose/2d"] = np.full((len(joints), 32, 2), -9999.0)
    wide["pose/3d"][:, places], wide["pose/2d"][:, places] = joints, points
    pinholes = {
        f"intrinsics/{camera}": np.array(LENS[camera])[[0, 2, 1, 3]]  # fx, cx, fy, cy
        for camera in cameras
    }
    return {
        **wide,
        "pose/3d-univ": wide["pose/3d"] * 0.9,
        "camera": serials,
        "frame": np.tile(frames, len(cameras)),
        **pinholes,
    }


def save_sequence(processed, name, content, images=True):
    """Write one folder of h36m-fetch, such as `S1/Eating-1`; images as in `save_c2f`."""
    folder = processed / name
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "annot.h5", "w") as file:
        for key, value in content.items():
            file[key] = value
    if images:
        rows = zip(content["camera"], content["frame"], strict=True)
        paths = [f"{camera}/img_{frame:06d}.jpg" for camera, frame in rows]
        save_films(folder / "imageSequence", paths)
    return folder


OF_32 = [PLACE_OF_32[name] for name in USUAL]
_MPII = [
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "thorax",
    "jaw",
    "head_top",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
]


def save_baseline(root, takes, frames=11, transposed=False):
    """The files of 3d-pose-baseline; gives the joints in each camera that they hold.

    Detections are the true places, each `index` pixels to the right of its joint.
    """
    root.mkdir(parents=True, exist_ok=True)
    rng, written = np.random.default_rng(0), {}
    with h5py.File(root / "cameras.h5", "w") as file:
        for subject, names in takes.items():
            views = {}
            for number, camera in enumerate(CAMERAS, 1):
                turn = Rotation.from_euler("zx", [90 * number, 100], degrees=True).as_matrix().T
                views[camera] = turn, -turn.T @ (0, 0, 5000) + (0, 0, 900)
                group = file.create_group(f"subject{subject[1:]}/camera{number}")
                group["R"], group["T"] = turn.T, views[camera][1][:, None]
                group["Name"] = np.array([[ord(letter)] for letter in camera])
            for name in names:
                posed = people(frames, int(rng.integers(99)))
                upright = Rotation.from_euler("x", 90, degrees=True).as_matrix()
                world = np.add((posed - posed[:, :1]) @ upright, (0, 0, 900))
                wide = np.zeros((frames, 32, 3))
                wide[:, OF_32] = world
                path = root / subject / "MyPoses/3D_positions" / f"{name}.h5"
                path.parent.mkdir(parents=True, exist_ok=True)
                flat = wide.reshape(frames, 96)
                with h5py.File(path, "w") as mocap:
                    mocap["3D_positions"] = flat if transposed else flat.T
                _save_detections(root / subject, name, world, views, written)
    return written


def _save_detections(folder, name, world, views, written):
    (folder / "StackedHourglass").mkdir(exist_ok=True)
    raw, _, take = name.partition(" ")
    action = {"WalkingDog": "WalkDog"}.get(raw, raw)
    for camera, (turn, centre) in views.items():
        joints = (world - centre) @ turn.T
        written[folder.name, action, int(take or 0), camera] = joints
        points = np.stack([seen_by(pose, camera) for pose in joints])
        detected = points[:, [USUAL.index(joint) for joint in _MPII]]
        detected[..., 0] += np.arange(16)
        stem = name.replace(" ", "_")
        with h5py.File(folder / "StackedHourglass" / f"{stem}.{camera}.h5", "w") as file:
            file["poses"] = detected
