"""Tables 2 and 3: what is measured, where a gain comes from, and the verdicts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import humaneva_files
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.spatial.transform import Rotation

from ordlib import experiments, metrics, networks
from ordlib.datasets.npz import TRUST
from ordlib.errors import InputError
from ordlib.experiments import Run, Setting, ablations, components, published, results
from ordlib.experiments.ablations import KEYPOINTS, ORDINAL, REC, ROWS, STUDIO, Truth
from ordlib.experiments.components import CONFIGS
from ordlib.experiments.evaluation import lift
from ordlib.relations import relations_from_depth
from ordlib.skeleton import H36M17
from ordlib.synthetic import DOMAINS

LENGTHS = DOMAINS["studio"].limb_lengths_mm.mean(0)
SAMPLES = 60


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Iterator[Path]:
    """One root of results for the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("outputs")
        patch.setenv("ORDLIB_OUTPUTS", str(folder))
        yield folder


@pytest.fixture
def known() -> Truth:
    people = components.training_skeletons(SAMPLES, 0)
    relations = relations_from_depth(people.joints_mm[..., 2])
    return Truth(
        people.relative_mm,
        people.keypoints_px,
        relations,
        torch.ones_like(relations, dtype=torch.bool),
        people.intrinsics,
        LENGTHS,
    )


def made_run(row: str, folder: Path, known: Truth, off_px: float, factor: float) -> Run:
    """A run whose 2D is off by so many pixels and whose depths are the true ones times a factor."""
    draws = torch.Generator().manual_seed(len(row))
    points = known.keypoints_px + off_px * torch.randn(known.keypoints_px.shape, generator=draws)
    pose = known.lifted(points, known.depth_mm * factor)
    error = (points - known.keypoints_px).norm(dim=-1).mean(-1)
    tensors = {"joints_mm": pose, "keypoints_px": points, "keypoint_error": error}
    tensors |= {
        "depth": known.depth_mm * factor / 125,
        "mpjpe": metrics.mpjpe(pose, known.joints_mm),
    }
    folder = folder / row.replace("/", "-")
    folder.mkdir()
    for domain in ("studio", "shift"):
        path = folder / f"predictions-{domain}.safetensors"
        save_file({k: v.contiguous() for k, v in tensors.items()}, path)
    return run_in(folder, row)


def run_in(folder: Path, row: str, data: str | None = None) -> Run:
    """A run whose files lie in a folder of the test."""
    run = Run(experiments.ROWS[row], Setting("smoke", data=data, device="cpu"))
    run.__dict__["folder"] = folder  # where cached_property keeps it
    return run


def made_runs(folder: Path, known: Truth, *settings: tuple[float, float]) -> dict[str, list[Run]]:
    return {
        row: [made_run(row, folder, known, *one)] for row, one in zip(ROWS, settings, strict=True)
    }


# What is measured


def test_true_poses_have_no_error(known: Truth) -> None:
    found = ablations.measure(known.joints_mm, known)
    for name in ("mpjpe", "plane_error", "depth_error"):
        assert not found[name].any()
    assert (found["pck3d"] == 100).all() and (found["ordinal_accuracy"].nan_to_num(1) == 1).all()
    torch.testing.assert_close(found["auc3d"], torch.full((SAMPLES,), 100 * 30 / 31))


def test_errors_in_the_plane_and_in_depth_are_told_apart(known: Truth) -> None:
    beside, behind = (known.joints_mm.clone() for _ in range(2))
    beside[:, 1:, :2] += torch.tensor([30.0, 40.0])
    behind[:, 1:, 2] += 17.0
    plane, depth = (ablations.measure(pose, known) for pose in (beside, behind))
    share = 16 / 17
    torch.testing.assert_close(plane["plane_error"], torch.full((SAMPLES,), 50.0 * share))
    assert not plane["depth_error"].any() and not depth["plane_error"].any()
    torch.testing.assert_close(depth["depth_error"], torch.full((SAMPLES,), 16.0))
    torch.testing.assert_close(plane["mpjpe"], plane["plane_error"])
    torch.testing.assert_close(depth["mpjpe"], depth["depth_error"])


