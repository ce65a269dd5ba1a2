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
# **Question.** What does the paper claim, what did this reproduction find, and how do I read and run it?
#
# **Answer in one sentence.** The paper claims that a network learns 3D human pose almost as well from "which joint is closer?" as from exact depths, and better than others when such answers about images from elsewhere are added; the table of claims below says, by code, how far each of this holds here.
#
# **Needs** all 13 trained networks, the reconstruction components and the lifting networks of the other notebooks; it trains what is missing. **Time** (2 CPU cores): with all of that there, about a minute; else that of `make reproduce` (see the README).

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
data: str = ""  # folder of real data sets in place of stand-ins, and of motion capture

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from ordlib import experiments, plots
from ordlib.camera import project
from ordlib.experiments import claims, intervals, published, roles, statements, tables
from ordlib.relations import relations_from_depth
from ordlib.scales import SCALES
from ordlib.skeleton import H36M17

plots.use_style()
ROWS = [
    "table1/depth/weak", "table1/depth/full",
    "table1/coordinate/weak", "table1/coordinate/full",
    "table1/volume1/weak", "table1/volume1/full",
    "table1/volume2/weak", "table1/volume2/full",
    "table2/keypoints", "table2/ordinal", "table4/limbs", "table6/duo", "table6/ordinal",
]  # fmt: skip
ROLES = ["shift"]
setting = experiments.Setting(scale, seed, data, device)
seeds, folder = setting.seeds(), setting.folder
experiments.train(ROWS, seeds)
assert set(ROWS) == {row for table in tables.TABLES.values() for row in table.rows}
roles.describe(setting.data)

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
test_set = setting.load("studio", "test")
run = experiments.run("table1/volume2/weak", setting)
order = run.predictions()["mpjpe"].argsort(stable=True)
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
# Left: the image with the two joints. Second: all relations of this image, one cell a pair; this matrix is what a weakly supervised network is trained on. Third: the true depths against those that the network predicts for this image, which it was not trained on; a perfect prediction lies on the line. Right: the skeletons at right angles to the camera's view, with the camera on the left; truth in colour, prediction grey and dashed. The joints have these numbers:

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
predicted = run.predictions()["joints_mm"][chosen]
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
plots.save_figure(fig, folder / "figures" / "00_idea.png")
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
projected = project(sample.joints_mm, sample.intrinsics)
assert setting.real or torch.allclose(projected, sample.keypoints_px, atol=0.05)

# %% [markdown]
# With $N$ joints there are $N(N-1)/2$ pairs: 136 for the 17 joints here, 91 for the 14 that people are asked about.

