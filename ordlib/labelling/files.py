"""Files of the annotation tool: 2D joints to start from, and the authors' layout of its answers.

Joints are those of LSP, in its order (`ordlib.skeleton.LSP14`), in pixels of the upright image with
the centre of the first pixel at 0.5.
"""

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8, Int64
from scipy.io import savemat
from torch import Tensor

from ordlib.data import open_picture
from ordlib.datasets import matlab
from ordlib.errors import InputError, require_finite, require_shape
from ordlib.files import locked, replacing
from ordlib.images import image_sizes, inside, load_image
from ordlib.labelling.photographs import some
from ordlib.skeleton import LSP14

_COLUMNS = ("image", "joint", "x", "y")
_ORIGIN = "pixels of the upright image, the centre of the first pixel at 0.5"
_JPEG_QUALITY = 95
_LARGEST = 1e9  # pixels

Points = Float[Tensor, "images 14 2"]


@dataclass(frozen=True)
class LabelledJoints:
    """2D joints of N images.

    Attributes:
        names: file names of the images.
        keypoints_px: positions; zero where a joint is not present.
        given: joints with a position in the file.
        present: joints with a position inside their image.
        others: what the file says about images that were not asked for, in words.
    """

    names: tuple[str, ...]
    keypoints_px: Points
    given: Bool[Tensor, "images 14"]
    present: Bool[Tensor, "images 14"]
    others: str = ""

    @property
    def missing(self) -> int:
        """Joints without a position in the file."""
        return int((~self.given).sum())

    @property
    def outside(self) -> int:
        """Joints whose position lies outside their image."""
        return int((self.given & ~self.present).sum())

    @property
    def covered(self) -> Bool[Tensor, " images"]:
        """Images that have a position for at least one joint."""
        return self.given.any(-1)

    def of(self, rows: Sequence[int]) -> "LabelledJoints":
        """The joints of some of the images."""
        kept = list(rows)
        return LabelledJoints(
            names=tuple(self.names[row] for row in kept),
            keypoints_px=self.keypoints_px[kept],
            given=self.given[kept],
            present=self.present[kept],
            others=self.others,
        )

    def problems(self) -> str:
        """What is left out, in words; empty if nothing is."""
        total = self.present.numel()
        covered = self.covered
        lacking = ~self.given & covered[:, None]
        found = (
            (int((~covered).sum()), "images without any joint", ~covered),
            (int(lacking.sum()), f"of {total} joints without a position", lacking.any(-1)),
            (
                self.outside,
                f"of {total} joints outside their image",
                (self.given & ~self.present).any(-1),
            ),
        )
        parts = [
            f"{count} {what} ({some([self.names[row] for row in rows.nonzero()[:, 0].tolist()])})"
            for count, what, rows in found
            if count
        ]
        return "; ".join([*parts, *([self.others] if self.others else [])])


