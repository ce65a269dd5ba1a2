"""Notebook 17: what is learned from the poses of Human3.6M, on small files that the test writes."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from human36m_files import save_baseline
from scipy.spatial.distance import cdist

from ordlib.experiments import Setting, facts, real_lifting, real_people
from ordlib.experiments.real_lifting import SUPERVISIONS, Size, Supervision
from ordlib.reconstruction import NoiseModel, noisy_depth
from ordlib.relations import ordinal_accuracy, relations_from_depth

TAKES = {
    subject: ("Directions", "WalkingDog 1", "Photo 2")
    for subject in ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
}
SIZE = Size(train=300, test=120, steps=60, seeds=2)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("h36m")
    save_baseline(folder, TAKES, frames=41)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of takes that are not there
        study = real_people.Study(Setting("smoke", data=str(folder), device="cpu"))
        study.size = SIZE
        assert len(study.films[0].seen) and "Computed now" in study.origin
    return study


def test_films_are_even_and_seen_in_their_box(study):
    train, test = study.films
    assert {"S1", "S8"} <= set(train.poses.meta["subject"])
    assert set(test.poses.meta["subject"]) == {"S9", "S11"}
    cells = pd.DataFrame(test.poses.meta).groupby(["subject", "action", "camera"]).size()
    assert cells.nunique() == 1
    assert train.seen.shape[1:] == (15, 2)
    assert train.seen.amin() > -1e-5 and train.seen.amax() < 1 + 1e-5
    assert len(set(test.take)) == 6


def test_affine_map_finds_the_joints_of_the_mocap(study):
    """The writer's detections are the joints, each moved by a constant."""
    points = real_lifting.joints_2d(*study.films)
    error = (points - study.films[1].poses.keypoints_px).norm(dim=-1)
    assert error.mean() < 25


@pytest.mark.parametrize("loss", ["full", "ordinal", "likelihood"])
def test_training_lowers_the_error(study, loss):
    how = Supervision(loss)
    networks = real_lifting.train(study.films[0], how, SIZE, 0)
    measures = real_lifting.measure(*study.films, networks, how)
    assert set(measures) == set(real_lifting.MEASURES)
    assert all(v.shape == (2, len(study.films[1].seen)) for v in measures.values())
    assert measures["order"].mean() > 65
    flat = study.films[1].depth_mm.abs().mean()
    assert np.nanmean(measures["depth_oracle"]) < float(flat)


def test_answers(study):
    films = study.films[1]
    truth = relations_from_depth(films.depth_mm)
    turned, _ = real_lifting.answers(films, Supervision("ordinal", flipped=0.2), 0)
    ordered = truth != 0
    assert 0.15 < (turned[ordered] != truth[ordered]).float().mean() < 0.25
    assert torch.equal(turned, -turned.mT)
    relations, asked = real_lifting.answers(
        films, Supervision("ordinal", joints=14, people=True), 0
    )
    assert asked[0].sum() == 14 * 14 and not relations[0][~asked[0]].any()
    assert (relations == -relations.mT).all()


def test_ratio_over_takes_and_seeds():
    take = np.repeat(["a", "b", "c"], 10)
    under = np.full((3, 30), 80.0)
    over = under * np.array([[1.04], [1.05], [1.06]])
    found = real_lifting.ratio(over, under, take)
    assert found["ratio"] == pytest.approx(1.05)
    assert found["takes_low"] == pytest.approx(1.05) == found["takes_high"]
    assert found["seeds_low"] < 1.05 < found["seeds_high"]
    counts = real_lifting.takes_drawn(take)
    assert (counts.sum(1) == 30).all() and (np.ptp(counts[:, :10], axis=1) == 0).all()


def test_noise_that_follows_keeps_the_wanted_order(study):
    joints = study.films[0].joints_mm
    noise = real_people.following(joints, 0.93, NoiseModel())
    draws = torch.Generator().manual_seed(0)
    depth = noisy_depth(joints, noise, draws)
    kept = ordinal_accuracy(depth, relations_from_depth(joints[..., 2])).nanmean()
    assert float(kept) == pytest.approx(0.93, abs=0.005)


def test_facts_against_loops():
    draws = torch.Generator().manual_seed(0)
    joints = 200 * torch.randn(12, 17, 3, generator=draws) + torch.tensor([0.0, 0.0, 4000.0])
    people = facts.People(
        joints, torch.rand(12, 17, 2), np.array(["S1"] * 12), np.array(["a"] * 12)
    )
    z = joints[..., 2]
    pairs = [abs(float(p[i] - p[j])) for p in z for i in range(17) for j in range(i)]
    found = facts.depth_facts(people)
    assert found["pairs tied at 100 mm, 17 joints (%)"] == pytest.approx(
        100 * np.mean(np.array(pairs) < 100), abs=1e-3
    )
    assert found["mean difference of depth, 17 joints (mm)"] == pytest.approx(
        np.mean(pairs), rel=1e-4
    )
    poses = facts.canonical(joints).flatten(1).unflatten(1, (17, 3))
    expected = [min(np.diag(cdist(p, q)).mean() for q in poses) for p in poses[:3]]
    one = people.take(np.arange(3))
    np.testing.assert_allclose(facts.novelty(people, one), expected, atol=1e-2)


def test_canonical_poses_have_neither_facing_nor_build():
    draws = torch.Generator().manual_seed(1)
    joints = 200 * torch.randn(5, 17, 3, generator=draws)
    angle = torch.tensor(0.7)
    turn = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
    same = facts.canonical(1.3 * joints @ turn.T + 50)
    torch.testing.assert_close(same, facts.canonical(joints), atol=1e-2, rtol=0)


def test_tables_are_made_written_and_found_again(study, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(tmp_path))
    few = {name: SUPERVISIONS[name] for name in ("full", "ordinal", "ordinal, 14 joints")}
    monkeypatch.setattr(real_people, "SUPERVISIONS", few)
    lifting, defects = study.lifting(), study.defects()
    assert lifting["supervision"].tolist() == list(few)
    assert lifting["ratio"][0] == 1 and np.isnan(lifting["ratio"][2])
    assert {"S9", "S11"} < set(defects.columns)
    monkeypatch.setattr(real_people, "RECORDED", study.setting.folder / "tables")
    recorded = real_people.Study(Setting("smoke", device="cpu"))
    assert "recorded results" in recorded.origin
    pd.testing.assert_frame_equal(recorded.lifting(), lifting, atol=1e-4)
