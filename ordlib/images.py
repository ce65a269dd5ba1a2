"""Names of before `ordlib.data`, until their last callers have moved."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ordlib.data import (
    Box,
    assumed_intrinsics,
    crop,
    image_sizes,
    inside,
    open_picture,
)
from ordlib.errors import InputError

__all__ = [
    "Box",
    "assumed_intrinsics",
    "broken_images",
    "crop",
    "image_sizes",
    "inside",
    "load_image",
]


def load_image(path: Path) -> Image.Image:
    """`open_picture(path).decode()`."""
    return open_picture(path).decode()


def broken_images(paths: Sequence[Path]) -> set[Path]:
    """Files that cannot be decoded to the end."""
    broken = set()
    for path in paths:
        try:
            open_picture(path).decode(0)
        except InputError:
            broken.add(path)
    return broken
