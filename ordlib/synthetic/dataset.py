"""Loading the domains of the built-in benchmark; each split is rendered once and kept in files."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from ordlib.camera import project
from ordlib.data import META, PoseBatch, PoseDataset, no_pixels
from ordlib.errors import InputError
from ordlib.files import VERSION, digest, kept, outputs_folder, replacing
from ordlib.relations import relations_from_depth
from ordlib.scales import check_seed, get_scale
from ordlib.shapes import Joints2D, Joints3D
from ordlib.skeleton import H36M17, mean_limb_lengths
from ordlib.synthetic.domains import DOMAINS, Domain
from ordlib.synthetic.making import ORDINAL_JOINTS, Maker
from ordlib.synthetic.people import Motion

_DESCRIPTION = "description.json"


def load(
    name: str,
    split: str,
    scale: str,
    seed: int,
    *,
    motion: Motion | None = None,
    device: str = "cpu",
) -> PoseDataset:
    """A split of a domain; rendered when first asked for, then read from the outputs folder.

    Args:
        name: studio (splits train, test, and fit and val, which are train without S8 and S8
            alone), duo (train, validation), wild (train, val) or shift (test).
        split: see `name`.
        scale: a name in ordlib.scales.SCALES.
        seed: of poses, clothes, rooms, cameras and noise.
        motion: motion capture that the poses come from, in place of the built-in prior.
        device: where to render.

    Raises:
        InputError: unknown name, split or scale; a negative seed; too few clips; a folder that
            cannot be written.
    """
    domain, stored = _find(name, split)
    facts, sizes = domain.splits[stored], get_scale(scale)
    check_seed(seed)
    count = getattr(sizes, facts.size) // (2 if facts.halved else 1)
    key = [name, stored, seed, count, sizes.image_size, motion and motion.digest, VERSION]
    folder = outputs_folder(scale, "motion" if motion else None) / "data"
    folder /= f"{name}-{stored}-{digest(key)}"
    with kept(folder, lambda: _is_whole(folder)) as missing:
        if missing:
            maker = Maker(domain, stored, count, sizes.image_size, seed, motion, device)
            _write(folder, maker)
    names = json.loads((folder / _DESCRIPTION).read_text())["names"]
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
    people = (facts.views or {}).get(split, names["subject"])
    rows = np.isin(np.array(names["subject"])[arrays["meta"][:, 0]], people).nonzero()[0]
    images = arrays["images"]
    return PoseDataset(
        *(name, split, _labels(domain, arrays, names, rows)),
        lambda chosen: torch.from_numpy(images[rows[chosen]]),
        # means over the domain's training subjects; those of `studio` where it has none
        domain.limb_lengths_mm.mean(0) if name == "duo" else mean_limb_lengths(),
    )


def _labels(
    domain: Domain, arrays: Mapping[str, np.ndarray], names: dict[str, list[str]], rows: np.ndarray
) -> PoseBatch:
    labels = {key: torch.from_numpy(a[rows]) for key, a in arrays.items() if key != "images"}
    joints = labels.get("joints_mm")
    seen = torch.zeros(len(H36M17), dtype=torch.bool)
    seen[list(range(len(H36M17)) if domain.metric else ORDINAL_JOINTS)] = True
    pairs = seen[:, None] & seen & ~torch.eye(len(seen), dtype=torch.bool)
    codes = dict(zip(META, arrays["meta"][rows].T, strict=True))
    return PoseBatch(
        images=no_pixels(len(rows), arrays["images"].shape[-1]),
        keypoints_px=labels["keypoints_px"],
        visible=seen.expand(len(rows), -1),
        joints_mm=joints,
        relations=labels["relations"] if joints is None else relations_from_depth(joints[..., 2]),
        annotated=pairs.expand(len(rows), -1, -1),
        intrinsics=labels["intrinsics"],
        meta={k: np.array(names[k])[code] if k in names else code for k, code in codes.items()},
    )


def _is_whole(folder: Path) -> bool:
    """Whether the files are there in their sizes; the name of the folder says what is in them."""
    try:
        sizes = json.loads((folder / _DESCRIPTION).read_text())["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _write(folder: Path, maker: Maker) -> None:
    with replacing(folder) as temporary:
        temporary.mkdir()
        with ExitStack() as stack:
            files: dict[str, BinaryIO] = {}
            for arrays in maker.chunks():
                for name, array in arrays.items():
                    if name not in files:
                        path = temporary / f"{name}.npy"
                        files[name] = stack.enter_context(path.open("wb"))
                        header = np.lib.format.header_data_from_array_1_0(array)
                        header["shape"] = (maker.count, *array.shape[1:])
                        np.lib.format.write_array_header_1_0(files[name], header)
                    files[name].write(array.tobytes())
        sizes = {path.name: path.stat().st_size for path in temporary.iterdir()}
        description = json.dumps({"names": maker.names, "bytes": sizes})
        (temporary / _DESCRIPTION).write_text(description)


@dataclass(frozen=True)
class Skeletons:
    """Poses of people in front of cameras, without images."""

    joints_mm: Joints3D
    keypoints: Joints2D  # as fractions of the crop's side
    subject: np.ndarray  # name of each person
    action: np.ndarray  # and of what they do


def skeletons(
    name: str, split: str, count: int, seed: int, *, motion: Motion | None = None
) -> Skeletons:
    """The people that the images of a split with so many images show, without the images.

    For studies of poses alone. Those of `wild` are metric, which its images are not: nothing that
    trains on its images may see them.

    Args:
        name, split: a split of a domain that is made as such: no view.
        count: people wanted; another count gives other people.
        seed, motion: as for `load`.

    Raises:
        InputError: unknown name or split, fewer than one person, too few clips.
    """
    domain, stored = _find(name, split)
    check_seed(seed)
    if split != stored:
        raise InputError(f"split: {name} is made as {', '.join(domain.splits)}, found {split!r}")
    if count < 1:
        raise InputError(f"count: expected 1 or more, found {count}")
    maker = Maker(domain, stored, count, 1, seed, motion)
    people = list(maker.filmed())
    joints = torch.cat([chunk.joints_mm for chunk in people])
    keypoints = project(joints, torch.cat([chunk.intrinsics for chunk in people]))
    codes = torch.cat([chunk.meta for chunk in people])[:, :2].unbind(1)
    names = zip(("subject", "action"), codes, strict=True)
    return Skeletons(joints, keypoints, *(np.array(maker.names[k])[code] for k, code in names))


def _find(name: str, split: str) -> tuple[Domain, str]:
    """The domain, and the stored split that has this split. Raises InputError for other names."""
    if name not in DOMAINS:
        raise InputError(f"name: expected one of {', '.join(DOMAINS)}, found {name!r}")
    domain = DOMAINS[name]
    for stored, facts in domain.splits.items():
        if split in (stored, *(facts.views or ())):
            return domain, stored
    raise InputError(f"split: {name} has {', '.join(domain.split_names)}, found {split!r}")
