"""The training loop: determinism, checkpoints, a real kill, and compiled networks."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ordlib.batches import ahead
from ordlib.data import PoseBatch
from ordlib.errors import InputError
from ordlib.training import Budget, fit, learning_rate_factor, load_weights, save_weights

SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_training as t
t.train_small(Path(sys.argv[1]), steps=60, pause=0.03, checkpoint_seconds=0.0)
"""


class Bytes(nn.Sequential):
    """A network that takes images as bytes, as those of the package do."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images / 255 - 0.5)


def small_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten())
        return Bytes(*layers, nn.Linear(8 * 36, 17))


def batch_at(step: int) -> PoseBatch:
    generator = torch.Generator().manual_seed(step)
    images = torch.randint(0, 256, (4, 3, 8, 8), generator=generator, dtype=torch.uint8)
    target = (images / 255).mean((1, 2, 3))[:, None, None].expand(4, 17, 2).contiguous()
    visible = torch.ones(4, 17, dtype=torch.bool)
    return PoseBatch(images, target, visible, None, None, None, torch.eye(3).expand(4, 3, 3), {})


def error(network: nn.Module, batch: PoseBatch) -> dict[str, torch.Tensor]:
    return {"error": (network(batch.images).float() - batch.keypoints_px[..., 0]).square().mean()}


def interrupt(folder: Path, moment: int, budget: Budget) -> None:
    """Train until a step, with a checkpoint after each."""

    def stop(step: int) -> PoseBatch:
        if step == moment:
            raise KeyboardInterrupt
        return batch_at(step)

    with pytest.raises(KeyboardInterrupt):
        fit(small_network(), stop, error, replace(budget, checkpoint_seconds=0.0), folder)
    assert (folder / "checkpoint.safetensors").exists()


def train_small(
    folder: Path,
    steps: int = 30,
    pause: float = 0.0,
    checkpoint_seconds: float = 1e9,
    optimizer: str = "adam",
    **options: Any,
) -> nn.Module:
    def batch(step: int) -> PoseBatch:
        time.sleep(pause)
        return batch_at(step)

    options["checkpoint_seconds"] = checkpoint_seconds
    budget = Budget(steps, optimizer, 1e-2, "cosine", **options)
    return fit(small_network(), batch, error, budget, folder)


def assert_same_weights(first: nn.Module, second: nn.Module) -> None:
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_training_lowers_the_loss_and_is_deterministic(tmp_path: Path, optimizer: str) -> None:
    first = train_small(tmp_path / "a", optimizer=optimizer)
    torch.manual_seed(77)
    second = train_small(tmp_path / "b", optimizer=optimizer)
    assert_same_weights(first, second)
    log = (tmp_path / "a" / "log.csv").read_text()
    assert log == (tmp_path / "b" / "log.csv").read_text()
    rows = [line.split(",") for line in log.splitlines()]
    assert rows[0] == ["step", "error"] and rows[-1][0] == "29"
    assert float(rows[-1][1]) < 0.5 * float(rows[1][1])


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_going_on_from_a_checkpoint_changes_nothing(tmp_path: Path, optimizer: str) -> None:
    whole = train_small(tmp_path / "whole", optimizer=optimizer)
    interrupt(tmp_path / "parts", 17, Budget(30, optimizer, 1e-2, "cosine"))
    parts = train_small(tmp_path / "parts", optimizer=optimizer)
    assert_same_weights(whole, parts)
    same = [(tmp_path / name / "log.csv").read_text() for name in ("whole", "parts")]
    assert same[0] == same[1]


def test_killed_at_any_moment_ends_with_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL at several moments; no half-written file is ever left under a final name."""
    whole = train_small(tmp_path / "whole", steps=60)
    folder = tmp_path / "killed"
    here = str(Path(__file__).parent)
    command = [sys.executable, "-c", SCRIPT, str(folder), here]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    kills = 0
    for delay in (0.2, 0.55, 0.4, 60.0):
        process = subprocess.Popen(command, env=environment)
        checkpoint = folder / "checkpoint.safetensors"
        before = checkpoint.stat().st_mtime if checkpoint.exists() else 0.0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if checkpoint.exists() and checkpoint.stat().st_mtime > before:
                break
            time.sleep(0.01)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            load_file(checkpoint)
    assert kills >= 2, "the run ended before it could be killed"
    assert process.returncode == 0
    assert_same_weights(whole, load_weights(folder, small_network()))


def test_bf16_trains_close_to_fp32(tmp_path: Path) -> None:
    exact = train_small(tmp_path / "a")
    mixed = train_small(tmp_path / "b", precision="bf16-mixed")
    x = batch_at(99).images
    assert next(mixed.parameters()).dtype == torch.float32
    torch.testing.assert_close(exact.eval()(x), mixed.eval()(x), atol=0.1, rtol=0.1)


