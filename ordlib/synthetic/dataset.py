"""Loading the domains of the built-in benchmark."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ordlib.camera import project
from ordlib.data import META, PoseBatch, PoseDataset, no_pixels
from ordlib.datasets import mocap as mocap_files
from ordlib.datasets.mocap import MotionCapture
from ordlib.errors import InputError
from ordlib.files import digest, outputs_folder
from ordlib.relations import relations_from_depth
from ordlib.scales import check_seed, get_scale
from ordlib.skeleton import H36M17, mean_limb_lengths
from ordlib.synthetic.cache import Chunks, fetch
from ordlib.synthetic.domains import DOMAINS, Domain
from ordlib.synthetic.making import ORDINAL_JOINTS, Maker

_MOTION = (".bvh", ".asf", ".amc")


class SyntheticDataset(PoseDataset):
    """One split of a domain; pixels are read from memory-mapped arrays."""

    def __init__(
        self,
        domain: Domain,
        split: str,
        arrays: dict[str, np.ndarray],
        names: dict[str, list[str]],
        rows: np.ndarray,
    ) -> None:
        labels = {k: torch.from_numpy(v[rows]) for k, v in arrays.items() if k != "images"}
        joints = labels.get("joints_mm")
        seen = torch.zeros(len(H36M17), dtype=torch.bool)
        seen[list(range(len(H36M17)) if domain.metric else ORDINAL_JOINTS)] = True
        pairs = seen[:, None] & seen & ~torch.eye(len(seen), dtype=torch.bool)
        images, codes = arrays["images"], arrays["meta"][rows].T
        batch = PoseBatch(
            images=no_pixels(len(rows), images.shape[-1]),
            keypoints_px=labels["keypoints_px"],
            visible=seen.expand(len(rows), -1),
            joints_mm=joints,
            relations=(
                labels["relations"] if joints is None else relations_from_depth(joints[..., 2])
            ),
            annotated=pairs.expand(len(rows), -1, -1),
            intrinsics=labels["intrinsics"],
            meta={
                key: column if key == "frame" else np.array(names[key])[column]
                for key, column in zip(META, codes, strict=True)
            },
        )
        super().__init__(
            *(domain.name, split, batch),
            lambda chosen: torch.from_numpy(images[rows[chosen]]),
            _training_lengths(domain),
        )


def load(
    name: str,
    split: str,
    scale: str,
    seed: int,
    *,
    mocap: str | Path | None = None,
    device: str = "cpu",
) -> SyntheticDataset:
    """A split of a domain; rendered when first asked for, then read from the outputs folder.

    Args:
        name: studio (splits train, test, and fit and val, which are train without S8 and S8
            alone), duo (train, validation), wild (train, val) or shift (test).
        split: see `name`.
        scale: a name in ordlib.scales.SCALES.
        seed: of poses, clothes, rooms, cameras and noise.
        mocap: folder of BVH files that the poses come from.
        device: where to render.

    Raises:
        InputError: unknown name, split or scale; a negative seed; unusable motion capture; a
            folder that cannot be written.
    """
    domain, stored = _find(name, split)
    sizes = get_scale(scale)
    check_seed(seed)
    count = getattr(sizes, domain.splits[stored].size) // (2 if domain.splits[stored].halved else 1)
    content = None if mocap is None else _content(Path(mocap))
    key = {
        **{"name": name, "split": stored, "seed": seed},
        **{"count": count, "size": sizes.image_size, "mocap": content},
    }

    def make() -> tuple[dict[str, list[str]], Chunks]:
        captured = None if mocap is None else _captured(Path(mocap), content)
        maker = Maker(domain, stored, count, sizes.image_size, seed, captured, device)
        return maker.names, maker.chunks()

    folder = outputs_folder(scale, mocap) / "data" / f"{name}-{stored}-{digest(key)}"
    arrays, names = fetch(folder, {**key, "source": fingerprint(mocap)}, count, make)
    people = (domain.splits[stored].views or {}).get(split, names["subject"])
    kept = np.isin(np.array(names["subject"])[arrays["meta"][:, 0]], people)
    return SyntheticDataset(domain, split, arrays, names, np.flatnonzero(kept))


@dataclass(frozen=True)
class Skeletons:
    """Poses of people in front of cameras, without images.

    Attributes:
        joints_mm: joints of H36M17 in the camera frame.
        keypoints: their 2D positions as fractions of the crop's side.
        action: name of each person's action.
    """

    joints_mm: Float[Tensor, "people joints 3"]
    keypoints: Float[Tensor, "people joints 2"]
    action: np.ndarray


def skeletons(
    name: str, split: str, count: int, seed: int, *, mocap: str | Path | None = None
) -> Skeletons:
    """The people that the images of a split with so many images show, without the images.

    For studies of poses alone. Those of `wild` are metric, which its images are not: nothing that
    trains on its images may see them.

    Args:
        name, split: a split of a domain that is made as such: no view.
        count: people wanted; another count gives other people.
        seed, mocap: as for `load`.

    Raises:
        InputError: unknown name or split, fewer than one person, unusable motion capture.
    """
    domain, stored = _find(name, split)
    check_seed(seed)
    if split != stored:
        raise InputError(f"split: {name} is made as {', '.join(domain.splits)}, found {split!r}")
    if count < 1:
        raise InputError(f"count: expected 1 or more, found {count}")
    captured = None if mocap is None else _captured(Path(mocap), _content(Path(mocap)))
    maker = Maker(domain, stored, count, 1, seed, captured)
    people = list(maker.filmed())
    joints = torch.cat([part.joints_mm for part in people])
    keypoints = project(joints, torch.cat([part.intrinsics for part in people]))
    action = np.array(maker.names["action"])[torch.cat([part.meta for part in people])[:, 1]]
    return Skeletons(joints, keypoints, action)


def _find(name: str, split: str) -> tuple[Domain, str]:
    """The domain, and the stored split that has this split. Raises InputError for other names."""
    if name not in DOMAINS:
        raise InputError(f"name: expected one of {', '.join(DOMAINS)}, found {name!r}")
    domain = DOMAINS[name]
    for stored, facts in domain.splits.items():
        if split in (stored, *(facts.views or ())):
            return domain, stored
    raise InputError(f"split: {name} has {', '.join(domain.split_names)}, found {split!r}")


def _training_lengths(domain: Domain) -> Float[Tensor, " bones"]:
    """Means over the domain's training subjects; those of `studio` where it has none."""
    if domain.name == "duo":
        return domain.limb_lengths_mm.mean(0)
    return mean_limb_lengths()


