"""Tables 1 to 7: who is compared, what is measured, and where a gain comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ordlib import metrics
from ordlib.errors import InputError
from ordlib.experiments import ROWS, Run, Setting, get_row, published, tables
from ordlib.experiments.components import training_skeletons
from ordlib.experiments.evaluation import Truth, lift
from ordlib.experiments.methods import Method, calibrated, given_truth, poses, sources
from ordlib.experiments.tables import (
    BESIDE,
    BEST,
    COLUMNS,
    KEYPOINTS,
    MEAN,
    ORDINAL,
    REC,
    STUDIO,
    TABLES,
    Results,
)
from ordlib.networks import ReconstructionNet, reconstruct
from ordlib.relations import relations_from_depth
from ordlib.synthetic import DOMAINS

LENGTHS = DOMAINS["studio"].limb_lengths_mm.mean(0)
SAMPLES = 60
NUMBERS = list(TABLES)
COMPARED = [4, 5, 6, 7]


@dataclass(frozen=True)
class Made(Run):
    """A run whose predictions are made up."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def predictions(self, domain: str | None = None) -> dict[str, Tensor]:
        return dict(self.tensors)


def truth_for(number: int, seed: int = 0) -> Truth:
    """People with properties of the table's groups, some groups more often than others."""
    people = training_skeletons(SAMPLES, seed)
    relations = relations_from_depth(people.joints_mm[..., 2])
    kinds = list(TABLES[number].groups.values()) or [{"action": "Eating"}]
    turn = np.random.default_rng(seed).permutation(SAMPLES) % (len(kinds) + 2) % len(kinds)
    return Truth(
        people.relative_mm,
        people.keypoints_px,
        relations,
        torch.ones_like(relations, dtype=torch.bool),
        people.intrinsics,
        LENGTHS,
        {key: np.array([kinds[t][key] for t in turn]) for key in kinds[0]},
    )


def made_run(row: str, known: Truth, off_px: float, factor: float, seed: int = 0) -> Made:
    """A run whose 2D is off by so many pixels and whose depths are the true ones times a factor."""
    draws = torch.Generator().manual_seed(len(row) + seed)
    points = known.keypoints_px + off_px * torch.randn(known.keypoints_px.shape, generator=draws)
    pose = known.lifted(points, known.depth_mm * factor)
    tensors = {
        "joints_mm": pose,
        "keypoints_px": points,
        "depth": known.depth_mm * factor / 125,
        "keypoint_error": (points - known.keypoints_px).norm(dim=-1).mean(-1),
    }
    errors = dict.fromkeys(TABLES[1].columns.values(), metrics.mpjpe(pose, known.joints_mm))
    return Made(get_row(row), Setting(scale="smoke", seed=seed, device="cpu"), errors | tensors)


def made(number: int, *quality: tuple[float, float], seeds: int = 1) -> Results:
    """A table's networks, by default each worse than the one before."""
    table, truths = TABLES[number], [truth_for(number, seed) for seed in range(seeds)]
    quality = quality or tuple((1.0 + k, 0.9 - 0.1 * k) for k in range(len(table.rows)))
    runs = {
        row: [made_run(row, known, *pair, seed) for seed, known in enumerate(truths)]
        for row, pair in zip(table.rows, quality, strict=True)
    }
    behind = {}
    for method in table.methods:
        if method.behind:
            torch.manual_seed(len(method.behind))
            behind[method.row] = [ReconstructionNet(width=8).eval() for _ in range(seeds)]
    return Results(table, Setting(scale="smoke", device="cpu"), runs, truths, behind)


# Who is compared


@pytest.mark.parametrize("number", NUMBERS)
def test_methods_are_trained_rows_and_printed_ones(number: int) -> None:
    table, paper = TABLES[number], published.table(number)
    assert len(table.titles) == len(table.methods)
    assert all(table.domain in ROWS[row].domains for row in table.rows)
    assert {method.behind for method in table.methods} <= {"", "component", "lifter"}
    stated = set(paper["row" if "row" in paper else "reference"])
    if number < 4:
        assert [method.printed for method in table.methods] == list(paper["row"])
    else:
        assert table.full.printed in stated and table.full.row not in table.rivals
        assert table.rivals
    headings = [h for h in table.columns if h not in BESIDE and h in paper]
    assert headings == list(paper.select_dtypes("number"))