# %% tags=["nbval-check-output"]
pairs = {joints: joints * (joints - 1) // 2 for joints in (17, 14)}
assert pairs == {17: 136, 14: 91}
assert pairs[17] == len(torch.triu_indices(17, 17, 1).T)
pairs

# %% [markdown]
# ## What the paper claims
#
# The paper makes its case in four steps:
#
# 1. **Relations are cheap** (Section 4.1). A person orders the 14 joints of an image with roughly 17 questions in place of 91.
# 2. **Relations are enough** (Table 1). Where exact depths are known, four architectures are trained twice, with exact 3D joints (*full*) and with relations and 2D keypoints alone (*weak*; the depth-only rows: no 2D keypoints in either training). Weak comes very close, and the gap grows only for the strongest network.
# 3. **Relations add something** (Tables 2 and 3). To a network with exact joints of a studio, images from elsewhere with 2D keypoints and human answers bring a lower error in the studio and a much better one where nothing was trained; a reconstruction component lowers it again.
# 4. **The whole is better than others** (Tables 4 to 7), on three data sets, most on hard actions and outdoors.
#
# `ordlib.experiments.claims` holds this as 24 claims, each with its place, a number, a bound and a test. Some rest on several numbers (weak and full, both measures, each rival); such a claim is as strong as its weakest part.

# %% tags=["nbval-check-output"]
of_section = pd.Series([claim.place for claim in claims.CLAIMS]).value_counts(sort=False)
assert of_section.sum() == 24
of_section.rename("claims").to_frame()

# %% [markdown]
# Where the paper names a bound, such as "over 10%" or an order of rows, it is that. "Very close" and "roughly" name none; there, the bound is the published number and five points more, the largest gap in print between weak and full supervision with one hourglass:

# %% tags=["nbval-check-output"]
errors = published.table(1).set_index("row")["avg_error_mm"]
gaps = {
    name: errors[f"table1/{name}/weak"] / errors[f"table1/{name}/full"] - 1
    for name in tables.ARCHITECTURES
}
for name, gap in gaps.items():
    print(f"{name}: weak is {gap:.1%} behind full in print")
assert np.isclose(statements.MARGIN, max(gaps[name] for name in ("depth", "coordinate", "volume1")))

# %% [markdown]
# ## What this reproduction found
#
# Everything is trained here, without weights from elsewhere, on stand-ins for the paper's data sets unless real ones are given. So ratios, differences and orders are judged, and no millimetres are compared with the paper's. The numbers below are computed from the stored predictions of all networks on every test image. The interval holds 95% of 2,000 bootstrap draws of test images and, where there is more than one, seeds; all rows of a table are drawn together. A claim is
#
# - **reproduced** if the whole interval lies on the stated side of the bound,
# - **not reproduced** if none of it does,
# - **undecided** if the bound is inside.

# %%
values = claims.collect(setting)
judged = claims.judge(values)
tables.write_csv(judged, folder / "claims.csv")
assert list(judged["id"]) == [claim.id for claim in claims.CLAIMS]
known = judged.dropna(subset="reproduced")
assert len(known) == len(judged) or setting.data, "every claim has a number"
assert (known["ci_low"] <= known["ci_high"]).all()
print(f"scale {scale}: " + ", ".join(
    f"{(judged['verdict'] == word).sum()} of {len(judged)} claims {word}"
    for word in intervals.VERDICTS
))  # fmt: skip
claims.show(judged)

# %% [markdown]
# How to read a line: *number* says what the three numbers are; *published* is what follows from the paper's tables (empty where it gives a reason but prints no number for it), *claimed* the bound, *reproduced* the number here with its interval.
#
# - In **ratios of errors**, below 1 means that the first has the smaller error. In **points** of PCK3D and AUC, and in **shares**, above 0 means better.
# - *By 2D* and *by depth* come from poses lifted from the 2D positions of one network and the depths of another (notebook 11).
# - **Rivals** are three ideas of other papers, trained again on the same images (notebook 12). Whether the full method is above or below them says nothing about the systems of those papers.
# - The notebook of each table has more numbers, the parts of each claim one by one, and what may explain them.

# %%
print(statements.scope(setting))

# %% [markdown]
# What may keep the claims that were not reproduced from showing. These are possibilities that were written down with the claims, not findings:

# %%
for note, part in judged[judged["note"] != ""].groupby("note", sort=False):
    print(note, *(f"    {claim}" for claim in part["claim"]), sep="\n")

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
# | 12 Tables 4 and 5 | Is the full method better than its rivals, on each action? |
# | 13 Table 6 | Does it also pay where the data set is small and nearly solved? |
# | 14 Table 7 | Ordinal depths or limb lengths, where nothing was trained? |
# | 15 Figure 4 | What do the poses look like, and why do they fail? |
# | 16 beyond | Beyond the paper: how much annotation, how good, and which loss? |
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
# An interrupted run continues where it stopped. Finished networks are reused. Results lie in one folder for each scale: `outputs/<scale>/notebooks` (executed), `figures`, `tables` (CSV) and `runs` (configuration, log, weights and predictions of each network). With `DATA=folder` real data sets in that folder take the place of stand-ins, and poses come from BVH files in it; the results lie in `outputs/<scale>-data`.
#
# The scales differ in sizes and budgets, and the small ones in optimiser and heatmap loss too (notebook 08). Networks that see two kinds of images, half of each batch each, train for *mixed_steps* (on `duo`, three fifths of them). They begin with the weights of the network that has learned from the half with 3D ground truth alone, and learn on for *mixed_steps*; only at `paper` do they begin from scratch (notebook 08):

# %% tags=["nbval-check-output"]
columns = ["image_size", "features", "train_images", "test_images"]
columns += ["steps", "mixed_steps", "batch_size", "seeds"]
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
# - The paper in 24 claims, each with its published number, a bound, the number reproduced here, an interval and one of three verdicts (`claims.csv`).
# - The networks are trained here, without weights from elsewhere; the claims are judged from their stored predictions.
# - Everything is made by one command from a text file, and can be run again at any of four scales.
#
# ## Try it
#
# 1. Set `chosen` to the best and to the worst test image (`order[0]`, `order[-1]`). Is a bad prediction bad in depth or in 2D?
# 2. Change the tie threshold: `relations_from_depth(depth_mm, tie_mm=20)`. How many of the 136 pairs become ordered?
# 3. Run this notebook with `seed = 1`. Which verdicts change?
