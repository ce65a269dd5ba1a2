"""Image folders and MATLAB files of LSP and its relatives, in their layouts, for the tests."""

import json

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat


def save_images(folder, names, size=(80, 60), **options):
    """One grey image a name, each of another brightness, in the format that the name says."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", size, (40 + 10 * number,) * 3).save(folder / name, **options)
    return [folder / name for name in names]


def save_mat(path, key, array, version="5"):
    """A MATLAB file; version 7.3 is HDF5 behind 512 bytes, with the axes reversed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if version == "5":
        savemat(str(path), {key: array}, appendmat=False)
        return path
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset(key, data=np.asarray(array).T)
        file[key].attrs["MATLAB_class"] = np.bytes_("double")
    return path


def random_points(images, joints=14, size=(80, 60), seed=0):
    """(images, joints, 2) positions inside images of a size."""
    rng = np.random.default_rng(seed)
    return rng.uniform(2, np.array(size) - 2, (images, joints, 2)).round(2)


def lsp_array(points, flags):
    """(3, joints, images), as LSP and the ordinal archive have it."""
    return np.concatenate([points, flags[..., None]], -1).transpose(2, 1, 0)


def lspet_array(points, flags):
    """(joints, 3, images), as LSP Extended has it."""
    return np.concatenate([points, flags[..., None]], -1).transpose(1, 2, 0)


def ordinal_of(depth, tie=0.3):
    """`ord` (images, joints, joints) of depths: -1 where the row's joint is closer."""
    difference = depth[:, :, None] - depth[:, None, :]
    return np.where(np.abs(difference) < tie, 0.0, np.sign(difference))


PATTERNS = {"lsp_dataset_original": "im{:04d}.jpg", "mpii_upis1h": "{:05d}_full.jpg"}
JOINTS = {"lsp_dataset_original": 14, "mpii_upis1h": 16}


def half(name, images=3, seed=0):
    """What one half of the ordinal archive holds, all joints visible: points, flags, ord."""
    joints = JOINTS[name]
    rng = np.random.default_rng(seed)
    return {
        "points": random_points(images, joints, seed=seed),
        "flags": np.full((images, joints), 0.0 if joints == 14 else 1.0),
        "ord": ordinal_of(rng.normal(size=(images, joints))),
    }


def save_half(folder, content, version="5", images=True):
    """Write one half of the ordinal archive; the folder's name says which."""
    joints = lsp_array(content["points"], content["flags"])
    save_mat(folder / "joints.mat", "joints", joints, version)
    save_mat(folder / "ordinal.mat", "ord", content["ord"], version)
    if images:
        names = [PATTERNS[folder.name].format(k + 1) for k in range(len(content["ord"]))]
        save_images(folder / "images", names)
    return folder


_SIDED = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
RELATIVE_NAMES = ["nose", "neck", *(f"{side}_{j}" for j in _SIDED for side in ("left", "right"))]


def answer(kp0, kp1, label):
    return {"kp0": kp0, "kp1": kp1, "label": label, "prob": 0.9, "risk": 0.1, "original_id": 7}


def relative(images=4, seed=0):
    """The content of the JSON file; every other image is of the training split."""
    rng = np.random.default_rng(seed)
    items = [
        {
            "im_file": f"images/im{k + 1:04d}.jpg",
            "is_train": k % 2 == 0,
            "keypoints": rng.uniform(3, 55, 28).round(2).tolist(),
            "occluded": [0] * 14,
            "anns": [answer(0, 7, 0), answer(8, 12, 1)],
        }
        for k in range(images)
    ]
    return {"joint_names": list(RELATIVE_NAMES), "images": items}


def save_relative(folder, content, images="lsp_dataset"):
    """The JSON file and, below the folder `images`, what its items name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "relative_depth_lsp_v1.json").write_text(json.dumps(content))
    if images:
        names = [item["im_file"].removeprefix("images/") for item in content["images"]]
        save_images(folder / images / "images", dict.fromkeys(names))
    return folder
