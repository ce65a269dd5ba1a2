"""Human3.6M in the two layouts that people have on disk (Section 4.1).

- `c2f`, of the coarse-to-fine authors [32], which the paper's code reads: `annot/train.h5` and
  `annot/valid.h5` have a row for each line of `annot/train_images.txt` and so on; `images` holds
  every fifth frame. The legs come in the other order than in H36M17, the left one first.
- `h36m-fetch`: `processed/S1/Eating-1/annot.h5` has the rows of all cameras one after the other;
  images are `processed/S1/Eating-1/imageSequence/54138969/img_000001.jpg`, by the films' frames.

`poses` reads the motion capture alone, in the files of 3d-pose-baseline [25].
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ordlib.arrays import read
from ordlib.camera import pose_box
from ordlib.data import PoseDataset, join, take
from ordlib.datasets.frames import FrameDataset, Frames, require_files
from ordlib.datasets.human36m_poses import poses
from ordlib.datasets.human36m_studio import (
    FRAME_STEP,
    LENSES,
    OF_32,
    PIXEL_SHIFT,
    SPLITS,
    TEST_SUBJECTS,
    TRAINING_SUBJECTS,
    action_name,
    intrinsics_h36m,
    limb_lengths,
    project_h36m,
    require_camera,
    require_knees_forward,
    require_poses,
)
from ordlib.errors import InputError
from ordlib.shapes import Joints3D
from ordlib.skeleton import H36M17, mean_limb_lengths

__all__ = ["LAYOUTS", "SPLITS", "load", "poses", "project_h36m"]

LAYOUTS = {  # where it may lie below a folder, and what shows that it does
    "c2f": (("", "h36m"), "annot"),
    "h36m-fetch": (("", "processed", "h36m/processed"), "S*/*/annot.h5"),
}
_EXPECTED = {
    "c2f": "annot/train.h5 and annot/valid.h5",
    "h36m-fetch": "processed/S1/Eating-1/annot.h5 and so on",
}
LEFT_LEG_FIRST = (0, 4, 5, 6, 1, 2, 3, *range(7, 17))
"""From the joints of `c2f` to those of H36M17 and back."""

BIN_MM, FIRST_BIN_MM, BINS = 31.031965, -989.67, 64
"""Depth bins `zind` relative to the root: step, centre of bin 1, and their number."""

_NAME = re.compile(r"(S\d+)_(.+)\.(\d+)_(\d{6})")
_MISPLACED = 0.01


def load(
    root: str | Path, *, split: str = "train", size: int = 256, layout: str | None = None
) -> PoseDataset:
    """A split at 10 frames a second, all cameras: images, 2D joints and 3D joints.

    Crops are those of [32]: the joints' bounding box, its longer side enlarged by 40 px.
    `intrinsics` are the cameras' pinholes without the lens, which moves 2D joints by 1.3 px in the
    mean, 4.5 px at the 95 % quantile and 19.8 px at most. Limb lengths are means over the training
    poses, or the authors' means where those are absent. Warns of frames and cameras that are
    lacking, with counts.

    Args:
        root: folder of one of the layouts, or the one above it.
        split: train (S1, S5 to S8), test (S9, S11), fit (train without S8) or val (S8).
        size: side of the crops, pixels.
        layout: a name in `LAYOUTS`; None for the first that is there.

    Raises:
        InputError: another split or layout, neither layout is there, or a file cannot be used.
    """
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
    name, folder = _find(Path(root), layout)
    c2f = name == "c2f"
    frames = (_c2f if c2f else _fetched)(folder, SPLITS[split])
    require_files(frames.folder, frames.names)
    require_knees_forward(str(folder), frames.joints_mm)
    training = (
        frames.joints_mm
        if split == "train"
        else (_c2f_training_poses if c2f else _fetched_training_poses)(folder)
    )
    lengths = mean_limb_lengths() if training is None else limb_lengths(training).mean(0)
    return FrameDataset("human36m", split, frames, lengths, size)


def _find(root: Path, layout: str | None) -> tuple[str, Path]:
    """Name and folder of the first layout that is there."""
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"layout: expected one of {', '.join(LAYOUTS)}, found {layout!r}")
    names = [layout] if layout else list(LAYOUTS)
    for name in names:
        places, mark = LAYOUTS[name]
        for folder in (root / place for place in places):
            if any(not path.name.startswith(".") for path in folder.glob(mark)):
                return name, folder
    expected = ", or ".join(f"{_EXPECTED[name]} ({name})" for name in names)
    raise InputError(f"{root}: expected {expected} in this folder, found none")


def _c2f(folder: Path, subjects: Sequence[str]) -> Frames:
    half = "valid" if set(subjects) <= set(TEST_SUBJECTS) else "train"
    path = folder / "annot" / f"{half}.h5"
    names, meta = _names(path.with_name(f"{half}_images.txt"))
    layout = {"center": "n 2", "scale": "n | n 1", "part": "n 17 2?", "zind": "n 17 | n 17 1?"}
    arrays = read(path, layout)
    if len(arrays["center"]) != len(names):
        raise InputError(
            f"{path}: expected a row for each of {len(names)} lines of {half}_images.txt, found"
            f" {len(arrays['center'])}"
        )
    scale = arrays["scale"]
    if (scale <= 0).any():
        row = int((scale <= 0).argmax())
        raise InputError(
            f"{path}: scale: expected values above 0, found {scale[row]:g} in row {row}"
        )
    joints = _c2f_poses(path, names)
    if joints is None:
        raise InputError(
            f"{path}: expected the key 'S', or {half}.mat beside it, for the 3D joints,"
            " found neither"
        )
    _check_bins(path, arrays.get("zind"), joints)
    keypoints, visible = project_h36m(joints, meta["camera"]), torch.ones(joints.shape[:2]).bool()
    if "part" in arrays:
        part = torch.from_numpy(arrays["part"]).float()[:, LEFT_LEG_FIRST]
        keypoints, visible = part + PIXEL_SHIFT, part[..., 0] > 0
    boxes = np.column_stack([arrays["center"] + PIXEL_SHIFT, scale * 200])
    frames = Frames(
        folder=folder / "images",
        names=np.char.add(names, ".jpg"),
        boxes=torch.from_numpy(boxes).float(),
        keypoints_px=keypoints,
        visible=visible,
        joints_mm=joints,
        known=torch.ones_like(visible),
        intrinsics=intrinsics_h36m(meta["camera"]),
        meta=meta,
    )
    _check_subjects(
        path, meta["subject"], subjects, TEST_SUBJECTS if half == "valid" else TRAINING_SUBJECTS
    )
    return take(frames, np.isin(meta["subject"], subjects))


def _names(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Names of images without `.jpg`, a line each, and what they say."""
    try:
        lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: expected a text file of image names: {reason}") from error
    rows = []
    for number, line in enumerate(lines, 1):
        where, name = f"{path}: line {number}", line.strip().removesuffix(".jpg")
        match = _NAME.fullmatch(name)
        if not match:
            raise InputError(
                f"{where}: expected a name like S9_Posing_1.55011271_000321.jpg, found {name!r}"
            )
        subject, action, camera, frame = match.groups()
        require_camera(camera, where)
        rows.append((name, subject, action_name(action, where), camera, frame))
    if not rows:
        raise InputError(f"{path}: expected a name of an image a line, found none")
    names, subject, action, camera, frame = map(np.array, zip(*rows, strict=True))
    return names, _meta(subject, action, camera, frame.astype(np.int64))


