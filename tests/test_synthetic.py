import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib.camera import project
from ordlib.datasets.mocap import MotionCapture
from ordlib.errors import InputError
from ordlib.relations import relations_from_depth
from ordlib.skeleton import H36M17, mean_limb_lengths
from ordlib.synthetic import DOMAINS, dataset, load, making, skeletons
from ordlib.synthetic.people import divide_clips, evenly
from ordlib.synthetic.poses import sample_poses

STORED = [(name, split) for name, domain in DOMAINS.items() for split in domain.splits]
UNSEEN = [H36M17.index(name) for name in ("pelvis", "spine", "jaw")]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """One empty root of results for the tests of this file, so that each split is made once."""
    root = tmp_path_factory.mktemp("outputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_OUTPUTS", str(root))
        yield root


@pytest.fixture(autouse=True)
def shared_root(outputs, monkeypatch):
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(outputs))


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty root for one test, and how often samples were made."""
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(tmp_path))
    made = []
    chunks = making.Maker.chunks
    monkeypatch.setattr(making.Maker, "chunks", lambda self: made.append(1) or chunks(self))
    return tmp_path, made


def everything(name, split, seed=0, **options):
    data = load(name, split, "smoke", seed, **options)
    return data.batch(np.arange(len(data)))


def folder_of(root, prefix):
    (found,) = root.glob(f"smoke*/data/{prefix}-*")
    return found


@pytest.mark.parametrize(("name", "split"), STORED)
def test_samples_are_what_they_say(name, split):
    data = load(name, split, "smoke", 0)
    batch = data.batch(torch.arange(len(data)))
    assert (data.name, data.split, data.skeleton) == (name, split, H36M17)
    expected = {"train": 96, "test": 48, "val": 48, "validation": 48}[split]
    assert len(data) == len(batch) == (48 if name == "duo" else expected)
    assert batch.images.shape == (len(data), 3, 32, 32) and batch.images.dtype == torch.uint8
    assert batch.images.float().std(dim=(1, 2, 3)).min() > 5
    assert batch.keypoints_px.isfinite().all() and batch.intrinsics.isfinite().all()
    seen = batch.keypoints_px[batch.visible]
    assert seen.min() > 0 and seen.max() < 32
    assert batch.relations.dtype == torch.int8
    assert torch.equal(batch.relations, -batch.relations.mT)
    assert not batch.annotated.diagonal(dim1=-2, dim2=-1).any()
    assert set(batch.meta) == {"subject", "action", "camera", "frame", "part"}
    assert all(len(values) == len(data) for values in batch.meta.values())
    assert batch.meta["frame"].tolist() == list(range(len(data)))


@pytest.mark.parametrize(("name", "split"), [s for s in STORED if s[0] != "wild"])
def test_metric_domains_project_onto_their_keypoints(name, split):
    batch = everything(name, split)
    assert batch.joints_mm[..., 2].min() > 500
    projected = project(batch.joints_mm, batch.intrinsics)
    torch.testing.assert_close(projected, batch.keypoints_px, rtol=0, atol=1e-3)
    assert batch.visible.all() and batch.annotated.sum() == len(batch) * 17 * 16
    i, j = 3, 16
    gap = batch.joints_mm[:, j, 2] - batch.joints_mm[:, i, 2]
    expected = torch.where(gap.abs() < 100, 0.0, gap.sign())
    assert torch.equal(batch.relations[:, i, j].float(), expected)


@pytest.mark.parametrize(("name", "split"), STORED)
def test_crop_follows_the_rule_of_human36m(name, split):
    """Centre of the box; side of the longer side and 40 px at an image of 1000 px."""
    batch = everything(name, split)
    keypoints = batch.keypoints_px
    if name == "wild":
        keypoints = keypoints[:, [j for j in range(17) if j not in UNSEEN]]
    low, high = keypoints.amin(1), keypoints.amax(1)
    slack = 0.6 if name == "wild" else 1e-3  # an unseen joint can be outermost
    assert ((low + high) / 2 - 16).abs().quantile(0.9) < slack
    margin = 32 - (high - low).amax(-1)
    assert (margin > 0).all() and (margin < 8).float().mean() > 0.9


def test_splits_of_studio():
    subjects = {s: set(everything("studio", s).meta["subject"]) for s in ("fit", "val", "test")}
    train = everything("studio", "train")
    assert subjects == {"fit": {"S1", "S5", "S6", "S7"}, "val": {"S8"}, "test": {"S9", "S11"}}
    fit, val = everything("studio", "fit"), everything("studio", "val")
    assert len(fit) + len(val) == len(train) == 96
    kept = train.meta["subject"] == "S8"
    assert torch.equal(train.images[torch.from_numpy(kept)], val.images)
    actions = Counter(everything("studio", "train").meta["action"].tolist())
    assert len(actions) == 15 and max(actions.values()) - min(actions.values()) <= 3
    assert set(train.meta["camera"]) == {"C1", "C2", "C3", "C4"}


def test_parts_and_activities_of_shift():
    batch = everything("shift", "test")
    parts = Counter(batch.meta["part"].tolist())
    for part, share in (("Studio GS", 1143), ("Studio no GS", 1058), ("Outdoor", 728)):
        assert abs(parts[part] - 48 * share / 2929) < 2
    assert len(set(batch.meta["action"])) == 7


def test_limb_lengths():
    torch.testing.assert_close(
        load("studio", "test", "smoke", 0).limb_lengths_mm, mean_limb_lengths(), rtol=0, atol=0
    )
    batch = everything("studio", "train")
    bones = batch.joints_mm[:, 1:] - batch.joints_mm[:, list(H36M17.parents[1:])]
    lengths = bones.norm(dim=-1)
    means = torch.stack(
        [lengths[batch.meta["subject"] == s].mean(0) for s in ("S1", "S5", "S6", "S7", "S8")]
    ).mean(0)
    torch.testing.assert_close(means, mean_limb_lengths(), rtol=1e-4, atol=0)
    duo = everything("duo", "train")
    bones = duo.joints_mm[:, 1:] - duo.joints_mm[:, list(H36M17.parents[1:])]
    same = duo.meta["subject"] == duo.meta["subject"][0]
    assert bones.norm(dim=-1)[same].std(0).max() < 0.01


def test_wild_has_no_metric_depth(tmp_path, monkeypatch):
    """Neither its samples nor its files hold what the renderer was given."""
    hidden = []
    film = making.film

    def spy(*arguments):
        joints, *others = film(*arguments)
        hidden.append(joints)
        return joints, *others

    monkeypatch.setattr(making, "film", spy)
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(tmp_path))
    batch = everything("wild", "train", seed=5)
    joints = torch.cat(hidden)
    assert batch.joints_mm is None and joints.shape == (96, 17, 3)
    folder = folder_of(tmp_path, "wild-train")
    arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    assert {n: (a.dtype.name, a.shape[1:]) for n, a in arrays.items()} == {
        "images": ("uint8", (3, 32, 32)),
        "intrinsics": ("float32", (3, 3)),
        "keypoints_px": ("float32", (17, 2)),
        "meta": ("int64", (5,)),
        "relations": ("int8", (17, 17)),
    }
    assert {p.name for p in folder.iterdir()} == {f"{n}.npy" for n in arrays} | {"description.json"}
    assert set(np.unique(arrays["relations"])) == {-1, 0, 1}
    # What is left beside 2D and signs: nothing that follows the root's or the joints' depth.
    relative = (joints[..., 2] - joints[:, :1, 2])[:, 1:]
    for depth in (joints[..., 2], relative):
        for name in ("intrinsics", "keypoints_px"):
            assert not np.isin(depth.numpy(), arrays[name]).any()
    columns = np.concatenate(
        [arrays["keypoints_px"].reshape(96, -1), arrays["intrinsics"][:, 0, :1], np.ones((96, 1))],
        1,
    )
    first, second = columns[:48], columns[48:]
    weights = np.linalg.lstsq(first, relative[:48].numpy(), rcond=1e-3)[0]
    error = np.abs(second @ weights - relative[48:].numpy()).mean()
    assert error > 0.7 * relative[48:].abs().mean().item()


def test_wild_relations_cover_the_14_joints_of_lsp():
    batch = everything("wild", "val")
    assert batch.visible[:, UNSEEN].sum() == 0 and batch.visible.sum() == len(batch) * 14
    assert batch.annotated.sum() == len(batch) * 14 * 13
    assert not batch.annotated[:, UNSEEN].any() and not batch.relations[:, UNSEEN].any()
    assert (batch.keypoints_px[:, UNSEEN] == 0).all()
    assert 0.3 < batch.relations[batch.annotated].abs().float().mean() < 0.9


def test_wild_relations_are_orderings_by_people_who_err():
    batch = everything("wild", "val")
    seen = [j for j in range(17) if j not in UNSEEN]
    relations = batch.relations[:, seen][:, :, seen].int()
    # of a weak ordering: "not behind" is transitive
    not_behind = (relations >= 0).int()
    assert ((not_behind @ not_behind > 0) <= (not_behind > 0)).all()
    truth = relations_from_depth(skeletons("wild", "val", len(batch), 0).joints_mm[..., 2])
    agree = (relations == truth[:, seen][:, :, seen]).float().mean()
    assert 0.75 < agree < 0.95


def test_skeletons_are_those_of_the_images():
    batch = everything("shift", "test")
    people = skeletons("shift", "test", len(batch), 0)
    torch.testing.assert_close(people.joints_mm, batch.joints_mm)
    torch.testing.assert_close(people.keypoints, batch.keypoints_px / batch.images.shape[-1])
    assert people.action.tolist() == list(batch.meta["action"])
    with pytest.raises(InputError, match="split: studio is made as train, test, found 'val'"):
        skeletons("studio", "val", 5, 0)
    with pytest.raises(InputError, match="count: expected 1 or more, found 0"):
        skeletons("shift", "test", 0, 0)


def test_studio_is_narrow_and_wild_broad():
    def upright(keypoints):
        trunk = keypoints[:, 8] - keypoints[:, [1, 4]].mean(1)
        return -trunk[:, 1] / trunk.norm(dim=-1)

    studio = upright(everything("studio", "train").keypoints_px)
    wild = upright(everything("wild", "train").keypoints_px)
    shift = upright(everything("shift", "test").keypoints_px)
    assert studio.quantile(0.1) > 0.7 and studio.min() > 0
    assert (wild < 0.5).float().mean() > 0.1 and (shift < 0.5).float().mean() > 0.1


def test_same_seed_gives_the_same_bytes_whatever_the_global_generator(fresh, monkeypatch):
    root, made = fresh
    first = everything("duo", "train")
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(root / "again"))
    torch.manual_seed(1234)
    np.random.seed(1)
    second = everything("duo", "train")
    assert len(made) == 2
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.joints_mm, second.joints_mm)
    other = everything("duo", "train", seed=1)
    assert not torch.equal(first.joints_mm, other.joints_mm)
    validation = everything("duo", "validation")
    assert not torch.equal(first.joints_mm[:48], validation.joints_mm)


def test_cache_is_used_again(fresh):
    _, made = fresh
    first = everything("studio", "test")
    second = everything("studio", "test")
    assert len(made) == 1 and torch.equal(first.images, second.images)


def truncate(folder):
    with (folder / "joints_mm.npy").open("r+b") as file:
        file.truncate(200)


def broken_description(folder):
    (folder / "description.json").write_text("{")


def missing_file(folder):
    (folder / "meta.npy").unlink()


@pytest.mark.parametrize("damage", [truncate, broken_description, missing_file])
def test_what_is_not_whole_is_made_again(fresh, damage):
    root, made = fresh
    first = everything("duo", "train")
    folder = folder_of(root, "duo-train")
    damage(folder)
    again = everything("duo", "train")
    assert len(made) == 2
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.joints_mm, again.joints_mm)
    assert not [p for p in folder.parent.iterdir() if p.name.endswith(".tmp")]


def test_another_version_makes_it_again(fresh, monkeypatch):
    _, made = fresh
    everything("duo", "train")
    monkeypatch.setattr(dataset, "VERSION", -1)
    everything("duo", "train")
    assert len(made) == 2


def test_a_full_disk_leaves_nothing_behind(fresh, monkeypatch):
    root, _ = fresh

    def fail(self):
        yield {"images": np.zeros((1, 3, 32, 32), np.uint8)}
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making.Maker, "chunks", fail)
    with pytest.raises(InputError, match="No space left"):
        load("duo", "train", "smoke", 0)
    assert not [p for p in (root / "smoke" / "data").iterdir() if p.suffix != ".lock"]


SLOW = """
import time
from ordlib.synthetic import load, making
making.CHUNK, make = 4, making.Maker._chunk
making.Maker._chunk = lambda *chunk: time.sleep(0.05) or make(*chunk)
load("wild", "train", "smoke", 0)
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_leaves_nothing_half_written(fresh, stop):
    root, made = fresh
    folder = root / "smoke" / "data"
    with subprocess.Popen([sys.executable, "-c", SLOW], stderr=subprocess.DEVNULL) as process:
        while not list(folder.glob(".wild-train-*.tmp/images.npy")):
            time.sleep(0.02)
            assert process.poll() is None
        process.send_signal(stop)
    left = [p for p in folder.iterdir() if p.suffix != ".lock"]
    assert not [p for p in left if stop == signal.SIGINT or p.name.startswith("wild")]
    assert everything("wild", "train").joints_mm is None
    assert len(made) == 1 and not list(folder.glob(".*.tmp"))


