"""The pictures of a folder: those that can be shown, and what is left out."""

import io
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int64
from torch import Tensor

from ordlib.data import image_sizes, open_picture
from ordlib.errors import InputError
from ordlib.labelling.store import some

_SUFFIXES = (".jpg", ".jpeg", ".png")
_OTHER_KINDS = (".avif", ".bmp", ".gif", ".heic", ".heif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Pictures:
    """What a folder holds."""

    folder: Path
    files: list[Path]  # all image files, by name
    rows: list[int]  # places in `files` of those that can be shown: `paths` and `sizes`
    paths: list[Path]
    sizes: Int64[Tensor, "images 2"]  # width and height of the upright picture, pixels
    left_out: list[str]  # what cannot be used, in words, a line each

    @property
    def names(self) -> list[str]:
        """File names of those that can be shown."""
        return [path.name for path in self.paths]

    @property
    def bytes(self) -> dict[str, int]:
        """Sizes of the files of those that can be shown."""
        return {path.name: path.stat().st_size for path in self.paths}

    def gone(self, names: Iterable[str | None]) -> list[str]:
        """A line about those of the named pictures that are not in the folder, if there are any."""
        missing = sorted({name for name in names if name} - {path.name for path in self.files})
        kept = "their answers are kept and count again once the files are back"
        return [f"gone: {some(missing)}; {kept}"] if missing else []


def pictures(folder: str | Path) -> Pictures:
    """Look at the pictures of a folder; each is decoded once.

    Raises:
        InputError: none can be shown, or a folder that is not there or has no readable name.
    """
    folder = Path(folder).expanduser()
    if not _is_text(str(folder.resolve())):
        raise InputError(f"{_readable(str(folder))}: expected a folder with a name in UTF-8")
    files = image_files(folder)
    named = [path for path in files if _is_text(path.name)]
    left_out = [
        f"{_readable(path.name)}: left out, its name is not UTF-8"
        for path in files
        if path not in named
    ]
    paths = []
    for path in named:
        try:
            open_picture(path).decode(0.0)
            paths.append(path)
        except InputError as error:
            left_out.append(f"left out: {error}")
    left_out += _other_kinds(files[0].parent)
    if not paths:
        raise InputError(f"{folder}: expected an image that can be shown, found {left_out[0]}")
    rows = [row for row, path in enumerate(files) if path in set(paths)]
    return Pictures(folder, files, rows, paths, image_sizes(paths), left_out)


def image_files(folder: Path) -> list[Path]:
    """JPEG and PNG files of a folder or, if it has none, of its subfolder `images`, by name.

    Raises:
        InputError: there is none, or the folder cannot be read.
    """
    for place in (folder, folder / "images"):
        try:
            files = [p for p in place.iterdir() if p.suffix.lower() in _SUFFIXES and p.is_file()]
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"{place}: expected a folder, found: {error.strerror}") from error
        if shown := sorted(path for path in files if not path.name.startswith(".")):
            return shown
    if not folder.exists():
        raise InputError(f"{folder}: expected a folder of images, found no such folder")
    others = [line for place in (folder, folder / "images") for line in _other_kinds(place)]
    raise InputError(
        f"{folder}: expected images (jpg, jpeg, png) here or in images/, found none"
        + "".join(f"; {line}" for line in others)
    )


def jpeg(path: Path) -> bytes:
    """A picture as a JPEG file that shows the very pixels that networks learn from.

    Programs differ in which way up a photograph is, and in how bright one of 16 bits is. So what
    people see, and what is exported, is the file itself only where all of them agree.

    Raises:
        InputError: a file that is no image.
    """
    picture = open_picture(path)
    if picture.format == "JPEG":
        return picture.upright_bytes()
    encoded = io.BytesIO()
    picture.decode().save(encoded, "JPEG", quality=95, subsampling=0)
    return encoded.getvalue()


def _readable(name: str) -> str:
    """A file name of any bytes, so that it can be printed."""
    return os.fsencode(name).decode("utf-8", "replace")


def _is_text(name: str) -> bool:
    return _readable(name) == name


def _other_kinds(place: Path) -> list[str]:
    """A line about images of kinds that are not read, if a folder has some."""
    if not place.is_dir():
        return []
    kinds = Counter(p.suffix.lower() for p in place.iterdir() if not p.name.startswith("."))
    counts = {kind: kinds[kind] for kind in _OTHER_KINDS if kinds[kind]}
    count = sum(counts.values())
    files = "file" if count == 1 else "files"
    return [f"left out: {count} {files} of other kinds ({', '.join(counts)})"] if count else []
