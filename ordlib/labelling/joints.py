"""2D joints to start from: a file of the folder, or what people clicked.

Joints are those of LSP, in its order (`ordlib.skeleton.LSP14`), in pixels of the upright image with
the centre of the first pixel at 0.5.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ordlib.arrays import ZERO_BASED
from ordlib.arrays import read_joints as read_table
from ordlib.data import inside
from ordlib.errors import InputError
from ordlib.files import digest, replacing
from ordlib.labelling.folder import Pictures
from ordlib.labelling.store import Clicks, some
from ordlib.skeleton import LSP14

JOINTS = len(LSP14)
_COLUMNS = ("image", "joint", "x", "y")
_FILES = ("joints.mat", "joints.csv")
_LARGEST = 1e9  # pixels

Points = Float[Tensor, "images 14 2"]
Present = Bool[Tensor, "images 14"]


@dataclass(frozen=True)
class Joints:
    """2D joints of the images of a folder."""

    names: Sequence[str]  # file names of the images
    keypoints_px: Points  # zero where a joint is not present
    present: Present  # joints with a position inside their image
    placed: Bool[Tensor, " images"]  # images whose joints are known, so that one can ask about them
    file: Path | None = None
    problems: str = ""  # what of the file is left out, in words

    def digest(self, row: int) -> str:
        """Digest of which joints an image has, and where to 0.01 pixels."""
        places = (self.keypoints_px[row] * 100).round().int().tolist()
        return digest([places, self.present[row].tolist()])

    def with_clicks(self, clicked: Mapping[str, Clicks]) -> "Joints":
        """These, and those that were clicked in images without any."""
        keypoints_px, present, placed = (
            x.clone() for x in (self.keypoints_px, self.present, self.placed)
        )
        for row, name in enumerate(self.names):
            if name in clicked and not placed[row]:
                points = [clicked[name][joint] for joint in LSP14.joints]
                present[row] = torch.tensor([point is not None for point in points])
                keypoints_px[row] = torch.tensor([point or (0.0, 0.0) for point in points])
                placed[row] = True
        return replace(self, keypoints_px=keypoints_px, present=present, placed=placed)

    def box(self, row: int, size: Sequence[int]) -> list[float]:
        """Left, top, right and bottom of the part of an image that shows the person, pixels."""
        points = self.keypoints_px[row][self.present[row]]
        whole = torch.tensor([0.0, 0.0, *map(float, size)])
        if len(points) < 2:
            return whole.tolist()
        low, high = points.amin(0), points.amax(0)
        margin = 0.2 * float((high - low).max().clamp_min(20)) + 4
        corners = torch.cat([low - margin, high + margin])
        return torch.minimum(corners, whole[2:].repeat(2)).clamp_min(0).tolist()


def joints_of(pictures: Pictures, file: Path | None = None) -> Joints:
    """2D joints of the pictures of a folder, from a `.mat` or `.csv` file.

    - `.mat`, key `joints`, of shape (3, 14, images) as in LSP: the third value, 0 = visible or
      1 = occluded, leaves the position usable; x and y that are NaN or both 0 are missing. Of shape
      (14, 3, images) as in LSPET: 1 = annotated, 0 = missing. Coordinates count from 0. Each column
      is an image, see `_columns`.
    - `.csv`: columns image, joint, x, y in any order, empty x and y for a missing joint.

    By default the file is `joints.mat` or `joints.csv` of the folder; without any none is placed.

    Raises:
        InputError: the folder has both; a file that is not of these forms, belongs to other images,
            or has no joint inside its image.
    """
    files = [path for name in _FILES if (path := pictures.folder / name).is_file()]
    if file is None and len(files) > 1:
        raise InputError(
            f"{pictures.folder}: expected one file of joints, found {' and '.join(_FILES)};"
            " name one with --joints"
        )
    if file is None and not files:
        points = torch.zeros(len(pictures.paths), JOINTS, 2)
        return Joints(pictures.names, points, points[..., 0] > 0, points[:, 0, 0] > 0)
    return _read(file.expanduser() if file else files[0], pictures)


def _read(path: Path, pictures: Pictures) -> Joints:
    readers = {".mat": _read_mat, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: expected a .mat or .csv file, found {path.name!r}")
    points, others = readers[path.suffix.lower()](path, pictures.files)
    points, names = points[pictures.rows], pictures.names
    given = ~points.isnan().any(-1)
    present = inside(points, pictures.sizes)
    outside = given & ~present
    if outside.sum() > given.sum() / 2 or not present.any():
        raise InputError(
            f"{path}: expected joints inside their images, found {int(outside.sum())} of"
            f" {int(given.sum())} outside: the file of other images, or its third value is read"
            " the wrong way round"
        )
    placed = given.any(-1)
    lacking = ~given & placed[:, None]
    parts = [
        f"{count} {what} ({some([names[row] for row in images.nonzero()[:, 0].tolist()])})"
        for count, what, images in (
            (int((~placed).sum()), "images without any joint", ~placed),
            (int(lacking.sum()), f"of {given.numel()} joints without a position", lacking.any(-1)),
            (int(outside.sum()), f"of {given.numel()} joints outside their image", outside.any(-1)),
        )
        if count
    ]
    problems = "; ".join([*parts, *([others] if others else [])])
    return Joints(names, points.where(present[..., None], 0.0), present, placed, path, problems)


def _read_mat(path: Path, files: Sequence[Path]) -> tuple[Points, str]:
    table = read_table(path, [JOINTS])
    usable = table.flags if table.joints_first else ~table.missing
    if (usable & table.points.isnan().any(-1)).any():
        raise InputError(f"{path}: joints: expected positions of annotated joints, found NaN")
    points = torch.where(usable[..., None], table.points + ZERO_BASED, torch.nan)
    return points[_columns(path, files, len(points))], ""


def _columns(path: Path, files: Sequence[Path], count: int) -> list[int]:
    """Column of each image, where it is sure.

    Where all names are one word and different numbers, these count from 1 or from 0: they may lack
    some if the last or the first of all is there. Else there are as many columns as images, which
    are in the order of their numbers or, where these do not tell, of their names.
    """
    matches = [re.fullmatch(r"(.*?)(\d{1,9})", file.stem, re.ASCII) for file in files]
    numbers = [int(match[2]) for match in matches if match]
    one_word = len({match[1] for match in matches if match}) == 1
    numbered = one_word and len(set(numbers)) == len(files)
    if numbered and max(numbers) == count and min(numbers) > 0:
        return [number - 1 for number in numbers]
    if numbered and max(numbers) < count and min(numbers) == 0:
        return numbers
    if len(files) == count:
        places = {number: place for place, number in enumerate(sorted(numbers))}
        return [places[number] for number in numbers] if numbered else list(range(count))
    which = f", numbered {min(numbers)} to {max(numbers)}" if numbered else ""
    raise InputError(
        f"{path}: joints: expected as many columns as images, found {count} columns and"
        f" {len(files)} images{which}, which does not tell whose joints they are; put back the"
        " images that are missing, or give the joints as joints.csv (image, joint, x, y), which"
        " names the files"
    )


def _read_csv(path: Path, files: Sequence[Path]) -> tuple[Points, str]:
    index = {file.name: row for row, file in enumerate(files)}
    points = torch.full((len(files), JOINTS, 2), torch.nan)
    seen: set[tuple[str, str]] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if sorted(reader.fieldnames or ()) != sorted(_COLUMNS):
                raise InputError(
                    f"{path}: expected the columns {', '.join(_COLUMNS)},"
                    f" found {', '.join(reader.fieldnames or ()) or 'nothing'}"
                )
            for values in reader:
                where = f"{path}: line {reader.line_num}"
                if len(values) != len(_COLUMNS) or None in values.values():
                    raise InputError(f"{where}: expected {len(_COLUMNS)} values")
                image, joint = values["image"], values["joint"]
                if joint not in LSP14.joints or (image, joint) in seen:
                    raise InputError(
                        f"{where}: expected each of {', '.join(LSP14.joints)} once, found {joint!r}"
                    )
                seen.add((image, joint))
                point = _point(where, values["x"].strip(), values["y"].strip())
                if image in index:
                    points[index[image], LSP14.index(joint)] = torch.tensor(point)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file, found: {error}") from error
    others = [image for image, _ in seen if image not in index]
    if len(others) == len(seen):
        raise InputError(
            f"{path}: expected joints of images such as {files[0].name!r}, found none of them"
        )
    text = f"{len(others)} joints of images not in the folder ({some(sorted(set(others)))})"
    return points, text if others else ""


def _point(where: str, x: str, y: str) -> list[float]:
    """x and y; not a number where both are empty."""
    if not x and not y:
        return [torch.nan, torch.nan]
    try:
        point = [float(x), float(y)]
    except ValueError:
        point = [torch.nan]
    if not all(abs(value) < _LARGEST for value in point):  # not a number is not below it
        raise InputError(f"{where}: expected numbers x and y, found {x!r}, {y!r}")
    return point


def write_joints(path: Path, names: Sequence[str], keypoints_px: Points, present: Present) -> None:
    """Write 2D joints as the CSV file that `joints_of` reads; it appears complete."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(_COLUMNS)
        for name, points, there in zip(names, keypoints_px, present.tolist(), strict=True):
            for joint, point, shown in zip(LSP14.joints, points.numpy(), there, strict=True):
                # str gives the shortest decimal number that is this one in single precision
                rows.writerow((name, joint, *(map(str, point) if shown else ("", ""))))
