# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 Overview: Ordinal Depth Supervision for 3D Human Pose Estimation
#
# **Question.** What does the paper claim, what has this reproduction found so far, and how do I read and run it?
#
# **Answer in one sentence.** The paper claims that a network learns 3D human pose almost as well from "which joint is closer?" as from exact depths; the table of verdicts below says, by code, how far that holds on the built-in benchmark.
#
# **Needs** the eight rows of Table 1; it trains those that are missing. **Time** (2 CPU cores, training included): `smoke` under a minute, `quick` about 10 minutes, `desk` two to four hours, `paper` days on a GPU for the eight rows. Without training: about half a minute.

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
mocap: str = ""  # folder of BVH files in place of the built-in poses

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from ordlib import experiments, plots, published, results, synthetic
from ordlib.camera import project
from ordlib.files import outputs_folder
from ordlib.relations import relations_from_depth
from ordlib.scales import SCALES
from ordlib.skeleton import H36M17

plots.use_style()
ROWS = [
    "table1/depth/weak", "table1/depth/full",
    "table1/coordinate/weak", "table1/coordinate/full",
    "table1/volume1/weak", "table1/volume1/full",
    "table1/volume2/weak", "table1/volume2/full",
]  # fmt: skip
experiments.train(ROWS, scale, experiments.seeds(scale, seed), device=device, mocap=mocap or None)

# %% [markdown]
# ## The problem and the idea
#
# To learn 3D pose from one image, a network wants images with the 3D positions of all joints. Those exist for studios with motion capture and for little else. People cannot label millimetres of depth in a photograph. But they can say which of two joints is closer to the camera.
#
# The paper takes these answers as the supervision. For a pair of joints $(i, j)$ the relation is
#
# $$r(i,j) = \begin{cases} +1 & \text{joint } i \text{ is closer} \\ -1 & \text{joint } j \text{ is closer} \\ \phantom{+}0 & \text{about the same depth} \end{cases}$$
#
# and a network that predicts depths $z_1, \dots, z_N$ (larger is farther away) pays, with Eq. 1,
#
# $$\mathcal{L}_{i,j} = \begin{cases} \log(1 + \exp(z_i - z_j)) & r(i,j) = +1 \\ \log(1 + \exp(z_j - z_i)) & r(i,j) = -1 \\ (z_i - z_j)^2 & r(i,j) = 0 \end{cases}$$
#
# summed over all pairs that somebody has answered (Eq. 2). Together with ordinary 2D keypoints that is all it is told (the depth-only rows: no 2D keypoints in either training).
#
# ## The idea in one figure
#
# A test image of the benchmark, the one whose error is the median of all, so neither a good nor a bad example. The pair of limb ends that differ most in depth:

