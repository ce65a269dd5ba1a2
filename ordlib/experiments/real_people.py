"""What of the paper holds on real people: the tables of notebook 17, from Human3.6M's poses."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Generator, Tensor

from ordlib import metrics, synthetic
from ordlib.annotation import PERFECT, PERSON, DepthPrior, annotate
from ordlib.camera import self_occluded
from ordlib.datasets import human36m
from ordlib.datasets.human36m_poses import Poses
from ordlib.experiments import facts, roles
from ordlib.experiments.beyond import Lifters
from ordlib.experiments.components import (
    CONFIGS,
    WITHHELD,
    ComponentConfig,
    fit_component,
    lift_detected,
)
from ordlib.experiments.real_lifting import (
    SIZES,
    SUPERVISIONS,
    Films,
    depths,
    detected,
    joints_2d,
    measure,
    ratio,
    takes_drawn,
    train,
)
from ordlib.experiments.setting import Setting
from ordlib.experiments.tables import write_csv
from ordlib.networks import reconstruct
from ordlib.plots import save_figure
from ordlib.reconstruction import NoiseModel, Skeletons, noisy_depth
from ordlib.relations import ordinal_accuracy, relations_from_depth
from ordlib.skeleton import LSP14_IN_H36M17

OFF = ("Greeting", "SittingDown", "Waiting")  # of S9: motion capture off the films in parts
RECORDED = Path(__file__).parents[2] / "outputs" / "desk-data" / "tables"
_JOINTS = list(LSP14_IN_H36M17)


def following(
    joints_mm: Tensor, order: float, noise: NoiseModel, seed: int = 0, rounds: int = 12
) -> NoiseModel:
    """A noise model scaled so that depths keep a share of their order, as a network's do.

    Args:
        joints_mm: skeletons, camera frame.
        order: share of the pairs at least 100 mm apart that keep their order.
        noise: what is scaled: turns, steps and flips together.

    Returns:
        The model; its share is met by bisection.
    """
    relations = relations_from_depth(joints_mm[..., 2])
    low, high = 0.0, 2.0
    for _ in range(rounds):
        middle = (low + high) / 2
        depth = noisy_depth(joints_mm, scaled(noise, middle), Generator().manual_seed(seed))
        kept = float(ordinal_accuracy(depth, relations).nanmean())
        low, high = (middle, high) if kept > order else (low, middle)
    return scaled(noise, (low + high) / 2)


def scaled(noise: NoiseModel, factor: float) -> NoiseModel:
    """Turns, steps, flips and gains, all of them times a factor."""
    names = ("turn_deg", "step_mm", "flip", "gain")
    return replace(noise, **{name: factor * getattr(noise, name) for name in names})


def questions(films: Films, seed: int) -> pd.DataFrame:
    """Questions an image by strategy: mean, spread and 95% interval over takes.

    Also minutes an image in groups of 50 images, and the share of wrong relations.
    """
    joints = films.joints_mm
    hidden = torch.cat([self_occluded(part)[:, _JOINTS] for part in joints.split(500)])
    depth, counts = joints[:, _JOINTS, 2], takes_drawn(films.take)
    poses = synthetic.skeletons("wild", "train", 10_000, seed + 1000).joints_mm
    prior = DepthPrior.learn(poses[:, _JOINTS, 2])
    records = []
    for strategy in ("all", "insertion", "merge", "kinematic", "informed"):
        for who, annotator in (("never errs", PERFECT), ("a person", PERSON)):
            draws = Generator().manual_seed(seed)
            done = annotate(depth, annotator, strategy, generator=draws, hidden=hidden, prior=prior)
            number = done.questions.double().numpy()
            low, high = np.percentile(counts @ number / counts.sum(1), [2.5, 97.5])
            wrong = done.relations != relations_from_depth(depth)
            share = (
                100 * float(wrong.float().mean()) * 14 / 13
            )  # joints are not asked of themselves
            facts = (number.mean(), number.std(), low, high, done.minutes_per_image, share)
            records.append((strategy, who, *facts))
    columns = ["strategy", "annotator", "questions", "sd", "low", "high", "minutes", "wrong (%)"]
    return pd.DataFrame(records, columns=columns)


def lifting_table(results: Mapping[str, dict], test: Films) -> pd.DataFrame:
    """Means of all measures, and the ratio of the error at the true root to full supervision's."""
    full = results["full"]["true_root"]
    records = {}
    for name, measures in results.items():
        means = {key: float(np.nanmean(values)) for key, values in measures.items()}
        if "true_root" in measures:
            means |= ratio(measures["true_root"], full, test.take)
        records[name] = means
    return pd.DataFrame.from_dict(records, orient="index").rename_axis("supervision").reset_index()


