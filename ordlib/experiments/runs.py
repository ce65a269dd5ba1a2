"""Runs that are done once: a run is a row in a setting, and a folder named by both.

The folder under `outputs/<scale>/runs` holds `config.json`, `log.csv`, `weights.safetensors`,
`predictions-<domain>.safetensors` and, written last, `metrics.json`: a run with metrics is done and
is reused, one without is continued from its checkpoint. Under `torchrun` all processes train one
run together and the first one alone evaluates it and writes files, see `distributed`.

What a run is tested on is no part of its name, so a test set that comes later costs no training.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ordlib import synthetic
from ordlib.batches import ahead, batch_at
from ordlib.distributed import connect, processes
from ordlib.errors import InputError
from ordlib.experiments import evaluation, roles, supervision
from ordlib.experiments.evaluation import Truth, evaluate
from ordlib.experiments.rows import Row, get_row
from ordlib.experiments.setting import Setting
from ordlib.experiments.workers import cores, line, side_by_side
from ordlib.files import VERSION, digest, kept, replacing
from ordlib.networks import build
from ordlib.scales import Scale
from ordlib.training import WEIGHTS, Budget, fit, load_weights, single_thread

_AHEAD = 4
"""Threads that decode the images of coming steps."""


@dataclass(frozen=True)
class Run:
    """A row in a setting, done or not."""

    row: Row
    setting: Setting

    @cached_property
    def scale(self) -> Scale:
        """Sizes and budgets, with the changes of the row."""
        return self.row.scaled(self.setting.scale)

    @property
    def start(self) -> "Run | None":
        """The run whose weights this one begins with."""
        row = self.row.begins_with(self.scale)
        return Run(row, self.setting) if row else None

    @property
    def budget(self) -> Budget:
        """Steps and optimiser of its training."""
        scale, setting = self.scale, self.setting
        rates = (self.row.steps(scale), scale.optimizer, scale.learning_rate, scale.schedule)
        return Budget(*rates, precision=setting.precision, compile=setting.compile)

    @property
    def configuration(self) -> dict[str, Any]:
        """All that decides the weights."""
        learned = roles.training_roles(self.row)
        return {
            "version": VERSION,
            "row": asdict(self.row),
            "scale": asdict(self.scale),
            "seed": self.setting.seed,
            "data": {name: roles.fingerprint(name, self.setting.data) for name in learned},
            "precision": self.setting.precision,
            "compile": self.setting.compile,
            "start": self.start.folder.name if self.start else None,
        }

    @cached_property
    def folder(self) -> Path:
        """Where it lies, done or not."""
        name = f"{self.row.id.replace('/', '-')}-seed{self.setting.seed}"
        return self.setting.folder / "runs" / f"{name}-{digest(self.configuration)}"

    @property
    def tests(self) -> dict[str, str]:
        """Test split of each domain that it is evaluated on."""
        return roles.tests(self.row, self.setting.data)

    @property
    def tested(self) -> dict[str, str]:
        """What is in these test sets."""
        return {name: roles.fingerprint(name, self.setting.data) for name in self.tests}

    @property
    def done(self) -> bool:
        """Whether it is trained, and evaluated on just these test sets."""
        if not (self.folder / "metrics.json").exists():
            return False
        return self._json("config.json")["tested"] == self.tested

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """By domain the means over the test samples, and the depth scales in mm per unit."""
        return self._json("metrics.json")

    def predictions(self, domain: str | None = None) -> dict[str, Tensor]:
        """What it predicts on a domain's test images, by default on those of its home.

        `joints_mm`, `keypoints_px`, `depth`, and each metric with one value a sample. Raises
        InputError for a domain that the row is not evaluated on.
        """
        domain = domain or self.row.home
        if domain not in self.tests:
            raise InputError(f"domain: {self.row.id} has {', '.join(self.tests)}, found {domain!r}")
        path = self.folder / f"predictions-{domain}.safetensors"
        try:
            return load_file(path)
        except SafetensorError as error:
            raise _damaged(path, error) from error

    def truth(self, domain: str | None = None) -> Truth:
        """What is known of a domain's test images, by default of those of its home.

        Raises InputError for a domain that the row is not evaluated on, or without 3D truth.
        """
        domain = domain or self.row.home
        if domain not in self.tests or not synthetic.DOMAINS[domain].metric:
            raise InputError(
                f"domain: expected one with 3D truth that {self.row.id} is evaluated on, found"
                f" {domain!r}"
            )
        return _truth(self.setting, domain, self.tests[domain])

    @property
    def log(self) -> pd.DataFrame:
        """Terms of the training loss by step."""
        return pd.read_csv(self.folder / "log.csv")

    def network(self) -> nn.Module:
        """The trained network, in evaluation mode on the CPU, in the layout of training."""
        network = self._new()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return load_weights(self.folder, network)

    def _new(self) -> nn.Module:
        return build(self.row.network, self.row.stacks, self.scale, self.setting.seed)

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.folder / name).read_text())
        except ValueError as error:
            raise _damaged(self.folder / name, error) from error


@lru_cache(maxsize=4)
def _truth(setting: Setting, domain: str, split: str) -> Truth:
    return evaluation.truth(setting.load(domain, split))


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: expected results of a finished run, found a damaged file ({error});"
        " delete its folder to train again"
    )


def run(row: str | Row, setting: Setting) -> Run:
    """The run of an id in `ROWS` or of a row of one's own: read if done, else trained.

    Raises InputError for an unknown row, unusable data, real data sets that the row would have to
    mix with stand-ins, or a damaged file.
    """
    result = Run(get_row(row) if isinstance(row, str) else row, setting)
    roles.require(result.row, setting.data)
    fabric = connect(setting.precision, setting.device)
    # what the first process finds holds for all, or they would wait for each other for ever
    if not fabric.broadcast(result.done):
        first = fabric.is_global_zero
        missing = kept(result.folder, lambda: result.done) if first else nullcontext(True)
        with missing as wanted, single_thread(setting.device):
            if fabric.broadcast(wanted):
                if first:
                    (result.folder / "metrics.json").unlink(missing_ok=True)  # of other test sets
                    _write(result, "config.json", result.configuration | {"tested": result.tested})
                _train(result, fabric)
                if first:
                    _evaluate(result)
                fabric.barrier()
    return result


def _train(run: Run, fabric: Any) -> None:
    row, scale, setting, folder = run.row, run.scale, run.setting, run.folder
    if fabric.broadcast((folder / WEIGHTS).exists()):
        return
    train_set = setting.load(row.home, row.train_split)
    wild = setting.load("wild", "train") if row.wild else None
    count = scale.batch_size // 2 if row.wild else scale.batch_size
    batches = partial(batch_at, train_set, wild, count, setting.seed, setting.device)
    loss = supervision.loss(row, scale, train_set.limb_lengths_mm)
    network, budget = warm(run), run.budget
    # real images are decoded while the network learns; those of stand-ins need no decoding
    with ahead(batches, budget.steps, _AHEAD if setting.real else 0) as ready:
        fit(network, ready, loss, budget, folder, setting.device, row.id, line())


def warm(target: Run) -> nn.Module:
    """A run's network before its training, with the weights of the run that it begins with."""
    network = target._new()
    if target.start:
        load_weights(run(target.start.row, target.setting).folder, network)
    return network


