"""Images a second of one core from a JPEG file to a crop: the loaders, and other decoders.

Those that are not installed are left out; none of them is needed by the project.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ordlib.data import Box, crop, open_picture

SIZE = 256
CASES: dict[str, tuple[int, Box]] = {
    "1000 px, as Human3.6M": (1000, (510.0, 480.0, 420.0)),
    "2048 px, as MPI-INF-3DHP": (2048, (1010.0, 1080.0, 900.0)),
}
"""Side of the image, and the square of a person in it."""


def project(path: Path, box: Box) -> np.ndarray:
    """The project's own: decoded smaller where that is enough."""
    return crop(open_picture(path), box, SIZE)[0].permute(1, 2, 0).numpy()


def opencv(path: Path, box: Box) -> np.ndarray:
    """As most training code does it."""
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return _resized(cv2, image, box)


def opencv_reduced(path: Path, box: Box) -> np.ndarray:
    """Decoded at half size where that is enough."""
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    half = box[2] >= 2 * SIZE
    flag = cv2.IMREAD_REDUCED_COLOR_2 if half else cv2.IMREAD_COLOR
    image = cv2.cvtColor(cv2.imread(str(path), flag), cv2.COLOR_BGR2RGB)
    x, y, side = box
    return _resized(cv2, image, (x / 2, y / 2, side / 2) if half else box)


def _resized(cv2: Any, image: np.ndarray, box: Box) -> np.ndarray:
    x, y, side = box
    left, top, whole = round(x - side / 2), round(y - side / 2), round(side)
    square = image[top : top + whole, left : left + whole]
    return cv2.resize(square, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def simplejpeg(path: Path, box: Box) -> np.ndarray:
    """libjpeg-turbo alone, decoded smaller where that is enough, and Pillow for the rest."""
    library = import_module("simplejpeg")
    data = path.read_bytes()
    height, width, *_ = library.decode_jpeg_header(data)
    wanted = {"min_height": int(height * SIZE / box[2]), "min_width": int(width * SIZE / box[2])}
    image = library.decode_jpeg(data, **wanted, min_factor=1)
    zoom = image.shape[1] / width
    return _pillow(image, (box[0] * zoom, box[1] * zoom, box[2] * zoom))


def imageio(path: Path, box: Box) -> np.ndarray:
    """A common reader of images as arrays."""
    return _pillow(import_module("imageio.v3").imread(path), box)


def _pillow(image: np.ndarray, box: Box) -> np.ndarray:
    return crop(Image.fromarray(image), box, SIZE)[0].permute(1, 2, 0).numpy()


READERS: tuple[Callable[[Path, Box], np.ndarray], ...] = (
    project,
    *(opencv, opencv_reduced, simplejpeg, imageio),
)


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory) -> tuple[Path, Box]:
    """A JPEG file with edges, smooth parts and grain, and a square in it."""
    side, box = CASES[request.param]
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (side // 40, side // 40, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
    image = (image / 64).round() * 40 + rng.normal(40, 4, image.shape)
    path = tmp_path_factory.mktemp("images") / "image.jpg"
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path, quality=90)
    return path, box


@pytest.mark.benchmark(group="from a JPEG file to a crop of 256 px, one core")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_images_per_second(benchmark, case, reader) -> None:
    path, box = case
    try:
        found = reader(path, box)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    assert found.shape == (SIZE, SIZE, 3)
    assert np.abs(found.astype(float) - project(path, box)).mean() < 8
    benchmark(reader, path, box)
    if not benchmark.disabled:
        benchmark.extra_info["images_per_second"] = 1 / benchmark.stats.stats.median
