"""Pictures and data sets: the one way to open an image file, the one crop, the one data set."""

import io
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from PIL import Image, PngImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor

from ordlib.camera import crop_intrinsics
from ordlib.errors import InputError
from ordlib.shapes import Bones, Images, Intrinsics, Mask, MixedBatch, PoseBatch
from ordlib.skeleton import H36M17, Skeleton

__all__ = ["MixedBatch", "PoseBatch", "PoseDataset"]

Samples = TypeVar("Samples", bound=Any)

Box = tuple[float, float, float]
"""Centre x, centre y and side of a square, pixels of the upright picture."""

FOCAL_PER_SIDE = 1.145
"""Assumed focal length over the picture's longer side: that of the cameras of Human3.6M."""

META = ("subject", "action", "camera", "frame", "part")
"""What `meta` of a batch says of each sample."""


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """Nobody asks for the resolution, and looking for it in odd EXIF ends in warnings."""


# Formats are told by their first bytes and by nothing else, so that no other decoder is reached.
# A MPO file is a JPEG file with more behind it. A JPEG is decoded smaller where that is enough.
_FORMATS: Mapping[bytes, tuple[type[ImageFile], float]] = {  # decoder and most megapixels
    b"\xff\xd8\xff": (_Jpeg, 256),
    b"\x89PNG\r\n\x1a\n": (PngImagePlugin.PngImageFile, 128),
}
_REFUSED = {
    **{b"ftyphe": "HEIC", b"ftypmi": "HEIC", b"ftypms": "HEIC", b"ftypav": "AVIF", b"WEBP": "WebP"},
    **{b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP"},
    **{b"%!PS": "PostScript", b"\xc5\xd0\xd3\xc6": "PostScript", b"%PDF": "PDF"},
}
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # generators write megabytes

_TURNS = {
    **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180},
    **{4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE},
    **{6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90},
}
_LARGEST_SIDE = 4096  # pixels of a square; several at once must fit in memory


@dataclass(frozen=True)
class Picture:
    """An image file whose header was read; its pixels are decoded when they are asked for."""

    path: Path
    size: tuple[int, int]  # width and height, upright
    format: str  # JPEG or PNG
    orientation: int  # as EXIF counts; 0 where it is said in a way that programs read differently
    as_is: bool  # whether browsers show the file's own bytes as `decode` does

    def decode(self, zoom: float = 1.0) -> Image.Image:
        """Upright RGB; a JPEG at a half, a quarter or an eighth, though not below `zoom`.

        16-bit grey gives its upper 8 bits, as browsers show it.

        Raises:
            InputError: the file is cut off or damaged.
        """
        with _opened(self.path) as file:
            file.draft(
                "RGB", (math.ceil(file.width * zoom) or 1, math.ceil(file.height * zoom) or 1)
            )
            file.load()
            image: Image.Image = file
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.mode == "P":
                image = image.convert("RGBA")  # Pillow wants it so where some of it is transparent
            if image.mode != "RGB":
                image = image.convert("RGB")
        return image.transpose(_TURNS[self.orientation]) if self.orientation > 1 else image

    def upright_bytes(self) -> bytes:
        """A file that every browser shows as `decode` does: the file itself, or a JPEG of it."""
        if self.as_is:
            return self.path.read_bytes()
        file = io.BytesIO()
        self.decode().save(file, "JPEG", quality=95, subsampling=0)
        return file.getvalue()


def open_picture(path: str | Path) -> Picture:
    """An image file, looked at without decoding its pixels: JPEG (also MPO) or PNG.

    Upright is what the EXIF orientation says where it is one number, and nothing else: XMP is not
    asked, and other EXIF is not looked at.

    Raises:
        InputError: no such file, another format, too many pixels, a damaged header.
    """
    with _opened(path := Path(path)) as file:
        orientation = _orientation(file.info.get("exif", b""))
        plain = file.mode in ("L", "RGB") and not getattr(file, "is_animated", False)
        by_xmp = b"Orientation" in file.info.get("xmp", b"")  # some programs turn by it
        width, height = file.size
        size = (height, width) if orientation > 4 else (width, height)
        as_is = plain and orientation == 1 and not by_xmp
        return Picture(path, size, str(file.format), orientation, as_is)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    """The file with its header read; all that goes wrong inside becomes an InputError."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected an image, found {found}")
    try:
        with path.open("rb") as raw:
            head = raw.read(16)
            raw.seek(0)
            decoder, megapixels = next(
                (known for magic, known in _FORMATS.items() if head.startswith(magic)), (None, 0)
            )
            if decoder is None:
                raise InputError(f"{path}: expected an image, JPEG or PNG, found {_kind(head)}")
            with decoder(raw) as file:
                if file.width * file.height > megapixels * 1e6:
                    raise InputError(
                        f"{path}: expected an image of up to {megapixels:g} million pixels, found"
                        f" {file.width} x {file.height}; make it smaller"
                    )
                yield file
    except InputError:
        raise
    except Exception as error:  # damaged bytes make the decoders raise almost any type
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(
            f"{path}: expected an image, found none that can be read to its end ({reason})"
        ) from error


def _kind(head: bytes) -> str:
    """What a file is that begins so, in words."""
    for magic, name in _REFUSED.items():
        if head.startswith(magic) or magic in (head[4:10], head[8:12]):
            return f"{name}, which is not read; convert it to JPEG"
    return "none: it begins like neither" if head else "none: the file is empty"


def _orientation(exif: bytes) -> int:
    """EXIF's tag 0x112 of the first directory, read as strictly as browsers do; see `Picture`."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return 0 if block else 1
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, length, value = struct.unpack_from(f"{order}HHIH", block, entry)
            if tag == 0x112:
                return value if (kind, length) == (3, 1) and 1 <= value <= 8 else 0
    except struct.error:
        return 0
    return 1


