# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 Table 2: what do 2D keypoints, ordinal depths and reconstruction add?
#
# **Question.** A network for 3D pose is trained on studio images with exact joints. Images from elsewhere are added: first with 2D keypoints, then with ordinal depths too. At last the reconstruction component is put behind it. How much does each step lower the error on *studio* test images?
#
# **Answer in one sentence.** In the paper each step lowers it, from 71.9 to 56.2 mm; what each step changes here, in 2D and in depth, is told apart below, and a verdict on each step stands near the end.
#
# **Needs** three trained networks, of which notebook 11 needs the same, and the reconstruction component of notebook 07, on two kinds of skeletons; it trains those that are missing. **Time** (2 CPU cores): `smoke` seconds; `quick` about a minute a network and half a minute a component; `desk` about two hours for all notebooks together; `paper` days on a GPU. Without training, at `quick`: less than half a minute.

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
from ordlib.experiments import intervals, published, roles, statements, tables
from ordlib.experiments.components import component
from ordlib.experiments.tables import KEYPOINTS, ORDINAL, REC, STUDIO
from ordlib.networks import reconstruct
from ordlib.scales import SCALES

plots.use_style()
ROWS = ["table1/volume2/full", "table2/keypoints", "table2/ordinal"]
ROLES = []  # data sets that are needed beside those of the rows
setting = experiments.Setting(scale, seed, data, device)
experiments.train(ROWS, setting.seeds())
roles.describe(setting.data)

# %% [markdown]
# ## What the paper prints
#
# Table 2 of the paper: mean per joint error (MPJPE, mm) on Human3.6M. *2D keyp* are 2D keypoints on images of LSP and MPII, *Ord* are the ordinal depths that people gave for them, *Rec* is the reconstruction component of Section 3.4.

# %% tags=["nbval-check-output"]
paper = published.table(2).set_index("row")
paper[["training", "avg_error_mm"]]

# %% [markdown]
# Each comparison is a ratio of two errors: 0.93 means that a step takes 7% off. In print, both steps of the ConvNet are of one size, and the component takes off a little more where there were no ordinal depths.

# %% tags=["nbval-check-output"]
printed = paper["avg_error_mm"]
STEPS = {
    "+ 2D keyp": (KEYPOINTS, STUDIO),
    "+ Ord": (ORDINAL, KEYPOINTS),
    "+ Rec, without Ord": (KEYPOINTS + REC, KEYPOINTS),
    "+ Rec, with Ord": (ORDINAL + REC, ORDINAL),
    "+ Ord, with Rec": (ORDINAL + REC, KEYPOINTS + REC),
}
pd.Series({name: round(printed[a] / printed[b], 3) for name, (a, b) in STEPS.items()})

# %% [markdown]
# ## The rows of the reproduction
#
# All rows have one architecture, the volume with two hourglasses, and are tested on the same images of `studio` (subjects 9 and 11). They differ in what they are trained on:
#
# - **Human3.6M**: `studio` with exact 3D joints. It is the last row of Table 1 (notebook 09), the same run. The paper prints 69.77 mm for that architecture in Table 1 and 71.9 mm here, which is the average of [32] in Table 4; it does not say why they differ.
# - **+ 2D keyp**: half of each batch is `studio` as before, half is `wild`, of which the loss sees 2D keypoints alone.
# - **+ Ord**: for the same images of `wild`, the loss also sees the relations that simulated people gave by the procedure of notebook 02, with the mistakes that people make. No depth in mm of a `wild` image reaches training.
# - **+ Rec**: the 2D positions and depths of the trained network go through the reconstruction component. The paper trains it on motion capture alone and does not say whose (for Table 6 it does: that of the benchmark itself). Here it learns from skeletons of the training people of `studio` in their actions, before random cameras; nothing of the test people, and no image.
#
# Depths are in mm in all rows, as `studio` teaches them; no depth scale is fitted. The root comes from mean limb lengths as in notebook 09. With *Rec* no root is needed.
#
# A batch of two kinds of images holds half as many of each; the scale sets how many more steps the mixed rows get, and whether they begin from scratch (at `paper`) or with the weights of the first row (at the other scales, notebook 08; its steps are counted in then). What each row sees, by code:

