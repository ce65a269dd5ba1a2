"""Rows of the tables as data, and runs that are done once.

A run is a row at a scale with a seed on some data. Its folder under `outputs/<scale>/runs` is named
by a hash of all that, and holds `config.json`, `log.csv`, `weights.safetensors`,
`predictions.safetensors` and, written last, `metrics.json`: a run with metrics is done and is
reused, one without is continued from its checkpoint.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from ordlib import synthetic
from ordlib.augment import augment
from ordlib.devices import resolve_device
from ordlib.errors import InputError
from ordlib.evaluation import evaluate
from ordlib.files import digest, locked, outputs_folder, replacing
from ordlib.objectives import LOSSES, build
from ordlib.sample import PoseBatch, PoseDataset
from ordlib.scales import Scale, check_seed, get_scale
from ordlib.training import TrainingConfig, load_weights, save_weights, single_thread
from ordlib.training import train as train_network

RESULTS = ("weights.safetensors", "predictions.safetensors", "metrics.json")
FORMAT = 1
"""Raised when what a run does or writes changes, so that older runs are not reused."""


@dataclass(frozen=True)
class Row:
    """One row of a table: which network, what supervision, which data.

    Attributes:
        id: table, architecture and supervision.
        network: `depth` (3.1), `coordinate` (3.2) or `volume` (3.3).
        stacks: hourglasses of a volume network.
        weak: ordinal relations and 2D keypoints instead of 3D ground truth.
        train_split, test_split: splits of the domain `studio`.
        changes: fields of the scale that this row sets differently.
    """

    id: str
    network: str
    weak: bool
    stacks: int = 1
    train_split: str = "train"
    test_split: str = "test"
    changes: Mapping[str, Any] = field(default_factory=dict)

    def scaled(self, scale: str) -> Scale:
        """The scale with this row's changes."""
        return replace(get_scale(scale), **self.changes)


_ARCHITECTURES = {
    "depth": ("depth", 1),
    "coordinate": ("coordinate", 1),
    "volume1": ("volume", 1),
    "volume2": ("volume", 2),
}

# What is chosen from at small scales, on the held-out training subject S8 alone: the loss of weak
# volumes, and the learning rate.
_CHOICES: dict[str, Mapping[str, Any]] = {
    "l2": {"heatmap_loss": "l2", "heatmap_weight": 100.0},
    "l2-1000": {"heatmap_loss": "l2", "heatmap_weight": 1000.0},
    "cross-entropy": {},
    "cross-entropy-1": {"heatmap_weight": 1.0},
    "cross-entropy-16": {"heatmap_weight": 16.0},
    "unit-31": {"ranking_unit_mm": 31.25},
    "unit-250": {"ranking_unit_mm": 250.0},
}

_MODULES = (
    *("augment", "camera", "evaluation", "losses", "metrics", "networks", "objectives"),
    *("relations", "skeleton", "training", "volume"),
)
"""What a run's result follows from, beside its configuration and the data."""

_RATES = (1e-3, 3e-3, 1e-2)

ROWS: dict[str, Row] = {
    row.id: row
    for row in (
        *(
            Row(f"table1/{name}/{'weak' if weak else 'full'}", network, weak, stacks)
            for name, (network, stacks) in _ARCHITECTURES.items()
            for weak in (True, False)
        ),
        *(
            Row(f"choice/volume1/{name}", "volume", True, 1, "fit", "val", changes)
            for name, changes in _CHOICES.items()
        ),
        *(
            Row(
                f"choice/rate/{name}-{rate:g}", kind, weak, 1, "fit", "val", {"learning_rate": rate}
            )
            for name, kind, weak in (("volume1", "volume", False), ("depth", "depth", True))
            for rate in _RATES
        ),
    )
}


def seeds(scale: str, first: int = 0) -> list[int]:
    """The seeds that the tables of a scale average, from a first one on."""
    return list(range(first, first + get_scale(scale).seeds))