def test_each_method_learns_what_its_paper_says() -> None:
    wild = {m.row: ROWS[m.network].wild for n in (4, 6) for m in TABLES[n].methods}
    assert wild["table1/volume2/full"] == wild["table6/duo"] == ""
    assert wild["table4/limbs"] == "limbs"
    # [25] sees through the detector of the full method
    assert wild["table4/lifting"] == wild["table6/lifting"] == "ordinal"
    assert TABLES[4].rivals == ["table1/volume2/full", "table4/limbs", "table4/lifting"]
    assert TABLES[5].rivals == ["table1/volume2/full", "table4/lifting"]  # [64] is not printed
    for row, facts in published.table(2).set_index("row").iterrows():
        added = "ordinal" if facts["ordinal"] else "keypoints" if facts["keypoints"] else ""
        assert ROWS[str(row).removesuffix(REC)].wild == added
        assert str(row).endswith(REC) == facts["reconstruction"]


def test_groups_are_those_of_the_benchmark() -> None:
    assert {w["action"] for w in TABLES[4].groups.values()} == set(DOMAINS["studio"].actions)
    assert {w["part"] for w in TABLES[7].groups.values()} == set(DOMAINS["shift"].parts)
    duo = DOMAINS["duo"]
    pairs = {(w["action"], w["subject"]) for w in TABLES[6].groups.values()}
    assert pairs == {(action, person) for action in duo.actions for person in duo.people}


# Tables


@pytest.mark.parametrize("number", NUMBERS)
def test_tables_hold_the_papers_numbers_apart(number: int) -> None:
    results = made(number, seeds=2)
    table, frame = results.table, results.frame
    assert list(frame.columns) == COLUMNS
    assert (frame["table"] == number).all() and (frame["seeds"] == 2).all()
    assert list(frame["row"].unique()) == [method.row for method in table.methods]
    assert not frame.duplicated(["row", "column"]).any()
    assert (frame["ci_low"] <= frame["reproduced"]).all()
    assert (frame["reproduced"] <= frame["ci_high"]).all()
    paper = published.table(number)
    paper = paper.set_index("row" if "row" in paper else "reference").select_dtypes("number")
    for method in table.methods:
        part = frame[frame["row"] == method.row].set_index("column")["published"].dropna()
        printed = paper.loc[method.printed] if method.printed in paper.index else pd.Series()
        assert part.to_dict() == printed.to_dict()
    has_2d = set(frame[frame["column"] == "keypoint_error_percent"]["row"])
    assert has_2d == {method.row for method in table.methods if not method.behind}


@pytest.mark.parametrize("number", COMPARED)
def test_means_agree_with_grouping_by_pandas(number: int) -> None:
    results = made(number, seeds=2)
    table = results.table
    method = next(m for m in table.methods if not m.behind)
    judge = {4: metrics.mpjpe, 7: metrics.pck3d}.get(number, metrics.reconstruction_error)
    frames = []
    for run, known in zip(results.runs[method.network], results.truths, strict=True):
        error = judge(run.predictions()["joints_mm"], known.joints_mm)
        error = error * (100 if number == 7 else 1)
        frames.append(pd.DataFrame({"seed": run.setting.seed, "error": error, **known.meta}))
    frame = pd.concat(frames)
    found = results.frame.query("row == @method.row").set_index("column")["reproduced"]
    keys = list(next(iter(table.groups.values())))
    by_group = frame.groupby([*keys, "seed"])["error"].mean().groupby(keys).mean()
    for heading, wanted in table.groups.items():
        expected = by_group[tuple(wanted.values()) if len(keys) > 1 else wanted[keys[0]]]
        assert found[heading] == pytest.approx(expected, rel=1e-4)
        held = [results.values[number, method.row, group] for group in table.groups]
        assert (np.isfinite(held).sum(0) == 1).all()
    over_all = frame.groupby("seed")["error"].mean().mean()
    assert found["All" if number == 7 else "Avg"] == pytest.approx(over_all, rel=1e-4)
    if number != 7:
        assert found[MEAN] == pytest.approx(by_group.mean(), rel=1e-4)
        assert found[MEAN] != pytest.approx(over_all, rel=1e-6)


def test_an_action_without_images_is_empty_and_not_in_the_mean() -> None:
    results = made(4)
    results.truths[0].meta["action"][results.truths[0].meta["action"] == "Photo"] = "Posing"
    found = results.frame.set_index(["row", "column"])["reproduced"][results.table.full.row]
    assert np.isnan(found["Photo"])
    others = [found[heading] for heading in published.ACTIONS if heading != "Photo"]
    assert found[MEAN] == pytest.approx(np.mean(others))


