"""The test set of MPI-INF-3DHP as its authors store it, for the tests."""

import os

import h5py
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

NAMES = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
K = np.array([[1500.2, 0, 1017.4], [0, 1499.5, 1043.0], [0, 0, 1.0]])

# MPI-INF-3DHP's order; mm, y down, facing the camera, so the right side is at negative x
STANDING = np.array(
    [
        *((0, -760, -20), (0, -500, 0)),
        *((-180, -450, 0), (-250, -180, -20), (-280, 60, -100)),
        *((180, -450, 0), (250, -180, -20), (280, 60, -120)),
        *((-110, 0, 0), (-110, 420, -50), (-110, 840, 30)),
        *((110, 0, 0), (110, 420, -30), (110, 840, 50)),
        *((0, 0, 0), (0, -240, 10), (0, -620, -60)),
    ],
    dtype=float,
)


def people(frames, seed=0):
    """(frames, 17, 3) mm in the camera frame; the pelvis is mid-way between the hips."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_euler("y", rng.uniform(-3, 3, (frames, 1))).as_matrix()
    moved = STANDING + rng.normal(0, 40, (frames, 17, 3))
    moved[:, 14] = (moved[:, 8] + moved[:, 11]) / 2
    return moved @ turns.mT + rng.uniform((-400, -200, 3500), (400, 200, 4500), (frames, 1, 3))


def see(joints):
    """(frames, 17, 2) pixels."""
    seen = joints @ K.T
    return seen[..., :2] / seen[..., 2:]


def content(frames=6, seed=0, ratio=1.05):
    """What `annot_data.mat` holds, axes as h5py shows them; the second frame is not valid."""
    joints = people(frames, seed)
    pelvis = joints[:, 14:15]
    valid = np.ones((frames, 1))
    valid[1] = 0
    return {
        "annot2": see(joints)[:, None],
        "annot3": joints[:, None],
        "univ_annot3": (pelvis + (joints - pelvis) / ratio)[:, None],
        "valid_frame": valid,
        "activity_annotation": np.arange(frames)[:, None] % 7 + 1.0,
    }


def save_annotations(path, data, reverse=False):
    """A file of MATLAB v7.3, with what else it holds; `reverse` for MATLAB's order of axes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, values in data.items():
            file.create_dataset(key, data=values.T if reverse else values)
        file.create_dataset("bb_crop", (3, 1), h5py.ref_dtype)
        file.create_group("#refs#")
    return path


def save_images(folder, numbers, size=(2048, 2048)):
    """Frames by number: one grey picture, linked under each number."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / "picture.png"
    if not picture.exists():
        Image.new("L", size, 90).save(picture)
    for number in numbers:
        os.link(picture, folder / f"img_{number:06d}.jpg")


def save_sequence(folder, data=None, name="annot_data.mat"):
    """A sequence whose valid frames have images."""
    data = content() if data is None else data
    save_annotations(folder / name, data)
    save_images(folder / "imageSequence", np.flatnonzero(data["valid_frame"].ravel() == 1) + 1)
    return folder
