"""The photographs of a folder: those that can be shown, and what is left out."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int64
from torch import Tensor

from ordlib.errors import InputError
from ordlib.files import digest
from ordlib.images import broken_images, image_sizes

_SUFFIXES = (".jpg", ".jpeg", ".png")
_OTHER_KINDS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Photographs:
    """What a folder holds.

    Attributes:
        files: all image files, by name.
        rows: places in `files` of those that can be shown; the attributes below are about these.
        paths: the files.
        sizes: width and height of the upright image, pixels.
        keys: digest of a file's path, size and time of change.
        left_out: what cannot be used, in words, a line each.
    """

    files: list[Path]
    rows: list[int]
    paths: list[Path]
    sizes: Int64[Tensor, "images 2"]
    keys: list[str]
    left_out: list[str]

    def gone(self, names: Iterable[str]) -> list[str]:
        """A line about those of the named images that are not in the folder, if there are any."""
        missing = sorted(set(names) - {path.name for path in self.files})
        kept = "their answers are kept and count again once the files are back"
        return [f"gone: {some(missing)}; {kept}"] if missing else []

    def read(self, row: object, key: object) -> bytes:
        """The bytes of the image of a row, if its key is the one that is asked for.

        Raises:
            InputError: another key, no such row, or a file that has changed or is gone.
        """
        if not (type(row) is int and 0 <= row < len(self.paths)) or key != self.keys[row]:
            raise InputError(f"image: expected one of {len(self.paths)} with its key, found {row}")
        path = self.paths[row]
        try:
            if _key(path) == key:
                return path.read_bytes()
        except OSError as error:
            raise InputError(f"{path.name}: cannot be read: {error.strerror}") from error
        raise InputError(f"{path.name}: expected the file of the start, found a changed one")


def photographs(folder: Path) -> Photographs:
    """Look at the images of a folder; each is decoded once.

    Raises:
        InputError: no image can be shown, or a folder that is not there or has no readable name.
    """
    if not _is_text(str(folder.resolve())):
        raise InputError(f"{readable(str(folder))}: expected a folder with a name in UTF-8")
    files = image_files(folder)
    left_out = [
        f"{readable(path.name)}: left out, its name is not UTF-8"
        for path in files
        if not _is_text(path.name)
    ]
    named = [path for path in files if _is_text(path.name)]
    broken = broken_images(named)
    left_out += [f"{path.name}: left out, it cannot be decoded" for path in named if path in broken]
    left_out += _other_kinds(files[0].parent)
    shown = [path for path in named if path not in broken]
    if not shown:
        raise InputError(f"{folder}: expected an image that can be shown, found {left_out[0]}")
    kept = set(shown)
    rows = [row for row, path in enumerate(files) if path in kept]
    return Photographs(files, rows, shown, image_sizes(shown), [*map(_key, shown)], left_out)


def image_files(folder: Path) -> list[Path]:
    """JPEG and PNG files of a folder or, if it has none, of its subfolder `images`, by name.

    Raises:
        InputError: there is none, or the folder cannot be read.
    """
    for place in (folder, folder / "images"):
        try:
            found = [p for p in place.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file()]
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"{place}: expected a folder, found: {error.strerror}") from error
        if shown := sorted(path for path in found if not path.name.startswith(".")):
            return shown
    if not folder.exists():
        raise InputError(f"{folder}: expected a folder of images, found no such folder")
    others = [line for place in (folder, folder / "images") for line in _other_kinds(place)]
    raise InputError(
        f"{folder}: expected images (jpg, jpeg, png) here or in images/, found none"
        + "".join(f"; {line}" for line in others)
    )


def some(names: Sequence[str]) -> str:
    """The first three names."""
    return ", ".join([*names[:3], *(["…"] if len(names) > 3 else [])])


def readable(name: str) -> str:
    """A file name of any bytes, so that it can be printed."""
    return os.fsencode(name).decode("utf-8", "replace")


def _is_text(name: str) -> bool:
    return readable(name) == name


def _other_kinds(place: Path) -> list[str]:
    """A line about images of kinds that are not read, if a folder has some."""
    if not place.is_dir():
        return []
    kinds = Counter(path.suffix.lower() for path in place.iterdir())
    found = {kind: kinds[kind] for kind in _OTHER_KINDS if kinds[kind]}
    count = sum(found.values())
    files = "file" if count == 1 else "files"
    return [f"left out: {count} {files} of other kinds ({', '.join(found)})"] if count else []


def _key(path: Path) -> str:
    about = path.stat()
    return digest([str(path.resolve()), about.st_size, about.st_mtime_ns])
