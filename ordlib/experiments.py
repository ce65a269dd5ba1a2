"""Rows of the tables as data, and runs that are done once.

A run is a row at a scale with a seed on some data. Its folder under `outputs/<scale>/runs` is named
by a hash of all that, and holds `config.json`, `log.csv`, `weights.safetensors`,
`predictions.safetensors` and, written last, `metrics.json`: a run with metrics is done and is
reused, one without is continued from its checkpoint.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ordlib import synthetic
from ordlib.augment import augment
from ordlib.devices import resolve_device
from ordlib.errors import InputError
from ordlib.evaluation import evaluate
from ordlib.files import digest, locked, outputs_folder, replacing
from ordlib.objectives import LOSSES, build, mixed_volume_losses
from ordlib.rows import ROWS, Row, get_row
from ordlib.sample import MixedBatch, PoseBatch, PoseDataset
from ordlib.scales import Scale, check_seed, get_scale
from ordlib.training import TrainingConfig, load_weights, save_weights, single_thread
from ordlib.training import train as train_network
from ordlib.workers import cores, side_by_side

__all__ = ["ROWS", "Row", "Run", "batch_indices", "get_row", "is_done", "run", "seeds", "train"]

RESULTS = ("weights.safetensors", "predictions.safetensors", "metrics.json")
FORMAT = 1
"""Raised when what a run does or writes changes, so that older runs are not reused."""


_MODULES = (
    *("augment", "camera", "evaluation", "losses", "metrics", "networks", "objectives"),
    *("relations", "skeleton", "training", "volume"),
)
"""What a run's result follows from, beside its configuration and the data."""


def seeds(scale: str, first: int = 0) -> list[int]:
    """The seeds that the tables of a scale average, from a first one on."""
    return list(range(first, first + get_scale(scale).seeds))


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
        """Those on the test images of its home domain; see `on`."""
        return self.on(self.row.home)

    def on(self, domain: str) -> dict[str, Tensor]:
        """`joints_mm`, `keypoints_px`, `depth`, and each metric with one value a sample.

        Raises:
            InputError: a domain that the row is not evaluated on, or a damaged file.
        """
        if domain not in self.row.domains:
            raise InputError(
                f"domain: {self.row.id} has {', '.join(self.row.domains)}, found {domain!r}"
            )
        path = self.folder / _predictions(self.row, domain)
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


def _predictions(row: Row, domain: str) -> str:
    """File of the predictions on a domain's test images."""
    return f"predictions{'' if domain == row.home else f'-{domain}'}.safetensors"


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
    load = partial(synthetic.load, scale=scale.name, seed=seed, mocap=mocap, device=device)
    train_set = load(row.home, row.train_split)
    network = build(row.network, row.stacks, scale, seed)
    if not (folder / "weights.safetensors").exists():
        config = TrainingConfig(
            row.steps(scale), scale.optimizer, scale.learning_rate, scale.schedule, precision
        )
        wild = load("wild", "train") if row.wild else None
        count = scale.batch_size // 2 if row.wild else scale.batch_size
        batch_at = partial(_batch_at, train_set, wild, count, seed, device)
        lengths = train_set.limb_lengths_mm
        losses = partial(_losses, row=row, scale=scale, limb_lengths_mm=lengths)
        identity = folder.name
        train_network(network, batch_at, losses, config, folder, device, row.id, position, identity)
        save_weights(folder / "weights.safetensors", network, identity)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    load_weights(folder / "weights.safetensors", network, folder.name)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    means: dict[str, Any] = {}
    for domain, split in row.tests().items():
        result = evaluate(network, train_set, load(domain, split), row.weak, scale, device)
        tensors = {name: getattr(result, name) for name in ("joints_mm", "keypoints_px", "depth")}
        tensors = {k: v.contiguous() for k, v in (tensors | result.per_sample).items()}
        with replacing(folder / _predictions(row, domain)) as temporary:
            save_file(tensors, temporary)
        found = {name: float(values.nanmean()) for name, values in result.per_sample.items()}
        found |= {"scale_mm": result.scale_mm, "oracle_scale_mm": result.oracle_scale_mm}
        means |= found if domain == row.home else {domain: found}
    _write(folder / "metrics.json", json.dumps(means, indent=1))


def _losses(
    output: Any, batch: Any, *, row: Row, scale: Scale, limb_lengths_mm: Tensor
) -> dict[str, Tensor]:
    if row.wild:
        return mixed_volume_losses(output, batch, row.wild, scale, limb_lengths_mm)
    return LOSSES[row.network](output, batch, row.weak, scale)


def _batch_at(
    dataset: PoseDataset,
    wild: PoseDataset | None,
    batch_size: int,
    seed: int,
    device: str,
    step: int,
) -> PoseBatch | MixedBatch:
    """The augmented batch of a step: every epoch in an order of its own, all of it seeded."""
    batch = _augmented(dataset, batch_size, seed, device, step, "augment")
    if wild is None:
        return batch
    return MixedBatch(batch, _augmented(wild, batch_size, seed, device, step, "augment wild"))


def _augmented(
    dataset: PoseDataset, batch_size: int, seed: int, device: str, step: int, purpose: str
) -> PoseBatch:
    generator = torch.Generator().manual_seed(int(digest([seed, purpose, step]), 16))
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
    pending.sort(key=lambda item: (not get_row(item[0]).wild, -get_row(item[0]).stacks))
    for seed in dict.fromkeys(seed for _, seed in pending):
        for domain, split in _data([row for row, _ in pending]):
            synthetic.load(domain, split, scale, seed, mocap=mocap, device=place)
    count = jobs or (cores() if place == "cpu" else 1)
    one = partial(run, scale=scale, device=place, mocap=mocap, precision=precision)
    if min(count, len(pending)) <= 1:
        for row, seed in pending:
            one(row, seed=seed)
        return
    side_by_side(one, pending, min(count, len(pending)))


def _data(rows: Sequence[str]) -> dict[tuple[str, str], None]:
    """The splits that training and testing rows needs, each once."""
    specs = [get_row(row) for row in rows]
    needed = [(row.home, row.train_split) for row in specs]
    needed += [("wild", "train") for row in specs if row.wild]
    needed += [test for row in specs for test in row.tests().items()]
    return dict.fromkeys(needed)