# %%
results = tables.Results.of(2, setting)
runs, truths, values = results.runs, results.truths, results.values
seeds, folder = setting.seeds(), setting.folder
budget = {}
for row in ROWS:
    spec, sizes = runs[row][0].row, runs[row][0].scale
    before, steps, share = spec.steps_before(sizes), spec.steps(sizes), 0.5 if spec.wild else 1.0
    budget[row] = {
        "wild images with": {"": "-", "ordinal": "keypoints, ordinal"}.get(spec.wild, spec.wild),
        "steps": before + steps,
        "batch": sizes.batch_size,
        "studio images seen": int((before + steps * share) * sizes.batch_size),
        "of different ones": len(setting.load("studio", "train")),
    }
pd.DataFrame(budget).T

# %% [markdown]
# The component, as in notebook 07 (level *chosen*). *Broad* is a second one, trained on people and poses like those of `wild`, which the paper's argument would allow as well: motion capture needs no images. It gives an additional line and no row, and none with real data: there are no such poses.

# %%
components = results.behind[ORDINAL + REC]
broad = [component(s, domain="wild") for s in seeds if not setting.real]

# %% [markdown]
# ## The table
#
# Numbers are means over test images (and seeds), with 95% intervals from 2,000 bootstrap draws of test images and seeds, the same draws for all rows. The first column is the one that the paper prints; published and reproduced millimetres are of different data and cannot be compared, only ratios and orders can.

# %%
table = results.frame
tables.write_csv(table, folder / "tables" / "table2.csv")

# %% [markdown]
# | column | meaning |
# |---|---|
# | `avg_error_mm` | MPJPE |
# | `keypoint_error_percent` | 2D error in the image, percent of the side of the crop; none for *Rec*, which gives no positions in the image |
# | `plane_error_mm` | mean distance in x and y of the 3D pose |
# | `depth_error_mm` | mean absolute error of the depth relative to the pelvis |
# | `ordinal_accuracy` | share of truly ordered pairs (100 mm or more apart) that are in the right order |
# | `given_2d_mm` | MPJPE if the 2D positions came from the annotation |
# | `reconstruction_error_mm` | after the best rotation, scale and shift of each pose |

# %%
wide = results.table.wide(table, "interval", results.table.whole)
wide.insert(0, "published (Human3.6M)", printed.to_numpy())
wide.set_axis(paper["training"].to_list())

# %% [markdown]
# Some of this must hold whatever was learnt. The errors are computed again from the stored poses and agree with those that the evaluation stored. The component sees no unit: other pixels and other depth units give the same pose.

# %%
for row in ROWS:
    for place, run in enumerate(runs[row]):
        for name in ("mpjpe", "depth_error", "reconstruction_error"):
            stored = run.predictions()[name]
            assert np.allclose(values[2, row, name][place], stored, atol=0.05, rtol=1e-3)
p = runs[ORDINAL][0].predictions()
poses = [
    reconstruct(components[0], points, depth).detach()
    for points, depth in (
        (p["keypoints_px"], p["depth"]),
        (p["keypoints_px"] * 4 + 9, p["depth"] * 30),
    )
]
torch.testing.assert_close(*poses, atol=0.5, rtol=1e-3)

# %% [markdown]
# ## Published and reproduced, side by side
#
# Each panel has its own axis. Read the steps within a panel: in print every bar is lower than the one before it. Hatched bars have the component behind the network.

# %%
COLOURS = {STUDIO: plots.FULL, KEYPOINTS: "#d95f02", ORDINAL: plots.WEAK}
NAMES = {STUDIO: "studio", KEYPOINTS: "+ 2D", ORDINAL: "+ 2D\n+ Ord"}
NAMES |= {row + REC: f"{name}\n+ Rec" for row, name in NAMES.items()}