def component_table(
    train_films: Films,
    test: Films,
    networks: Mapping[str, Lifters],
    config: ComponentConfig,
    seed: int,
) -> pd.DataFrame:
    """The component of Section 3.4 behind the depths of perceptrons, against lifting [25].

    Args:
        networks: by supervision; how much order `ordinal` keeps on training films sets the noise.
        config: size and budget; its noise is the default one.

    Returns:
        `mpjpe` and `aligned` (reconstruction error) in mm by input, noise and seed.
    """
    points = joints_2d(train_films, test)
    relations = relations_from_depth(train_films.depth_mm)
    kept = [
        ordinal_accuracy(z, relations).nanmean() for z in depths(networks["ordinal"], train_films)
    ]
    order = float(torch.stack(kept).mean())
    given = {kind: depths(network, test) for kind, network in networks.items()}
    noises = {
        "noise of the ConvNets": config.noise,
        "noise that follows": following(train_films.joints_mm[::20], order, config.noise),
    }
    true = Skeletons(
        train_films.joints_mm, train_films.poses.pinhole_px, train_films.poses.intrinsics
    )
    seen = replace(true, keypoints_px=joints_2d(train_films, train_films))
    records = []
    for number in range(networks["ordinal"].seeds):
        behind = {
            name: fit_component(true, replace(config, noise=noise), seed + number)
            for name, noise in noises.items()
        }
        lifter = fit_component(seen, replace(config, noise=WITHHELD), seed + number)
        poses = {("2D alone", "lifting [25]"): lift_detected(lifter, points)}
        with torch.no_grad():
            for (name, network), (kind, depth) in product(behind.items(), given.items()):
                poses[kind, name] = reconstruct(network, points, depth[number])
        for (kind, name), pose in poses.items():
            errors = (metrics.mpjpe, metrics.reconstruction_error)
            mpjpe, aligned = (float(error(pose, test.joints_mm).mean()) for error in errors)
            records.append((kind, name, seed + number, mpjpe, aligned))
    return pd.DataFrame(records, columns=["depths", "component", "seed", "mpjpe", "aligned"])


def defects(train_films: Films, test: Films) -> pd.DataFrame:
    """Error of the detector by action and subject, percent of the box."""
    distance = (joints_2d(train_films, test) - test.poses.keypoints_px).norm(dim=-1).mean(1)
    share = 100 * distance / test.box[1].flatten()
    facts = {key: test.poses.meta[key] for key in ("action", "subject")}
    return pd.DataFrame({**facts, "error": share}).pivot_table("error", "action", "subject")


def compared(setting: Setting, poses: Mapping[str, Poses]) -> pd.DataFrame:
    """The facts of real people and of the stand-in that plays their part, side by side."""
    train_count, test_count = (600, 300) if setting.scale == "smoke" else (20_000, 4_000)
    sizes = {"train": train_count, "test": test_count}
    real = {split: facts.evenly(_people(poses[split]), count) for split, count in sizes.items()}
    studio = {
        split: facts.People(
            *vars(synthetic.skeletons("studio", split, count, setting.seed)).values()
        )
        for split, count in sizes.items()
    }
    columns = {
        name: facts.all_facts(people["train"], people["test"], setting.seed)
        for name, people in (("Human3.6M", real), ("studio", studio))
    }
    return pd.DataFrame(columns).rename_axis("fact").reset_index()


