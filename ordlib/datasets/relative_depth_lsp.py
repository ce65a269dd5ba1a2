"""Relative Depth LSP: photographs of LSP with 2D joints and a few ordered pairs of joints each.

People were asked which of two joints is closer to the camera; "about equal" was no answer. The
order of the joints stands in the file. Its `nose` lies where LSP has the top of the head.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor

from ordlib.datasets import matlab
from ordlib.datasets.frames import require_files
from ordlib.datasets.photos import PhotoDataset, Photos
from ordlib.errors import InputError
from ordlib.skeleton import LSP14

FILE = "relative_depth_lsp_v1.json"
SPLITS = ("train", "test")

_RENAMED = {"nose": "head_top"}
_FOLDER = "lsp_dataset"


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
    content = _read(path)
    order = _joint_order(content["joint_names"], path)
    is_train = split == "train"
    items = [item for item in _items(content["images"], path) if item["is_train"] == is_train]
    if not items:
        raise InputError(f"{path}: expected images of the split {split}, found none")
    points, usable = _points(items)
    relations, annotated, contradictions = _relations([item["anns"] for item in items])
    if contradictions:
        warnings.warn(
            f"{path}: {contradictions} pairs have answers that contradict each other, and are left"
            " out; expected none",
            stacklevel=2,
        )
    names = [item["im_file"] for item in items]
    beside = (Path(root) / names[0]).is_file()
    folder = Path(root) if beside else Path(root) / _FOLDER
    require_files(folder, names)
    photos = Photos(
        part="lsp",
        files=[folder / name for name in names],
        keypoints_px=points[:, order],
        usable=usable[:, order],
        relations=relations[:, order][:, :, order],
        annotated=annotated[:, order][:, :, order],
        contradictions=contradictions,
    )
    return PhotoDataset("relative_depth_lsp", [photos], size, split)


def _read(path: Path) -> Mapping[str, Any]:
    """The content of the file, with lists under `joint_names` and `images`."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise InputError(f"{path}: expected a JSON file, found {found}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a JSON file, found damage ({error})") from error
    for key in ("joint_names", "images"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            found = ", ".join(content) if isinstance(content, dict) else type(content).__name__
            raise InputError(f"{path}: expected lists joint_names and images, found {found}")
    return content


def _joint_order(names: Sequence[Any], path: Path) -> list[int]:
    """Place in the file of each joint of LSP14."""
    plain = [_RENAMED.get(str(name), str(name)) for name in names]
    unknown = [
        str(name) for name, joint in zip(names, plain, strict=True) if joint not in LSP14.joints
    ]
    if unknown or len(set(plain)) != len(LSP14) or len(plain) != len(LSP14):
        raise InputError(
            f"{path}: joint_names: expected {', '.join(LSP14.joints)} in any order, with nose for"
            f" head_top, found {', '.join(map(str, names))}"
        )
    return [plain.index(joint) for joint in LSP14.joints]


def _items(images: Sequence[Any], path: Path) -> Sequence[Mapping[str, Any]]:
    """The images, checked one by one."""
    seen: set[str] = set()
    for number, item in enumerate(images):
        problem = _problem(item)
        if not problem and item["im_file"] in seen:
            problem = f"im_file: expected every image once, found {item['im_file']} twice"
        if problem:
            raise InputError(f"{path}: images[{number}]: {problem}")
        seen.add(item["im_file"])
    return images


def _problem(item: Any) -> str:
    """What is wrong with an image, empty if nothing is."""
    if not isinstance(item, dict):
        return f"expected an object, found {type(item).__name__}"
    if not isinstance(item.get("im_file"), str) or not item["im_file"]:
        return f"im_file: expected a name, found {item.get('im_file')!r}"
    if item.get("is_train") not in (True, False):
        return f"is_train: expected true or false, found {item.get('is_train')!r}"
    for key, length in (("keypoints", 2 * len(LSP14)), ("occluded", len(LSP14))):
        if not isinstance(item.get(key), list) or len(item[key]) != length:
            found = len(item[key]) if isinstance(item.get(key), list) else "none"
            return f"{key}: expected {length} numbers, found {found}"
    wrong = [value for value in item["keypoints"] if not _is_coordinate(value)]
    if wrong:
        return f"keypoints: expected coordinates in pixels, found {wrong[0]!r}"
    if not isinstance(item.get("anns"), list):
        return f"anns: expected a list, found {item.get('anns')!r}"
    return next(filter(None, map(_answer_problem, item["anns"])), "")


def _is_coordinate(value: Any) -> bool:
    """A number of pixels; NaN stands for a joint without a position."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and not abs(value) > 1e6


def _answer_problem(answer: Any) -> str:
    """What is wrong with an answer, empty if nothing is."""
    if not isinstance(answer, dict):
        return f"anns: expected objects, found {type(answer).__name__}"
    pair = answer.get("kp0"), answer.get("kp1")
    if not all(type(joint) is int and 0 <= joint < len(LSP14) for joint in pair):
        return f"anns: expected kp0 and kp1 of 0 to {len(LSP14) - 1}, found {pair}"
    if pair[0] == pair[1]:
        return f"anns: expected two joints, found kp0 = kp1 = {pair[0]}"
    if type(answer.get("label")) is bool or answer.get("label") not in (0, 1):
        return f"anns: expected the label 0 or 1, found {answer.get('label')!r}"
    return ""


def _points(
    items: Sequence[Mapping[str, Any]],
) -> tuple[Float[Tensor, "images 14 2"], Bool[Tensor, "images 14"]]:
    """Joints in project pixels and which of them have a position, occluded or not."""
    numbers = torch.tensor([item["keypoints"] for item in items], dtype=torch.float32)
    points = numbers.reshape(len(items), len(LSP14), 2)
    usable = ~points.isnan().any(-1) & (points != 0).any(-1)
    return torch.where(usable[..., None], points + matlab.ZERO_BASED, 0.0), usable


def _relations(
    answers: Sequence[Sequence[Mapping[str, int]]],
) -> tuple[Int8[Tensor, "images 14 14"], Bool[Tensor, "images 14 14"], int]:
    """Relations, annotated pairs and the number of contradicting pairs, joints as in the file.

    Label 0 says that kp0 is closer, label 1 that kp1 is.
    """
    joints = len(LSP14)
    said = torch.zeros(2, len(answers), joints, joints, dtype=torch.bool)
    for image, given in enumerate(answers):
        for answer in given:
            pair = answer["kp0"], answer["kp1"]
            closer, farther = pair[:: -1 if answer["label"] else 1]
            said[0, image, closer, farther] = said[1, image, farther, closer] = True
    contradicting = said[0] & said[1]
    annotated = (said[0] | said[1]) & ~contradicting
    relations = (said[0].to(torch.int8) - said[1].to(torch.int8)) * annotated
    return relations, annotated, int(contradicting.sum()) // 2