def test_two_at_once_make_it_once(fresh):
    _, made = fresh
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: everything("duo", "train"), range(2))
    assert len(made) == 1 and torch.equal(first.images, second.images)


def captured(performers=7):
    names = [f"sub/{p:02d}_{t:02d}" for p in range(performers) for t in range(2)]
    names += ["walk_happy_001"] if performers else []
    lengths = torch.full((30 * len(names), 16), 200.0)
    poses = sample_poses("Walking", lengths, torch.Generator().manual_seed(1))
    clip = torch.arange(len(names)).repeat_interleave(30)
    return MotionCapture(
        poses,
        clip,
        tuple(names),
        torch.arange(30).repeat(len(names)),
        10.0,
        tuple(re.sub(r"_\d+$", "", name) for name in names),
    )


def test_poses_of_motion_capture(fresh):
    root, made = fresh
    source = captured()
    train = everything("studio", "train", motion=source)
    test = everything("studio", "test", motion=source)
    assert folder_of(root, "studio-train").parent.parent.name == "smoke-data"
    bones = train.joints_mm[:, 1:] - train.joints_mm[:, list(H36M17.parents[1:])]
    assert bones.norm(dim=-1)[:, 1].min() > 400  # the subjects' thighs, not those of the clips
    words = {name.rpartition("/")[2].split("_")[0] for name in source.clip_names}
    assert set(train.meta["action"]) | set(test.meta["action"]) <= words
    assert not set(train.meta["action"]) & set(test.meta["action"])
    held_out = set(train.meta["action"][train.meta["subject"] == "S8"])
    assert not held_out & set(train.meta["action"][train.meta["subject"] != "S8"])
    everything("studio", "test", motion=replace(source, poses=source.poses + 1))
    assert len(made) == 3
    assert everything("wild", "val", motion=source).joints_mm is None


