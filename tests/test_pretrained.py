"""Kept weights of the full method: what comes back, how large they are, and files that are bad."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ordlib import experiments, pretrained
from ordlib.errors import InputError
from ordlib.experiments import Setting
from ordlib.experiments.supervision import build
from ordlib.networks import PoseEstimator, ReconstructionNet
from ordlib.reconstruction import CONFIGS
from ordlib.training import save_weights

SMOKE = Setting("smoke", device="cpu")


def a_run(folder: Path, scale: str, seed: int = 0) -> experiments.Run:
    """A run that is finished but was never trained."""
    row = experiments.get_row(pretrained.ROW)
    sizes = row.scaled(scale)
    network = build(row.network, row.stacks, sizes, seed)
    save_weights(folder / "weights.safetensors", network, folder.name)
    run = experiments.Run(row, Setting(scale, seed, device="cpu"))
    run.__dict__["folder"] = folder  # where cached_property keeps it
    return run


def a_component(scale: str, seed: int = 0) -> ReconstructionNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ReconstructionNet(width=CONFIGS[scale].width, dropout=CONFIGS[scale].dropout).eval()


def kept(folder: Path, scale: str = "smoke", seed: int = 0) -> pretrained.Weights:
    return pretrained.save(a_run(folder, scale, seed), a_component(scale, seed))


@pytest.fixture
def weights(tmp_path) -> pretrained.Weights:
    return kept(tmp_path / "run")


def test_what_comes_back_predicts_the_same(tmp_path):
    run, component = a_run(tmp_path / "run", "smoke", 3), a_component("smoke", 3)
    weights = pretrained.save(run, component)
    assert (weights.row, weights.scale, weights.seed) == (pretrained.ROW, "smoke", 3)
    back = pretrained.load("smoke")
    assert not back.training and back.image_size == run.scale.image_size
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    before = PoseEstimator(run.network(), component, run.scale.image_size).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            back.network(images)[-1], before.network(images)[-1], atol=0.01, rtol=0.01
        )
        points = torch.rand(5, 17, 2, generator=torch.Generator().manual_seed(1)) * 32
        inputs = points, points[..., 0] * 3
        torch.testing.assert_close(
            back.reconstruction(*inputs), component(*inputs), atol=0.01, rtol=0.01
        )


def test_kernels_in_half_precision_and_everything_else_to_the_bit(tmp_path):
    run = a_run(tmp_path / "run", "smoke")
    weights = pretrained.save(run, a_component("smoke"))
    stored = load_file(weights.folder / pretrained.CONVNET)
    original = run.network().state_dict()
    assert set(stored) == set(original)
    for name, value in original.items():
        assert stored[name].dtype == (torch.float16 if value.ndim > 1 else value.dtype)
        torch.testing.assert_close(stored[name].to(value.dtype), value, atol=1e-6, rtol=2**-11)
    loaded = weights.estimator().network.state_dict()
    assert all(value.dtype == original[name].dtype for name, value in loaded.items())


def test_small_enough_to_be_committed_and_the_same_each_time(tmp_path):
    for scale in ("quick", "desk"):
        folder = kept(tmp_path / scale, scale).folder
        files = sorted(folder.iterdir())
        assert [path.name for path in files] == [pretrained.CONVNET, pretrained.COMPONENT]
        assert sum(path.stat().st_size for path in files) < 5e6
        before = [path.read_bytes() for path in files]
        kept(tmp_path / scale, scale)
        assert [path.read_bytes() for path in files] == before


def test_loading_draws_nothing(weights):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    weights.estimator()
    assert torch.rand(1) == expected


def test_the_largest_scale_with_weights_is_found_and_smoke_only_by_name(tmp_path, outputs):
    kept(tmp_path / "s", "smoke")
    with pytest.raises(
        InputError, match="expected SCALE/weights of paper, desk, quick, found none"
    ):
        pretrained.find()
    assert pretrained.find("smoke").scale == "smoke"
    for scale in ("quick", "desk"):
        kept(tmp_path / scale, scale)
        assert pretrained.find().scale == scale
        assert pretrained.find().folder == outputs / scale / "weights"
    assert pretrained.find("quick").scale == "quick"


def test_weights_with_data_are_apart(tmp_path, outputs):
    (tmp_path / "walk.bvh").touch()
    setting = Setting("smoke", data=str(tmp_path), device="cpu")
    run = replace(a_run(tmp_path / "run", "smoke"), setting=setting)
    run.__dict__["folder"] = tmp_path / "run"
    weights = pretrained.save(run, a_component("smoke"))
    assert weights.folder == outputs / "smoke-data" / "weights"
    with pytest.raises(InputError, match="found no file"):
        pretrained.find("smoke")
    assert not pretrained.is_ready(setting)


def test_only_the_full_method_is_kept(tmp_path):
    run = a_run(tmp_path / "run", "smoke")
    other = replace(run, row=experiments.get_row("table2/keypoints"))
    with pytest.raises(InputError, match="run: expected one of table2/ordinal, found table2/keyp"):
        pretrained.save(other, a_component("smoke"))


def test_weights_too_large_for_half_precision_are_refused(tmp_path, outputs):
    component = a_component("smoke")
    with torch.no_grad():
        component.last.weight[0, 0] = 1e5
    with pytest.raises(InputError, match="half precision"):
        pretrained.save(a_run(tmp_path / "run", "smoke"), component)
    assert not (outputs / "smoke" / "weights" / pretrained.COMPONENT).exists()


class Bomb:
    """Its pickle would write a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", [pretrained.CONVNET, pretrained.COMPONENT])