def _meta(
    subject: np.ndarray, action: np.ndarray, camera: np.ndarray, frame: np.ndarray
) -> dict[str, np.ndarray]:
    meta = {"subject": subject, "action": action, "camera": camera, "frame": frame}
    return meta | {"part": np.full(len(frame), "Studio")}


def _c2f_poses(path: Path, names: np.ndarray) -> Joints3D | None:
    """`S` of the HDF5 file, or else of the MATLAB file beside it with the same names of images."""
    axes, mat = "n 17 3 | n 3 17", path.with_suffix(".mat")
    arrays, where = read(path, S=f"{axes}?"), f"{path}: S"
    if not arrays:
        if not mat.is_file():
            return None
        arrays = read(mat, {"annot/imgname": "text n | n 1 | 1 n", "annot/S": axes})
        stems = np.array([name.strip().removesuffix(".jpg") for name in arrays["annot/imgname"]])
        if len(stems) == len(names) and (stems != names).any():
            row = int((stems != names).argmax())
            raise InputError(
                f"{mat}: imgname: expected {str(names[row])!r} in row {row}, as line {row + 1} of"
                f" {mat.stem}_images.txt, found {str(stems[row])!r}"
            )
        arrays, where = {"S": arrays["annot/S"]}, f"{mat}: S"
    if len(arrays["S"]) != len(names):
        raise InputError(
            f"{where}: expected a row for each of {len(names)} lines of {path.stem}_images.txt,"
            f" found {len(arrays['S'])}"
        )
    poses = torch.from_numpy(arrays["S"]).float()[:, LEFT_LEG_FIRST]
    require_poses(where, poses)
    return poses


def _c2f_training_poses(folder: Path) -> Joints3D | None:
    path = folder / "annot" / "train.h5"
    return (
        _c2f_poses(path, _names(path.with_name("train_images.txt"))[0]) if path.is_file() else None
    )


def _check_bins(path: Path, bins: np.ndarray | None, joints_mm: Joints3D) -> None:
    """`zind` holds bins, and is warned of where they are not those of the poses."""
    if bins is None:
        return
    wrong = bins[(bins < 1) | (bins > BINS)]
    if len(wrong):
        raise InputError(
            f"{path}: zind: expected bins from 1 to {BINS}, found {wrong[0]:g} and {len(wrong)}"
            " such values in all"
        )
    depth = (joints_mm[..., 2] - joints_mm[:, :1, 2]).double()
    expected = ((depth - FIRST_BIN_MM) / BIN_MM + 1).clamp(1, BINS)
    off = (torch.from_numpy(bins)[:, LEFT_LEG_FIRST] - expected).abs() > 1
    if off.double().mean() > _MISPLACED:
        warnings.warn(
            f"{path}: zind: {int(off.sum())} of {off.numel()} bins are not those of the depths in S"
            " relative to the root; expected fewer than 1 %",
            stacklevel=4,
        )