@lru_cache(maxsize=1)
def _captured(folder: Path, content: str | None) -> MotionCapture:
    """Poses of a folder with this content: several splits in a row share one reading."""
    return mocap_files.load(folder)


def _content(folder: Path) -> str:
    """Digest of the motion capture files of a folder, without reading what is in them.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    found = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    files = [path for path in found if path.suffix.lower() in _MOTION]
    if not files:
        mocap_files.load(folder)  # says what is wrong
    try:
        return digest(
            [(str(p.relative_to(folder)), _sha256(p, p.stat().st_mtime_ns)) for p in files]
        )
    except OSError as error:
        raise InputError(
            f"{error.filename}: could not be read: {error.strerror}; expected a BVH file"
        ) from error


@cache
def _sha256(path: Path, changed: int) -> str:
    """SHA-256 of a file as it was when it last changed."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fingerprint(mocap: str | Path | None = None) -> str:
    """Digest of all that the images of a scale and seed follow from: code and poses."""
    if mocap is None:
        return digest([_source(), None])
    reader = ("datasets/bvh.py", "datasets/mocap.py")
    return digest([_source(), _text(reader), _content(Path(mocap))])


@cache
def _source() -> str:
    """Digest of the code that makes the images, so that other code's images are not used."""
    folders = [f"{folder}/*.py" for folder in ("synthetic", "annotation")]
    return digest(_text(("camera.py", "relations.py", "skeleton.py", *folders)))


def _text(patterns: Sequence[str]) -> list[str]:
    package = Path(__file__).parents[1]
    return [path.read_text() for name in patterns for path in sorted(package.glob(name))]
