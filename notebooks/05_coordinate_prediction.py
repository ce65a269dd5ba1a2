# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 Coordinate prediction (Section 3.2)
#
# **Question.** Can the network that orders joints in depth place them in the image too, so that a full 3D pose comes out?
#
# **Answer.** It takes $2N$ more outputs, a squared error on 2D keypoints, and a factor between the two losses whose value means something only together with the unit of the keypoints; how well it works is in the table of results.
#
# **Needs.** The stand-in `studio` and two networks, `table1/coordinate/weak` and `table1/coordinate/full`. They are trained here if no run of them is found.
#
# **Time on a CPU.** smoke: seconds. quick: half a minute a network, and as much for the rest. desk: its part of the about two hours that all notebooks take together. paper: days on a GPU for the eight rows.

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
data: str = ""  # folder of real data sets in place of stand-ins, and of motion capture

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from ordlib import augment, camera, experiments, losses, metrics, plots
from ordlib.experiments import evaluation, intervals, published, tables
from ordlib.experiments import supervision as objectives
from ordlib.networks import CoordinateNet, DepthNet, parameter_count
from ordlib.skeleton import H36M17

plots.use_style()
ROWS = ["table1/coordinate/weak", "table1/coordinate/full"]
setting = experiments.Setting(scale, seed, data, device)
experiments.train(ROWS, setting.seeds())

# %% [markdown]
# ## $3N$ outputs
#
# For each of the $N = 17$ joints the network gives a position $w_n = (x_n, y_n)$ in the image and a depth $z_n$. The architecture of Section 3.1 stays; only the fully connected layer has three times as many outputs. At full size it reads $17 \cdot 64 \cdot 64$ values, so the two new outputs a joint cost as many weights as the arithmetic says, and one offset each.

# %% tags=["nbval-check-output"]
with torch.device("meta"):
    depths_only, coordinates = DepthNet(), CoordinateNet()
extra = parameter_count(coordinates) - parameter_count(depths_only)
assert extra == 2 * 17 * (17 * 64 * 64 + 1)
print(f"depth network:      {parameter_count(depths_only):,} parameters")
print(f"coordinate network: {parameter_count(coordinates):,} parameters, {extra:,} more")

# %% [markdown]
# ## The keypoint loss (Eq. 3)
#
# With $w_n$ the annotated position of joint $n$ and $\hat w_n$ the predicted one,
#
# $$\mathcal{L}_{keyp} = \sum_{n=1}^{N} \lVert w_n - \hat w_n \rVert_2^2 .$$
#
# Weak supervision minimises $\mathcal{L} = \mathcal{L}_{rank} + \lambda\,\mathcal{L}_{keyp}$ with $\lambda = 100$. The paper calls $w$ *pixel coordinates* and gives no unit. Here $w$ is measured in **fractions of the crop's side**, from its centre.

# %%
folder = setting.folder
place = setting.device
test = setting.load("studio", "test")
labels = test.batch(np.arange(min(256, len(test))))
size = labels.images.shape[-1]
target = labels.keypoints_px / size - 0.5
guess = torch.zeros_like(target)  # everything in the middle of the crop
eq_3 = (target - guess).square().sum((1, 2)).mean()
torch.testing.assert_close(losses.keypoint_loss(guess, target, labels.visible), eq_3)

# %% [markdown]
# ## Why $\lambda$ and the unit belong together
#
# The ranking loss starts near $\log 2$ for every ordered pair, so near $136\log 2 \approx 94$ at most, because an untrained network gives almost equal depths. A keypoint that is off by a tenth of the crop adds $0.1^2$ in fractions, but $25.6^2$ in pixels of a crop of 256. The table puts the whole keypoint term, $\lambda$ times 17 joints, beside the ranking loss. In fractions the two terms are of like size while the network is coarse. In pixels the ranking loss would not be heard until keypoints are good to a quarter of a pixel.

# %% tags=["nbval-check-output"]
ranking = 136 * math.log(2)
off_by = [0.2, 0.1, 0.05, 0.02, 0.01]
in_fractions = [100 * 17 * fraction**2 for fraction in off_by]
in_pixels = [100 * 17 * (256 * fraction) ** 2 for fraction in off_by]
assert np.isclose(in_pixels[0] / in_fractions[0], 256**2)
pd.DataFrame(
    {
        "error, % of the crop": [100 * fraction for fraction in off_by],
        "ranking loss, untrained": ranking,
        "100 x Eq. 3, fractions": in_fractions,
        "100 x Eq. 3, pixels of 256": in_pixels,
    }
).round(1)

# %% [markdown]
# So $\lambda = 100$ with fractions equals $\lambda = 100 / 256^2 \approx 0.0015$ with pixels. The factor of the paper is kept and the unit is chosen to go with it. `objectives.coordinate_losses` returns the two terms by name. They share the network but not the outputs: each output hears one term only.

