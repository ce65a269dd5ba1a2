"""Image files of photographs: sizes, pixels, square crops, and a guess at the camera."""

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from ordlib.errors import InputError

Box = tuple[float, float, float]
"""Centre x, centre y and side of a square, pixels."""

FOCAL_PER_SIDE = 1.145
"""Assumed focal length over the image's longer side: that of the cameras of Human3.6M."""

_LARGEST_SIDE = 4096


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file, its pixels not read yet. Raises InputError for a file that is no image."""
    with _strict(), _open(path) as file:
        yield file


@contextmanager
def _strict() -> Iterator[None]:
    """Pillow warns of images large enough to be an attack; here that is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected an image file, found {found}")
    try:
        with Image.open(path) as file:
            yield file
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
        raise InputError(
            f"{path}: expected an image, found a file that is none ({error})"
        ) from error


def broken_images(paths: Sequence[Path]) -> set[Path]:
    """Files that cannot be decoded to the end, such as half of a JPEG file."""

    def is_whole(path: Path) -> bool:
        try:
            with _open(path) as file:
                file.draft("RGB", (1, 1))  # JPEG at an eighth of its size: much faster
                file.load()
        except InputError:
            return False
        return True

    with _strict(), ThreadPoolExecutor() as pool:  # filters of warnings hold for all threads
        return {
            path for path, whole in zip(paths, pool.map(is_whole, paths), strict=True) if not whole
        }


def load_image(path: Path) -> Image.Image:
    """An image file as RGB, turned upright. Raises InputError for a file that is no image."""
    with opened(path) as file:
        return ImageOps.exif_transpose(file).convert("RGB")


def image_sizes(paths: Sequence[Path]) -> Int64[Tensor, "images 2"]:
    """Width and height of each image, turned upright; pixels are not read.

    Raises:
        InputError: a file that is no image.
    """
    sizes = []
    for path in paths:
        with opened(path) as file:
            lying = file.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            sizes.append(file.size[::-1] if lying else file.size)
    return torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2)


def inside(
    keypoints_px: Float[Tensor, "images joints 2"], sizes: Int64[Tensor, "images 2"]
) -> Bool[Tensor, "images joints"]:
    """Which joints lie in their image or on its edge; a joint that is not a number does not."""
    return ((keypoints_px >= 0) & (keypoints_px <= sizes[:, None])).all(-1)


def crop(image: Image.Image, box: Box | None, size: int) -> tuple[UInt8[Tensor, "3 h w"], Box]:
    """A square of the image, resized; black outside the image.

    Args:
        image: RGB image.
        box: centre x, centre y and side in pixels; None for the smallest square around the image.
        size: side of the result, pixels.

    Returns:
        The crop and the box that it shows, rounded to whole pixels.

    Raises:
        InputError: a box that is not finite, smaller than a pixel, or outside the image.
    """
    x, y, side = box or (image.width / 2, image.height / 2, max(image.size))
    if not np.isfinite([x, y, side]).all() or side < 1:
        raise InputError(f"box: expected finite X, Y and a SIDE of 1 px or more, found {box}")
    if side > _LARGEST_SIDE:
        # shrunk first: a square as large as that would not fit in memory
        zoom = _LARGEST_SIDE / side
        width, height = (max(1, round(length * zoom)) for length in image.size)
        smaller = image.resize((width, height))
        pixels, (x, y, side) = crop(smaller, (x * zoom, y * zoom, side * zoom), size)
        return pixels, (x / zoom, y / zoom, side / zoom)
    left, top, whole = round(x - side / 2), round(y - side / 2), round(side)
    if left >= image.width or top >= image.height or left + whole <= 0 or top + whole <= 0:
        raise InputError(
            f"box: expected a square that meets the image of {image.size}, found {box}"
        )
    square = image.crop((left, top, left + whole, top + whole))
    resized = square.resize((size, size), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()
    return pixels, (left + whole / 2, top + whole / 2, float(whole))


def assumed_intrinsics(size: tuple[int, int], box: Box, crop_size: int) -> Float[Tensor, "1 3 3"]:
    """Pinhole matrix of a crop, if the camera has the assumed focal length and centre."""
    x, y, side = box
    zoom = crop_size / side
    focal = FOCAL_PER_SIDE * max(size) * zoom
    centre = [
        (size[0] / 2 - x) * zoom + crop_size / 2,
        (size[1] / 2 - y) * zoom + crop_size / 2,
    ]
    return torch.tensor([[[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]]])
