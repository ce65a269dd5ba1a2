"""Mixed training: what reaches which loss, and which data reach training at all."""

from dataclasses import replace

import pytest
import torch

from ordlib import experiments, synthetic
from ordlib.camera import weak_perspective
from ordlib.data import MixedBatch
from ordlib.errors import InputError
from ordlib.experiments import ROWS, Run, Setting, run, runs
from ordlib.experiments.supervision import WILD, mixed_volume_losses, volume_losses
from ordlib.losses import limb_loss
from ordlib.networks import build
from ordlib.scales import SCALES, get_scale
from ordlib.volume import bin_centres_mm, expected_depth, marginals

ROW = "table2/ordinal"
SMOKE = Setting("smoke", device="cpu")
LENGTHS = torch.linspace(100, 450, 16)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """One root of results for the tests of this file, so that each split is made once."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("outputs")
        patch.setenv("ORDLIB_OUTPUTS", str(folder))
        yield folder


@pytest.fixture
def batch(outputs) -> MixedBatch:
    studio = synthetic.load("studio", "train", "smoke", 0).batch([0, 1, 2])
    return MixedBatch(studio, synthetic.load("wild", "train", "smoke", 0).batch([5, 6]))


def test_each_half_gets_its_own_supervision(batch):
    scale = replace(get_scale("smoke"), mixed_rank_weight=3.0, mixed_unit_mm=77.0)
    network = build("volume", 2, scale, 0).eval()
    output = network(batch.images)
    terms = mixed_volume_losses(output, batch, "ordinal", scale, LENGTHS)
    full = volume_losses(network(batch.full.images), batch.full, False, scale)
    alone = replace(scale, ranking_unit_mm=77.0)
    weak = volume_losses(network(batch.weak.images), batch.weak, True, alone)
    expected = {
        "volume": full["volume"], "heatmap": weak["heatmap"], "rank": 3 * weak["rank"]
    }  # fmt: skip
    assert set(terms) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    terms = mixed_volume_losses(output, batch, "keypoints", scale, LENGTHS)
    assert set(terms) == {"volume", "heatmap"}


def test_limb_lengths_in_place_of_relations(batch):
    """The term is that of the poses that the volumes give; it moves depths and no 2D position."""
    scale = replace(get_scale("smoke"), limb_weight=7.0)
    output = build("volume", 2, scale, 0).eval()(batch.images)
    terms = mixed_volume_losses(output, batch, "limbs", scale, LENGTHS)
    assert set(terms) == {"volume", "heatmap", "limbs"}
    expected = 0.0
    for scores in output:
        _, p_z = marginals(scores[3:])
        depth = expected_depth(p_z, bin_centres_mm(scores.shape[2]))
        pose = weak_perspective(batch.weak.keypoints_px, depth, LENGTHS, batch.weak.visible)
        expected += 7 * limb_loss(pose, LENGTHS, batch.weak.visible)
    torch.testing.assert_close(terms["limbs"], expected)
    (grad,) = torch.autograd.grad(terms["limbs"], output[-1])
    assert grad[3:].abs().sum() > 0 and not grad[:3].any()


@pytest.mark.parametrize("kind", WILD)
def test_the_weak_half_has_nothing_metric(batch, kind):
    assert batch.weak.joints_mm is None
    other = replace(batch.full, joints_mm=torch.full_like(batch.full.joints_mm, torch.nan))
    scale = get_scale("smoke")
    output = build("volume", 1, scale, 0)(batch.images)
    terms = mixed_volume_losses(output, MixedBatch(batch.full, batch.weak), kind, scale, LENGTHS)
    spoilt = mixed_volume_losses(output, MixedBatch(other, batch.weak), kind, scale, LENGTHS)
    assert spoilt["volume"].isnan()
    assert all(value.isfinite() for value in terms.values())


def test_training_sees_studio_and_wild_alone(outputs, monkeypatch):
    """Neither `shift` nor a test subject is even loaded before the weights are final."""
    run("table1/volume2/full", SMOKE)  # what it begins with
    loaded, trained, load = [], runs.fit, synthetic.load

    def recording(name, split, *sizes, **options):
        loaded.append((name, split))
        return load(name, split, *sizes, **options)

    def train(network, batch_at, *rest):
        assert isinstance(batch_at(0), MixedBatch)
        assert loaded == [("studio", "train"), ("wild", "train")]
        return trained(network, batch_at, *rest)

    monkeypatch.setattr(runs, "fit", train)
    monkeypatch.setattr(synthetic, "load", recording)
    result = run(ROW, SMOKE)
    assert loaded[2:] == [("studio", "train"), ("studio", "test"), ("shift", "test")]
    assert list(result.log.columns) == ["step", "volume", "heatmap", "rank"]


def test_results_on_both_domains(outputs):
    result = run(ROW, SMOKE)
    shift = result.predictions("shift")
    assert len(shift["mpjpe"]) == len(synthetic.load("shift", "test", "smoke", 0))
    for name in ("pck3d", "auc3d", "ordinal_accuracy", "keypoint_error"):
        mean = float(shift[name].nanmean())
        assert result.metrics["shift"][name] == pytest.approx(mean)
    assert not torch.equal(shift["joints_mm"], result.predictions()["joints_mm"])
    with pytest.raises(InputError, match="domain: table2/ordinal has studio, shift, found 'duo'"):
        result.predictions("duo")


def test_choices_are_judged_without_test_people():
    rows = [row for row in ROWS.values() if row.id.startswith("choice/mixed/")]
    assert rows
    for row in rows:
        assert row.tests() == {"studio": "val", "wild": "val"} and row.train_split == "fit"


def test_wild_is_judged_by_its_annotations(outputs):
    found = run("choice/mixed/keypoints", SMOKE).metrics["wild"]
    assert {"ordinal_accuracy", "keypoint_error"} < set(found)
    assert "mpjpe" not in found


def test_duo_takes_the_part_of_studio(outputs):
    row, scale = ROWS["table6/ordinal"], get_scale("smoke")
    assert row.steps(scale) == scale.mixed_steps * 3 // 5
    assert ROWS["table6/duo"].steps(scale) == scale.steps
    result = run(row.id, SMOKE)
    assert row.home == "duo" and row.tests() == {"duo": "validation"}
    assert len(result.predictions()["mpjpe"]) == len(
        synthetic.load("duo", "validation", "smoke", 0)
    )
    assert result.metrics["duo"]["mpjpe"] == pytest.approx(
        float(result.predictions("duo")["mpjpe"].mean())
    )


def test_only_at_full_size_do_mixed_networks_begin_from_scratch():
    assert [name for name, scale in SCALES.items() if not scale.warm_start] == ["paper"]


def test_a_row_begins_with_one_of_its_own_kind():
    """Same network, images and training people; with other ones, held-out people would be seen."""
    scaled = {row.id: row.scaled("smoke") for row in ROWS.values()}
    begun = {id: ROWS[id].begins_with(scale) for id, scale in scaled.items()}
    assert {id for id, start in begun.items() if start} == {r.id for r in ROWS.values() if r.wild}
    for id, start in begun.items():
        row = ROWS[id]
        if start is None:
            assert row.steps_before(scaled[id]) == 0
            continue
        for name in ("network", "stacks", "weak", "home", "train_split", "test_split"):
            assert getattr(start, name) == getattr(row, name)
        assert not start.wild and not start.start
        assert row.steps_before(scaled[id]) == start.steps(scaled[start.id])
        assert not row.begins_with(get_scale("paper")) and not row.steps_before(get_scale("paper"))


def test_a_mixed_network_begins_with_the_trained_one(outputs, monkeypatch):
    trained, given = runs.fit, []

    def recording(network, *rest):
        given.append({name: value.clone() for name, value in network.state_dict().items()})
        return trained(network, *rest)

    monkeypatch.setattr(runs, "fit", recording)
    experiments.train([ROW], [replace(SMOKE, seed=5)], jobs=1)
    start, first = run("table1/volume2/full", replace(SMOKE, seed=5)), given[-1]
    assert len(given) == 2
    for name, value in start.network().state_dict().items():
        torch.testing.assert_close(value, first[name], rtol=0, atol=0)
    mixed = run(ROW, replace(SMOKE, seed=5))
    assert len(mixed.log) == get_scale("smoke").mixed_steps and len(given) == 2


def test_what_a_run_begins_with_is_part_of_its_name(monkeypatch):
    def name():
        return Run(ROWS[ROW], SMOKE).folder.name

    names = {name()}
    monkeypatch.setitem(
        ROWS, "table1/volume2/full", replace(ROWS["table1/volume2/full"], weak=True)
    )
    names.add(name())
    monkeypatch.setitem(SCALES, "smoke", replace(get_scale("smoke"), warm_start=False))
    names.add(name())
    assert len(names) == 3