def _people(poses: Poses) -> facts.People:
    points = poses.pinhole_px
    low, high = points.amin(1), points.amax(1)
    side = (high - low).amax(1)[:, None, None] + 40  # as the crops of [32]
    keypoints = (points - (low + high)[:, None] / 2) / side + 0.5
    return facts.People(poses.joints_mm, keypoints, poses.meta["subject"], poses.meta["action"])


class Study:
    """The tables of notebook 17: made where the poses are there, else as they were recorded."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.size = setting, SIZES[setting.scale]
        self.folder = roles.poses_folder(setting.data)

    @property
    def origin(self) -> str:
        """Where the numbers come from, in words."""
        if self.folder:
            return f"Computed now from the files in {self.folder.name}, {self.size.seeds} seeds."
        facts = pd.read_csv(RECORDED / "17_run.csv").iloc[0]
        return (
            "No files of Human3.6M are here (`data` is empty): these are the recorded results,"
            f" scale {facts.scale}, {facts.seeds} seeds from {facts.seed}, {facts.hardware}."
        )

    @cached_property
    def poses(self) -> dict[str, Poses]:
        """All frames by split."""
        assert self.folder
        return {split: human36m.poses(self.folder, split) for split in ("train", "test")}

    @cached_property
    def films(self) -> tuple[Films, Films]:
        """Training and test frames with detections."""
        return detected(self.poses["train"], self.size.train), detected(
            self.poses["test"], self.size.test
        )

    @cached_property
    def networks(self) -> dict[str, Lifters]:
        """Perceptrons of each supervision."""
        seed = self.setting.seed
        return {k: train(self.films[0], how, self.size, seed) for k, how in SUPERVISIONS.items()}

    @cached_property
    def results(self) -> dict[str, dict[str, np.ndarray]]:
        """What each supervision gives on the test frames, see `measure`."""
        return {k: measure(*self.films, n, SUPERVISIONS[k]) for k, n in self.networks.items()}

    def questions(self) -> pd.DataFrame:
        """See `questions`."""
        return self._table("questions", lambda: questions(self.films[1], self.setting.seed))

    def lifting(self) -> pd.DataFrame:
        """See `lifting_table`."""
        return self._table("lifting", lambda: lifting_table(self.results, self.films[1]))

    def component(self) -> pd.DataFrame:
        """See `component_table`."""
        config = CONFIGS["smoke" if self.setting.scale == "smoke" else "quick"]
        chosen = {kind: self.networks[kind] for kind in ("full", "ordinal")} if self.folder else {}
        return self._table(
            "component",
            lambda: component_table(*self.films, chosen, config, self.setting.seed),
        )

    def facts(self) -> pd.DataFrame:
        """See `compared`."""
        return self._table("facts", lambda: compared(self.setting, self.poses))

    def defects(self) -> pd.DataFrame:
        """See `defects`."""
        return self._table("defects", lambda: defects(*self.films).reset_index())

    def without_defects(self) -> pd.Series:
        """Ratio of ordinal to full supervision without S9's actions that are off the films."""
        return self._table("without_defects", self._sound).iloc[0]

    def _sound(self) -> pd.DataFrame:
        meta, take = self.films[1].poses.meta, self.films[1].take
        sound = ~((meta["subject"] == "S9") & np.isin(meta["action"], OFF))
        over, under = (self.results[k]["true_root"][:, sound] for k in ("ordinal", "full"))
        return pd.DataFrame([ratio(over, under, take[sound])])

    def _table(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        if not self.folder:
            return pd.read_csv(RECORDED / f"17_{name}.csv")
        frame, tables = make(), self.setting.folder / "tables"
        write_csv(frame, tables / f"17_{name}.csv")
        run = (self.setting.scale, self.setting.seed, self.size.seeds, hardware())
        columns = ["scale", "seed", "seeds", "hardware"]
        write_csv(pd.DataFrame([run], columns=columns), tables / "17_run.csv")
        return frame

    def save(self, figure: Figure, name: str) -> None:
        """Keep a figure that was drawn from computed results."""
        if self.folder:
            save_figure(figure, self.setting.folder / "figures" / f"17_{name}.png")


def hardware() -> str:
    """What a result was computed on."""
    return f"{os.cpu_count()} CPU cores, {torch.backends.cpu.get_cpu_capability()}"
