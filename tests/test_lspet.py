"""Leeds Sports Pose Extended: its file, its garbage, and the real sample."""

import numpy as np
import pytest
from photo_files import lsp_array, lspet_array, random_points, save_images, save_mat
from scipy.io import loadmat

from ordlib.data import PoseDataset
from ordlib.datasets import lspet
from ordlib.errors import InputError
from ordlib.skeleton import H36M17, LSP14
from ordlib.synthetic.making import ORDINAL_JOINTS

VERSIONS = pytest.mark.parametrize("version", ["5", "7.3"])


def _save(folder, array, images=3, version="5"):
    save_images(folder / "images", [f"im{k:05d}.jpg" for k in range(1, images + 1)])
    save_mat(folder / "joints.mat", "joints", array, version)
    return folder


@VERSIONS
@pytest.mark.parametrize("layout", [lspet_array, lsp_array])
def test_flag_0_is_missing_in_both_layouts(tmp_path, layout, version):
    """Missing joints have coordinates that mean nothing, inside the image or not."""
    points, flags = random_points(3), np.ones((3, 14))
    flags[0, LSP14.index("neck")] = flags[1, LSP14.index("left_hip")] = 0
    points[0, LSP14.index("neck")], points[1, LSP14.index("left_hip")] = (-300, 0), (30, 20)
    dataset = lspet.load(_save(tmp_path / "ü b", layout(points, flags), version=version), size=40)
    assert isinstance(dataset, PoseDataset) and (dataset.name, len(dataset)) == ("lspet", 3)
    batch = dataset.batch([2, 0, 1])
    assert batch.relations is None and batch.annotated is None and batch.joints_mm is None
    hidden = {(1, H36M17.index("thorax")), (2, H36M17.index("left_hip"))}
    for k in range(3):
        for joint in range(17):
            seen = joint in ORDINAL_JOINTS and (k, joint) not in hidden
            assert batch.visible[k, joint].item() is seen
    assert batch.images.shape == (3, 3, 40, 40)
    assert batch.meta["frame"].tolist() == [3, 1, 2]
    # the crop follows the annotated joints alone
    kept = batch.keypoints_px[1][batch.visible[1]]
    assert (kept.amax(0) - kept.amin(0)).max().item() == pytest.approx(40 / 1.25, rel=0.03)


def test_joints_outside_are_left_out_with_a_warning(tmp_path):
    points = random_points(3)
    points[0, 0], points[1, 1] = (-1.2, 30), (500, 500)
    points[2, 2] = (0, 30)  # a single zero is a position
    folder = _save(tmp_path, lspet_array(points, np.ones((3, 14))))
    with pytest.warns(UserWarning, match=r"joints.mat: 2 of 42 annotated joints lie outside"):
        dataset = lspet.load(folder)
    assert dataset.outside == {"lspet": 2}
    assert dataset.batch([0, 1, 2]).visible.sum() == 40


def test_visibility_the_wrong_way_round(tmp_path):
    points, flags = random_points(3), np.zeros((3, 14))
    points[:, :4], flags[:, :4] = (0, -50), 1
    folder = _save(tmp_path, lspet_array(points, flags))
    with pytest.raises(InputError, match=r"found 12 of 12 outside: .* the wrong way round"):
        lspet.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:13], r"expected shape .* found \(13, 3, 3\)"),
        (lambda a: a[:, :2], r"found \(14, 2, 3\)"),
        (lambda a: a * 2, r"expected 0 or 1 as the third value, found 2"),
        (lambda a: np.where(np.arange(3)[:, None] == 0, np.nan, a), "found NaN"),
        (lambda a: np.where(np.arange(3)[:, None] == 1, np.inf, a), "found infinite"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, change, message):
    array = change(lspet_array(random_points(3), np.ones((3, 14))))
    with pytest.raises(InputError, match=rf"joints.mat: joints: .*{message}"):
        lspet.load(_save(tmp_path, array))


def test_no_file_or_no_key(tmp_path):
    with pytest.raises(InputError, match=r"joints.mat: expected a file of arrays, found nothing"):
        lspet.load(tmp_path)
    save_mat(tmp_path / "joints.mat", "points", np.ones((14, 3, 3)))
    with pytest.raises(InputError, match="expected the key 'joints', found points"):
        lspet.load(tmp_path)


@pytest.mark.parametrize(("images", "found"), [(2, "im00003.jpg is missing"), (4, "found 4")])
def test_numbers_of_images_and_of_joints_differ(tmp_path, images, found):
    folder = _save(tmp_path, lspet_array(random_points(3), np.ones((3, 14))), images)
    with pytest.raises(InputError, match=rf"expected 3 images im00001.jpg.*{found}"):
        lspet.load(folder)


def test_the_real_sample(shared_data):
    folder = shared_data / "lspet"
    raw = loadmat(str(folder / "joints.mat"))["joints"]
    with pytest.warns(UserWarning, match=r"annotated joints lie outside"):
        dataset = lspet.load(folder, size=64)
    assert len(dataset) == raw.shape[2]
    rows = np.arange(0, len(dataset), 100)
    batch = dataset.batch(rows)
    seen = batch.visible[:, ORDINAL_JOINTS].sum(1)
    assert (seen.numpy() <= raw[:, 2, rows].sum(0)).all() and seen.min() >= 4
    assert dataset.outside["lspet"] < 10
    shown = batch.keypoints_px[batch.visible]
    assert ((shown >= 0) & (shown <= 64)).all()
    assert batch.images.flatten(1).float().std(1).min() > 5  # no crop is blank
