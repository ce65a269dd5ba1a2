"""Two processes that share each batch, as torchrun starts them, against one process."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from torch import distributed, nn
from train_together import (
    STEPS,
    SharedBatchNorm,
    mixed_batch,
    random_batch,
    share_statistics,
    train_small,
)

from ordlib import distributed as devices
from ordlib import experiments
from ordlib.data import MixedBatch, PoseBatch
from ordlib.distributed import resolve_device, share
from ordlib.errors import InputError

SCRIPT = Path(__file__).with_name("train_together.py")


def torchrun(*command: str | Path) -> subprocess.CompletedProcess:
    """Run a Python command in two processes on this machine's CPU."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = (*launcher, "--nproc-per-node", "2", *map(str, command))
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of three networks, each trained by two processes."""
    folder = tmp_path_factory.mktemp("together")
    done = torchrun(SCRIPT, folder, "three networks")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["mixed", "depth"])
def test_two_processes_learn_what_one_does(shared_run: Path, tmp_path: Path, name: str) -> None:
    """Of one global batch: the same losses, the same batch statistics, and one log."""
    alone = train_small(name, tmp_path / name)
    logs = [pd.read_csv(folder / "log.csv") for folder in (alone, shared_run / name)]
    assert list(logs[0]["step"]) == list(range(STEPS))
    pd.testing.assert_frame_equal(*logs, check_exact=False, rtol=1e-5, atol=1e-5)
    # weights at the edge of nothing to learn go either way, statistics do not
    one, two = (load_file(f / "weights.safetensors") for f in (alone, shared_run / name))
    assert one.keys() == two.keys()
    for key in one:
        if "running" in key:
            torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-4)


def test_single_precision_differs_by_the_order_of_sums(shared_run: Path, tmp_path: Path) -> None:
    alone = train_small("coordinate", tmp_path / "coordinate", precision="32-true")
    logs = [pd.read_csv(folder / "log.csv") for folder in (alone, shared_run / "coordinate")]
    pd.testing.assert_frame_equal(logs[0][:1], logs[1][:1], check_exact=False, rtol=1e-5)
    # RMSprop starts with steps of one size whatever the gradient, noise included
    pd.testing.assert_frame_equal(*logs, check_exact=False, rtol=1e-2)


def test_a_killed_process_ends_all_and_the_next_start_goes_on(
    shared_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "depth"
    assert torchrun(SCRIPT, folder, "dies").returncode != 0
    with safe_open(folder / "checkpoint.safetensors", framework="pt") as file:
        assert file.metadata()["step"] == "11"
    assert not (folder / "weights.safetensors").exists()
    done = torchrun(SCRIPT, folder, "goes on")
    assert done.returncode == 0, done.stderr
    for name in ("log.csv", "weights.safetensors"):
        assert (folder / name).read_bytes() == (shared_run / "depth" / name).read_bytes()


def test_machines_without_a_common_folder_are_told(tmp_path: Path) -> None:
    torchrun(SCRIPT, tmp_path / "0", "dies")
    done = torchrun(SCRIPT, tmp_path, "folders apart")
    assert done.returncode != 0
    assert "expected step 11, which the first process found there, found step 0" in done.stderr


def test_a_row_is_trained_by_all_and_written_once(outputs: Path, monkeypatch) -> None:
    """From the command line: the run is the one that a single process looks for and finds."""
    options = ("--scale", "smoke", "--device", "cpu")
    done = torchrun("-m", "ordlib", "train", "table2/ordinal", *options)
    assert done.returncode == 0, done.stderr
    smoke = experiments.Setting("smoke", device="cpu")
    monkeypatch.setattr(experiments.runs, "_train", None)
    found = experiments.run("table2/ordinal", smoke)
    assert len(found.log) == found.row.steps(found.scale) and found.metrics["studio"]["mpjpe"] > 0
    assert not (found.folder / "checkpoint.safetensors").exists()
    begun = experiments.run("table1/volume2/full", smoke)
    folders = {path for path in found.folder.parent.iterdir() if path.is_dir()}
    assert folders == {found.folder, begun.folder}


# Shares


@given(size=st.integers(1, 4), count=st.integers(1, 4), mixed=st.booleans())
def test_shares_are_the_batch_cut_into_equal_parts(size: int, count: int, mixed: bool) -> None:
    whole = mixed_batch(0, size * count) if mixed else random_batch(0, size * count)
    parts = [share(whole, rank, count) for rank in range(count)]
    if isinstance(whole, MixedBatch):
        assert all(isinstance(part, MixedBatch) for part in parts)
        assert_parts(whole.full, [part.full for part in parts])
        assert_parts(whole.weak, [part.weak for part in parts])
    else:
        assert_parts(whole, parts)


def assert_parts(whole: PoseBatch, parts: list[PoseBatch]) -> None:
    assert len({len(part) for part in parts}) == 1
    for field in fields(whole):
        value, cut = getattr(whole, field.name), [getattr(part, field.name) for part in parts]
        if field.name == "meta":
            assert [name for meta in cut for name in meta["subject"]] == value["subject"]
        elif value is None:
            assert cut == [None] * len(parts)
        else:
            assert torch.equal(torch.cat(cut), value)


@pytest.mark.parametrize(("size", "count"), [(4, 3), (1, 2), (0, 2)])
def test_a_batch_that_cannot_be_shared_equally_is_refused(size: int, count: int) -> None:
    message = f"batch: expected a size that the {count} processes can share equally, found {size}"
    with pytest.raises(InputError, match=message):
        share(random_batch(0, size), 0, count)
    with pytest.raises(InputError, match=message):
        share(MixedBatch(random_batch(0, 12), random_batch(0, size)), 0, count)


# Batch norm


@pytest.fixture
def alone_in_a_group():
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm2d, (4, 3, 6, 2))]
)
def test_shared_batch_norm_of_one_process_is_batch_norm(alone_in_a_group, kind, shape) -> None:
    torch.manual_seed(0)
    usual, shared = nn.Sequential(kind(3)), nn.Sequential(kind(3))
    for layer in (usual[0], shared[0]):
        nn.init.constant_(layer.weight, 1.5)
        nn.init.constant_(layer.bias, -0.5)
    share_statistics(shared)
    assert isinstance(shared[0], SharedBatchNorm)
    for training in (True, True, False):
        x = torch.randn(shape) * 3 + 1
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [m.train(training)(i) for m, i in zip((usual, shared), inputs, strict=True)]
        for output in outputs:
            (output * torch.linspace(-1, 1, output.numel()).view(shape)).sum().backward()
        torch.testing.assert_close(outputs[1], outputs[0])
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    torch.testing.assert_close(shared.state_dict(), usual.state_dict())
    for one, other in zip(usual.parameters(), shared.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad)


def test_on_gpus_the_batch_norm_of_pytorch_is_used() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm1d(2)))
    devices.share_statistics(network, "cuda:1")
    assert isinstance(network[0], nn.SyncBatchNorm) and isinstance(network[1][0], nn.SyncBatchNorm)


# Devices


def test_each_process_has_a_gpu_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr(devices, "_available", lambda: ["cpu", "cuda", "cuda:0", "cuda:1"])
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert resolve_device("auto") == "cuda"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [resolve_device(n) for n in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda:1", "cuda:1", "cuda:1", "cpu"
    ]  # fmt: skip
    with pytest.raises(InputError, match="cpu or cuda under torchrun, found 'cuda:0'"):
        resolve_device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(InputError, match=r"this machine has auto, cpu, cuda, .* 'cuda:2'"):
        resolve_device("auto")
