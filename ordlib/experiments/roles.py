"""Which data set plays which role: the real one where it is found, else its stand-in.

Results with real data lie in a folder of their own, and only rows and tables whose roles are all
played by real data sets are made there, so no column holds numbers of both kinds.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ordlib import reconstruction, synthetic
from ordlib.camera import project
from ordlib.data import PoseBatch, PoseDataset
from ordlib.datasets.frames import FrameDataset
from ordlib.datasets.recognise import Layout, find
from ordlib.distributed import resolve_device
from ordlib.errors import InputError
from ordlib.experiments.rows import Row
from ordlib.files import VERSION, digest, locked, outputs_folder
from ordlib.networks import ReconstructionNet
from ordlib.scales import check_seed, get_scale
from ordlib.skeleton import H36M17
from ordlib.training import load_weights, save_weights

_PACKAGE = Path(__file__).parents[1]
_ANNOTATIONS = (".h5", ".mat", ".npz", ".txt")
_SHARED_READERS = ("frames", "photos", "pinhole", "matlab", "npz", "hdf5")
"""Modules of `datasets` that several loaders read with."""


@dataclass(frozen=True)
class Role:
    """A data set of the paper, whose part a stand-in plays where it is not there.

    Attributes:
        title: its name, as in `datasets.recognise.LAYOUTS`.
        splits: those that it has; scale and seed change nothing in them.
    """

    title: str
    splits: tuple[str, ...]


ROLES: dict[str, Role] = {
    "studio": Role("Human3.6M", ("train", "test", "fit", "val")),
    "duo": Role("HumanEva-I", ("train", "validation")),
    "wild": Role("LSP + MPII Ordinal", ("train",)),
    "shift": Role("MPI-INF-3DHP", ("test",)),
}
"""The domains of the paper's argument, see `synthetic.DOMAINS`, and the data sets that they are."""


def mocap_folder(path: str | Path | None) -> str | None:
    """Absolute name of a folder of motion capture, the same from wherever it was named."""
    if path and not Path(path).is_dir():
        raise InputError(
            f"mocap: expected a folder of BVH or ASF/AMC files, found no folder {path}"
        )
    return str(Path(path).resolve()) if path else None


def data_folder(path: str | Path | None) -> str | None:
    """Absolute name of a folder of data sets, the same from wherever it was named.

    Raises:
        InputError: there is no such folder, or no data set in it.
    """
    if not path:
        return None
    locate(str(Path(path).resolve()))
    return str(Path(path).resolve())


@cache
def locate(data: str) -> Mapping[str, tuple[Layout, Path]]:
    """For each role that a data set in or below the folder plays, what reads it and where it lies.

    Raises:
        InputError: there is no such folder, or no data set in it that plays a role.
    """
    there = {layout.name: (layout, folder) for layout, folder in reversed(find(data))}
    found = {name: there[role.title] for name, role in ROLES.items() if role.title in there}
    if not found:
        expected = ", ".join(role.title for role in ROLES.values())
        raise InputError(
            f"{data}: expected one or more of {expected}, found {', '.join(sorted(there))} alone"
        )
    return found


def describe(data: str | None = None) -> pd.DataFrame:
    """What plays each role: columns `data set of the paper`, `played by` and `folder`."""
    found = locate(data) if data else {}
    stand_in = "stand-in, in no table here" if data else "stand-in"
    records = {
        name: {
            "data set of the paper": role.title,
            "played by": role.title if name in found else stand_in,
            "folder": str(found[name][1].relative_to(data or "")) if name in found else "",
        }
        for name, role in ROLES.items()
    }
    return pd.DataFrame.from_dict(records, orient="index").rename_axis("role")


def summary(data: str) -> str:
    """One line on what is there and what is not."""
    found = locate(data)
    there = [f"{name} is {ROLES[name].title} in {folder}" for name, (_, folder) in found.items()]
    line = f"Data: {'; '.join(there)}"
    missing = lacking(ROLES, data)
    if missing:
        line += f"; no {', '.join(missing)}: stand-ins alone, with which no table here is mixed"
    return line


def lacking(roles: Iterable[str], data: str | None) -> list[str]:
    """Data sets of these roles that are not in a folder of data sets; none without a folder."""
    found = locate(data) if data else ROLES
    missing = [name for name in dict.fromkeys(roles) if name not in found]
    return [f"{ROLES[name].title} ({name})" for name in missing]


def training_roles(row: Row) -> tuple[str, ...]:
    """The roles whose images a row learns from."""
    return (row.home, "wild") if row.wild else (row.home,)


def playable(row: Row, data: str | None) -> Row:
    """The row with those test sets alone that are of the kind that it is trained on.

    Raises:
        InputError: some of the images that it learns from would be a stand-in's, others real.
    """
    if not data:
        return row
    missing = lacking(training_roles(row), data)
    if missing:
        raise InputError(
            f"data: expected {' and '.join(missing)} in {data}, which {row.id} learns from, found"
            " none; without a folder of data sets it learns from stand-ins"
        )
    tests = [
        name
        for name, split in row.tests().items()
        if name in locate(data) and split in ROLES[name].splits
    ]
    return replace(row, domains=tuple(tests))


