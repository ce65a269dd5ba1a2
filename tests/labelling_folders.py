"""Folders of made-up photographs with known joints and depths, for tests of the annotation tool."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ordlib.labelling.joints import write_joints
from ordlib.skeleton import LSP14

NAMES = ("b sofa.jpg", "a.png", "ü jump.JPG")


def make_folder(
    folder: Path, names: tuple[str, ...] = NAMES, seed: int = 0, joints: bool = True
) -> dict[str, np.ndarray]:
    """Write noise as images and `joints.csv`; return the depth rank of each joint, by image.

    Ranks are tied here and there. Of the last image two joints are missing.
    """
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(folder / name for name in names)
    points = torch.zeros(len(paths), len(LSP14), 2)
    present = torch.ones(len(paths), len(LSP14), dtype=torch.bool)
    for row, path in enumerate(paths):
        width, height = 120 + 20 * (row % 4), 160 - 10 * (row % 4)
        pixels = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        places = generator.uniform(0.15, 0.85, (len(LSP14), 2)) * [width, height]
        points[row] = torch.from_numpy(places)
    present[-1, [0, 6]] = False
    if joints:
        names = [path.name for path in paths]
        write_joints(folder / "joints.csv", names, points, present)
    return {path.name: generator.integers(0, 9, len(LSP14)) for path in paths}


def truth(ranks: np.ndarray, first: str, second: str) -> str:
    """The answer of somebody who sees the depths."""
    difference = ranks[LSP14.index(second)] - ranks[LSP14.index(first)]
    return ("farther", "ambiguous", "closer")[int(np.sign(difference)) + 1]


def true_relations(ranks: np.ndarray) -> np.ndarray:
    """r(i, j) of Section 3.1 from ranks: +1 where joint i is closer."""
    return np.sign(ranks[None, :] - ranks[:, None])


def shown(session):
    """Image and pair of the current question by name, or None."""
    question = session.current()
    if question is None:
        return None
    return session.pictures.names[question.row], *(LSP14.joints[j] for j in question.pair or ())


def answer_truly(session, ranks, count=10_000):
    """Answer up to `count` questions from the depths; the questions."""
    asked = []
    while (now := shown(session)) is not None and len(asked) < count:
        image, first, second = now
        session.answer(truth(ranks[image], first, second), 1.0)
        asked.append(now)
    return asked


def change_joints(folder, image, joint, place):
    """Write another place of a joint, or none, into `joints.csv`."""
    path = folder / "joints.csv"
    lines = path.read_text("utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(f"{image},{joint},")]
    x, y = place or ("", "")
    path.write_text("\n".join([*kept, f"{image},{joint},{x},{y}"]), "utf-8")