def crop(
    picture: Picture | Image.Image, box: Box | None, size: int
) -> tuple[UInt8[Tensor, "3 size size"], Box]:
    """A square of a picture, shown to a fraction of a pixel; black outside the picture.

    Args:
        picture: a file, decoded here and no larger than it need be, or an RGB image.
        box: the square; None for the smallest one around the picture.
        size: side of the result, pixels.

    Returns:
        The pixels, and the box.

    Raises:
        InputError: a box that is not finite, smaller than a pixel or outside the picture; a file
            that is no whole image.
    """
    where = f"{picture.path}: box" if isinstance(picture, Picture) else "box"
    width, height = picture.size
    box = box or (width / 2, height / 2, float(max(width, height)))
    if not np.isfinite(box).all() or box[2] < 1:
        raise InputError(f"{where}: expected finite X, Y and a SIDE of 1 px or more, found {box}")
    image = picture.decode(size / box[2]) if isinstance(picture, Picture) else picture
    # a JPEG's size is rounded up where it is decoded smaller
    zoom = 2.0 ** -round(math.log2(max(width, height) / max(image.size)))
    if box[2] * zoom > _LARGEST_SIDE:
        zoom = _LARGEST_SIDE / box[2]
        image = image.resize([max(1, round(length * zoom)) for length in (width, height)])
    side = box[2] * zoom
    left, top = box[0] * zoom - side / 2, box[1] * zoom - side / 2
    x, y = math.floor(left), math.floor(top)
    if left + side <= 0 or top + side <= 0 or x >= image.width or y >= image.height:
        raise InputError(
            f"{where}: expected a square that meets the image, {width} x {height} px, found the"
            f" one of {box[2]:g} px around ({box[0]:g}, {box[1]:g})"
        )
    square = image.crop((x, y, math.ceil(left + side), math.ceil(top + side)))
    right, bottom = min(left + side - x, square.width), min(top + side - y, square.height)
    exact = (left - x, top - y, right, bottom)
    resized = square.resize((size, size), Image.Resampling.BILINEAR, exact)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous(), box


@dataclass(frozen=True)
class ImageCrops:
    """Squares of image files, decoded when asked for, several at once: `PoseDataset.pixels`."""

    files: Sequence[Path]
    boxes: Float[Tensor, "samples 3"]  # centre x, centre y and side
    size: int  # side of the crops, pixels

    def __call__(self, rows: Int64[np.ndarray, " batch"]) -> Images:
        crops = torch.zeros(len(rows), 3, self.size, self.size, dtype=torch.uint8)

        def fill(slot: int) -> None:
            x, y, side = self.boxes[rows[slot]].tolist()
            crops[slot], _ = crop(open_picture(self.files[rows[slot]]), (x, y, side), self.size)

        with ThreadPoolExecutor() as pool:
            list(pool.map(fill, range(len(rows))))  # a list, so that errors are raised
        return crops

    def labels(self, labels: PoseBatch) -> PoseBatch:
        """Labels in pixels of the crops from those in pixels of the images; hidden joints at 0."""
        centre, side = self.boxes[:, :2], self.boxes[:, 2]
        corner = centre - side[:, None] / 2
        keypoints = (labels.keypoints_px - corner[:, None]) * (self.size / side)[:, None, None]
        return replace(
            labels,
            images=no_pixels(len(self.files), self.size),
            keypoints_px=keypoints.where(labels.visible[..., None], 0.0),
            intrinsics=crop_intrinsics(labels.intrinsics, centre, side, self.size),
        )


def no_pixels(count: int, size: int) -> Images:
    """Black images that take no memory, for labels."""
    return torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(count, 3, size, size)