# %%
weak, full = (experiments.run(row, setting) for row in ROWS)
batch = test.batch(np.arange(8))
output = weak.network()(batch.images).detach().requires_grad_()
terms = objectives.coordinate_losses(output, batch, weak=True, scale=weak.scale)
by_term = {name: torch.autograd.grad(t, output, retain_graph=True)[0] for name, t in terms.items()}
assert set(terms) == {"rank", "keypoint"}
assert (by_term["rank"][..., :2] == 0).all() and (by_term["rank"][..., 2] != 0).any()
assert (by_term["keypoint"][..., 2] == 0).all() and (by_term["keypoint"][..., :2] != 0).any()

# %% [markdown]
# ## The two terms during training
#
# The figure shows both terms of each row, the keypoint term with its factor, on a logarithmic axis. For the weak row the depth term is the ranking loss; for the full row it is the squared error of depths in units of the loss. Look at which term is the larger one, and when.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
cases = [(weak, "rank", "weak", plots.WEAK), (full, "depth", "full", plots.FULL)]
for ax, (run, term, title, colour) in zip(axes, cases, strict=True):
    ax.plot(run.log["step"], run.log[term], color=colour, label=f"{term} term")
    ax.plot(run.log["step"], run.log["keypoint"], color="black", label="λ × keypoint term")
    ax.set_yscale("log")
    ax.set_title(title)
    ax.set_xlabel("step")
    ax.set_ylabel("loss, mean over the batch")
    ax.legend()
    assert np.isfinite(run.log[[term, "keypoint"]]).all(axis=None)
    if scale != "smoke":
        assert run.log["keypoint"].tail(10).mean() < run.log["keypoint"].head(10).mean()
plots.save_figure(figure, folder / "figures" / "05_training.png")
plt.show()

# %% [markdown]
# ## From $(x, y)$ and depth to 3D
#
# A pixel fixes a ray from the camera. A depth along the axis fixes the point on the ray. The network's depths are relative to the pelvis, so one number a person is missing: the depth $Z$ of the pelvis. Joint $n$ lies at
#
# $$S_n(Z) = (Z + d_n)\, K^{-1} (x_n, y_n, 1)^\top,$$
#
# with $d_n$ its relative depth in mm and $K$ the pinhole matrix of the crop. A larger $Z$ makes the person larger in x and y. Bones have known mean lengths $\bar\ell_b$ from the training people, so the best $Z$ minimises $\sum_b (\ell_b(Z) - \bar\ell_b)^2$. This is the third mode of the evaluation code of the baseline ([32], the paper's reference for Pavlakos et al., *Coarse-to-fine volumetric prediction*, CVPR 2017), and what `camera.root_depth` does. Below the sum is written out for one image, with true and with predicted joints, and its minimum is compared with `root_depth`.


# %%
def limb_cost(points_px, depth_mm, number, root_mm, lengths):
    """Sum over bones of squared length errors (mm^2) at every root depth of a grid."""
    points = points_px.expand(len(root_mm), 17, 2)
    absolute = (root_mm[:, None] + depth_mm).clamp_min(1)  # a point behind the camera has no ray
    intrinsics = labels.intrinsics[number].expand(len(root_mm), 3, 3)
    joints = camera.backproject(points, absolute, intrinsics)
    parents, children = (list(ends) for ends in zip(*H36M17.bones, strict=True))
    bones = (joints[:, children] - joints[:, parents]).norm(dim=-1)
    return (bones - lengths).square().sum(-1)


true_depth = labels.joints_mm[..., 2] - labels.joints_mm[:, :1, 2]
root_mm = torch.linspace(2000, 9000, 1401)  # a step is 5 mm
number = 0
mean_lengths = test.limb_lengths_mm
own_lengths = torch.stack(
    [(labels.joints_mm[number, c] - labels.joints_mm[number, p]).norm() for p, c in H36M17.bones]
)
predicted_depth = weak.predictions()["depth"] * weak.metrics["studio"]["scale_mm"]
cases = {
    "true joints, own limb lengths": (labels.keypoints_px[number], true_depth[number], own_lengths),
    "true joints, mean lengths": (labels.keypoints_px[number], true_depth[number], mean_lengths),
    "weak network, mean lengths": (
        weak.predictions()["keypoints_px"][number],
        predicted_depth[number],
        mean_lengths,
    ),
}

# %% [markdown]
# A dot marks the minimum found by `root_depth`. With true joints and the person's own limb lengths the minimum is zero and lies at the true depth (dashed line). With mean lengths it moves: a tall person seems nearer. x and y of the pose shrink or grow with $Z$ by a few percent, while its relative depths stay: it is distorted rather than scaled.

