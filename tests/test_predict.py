"""Prediction on image files, and the weights that are kept for it: good ones and bad ones."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ordlib import predict, synthetic
from ordlib.camera import project
from ordlib.data import Picture, assumed_intrinsics, crop
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting, get_row
from ordlib.experiments.components import CONFIGS
from ordlib.networks import PoseEstimator, ReconstructionNet, build
from ordlib.plots import contact_sheet
from ordlib.predict import COMPONENT, CONVNET, predict_files
from ordlib.training import save_weights

ROW = "table1/coordinate/full"


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the weights that came with the package."""
    monkeypatch.setattr(predict, "SHIPPED", tmp_path / "shipped")
    return tmp_path / "shipped"


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "run", None)


def finished(scale: str = "smoke", seed: int = 0) -> Run:
    """A run of the full method that has weights but was never trained."""
    run = Run(get_row(predict.ROW), Setting(scale, seed, device="cpu"))
    network = build(run.row.network, run.row.stacks, run.scale, seed)
    save_weights(run.folder, network)
    return run


def component(scale: str = "smoke", seed: int = 0) -> ReconstructionNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ReconstructionNet(width=CONFIGS[scale].width, dropout=CONFIGS[scale].dropout).eval()


def keep(scale: str = "smoke", seed: int = 0) -> Path:
    """The folder of kept weights."""
    predict.save(finished(scale, seed), component(scale, seed))
    return predict.outputs_folder(scale) / "weights"


def gradient(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack((x, y, 0 * x), -1).astype(np.uint8))


def test_crop_takes_the_square_that_was_asked_for() -> None:
    pixels, box = crop(gradient(200, 120), (100.0, 60.0, 40.0), 40)
    assert box == (100.0, 60.0, 40.0)
    assert pixels[0, 0].tolist() == list(range(80, 120))
    assert pixels[1, :, 0].tolist() == list(range(40, 80))


def test_crop_outside_the_image_is_black() -> None:
    pixels, _ = crop(gradient(60, 60), (0.0, 30.0, 60.0), 60)
    assert not pixels[:, :, :30].any() and pixels[1, 5:, 31:].all()


def test_a_box_larger_than_memory_is_shown_all_the_same() -> None:
    pixels, box = crop(gradient(100, 100), (50.0, 50.0, 2e5), 64)
    assert pixels.shape == (3, 64, 64) and box == pytest.approx((50.0, 50.0, 2e5), rel=0.05)


def test_the_whole_image_is_the_default_box() -> None:
    pixels, box = crop(gradient(60, 40), None, 64)
    assert pixels.shape == (3, 64, 64) and box == (30.0, 20.0, 60.0)


def test_assumed_camera_looks_at_the_middle_of_the_image() -> None:
    """A point on the optical axis is seen at the image's centre, wherever the crop lies."""
    box = (300.0, 100.0, 200.0)
    intrinsics = assumed_intrinsics((400, 300), box, 64)
    seen = project(torch.tensor([[[0.0, 0.0, 3000.0]]]), intrinsics)[0, 0]
    in_image = seen * (box[2] / 64) + torch.tensor(box[:2]) - box[2] / 2
    torch.testing.assert_close(in_image, torch.tensor([200.0, 150.0]))


def test_figures_and_joints_are_written(tmp_path: Path) -> None:
    image = synthetic.load("studio", "test", "smoke", 0).batch([0]).images
    for folder in ("ä b", "c"):
        (tmp_path / folder).mkdir()
        Image.fromarray(contact_sheet(image, 1, gap=0)).save(tmp_path / folder / "person.png")
    files = [tmp_path / "ä b" / "person.png", tmp_path / "c" / "person.png"]
    out = tmp_path / "out"
    written = predict_files(files, None, ROW, "smoke", 0, "cpu", out)
    assert [path.name for path in written] == ["person-1.json", "person-2.json"]
    names = {f"person-{n}.{kind}" for n in (1, 2) for kind in ("json", "png")}
    assert {path.name for path in out.iterdir()} == names
    record = json.loads(written[0].read_text())
    assert record["image"] == str(files[0])
    assert np.array(record["joints_mm"]).shape == (17, 3)
    assert record["joints_mm"][0] == [0.0, 0.0, 0.0]
    assert np.isfinite(record["keypoints_px"]).all()
    assert "rendered people only" in record["caution"]
    assert record["network"].pop("weights").endswith("weights.safetensors")
    assert record["network"] == {"row": ROW, "scale": "smoke", "seed": 0, "reconstruction": False}
    with Image.open(out / "person-1.png") as figure:
        assert figure.width > 600


