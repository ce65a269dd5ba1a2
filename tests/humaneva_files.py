"""The archives of HumanEva-I as VideoPose3D writes them, and frames of videos, for the tests."""

import os

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

SEQUENCES = [(subject, action) for subject in ("S1", "S2", "S3") for action in ("Walking", "Jog")]
CAMERAS = ("C1", "C2", "C3")
K = np.array([[741.5, 0, 312.3], [0, 739.2, 241.7], [0, 0, 1.0]])

# Orientation (w, x, y, z) in the world and centre in mm: C1 as published, the others like it.
VIEWS = (
    ((0.424207, -0.498365, -0.580298, 0.484701), (4062.2, 663.2, 1528.4)),
    ((0.6503, -0.7482, -0.0919, 0.0942), (844.8, -3805.2, 1505.0)),
    ((0.0665, -0.0691, 0.7416, -0.6639), (-797.7, 3916.3, 1433.7)),
)

# pelvis, thorax, left and right arm, left and right leg, head; metres, z up, facing +y
STANDING = np.array(
    [
        (0, 0, 0.95),
        (0, 0, 1.45),
        *((-0.18, 0, 1.4), (-0.25, 0.02, 1.12), (-0.28, 0.1, 0.88)),
        *((0.18, 0, 1.4), (0.25, 0.02, 1.12), (0.28, 0.12, 0.88)),
        *((-0.1, 0, 0.93), (-0.11, 0.06, 0.52), (-0.11, -0.02, 0.1)),
        *((0.1, 0, 0.93), (0.11, 0.04, 0.52), (0.11, -0.04, 0.1)),
        (0, 0.04, 1.72),
    ]
)


def walk(frames, seed=0):
    """(frames, 15, 3) metres in the world, float32: someone who walks about and turns."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_euler("z", rng.uniform(-3, 3, (frames, 1))).as_matrix()
    moved = STANDING + rng.normal(0, 0.03, (frames, 15, 3))
    moved[:, 14, 2] = 1.72
    places = np.concatenate([rng.uniform(-0.7, 0.7, (frames, 2)), np.zeros((frames, 1))], 1)
    return (moved @ turns.mT + places[:, None]).astype(np.float32)


def view(camera):
    """Rotation from the world into a camera, and its centre in mm."""
    (w, x, y, z), centre = VIEWS[camera]
    return Rotation.from_quat((x, y, z, w)).as_matrix().T, np.array(centre)


def to_camera(joints_m, camera):
    """Joints in the frame of a camera, mm."""
    rotation, centre = view(camera)
    return (np.asarray(joints_m, np.float64) * 1000 - centre) @ rotation.T


def see(joints_m):
    """What a list of 2D joints holds: (frames, 15, 2) float32 for each camera."""
    seen = [to_camera(joints_m, camera) @ K.T for camera in range(3)]
    return [(points[..., :2] / points[..., 2:]).astype(np.float32) for points in seen]


def positions(frames=3):
    """`positions_3d` with one chunk of the first frames of each sequence and split."""
    return {
        f"{split}/{subject}": {
            f"{action} 1 chunk0": walk(frames, 10 * index + number)
            for index, (owner, action) in enumerate(SEQUENCES)
            if owner == subject
        }
        for number, split in enumerate(("Train", "Validate"))
        for subject in ("S1", "S2", "S3")
    }


def projections(table):
    """`positions_2d` of `positions_3d`."""
    return {
        subject: {name: see(joints) for name, joints in chunks.items()}
        for subject, chunks in table.items()
    }


def save_archives(folder, table=None, seen=None):
    """Write both archives; the 2D joints are projections where they are not given."""
    folder.mkdir(parents=True, exist_ok=True)
    table = positions() if table is None else table
    seen = projections(table) if seen is None else seen
    metadata = {"layout_name": "humaneva15", "num_joints": 15, "keypoints_symmetry": [[2], [5]]}
    np.savez_compressed(folder / "data_3d_humaneva15.npz", positions_3d=table)
    np.savez_compressed(folder / "data_2d_humaneva15_gt.npz", positions_2d=seen, metadata=metadata)
    return folder


def save_images(folder, numbers, size=(640, 480)):
    """Frames of a video by number: one grey picture, linked under each number."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "picture.jpg"
    Image.new("L", size, 90).save(picture)
    for number in numbers:
        os.link(picture, folder / f"{number:06d}.jpg")


def save_all_images(root, last=1300):
    """Frames 1 to `last` of every video; all videos are links to the first."""
    (root / "images/S1").mkdir(parents=True)
    for subject, action in SEQUENCES:
        (root / "images" / subject).mkdir(exist_ok=True)
        for camera in CAMERAS:
            place = root / f"images/{subject}/{action}_1_{camera}"
            if (subject, action, camera) == ("S1", "Walking", "C1"):
                save_images(place, range(1, last + 1))
            else:
                place.symlink_to(root.resolve() / "images/S1/Walking_1_C1")