def _evaluate(run: Run) -> None:
    """Predictions and metrics on the test sets of a row; `metrics.json` is written last."""
    row, setting = run.row, run.setting
    network = run.network().to(setting.device)
    train_set, means = setting.load(row.home, row.train_split), {}
    for domain, split in run.tests.items():
        test_set = setting.load(domain, split)
        result = evaluate(network, train_set, test_set, row.weak, run.scale, setting.device)
        tensors = {k: v.contiguous() for k, v in (result.tensors | result.per_sample).items()}
        with replacing(run.folder / f"predictions-{domain}.safetensors") as temporary:
            save_file(tensors, temporary)
        scales = {"scale_mm": result.scale_mm, "oracle_scale_mm": result.oracle_scale_mm}
        means[domain] = {k: float(v.nanmean()) for k, v in result.per_sample.items()} | scales
    _write(run, "metrics.json", means)


def _write(run: Run, name: str, facts: dict[str, Any]) -> None:
    with replacing(run.folder / name) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")


def train(rows: Sequence[str], settings: Iterable[Setting], jobs: int | None = None) -> None:
    """Train what is not done yet, on a CPU one thread a network and as many as there are cores.

    `jobs` networks are trained side by side; on a GPU one by default. What a row begins with is
    trained before it. Under `torchrun` all processes train the same one. The settings, such as
    `setting.seeds()`, are of one scale and device.
    """
    settings = list(dict.fromkeys(settings))
    specs = [get_row(row) for row in dict.fromkeys(rows)]
    wanted = [Run(row, setting) for setting in settings for row in specs]
    for item in wanted:
        roles.require(item.row, item.setting.data)
    starts = dict.fromkeys(run.start for run in wanted if run.start)
    pending = [run for run in dict.fromkeys([*starts, *wanted]) if not run.done]
    first = settings[0]
    pending = connect(first.precision, first.device).broadcast(pending)
    # What others begin with, then long runs, so that the last ones to finish are short.
    pending.sort(key=lambda run: (run not in starts, not run.row.wild, -run.row.stacks))
    calls: dict[str, Callable[[], object]] = {} if first.real else _rendering(pending)
    for item in pending:
        name = f"{item.row.id}, seed {item.setting.seed}"
        calls[name] = partial(run, item.row.id, item.setting)
    count = jobs or (cores() if first.device == "cpu" else 1)
    if min(count, len(pending)) <= 1 or processes() > 1:
        for call in calls.values():
            call()
    else:
        side_by_side("networks", calls, min(count, len(pending)), bars=True)


def _rendering(pending: Sequence[Run]) -> dict[str, Callable[[], object]]:
    """What renders the stand-ins that runs need, each split by itself; the slowest comes first."""
    needed = [(run.setting, "wild", "train") for run in pending if run.row.wild]
    needed += [(run.setting, run.row.home, run.row.train_split) for run in pending]
    needed += [(run.setting, *test) for run in pending for test in run.tests.items()]
    return {
        f"{domain} {split}, seed {setting.seed}": partial(setting.load, domain, split)
        for setting, domain, split in dict.fromkeys(needed)
    }
