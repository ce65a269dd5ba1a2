"""Leeds Sports Pose Extended: photographs with 2D joints, and no relations."""

import warnings
from pathlib import Path

import torch

from ordlib.arrays import ZERO_BASED, read_joints
from ordlib.datasets.photos import PhotoDataset, Photos, numbered_images
from ordlib.errors import InputError
from ordlib.skeleton import LSP14


def load(root: str | Path, *, size: int = 256) -> PhotoDataset:
    """Read LSP Extended: `joints.mat` beside `images/im00001.jpg` and so on, crops of `size` px.

    The file is (14, 3, images), its description says (3, 14, images): both are read. The third
    value is 1 for an annotated joint; coordinates of other joints mean nothing. Warns of annotated
    joints outside their image, which are left out.

    Raises:
        InputError: a file that cannot be used, images missing, or more than half of the annotated
            joints outside their images.
    """
    path = Path(root) / "joints.mat"
    table = read_joints(path, [len(LSP14)])
    if (table.flags & table.points.isnan().any(-1)).any():
        raise InputError(f"{path}: joints: expected positions of annotated joints, found NaN")
    files = numbered_images(Path(root) / "images", "im{:05d}.jpg", len(table.points))
    points = torch.where(table.flags[..., None], table.points + ZERO_BASED, 0.0)
    dataset = PhotoDataset("lspet", [Photos("lspet", files, points, table.flags)], size)
    outside, annotated = dataset.outside["lspet"], int(table.flags.sum())
    if outside > annotated / 2:
        raise InputError(
            f"{path}: expected annotated joints inside their images, found {outside} of"
            f" {annotated} outside: the third value may be the wrong way round"
        )
    if outside:
        warnings.warn(
            f"{path}: {outside} of {annotated} annotated joints lie outside their images and are"
            " left out; expected none",
            stacklevel=2,
        )
    return dataset
