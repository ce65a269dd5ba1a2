"""HumanEva-I from the archives that VideoPose3D prepares, with frames of the videos.

`data_3d_humaneva15.npz` has the poses, `data_2d_humaneva15_gt.npz` their projections into three
cameras; both are pickled, so the user has to trust them. Neither has images, cameras or the numbers
of the frames:

- The camera of each subject is fitted to the poses and their projections as a pinhole without
  distortion (`ordlib.datasets.pinhole`); the published extrinsics would not give its focal length.
- A chunk is a run of frames with motion capture; runs without have a number too, but no length.
  Where the chunks of a sequence leave the number of a frame open, it has no image.
- Images are frames of the videos, `images/S1/Walking_1_C1/000001.jpg` and so on.
"""

import warnings
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from ordlib.camera import pose_box
from ordlib.data import PoseDataset, join
from ordlib.datasets.frames import FrameDataset, Frames, require_files
from ordlib.datasets.humaneva_archives import (
    ACTIONS,
    CAMERAS,
    FILE_2D,
    FILE_3D,
    RANGES,
    SPLITS,
    Chunk,
    frame_numbers,
    read_chunks,
)
from ordlib.datasets.mocap import MotionCapture
from ordlib.datasets.pinhole import Camera, fit_camera, margin_px
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, HUMANEVA15

FPS = 60.0

VIDEO_OFFSETS = {
    ("Walking", "S1"): (82, 81, 82),
    ("Walking", "S2"): (115, 115, 114),
    ("Walking", "S3"): (80, 80, 80),
    ("Jog", "S1"): (51, 51, 50),
    ("Jog", "S2"): (100, 100, 99),
    ("Jog", "S3"): (65, 65, 65),
}
"""Number of an image, counted from 1, minus that of its frame, for each camera."""

IN_H36M17: tuple[int, ...] = tuple(
    H36M17.index("head_top" if name == "head" else name) for name in HUMANEVA15.joints
)
"""Index in H36M17 of the 15 joints, which errors are means over; spine and jaw are interpolated."""

_LARGEST_ERROR_PX = 15.0  # distortion of the lenses leaves a few
_LOWEST_HEAD_M = 0.05  # above the thorax; nobody who walks or jogs holds it lower
_BETWEEN = {"spine": ("pelvis", "thorax"), "jaw": ("thorax", "head_top")}


def load(
    root: str | Path, *, split: str = "train", size: int = 256, trust_pickle: bool = False
) -> PoseDataset:
    """Read the walking and jogging of S1 to S3, seen by all three cameras.

    Spine and jaw are interpolated, half-way between their neighbours. They are marked as visible
    and known, so that networks learn all 17 joints, whose limb lengths place the root in depth;
    errors are means over the joints `IN_H36M17`, without the two. The head, and the jaw with it,
    is marked as neither visible nor known where it lies at the chest, as it does in much of S3's
    walking (a defect of the motion capture); no error counts it there, though its position is left
    as it is. The crop has a margin that spans the same angle as that of Human3.6M. Limb lengths are
    the means over the training poses.

    Warns of such heads, and of frames without a number, which are left out.

    Args:
        root: folder of the two archives and of `images`.
        split: "train" or "validation", other frames of the same trial.
        size: side of the crops, pixels.
        trust_pickle: whether the archives may be unpickled; only arrays and containers are.

    Raises:
        InputError: an unknown split, a file that cannot be used, or images missing.
    """
    _require_split(split)
    folder = Path(root)
    chunks = read_chunks(folder, trust_pickle, with_pixels=True)
    cameras = _fit_cameras(folder / FILE_2D, chunks)
    chosen = [chunk for chunk in chunks if chunk.split == SPLITS[split]]
    _require_subjects(folder / FILE_3D, split, chosen)
    numbers = frame_numbers(folder, chosen)
    numbered = [(chunk, numbers[chunk.name]) for chunk in chosen if chunk.name in numbers]
    if not numbered:
        raise InputError(f"{folder / FILE_3D}: expected frames of known number, found none")
    parts = [
        _frames(folder, chunk, first, camera, cameras[chunk.subject, camera])
        for chunk, first in numbered
        for camera in range(len(CAMERAS))
    ]
    frames = join(parts)
    _require_images(folder, frames.names)
    _warn_of_heads(folder / FILE_3D, chosen)
    return FrameDataset("humaneva", split, frames, _limb_lengths(chunks), size, IN_H36M17)