def test_seeds_are_stacked_with_their_own_truth() -> None:
    results = made(3, *[(0.0, 1.0)] * 3, seeds=2)
    assert {value.shape for value in results.values.values()} == {(2, SAMPLES)}
    assert (results.values[3, STUDIO, "depth_error"] < 0.1).all()
    crossed = replace(results, truths=results.truths[::-1]).values
    assert (crossed[3, STUDIO, "depth_error"].mean(1) > 50).all()


def test_wide_tables_are_lines_of_methods() -> None:
    results = made(5)
    shown = results.table.wide(results.frame, "interval", BESIDE)
    assert list(shown.index) == list(results.table.titles.values())
    assert shown.loc["ours", "keypoint_error_percent"] == ""
    assert "[" in shown.loc["ours", "depth_error_mm"]
    stated = results.table.wide(results.frame, "published", ["Avg"])
    assert stated["Avg"].to_dict() == {"volumes [32]": 51.9, "lifted 2D [25]": 47.7, "ours": 41.8}
    facts = results.facts()
    assert facts.loc["lifted 2D [25]", "behind it"] == "lifter"
    assert facts.loc["limb lengths [64]", "of wild"] == "2D keypoints, limbs"


@pytest.mark.parametrize("number", [4, 5, 6])
def test_gains_over_rivals(number: int) -> None:
    table = TABLES[number]
    frame = table.gains({key: np.full((1, 9), mean) for key, mean in table.printed.items()})
    assert frame["reproduced"].to_numpy() == pytest.approx(frame["published"].to_numpy())
    paper = published.table(number).set_index("reference").select_dtypes("number")
    printed = frame.set_index(["rival", "column"])["published"]
    references = ["[32]", "[64]", "[25]"] if number == 4 else ["[32]", "[25]"]
    for rival, best in ((table.rivals[-1], paper.loc["[25]"]), (BEST, paper.loc[references].min())):
        expected = 100 * (1 - paper.loc[""] / best)
        assert printed[rival][list(expected.index)].to_numpy() == pytest.approx(expected.to_numpy())


def test_gaps_divide_weak_by_full() -> None:
    rng = np.random.default_rng(5)
    difficulty = rng.normal(0, 30, (2, 400))
    values = {
        (1, m.row, "mpjpe"): (110.0 if m.row.endswith("weak") else 100.0) + difficulty
        for m in TABLES[1].methods
    }
    gaps = tables.gaps(values)
    assert list(gaps["architecture"]) == ["depth", "coordinate", "volume1", "volume2"]
    assert gaps["published"].round(3).tolist() == [1.05, 1.024, 1.048, 1.133]
    assert gaps["reproduced"].tolist() == pytest.approx([1.1] * 4, abs=0.01)
    assert (gaps["ci_high"] - gaps["ci_low"] < 0.02).all()
    other = {(1, row, "depth_error"): value for (_, row, _), value in values.items()}
    assert tables.gaps(other, "depth_error")["published"].isna().all()


