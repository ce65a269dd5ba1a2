"""Facts about the poses of a data set, by the same functions for real people and for stand-ins.

What a stand-in has to have in common with the data set whose part it plays: how people stand and
sit, from where they are seen, and how much of their depth a guess without an image finds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Generator, Tensor

from ordlib.annotation import annotate
from ordlib.experiments import lifting, published
from ordlib.relations import ordinal_accuracy, relations_from_depth
from ordlib.shapes import Joints2D, Joints3D, PerSample
from ordlib.skeleton import H36M17, LSP14_IN_H36M17, mean_limb_lengths

SEATED_DEG, STEPS = 50.0, 600
_PARENTS = [parent for parent, _ in H36M17.bones]
_JOINTS = list(LSP14_IN_H36M17)


@dataclass(frozen=True)
class People:
    """Poses before cameras and who they are of."""

    joints_mm: Joints3D  # camera frame
    keypoints: Joints2D  # true projections, fractions of the crop
    subject: np.ndarray
    action: np.ndarray

    def __len__(self) -> int:
        return len(self.joints_mm)

    @property
    def depth_mm(self) -> Tensor:
        """Depths relative to the pelvis."""
        return self.joints_mm[..., 2] - self.joints_mm[:, :1, 2]

    def take(self, chosen: np.ndarray) -> "People":
        """Some of the people, by index."""
        index = torch.from_numpy(chosen)
        tensors = self.joints_mm[index], self.keypoints[index]
        return People(*tensors, self.subject[chosen], self.action[chosen])


def evenly(people: People, count: int) -> People:
    """About `count` people, as many of each subject in each action, spread over the frames."""
    cells = pd.DataFrame({"subject": people.subject, "action": people.action})
    rows = cells.groupby(["subject", "action"], sort=True).indices.values()
    size = max(1, count // len(rows))
    spread = [r[np.linspace(0, len(r) - 1, min(size, len(r))).astype(int)] for r in rows]
    return people.take(np.sort(np.concatenate(spread)))


def depth_facts(people: People) -> dict[str, float]:
    """Ties and differences of depth over all pairs of joints; percent and mm."""
    facts = {}
    for title, joints in (("17 joints", slice(None)), ("14 joints", _JOINTS)):
        z = people.depth_mm[:, joints]
        upper = torch.triu_indices(z.shape[1], z.shape[1], 1)
        difference = (z[:, upper[0]] - z[:, upper[1]]).abs()
        facts[f"pairs tied at 100 mm, {title} (%)"] = 100 * float((difference < 100).float().mean())
        facts[f"mean difference of depth, {title} (mm)"] = float(difference.mean())
    return facts


def order_without_image(train: People, test: People, seed: int = 0) -> dict[str, float]:
    """Percent of the pairs at least 100 mm apart that guesses without an image put in order."""
    relations, truth = (relations_from_depth(p.depth_mm) for p in (train, test))
    draws = Generator().manual_seed(seed)
    noise = torch.randn(test.keypoints.shape, generator=draws)
    guesses = {
        "one constant order": train.depth_mm.mean(0).expand(len(test), -1),
        "one joint's position": lifting.depth_by_position(
            train.keypoints, train.depth_mm, test.keypoints
        ),
    }
    for percent in (0, 2, 4, 8):
        network = lifting.fit_depth_from_keypoints(
            train.keypoints, relations, steps=STEPS, generator=draws, noise=percent / 100
        )
        name = f"2D with {percent} % noise" if percent else "true 2D"
        guesses[name] = network(test.keypoints + percent / 100 * noise)
    return {
        f"order right, {name} (%)": 100 * float(ordinal_accuracy(depth, truth).nanmean())
        for name, depth in guesses.items()
    }


def questions(people: People, strategies: Mapping[str, dict]) -> dict[str, float]:
    """Mean number of questions an image about true relations, by strategy."""
    depth = people.joints_mm[:, _JOINTS, 2]
    return {
        f"questions an image, {name}": float(
            annotate(depth, strategy=name, group_size=1, **options).questions.float().mean()
        )
        for name, options in strategies.items()
    }


def view_facts(people: People) -> dict[str, float]:
    """From where people are seen, and who sits; percent and degrees."""
    joint = {name: people.joints_mm[:, k] for k, name in enumerate(H36M17.joints)}
    up = people.joints_mm[:, H36M17.index("thorax")] - people.joints_mm[:, H36M17.root]
    ahead = torch.linalg.cross(joint["left_hip"] - joint["right_hip"], up)
    # 0 where the person looks along the line of sight, away from the camera
    away = torch.rad2deg(torch.atan2(ahead[:, 0].abs(), ahead[:, 2]))
    upright = (joint["head_top"] - (joint["left_ankle"] + joint["right_ankle"]) / 2).mean(0)
    vertical = upright / upright.norm()
    thighs = [joint[f"{s}_knee"] - joint[f"{s}_hip"] for s in ("left", "right")]
    fall = [-(thigh @ vertical) / thigh.norm(dim=-1) for thigh in thighs]
    seated = torch.stack(fall).amax(0) < np.cos(np.deg2rad(SEATED_DEG))
    shares = {
        "facing the camera (%)": away > 135,
        "sideways (%)": (away >= 45) & (away <= 135),
        "facing away (%)": away < 45,
        "seated (%)": seated,
    }
    pitch = np.rad2deg(np.arctan2(-float(upright[2]), -float(upright[1])))
    return {k: 100 * float(v.float().mean()) for k, v in shares.items()} | {
        "camera looks down, by upright people (degrees)": pitch
    }


def canonical(joints_mm: Joints3D) -> Joints3D:
    """Poses without facing and build: hips along x, each bone of its mean length, pelvis at 0."""
    steps = joints_mm[:, 1:] - joints_mm[:, _PARENTS]
    steps = steps / steps.norm(dim=-1, keepdim=True) * mean_limb_lengths()[:, None]
    pose = [torch.zeros_like(steps[:, 0])]
    for bone, parent in enumerate(_PARENTS):
        pose.append(pose[parent] + steps[:, bone])
    poses = torch.stack(pose, 1)
    across = poses[:, H36M17.index("left_hip")] - poses[:, H36M17.index("right_hip")]
    angle = torch.atan2(across[:, 2], across[:, 0])
    cosine, sine = angle.cos()[:, None], angle.sin()[:, None]
    x, y, z = poses.unbind(-1)
    return torch.stack([cosine * x + sine * z, y, cosine * z - sine * x], -1)


def novelty(train: People, test: People, chunk: int = 32) -> PerSample:
    """Mean joint distance of each test pose to the nearest training pose, mm; see `canonical`."""
    known = canonical(train.joints_mm)
    distances = [
        (poses[:, None] - known).norm(dim=-1).mean(-1).amin(1)
        for poses in canonical(test.joints_mm).split(chunk)
    ]
    return torch.cat(distances)


def variety(people: People) -> dict[str, float]:
    """How much people differ in what they do, mm; see `canonical`."""
    poses, distances = canonical(people.joints_mm), []
    for action in np.unique(people.action):
        of = {s: poses[(people.action == action) & (people.subject == s)].mean(0)
              for s in np.unique(people.subject[people.action == action])}  # fmt: skip
        middle = torch.stack(list(of.values())).mean(0)
        distances += [(mean - middle).norm(dim=-1).mean() for mean in of.values()]
    return {"a subject's mean pose in an action from that of all (mm)": float(np.mean(distances))}


def by_action(values: PerSample, people: People) -> pd.Series:
    """Mean of a value in each of the 15 actions, in the order of the paper's tables."""
    means = pd.Series(values.numpy()).groupby(people.action).mean()
    return means.reindex(list(published.ACTIONS.values()))


def action_pattern(errors: PerSample, people: People) -> dict[str, float]:
    """Whether the hard actions are those of [25] in Table 4."""
    means = by_action(errors, people)
    table = published.table(4).set_index("reference").loc["[25]", list(published.ACTIONS)]
    rank = spearmanr(means.to_numpy(), table.to_numpy(float))[0]
    return {
        "rank correlation of lifting error by action with [25]": float(rank),
        "largest over smallest error of an action": float(means.max() / means.min()),
    }


def all_facts(train: People, test: People, seed: int = 0) -> dict[str, float]:
    """Every fact of this module about test people, beside their training people."""
    near = novelty(train, evenly(test, 1000))
    return (
        depth_facts(test)
        | order_without_image(train, test, seed)
        | questions(evenly(test, 2000), {"kinematic": {}})
        | view_facts(test)
        | variety(train)
        | {
            "nearest training pose, mean (mm)": float(near.mean()),
            "nearest training pose, 95 % quantile (mm)": float(near.quantile(0.95)),
        }
    )