def get_row(row: str) -> Row:
    """The row of that id. Raises InputError for any other."""
    if row not in ROWS:
        raise InputError(f"row: expected one of {', '.join(ROWS)}, found {row!r}")
    return ROWS[row]


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder."""

    row: Row
    scale: Scale
    seed: int
    folder: Path

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Means over the test samples, and the depth scales in mm per unit."""
        path = self.folder / "metrics.json"
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise _damaged(path, error) from error

    @cached_property
    def predictions(self) -> dict[str, Tensor]:
        """`joints_mm`, `keypoints_px`, `depth`, and each metric with one value a sample."""
        path = self.folder / "predictions.safetensors"
        try:
            return load_file(path)
        except SafetensorError as error:
            raise _damaged(path, error) from error

    @property
    def log(self) -> pd.DataFrame:
        """Terms of the training loss by step."""
        return pd.read_csv(self.folder / "log.csv")

    def network(self) -> nn.Module:
        """The trained network, in evaluation mode on the CPU."""
        network = build(self.row.network, self.row.stacks, self.scale, self.seed)
        return load_weights(self.folder / "weights.safetensors", network, self.folder.name).eval()


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: expected results of a finished run, found a damaged file ({error});"
        " delete its folder to train again"
    )


def configuration(row: Row, scale: str, seed: int, mocap: str | None, precision: str) -> dict:
    """All that decides the result of a run."""
    return {
        "format": FORMAT,
        "code": _source(),
        "row": asdict(row),
        "scale": asdict(row.scaled(scale)),
        "seed": seed,
        "data": synthetic.fingerprint(mocap),
        "precision": precision,
    }


@cache
def _source() -> str:
    """Digest of the code that trains and evaluates, so that other code's runs are not reused."""
    return digest([(Path(__file__).parent / f"{name}.py").read_text() for name in _MODULES])


def run_folder(row: Row, scale: str, seed: int, mocap: str | None, precision: str) -> Path:
    """Where a run lies, done or not."""
    name = f"{row.id.replace('/', '-')}-seed{seed}"
    config = configuration(row, scale, seed, mocap, precision)
    return outputs_folder(scale, mocap) / "runs" / f"{name}-{digest(config)}"


def is_done(row: str, scale: str, seed: int, mocap: str | None, precision: str) -> bool:
    """Whether a run is finished."""
    folder = run_folder(get_row(row), scale, seed, mocap, precision)
    return _complete(folder)


def _complete(folder: Path) -> bool:
    return all((folder / name).exists() for name in RESULTS)


def run(
    row: str,
    scale: str,
    seed: int = 0,
    *,
    device: str = "auto",
    mocap: str | None = None,
    precision: str = "32-true",
    position: int = 0,
) -> Run:
    """A row's run: read if it is done, else trained and evaluated.

    Args:
        row: an id in `ROWS`.
        scale: name of a scale.
        seed: seed of data, weights, order and augmentation.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        mocap: folder of BVH files in place of the built-in poses.
        precision: `32-true` or `bf16-mixed`.
        position: line of the progress bar.

    Raises:
        InputError: unknown row, scale or device, unusable data, or a run's file that is damaged.
    """
    spec, place = get_row(row), resolve_device(device)
    check_seed(seed)
    sized = spec.scaled(scale)
    folder = run_folder(spec, scale, seed, mocap, precision)
    if not _complete(folder):
        # a second process that wants the same run waits here, and then finds it done
        with locked(folder), single_thread(place):
            if not _complete(folder):
                config = configuration(spec, scale, seed, mocap, precision)
                _write(folder / "config.json", json.dumps(config, indent=1, sort_keys=True))
                _train_and_evaluate(spec, sized, seed, folder, place, mocap, precision, position)
    return Run(spec, sized, seed, folder)


def _train_and_evaluate(
    row: Row,
    scale: Scale,
    seed: int,
    folder: Path,
    device: str,
    mocap: str | None,
    precision: str,
    position: int,
) -> None:
    load = partial(synthetic.load, "studio", scale=scale.name, seed=seed, mocap=mocap)
    train_set, test_set = (load(s, device=device) for s in (row.train_split, row.test_split))
    network = build(row.network, row.stacks, scale, seed)
    if not (folder / "weights.safetensors").exists():
        config = TrainingConfig(
            scale.steps, scale.optimizer, scale.learning_rate, scale.schedule, precision
        )
        losses = partial(_losses, row=row, scale=scale)
        batch_at = partial(_batch_at, train_set, scale.batch_size, seed, device)
        identity = folder.name
        train_network(network, batch_at, losses, config, folder, device, row.id, position, identity)
        save_weights(folder / "weights.safetensors", network, identity)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    load_weights(folder / "weights.safetensors", network, folder.name)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    result = evaluate(network, train_set, test_set, row.weak, scale, device)
    tensors = {name: getattr(result, name) for name in ("joints_mm", "keypoints_px", "depth")}
    with replacing(folder / "predictions.safetensors") as temporary:
        save_file({k: v.contiguous() for k, v in (tensors | result.per_sample).items()}, temporary)
    means = {name: float(values.nanmean()) for name, values in result.per_sample.items()}
    means |= {"scale_mm": result.scale_mm, "oracle_scale_mm": result.oracle_scale_mm}
    _write(folder / "metrics.json", json.dumps(means, indent=1))