# %%
domain = {"scale": scale, "seed": seed, "mocap": mocap or None}
test_set = synthetic.load("studio", "test", **domain)
run = experiments.run("table1/volume2/weak", scale, seed, device=device, mocap=mocap or None)
order = run.predictions["mpjpe"].argsort(stable=True)
chosen = int(order[len(order) // 2])
sample = test_set.batch([chosen])
depth_mm = sample.joints_mm[0, :, 2] - sample.joints_mm[0, 0, 2]
relations = relations_from_depth(depth_mm)
ends = [H36M17.index(f"{s}_{n}") for s in ("right", "left") for n in ("wrist", "ankle")]
extremes = min(ends, key=lambda j: depth_mm[j]), max(ends, key=lambda j: depth_mm[j])
first, second = sorted(extremes)
answer = {1: "the first", -1: "the second", 0: "about the same"}[int(relations[first, second])]
print(f"{H36M17.joints[first]} or {H36M17.joints[second]}: which is closer? {answer}")

# %% [markdown]
# Left: the image with the two joints. Second: all relations of this image, one cell a pair; this matrix is what a weakly supervised network is trained on. Third: the true depths against those that the network predicts for this image, which it was not trained on; a perfect prediction lies on the line. Right: the skeletons from the person's side, truth in colour, prediction in grey. The joints have these numbers:

# %% tags=["nbval-check-output"]
names = [f"{number} {name.replace('_', ' ')}" for number, name in enumerate(H36M17.joints)]
for start in (0, 9):
    print(", ".join(names[start : start + 9]))

# %%
fig, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained")
plots.show_image(axes[0], sample.images[0], "which joint is closer?")
for joint, mark in ((first, "1"), (second, "2")):
    u, v = sample.keypoints_px[0, joint].tolist()
    axes[0].plot(u, v, "o", markersize=11, color="white", markeredgecolor="black")
    axes[0].text(u, v, mark, ha="center", va="center", fontsize=8)
axes[1].imshow(relations, cmap="PiYG", vmin=-1.5, vmax=1.5)
axes[1].set_title("r(i, j): +1 green, 0 white, -1 pink")
axes[1].set(xlabel="joint j", ylabel="joint i", xticks=range(0, 17, 4), yticks=range(0, 17, 4))
predicted = run.predictions["joints_mm"][chosen]
axes[2].scatter(depth_mm, predicted[:, 2], color=plots.WEAK, s=16)
reach = float(torch.cat((depth_mm, predicted[:, 2])).abs().max()) * 1.1
axes[2].plot([-reach, reach], [-reach, reach], color="black", linewidth=0.8, label="perfect")
axes[2].set_xlabel("true depth from the pelvis (mm)")
axes[2].set_ylabel("predicted depth (mm)")
axes[2].legend()
true_mm = sample.joints_mm[0] - sample.joints_mm[0, :1]
plots.draw_skeleton(axes[3], true_mm, side_view=True)
for bone in H36M17.bones:
    axes[3].plot(*predicted[list(bone)][:, [2, 1]].T, color=plots.PUBLISHED, linestyle="--")
axes[3].plot([], [], color=plots.SIDE_COLOURS["trunk"], label="truth")
axes[3].plot([], [], color=plots.PUBLISHED, linestyle="--", label="predicted (dashed)")
axes[3].legend(loc="lower left", fontsize=7, handlelength=1.5)
plots.save_figure(fig, outputs_folder(scale, mocap or None) / "figures" / "00_idea.png")
plt.show()

# %% [markdown]
# The same two skeletons to turn with the mouse (in JupyterLab):

# %%
plots.turnable_skeletons([true_mm, predicted], ["truth", "prediction"]).show()

# %% [markdown]
# What the figure rests on, as assertions: the relation matrix is antisymmetric, ties are pairs that differ by less than 100 mm, and the keypoints are the projection of the joints.

# %%
differences = depth_mm[:, None] - depth_mm[None, :]
assert torch.equal(relations, -relations.T)
assert torch.equal(relations == 0, differences.abs() < 100)
assert (differences[relations == 1] < 0).all(), "+1 where the first joint is closer"
assert torch.allclose(project(sample.joints_mm, sample.intrinsics), sample.keypoints_px, atol=0.05)

# %% [markdown]
# With $N$ joints there are $N(N-1)/2$ pairs: 136 for the 17 joints here, 91 for the 14 that people are asked about.

# %% tags=["nbval-check-output"]
pairs = {joints: joints * (joints - 1) // 2 for joints in (17, 14)}
assert pairs == {17: 136, 14: 91}
assert pairs[17] == len(torch.triu_indices(17, 17, 1).T)
pairs

# %% [markdown]
# ## What the paper claims first
#
# Table 1 asks whether relations are enough: on Human3.6M, where exact depths are known, four architectures are trained twice, with exact 3D joints (*full*) and with relations and 2D keypoints alone (*weak*) (the depth-only rows: no 2D keypoints in either training). Printed are mean joint errors in mm.

# %% tags=["nbval-check-output"]
published.table(1).drop(columns="row")

# %% [markdown]
# The paper reads this as: weak is competitive in all cases, and the gap grows only for the strongest network, two hourglasses. Tables 2 to 7 then use relations for what they are meant for, images without 3D truth: Tables 2 and 3 are notebooks 10 and 11, the others are not part of this version.
#
# ## What this reproduction found so far
#
# The same eight networks, trained from scratch on the built-in benchmark. Ratios can be compared with the paper's, millimetres cannot (other images). The interval is a 95% bootstrap interval over test images and, where there is more than one, seeds.

# %%
seeds = experiments.seeds(scale, seed)
runs = {
    row: [experiments.run(row, scale, s, device=device, mocap=mocap or None) for s in seeds]
    for row in ROWS
}
table = results.table1(runs).query("column == 'avg_error_mm'")
assert list(table["row"]) == ROWS
gaps = results.gaps(runs)
gaps.drop(columns="metric").round(3)

# %% [markdown]
# Weak over full for each architecture: grey as published, purple as reproduced. Above the line weak supervision costs something.

# %%
fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
places, middle = np.arange(4), gaps["reproduced"].to_numpy()
reach = np.stack([middle - gaps["ci_low"], gaps["ci_high"] - middle])
ax.axhline(1, color="black", linewidth=0.8)
ax.plot(places - 0.08, gaps["published"], "s", color=plots.PUBLISHED, label="published")
ax.errorbar(places + 0.08, middle, reach, fmt="o", color=plots.WEAK, capsize=3, label="reproduced")
ax.set_xticks(places, ["depth", "coordinates", "volume,\n1 hourglass", "volume,\n2 hourglasses"])
ax.set_ylabel("MPJPE, weak / full")
ax.legend()
plots.save_figure(fig, outputs_folder(scale, mocap or None) / "figures" / "00_gaps.png")
plt.show()

# %% [markdown]
# Every statement has a bound and a verdict: *reproduced* if the whole interval is on the stated side of the bound, *not reproduced* if none of it is, *undecided* if the bound is inside. Notebook 09 explains the bounds, and why two of the statements look at other errors than the printed one.

# %%
statements = results.judge(runs)
statements[["statement", "published", "reproduced", "ci_low", "ci_high", "verdict"]].round(3)

# %%
counts = statements["verdict"].value_counts()
for word in ("reproduced", "not reproduced", "undecided"):
    print(f"{word}: {counts.get(word, 0)} of {len(statements)} statements")
if scale == "smoke":
    print("Scale smoke only proves that everything runs; its verdicts mean nothing.")
if len(seeds) == 1:
    print("One seed: the intervals cover the choice of test images alone.")
    print("Another seed would give other images, other people's looks and other weights.")
assert counts.sum() == len(statements)

# %% [markdown]
# ## How to read it
#
# Each notebook asks one question. They can be read in order or alone; each trains what it needs and does not find.
#
# | notebook | question |
# |---|---|
# | 00 overview | What does the paper claim, what was found, how do I run it? |
# | 01 ranking loss | Why does Eq. 1 look as it does, and what can it find? |
# | 02 annotation | How do people label depth order, and how can 17 questions stand for 91? |
# | 03 data | What do the data look like, and what does each protocol measure? |
# | 04 depth prediction | Section 3.1: can a network learn depths from relations alone? |
# | 05 coordinate prediction | Section 3.2: what changes when it predicts x, y and depth? |
# | 06 volumetric prediction | Section 3.3: how do relations supervise a volume? |
# | 07 reconstruction | Section 3.4: what does a component trained on skeletons alone add? |
# | 08 training | How are all networks trained, and is that deterministic? |
# | 09 Table 1 | Is ordinal supervision as good as exact depths? |
# | 10 Table 2 | What do images from elsewhere and the reconstruction component bring on studio? |
# | 11 Table 3 | Do they help where nothing was trained? |
#
# Numbers from 12 on are kept for what follows in later versions: Tables 4 to 7 (12 to 14), examples (15) and experiments beyond the paper (16).
#
# What is longer than a screen lives in the package `ordlib`; the notebooks tell the story.
#
# ## How to run it
#
# ```
# make reproduce                     # every notebook at scale quick, in an environment of its own
# make reproduce SCALE=desk ONLY=09  # one notebook at another scale
# make lab                           # JupyterLab; double-click notebooks/00_overview.py
# papermill 09_table1.ipynb out.ipynb -p scale quick -p seed 1   # after jupytext --to ipynb
# python -m ordlib train table1/volume2/weak --scale quick       # one network
# python -m ordlib predict photo.jpg                             # a trained network on an image
# ```
#
# An interrupted run continues where it stopped. Finished networks are reused. Results lie in one folder for each scale: `outputs/<scale>/notebooks` (executed), `figures`, `tables` (CSV) and `runs` (configuration, log, weights and predictions of each network). With `MOCAP=folder` the poses come from your own BVH files, and the results lie in `outputs/<scale>-mocap`.
#
# The scales differ in sizes and budgets, not in method:

# %% tags=["nbval-check-output"]
columns = ["image_size", "features", "train_images", "test_images", "steps", "batch_size", "seeds"]
sizes = pd.DataFrame(
    {name: [getattr(one, column) for column in columns] for name, one in SCALES.items()},
    index=columns,
).T
sizes.insert(0, "for", ["CI: numbers mean nothing", "a first look", "results", "the paper's sizes"])
assert list(sizes.index) == ["smoke", "quick", "desk", "paper"]
sizes

# %% [markdown]
# ## What is synthetic, and what that means
#
# Human3.6M and the other data sets are licensed and cannot be shipped. Their parts are played by rendered people, made on your machine: jointed bodies of smooth solid parts, posed by a prior or by motion capture, lit, and seen by a pinhole camera. `studio` plays Human3.6M.

# %%
picks = np.linspace(0, len(test_set) - 1, 12).astype(int)
batch = test_set.batch(picks)
fig, ax = plt.subplots(figsize=(10, 1.2), layout="constrained")
ax.imshow(plots.contact_sheet(batch.images, columns=12))
ax.set_axis_off()
ax.set_title("twelve test images of studio")
assert set(batch.meta["subject"]) <= {"S9", "S11"}, "test subjects are never trained on"
plt.show()

# %% [markdown]
# That settles what these results can say. They test the *method*: the same losses, networks and protocols, on images where depth has to be read from shading, occlusion and perspective. They say nothing about how well a network does on photographs, and a network trained here will be poor on them. The relations in Table 1 come from true depths, here as in the paper; how people answer, and a tool to do it yourself, is notebook 02.
#
# ## How to cite
#
# Cite the paper, whose ideas these are: Georgios Pavlakos, Xiaowei Zhou, Kostas Daniilidis, *Ordinal Depth Supervision for 3D Human Pose Estimation*, CVPR 2018 (arXiv:1805.04095). The repository's `CITATION.cff` has the entry, and one for this reproduction.
#
# ## Summary
#
# - The first claim, Table 1: relations between joints instead of exact depths. Tables 2 and 3, with images from elsewhere, have notebooks of their own.
# - Eight networks, trained from scratch; ratios with intervals beside the published ones; a verdict of three kinds for every statement.
# - Everything is made by one command from a text file, and can be run again at any of four scales.
#
# ## Try it
#
# 1. Set `chosen` to the best and to the worst test image (`order[0]`, `order[-1]`). Is a bad prediction bad in depth or in 2D?
# 2. Change the tie threshold: `relations_from_depth(depth_mm, tie_mm=20)`. How many of the 136 pairs become ordered?
# 3. Run this notebook with `seed = 1`. Which verdicts change?
