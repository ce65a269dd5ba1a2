"""Where the 2D joints of a folder come from: a file, or the clicks of annotators."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ordlib.errors import InputError
from ordlib.labelling.files import LabelledJoints, read_joints
from ordlib.labelling.journal import Event, active
from ordlib.labelling.labels import JOINTS, Clicks, Labels
from ordlib.labelling.photographs import Photographs

JOINT_FILES = ("joints.mat", "joints.json", "joints.csv")


def find_joints(folder: Path, file: Path | None) -> Path | None:
    """The file of joints: `file`, or `joints.mat`, `.json` or `.csv` of the folder, or None.

    Raises:
        InputError: the folder has several.
    """
    if file is not None:
        return file.expanduser()
    found = [folder / name for name in JOINT_FILES if (folder / name).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise InputError(f"{folder}: expected one file of joints, found {names}; name one")
    return found[0] if found else None


def joints_of(found: Photographs, file: Path | None) -> LabelledJoints | None:
    """The joints that a file has of the images that can be shown; None without a file.

    Columns of a file may be numbered by all images, so those that cannot be shown count too.

    Raises:
        InputError: a file that cannot be used, or that has no joint inside its image.
    """
    if file is None:
        return None
    sizes = torch.zeros(len(found.files), 2, dtype=torch.int64)
    sizes[found.rows] = found.sizes
    joints = read_joints(file, found.files, sizes).of(found.rows)
    if not joints.present.any():
        raise InputError(f"{file}: expected joints that lie inside the images, found none")
    return joints


@dataclass(frozen=True)
class Clicked:
    """All joints of one image, clicked by one annotator.

    Attributes:
        image: file name.
        annotator: who clicked.
        points: by joint; None for a joint that is not there.
        time: of the last click, ISO 8601.
    """

    image: str
    annotator: str
    points: Clicks
    time: str


def clicked_images(journals: Mapping[str, Sequence[Event]]) -> list[Clicked]:
    """The images whose joints an annotator clicked to the last one, in the order of time."""
    found = []
    for annotator, events in journals.items():
        clicks: dict[str, list[Event]] = defaultdict(list)
        for event in active(events):
            if event["kind"] == "joint":
                clicks[event["image"]].append(event)
        for image, of_image in clicks.items():
            points = {event["joint"]: event["point"] for event in of_image}
            if len(points) == JOINTS:
                found.append(Clicked(image, annotator, points, str(of_image[-1].get("time"))))
    return sorted(found, key=lambda clicked: clicked.time)


def labels_of(
    images: Sequence[Path],
    joints: LabelledJoints | None,
    strategy: str,
    others: Mapping[str, Sequence[Event]],
) -> Labels:
    """Labels without events, with the joints of the file or those that others clicked first."""
    labels = Labels((path.name for path in images), joints, strategy)
    for clicked in clicked_images(others):
        labels.place(clicked.image, clicked.points)
    return labels
