"""Which of the data sets that this project reads lie below a folder, and whether they can be used.

A data set is told by the names of its annotation files; its own loader then reads all of it but the
pixels, so that a problem is found before a training is.
"""

import importlib
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ordlib.errors import InputError
from ordlib.files import is_hidden

_DEPTH = 4
_FULL_OF_IMAGES = {"images", "imageSequence"}


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk."""

    name: str  # of the data set
    loader: str  # the module of `ordlib.datasets` that reads it; empty where none does
    markers: tuple[str, ...]  # patterns of its annotation files; one file is enough
    splits: tuple[str, ...] = ()  # what its loader calls its parts
    accepts: Callable[[Path], bool] = Path.is_dir  # a folder, where names alone do not tell
    function: str = "load"  # of the loader


@dataclass(frozen=True)
class Found:
    """A data set that was recognised."""

    name: str
    folder: Path  # what its loader was given
    loader: str  # the module of `ordlib.datasets` that reads it
    samples: Mapping[str, int]  # number by split, of the splits that can be used
    problem: str | None  # why the others cannot, split by split; None if all can
    warnings: tuple[str, ...]  # what the loader warned of


def _is_human36m(folder: Path) -> bool:
    """Human3.6M and MPII both have `annot`; the images of the former are named by subject."""
    if any(_visible(folder, "S*/*/annot.h5")):
        return True
    for path in _visible(folder, "annot/*_images.txt"):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                return re.match(r"S\d+_", file.readline(200)) is not None
        except OSError:
            return False
    return any(_visible(folder, "images/S*_*"))


def _is_mpii(folder: Path) -> bool:
    """The MATLAB file may lie in a folder of its own beside the images."""
    if any(_visible(folder, "annot/*.h5")):
        return not _is_human36m(folder)
    return (folder / "images").is_dir() or any(_visible(folder, _MPII_FILE))


def _is_lspet(folder: Path) -> bool:
    """The halves of LSP + MPII Ordinal have a `joints.mat` too, and so has LSP itself."""
    others = (folder / "ordinal.mat", folder / "images" / "im0001.jpg")
    return folder.name not in _HALVES and not any(path.exists() for path in others)


_HALVES = ("lsp_dataset_original", "mpii_upis1h")
_MPII_FILE = "mpii_human_pose*.mat"
_H36M_FILES = ("annot/*.h5", "annot/*_images.txt", "S*/*/annot.h5")
_ORDINAL_FILES = tuple(f"{half}/{name}.mat" for half in _HALVES for name in ("joints", "ordinal"))

LAYOUTS = (
    Layout("Human3.6M", "human36m", _H36M_FILES, ("train", "test"), _is_human36m),
    Layout(
        "Human3.6M, poses",
        "human36m",
        ("S*/MyPoses/3D_positions/*.h5", "data_3d_h36m.npz"),
        ("train", "test"),
        function="poses",
    ),
    Layout("HumanEva-I", "humaneva", ("data_3d_humaneva15*.npz",), ("train", "validation")),
    Layout("MPI-INF-3DHP", "mpi_inf_3dhp", ("TS[1-6]/annot_data*.mat",)),
    Layout("LSP + MPII Ordinal", "lsp_mpii_ordinal", ("ordinal.mat", *_ORDINAL_FILES)),
    Layout("LSP Extended", "lspet", ("joints.mat",), accepts=_is_lspet),
    Layout("MPII", "", ("annot/*.h5", _MPII_FILE, f"*/{_MPII_FILE}"), accepts=_is_mpii),
    Layout(
        "Relative Depth LSP",
        "relative_depth_lsp",
        ("relative_depth_lsp_v1.json",),
        ("train", "test"),
    ),
    Layout("motion capture", "mocap", ("*.bvh",)),
    Layout("ASF/AMC", "", ("*.amc", "*/*.asf")),
)
"""What is looked for, and what is known and not read."""


def recognise(root: str | Path) -> list[Found]:
    """The data sets in or below a folder with what their loaders say; see `find` for errors."""
    return [_read(layout, folder) for layout, folder in find(root)]


def find(root: str | Path) -> list[tuple[Layout, Path]]:
    """The data sets in a folder or up to four folders below it, and where each lies.

    Hidden folders and folders of images are not searched; links are followed. A data set inside one
    of the same kind is part of that.

    Raises:
        InputError: there is no such folder, or no data set in it; the message says what is looked
            for.
    """
    root = Path(root)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise InputError(f"{root}: expected a folder of data sets, found {found}")
    places: dict[Path, list[Layout]] = {}
    for folder in _folders(root, _DEPTH, set()):
        above = [layout for place in folder.parents for layout in places.get(place, [])]
        fitting = [item for item in LAYOUTS if item not in above and _fits(item, folder)]
        places[folder] = fitting
    found_sets = [(layout, place) for place, fitting in places.items() for layout in fitting]
    if not found_sets:
        read = [layout for layout in LAYOUTS if layout.loader]
        expected = "; ".join(f"{layout.name}: {' or '.join(layout.markers)}" for layout in read)
        raise InputError(f"{root}: expected one of these in or below it, found none: {expected}")
    return found_sets


def _folders(folder: Path, depth: int, seen: set[str]) -> Iterator[Path]:
    """A folder and those below it, each once however many links lead there."""
    seen.add(os.path.realpath(folder))
    yield folder
    try:
        below = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:  # somebody else's folder
        return
    for name in below if depth else []:
        if (
            name not in _FULL_OF_IMAGES
            and not is_hidden(name)
            and os.path.realpath(folder / name) not in seen
        ):
            yield from _folders(folder / name, depth - 1, seen)


def _visible(folder: Path, pattern: str) -> Iterator[Path]:
    """Files by a pattern, without hidden ones and what macOS leaves in archives."""
    for path in sorted(folder.glob(pattern)):
        if not any(map(is_hidden, path.relative_to(folder).parts)):
            yield path


def _fits(layout: Layout, folder: Path) -> bool:
    marked = any(any(_visible(folder, marker)) for marker in layout.markers)
    return marked and layout.accepts(folder)


def _read(layout: Layout, folder: Path) -> Found:
    """What the loader makes of a folder, split by split."""
    if not layout.loader:
        return Found(layout.name, folder, "", {}, "this format is not read", ())
    module = importlib.import_module(f"ordlib.datasets.{layout.loader}")
    samples: dict[str, int] = {}
    problems: dict[str, list[str]] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for split in layout.splits or ("",):
            chosen = {"split": split} if split else {}
            try:
                data = getattr(module, layout.function)(folder, **chosen)
                samples[split or getattr(data, "split", "poses")] = len(data)
            except (InputError, OSError) as error:
                problems.setdefault(str(error), []).append(split)
    lines = [": ".join(filter(None, [", ".join(s), text])) for text, s in problems.items()]
    told = dict.fromkeys(str(warning.message) for warning in caught)
    problem = "; ".join(lines) or None
    return Found(layout.name, folder, layout.loader, samples, problem, tuple(told))


def table(found: Sequence[Found], root: str | Path) -> str:
    """What was found as lines for the terminal; folders are relative to `root`."""
    rows = [("data set", "folder", "samples")]
    for item in found:
        counts = ", ".join(f"{split} {count:,}" for split, count in item.samples.items())
        rows.append((item.name, os.path.relpath(item.folder, root), counts or "none"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    text = [lines[0], "-" * len(max(lines, key=len))]
    for item, line in zip(found, lines[1:], strict=True):
        text.append(line)
        text += [f"  problem: {item.problem}"] if item.problem else []
        text += [f"  warning: {warning}" for warning in item.warnings]
    broken = sum(item.problem is not None for item in found)
    return "\n".join([*text, "", f"recognised: {len(found)}, with problems: {broken}"])