def test_csv_has_four_decimals_and_replaces_the_file_as_a_whole(tmp_path, monkeypatch) -> None:
    path = tmp_path / "tables" / "x.csv"
    frame = pd.DataFrame({"row": ["a, b", "c"], "value": [1 / 3, np.nan], "seeds": [1, 3]})
    tables.write_csv(pd.DataFrame({"old": range(100)}), path)
    tables.write_csv(frame, path)

    def refuse(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", refuse)
    with pytest.raises(InputError, match=r"x\.csv.*No space left"):
        tables.write_csv(frame, path)
    assert path.read_text() == 'row,value,seeds\n"a, b",0.3333,1\nc,,3\n'
    assert [entry.name for entry in path.parent.iterdir()] == ["x.csv"]


# What a method is made of


def test_poses_take_depths_only_where_the_method_has_them() -> None:
    results = made(4)
    volumes, _, lifted, own = results.table.methods
    run, (network,) = results.runs[own.network][0], results.behind[own.row]
    stored = run.predictions()
    turned = replace(run, tensors=stored | {"depth": -stored["depth"]})
    pose = poses(own, run, "studio", network)
    expected = reconstruct(network, stored["keypoints_px"], stored["depth"])
    torch.testing.assert_close(pose, expected)
    assert not torch.allclose(pose, poses(own, turned, "studio", network))
    flat = [poses(lifted, one, "studio", network) for one in (run, turned)]
    assert torch.equal(*flat) and not flat[0][:, 0].any()
    assert torch.equal(poses(volumes, run, "studio", None), stored["joints_mm"])


def test_methods_beside_the_table_are_measured_like_those_in_it() -> None:
    results = made(2)
    method = Method(STUDIO + REC, "", STUDIO, None, "component")
    broad = results.measured(method, results.behind[ORDINAL + REC])
    assert broad["mpjpe"].shape == (1, SAMPLES) and "keypoint_error" not in broad
    same = results.measured(results.table.methods[-1])
    assert np.array_equal(same["mpjpe"], results.values[2, ORDINAL + REC, "mpjpe"])
    plain = replace(results.table.methods[-1], behind="")
    assert np.array_equal(results.measured(plain)["mpjpe"], results.values[2, ORDINAL, "mpjpe"])


def test_given_the_truth_only_the_other_error_is_left() -> None:
    known = truth_for(2)
    run = made_run(STUDIO, known, 3.0, 0.5)
    found = given_truth(run, "studio", known)
    floor = metrics.mpjpe(known.lifted(known.keypoints_px, known.depth_mm), known.joints_mm).mean()
    for name in ("mpjpe_given_2d", "mpjpe_given_depth"):
        assert floor < found[name].mean() < run.predictions()["mpjpe"].mean()
    found = given_truth(made_run(STUDIO, known, 0.0, 0.5), "studio", known)
    for name, factor in (("depth_square", 0.25), ("depth_product", 0.5)):
        torch.testing.assert_close(found[name], factor * found["true_square"], rtol=1e-3, atol=1.0)


@pytest.mark.parametrize(
    ("before", "after", "by"), [((4.0, 0.8), (1.0, 0.8), "2d"), ((0.0, 0.3), (0.0, 0.9), "depth")]
)
def test_a_gain_of_one_kind_has_one_source(before, after, by) -> None:
    known = truth_for(2)
    # the same row, so that 2D errors have the same directions: they shrink and do not change
    runs = [made_run(STUDIO, known, *quality) for quality in (before, after)]
    found = sources(*runs, known, "studio")
    other = "depth" if by == "2d" else "2d"
    for metric in ("mpjpe", "pck3d"):
        gain, rest = (found[f"{metric}_by_{name}"].mean().item() for name in (by, other))
        assert gain > 0 and abs(rest) < 0.02 * gain


def test_sources_add_up_are_means_over_both_orders_and_change_sign_with_the_direction() -> None:
    known = truth_for(2)
    runs = [made_run(row, known, *q) for row, q in ((STUDIO, (4.0, 0.4)), (KEYPOINTS, (2.0, 0.7)))]
    there, back = (sources(*pair, known, "studio") for pair in (runs, runs[::-1]))
    for name, value in there.items():
        torch.testing.assert_close(value, -back[name])
    one, two = (run.predictions() for run in runs)

    def error(points, depth):
        pose = lift(points["keypoints_px"], depth["joints_mm"][..., 2], known.intrinsics, LENGTHS)
        return metrics.mpjpe(pose, known.joints_mm)

    total = there["mpjpe_by_2d"] + there["mpjpe_by_depth"]
    torch.testing.assert_close(total, error(one, one) - error(two, two), rtol=1e-3, atol=0.2)
    first, last = error(one, one) - error(two, one), error(one, two) - error(two, two)
    torch.testing.assert_close(there["mpjpe_by_2d"], (first + last) / 2, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_calibration_undoes_a_wrong_scale(factor) -> None:
    known = truth_for(2)
    run = made_run(STUDIO, known, 0.0, factor)
    found = calibrated(run, known)
    floor = metrics.mpjpe(known.lifted(known.keypoints_px, known.depth_mm), known.joints_mm).mean()
    assert found["mpjpe_one_scale"].mean() <= floor * 1.02
    assert found["mpjpe_joint_scales"].mean() == pytest.approx(floor.item(), rel=0.02)
    assert found["mpjpe_one_scale"].mean() <= run.predictions()["mpjpe"].mean() + 1e-4


def test_small_runs_fill_a_table(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ORDLIB_OUTPUTS", str(tmp_path))
    results = Results.of(6, Setting(scale="smoke", device="cpu"))
    assert set(results.behind) == {"table6/lifting", "table6/ordinal+rec"}
    assert set(results.truths[0].meta["subject"]) == {"S1", "S2", "S3"}
    table = results.frame.set_index(["row", "column"])["reproduced"]
    stored = results.runs["table6/duo"][0].predictions()["reconstruction_error"].mean()
    assert table["table6/duo", "Avg"] == pytest.approx(stored.item(), rel=1e-4)