# %%
figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
found = {}
for (name, (points, depth, lengths)), colour in zip(
    cases.items(), ("#999999", "black", plots.WEAK), strict=True
):
    cost = limb_cost(points, depth, number, root_mm, lengths)
    intrinsics = labels.intrinsics[number : number + 1]
    found[name] = camera.root_depth(points[None], depth[None], intrinsics, lengths)
    best = limb_cost(points, depth, number, found[name], lengths)
    assert best <= cost.min() + 1e-3 * cost.mean()  # nothing on the grid is better
    ax.plot(root_mm / 1000, cost.sqrt(), color=colour, label=name)
    ax.plot(found[name] / 1000, best.sqrt(), "o", color=colour)
true_root = labels.joints_mm[number, 0, 2] / 1000
ax.axvline(true_root, color="black", linestyle="--", linewidth=1, label="true depth")
ax.set_xlabel("depth of the pelvis $Z$ (m)")
ax.set_ylabel("root of summed squared\nlimb length errors (mm)")
ax.legend(loc="lower right")
plots.save_figure(figure, folder / "figures" / "05_root_depth.png")
plt.show()
assert abs(found["true joints, own limb lengths"] - labels.joints_mm[number, 0, 2]) < 5

# %% [markdown]
# ## Results
#
# MPJPE in mm, the 2D error in percent of the crop's side, the depth error in mm, and MPJPE with the 2D positions taken from the annotation: what is left is depth, its scale, and the protocol's floor (notebook 03). The weak row's one scale is fitted with the network's own predicted 2D on training images, so 2D still enters its depth error and this MPJPE through that number. Published numbers are for Human3.6M at full size and stand in a column of their own. At scale `smoke` the reproduced ones mean nothing. Where the scale has more than one seed, the table is a mean over all of them and the interval covers them too; the other numbers and figures are those of the first seed.

# %%
measures = ["mpjpe", "keypoint_error", "depth_error", "mpjpe_given_2d", "ordinal_accuracy"]
all_runs = {row: [experiments.run(row, s) for s in setting.seeds()] for row in ROWS}
table = pd.DataFrame(
    {
        m: {r: np.mean([run.metrics["studio"][m] for run in all_runs[r]]) for r in ROWS}
        for m in measures
    }
)
printed = published.table(1).set_index("row")["avg_error_mm"].reindex(ROWS)
table.insert(0, "published (mm)", printed)
tables.write_csv(table.rename_axis("row").reset_index(), folder / "tables" / "05_coordinate.csv")
if scale != "smoke":
    assert (table["ordinal_accuracy"] > 0.5).all()
table.round(2)

# %%
ratio, low, high = intervals.ratio(*(tables.per_sample(all_runs[row], "mpjpe") for row in ROWS))
verdict = "the interval holds 1" if low <= 1 <= high else "the interval does not hold 1"
lost = table["mpjpe"] - table["mpjpe_given_2d"]
print(f"MPJPE weak / full, published:  {printed.iloc[0] / printed.iloc[1]:.3f}")
print(f"MPJPE weak / full, reproduced: {ratio:.3f}, 95% interval {low:.3f} to {high:.3f}")
print(f"Is weak as good as full? {verdict}.")
print(f"Lost to 2D errors: weak {lost.iloc[0]:.1f} mm, full {lost.iloc[1]:.1f} mm")

# %% [markdown]
# Which joints are hard? The bars give the mean 3D error of each joint over the whole test set. Expect the ends of the limbs to be worst: they move most and hide most. The pelvis is zero by definition.

# %%
truth = torch.cat([test.batch(part).joints_mm for part in np.array_split(np.arange(len(test)), 8)])
truth = truth - truth[:, :1]
figure, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
for offset, (run, name, colour) in zip(
    (-0.2, 0.2), ((weak, "weak", plots.WEAK), (full, "full", plots.FULL)), strict=True
):
    by_joint = (run.predictions()["joints_mm"] - truth).norm(dim=-1).mean(0)
    assert by_joint[0] == 0
    assert math.isclose(by_joint.mean(), run.metrics["studio"]["mpjpe"], rel_tol=1e-3)
    ax.bar(np.arange(17) + offset, by_joint, 0.4, color=colour, label=name)
ax.set_xticks(range(17), [joint.replace("_", "\n") for joint in H36M17.joints], fontsize=7)
ax.set_ylabel("mean error (mm)")
ax.legend()
plots.save_figure(figure, folder / "figures" / "05_joints.png")
plt.show()

# %% [markdown]
# ## Examples
#
# Three test images of the weak network: one of the best tenth, the median, one of the worst tenth. Left to right: predicted 2D joints, the true and the predicted skeleton from the camera, and both from the side. The truth is drawn faintly. Expect the side view to show errors that the camera's view hides.

