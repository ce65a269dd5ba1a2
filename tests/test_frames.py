"""Frames as a data set: crops to a fraction of a pixel, decoded when asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ordlib.camera import project
from ordlib.data import META, PoseDataset, crop, join, open_picture, take
from ordlib.datasets.frames import FrameDataset, Frames, require_files
from ordlib.errors import InputError
from ordlib.skeleton import mean_limb_lengths


def _image(width=320, height=240):
    """Red grows with x and green with y: crops may be compared with a formula."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 100)], -1)
    return Image.fromarray(pixels.round().astype(np.uint8))


def read_crop(path, box, size):
    return crop(open_picture(path), box, size)[0].permute(1, 2, 0).numpy()


def _frames(folder, count=4, box=(150.25, 110.5, 90.75)):
    folder.mkdir(parents=True, exist_ok=True)
    names = np.array([f"film {k % 2}/{k}.png" for k in range(count)])
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        _image().save(folder / name)
    rng = np.random.default_rng(0)
    joints = torch.from_numpy(rng.uniform((-200, -200, 4000), (200, 200, 4400), (count, 17, 3)))
    intrinsics = torch.tensor([[600.0, 0, 150], [0, 610, 110], [0, 0, 1]]).expand(count, 3, 3)
    seen = torch.ones(count, 17, dtype=torch.bool)
    return Frames(
        folder=folder,
        names=names,
        boxes=torch.tensor([box] * count),
        keypoints_px=project(joints.float(), intrinsics),
        visible=seen,
        joints_mm=joints.float(),
        known=seen,
        intrinsics=intrinsics.clone(),
        meta={key: np.array([f"{key} {k}" for k in range(count)]) for key in META},
    )


def _dataset(frames, size=64):
    return FrameDataset("films", "test", frames, mean_limb_lengths(), size)


def test_it_is_a_pose_dataset(tmp_path):
    dataset = _dataset(_frames(tmp_path))
    assert isinstance(dataset, PoseDataset) and len(dataset) == 4
    batch = dataset.batch([2, 0])
    assert batch.images.shape == (2, 3, 64, 64) and batch.images.dtype == torch.uint8
    assert batch.meta["camera"].tolist() == ["camera 2", "camera 0"]
    assert len(dataset.batch([])) == 0


def test_joints_project_onto_their_crop_pixels(tmp_path):
    batch = _dataset(_frames(tmp_path)).batch([0, 1, 2])
    torch.testing.assert_close(project(batch.joints_mm, batch.intrinsics), batch.keypoints_px)


@pytest.mark.parametrize("format", ["png", "jpg"])
@settings(max_examples=40)
@given(st.floats(-20, 340), st.floats(-20, 260), st.floats(60, 400), st.sampled_from([16, 48, 100]))
def test_crops_show_their_box_to_a_fraction_of_a_pixel(tmp_path_factory, format, x, y, side, size):
    path = tmp_path_factory.getbasetemp() / f"smooth.{format}"
    if not path.exists():
        _image().save(path, **({"quality": 97, "subsampling": 0} if format == "jpg" else {}))
    shown = read_crop(path, (x, y, side), size).astype(float)
    at = (np.arange(size) + 0.5) * side / size
    columns, rows = x - side / 2 + at, y - side / 2 + at
    reach = 9 * max(1.0, side / size)  # what is blended with black at the image's edge
    across = (columns > reach) & (columns < 320 - reach)
    down = (rows > reach) & (rows < 240 - reach)
    inner = shown[np.ix_(down, across)]
    black = (columns < -reach) | (columns > 320 + reach)
    assert not shown[:, black].any()
    if inner[..., 0].size < 64:
        return  # a mean over fewer pixels tells the rounding of JPEG, not the position
    expected = np.broadcast_to(columns[across] * 255 / 320, inner.shape[:2])
    assert np.abs(inner[..., 0] - expected).mean() < 0.7
    expected = np.broadcast_to(rows[down][:, None] * 255 / 240, inner.shape[:2])
    assert np.abs(inner[..., 1] - expected).mean() < 0.7


def test_a_large_jpeg_looks_the_same_decoded_at_reduced_size(tmp_path):
    big = _image(320, 240).resize((1601, 1203))
    big.save(tmp_path / "big.jpg", quality=97, subsampling=0)
    big.save(tmp_path / "big.png")
    for size in (32, 64, 200):
        crops = [
            read_crop(tmp_path / name, (801.3, 640.8, 830.6), size).astype(int)
            for name in ("big.jpg", "big.png")
        ]
        assert np.abs(crops[0] - crops[1]).mean() < 1


