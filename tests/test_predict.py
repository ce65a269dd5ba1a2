"""Prediction on image files: crops, files that are no images, what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ordlib import experiments, predict, pretrained, synthetic
from ordlib.camera import project
from ordlib.errors import InputError
from ordlib.experiments.supervision import build
from ordlib.images import assumed_intrinsics, crop, load_image
from ordlib.networks import ReconstructionNet
from ordlib.plots import contact_sheet
from ordlib.predict import predict_files
from ordlib.reconstruction import CONFIGS
from ordlib.training import save_weights

ROW = "table1/coordinate/full"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("outputs")
        patch.setenv("ORDLIB_OUTPUTS", str(folder))
        yield folder


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


def test_figures_and_joints_are_written(outputs: Path, tmp_path: Path) -> None:
    image = synthetic.load("studio", "test", "smoke", 0).batch([0]).images
    for folder in ("ä b", "c"):
        (tmp_path / folder).mkdir()
        Image.fromarray(contact_sheet(image, 1, gap=0)).save(tmp_path / folder / "person.png")
    files = [tmp_path / "ä b" / "person.png", tmp_path / "c" / "person.png"]
    out = tmp_path / "out"
    written = predict_files(files, [None, (16.0, 16.0, 20.0)], ROW, "smoke", 0, "cpu", out)
    assert [path.name for path in written] == ["person-1.json", "person-2.json"]
    names = {f"person-{n}.{kind}" for n in (1, 2) for kind in ("json", "png")}
    assert {path.name for path in out.iterdir()} == names
    record = json.loads(written[0].read_text())
    assert np.array(record["joints_mm"]).shape == (17, 3)
    assert record["joints_mm"][0] == [0.0, 0.0, 0.0]
    assert np.isfinite(record["keypoints_px"]).all()
    assert "rendered people only" in record["caution"]
    assert record["network"].pop("weights").endswith("weights.safetensors")
    assert record["network"] == {"row": ROW, "scale": "smoke", "seed": 0, "reconstruction": False}
    with Image.open(out / "person-1.png") as figure:
        assert figure.width > 600


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("a network was trained")

    monkeypatch.setattr(predict.experiments, "run", refuse)


@pytest.fixture
def weights(tmp_path: Path) -> pretrained.Weights:
    """Kept weights of a network that was never trained."""
    row = experiments.get_row(pretrained.ROW)
    sizes = row.scaled("smoke")
    network = build(row.network, row.stacks, sizes, 4)
    save_weights(tmp_path / "run" / "weights.safetensors", network, "run")
    component = ReconstructionNet(width=CONFIGS["smoke"].width).eval()
    run = experiments.Run(row, experiments.Setting("smoke", 4, device="cpu"))
    run.__dict__["folder"] = tmp_path / "run"
    return pretrained.save(run, component)


def test_kept_weights_predict_without_training(
    weights: pretrained.Weights,
    no_training: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row, scale and seed are those of the weights; so are the joints."""
    gradient(90, 60).save(tmp_path / "photo.png")
    titles = []
    monkeypatch.setattr(
        predict, "save_figure", lambda figure, path: titles.append(figure.get_suptitle())
    )
    box = (40.0, 30.0, 50.0)
    (path,) = predict_files(
        [tmp_path / "photo.png"], [box], None, "smoke", None, "cpu", tmp_path / "out"
    )
    record = json.loads(path.read_text())
    assert record["network"] == {
        **{"row": "table2/ordinal", "scale": "smoke", "seed": 4, "reconstruction": True},
        "weights": str(weights.folder),
    }
    name = "table2/ordinal with the reconstruction component, scale smoke, seed 4"
    assert titles == [f"{name}\nweights: smoke/weights"]
    assert "rendered people only" in record["caution"]
    expected = weights.estimator().predict(tmp_path / "photo.png", box)
    np.testing.assert_allclose(record["joints_mm"], expected.numpy(), atol=0.02)


def test_no_weights_and_another_seed(
    weights: pretrained.Weights, no_training: None, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"seed: expected 4, of the weights in .*, found 5"):
        predict_files([], [], None, "smoke", 5, "cpu", tmp_path)
    with pytest.raises(InputError, match="`make reproduce ONLY=15` writes them"):
        predict_files([], [], None, None, None, "cpu", tmp_path)


def test_a_file_that_is_no_image_is_named_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict.experiments, "run", None)
    bad = tmp_path / "text.jpg"
    bad.write_text("not an image")
    truncated = tmp_path / "half.png"
    gradient(64, 64).save(truncated)
    whole = truncated.read_bytes()
    truncated.write_bytes(whole[: len(whole) // 2])
    for path, found in ((bad, "none"), (truncated, "none"), (tmp_path, "a folder")):
        with pytest.raises(InputError, match=f"{path.name}: expected an image.*{found}"):
            predict_files([path], [None], ROW, "smoke", 0, "cpu", tmp_path / "out")
    with pytest.raises(InputError, match="found nothing"):
        load_image(tmp_path / "absent.png")
    assert not (tmp_path / "out").exists()


def test_names_that_images_share_are_told_apart(tmp_path: Path) -> None:
    images = [tmp_path / name for name in ("a/x.jpg", "b/x.jpg", "c/x-1.jpg", "y.png")]
    assert predict.result_names(images, tmp_path / "out") == ["x-2", "x-3", "x-1", "y"]


def test_no_figure_takes_the_place_of_an_image(no_training: None, tmp_path: Path) -> None:
    gradient(40, 40).save(tmp_path / "me.png")
    before = (tmp_path / "me.png").read_bytes()
    with pytest.raises(InputError, match=r"found .*me\.png, which one of them would replace"):
        predict_files([tmp_path / "me.png"], [None], ROW, "smoke", 0, "cpu", tmp_path)
    assert (tmp_path / "me.png").read_bytes() == before


@pytest.mark.parametrize(
    "box", [(float("nan"), 0.0, 5.0), (10.0, 10.0, 0.0), (900.0, 10.0, 20.0), (0.0, -80.0, 20.0)]
)
def test_boxes_that_show_nothing(box: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="box: expected"):
        crop(gradient(64, 64), box, 32)


def test_depth_networks_have_no_2d_joints(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row: expected a network that predicts 2D joints"):
        predict_files([], [], "table1/depth/weak", "smoke", 0, "cpu", tmp_path)