def interval_bars(ax, column, rows=tuple(paper.index)):
    """One bar with its interval for each row that has this column."""
    part = table[table["column"] == column].set_index("row")
    shown = [row for row in rows if row in part.index]
    for place, row in enumerate(shown):
        value, low, high = part.loc[row, ["reproduced", "ci_low", "ci_high"]]
        ax.bar(
            place, value, 0.7, color=COLOURS[row.removesuffix(REC)], capsize=3,
            yerr=[[value - low], [high - value]], hatch="//" if row.endswith(REC) else "",
            edgecolor="white",
        )  # fmt: skip
    ax.set_xticks(range(len(shown)), [NAMES[row] for row in shown], fontsize=8)


# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for place, row in enumerate(paper.index):
    hatch = "//" if row.endswith(REC) else ""
    axes[0].bar(place, printed[row], 0.7, color=plots.PUBLISHED, hatch=hatch, edgecolor="white")
    axes[0].text(place, printed[row] + 0.7, printed[row], ha="center", fontsize=8)
axes[0].set_xticks(range(len(paper)), [NAMES[row] for row in paper.index], fontsize=8)
interval_bars(axes[1], "avg_error_mm")
for ax, title in zip(axes, ("published, Human3.6M", f"reproduced, studio, {scale}"), strict=True):
    ax.set_ylabel("MPJPE (mm)")
    ax.set_title(title)
plots.save_figure(figure, folder / "figures" / "10_table2.png")
plt.show()

# %% [markdown]
# ## The parts apart
#
# The same rows in errors that MPJPE mixes: positions in the image, distance in the plane, depth, and order. The paper says of the ordinal depths that they provide *novel information*; if so, it should show in the two panels on the right.

# %%
figure, axes = plt.subplots(1, 4, figsize=(13, 3), layout="constrained")
titles = ("2D error (% of the crop)", "plane error (mm)", "depth error (mm)", "ordinal accuracy")
for ax, column, title in zip(axes, list(results.table.whole)[1:5], titles, strict=True):
    interval_bars(ax, column)
    ax.set_title(title)
axes[3].axhline(0.5, color="black", linestyle="--", linewidth=0.8)
axes[3].set_ylim(0.4, 1)
plots.save_figure(figure, folder / "figures" / "10_parts.png")
plt.show()

# %% [markdown]
# ## What a step gains in 2D, and what in depth
#
# A step of training changes 2D positions and depths at once. To tell them apart, poses are lifted from the 2D positions of one row and the depths of the other. 2D first and then depth, or the reverse: what each brings is averaged over both orders, so that the two add up to the whole. Positive is better.

# %%
gains = {}
for name in ("+ 2D keyp", "+ Ord"):
    row, before = STEPS[name]
    gains[name, "in all"] = intervals.mean(values[2, before, "mpjpe"] - values[2, row, "mpjpe"])
    for source in ("2d", "depth"):
        gains[name, f"by {source}"] = intervals.mean(values[2, row, f"mpjpe_by_{source}"])
    parts = sum(gains[name, f"by {source}"][0] for source in ("2d", "depth"))
    assert abs(parts - gains[name, "in all"][0]) < 0.1
gains = pd.DataFrame(gains, index=["gain in MPJPE (mm)", "ci_low", "ci_high"]).T
gains.round(1)

# %%
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
kinds = {"in all": "#555555", "by 2d": "#2b7bba", "by depth": "#b2182b"}
for offset, (kind, colour) in enumerate(kinds.items()):
    part = gains.xs(kind, level=1)
    middle = part["gain in MPJPE (mm)"].to_numpy()
    reach = np.stack([middle - part["ci_low"], part["ci_high"] - middle])
    places = np.arange(2) + 0.25 * (offset - 1)
    ax.bar(places, middle, 0.22, yerr=reach, color=colour, capsize=3, label=kind)
ax.axhline(0, color="black", linewidth=0.8)
ax.set_xticks(range(2), ["+ 2D keyp", "+ Ord"])
ax.set_ylabel("gain in MPJPE (mm)")
ax.legend()
plots.save_figure(figure, folder / "figures" / "10_gains.png")
plt.show()