def test_schedules() -> None:
    cosine = Budget(100, schedule="cosine")
    factors = [learning_rate_factor(cosine, step) for step in range(100)]
    assert factors[0] == pytest.approx(0.2) and max(factors) == 1.0 and factors[-1] < 1e-3
    assert learning_rate_factor(Budget(100), 50) == 1.0
    assert learning_rate_factor(replace(cosine, warmup=0.0), 0) == 1.0
    with pytest.raises(InputError, match="schedule: expected constant or cosine, found 'step'"):
        learning_rate_factor(Budget(10, schedule="step"), 0)


def test_bad_settings_and_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="optimizer: expected one of rmsprop, adam, found 'sgd'"):
        train_small(tmp_path, optimizer="sgd")
    save_weights(tmp_path / "test", nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(InputError, match=r"weights\.safetensors: expected the weights"):
        load_weights(tmp_path / "test", small_network())
    save_weights(tmp_path / "another run", small_network())
    (tmp_path / "another run").rename(tmp_path / "moved")
    with pytest.raises(InputError, match="found a file of 'another run' in place of 'moved'"):
        load_weights(tmp_path / "moved", small_network())
    with pytest.raises(InputError, match="found no file"):
        load_weights(tmp_path / "absent", small_network())


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    interrupt(tmp_path / "mine", 3, Budget(5))
    (tmp_path / "mine").rename(tmp_path / "yours")
    with pytest.raises(InputError, match="a file of 'mine' in place of 'yours'"):
        train_small(tmp_path / "yours")


@pytest.mark.parametrize("moment", [0, 3])
def test_a_loss_that_is_not_finite_never_reaches_a_checkpoint(tmp_path: Path, moment: int) -> None:
    def broken(step: int) -> PoseBatch:
        batch = batch_at(step)
        points = batch.keypoints_px
        return replace(batch, keypoints_px=points * torch.nan) if step == moment else batch

    config = Budget(1000, checkpoint_seconds=0.0)
    with pytest.raises(InputError, match=f"loss error is not finite at step {moment}"):
        fit(small_network(), broken, error, config, tmp_path)
    checkpoint = tmp_path / "checkpoint.safetensors"
    tensors = load_file(checkpoint) if moment else {}
    assert checkpoint.exists() == bool(moment)
    assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x10" * 64])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoint\.safetensors: expected a checkpoint"):
        train_small(tmp_path)


def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    """The operating system refuses files beyond 4 kB, as it does when a disk is full."""
    code = """
import resource, signal, sys
from pathlib import Path
from torch import nn
from ordlib.errors import InputError
from ordlib.training import save_weights
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    save_weights(Path(sys.argv[1]), nn.Linear(100, 100))
except InputError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "weights.safetensors: could not be written: " in done.stdout
    assert list(tmp_path.iterdir()) == []


# PyTorch's compiler imports parts of PyTorch that are on their way out
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(("precision", "tolerance"), [("32-true", 1e-4), ("bf16-mixed", 0.05)])
def test_compilation_changes_losses_by_rounding(
    tmp_path: Path, precision: str, tolerance: float
) -> None:
    folders = [tmp_path / "usual", tmp_path / "compiled"]
    for folder in folders:
        train_small(folder, precision=precision, compile=folder.name == "compiled")
    logs = [pd.read_csv(folder / "log.csv") for folder in folders]
    pd.testing.assert_frame_equal(*logs, check_exact=False, rtol=tolerance)
    # weights keep their names, so that they load without a compiler
    load_weights(folders[1], small_network())


# Batches of coming steps


@pytest.mark.parametrize("threads", [0, 1, 4])
@pytest.mark.parametrize("first", [0, 7])
def test_every_step_is_made_once_from_where_training_goes_on(threads: int, first: int) -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step**2

    with ahead(make, 20, threads) as take:
        assert [take(step) for step in range(first, 20)] == [s**2 for s in range(first, 20)]
    assert sorted(made) == list(range(first, 20))


def test_coming_steps_are_made_at_once() -> None:
    together = threading.Barrier(3, timeout=60)

    def make(step: int) -> int:
        together.wait()  # fails unless three steps are under way
        return step

    with ahead(make, 3, 3) as take:
        assert [take(step) for step in range(3)] == [0, 1, 2]


def test_an_error_is_raised_at_its_step() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ValueError("broken image")
        return step

    with ahead(make, 5, 4) as take:
        assert [take(0), take(1)] == [0, 1]
        with pytest.raises(ValueError, match="broken image"):
            take(2)
