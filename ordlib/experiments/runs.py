"""Rows of the tables as data, and runs that are done once.

A run is a row at a scale with a seed on some data. Its folder under `outputs/<scale>/runs` is named
by a hash of all that, and holds `config.json`, `log.csv`, `weights.safetensors`,
`predictions.safetensors` and, written last, `metrics.json`: a run with metrics is done and is
reused, one without is continued from its checkpoint. Under `torchrun` all processes train one run
together and the first one alone evaluates it and writes files, see `distributed`.

Real data sets, where they are given, take the place of the stand-ins: see `domains`. What a run is
tested on is no part of its name then, so a data set that comes later costs no training.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ordlib import synthetic
from ordlib.batches import ahead, batch_at, batch_indices
from ordlib.data import PoseDataset
from ordlib.distributed import connect, processes, resolve_device
from ordlib.errors import InputError
from ordlib.experiments import roles as domains
from ordlib.experiments.evaluation import evaluate
from ordlib.experiments.rows import ROWS, Row, get_row
from ordlib.experiments.supervision import LOSSES, build, mixed_volume_losses
from ordlib.experiments.workers import cores, side_by_side
from ordlib.files import VERSION, digest, locked, outputs_folder, replacing
from ordlib.scales import Scale, check_seed, get_scale
from ordlib.training import TrainingConfig, load_weights, save_weights, single_thread
from ordlib.training import train as train_network

__all__ = ["ROWS", "Row", "Run", "batch_indices", "get_row", "is_done", "run", "seeds", "train"]

RESULTS = ("weights.safetensors", "predictions.safetensors", "metrics.json")
_AHEAD = 4
"""Threads that decode the images of coming steps."""


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
        """The trained network, in evaluation mode on the CPU, in the layout of training."""
        network = build(self.row.network, self.row.stacks, self.scale, self.seed)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return load_weights(self.folder / "weights.safetensors", network, self.folder.name).eval()


def _predictions(row: Row, domain: str) -> str:
    """File of the predictions on a domain's test images."""
    return f"predictions{'' if domain == row.home else f'-{domain}'}.safetensors"


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: expected results of a finished run, found a damaged file ({error});"
        " delete its folder to train again"
    )


def configuration(
    row: Row,
    scale: str,
    seed: int,
    mocap: str | None,
    precision: str,
    compile: bool = False,
    data: str | None = None,
) -> dict:
    """All that decides the weights of a run, and with stand-ins its whole result."""
    learned = domains.learned(row, data) if data else synthetic.fingerprint(mocap)
    options: dict[str, Any] = {"compile": True} if compile else {}
    if start := row.begins_with(row.scaled(scale)):
        source = configuration(start, scale, seed, mocap, precision, compile, data)
        options["start"] = digest(source)
    return options | {
        "version": VERSION,
        "row": asdict(row),
        "scale": asdict(row.scaled(scale)),
        "seed": seed,
        "data": learned,
        "precision": precision,
    }


def run_folder(
    row: Row,
    scale: str,
    seed: int,
    mocap: str | None,
    precision: str,
    compile: bool = False,
    data: str | None = None,
) -> Path:
    """Where a run lies, done or not."""
    name = f"{row.id.replace('/', '-')}-seed{seed}"
    config = configuration(row, scale, seed, mocap, precision, compile, data)
    return outputs_folder(scale, mocap, data) / "runs" / f"{name}-{digest(config)}"


def is_done(
    row: str,
    scale: str,
    seed: int,
    mocap: str | None,
    precision: str,
    compile: bool = False,
    data: str | None = None,
) -> bool:
    """Whether a run is finished."""
    spec = get_row(row)
    folder = run_folder(spec, scale, seed, mocap, precision, compile, data)
    return _complete(folder, domains.tested(spec, data) if data else None)