# %% [markdown]
# ## What the component adds: calibration or knowledge of poses?
#
# Part of the gain of *Rec* may be mere calibration. If a network's depths are too flat or too deep as a whole, one factor would mend that without any knowledge of poses. So two corrections stand between the network and the component, both with factors that only the truth of the test images tells: **one scale**, the factor with the smallest mean error, and **joint scales**, one for each joint by least squares. Neither is the best in MPJPE that a correction could do, but what the component gains beyond them is more than a scale of depths. Compare plane and depth errors of the rows with and without *Rec* above, too: where only the plane error falls, the component mends positions and size, not depth. Notebook 07 shows how much of its gain 2D joints alone would bring. The row `studio` is not in the paper's table with *Rec* and is added here. *Broad* is the component that learnt from skeletons like those of `wild`.

# %%
LADDER = {"network": "mpjpe", "one scale": "mpjpe_one_scale", "joint scales": "mpjpe_joint_scales"}
rungs = {}
for row in ROWS:
    found = {rung: values[2, row, metric] for rung, metric in LADDER.items()}
    method = tables.Method(row + REC, "", row, None, "component")
    found["Rec"] = results.measured(method, components)["mpjpe"]
    if broad:
        found["Rec, broad"] = results.measured(method, broad)["mpjpe"]
    rungs |= {(row, rung): intervals.mean(error) for rung, error in found.items()}
rungs = pd.DataFrame(rungs, index=["reproduced", "ci_low", "ci_high"]).T
rungs.index.names = ["row", "rung"]
tables.write_csv(rungs.reset_index(), folder / "tables" / "table2_rec.csv")
order = list(found)
rungs["reproduced"].unstack()[order].loc[ROWS].round(1)

# %%
for row in ROWS:
    network, one, joint, rec, *others = rungs.loc[row, "reproduced"]
    print(
        f"{row}: Rec changes MPJPE by {rec - network:+.1f} mm; one scale by {one - network:+.1f},"
    )
    print(f"  joint scales by {joint - network:+.1f}", end="")
    print(*(f"; broad skeletons by {other - network:+.1f}" for other in others))
    if rec < network:
        share = 100 * (network - min(one, joint)) / (network - rec)
        print(f"  calibration reaches {share:.0f}% of the gain of Rec")

# %% [markdown]
# MPJPE on the rungs of the ladder, from the network alone to the component; *Rec, broad* is another component and no further rung. The axis does not start at 0.

# %%
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for row, aside in zip(ROWS, (-0.12, 0.0, 0.12), strict=True):
    part = rungs.loc[row].loc[order]
    reach = np.stack([part["reproduced"] - part["ci_low"], part["ci_high"] - part["reproduced"]])
    label = NAMES[row].replace("\n", " ")
    places = np.arange(len(order)) + aside
    ax.errorbar(places, part["reproduced"], reach, fmt="o-", color=COLOURS[row], label=label)
ax.set_xticks(range(len(order)), order)
ax.set_ylabel("MPJPE (mm)")
figure.legend(loc="outside upper center", ncols=len(ROWS))
plots.save_figure(figure, folder / "figures" / "10_ladder.png")
plt.show()

# %% [markdown]
# ## Verdicts
#
# The paper: *supervision with 2D keypoints is helpful*, ordinal depth *provides novel information to the network and further improves the results*, the component *is also beneficial*. As numbers with bounds:
#
# - *lowers*: the ratio of two errors is at most 1;
# - *all five rows in the printed order*: the largest ratio of a row to the one printed above it is at most 1. This also compares the component without ordinal depths to ordinal depths without the component, which the text does not speak of;
# - *novel information*: the depth error falls, and the ordinal accuracy does not fall; the paper prints neither;
# - *beats the best scales*: the ratio of MPJPE with *Rec* to that of the calibrated network is at most 1. This is our question, not a statement of the paper.
#
# The rule is that of notebook 09: **reproduced** if the whole 95% interval lies on the stated side, **not reproduced** if none of it does, **undecided** otherwise.

# %%
statements.verdicts(results)

# %%
print(statements.scope(setting))