def test_kept_weights_predict_without_training(
    no_training: None, outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row, scale and seed are those of the weights; so are the joints."""
    folder = keep(seed=4)
    gradient(90, 60).save(tmp_path / "photo.png")
    titles = []
    monkeypatch.setattr(
        predict, "save_figure", lambda figure, path: titles.append(figure.get_suptitle())
    )
    box, out = (40.0, 30.0, 50.0), tmp_path / "out"
    (path,) = predict_files([tmp_path / "photo.png"], box, None, "smoke", None, "cpu", out)
    record = json.loads(path.read_text())
    assert record["network"] == {
        **{"row": "table2/ordinal", "scale": "smoke", "seed": 4, "reconstruction": True},
        "weights": str(folder),
    }
    name = "table2/ordinal with the reconstruction component, scale smoke, seed 4"
    assert titles == [f"{name}\nweights: smoke/weights"]
    trained = predict.kept("smoke")
    points, joints, _ = predict.pose(trained, gradient(90, 60), box)
    np.testing.assert_allclose(record["joints_mm"], joints.numpy(), atol=0.02)
    np.testing.assert_allclose(record["keypoints_px"], points.numpy(), atol=0.02)
    assert trained.component is not None
    estimator = PoseEstimator(trained.network, trained.component, trained.image_size).eval()
    with torch.no_grad():
        expected = estimator(crop(gradient(90, 60), box, trained.image_size)[0][None])[0]
    torch.testing.assert_close(joints, expected, atol=0.1, rtol=0)


def test_one_picture_at_a_time_and_results_as_they_come(
    no_training: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep()
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for path in files:
        gradient(40, 40).save(path)
    present: list[int] = []
    decode = Picture.decode

    def counted(picture: Picture, zoom: float = 1.0) -> Image.Image:
        present.append(len(list((tmp_path / "out").glob("*.json"))))
        return decode(picture, zoom)

    monkeypatch.setattr(Picture, "decode", counted)
    predict_files(files, None, None, "smoke", None, "cpu", tmp_path / "out")
    assert present == sorted(present) and set(present) == {0, 1, 2}


def test_a_file_that_is_no_image_is_named_before_anything_is_trained(
    no_training: None, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    gradient(8, 8).save(tmp_path / "good.png")
    for name, found in (("text.jpg", "none"), ("absent.png", "nothing"), ("", "a folder")):
        files = [tmp_path / "good.png", tmp_path / name]
        with pytest.raises(InputError, match=f"{name}: expected an image.*{found}"):
            predict_files(files, None, ROW, "smoke", 0, "cpu", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def images(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        gradient(8, 8).save(folder / name)
    return [folder / name for name in names]


def test_names_that_images_share_are_told_apart(tmp_path: Path) -> None:
    files = images(tmp_path, "a/x.jpg", "b/x.jpg", "c/x-1.jpg", "y.png")
    assert predict.result_names(files, tmp_path / "out") == ["x-2", "x-3", "x-1", "y"]


def test_results_of_another_image_are_not_replaced(tmp_path: Path) -> None:
    first, second = images(tmp_path, "a/x.jpg", "b/x.jpg")
    out = tmp_path / "out"
    out.mkdir()
    (out / "x.json").write_text(json.dumps({"image": str(first)}))
    assert predict.result_names([first], out) == ["x"]
    assert predict.result_names([second], out) == ["x-1"]
    (out / "x.json").write_text("{")
    assert predict.result_names([first], out) == ["x-1"]


def test_no_figure_takes_the_place_of_an_image(no_training: None, tmp_path: Path) -> None:
    (path,) = images(tmp_path, "me.png")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"found .*me\.png, which one of them would replace"):
        predict_files([path], None, ROW, "smoke", 0, "cpu", tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "box", [(float("nan"), 0.0, 5.0), (10.0, 10.0, 0.0), (900.0, 10.0, 20.0), (0.0, -80.0, 20.0)]
)
def test_boxes_that_show_nothing(box: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="box: expected"):
        crop(gradient(64, 64), box, 32)


def test_unsuitable_rows_and_weights_that_are_not_there(no_training: None, tmp_path: Path) -> None:
    keep(seed=4)
    for row, scale, seed, message in (
        ("table1/depth/weak", "smoke", 0, "row: expected a network that predicts 2D joints"),
        (None, "smoke", 5, r"seed: expected 4, of the weights in .*, found 5"),
        (None, None, None, "SCALE/weights of paper, desk, quick, found none; `make reproduce ONLY"),
        (None, "quick", None, "convnet.safetensors: .* found no file; `make reproduce SCALE=quick"),
        (None, "huge", None, "scale: expected one of"),
    ):
        with pytest.raises(InputError, match=message):
            predict_files([], None, row, scale, seed, "cpu", tmp_path)


def test_kernels_in_half_precision_and_everything_else_to_the_bit() -> None:
    run, original = finished(), finished().network().state_dict()
    predict.save(run, component())
    stored = load_file(run.setting.folder / "weights" / CONVNET)
    assert set(stored) == set(original)
    for name, value in original.items():
        assert stored[name].dtype == (torch.float16 if value.ndim > 1 else value.dtype)
        torch.testing.assert_close(stored[name].to(value.dtype), value, atol=1e-6, rtol=2**-11)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    loaded = predict.kept("smoke").network.state_dict()
    assert torch.rand(1) == expected, "loading draws nothing"
    assert all(value.dtype == original[name].dtype for name, value in loaded.items())


def test_small_enough_to_be_committed_and_the_same_each_time() -> None:
    for scale in ("quick", "desk"):
        files = sorted(keep(scale).iterdir())
        assert [path.name for path in files] == [CONVNET, COMPONENT]
        assert sum(path.stat().st_size for path in files) < 5e6
        before = [path.read_bytes() for path in files]
        keep(scale)
        assert [path.read_bytes() for path in files] == before


def test_the_largest_scale_is_found_and_at_one_scale_the_users_own(
    outputs: Path, shipped: Path
) -> None:
    keep("quick", 1)
    assert predict.kept().source["scale"] == "quick"
    (shipped / "desk").mkdir(parents=True)
    keep("desk", 2).rename(shipped / "desk" / "weights")
    assert predict.kept().source["weights"] == str(shipped / "desk" / "weights")
    assert predict.kept().title.endswith("scale desk, seed 2\nweights: desk/weights")
    assert predict.kept("quick").source["seed"] == 1
    keep("desk", 3)
    assert predict.kept().source["weights"] == str(outputs / "desk" / "weights")


def test_the_weights_of_the_repository_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "SHIPPED", Path(predict.__file__).parents[1] / "outputs")
    trained = predict.kept()
    assert trained.source["row"] == predict.ROW
    joints = predict.pose(trained, gradient(90, 60))[1]
    assert joints.isfinite().all() and joints.shape == (17, 3)


def test_weights_too_large_for_half_precision_are_refused(outputs: Path) -> None:
    large = component()
    with torch.no_grad():
        large.last.weight[0, 0] = 1e5
    with pytest.raises(InputError, match="half precision"):
        predict.save(finished(), large)
    assert not (outputs / "smoke" / "weights" / COMPONENT).exists()


class Bomb:
    """Its pickle would write a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", [CONVNET, COMPONENT])
def test_bad_files_are_named_with_the_remedy(name: str, tmp_path: Path) -> None:
    path = keep() / name
    whole, tensors = path.read_bytes(), load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    sign = tmp_path / "unpickled"
    kernel = next(key for key, value in tensors.items() if value.ndim > 1)
    counter = next(key for key in tensors if key.endswith("num_batches_tracked"))

    def write(metadata: dict | None = metadata, leave: str = "", **changes: torch.Tensor) -> None:
        left = {key: value for key, value in (tensors | changes).items() if key != leave}
        save_file(left, path, metadata=metadata)

    spoiled: list[Callable[[], object]] = [
        path.unlink,
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: path.write_bytes(pickle.dumps(Bomb(sign))),
        lambda: torch.save({"w": Bomb(sign)}, path),
        lambda: write(None),
        lambda: write({"config": "[]"}),
        lambda: write({"config": "{}"}),
        lambda: write({"config": metadata["config"].replace("smoke", "quick")}),
        lambda: write(leave=kernel),
        lambda: write(leave=counter),
        lambda: write(**{kernel: tensors[kernel] * torch.inf}),
    ]
    for spoil in spoiled:
        spoil()
        with pytest.raises(InputError) as raised:
            predict.kept("smoke")
        assert str(raised.value).startswith(f"{path}: expected weights of the full method, found ")
        assert "`make reproduce SCALE=smoke ONLY=15` writes them" in str(raised.value)
    assert not sign.exists()


def test_parts_of_two_runs_are_refused() -> None:
    first = (keep() / CONVNET).read_bytes()
    (keep(seed=1) / CONVNET).write_bytes(first)
    with pytest.raises(InputError, match=r"reconstruction.safetensors: expected weights .*beside"):
        predict.kept("smoke")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(offset=st.integers(0, 3000), value=st.integers(0, 255), name=st.sampled_from([0, 1]))
def test_a_changed_byte_of_the_header_is_found_or_harmless(
    outputs: Path, offset: int, value: int, name: int
) -> None:
    """Whatever is in the file, the method loads or the message names the file."""
    folder = outputs / "smoke" / "weights"
    path = (folder if folder.exists() else keep()) / (CONVNET, COMPONENT)[name]
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[offset] = value
    path.write_bytes(changed)
    try:
        predict.kept("smoke")
    except InputError as error:
        assert str(folder) in str(error)
    finally:
        path.write_bytes(whole)


def test_a_finished_run_renews_the_weights_and_otherwise_they_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (Setting("smoke", seed, device="cpu") for seed in (0, 1))
    assert not predict.is_ready(first)
    with pytest.raises(InputError, match="found no file"):
        predict.renew(first)
    keep()
    assert predict.is_ready(first) and not predict.is_ready(second)
    assert predict.renew(first).source["seed"] == 0
    finished(seed=1)
    monkeypatch.setattr(Run, "done", True)
    monkeypatch.setattr(predict, "component", lambda setting: component("smoke", setting.seed))
    assert predict.is_ready(second)
    assert predict.renew(second).source["seed"] == 1