def test_clips_of_a_performer_stay_together():
    source = captured(20)
    shares = divide_clips(source)
    assert sorted(c for clips in shares.values() for c in clips) == list(range(41))
    performers = {
        share: {source.clip_names[c].rpartition("_")[0].split("_")[0] for c in clips}
        for share, clips in shares.items()
    }
    assert sum(map(len, performers.values())) == 21
    assert 0.2 < len(shares["test"]) / 41 < 0.37 and 0.08 < len(shares["val"]) / 41 < 0.22


def test_bad_motion_capture(fresh):
    with pytest.raises(InputError, match="found clips of 2 performers, expected at least 3"):
        load("studio", "test", "smoke", 0, motion=captured(1))
    still = captured()
    still.poses[3] = 0
    with pytest.raises(InputError, match="sub/00_00: found a bone of length 0"):
        load("studio", "test", "smoke", 0, motion=still)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kitchen", "train", "smoke", 0), "name: expected one of studio, duo, wild, shift"),
        (("shift", "train", "smoke", 0), "split: shift has test, found 'train'"),
        (("studio", "dev", "smoke", 0), "split: studio has train, test, fit, val, found 'dev'"),
        (("studio", "test", "huge", 0), "scale: expected one of smoke"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        load(*arguments)


def test_batches_by_any_kind_of_index():
    data = load("studio", "test", "smoke", 0)
    by_list, by_array = data.batch([5, 2]), data.batch(np.array([5, 2]))
    assert torch.equal(by_list.images, by_array.images)
    assert by_list.meta["frame"].tolist() == [5, 2]
    by_list.images[:] = 0  # a batch is a copy
    assert torch.equal(data.batch(torch.tensor([5, 2])).images, by_array.images)
    with pytest.raises(InputError, match="indices: found 3 to 48, expected 0 to 47"):
        data.batch([3, 48])


def test_evenly_gives_the_frequencies_to_every_run():
    classes = evenly(torch.arange(500, 800), (1.0, 2.0, 3.0), 2**0.5)
    assert (torch.bincount(classes) - torch.tensor([50, 100, 150])).abs().max() <= 3