# %% [markdown]
# ## What may decide this
#
# - **Budget.** The paper trains the mixed rows for 2.5 million steps of 4 images. The share of that which this run gives is printed below; it counts the images of the first row too where the mixed rows begin with its weights (below `paper`). A step that needs much training to pay, or one that delays the other, shows the wrong sign when stopped early.
# - **2D.** On `studio`, the images of `wild` could help first by more varied 2D supervision; the gains by 2D above say whether they do. Left and right that are confused are part of the 2D error (notebook 09 counts them). Where 2D errors are the larger part of MPJPE, steps in 2D are seen and steps in depth are not. The column `given_2d_mm` takes 2D out.
# - **What ordinal depths can add on `studio`.** Its poses are narrow and have exact depths in training. Other people's order of joints in other poses can teach little that these depths do not teach, so the gain on `studio` is bounded by what is left to learn there. Notebook 11 asks the same where depths cannot come from `studio`.
# - **Spread of depths.** The ranking loss knows order and no millimetres; it may pull or push depths that the 3D half sets. Below stand the spread of the predicted depths over that of the true ones, and the factor that would fit the true depths best. A network that is unsure makes the smallest squared error with depths that are flat, and then the factor is 1. A factor above 1 says that they are flatter than that, one below 1 that they are deeper than what they know warrants.

# %%
full_size = SCALES["paper"]
for row in ROWS:
    samples = budget[row]["steps"] * budget[row]["batch"]
    theirs = full_size.batch_size * (full_size.mixed_steps if "table2" in row else full_size.steps)
    square, product = (values[2, row, name].mean() for name in ("depth_square", "depth_product"))
    true_square = values[2, row, "true_square"].mean()
    print(f"{row}: images seen {samples:,}, {100 * samples / theirs:.2g}% of the paper's;")
    print(f"  spread of depths over the true one {np.sqrt(square / true_square):.2f},", end=" ")
    print(f"best factor by least squares {product / square:.2f}")

# %% [markdown]
# The term that all rows have is the loss of volumes on `studio`, here of the first seed. Below `paper` the curves of the mixed rows begin where that of the first row ends. At the right end its level says how far each row has learnt the 3D half of its task, against the number of `studio` images that it has seen.

# %%
figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
for row in ROWS:
    run = runs[row][0]
    before, share = run.row.steps_before(run.scale), 0.5 if run.row.wild else 1.0
    seen = (before + run.log["step"] * share) * run.scale.batch_size
    smooth = run.log["volume"].rolling(5, min_periods=1).mean()
    ax.plot(seen, smooth, color=COLOURS[row], label=NAMES[row].replace("\n", " "))
ax.set_xlabel("studio images seen")
ax.set_ylabel("loss of volumes, studio")
ax.legend()
plots.save_figure(figure, folder / "figures" / "10_learning.png")
plt.show()

# %% [markdown]
# ## What these numbers cannot tell
#
# - With **one seed** (every scale but `desk`) the intervals say nothing about how much two trainings of a row differ. With three they say little.
# - **The mixed rows may see more images in all, of `studio` too** (table of rows above), and below `paper` they go on from the trained first row. So a gain over the first row may be that of longer training. That is part of what the paper compares, too.
# - **Test people are two.** A test of images alone cannot say how the steps would look on other people.
# - **The component learns from the same actions as the test images**, by other people. The line *broad* says what other skeletons would do.
#
# ## Summary
#
# - Five rows, published and reproduced, side by side and never in one column; each step with its ratio, interval and verdict, in `tables/table2_statements.csv`, and the errors in `tables/table2.csv`.
# - Every step of training is split into what it gains in 2D and in depth; the component's gain is held against the best that calibration could do (`tables/table2_rec.csv`).
#
# ## Try it
#
# 1. Put the component of another seed behind the networks (`component(replace(setting, seed=seed + 1))`). How much of its gain depends on the seed?
# 2. Pass `domain="duo"`, where people only walk and jog. Which rungs change?
# 3. Demand more of a step: `dataclasses.replace(statement, bound=0.95)`, with the second of `statements.STATEMENTS` about Table 2, says that ordinal depths take off 5%. Judge it with `statements.weigh([statement], values)`.
