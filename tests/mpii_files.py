"""MPII in its two forms, for the tests."""

import h5py
import numpy as np
from photo_files import save_images
from scipy.io import savemat

from ordlib.skeleton import MPII16

RIGHT_WRIST = MPII16.index("right_wrist")
LEFT_HIP = MPII16.index("left_hip")


def people(count=3, seed=0):
    """What the MATLAB file says of people: image, position, scale (raw), joints in whole pixels."""
    rng = np.random.default_rng(seed)
    return {
        "names": [f"0{k}5601864.jpg" for k in range(count)],
        "position": rng.integers(30, 40, (count, 2)).astype(float),
        "scale": np.full(count, 0.16),
        "part": rng.integers(3, 58, (count, 16, 2)).astype(float),
        "visible": np.ones((count, 16)),
    }


def hourglass(content):
    """The arrays that the hourglass authors made of that: the square is enlarged."""
    raw = content["scale"]
    centre = content["position"] + np.stack([0 * raw, 15 * raw], 1)
    return {
        "imgname": np.array([name.encode() for name in content["names"]]),
        "center": centre,
        "scale": raw * 1.25,
        "part": content["part"],
        "visible": content["visible"],
        "person": np.zeros(len(raw)),
        "index": np.arange(len(raw)),
        "normalize": np.full(len(raw), 20.0),
    }


def save_h5(folder, content, split="train", images=True, **changes):
    """`annot/{split}.h5` of the people; `changes` replace arrays, None leaves one out."""
    (folder / "annot").mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "annot" / f"{split}.h5", "w") as file:
        for key, array in {**hourglass(content), **changes}.items():
            if array is not None:
                file[key] = array
    if images:
        save_images(folder / "images", dict.fromkeys(content["names"]))
    return folder


def struct_array(rows):
    """A MATLAB array of structs; a field that a struct lacks is empty there."""
    fields = dict.fromkeys(key for row in rows for key in row)
    array = np.empty((1, len(rows)), [(field, object) for field in fields])
    for k, row in enumerate(rows):
        for field in fields:
            array[0, k][field] = row.get(field, np.empty((0, 0)))
    return array


def person_of(content, k, flag=lambda visible: float(visible)):
    """The struct of one person; `flag` writes `is_visible`."""
    points = [
        {
            "x": content["part"][k, j, 0],
            "y": content["part"][k, j, 1],
            "id": float(j),
            "is_visible": flag(content["visible"][k, j]),
        }
        for j in range(16)
        if content["part"][k, j].any()
    ]
    x, y = content["position"][k]
    return {
        "x1": 10.0,
        "scale": content["scale"][k],
        "objpos": {"x": x, "y": y},
        "annopoints": {"point": struct_array(points)},
    }


def release_of(images, train):
    """`RELEASE` of (name, structs of people) pairs."""
    annolist = [
        {"image": {"name": name}, "annorect": struct_array(rows) if rows else np.empty((0, 0))}
        for name, rows in images
    ]
    return {"annolist": struct_array(annolist), "img_train": np.array([train], float)}


def save_release(path, release):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(str(path), {"RELEASE": release}, do_compression=True)
    return path
