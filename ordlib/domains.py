"""Which data set plays which role: the real one where it is found, else its stand-in.

Results with real data lie in a folder of their own, and only rows and tables whose roles are all
played by real data sets are made there, so no column holds numbers of both kinds.
"""

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ordlib import reconstruction, synthetic
from ordlib.camera import project
from ordlib.datasets.frames import FrameDataset
from ordlib.devices import resolve_device
from ordlib.errors import InputError
from ordlib.files import digest, locked, outputs_folder
from ordlib.networks import ReconstructionNet
from ordlib.rows import Row
from ordlib.sample import PoseBatch, PoseDataset
from ordlib.scales import check_seed, get_scale
from ordlib.skeleton import H36M17
from ordlib.training import load_weights, save_weights

_DEPTHS = ("", "*/", "*/*/")  # folders in which a data set may lie


def _is_human36m(folder: Path) -> bool:
    """Whether a folder with an `annot` like those of Human3.6M and MPII is the former's."""
    lists = sorted(folder.glob("annot/*_images.txt"))
    if not lists:
        return not (folder / "annot").is_dir()
    with lists[0].open(encoding="utf-8", errors="replace") as file:
        return re.match(r"S\d+_", file.readline()) is not None


@dataclass(frozen=True)
class Role:
    """A data set of the paper, whose part a stand-in plays where it is not there.

    Attributes:
        title: its name in the paper.
        loader: the module of `ordlib.datasets` that reads it.
        splits: those that it has; `seed` and scale change nothing in them.
        annotations: patterns of its annotation files, by which it is found.
        options: what else the loader is told.
        accepts: whether a folder with such files is it.
    """

    title: str
    loader: str
    splits: tuple[str, ...]
    annotations: tuple[str, ...]
    options: Mapping[str, Any]
    accepts: Callable[[Path], bool] = Path.is_dir


ROLES: dict[str, Role] = {
    "studio": Role(
        "Human3.6M",
        "human36m",
        ("train", "test", "fit", "val"),
        ("annot/*.h5", "annot/*.mat", "annot/*_images.txt", "S*/*/annot.h5"),
        {},
        _is_human36m,
    ),
    "duo": Role(
        "HumanEva-I",
        "humaneva",
        ("train", "validation"),
        ("data_[23]d_humaneva15*.npz",),
        # who names the folder trusts it this far: nothing but arrays can come out of these pickles
        {"trust_pickle": True},
    ),
    "wild": Role(
        "LSP + MPII Ordinal",
        "lsp_mpii_ordinal",
        ("train",),
        tuple(
            f"{half}/{name}.mat"
            for half in ("lsp_dataset_original", "mpii_upis1h")
            for name in ("ordinal", "joints")
        ),
        {},
    ),
    "shift": Role("MPI-INF-3DHP", "mpi_inf_3dhp", ("test",), ("TS[1-6]/annot_data*.mat",), {}),
}
"""The domains of the paper's argument, see `synthetic.DOMAINS`, and the data sets that they are."""


def mocap_folder(path: str | Path | None) -> str | None:
    """Absolute name of a folder of motion capture, the same from wherever it was named."""
    if path and not Path(path).is_dir():
        raise InputError(f"mocap: expected a folder of BVH files, found no folder {path}")
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
def locate(data: str) -> Mapping[str, Path]:
    """The folder of each role's real data set, in `data` or up to two folders below it.

    Raises:
        InputError: there is no such folder, or no data set in it.
    """
    root = Path(data)
    if not root.is_dir():
        raise InputError(f"data: expected a folder of data sets, found no folder {data}")
    found = {name: _find(root, role) for name, role in ROLES.items()}
    if not any(found.values()):
        expected = ", ".join(f"{r.title} ({', '.join(r.annotations)})" for r in ROLES.values())
        raise InputError(f"{data}: expected one or more of {expected}, found none of them")
    return {name: folder for name, folder in found.items() if folder}


def _find(root: Path, role: Role) -> Path | None:
    for depth in _DEPTHS:
        for pattern in role.annotations:
            for file in sorted(root.glob(depth + pattern)):
                folder = file.parents[pattern.count("/")]
                if role.accepts(folder):
                    return folder
    return None


def describe(data: str | None = None) -> pd.DataFrame:
    """What plays each role: columns `data set of the paper`, `played by` and `folder`."""
    found = locate(data) if data else {}
    records = {
        name: {
            "data set of the paper": role.title,
            "played by": role.title if name in found else "stand-in",
            "folder": str(found[name].relative_to(data or "")) if name in found else "",
        }
        for name, role in ROLES.items()
    }
    return pd.DataFrame.from_dict(records, orient="index").rename_axis("role")


def summary(data: str) -> str:
    """One line on what is there and what is not."""
    found = locate(data)
    line = "Data: " + "; ".join(f"{name} is {ROLES[name].title} in {found[name]}" for name in found)
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
    """The real data set of a role, and a digest of the names, sizes and times of its annotations.

    Raises:
        InputError: there is none.
    """
    role, folder = ROLES[name], _folder(name, data)
    files = sorted({file for pattern in role.annotations for file in folder.glob(pattern)})
    status = [(file.relative_to(folder).as_posix(), file.stat()) for file in files]
    facts = [(path, facts.st_size, int(facts.st_mtime)) for path, facts in status]
    return {"name": role.loader, "digest": digest(facts)}


def _folder(name: str, data: str) -> Path:
    found = locate(data)
    if name not in found:
        raise InputError(f"data: expected {ROLES[name].title} ({name}) in {data}, found none")
    return found[name]


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
    return _read(domain, split, size, data, fingerprint(domain, data)["digest"])


@lru_cache(maxsize=8)
def _read(domain: str, split: str, size: int, data: str, content: str) -> PoseDataset:
    """A real split; read once for the same content."""
    role, folder = ROLES[domain], locate(data)[domain]
    module = importlib.import_module(f"ordlib.datasets.{role.loader}")
    options = {"split": split} if len(role.splits) > 1 else {}
    return module.load(folder, size=size, **options, **role.options)


def labels(dataset: PoseDataset, indices: np.ndarray) -> PoseBatch:
    """Samples for those who need no pixels: where image files would be decoded, crops are black."""
    if isinstance(dataset, FrameDataset):
        return dataset.batch(indices, pixels=False)
    return dataset.batch(indices)


_MODULES = ("camera", "domains", "losses", "networks", "reconstruction", "skeleton", "training")
"""What the weights of a component follow from, beside its configuration and the poses."""


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
    source = [(Path(__file__).parent / f"{name}.py").read_text() for name in _MODULES]
    key = digest([asdict(config), digest(source), fingerprint(domain, data)])
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