def _complete(folder: Path, tested: dict | None) -> bool:
    """Whether results are there, with real data those on just these test sets."""
    if not all((folder / name).exists() for name in RESULTS):
        return False
    return tested is None or json.loads((folder / "config.json").read_text())["tested"] == tested


def run(
    row: str,
    scale: str,
    seed: int = 0,
    *,
    device: str = "auto",
    mocap: str | None = None,
    data: str | None = None,
    precision: str = "32-true",
    compile: bool = False,
    position: int = 0,
) -> Run:
    """A row's run: read if it is done, else trained and evaluated.

    Args:
        row: an id in `ROWS`.
        scale: name of a scale.
        seed: seed of data, weights, order and augmentation.
        device: `auto`, `cpu`, `cuda`, `cuda:N`.
        mocap: folder of BVH files in place of the built-in poses.
        data: folder of real data sets in place of the stand-ins; test sets that are not in it are
            left out.
        precision: `32-true` or `bf16-mixed`.
        compile: see `training.TrainingConfig`.
        position: line of the progress bar.

    Raises:
        InputError: unknown row, scale or device, unusable data, real data sets that the row would
            have to mix with stand-ins, or a run's file that is damaged.
    """
    spec, place = get_row(row), resolve_device(device)
    check_seed(seed)
    sized, shown = spec.scaled(scale), domains.playable(spec, data)
    tested = domains.tested(spec, data) if data else None
    folder = run_folder(spec, scale, seed, mocap, precision, compile, data)
    fabric = connect(precision, place)
    # what the first process finds holds for all, or they would wait for each other for ever
    if not fabric.broadcast(_complete(folder, tested)):
        # a second process that wants the same run waits here, and then finds it done
        lock = locked(folder) if fabric.is_global_zero else nullcontext()
        with lock, single_thread(place):
            if not fabric.broadcast(_complete(folder, tested)):
                if fabric.is_global_zero:
                    config = configuration(spec, scale, seed, mocap, precision, compile, data)
                    _begin(folder, config | ({} if tested is None else {"tested": tested}))
                _train_and_evaluate(
                    *(shown, sized, seed, folder, place, fabric),
                    *(mocap, data, precision, compile, position),
                )
                fabric.barrier()
    return Run(shown, sized, seed, folder)


def _begin(folder: Path, config: dict) -> None:
    (folder / "metrics.json").unlink(missing_ok=True)  # of other test sets
    _write(folder / "config.json", json.dumps(config, indent=1, sort_keys=True))


def _train_and_evaluate(
    row: Row,
    scale: Scale,
    seed: int,
    folder: Path,
    device: str,
    fabric: Fabric,
    mocap: str | None,
    data: str | None,
    precision: str,
    compile: bool,
    position: int,
) -> None:
    load = partial(domains.load, scale=scale.name, seed=seed, mocap=mocap, data=data, device=device)
    train_set = load(row.home, row.train_split)
    network = build(row.network, row.stacks, scale, seed)
    if not fabric.broadcast((folder / "weights.safetensors").exists()):
        source = {"mocap": mocap, "data": data, "precision": precision, "compile": compile}
        warm_start(network, row, scale, seed, device=device, position=position, **source)
        budget = (row.steps(scale), scale.optimizer, scale.learning_rate, scale.schedule)
        config = TrainingConfig(*budget, precision, compile=compile)
        wild = load("wild", "train") if row.wild else None
        count = scale.batch_size // 2 if row.wild else scale.batch_size
        batches = partial(batch_at, train_set, wild, count, seed, device)
        lengths = train_set.limb_lengths_mm
        losses = partial(_losses, row=row, scale=scale, limb_lengths_mm=lengths)
        identity = folder.name
        # real images are decoded while the network learns; those of stand-ins need no decoding
        with ahead(batches, config.steps, _AHEAD if data else 0) as ready:
            progress = (row.id, position, identity)
            train_network(network, ready, losses, config, folder, device, *progress)
        if fabric.is_global_zero:
            save_weights(folder / "weights.safetensors", network, identity)
    if fabric.is_global_zero:
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        load_weights(folder / "weights.safetensors", network, folder.name)
        _evaluate(network, row, scale, folder, device, train_set, load)