def test_hidden_and_unknown_joints(tmp_path):
    frames = _frames(tmp_path)
    visible, known = frames.visible.clone(), frames.known.clone()
    visible[:, 3], known[:, 5] = False, False
    batch = _dataset(replace(frames, visible=visible, known=known)).batch([1])
    assert not batch.visible[0, 3] and not batch.keypoints_px[0, 3].any()
    assert not batch.annotated[0, 5].any() and not batch.relations[0, 5].any()
    assert batch.annotated.equal(batch.annotated.mT) and batch.annotated.sum() == 16 * 15
    closer = batch.joints_mm[0, 0, 2] + 100 <= batch.joints_mm[0, :, 2]
    assert (batch.relations[0, 0] == 1).equal(closer & batch.annotated[0, 0])


def test_labels_are_those_of_the_batch_and_need_no_file(tmp_path):
    dataset = FrameDataset("films", "test", _frames(tmp_path), mean_limb_lengths(), 64, (0, 3))
    batch = dataset.batch([0, 1, 2, 3])
    for name in ("keypoints_px", "visible", "joints_mm", "relations", "annotated", "intrinsics"):
        assert getattr(dataset.labels, name).equal(getattr(batch, name))
    assert dataset.labels.images.shape == batch.images.shape
    assert dataset.scored.nonzero()[:, 1].tolist() == [0, 3] * 4


def test_subsets_and_pixels_in_memory(tmp_path):
    dataset = _dataset(_frames(tmp_path))
    expected = dataset.batch([3, 1])
    part = dataset.take(np.array([False, True, False, True]), "val").loaded()
    for file in dataset.pixels.files:
        file.unlink()
    assert (part.split, part.name, len(part)) == ("val", "films", 2)
    batch = part.batch([1, 0])
    assert batch.images.equal(expected.images) and batch.images.any()
    assert batch.keypoints_px.equal(expected.keypoints_px)
    assert batch.meta["frame"].tolist() == expected.meta["frame"].tolist()


def test_take_and_join(tmp_path):
    frames = _frames(tmp_path)
    again = join([take(frames, np.array(rows)) for rows in ([3], [True, False, True, False])])
    assert again.names.tolist() == [frames.names[k] for k in (3, 0, 2)]
    assert again.joints_mm.equal(frames.joints_mm[[3, 0, 2]])
    assert again.meta["frame"].tolist() == ["frame 3", "frame 0", "frame 2"]


@pytest.mark.parametrize("content", [None, b"", b"<html>", "half"])
def test_an_image_that_cannot_be_read_is_named(tmp_path, content):
    frames = _frames(tmp_path)
    dataset, path = _dataset(frames), tmp_path / frames.names[2]
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(InputError, match=r"film 0/2.png: expected an image, .*found no"):
        dataset.batch([0, 1, 2, 3])
    dataset.batch([0, 1, 3])


def test_a_box_beside_its_image(tmp_path):
    dataset = _dataset(_frames(tmp_path, box=(900.0, 50.0, 40.0)))
    with pytest.raises(
        InputError, match=r"0.png: box: expected a square that meets the image, 320 x"
    ):
        dataset.batch([0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": torch.tensor([[1.0, 1, 0.5]] * 4)}, "squares of 1 to 4096 px .* of 0.5 px"),
        ({"boxes": torch.tensor([[1.0, 1, 5000]] * 4)}, "squares of 1 to 4096 px .* of 5000 px"),
        ({"boxes": torch.full((4, 3), torch.nan)}, "boxes: expected finite values"),
        ({"joints_mm": torch.full((4, 17, 3), torch.inf)}, "joints_mm: expected finite values"),
        ({"keypoints_px": torch.full((4, 17, 2), torch.nan)}, "keypoints_px: expected finite"),
    ],
)
def test_values_that_cannot_be_used(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        _dataset(replace(_frames(tmp_path), **change))


def test_size_and_indices(tmp_path):
    frames = _frames(tmp_path)
    with pytest.raises(InputError, match="size: expected 1 px or more, found 0"):
        _dataset(frames, 0)
    with pytest.raises(InputError, match="indices: found 0 to 4, expected 0 to 3"):
        _dataset(frames).batch([0, 4])


def test_missing_files_are_named_and_counted(tmp_path):
    frames = _frames(tmp_path)
    require_files(tmp_path, frames.names)
    names = [*frames.names, "film 1/9.png", "film 7/1.png", "5.png"]
    with pytest.raises(InputError, match=r"film 1/9.png: expected an image.* 3 of 7 images are"):
        require_files(tmp_path, names)