def test_bad_files_are_named_with_the_remedy(weights, name, tmp_path):
    path = weights.folder / name
    whole = path.read_bytes()
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    sign = tmp_path / "unpickled"

    kernel = next(key for key, value in tensors.items() if value.ndim > 1)
    counter = next(key for key in tensors if key.endswith("num_batches_tracked"))

    def without(name: str) -> None:
        save_file({k: v for k, v in tensors.items() if k != name}, path, metadata=metadata)

    def infinite() -> None:
        save_file(tensors | {kernel: tensors[kernel] * torch.inf}, path, metadata=metadata)

    for spoil in (
        path.unlink,
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: path.write_text("weights"),
        lambda: path.write_bytes(pickle.dumps(Bomb(sign))),
        lambda: torch.save({"w": Bomb(sign)}, path),
        lambda: save_file(tensors, path),
        lambda: save_file(tensors, path, metadata={"config": "[]"}),
        lambda: save_file(tensors, path, metadata={"config": "{}"}),
        lambda: without(kernel),
        lambda: without(counter),
        infinite,
    ):
        spoil()
        with pytest.raises(InputError) as raised:
            pretrained.load("smoke")
        assert str(raised.value).startswith(f"{path}: expected weights of the full method, found ")
        assert "`make reproduce SCALE=smoke ONLY=15` writes them" in str(raised.value)
    assert not sign.exists()


def test_parts_of_two_runs_are_refused(weights, tmp_path):
    convnet = (weights.folder / pretrained.CONVNET).read_bytes()
    kept(tmp_path / "other", seed=1)
    (weights.folder / pretrained.CONVNET).write_bytes(convnet)
    with pytest.raises(InputError, match=r"reconstruction.safetensors: expected weights .*beside"):
        pretrained.find("smoke")


def test_weights_of_another_scale_are_refused(weights, tmp_path):
    quick = kept(tmp_path / "quick", "quick").folder
    for name in (pretrained.CONVNET, pretrained.COMPONENT):
        (quick / name).write_bytes((weights.folder / name).read_bytes())
    with pytest.raises(InputError, match="expected weights of the full method"):
        pretrained.find("quick")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(place=st.integers(0, 3000), value=st.integers(0, 255), name=st.sampled_from((0, 1)))
def test_a_changed_byte_of_the_header_is_found_or_harmless(weights, place, value, name):
    """Whatever is in the file, the method loads or the message names the file."""
    path = weights.folder / (pretrained.CONVNET, pretrained.COMPONENT)[name]
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[place] = value
    path.write_bytes(changed)
    try:
        pretrained.load("smoke")
    except InputError as error:
        assert str(weights.folder) in str(error)
    finally:
        path.write_bytes(whole)


def test_a_finished_run_renews_the_weights_and_otherwise_they_stay(weights, tmp_path, monkeypatch):
    assert pretrained.is_ready(SMOKE) and not pretrained.is_ready(replace(SMOKE, seed=1))
    assert pretrained.renew(SMOKE) == weights
    run = a_run(tmp_path / "new", "smoke", 1)
    monkeypatch.setattr(pretrained, "Run", lambda row, setting: run)
    monkeypatch.setattr(experiments.Run, "done", True)
    monkeypatch.setattr(pretrained, "component", lambda setting: a_component("smoke", 1))
    assert pretrained.is_ready(replace(SMOKE, seed=1))
    assert pretrained.renew(replace(SMOKE, seed=1)).seed == 1
    assert pretrained.find("smoke").seed == 1


def test_nothing_to_renew(outputs):
    assert not pretrained.is_ready(SMOKE)
    with pytest.raises(InputError, match="found no file"):
        pretrained.renew(SMOKE)
    with pytest.raises(InputError, match="scale: expected one of"):
        pretrained.find("huge")
