"""Human3.6M in the two layouts that people have on disk (Section 4.1).

- `c2f`: `annot/train.h5`, `annot/valid.h5`, lists of image names and `images`, as the authors' own
  code reads it (`ordlib.datasets.human36m_c2f`).
- `h36m-fetch`: `processed/S1/Eating-1/annot.h5` with `imageSequence`
  (`ordlib.datasets.human36m_fetch`).
"""

from pathlib import Path
from types import ModuleType

from jaxtyping import Float
from torch import Tensor

from ordlib.datasets import human36m_c2f, human36m_fetch
from ordlib.datasets.frames import FrameDataset
from ordlib.datasets.human36m_studio import (
    SPLITS,
    limb_lengths,
    project_h36m,
    require_knees_forward,
)
from ordlib.errors import InputError
from ordlib.skeleton import mean_limb_lengths

__all__ = ["LAYOUTS", "SPLITS", "load", "project_h36m"]

LAYOUTS: dict[str, ModuleType] = {"c2f": human36m_c2f, "h36m-fetch": human36m_fetch}
"""What reads each layout; the first that fits is taken."""

_EXPECTED = {
    "c2f": "annot/train.h5 and annot/valid.h5",
    "h36m-fetch": "processed/S1/Eating-1/annot.h5 and so on",
}


def load(
    root: str | Path, *, split: str = "train", size: int = 256, layout: str | None = None
) -> FrameDataset:
    """Read a split at 10 frames a second, all cameras: images, 2D joints and 3D joints.

    Images are decoded when their samples are asked for. Crops are those of the coarse-to-fine
    authors: the joints' bounding box, its longer side enlarged by 40 px. `intrinsics` are the
    cameras' pinholes without the lens, which moves 2D joints by up to 2.3 px. Limb lengths are
    means over the training poses, or the authors' means where those are absent.

    Warns of frames and cameras that are lacking, with counts.

    Args:
        root: folder of one of the layouts, or the one above it.
        split: train (S1, S5 to S8), test (S9, S11), fit (train without S8) or val (S8).
        size: side of the crops, pixels.
        layout: name in `LAYOUTS`; None to find out.

    Raises:
        InputError: another split or layout, neither layout is there, or a file cannot be used.
    """
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
    folder, reader = _find(Path(root), layout)
    frames = reader.read(folder, split)
    require_knees_forward(str(folder), frames.joints_mm)
    training = frames.joints_mm if split == "train" else reader.training_poses(folder)
    return FrameDataset("human36m", split, frames, _mean_lengths(training), size)


def _find(root: Path, layout: str | None) -> tuple[Path, ModuleType]:
    """The folder of the first layout that is there, and what reads it."""
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"layout: expected one of {', '.join(LAYOUTS)}, found {layout!r}")
    names = [layout] if layout else list(LAYOUTS)
    for name in names:
        folder = LAYOUTS[name].find(root)
        if folder:
            return folder, LAYOUTS[name]
    expected = ", or ".join(f"{_EXPECTED[name]} ({name})" for name in names)
    raise InputError(
        f"{root}: expected {expected} in this folder, found neither annot nor annot.h5"
    )


def _mean_lengths(training: Float[Tensor, "frames joints 3"] | None) -> Float[Tensor, " bones"]:
    """Mean limb lengths of poses, or those that the authors published, mm."""
    return mean_limb_lengths() if training is None else limb_lengths(training).mean(0)