def learned(row: Row, data: str) -> dict[str, dict[str, str]]:
    """What is in the real data sets that a row learns from; see `playable` for errors."""
    playable(row, data)
    return {name: fingerprint(name, data) for name in training_roles(row)}


def tested(row: Row, data: str) -> dict[str, dict[str, str]]:
    """What is in the real data sets that a row is tested on."""
    return {name: fingerprint(name, data) for name in playable(row, data).domains}


def fingerprint(name: str, data: str) -> dict[str, str]:
    """The real data set of a role, a digest of the names, sizes and times of its annotations, and
    one of the code that reads it.

    Raises:
        InputError: there is none.
    """
    found = locate(data)
    if name not in found:
        raise InputError(f"data: expected {ROLES[name].title} ({name}) in {data}, found none")
    layout, folder = found[name]
    places = {file.parent for marker in layout.markers for file in folder.glob(marker)}
    beside = [file for place in places for file in place.iterdir() if file.suffix in _ANNOTATIONS]
    beside += [file for pattern in layout.beside for file in folder.glob(pattern)]
    files = [(file.relative_to(folder).as_posix(), file.stat()) for file in sorted(beside)]
    facts = [(path, status.st_size, int(status.st_mtime)) for path, status in files]
    shared = [f"datasets/{name}.py" for name in _SHARED_READERS]
    readers = (*shared, "images.py", f"datasets/{layout.loader}*.py")
    code = [path.read_text() for reader in readers for path in sorted(_PACKAGE.glob(reader))]
    return {"name": layout.loader, "files": digest(facts), "code": digest(code)}


def load(
    domain: str,
    split: str,
    scale: str,
    seed: int,
    *,
    mocap: str | None = None,
    data: str | None = None,
    device: str = "cpu",
) -> PoseDataset:
    """The split of the real data set of a role, whole; where there is none, of its stand-in.

    Args:
        domain: a name in `ROLES`.
        split, scale, seed, mocap, device: see `synthetic.load`; of a real data set, the scale
            decides the size of the crops.
        data: folder of data sets; None for stand-ins alone.

    Raises:
        InputError: unknown name, split or scale; files that cannot be used.
    """
    size = get_scale(scale).image_size
    if not data or domain not in locate(data):
        return synthetic.load(domain, split, scale, seed, mocap=mocap, device=device)
    role = ROLES[domain]
    if split not in role.splits:
        raise InputError(
            f"split: {role.title} ({domain}) has {', '.join(role.splits)}, found {split!r}"
        )
    return _read(domain, split, size, data, fingerprint(domain, data)["files"])


@lru_cache(maxsize=8)
def _read(domain: str, split: str, size: int, data: str, content: str) -> PoseDataset:
    """A real split; read once for the same content."""
    layout, folder = locate(data)[domain]
    module = importlib.import_module(f"ordlib.datasets.{layout.loader}")
    options = {"split": split} if len(ROLES[domain].splits) > 1 else {}
    return module.load(folder, size=size, **options)


def labels(dataset: PoseDataset, indices: np.ndarray) -> PoseBatch:
    """Samples for those who need no pixels: where image files would be decoded, crops are black."""
    if isinstance(dataset, FrameDataset):
        return dataset.batch(indices, pixels=False)
    return dataset.batch(indices)


def component(
    scale: str,
    seed: int,
    device: str = "auto",
    mocap: str | None = None,
    domain: str = "studio",
    data: str | None = None,
) -> ReconstructionNet:
    """The reconstruction component, trained on the poses of a role: read if it is done.

    Real poses are taken before the cameras that filmed them. See `reconstruction.component`.

    Raises:
        InputError: also where the role's real data set is not there or has no 3D poses.
    """
    if not data:
        return reconstruction.component(scale, seed, device, mocap, domain)
    check_seed(seed)
    config = reconstruction.CONFIGS[get_scale(scale).name]
    key = digest([asdict(config), VERSION, fingerprint(domain, data)])
    folder = outputs_folder(scale, data=data) / "runs"
    folder /= f"reconstruction-{domain}-seed{seed}-{key}"
    network = ReconstructionNet(len(H36M17), config.width, dropout=config.dropout)
    path = folder / "weights.safetensors"
    if not path.exists():
        with locked(folder):  # a second process waits here, and then finds it done
            if not path.exists():
                poses = _training_poses(domain, scale, data)
                trained = reconstruction.fit(poses, config, seed, resolve_device(device))
                save_weights(path, trained, folder.name)
    load_weights(path, network, folder.name)
    return network.eval()


def _training_poses(domain: str, scale: str, data: str) -> reconstruction.Skeletons:
    """The people of a real training split before the cameras that filmed them."""
    dataset = load(domain, "train", scale, 0, data=data)
    if not isinstance(dataset, FrameDataset):
        raise InputError(
            f"domain: expected one with 3D poses to learn from, found {domain!r}"
            f" ({ROLES[domain].title})"
        )
    joints, intrinsics = dataset.frames.joints_mm, dataset.frames.intrinsics
    return reconstruction.Skeletons(joints, project(joints, intrinsics), intrinsics)