def _check_subjects(
    path: Path, there: np.ndarray, wanted: Sequence[str], half: Sequence[str]
) -> None:
    """Frames of the split are there; subjects that the file should not have are warned of."""
    if not np.isin(there, wanted).any():
        found = ", ".join(np.unique(there))
        raise InputError(f"{path}: expected frames of {', '.join(wanted)}, found those of {found}")
    strangers = ~np.isin(there, half)
    if strangers.any():
        warnings.warn(
            f"{path}: {strangers.sum()} of {len(there)} frames are of"
            f" {', '.join(np.unique(there[strangers]))} and are left out; expected none",
            stacklevel=4,
        )


def _fetched(folder: Path, subjects: Sequence[str]) -> Frames:
    sequences = [_sequence(folder, path) for path in _annotations(folder, subjects)]
    parts = [part for part in sequences if len(part)]
    if not parts:
        raise InputError(
            f"{folder}: expected annot.h5 of {', '.join(subjects)} with frames 1, 6, 11 and so on,"
            f" found {len(sequences)} files and no such frame"
        )
    steps = np.concatenate([_steps(part) for part in parts])
    odd = steps[steps != FRAME_STEP]
    if len(odd):
        warnings.warn(
            f"{folder}: {len(odd)} of {len(steps)} steps from one kept frame to the next are not"
            f" {FRAME_STEP} frames but up to {odd.max()}: this is not the protocol's 10 frames a"
            " second; expected the script's output for every frame",
            stacklevel=3,
        )
    few = [part for part in parts if len(np.unique(part.meta["camera"])) < len(LENSES)]
    if few:
        warnings.warn(
            f"{folder}: {len(few)} of {len(parts)} sequences have fewer than {len(LENSES)} cameras,"
            f" the first is {'/'.join(str(few[0].names[0]).split('/')[:2])}",
            stacklevel=3,
        )
    return join(parts)


def _fetched_training_poses(folder: Path) -> Joints3D | None:
    paths = _annotations(folder, TRAINING_SUBJECTS)
    poses = [_sequence(folder, path).joints_mm for path in paths]
    return torch.cat(poses) if any(map(len, poses)) else None


def _annotations(folder: Path, subjects: Sequence[str]) -> list[Path]:
    paths = [path for name in subjects for path in sorted(folder.glob(f"{name}/*/annot.h5"))]
    return [path for path in paths if not path.parent.name.startswith(".")]


def _steps(part: Frames) -> np.ndarray:
    """Steps between frames that are kept, camera by camera."""
    order = np.lexsort((part.meta["frame"], part.meta["camera"]))
    camera, frame = part.meta["camera"][order], part.meta["frame"][order]
    return np.diff(frame)[camera[1:] == camera[:-1]]


def _sequence(folder: Path, path: Path) -> Frames:
    """The rows of one `annot.h5` at 10 frames a second."""
    arrays = read(path, {"frame": "n", "camera": "n", "pose/3d": "n j 3", "pose/2d": "n j 2"})
    joints = arrays["pose/3d"].shape[1]
    if joints not in (len(H36M17), 32):
        raise InputError(f"{path}: pose/3d: expected 32 or 17 joints, found {joints}")
    wrong = arrays["frame"][(arrays["frame"] < 1) | (arrays["frame"] % 1 != 0)]
    if len(wrong):
        raise InputError(f"{path}: frame: expected whole numbers from 1, found {wrong[0]:g}")
    kept = (arrays["frame"] - 1) % FRAME_STEP == 0
    frame = arrays["frame"][kept].astype(np.int64)
    camera = np.array([f"{serial:.0f}" for serial in arrays["camera"][kept]], dtype=np.str_)
    for serial in np.unique(camera).tolist():
        require_camera(serial, f"{path}: camera")
    chosen = OF_32 if joints == 32 else range(joints)
    poses, points = (
        torch.from_numpy(arrays[key][kept][:, chosen]).float() for key in ("pose/3d", "pose/2d")
    )
    require_poses(f"{path}: pose/3d", poses)
    points = points + PIXEL_SHIFT
    subject, action = path.parent.parts[-2:]
    images = f"{subject}/{action}/imageSequence"
    centre, side = pose_box(points)
    seen = torch.ones(poses.shape[:2], dtype=torch.bool)
    return Frames(
        folder=folder,
        names=np.array(
            [f"{images}/{c}/img_{n:06d}.jpg" for c, n in zip(camera, frame, strict=True)]
        ),
        boxes=torch.cat([centre, side[:, None]], -1),
        keypoints_px=points,
        visible=seen,
        joints_mm=poses,
        known=seen,
        intrinsics=intrinsics_h36m(camera),
        meta=_meta(
            np.full(len(frame), subject),
            np.full(len(frame), action_name(action, str(path.parent))),
            camera,
            frame,
        ),
    )