def warm_start(network: nn.Module, row: Row, scale: Scale, seed: int, **source: Any) -> None:
    """Give a network the weights that its row begins with, if any; they are trained if need be.

    Args:
        source: the other arguments of `run`.
    """
    if start := row.begins_with(scale):
        begun = run(start.id, scale.name, seed, **source)
        load_weights(begun.folder / "weights.safetensors", network, begun.folder.name)


def _evaluate(
    network: nn.Module,
    row: Row,
    scale: Scale,
    folder: Path,
    device: str,
    train_set: PoseDataset,
    load: Callable[[str, str], PoseDataset],
) -> None:
    """Predictions and metrics on the test sets of a row; `metrics.json` is written last."""
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
    data: str | None = None,
    precision: str = "32-true",
    compile: bool = False,
    jobs: int | None = None,
) -> None:
    """Train what is not done yet, on a CPU one thread a network and as many as there are cores.

    What a row begins with is trained before it (`Row.begins_with`).

    Progress bars are shown on a terminal and nowhere else.

    Args:
        data: see `run`.
        compile: see `training.TrainingConfig`.
        jobs: networks side by side; default the number of cores on a CPU, one on a GPU. Under
            `torchrun` all processes train the same one.
    """
    place = resolve_device(device)
    get_scale(scale)
    starts = _starts(rows, scale)
    pending = [
        (row, seed)
        for seed in dict.fromkeys(seeds)
        for row in dict.fromkeys([*rows, *starts])
        if not is_done(row, scale, seed, mocap, precision, compile, data)
    ]
    pending = connect(precision, place).broadcast(pending)
    # What others begin with, then long runs, so that the last ones to finish are short.
    turn = {id: (id not in starts, not get_row(id).wild, -get_row(id).stacks) for id, _ in pending}
    pending.sort(key=lambda item: turn[item[0]])
    rendering = [] if data else _rendering(pending, scale, mocap, place)
    count = jobs or (cores() if place == "cpu" else 1)
    if processes() > 1:
        count = 1
    source = partial(run, scale=scale, mocap=mocap, data=data)
    one = partial(source, device=place, precision=precision, compile=compile)
    if min(count, len(pending)) <= 1:
        for render in rendering:
            render()
        for row, seed in pending:
            one(row, seed=seed)
        return
    side_by_side(one, pending, min(count, len(pending)), before=rendering)


def _starts(rows: Sequence[str], scale: str) -> dict[str, None]:
    """The rows whose weights some of these begin with, each once."""
    specs = [get_row(row) for row in rows]
    starts = [row.begins_with(row.scaled(scale)) for row in specs]
    return dict.fromkeys(start.id for start in starts if start)


def _rendering(
    pending: Sequence[tuple[str, int]], scale: str, mocap: str | None, device: str
) -> list[Callable[[], None]]:
    """What renders the stand-ins that rows and seeds need, each split by itself."""
    seeds = dict.fromkeys(seed for _, seed in pending)
    splits = _data([row for row, _ in pending])
    return [
        partial(_render, *split, scale, seed, mocap, device) for seed in seeds for split in splits
    ]


def _render(domain: str, split: str, scale: str, seed: int, mocap: str | None, device: str) -> None:
    synthetic.load(domain, split, scale, seed, mocap=mocap, device=device)


def _data(rows: Sequence[str]) -> dict[tuple[str, str], None]:
    """The splits that rows are trained and tested on, each once; the slowest comes first."""
    specs = [get_row(row) for row in rows]
    needed = [("wild", "train") for row in specs if row.wild]
    needed += [(row.home, row.train_split) for row in specs]
    needed += [test for row in specs for test in row.tests().items()]
    return dict.fromkeys(needed)