def read_joints(
    path: Path, images: Sequence[Path], sizes: Int64[Tensor, "images 2"] | None = None
) -> LabelledJoints:
    """2D joints of image files from a `.mat`, `.json` or `.csv` file.

    - `.mat`, key `joints`, of shape (3, 14, images) as in LSP: the third value, 0 = visible or
      1 = occluded, leaves the position usable; x and y that are NaN or both 0 are missing. Of shape
      (14, 3, images) as in LSPET: 1 = annotated, 0 = missing. Coordinates count from 0. Image
      `im00007.jpg` takes the 7th column; names without numbers take the columns in order.
    - `.json`: `{"joints": [names], "images": {file name: {joint name: [x, y] or null}}}`.
    - `.csv`: columns image, joint, x, y in any order, empty x and y for a missing joint.

    Args:
        path: the file.
        images: image files, no name twice.
        sizes: width and height of the images, read from them if None.

    Raises:
        InputError: a file that is not of these forms or belongs to other images.
    """
    readers = {".mat": _read_mat, ".json": _read_json, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: expected a .mat, .json or .csv file, found {path.name!r}")
    _require_names(images)
    points, others = reader(path, images)
    given = ~points.isnan().any(-1)
    seen = inside(points, image_sizes(images) if sizes is None else sizes)
    if reader is _read_mat and (given & ~seen).sum() > given.sum() / 2:
        raise InputError(
            f"{path}: expected joints inside their images, found {int((given & ~seen).sum())} of"
            f" {int(given.sum())} outside: the file of other images, or its third value is read"
            " the wrong way round"
        )
    names = tuple(image.name for image in images)
    return LabelledJoints(names, torch.where(seen[..., None], points, 0.0), given, seen, others)


def _require_names(images: Sequence[Path]) -> None:
    """Raise InputError if there is no image or if two have the same name."""
    if not images:
        raise InputError("images: expected at least one file, found none")
    counts = Counter(path.name for path in images)
    name, count = counts.most_common(1)[0]
    if count > 1:
        raise InputError(f"images: expected files, no name twice, found {name} {count} times")


def _read_mat(path: Path, images: Sequence[Path]) -> tuple[Points, str]:
    table = matlab.read_joints(path, [len(LSP14)])
    usable = table.flags if table.joints_first else ~table.missing
    if (usable & table.points.isnan().any(-1)).any():
        raise InputError(f"{path}: joints: expected positions of annotated joints, found NaN")
    columns = _columns(path, images, len(table.points))
    points = torch.where(usable[..., None], table.points + matlab.ZERO_BASED, torch.nan)
    return points[columns], ""


def _columns(path: Path, images: Sequence[Path], count: int) -> list[int]:
    """Column of each image: by the number that ends its name, else by its place."""
    ends = [re.search(r"\d+$", image.stem, re.ASCII) for image in images]
    numbers = [int(end[0]) for end in ends if end]
    if len(set(numbers)) == len(images) and all(1 <= number <= count for number in numbers):
        return [number - 1 for number in numbers]
    if len(images) == count:
        return list(range(count))
    raise InputError(
        f"{path}: joints: expected {len(images)} images, as many as there are files, or files"
        f" numbered 1 to {count}; found {count} images and the file {images[0].name!r}"
    )


def _read_json(path: Path, images: Sequence[Path]) -> tuple[Points, str]:
    content = _parse(path)
    names, people = (content.get("joints"), content.get("images")) if content else (None, None)
    if not isinstance(names, list) or not isinstance(people, dict):
        raise InputError(f'{path}: expected an object with a list "joints" and an object "images"')
    if sorted(map(str, names)) != sorted(LSP14.joints):
        raise InputError(f"{path}: expected the joints {', '.join(LSP14.joints)}, found {names}")
    rows = []
    for image, joints in people.items():
        if not isinstance(joints, dict):
            raise InputError(f"{path}: {image}: expected joints by name, found {joints!r}")
        for joint, place in joints.items():
            rows.append((image, joint, place, f"{path}: {image}: {joint}"))
    return _place(path, images, rows, people)


def _parse(path: Path) -> dict[str, Any] | None:
    """A JSON object without repeated names, or None where the file holds something else."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice!r} stands twice in one object")
        return dict(pairs)

    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON file, found: {error}") from error
    return content if isinstance(content, dict) else None


def _read_csv(path: Path, images: Sequence[Path]) -> tuple[Points, str]:
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if sorted(reader.fieldnames or ()) != sorted(_COLUMNS):
                raise InputError(
                    f"{path}: expected the columns {', '.join(_COLUMNS)},"
                    f" found {', '.join(reader.fieldnames or ()) or 'nothing'}"
                )
            for row in reader:
                where = f"{path}: line {reader.line_num}"
                rows.append((row["image"], row["joint"], _cells(row, where), where))
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{path}: expected a CSV file, found: {error}") from error
    return _place(path, images, rows, {image for image, _, _, _ in rows})


def _cells(row: dict[str, Any], where: str) -> list[float] | None:
    """x and y of a line of CSV, None where both are empty."""
    if len(row) != len(_COLUMNS) or None in row.values():
        raise InputError(f"{where}: expected {len(_COLUMNS)} values, found another number")
    x, y = row["x"].strip(), row["y"].strip()
    if not x and not y:
        return None
    try:
        return [float(x), float(y)]
    except ValueError as error:
        raise InputError(f"{where}: expected numbers x and y, found {x!r}, {y!r}") from error


def _place(
    path: Path,
    images: Sequence[Path],
    rows: Iterable[tuple[str, str, Any, str]],
    described: Iterable[str],
) -> tuple[Points, str]:
    """Positions from rows of image, joint, [x, y] or None, and where the row stands; and a word
    about rows of other images."""
    index = {image.name: i for i, image in enumerate(images)}
    if not index.keys() & set(described):
        raise InputError(
            f"{path}: expected joints of images such as {images[0].name!r}, found none of them"
        )
    points = torch.full((len(images), len(LSP14), 2), torch.nan)
    seen = set()
    for image, joint, place, where in rows:
        if joint not in LSP14.joints:
            raise InputError(f"{where}: expected one of {', '.join(LSP14.joints)}, found {joint!r}")
        if (image, joint) in seen:
            raise InputError(f"{where}: expected each joint once, found {joint} of {image} again")
        seen.add((image, joint))
        if place is not None and not _is_point(place):
            raise InputError(f"{where}: expected two finite numbers [x, y], found {place!r}")
        if place is not None and image in index:
            points[index[image], LSP14.joints.index(joint)] = torch.tensor(place)
    return points, _others([image for image, _ in seen if image not in index])


def _others(images: Sequence[str]) -> str:
    """About joints of images that are not there, by their names."""
    if not images:
        return ""
    return f"{len(images)} joints of images not in the folder ({some(sorted(set(images)))})"


def _is_point(place: Any) -> bool:
    return (
        isinstance(place, list)
        and len(place) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in place)
        and all(abs(v) < _LARGEST for v in place)  # not a number is not below it
    )


def write_joints(
    path: Path, images: Sequence[Path], keypoints_px: Points, present: Bool[Tensor, "images 14"]
) -> None:
    """Write 2D joints as the JSON file that `read_joints` reads; the file appears complete.

    Raises:
        InputError: shapes that do not fit, positions that are not finite, a folder that cannot be
            written.
    """
    _require_names(images)
    _require_joints(images, keypoints_px, present)
    points = keypoints_px.cpu().numpy().astype(np.float32)
    people = {
        image.name: {
            # str gives the shortest decimal number that is this one in single precision
            joint: [float(str(x)), float(str(y))] if there else None
            for joint, (x, y), there in zip(LSP14.joints, person, shown, strict=True)
        }
        for image, person, shown in zip(images, points, present.tolist(), strict=True)
    }
    content = {"coordinates": _ORIGIN, "joints": list(LSP14.joints), "images": people}
    with replacing(path) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _require_joints(images: Sequence[Path], keypoints_px: Tensor, present: Tensor) -> None:
    require_shape("keypoints_px", keypoints_px, len(images), len(LSP14), 2)
    require_shape("present", present, len(images), len(LSP14))
    require_finite("keypoints_px of present joints", keypoints_px[present])


def export(
    folder: Path,
    images: Sequence[Path],
    keypoints_px: Points,
    present: Bool[Tensor, "images 14"],
    relations: Int8[Tensor, "images 14 14"],
    settled: Bool[Tensor, "images 14 14"],
) -> None:
    """Write annotated images in the authors' layout (Section 4.1), which the loader reads.

    `folder/lsp_dataset_original` appears complete, with

    - `images/im0001.jpg` and so on: JPEG files byte for byte, others encoded as JPEG;
    - `joints.mat`: `joints` (3, 14, images), x and y counted from 0; the third value is 0 for a
      joint with a position; a joint without one has NaN for x and y, and 1;
    - `ordinal.mat`: `ord` (images, 14, 14), -1 where the row's joint is closer: the sign is
      opposite to that of `relations`. NaN where not settled, and on the diagonal;
    - `names.csv`: the names that the images had.

    Args:
        folder: where to write; an earlier export there is replaced, other data are not.
        images: image files.
        keypoints_px: positions, pixels of the upright image.
        present: joints that have a position.
        relations: +1 where joint i is closer than joint j.
        settled: pairs whose relation is known.

    Raises:
        InputError: shapes that do not fit, relations that contradict themselves or of which none
            is settled, a file that is no image, a folder that holds other data or cannot be
            written.
    """
    _require_joints(images, keypoints_px, present)
    target = folder / "lsp_dataset_original"
    ordinal = _ordinal(relations, settled, len(images))
    points = torch.where(present[..., None], keypoints_px - matlab.ZERO_BASED, torch.nan)
    joints = torch.cat([points, (~present)[..., None].to(points)], -1).permute(2, 1, 0)
    if target.exists() and not (target / "names.csv").is_file():
        raise InputError(f"{target}: expected nothing or an earlier export, found other data")
    if any(target.resolve() in image.resolve().parents for image in images):
        raise InputError(f"{target}: expected images outside the export, found one in it")
    with locked(folder), replacing(target) as temporary:
        (temporary / "images").mkdir(parents=True)
        _save(temporary / "joints.mat", "joints", joints)
        _save(temporary / "ordinal.mat", "ord", ordinal)
        with (temporary / "names.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("image", "original"))
            for number, image in enumerate(images, start=1):
                _copy(image, temporary / "images" / f"im{number:04d}.jpg")
                rows.writerow((f"im{number:04d}.jpg", image.name))


def _ordinal(relations: Tensor, settled: Tensor, count: int) -> Float[Tensor, "images 14 14"]:
    """The authors' sign, NaN where not settled. Raises InputError for relations of no order."""
    require_shape("relations", relations, count, len(LSP14), len(LSP14))
    require_shape("settled", settled, count, len(LSP14), len(LSP14))
    known = settled & ~torch.eye(len(LSP14), dtype=torch.bool)
    if not known.any():
        raise InputError("settled: expected at least one pair that is, found none")
    if not known.equal(known.mT) or ((relations + relations.mT) * known).any():
        raise InputError("relations: expected r(j, i) = -r(i, j) where settled, found others")
    if (relations.abs() * known > 1).any():
        raise InputError("relations: expected -1, 0 or 1, found others")
    return torch.where(known, (-relations).double(), torch.nan)


def _save(path: Path, key: str, array: Tensor) -> None:
    savemat(str(path), {key: array.double().numpy()}, appendmat=False, do_compression=True)


def _copy(image: Path, copy: Path) -> None:
    """The image as a JPEG file, byte for byte where it is one, whatever its name says."""
    if open_picture(image).format == "JPEG":
        shutil.copyfile(image, copy)
    else:
        load_image(image).save(copy, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
