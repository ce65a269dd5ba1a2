"""Which data set plays which role: the real one where it is found, else its stand-in.

A folder of data may hold real data sets, which take their roles, and motion capture, which gives
the poses of the stand-ins. Only rows and tables whose roles are all played by real data sets are
made where there is one, so no column holds numbers of both kinds.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from os.path import commonpath
from pathlib import Path

import pandas as pd

from ordlib import synthetic
from ordlib.data import PoseDataset
from ordlib.datasets import mocap
from ordlib.datasets.mocap import MotionCapture
from ordlib.datasets.recognise import Layout, find
from ordlib.errors import InputError
from ordlib.experiments.rows import Row
from ordlib.files import digest
from ordlib.scales import get_scale

_ANNOTATIONS = (".h5", ".mat", ".npz", ".txt")
_MOTION, _POSES = "motion capture", "Human3.6M, poses"


@dataclass(frozen=True)
class Role:
    """A data set of the paper, whose part a stand-in plays where it is not there."""

    title: str  # as in `datasets.recognise.LAYOUTS`
    splits: tuple[str, ...]  # those that it has; scale and seed change nothing in them


ROLES: dict[str, Role] = {
    "studio": Role("Human3.6M", ("train", "test", "fit", "val")),
    "duo": Role("HumanEva-I", ("train", "validation")),
    "wild": Role("LSP + MPII Ordinal", ("train",)),
    "shift": Role("MPI-INF-3DHP", ("test",)),
}
"""The domains of the paper's argument, see `synthetic.DOMAINS`, and the data sets that they are."""


def data_folder(path: str | Path | None) -> str | None:
    """Absolute name of a folder with data sets or motion capture, wherever it was named from."""
    if not path:
        return None
    folder = str(Path(path).resolve())
    if not real(folder) and not motion_folder(folder) and not poses_folder(folder):
        expected = ", ".join([*(role.title for role in ROLES.values()), _POSES, _MOTION])
        there = sorted({layout.name for layout, _ in _recognised(folder)})
        raise InputError(
            f"{folder}: expected one or more of {expected}, found {', '.join(there)} alone"
        )
    return folder


@cache
def _recognised(data: str) -> list[tuple[Layout, Path]]:
    return find(data) if data else []


def real(data: str | None) -> Mapping[str, tuple[Layout, Path]]:
    """For each role that a real data set plays, what reads it and where it lies."""
    there = {layout.name: (layout, folder) for layout, folder in reversed(_recognised(data or ""))}
    return {name: there[role.title] for name, role in ROLES.items() if role.title in there}


def motion_folder(data: str | None) -> str | None:
    """The folder that all motion capture lies in; None where there is none."""
    folders = [str(folder) for layout, folder in _recognised(data or "") if layout.name == _MOTION]
    return commonpath(folders) if folders else None


def poses_folder(data: str | None) -> Path | None:
    """The folder of Human3.6M's poses without images (notebook 17); None where there is none."""
    places = (folder for layout, folder in _recognised(data or "") if layout.name == _POSES)
    return next(places, None)


def motion(data: str | None) -> MotionCapture | None:
    """The motion capture that gives the stand-ins' poses; None where there is none."""
    folder = motion_folder(data)
    return _captured(folder, fingerprint("", data)) if folder else None


@lru_cache(maxsize=1)
def _captured(folder: str, content: str) -> MotionCapture:
    """Motion capture of a folder; read once for the same content."""
    return mocap.load(folder)


def describe(data: str | None = None) -> pd.DataFrame:
    """What plays each role: columns `data set of the paper`, `played by` and `folder`."""
    found, captured = real(data), motion_folder(data)
    stand_in = "stand-in, in no table here" if found else "stand-in"
    folder = str(Path(captured).relative_to(data or "")) if captured else ""
    records = {
        name: {
            "data set of the paper": role.title,
            "played by": role.title if name in found else stand_in,
            "folder": str(found[name][1].relative_to(data or "")) if name in found else folder,
        }
        for name, role in ROLES.items()
    }
    return pd.DataFrame.from_dict(records, orient="index").rename_axis("role")