def poses(root: str | Path, split: str = "train", *, trust_pickle: bool = False) -> MotionCapture:
    """The poses of a split alone, as the reconstruction component trains on them.

    Neither images nor 2D joints are needed. Clips are the chunks, and `frame` counts in each from
    0. Spine and jaw are put half-way between their neighbours. Warns of heads that lie at the
    chest; they are left as they are.

    Args:
        root: folder of `data_3d_humaneva15.npz`.
        split: "train" or "validation".
        trust_pickle: whether the archive may be unpickled; only arrays and containers are.

    Raises:
        InputError: an unknown split, or a file that cannot be used.
    """
    _require_split(split)
    folder = Path(root)
    found = read_chunks(folder, trust_pickle, with_pixels=False)
    chunks = [chunk for chunk in found if chunk.split == SPLITS[split]]
    _require_subjects(folder / FILE_3D, split, chunks)
    _warn_of_heads(folder / FILE_3D, chunks)
    counts = torch.tensor([len(chunk.joints_m) for chunk in chunks])
    world = np.concatenate([chunk.joints_m for chunk in chunks]) * 1000.0
    joints = _spread(world - world[:, :1])
    return MotionCapture(
        poses=torch.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], -1),  # z up to y down
        clip=torch.arange(len(chunks)).repeat_interleave(counts),
        clip_names=tuple(chunk.name for chunk in chunks),
        frame=torch.cat([torch.arange(int(count)) for count in counts]),
        fps=FPS,
        skipped=MappingProxyType({}),
    )


def _require_split(split: str) -> None:
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")


def _require_subjects(path: Path, split: str, chunks: list[Chunk]) -> None:
    found = {(chunk.action, chunk.subject) for chunk in chunks}
    absent = [f"{SPLITS[split]}/{s} {a} 1" for a, s in RANGES if (a, s) not in found]
    if not found:
        raise InputError(
            f"{path}: expected chunks of {', '.join(absent)}, found none with motion capture"
        )
    if absent:
        warnings.warn(f"{path}: found no chunk of {', '.join(absent)}", stacklevel=3)


def _frames(folder: Path, chunk: Chunk, first: int, camera: int, view: Camera) -> Frames:
    """The frames of a chunk in one camera."""
    assert chunk.pixels is not None
    count = len(chunk.joints_m)
    numbers = np.arange(first, first + count)
    images = numbers + VIDEO_OFFSETS[chunk.action, chunk.subject][camera]
    place = f"images/{chunk.subject}/{chunk.action}_1_{CAMERAS[camera]}"
    seen = torch.ones(count, len(H36M17), dtype=torch.bool)
    for joint in ("head_top", "jaw"):
        seen[:, H36M17.index(joint)] = torch.from_numpy(~_head_at_chest(chunk.joints_m))
    pixels = torch.from_numpy(chunk.pixels[camera]).float()
    centre, side = pose_box(pixels, margin_px(float(view.intrinsics[0, 0])))
    return Frames(
        folder=folder,
        names=np.array([f"{place}/{image:06d}.jpg" for image in images]),
        boxes=torch.cat([centre, side[:, None]], -1),
        keypoints_px=_spread(chunk.pixels[camera]),
        visible=seen,
        joints_mm=_spread(view.to_camera(chunk.joints_m * 1000.0)),
        known=seen,
        intrinsics=torch.from_numpy(view.intrinsics).float().expand(count, 3, 3),
        meta={
            "subject": np.full(count, chunk.subject),
            "action": np.full(count, ACTIONS[chunk.action]),
            "camera": np.full(count, CAMERAS[camera]),
            "frame": numbers,
            "part": np.full(count, "Studio"),
        },
    )