@dataclass(eq=False)
class PoseDataset:
    """What every data set is, rendered or real: labels in tensors, pixels when asked for.

    A rendered data set gives `pixels` from its array of images; image files give `ImageCrops`;
    `loaded` keeps all pixels in memory.
    """

    name: str
    split: str
    labels: PoseBatch  # of all samples, in pixels of their images, with `no_pixels` as images
    pixels: Callable[[np.ndarray], Images]  # of the samples at some rows
    limb_lengths_mm: Bones  # means over the training subjects
    skeleton: Skeleton = H36M17
    scored: Mask | None = None  # joints that errors are means over; all of them where None

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, indices: np.ndarray | Tensor | Sequence[int], device: str | torch.device = "cpu"
    ) -> PoseBatch:
        """The samples at `indices`, as tensors on `device`.

        Raises:
            InputError: an index beyond the data set, or an image file that cannot be read.
        """
        rows = np.asarray(indices, dtype=np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(self)):
            raise InputError(
                f"indices: found {rows.min()} to {rows.max()}, expected 0 to {len(self) - 1}"
            )
        return replace(take(self.labels, rows), images=self.pixels(rows)).to(device)

    def take(self, rows: np.ndarray, split: str | None = None) -> "PoseDataset":
        """The samples at `rows`, indices or a mask, as a split of their own."""
        chosen = np.arange(len(self))[rows]
        return PoseDataset(
            self.name,
            split or self.split,
            take(self.labels, chosen),
            lambda rows: self.pixels(chosen[rows]),
            self.limb_lengths_mm,
            self.skeleton,
            None if self.scored is None else self.scored[torch.from_numpy(chosen)],
        )

    def loaded(self) -> "PoseDataset":
        """The same data set with all its pixels in memory."""
        parts = np.array_split(np.arange(len(self)), max(1, len(self) // 64))
        images = torch.cat([self.pixels(part) for part in parts])
        everything = self.take(np.arange(len(self)))
        return replace(everything, pixels=lambda rows: images[torch.from_numpy(rows)])


def tensors(batch: PoseBatch) -> dict[str, Tensor]:
    """The tensors of a batch by their names; what it does not have is left out."""
    return {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}


def take(samples: Samples, rows: np.ndarray) -> Samples:
    """The samples at `rows`, indices or a mask, of a dataclass of arrays that lie side by side."""
    index = np.arange(len(samples))[rows]

    def chosen(value: Any) -> Any:
        if isinstance(value, Tensor):
            if _is_pixelless(value):
                return no_pixels(len(index), value.shape[-1])
            return value[torch.from_numpy(index)]
        return value[index] if isinstance(value, np.ndarray) else value

    return _columnwise(chosen, samples)


def join(parts: Sequence[Samples]) -> Samples:
    """The samples of several such dataclasses that know the same, one after the other."""

    def joined(*values: Any) -> Any:
        if isinstance(values[0], Tensor):
            if _is_pixelless(values[0]):
                return no_pixels(sum(map(len, values)), values[0].shape[-1])
            return torch.cat(values)
        return np.concatenate(values) if isinstance(values[0], np.ndarray) else values[0]

    return _columnwise(joined, *parts)


def _columnwise(function: Callable[..., Any], *records: Samples) -> Samples:
    """A dataclass of what a function makes of its fields; mappings are columns side by side."""

    def apply(*values: Any) -> Any:
        if isinstance(values[0], Mapping):
            return {key: function(*(value[key] for value in values)) for key in values[0]}
        return function(*values)

    first = records[0]
    changed = {name: apply(*(vars(record)[name] for record in records)) for name in vars(first)}
    return replace(first, **changed)


def _is_pixelless(images: Tensor) -> bool:
    return images.ndim == 4 and images.stride(0) == 0


def assumed_intrinsics(size: tuple[int, int], box: Box, crop_size: int) -> Float[Tensor, "1 3 3"]:
    """Pinhole matrix of a crop, if the camera has the assumed focal length and centre."""
    x, y, side = torch.tensor([box]).T
    whole = assumed_cameras(torch.tensor([size]))
    return crop_intrinsics(whole, torch.stack([x, y], -1), side, crop_size)


def assumed_cameras(sizes: Int64[Tensor, "images 2"]) -> Intrinsics:
    """Pinhole matrices of whole pictures, with the assumed focal length, aimed at their centres."""
    matrices = torch.eye(3).repeat(len(sizes), 1, 1)
    matrices[:, [0, 1], [0, 1]] = FOCAL_PER_SIDE * sizes.amax(-1, keepdim=True).float()
    matrices[:, :2, 2] = sizes / 2
    return matrices


def image_sizes(files: Sequence[Path]) -> Int64[Tensor, "images 2"]:
    """Width and height of each picture, upright; see `open_picture`."""
    return torch.tensor([open_picture(path).size for path in files], dtype=torch.int64).view(-1, 2)


def inside(
    keypoints_px: Float[Tensor, "images joints 2"], sizes: Int64[Tensor, "images 2"]
) -> Bool[Tensor, "images joints"]:
    """Which joints lie in their image or on its edge; a joint that is not a number does not."""
    return ((keypoints_px >= 0) & (keypoints_px <= sizes[:, None])).all(-1)