def summary(data: str) -> str:
    """One line on what is there and what is not."""
    found, captured = real(data), motion_folder(data)
    parts = [f"{name} is {ROLES[name].title} in {folder}" for name, (_, folder) in found.items()]
    if poses := motion(data):
        parts.append(f"poses of stand-ins are from {captured}")
        parts += [poses.caveat] if poses.caveat else []
    if poses_folder(data):
        parts.append(f"{_POSES}, in {poses_folder(data)}, for notebook 17")
    if missing := lacking(ROLES, data):
        parts.append(f"no {', '.join(missing)}: stand-ins alone, with which no table here is mixed")
    return f"Data: {'; '.join(parts)}"


def lacking(roles: Iterable[str], data: str | None) -> list[str]:
    """Data sets of these roles that are not beside the real ones of a folder; none without any."""
    found = real(data) or ROLES
    missing = [name for name in dict.fromkeys(roles) if name not in found]
    return [f"{ROLES[name].title} ({name})" for name in missing]


def training_roles(row: Row) -> tuple[str, ...]:
    """The roles whose images a row learns from."""
    return (row.home, "wild") if row.wild else (row.home,)


def require(row: Row, data: str | None) -> None:
    """Raises InputError if some of the images that a row learns from would be a stand-in's."""
    if missing := lacking(training_roles(row), data):
        raise InputError(
            f"data: expected {' and '.join(missing)} in {data}, which {row.id} learns from, found"
            " none; without a folder of data sets it learns from stand-ins"
        )


def tests(row: Row, data: str | None) -> dict[str, str]:
    """Test split of each domain that a row is evaluated on: all real, or all stand-ins."""
    found = real(data)
    return {
        name: split
        for name, split in row.tests().items()
        if not found or (name in found and split in ROLES[name].splits)
    }


def fingerprint(name: str, data: str | None) -> str:
    """Digest of names, sizes and times of the files that the data set of a role follows from."""
    if name in real(data):
        layout, folder = real(data)[name]
        places = {file.parent for marker in layout.markers for file in folder.glob(marker)}
        files = [f for place in places for f in place.iterdir() if f.suffix in _ANNOTATIONS]
    elif captured := motion_folder(data):
        folder = Path(captured)
        files = [file for file in folder.rglob("*") if file.is_file()]
    else:
        return "stand-in"
    facts = [(file.relative_to(folder).as_posix(), file.stat()) for file in sorted(files)]
    return digest([(path, status.st_size, int(status.st_mtime)) for path, status in facts])


def load(
    domain: str,
    split: str,
    scale: str,
    seed: int,
    *,
    data: str | None = None,
    device: str = "cpu",
) -> PoseDataset:
    """The split of the real data set of a role, whole; where there is none, of its stand-in.

    See `synthetic.load`; of a real data set, the scale decides the size of the crops. Raises
    InputError for an unknown name, split or scale, and files that cannot be used.
    """
    size = get_scale(scale).image_size
    if domain not in real(data):
        return synthetic.load(domain, split, scale, seed, motion=motion(data), device=device)
    role = ROLES[domain]
    if split not in role.splits:
        raise InputError(
            f"split: {role.title} ({domain}) has {', '.join(role.splits)}, found {split!r}"
        )
    return _read(domain, split, size, data or "", fingerprint(domain, data))


@lru_cache(maxsize=8)
def _read(domain: str, split: str, size: int, data: str, content: str) -> PoseDataset:
    """A real split; read once for the same content."""
    layout, folder = real(data)[domain]
    module = importlib.import_module(f"ordlib.datasets.{layout.loader}")
    options = {"split": split} if len(ROLES[domain].splits) > 1 else {}
    return module.load(folder, size=size, **options)