def _require_images(folder: Path, names: np.ndarray) -> None:
    if not (folder / "images").is_dir():
        raise InputError(
            f"{folder / 'images'}: expected frames of the videos, found no such folder; extract"
            " them, all and counted from 1, for S1 to S3, Walking and Jog, C1 to C3, such as:"
            " ffmpeg -i 'S1/Image_Data/Walking_1_(C1).avi' -q:v 1 images/S1/Walking_1_C1/%06d.jpg"
            " (for poses without images there is humaneva.poses)"
        )
    require_files(folder, names)


def _fit_cameras(path: Path, chunks: list[Chunk]) -> dict[tuple[str, int], Camera]:
    """The camera of each subject and place, from all its chunks, in mm."""
    cameras = {}
    for subject in dict.fromkeys(chunk.subject for chunk in chunks):
        some = [chunk for chunk in chunks if chunk.subject == subject]
        joints = np.concatenate([chunk.joints_m for chunk in some]).reshape(-1, 3) * 1000.0
        for index, name in enumerate(CAMERAS):
            seen = [chunk.pixels[index] for chunk in some if chunk.pixels is not None]
            pixels = np.concatenate(seen).reshape(-1, 2)
            camera = fit_camera(joints, pixels, f"{path}: {subject} {name}")
            if camera.error_px > _LARGEST_ERROR_PX:
                raise InputError(
                    f"{path}: {subject} {name}: expected 2D joints that are projections of the 3D"
                    f" joints, found {camera.error_px:.1f} px between them on average with the"
                    " pinhole camera that fits best"
                )
            cameras[subject, index] = camera
    return cameras


def _spread(values: np.ndarray) -> Tensor:
    """The 15 joints among the 17 of Human3.6M, with spine and jaw half-way between neighbours."""
    joints = np.zeros((len(values), len(H36M17), values.shape[-1]))
    joints[:, IN_H36M17] = values
    for joint, ends in _BETWEEN.items():
        first, second = (H36M17.index(end) for end in ends)
        joints[:, H36M17.index(joint)] = (joints[:, first] + joints[:, second]) / 2
    return torch.from_numpy(joints).float()


def _head_at_chest(joints_m: np.ndarray) -> np.ndarray:
    """(frames,) whether the head lies no higher than the thorax, in a world whose z is up."""
    head, thorax = (HUMANEVA15.index(name) for name in ("head", "thorax"))
    return joints_m[:, head, 2] < joints_m[:, thorax, 2] + _LOWEST_HEAD_M


def _warn_of_heads(path: Path, chunks: list[Chunk]) -> None:
    for sequence in dict.fromkeys((c.split, c.subject, c.action) for c in chunks):
        some = [c.joints_m for c in chunks if (c.split, c.subject, c.action) == sequence]
        wrong = np.concatenate([_head_at_chest(joints) for joints in some])
        if wrong.any():
            warnings.warn(
                f"{path}: {'/'.join(sequence)} 1: the head lies at the chest in {wrong.sum()} of"
                f" {len(wrong)} frames, expected above it",
                stacklevel=3,
            )


def _limb_lengths(chunks: list[Chunk]) -> Tensor:
    """(16,) mean lengths over the training poses whose head is right, or over all without any."""
    right = [(chunk, ~_head_at_chest(chunk.joints_m)) for chunk in chunks]
    some = [chunk.joints_m[keep] for chunk, keep in right if chunk.split == "Train" and keep.any()]
    world = np.concatenate(some or [chunk.joints_m for chunk in chunks]) * 1000.0
    joints = _spread(world - world[:, :1])
    parents = [parent for parent, _ in H36M17.bones]
    return (joints[:, 1:] - joints[:, parents]).norm(dim=-1).mean(0)