def test_truth_and_measures_agree_with_what_evaluation_stored(outputs: Path) -> None:
    run = experiments.run(KEYPOINTS, Setting("smoke", device="cpu"))
    for domain in ("studio", "shift"):
        known, stored = ablations.truth(run, domain), run.predictions(domain)
        assert not known.joints_mm[:, 0].any()
        found = ablations.convnet(run, domain, known)
        for name in ("mpjpe", "reconstruction_error", "depth_error", "ordinal_accuracy"):
            torch.testing.assert_close(
                found[name], stored[name], rtol=1e-3, atol=0.02, equal_nan=True
            )
        for name in ("pck3d", "auc3d"):
            torch.testing.assert_close(found[name], stored[name])
        torch.testing.assert_close(
            found["mpjpe_given_2d"], stored["mpjpe_given_2d"], rtol=1e-3, atol=0.02
        )
        target_px = (stored["keypoints_px"] - known.keypoints_px).norm(dim=-1).mean(-1)
        torch.testing.assert_close(found["keypoint_error"], target_px * (100 / 32))


IN_MM = ("mpjpe", "reconstruction_error", "plane_error", "depth_error")


def _off(known: Truth, mm: float = 40.0) -> torch.Tensor:
    noise = torch.randn(known.joints_mm.shape, generator=torch.Generator().manual_seed(3))
    noise[:, 0] = 0
    return known.joints_mm + mm * noise


def _aligned_error(pose: np.ndarray, target: np.ndarray) -> float:
    """Mean distance of one pose after rotation, scale and translation, by SciPy's alignment."""
    x, y = pose - pose.mean(0), target - target.mean(0)
    x = Rotation.align_vectors(y, x)[0].apply(x)
    return float(np.linalg.norm((x * y).sum() / (x * x).sum() * x - y, axis=-1).mean())


def _errors(pose: np.ndarray, target: np.ndarray, joints: np.ndarray) -> tuple[float, ...]:
    pose, target = pose[joints].astype(float), target[joints].astype(float)
    off = pose - target
    return (
        float(np.linalg.norm(off, axis=-1).mean()),
        _aligned_error(pose, target),
        float(np.linalg.norm(off[:, :2], axis=-1).mean()),
        float(np.abs(off[:, 2]).mean()),
    )


def test_errors_are_means_over_the_scored_joints_of_each_sample(known: Truth) -> None:
    scored = torch.ones(SAMPLES, 17, dtype=torch.bool)
    scored[:, [H36M17.index("spine"), H36M17.index("jaw")]] = False
    scored[::3, H36M17.index("head_top")] = False
    pose = _off(known)
    found = ablations.measure(pose, replace(known, scored=scored))
    for row in range(SAMPLES):
        joints = np.flatnonzero(scored[row].numpy())
        assert len(joints) == (14 if row % 3 == 0 else 15)
        expected = _errors(pose[row].numpy(), known.joints_mm[row].numpy(), joints)
        assert [found[name][row].item() for name in IN_MM] == pytest.approx(expected, rel=1e-4)
    everywhere = ablations.measure(pose, known)
    for name in ("pck3d", "auc3d", "ordinal_accuracy"):
        assert torch.equal(found[name].nan_to_num(-1), everywhere[name].nan_to_num(-1))
    moved = torch.where(scored[..., None], pose, pose + 1000)
    again = ablations.measure(moved, replace(known, scored=scored))
    assert all(again[name].equal(found[name]) for name in IN_MM)


def test_all_joints_are_scored_by_default(known: Truth) -> None:
    pose, everything = _off(known), torch.ones(SAMPLES, 17, dtype=torch.bool)
    found, same = (
        ablations.measure(pose, replace(known, scored=scored)) for scored in (None, everything)
    )
    assert known.scored is None
    for name in IN_MM:
        assert found[name].equal(same[name])
    assert found["mpjpe"].equal(metrics.mpjpe(pose, known.joints_mm))
    expected = _errors(pose[0].numpy(), known.joints_mm[0].numpy(), np.arange(17))
    assert [found[name][0].item() for name in IN_MM] == pytest.approx(expected, rel=1e-4)