def _losses(output: Any, batch: PoseBatch, *, row: Row, scale: Scale) -> dict[str, Tensor]:
    return LOSSES[row.network](output, batch, row.weak, scale)


def _batch_at(
    dataset: PoseDataset, batch_size: int, seed: int, device: str, step: int
) -> PoseBatch:
    """The augmented batch of a step: every epoch in an order of its own, all of it seeded."""
    generator = torch.Generator().manual_seed(int(digest([seed, "augment", step]), 16))
    return augment(
        dataset.batch(batch_indices(len(dataset), batch_size, seed, step), device), generator
    )


def batch_indices(samples: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Samples of a step. An incomplete last batch of an epoch is dropped."""
    per_epoch = max(1, samples // batch_size)
    epoch, place = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(samples)
    return np.sort(order[place * batch_size : (place + 1) * batch_size])


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text + "\n")


def train(
    rows: Sequence[str],
    scale: str,
    seeds: Sequence[int] = (0,),
    *,
    device: str = "auto",
    mocap: str | None = None,
    precision: str = "32-true",
    jobs: int | None = None,
) -> None:
    """Train what is not done yet, on a CPU one thread a network and as many as there are cores.

    Progress bars are shown on a terminal and nowhere else.

    Args:
        jobs: networks side by side; default the number of cores on a CPU, one on a GPU.
    """
    place = resolve_device(device)
    get_scale(scale)
    pending = [
        (row, seed)
        for seed in dict.fromkeys(seeds)
        for row in dict.fromkeys(rows)
        if not is_done(row, scale, seed, mocap, precision)
    ]
    # Long runs first, so that the last ones to finish are short.
    pending.sort(key=lambda item: -get_row(item[0]).stacks)
    for seed in dict.fromkeys(seed for _, seed in pending):
        for split in ("train", "test"):
            synthetic.load("studio", split, scale, seed, mocap=mocap, device=place)
    count = jobs or (_cores() if place == "cpu" else 1)
    one = partial(run, scale=scale, device=place, mocap=mocap, precision=precision)
    if min(count, len(pending)) <= 1:
        for row, seed in pending:
            one(row, seed=seed)
        return
    _side_by_side(one, pending, min(count, len(pending)))


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _side_by_side(one: Any, pending: list[tuple[str, int]], count: int) -> None:
    """Train in worker processes; on any failure, or Ctrl-C, end them all and leave checkpoints."""
    context = multiprocessing.get_context("spawn")
    lock, places = context.RLock(), context.Queue()
    tqdm.set_lock(lock)
    for place in range(count):
        places.put(place)
    pool = ProcessPoolExecutor(count, context, initializer=_start_worker, initargs=(lock, places))
    bar = tqdm(total=len(pending), desc="networks", position=count, disable=None)
    try:
        for future in as_completed([pool.submit(_work, one, *item) for item in pending]):
            future.result()
            bar.update()
    except BrokenProcessPool as error:
        raise InputError(
            "training: a worker process was killed, expected it to finish; was there too little"
            " memory? The same command continues, --jobs 1 needs the least memory"
        ) from error
    finally:
        bar.close()
        # after a failure, what is under way is not waited for
        for process in list((pool._processes or {}).values()) if sys.exc_info()[0] else ():
            process.terminate()
        pool.shutdown(cancel_futures=True)


_line = 0


def _start_worker(lock: Any, places: Any) -> None:
    global _line
    # Ctrl-C reaches the parent, which ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tqdm.set_lock(lock)
    torch.set_num_threads(1)
    _line = places.get()


def _end_with_parent() -> None:
    """A worker whose parent was killed ends too, and leaves its run to the next command."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(one: Any, row: str, seed: int) -> None:
    one(row, seed=seed, position=_line)
