"""Relative Depth LSP: photographs of LSP with 2D joints and a few ordered pairs of joints each.

People were asked which of two joints is closer to the camera; "about equal" was no answer. The
order of the joints stands in the file. Its `nose` lies where LSP has the top of the head.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ordlib.arrays import ZERO_BASED
from ordlib.datasets.frames import require_files
from ordlib.datasets.photos import PhotoDataset, Photos, agreed
from ordlib.errors import InputError
from ordlib.skeleton import LSP14

FILE = "relative_depth_lsp_v1.json"
SPLITS = ("train", "test")


def load(root: str | Path, *, split: str = "train", size: int = 256) -> PhotoDataset:
    """Read one split: photographs with 2D joints and ordinal relations of a few pairs.

    Warns where answers about a pair contradict each other; the pair is left out.

    Args:
        root: the folder of `relative_depth_lsp_v1.json`, with the images in `lsp_dataset/images` or
            in `images`.
        split: `train` or `test`, as the file says.
        size: side of the crops, pixels.

    Raises:
        InputError: a file that cannot be used, images missing, no image of the split.
    """
    if split not in SPLITS:
        raise InputError(f"split: expected one of {', '.join(SPLITS)}, found {split!r}")
    path = Path(root) / FILE
    names, images = _read(path)
    order = _joint_order(names, path)
    _check(images, path)
    items = [item for item in images if item["is_train"] == (split == "train")]
    if not items:
        raise InputError(f"{path}: expected images of the split {split}, found none")
    points = torch.tensor([item["keypoints"] for item in items]).view(-1, len(LSP14), 2)
    usable = ~points.isnan().any(-1) & (points != 0).any(-1)  # occluded or not
    closer = torch.zeros(len(items), len(LSP14), len(LSP14), dtype=torch.bool)
    for row, item in enumerate(items):
        for answer in item["anns"]:  # label 0 says that kp0 is closer, label 1 that kp1 is
            pair = answer["kp0"], answer["kp1"]
            closer[row][pair[:: -1 if answer["label"] else 1]] = True
    closer = closer[:, order][:, :, order]
    nothing = torch.zeros_like(closer)
    relations, annotated, contradictions = agreed(closer, nothing, nothing)
    if contradictions:
        warnings.warn(
            f"{path}: {contradictions} pairs have answers that contradict each other, and are left"
            " out; expected none",
            stacklevel=2,
        )
    files = [item["im_file"] for item in items]
    folder = path.parent if (path.parent / files[0]).is_file() else path.parent / "lsp_dataset"
    require_files(folder, files)
    photos = Photos(
        part="lsp",
        files=[folder / name for name in files],
        keypoints_px=torch.where(usable[..., None], points + ZERO_BASED, 0.0)[:, order],
        usable=usable[:, order],
        relations=relations,
        annotated=annotated,
        contradictions=contradictions,
    )
    return PhotoDataset("relative_depth_lsp", [photos], size, split)


def _read(path: Path) -> tuple[list[Any], list[Any]]:
    """The lists `joint_names` and `images` of the file."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected a JSON file, found {found}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON file, found damage ({error})") from error
    lists = content if isinstance(content, dict) else {}
    names, images = lists.get("joint_names"), lists.get("images")
    if not isinstance(names, list) or not isinstance(images, list):
        found = ", ".join(lists) or type(content).__name__
        raise InputError(f"{path}: expected lists joint_names and images, found {found}")
    return names, images


def _joint_order(names: Sequence[Any], path: Path) -> list[int]:
    """Place in the file of each joint of LSP14."""
    plain = ["head_top" if name == "nose" else name for name in names]
    if len(plain) != len(LSP14) or any(joint not in plain for joint in LSP14.joints):
        raise InputError(
            f"{path}: joint_names: expected {', '.join(LSP14.joints)} in any order, with nose for"
            f" head_top, found {', '.join(map(str, names))}"
        )
    return [plain.index(joint) for joint in LSP14.joints]


def _check(images: Sequence[Any], path: Path) -> None:
    """Raise InputError for the first image that is not as `_EXPECTED`."""
    seen: set[str] = set()
    for row, item in enumerate(images):
        if not isinstance(item, dict):
            kind = type(item).__name__
            raise InputError(f"{path}: images[{row}]: expected an object, found {kind}")
        for key, (expected, count, fits) in _EXPECTED.items():
            values = item.get(key) if count != 0 else [item.get(key)]
            if not isinstance(values, list):
                found = type(values).__name__
            elif count and len(values) != count:
                found = f"{len(values)} of them"
            elif wrong := [value for value in values if not fits(value)]:
                found = repr(wrong[0])
            else:
                continue
            raise InputError(
                f"{path}: images[{row}]: {key}: expected {expected}, found {found:.80}"
            )
        if item["im_file"] in seen:
            raise InputError(
                f"{path}: images[{row}]: im_file: expected every image once, found"
                f" {item['im_file']} twice"
            )
        seen.add(item["im_file"])


def _is_coordinate(value: Any) -> bool:
    """A number of pixels; NaN stands for a joint without a position."""
    return type(value) in (int, float) and not abs(value) > 1e6


def _is_answer(answer: Any) -> bool:
    if not isinstance(answer, dict):
        return False
    pair, label = (answer.get("kp0"), answer.get("kp1")), answer.get("label")
    joints = all(type(joint) is int and 0 <= joint < len(LSP14) for joint in pair)
    return joints and pair[0] != pair[1] and type(label) is int and label in (0, 1)


_EXPECTED: Mapping[str, tuple[str, int | None, Callable[[Any], bool]]] = {
    # key: in words, how many of them in a list (0: no list), and what each must be
    "im_file": ("a name", 0, lambda value: isinstance(value, str) and bool(value)),
    "is_train": ("true or false", 0, lambda value: isinstance(value, bool)),
    "keypoints": ("28 coordinates in pixels", 2 * len(LSP14), _is_coordinate),
    "anns": ("answers: two joints kp0 and kp1 of 0 to 13, label 0 or 1", None, _is_answer),
}