def test_without_its_root_a_sample_has_no_error(known: Truth) -> None:
    scored = torch.ones(SAMPLES, 17, dtype=torch.bool)
    scored[1, 0] = False
    found = ablations.measure(_off(known), replace(known, scored=scored))
    for name in IN_MM:
        assert found[name].isnan().nonzero().tolist() == [[1]]


def test_truth_of_humaneva_scores_what_was_measured(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(TRUST, "data_3d_humaneva15.npz, data_2d_humaneva15_gt.npz")
    """15 joints, and in frames with a defective head the other 14."""
    table = humaneva_files.positions()
    joints = table["Validate/S3"]["Walking 1 chunk0"]
    joints[1:, 14] = joints[1:, 1] + (0.1, 0.1, -0.05)
    humaneva_files.save_archives(tmp_path, table)
    humaneva_files.save_all_images(tmp_path)
    run = run_in(tmp_path, "table6/duo", str(tmp_path))
    with pytest.warns(UserWarning, match="the head lies at the chest in 2 of 3 frames"):
        known = ablations.truth(run, "duo")
    assert known.scored is not None
    assert known.scored.sum(-1).bincount().tolist()[14:] == [2 * 3, len(known.joints_mm) - 2 * 3]
    assert (known.meta["subject"][known.scored.sum(-1) == 14] == "S3").all()
    pose = known.joints_mm.clone()
    pose[:, [H36M17.index("spine"), H36M17.index("jaw")]] += 500
    pose[~known.scored] += 500
    found = ablations.measure(pose, known)
    assert not found["mpjpe"].any() and found["reconstruction_error"].max() < 0.01


@pytest.mark.parametrize("domain", ["wild", "duo", "nowhere"])
def test_truth_is_refused_where_there_is_none(domain, outputs) -> None:
    run = run_in(outputs, KEYPOINTS)
    with pytest.raises(InputError, match=r"domain: expected one with 3D truth.*found"):
        ablations.truth(run, domain)


def test_spread_of_compressed_depths(known: Truth, tmp_path: Path) -> None:
    found = ablations.convnet(made_run(STUDIO, tmp_path, known, 0.0, 0.5), "studio", known)
    for name, factor in (("depth_square", 0.25), ("depth_product", 0.5)):
        torch.testing.assert_close(found[name], factor * found["true_square"], rtol=1e-3, atol=1.0)


def test_given_the_truth_only_the_other_error_is_left(known: Truth, tmp_path: Path) -> None:
    found = ablations.convnet(made_run(STUDIO, tmp_path, known, 3.0, 0.5), "studio", known)
    floor = metrics.mpjpe(known.lifted(known.keypoints_px, known.depth_mm), known.joints_mm).mean()
    assert floor < found["mpjpe_given_2d"].mean() < found["mpjpe"].mean()
    assert floor < found["mpjpe_given_depth"].mean() < found["mpjpe"].mean()


# Where a gain comes from


@pytest.mark.parametrize(
    ("before", "after", "by"), [((4.0, 0.8), (1.0, 0.8), "2d"), ((0.0, 0.3), (0.0, 0.9), "depth")]
)
def test_a_gain_of_one_kind_has_one_source(known, tmp_path, before, after, by) -> None:
    first = made_run(STUDIO, tmp_path, known, *before)
    # the same directions of the 2D errors, so that they shrink and do not change
    points = known.keypoints_px + (first.predictions()["keypoints_px"] - known.keypoints_px) * (
        after[0] / max(before[0], 1e-9)
    )
    second = run_in(tmp_path / "second", KEYPOINTS)
    pose = known.lifted(points, known.depth_mm * after[1])
    second.folder.mkdir()
    tensors = {"joints_mm": pose.contiguous(), "keypoints_px": points.contiguous()}
    save_file(tensors, second.folder / "predictions-studio.safetensors")
    found = ablations.sources(first, second, "studio", known)
    other = "depth" if by == "2d" else "2d"
    for metric in ("mpjpe", "pck3d"):
        gain, rest = (found[f"{metric}_by_{name}"].mean().item() for name in (by, other))
        assert gain > 0
        assert abs(rest) < 0.02 * gain


def test_sources_add_up_and_change_sign_with_the_direction(known, tmp_path) -> None:
    runs = made_runs(tmp_path, known, (4.0, 0.4), (2.0, 0.7), (1.0, 1.0))
    one, two = runs[STUDIO][0], runs[ORDINAL][0]
    there, back = (ablations.sources(*pair, "studio", known) for pair in ((one, two), (two, one)))
    errors = [metrics.mpjpe(run.predictions()["joints_mm"], known.joints_mm) for run in (one, two)]
    total = there["mpjpe_by_2d"] + there["mpjpe_by_depth"]
    torch.testing.assert_close(total, errors[0] - errors[1], rtol=1e-3, atol=0.2)
    for name, value in there.items():
        torch.testing.assert_close(value, -back[name])


def test_shares_are_the_mean_over_both_orders(known, tmp_path) -> None:
    runs = made_runs(tmp_path, known, (4.0, 0.4), (2.0, 0.7), (1.0, 1.0))
    one, two = (runs[row][0].predictions() for row in (STUDIO, KEYPOINTS))
    found = ablations.sources(runs[STUDIO][0], runs[KEYPOINTS][0], "studio", known)

    def error(points, depth):
        pose = lift(points["keypoints_px"], depth["joints_mm"][..., 2], known.intrinsics, LENGTHS)
        return metrics.mpjpe(pose, known.joints_mm)

    first = error(one, one) - error(two, one)
    last = error(one, two) - error(two, two)
    torch.testing.assert_close(found["mpjpe_by_2d"], (first + last) / 2, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_calibration_undoes_a_wrong_scale(known, tmp_path, factor) -> None:
    run = made_run(STUDIO, tmp_path, known, 0.0, factor)
    found = ablations.calibrated(run, known)
    floor = metrics.mpjpe(known.lifted(known.keypoints_px, known.depth_mm), known.joints_mm).mean()
    assert found["mpjpe_one_scale"].mean() <= floor * 1.02
    assert found["mpjpe_joint_scales"].mean() == pytest.approx(floor.item(), rel=0.02)
    assert found["mpjpe_one_scale"].mean() <= run.predictions()["mpjpe"].mean() + 1e-4


# Tables and verdicts


def _values(known: Truth, folder: Path, domain: str, *settings) -> dict[results.Key, np.ndarray]:
    runs = made_runs(folder, known, *settings)
    component = networks.ReconstructionNet(17, CONFIGS["smoke"].width).eval()
    return ablations.collect(runs, domain, [known], [component] if domain == "studio" else [])


def test_tables_have_the_papers_rows_and_numbers(known, tmp_path) -> None:
    for number, domain in ((2, "studio"), (3, "shift")):
        (tmp_path / domain).mkdir()
        values = _values(known, tmp_path / domain, domain, (4.0, 0.5), (2.0, 0.6), (1.0, 0.9))
        frame = ablations.table(number, values)
        assert list(frame.columns) == results.COLUMNS
        assert (frame["table"] == number).all() and (frame["seeds"] == 1).all()
        printed = published.table(number).set_index("row")
        assert list(frame["row"].unique()) == list(printed.index)
        for column in ("avg_error_mm",) if number == 2 else ("PCK3D", "AUC"):
            part = frame[frame["column"] == column].set_index("row")
            assert part["published"].to_dict() == printed[column].to_dict()
        rest = frame[~frame["column"].isin(["avg_error_mm", "PCK3D", "AUC"])]
        assert rest["published"].isna().all()
        with_rec = frame[frame["row"].str.endswith(REC)]
        assert "keypoint_error_percent" not in set(with_rec["column"])
        mean = values[STUDIO, "depth_error"].mean()
        where = (frame["row"] == STUDIO) & (frame["column"] == "depth_error_mm")
        assert frame[where]["reproduced"].item() == pytest.approx(mean)


def test_seeds_are_stacked_with_their_own_truth(known: Truth, tmp_path: Path) -> None:
    other = components.training_skeletons(SAMPLES, 1)
    second = Truth(other.relative_mm, other.keypoints_px, *_rest(known, other.intrinsics))
    runs: dict[str, list[Run]] = {row: [] for row in ROWS}
    for seed, truth in enumerate((known, second)):
        (tmp_path / str(seed)).mkdir()
        for row, made in made_runs(tmp_path / str(seed), truth, *[(0.0, 1.0)] * 3).items():
            runs[row] += made
    values = ablations.collect(runs, "shift", [known, second])
    assert {value.shape for value in values.values()} == {(2, SAMPLES)}
    assert (values[STUDIO, "depth_error"] < 0.1).all()
    crossed = ablations.collect(runs, "shift", [second, known])
    assert (crossed[STUDIO, "depth_error"].mean(1) > 50).all()
    assert set(ablations.table(3, values)["seeds"]) == {2}


def _rest(known: Truth, intrinsics: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return known.relations, known.annotated, intrinsics, known.limb_lengths_mm


def test_verdicts_on_table_3_follow_the_cause(known, tmp_path) -> None:
    """First only 2D improves, then only depth: what the paper says of the two steps."""
    values = _values(known, tmp_path, "shift", (10.0, 0.3), (1.0, 0.3), (1.0, 0.9))
    judged = ablations.judge(3, values).set_index("statement")
    assert (judged.drop("+ Ord raises the ordinal accuracy")["verdict"] == "reproduced").all()
    assert judged.loc["+ 2D keypoints raises PCK3D", "published"] == pytest.approx(44.3 - 17.1)
    assert judged.loc["+ Ord raises AUC", "published"] == pytest.approx(35.3 - 19.8)


def test_a_step_that_gains_nothing_has_no_source(known, tmp_path) -> None:
    values = _values(known, tmp_path, "shift", (1.0, 0.9), (10.0, 0.9), (12.0, 0.3))
    judged = ablations.judge(3, values).set_index("statement")["verdict"]
    for text in ("gained mainly by 2D", "falls more than", "gained mainly by depth"):
        (one,) = (verdict for name, verdict in judged.items() if text in name)
        assert one == "not reproduced"


def test_the_papers_own_errors_reproduce_table_2() -> None:
    printed = published.table(2).set_index("row")["avg_error_mm"]
    values = {(row, "mpjpe"): np.full((1, 9), error) for row, error in printed.items()}
    one, other = np.full((1, 9), 1.0), np.full((1, 9), 0.5)
    for row, value in ((KEYPOINTS, one), (ORDINAL, other)):
        values |= {(row, "depth_error"): value, (row, "ordinal_accuracy"): 1 - value}
        for name in ("mpjpe_one_scale", "mpjpe_joint_scales"):
            values[row, name] = np.full((1, 9), printed[row])
    judged = ablations.judge(2, values)
    assert set(judged["verdict"]) == {"reproduced"}
    known_numbers = judged.dropna(subset="published")
    assert len(known_numbers) == 6
    assert known_numbers["reproduced"].to_numpy() == pytest.approx(known_numbers["published"])
    swapped = values | {(ORDINAL + REC, "mpjpe"): np.full((1, 9), 100.0)}
    worse = ablations.judge(2, swapped).set_index("statement")["verdict"]
    assert worse["Rec lowers it, with Ord"] == "not reproduced"
    assert worse["all five rows in the printed order"] == "not reproduced"
    assert worse["Rec lowers it, without Ord"] == "reproduced"


def test_statements_are_short_and_distinct() -> None:
    for statements in ablations.STATEMENTS.values():
        texts = [one.text for one in statements]
        assert len(set(texts)) == len(texts)
        assert max(map(len, texts)) <= 50  # pandas cuts what is longer


def test_published_rows_are_rows_that_are_trained() -> None:
    for number in (2, 3):
        rows = list(published.table(number)["row"])
        assert len(set(rows)) == len(rows)
        assert {row.removesuffix(REC) for row in rows} == set(ROWS) <= set(experiments.ROWS)
    frame = published.table(2)
    assert (frame["row"].str.endswith(REC) == frame["reconstruction"]).all()
    for row, facts in frame.set_index("row").iterrows():
        wild = experiments.ROWS[str(row).removesuffix(REC)].wild
        expected = "ordinal" if facts["ordinal"] else "keypoints" if facts["keypoints"] else ""
        assert wild == expected