# %%
order = weak.predictions()["mpjpe"].argsort()
picks = [int(order[int(q * (len(order) - 1))]) for q in (0.05, 0.5, 0.95)]
shown = test.batch(picks)
figure, axes = plt.subplots(3, 3, figsize=(9, 9), layout="constrained")
for row, index in enumerate(picks):
    error = weak.predictions()["mpjpe"][index]
    plots.show_image(axes[row, 0], shown.images[row], f"MPJPE {error:.0f} mm")
    plots.draw_joints(axes[row, 0], weak.predictions()["keypoints_px"][index])
    for ax, side in ((axes[row, 1], False), (axes[row, 2], True)):
        plots.draw_skeleton(ax, truth[index], side, alpha=0.3)
        plots.draw_skeleton(ax, weak.predictions()["joints_mm"][index], side)
axes[0, 1].set_title("from the camera")
axes[0, 2].set_title("from the side")
plots.save_figure(figure, folder / "figures" / "05_examples.png")
plt.show()

# %% [markdown]
# The median one again, to turn with the mouse in JupyterLab: solid is the truth, dashed the prediction.

# %%
pair = [truth[picks[1]], weak.predictions()["joints_mm"][picks[1]]]
plots.turnable_skeletons(pair, ["true", "predicted"]).show()

# %% [markdown]
# ## Flip averaging
#
# At test time the image is predicted twice, as it is and mirrored, and the two are averaged. A mirror turns the person's left arm into a right arm, so the left and right joints must be swapped before averaging; depths stay. The figure shows one image and its mirror image with their joints: orange is the person's right side in both. Mirroring twice must give back what one had.

# %%
everyone = torch.ones(8, dtype=torch.bool)
mirrored = augment.mirror(batch, everyone, H36M17)
twice = augment.mirror(mirrored, everyone, H36M17)
assert torch.equal(twice.images, batch.images) and torch.equal(twice.joints_mm, batch.joints_mm)
assert torch.equal(twice.relations, batch.relations)
torch.testing.assert_close(twice.keypoints_px, batch.keypoints_px)
torch.testing.assert_close(twice.intrinsics, batch.intrinsics)
figure, axes = plt.subplots(1, 2, figsize=(6, 3.2), layout="constrained")
for ax, source, title in zip(axes, (batch, mirrored), ("image", "mirrored"), strict=True):
    plots.show_image(ax, source.images[0], title)
    plots.draw_joints(ax, source.keypoints_px[0])
plots.save_figure(figure, folder / "figures" / "05_mirror.png")
plt.show()


# %%
@torch.no_grad()
def errors(run, averaged: bool) -> dict[str, float]:
    """2D error (% of the crop) and depth error (mm) on part of the test set."""
    network, unit_mm = run.network().to(place), run.scale.ranking_unit_mm
    if averaged:
        part = np.arange(len(labels))
        prediction = evaluation.predict(network, test, unit_mm, place, part)
        points, depth = prediction.keypoints_px, prediction.depth
    else:
        output = torch.cat([network(i.to(place)).cpu() for i in labels.images.split(64)])
        points, depth = (output[..., :2] + 0.5) * size, output[..., 2]
    depth_mm = (depth - depth[:, :1]) * run.metrics["studio"]["scale_mm"]
    return {
        "2D error (%)": 100
        / size
        * metrics.keypoint_error_px(points, labels.keypoints_px).mean().item(),
        "depth error (mm)": metrics.depth_error(depth_mm, true_depth).mean().item(),
    }


flips = {
    f"{name}, {'averaged' if averaged else 'one pass'}": errors(run, averaged)
    for name, run in (("weak", weak), ("full", full))
    for averaged in (False, True)
}
pd.DataFrame(flips).T.round(2)

# %%
for name in ("weak", "full"):
    one, two = (flips[f"{name}, {kind}"] for kind in ("one pass", "averaged"))
    changes = [f"{measure} {100 * (two[measure] / one[measure] - 1):+.1f} %" for measure in one]
    print(f"{name}: change by averaging: {', '.join(changes)}")

# %% [markdown]
# ## Summary
#
# - Three outputs a joint in place of one; $x$ and $y$ hear Eq. 3 alone, $z$ hears Eq. 2 alone, and what they share is the network.
# - $\lambda = 100$ goes with keypoints in fractions of the crop. In pixels it would be 65,536 times as strong.
# - The depth of the pelvis follows from mean limb lengths, image by image, without 3D truth.
# - MPJPE mixes errors in 2D and in depth. Report both beside it.
#
# ## Try it
#
# - Change `number` in the section on the root's depth. For whom do mean limb lengths mislead most?
# - Average the two passes without swapping left and right. What does the average look like?
# - Train with another `keypoint_weight` (a field of `Scale`; give a `Row` the change) and watch 2D error and ordinal accuracy trade places.
