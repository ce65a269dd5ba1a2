# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 The data sets and what their protocols measure (Section 4.1)
#
# **Question.** What do the data sets look like, and what does each protocol measure?
#
# **Answer.** Four rendered stand-ins play the paper's data sets, each with the labels that the real one has; errors in millimetres start from a floor that no network can remove, and depth order can partly be guessed without any image, so later numbers are to be read against the baselines measured here.
#
# **Needs.** The four stand-ins, rendered here where they are missing, and one network, `table1/depth/weak`, trained here if no run of it is found. **Time on a CPU.** smoke: seconds. quick: about a minute, and half a minute for the network. desk: several times as long. paper: days on a GPU for the eight rows of Table 1, of which this notebook needs one.

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
data: str = ""  # folder of real data sets in place of stand-ins, and of motion capture
photographs: str = ""  # folder of photographs with 2D joints, to show a few of them

# %%
from dataclasses import fields, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from ordlib import camera, experiments, losses, metrics, plots, volume
from ordlib.data import PoseBatch
from ordlib.experiments import intervals, lifting, tables
from ordlib.experiments.evaluation import lift
from ordlib.experiments.photographs import read as read_photographs
from ordlib.relations import ordinal_accuracy
from ordlib.scales import get_scale
from ordlib.skeleton import H36M17, MEAN_LIMB_LENGTHS_MM
from ordlib.training import single_thread

plots.use_style()
ROWS = ["table1/depth/weak"]
setting = experiments.Setting(scale, seed, data, device)
experiments.train(ROWS, setting.seeds())

# %% [markdown]
# ## Four real data sets, four stand-ins
#
# The real data sets are licensed and cannot be shipped with code. So the package renders stand-ins. Each plays the part that one data set has in the paper's argument.
#
# | stand-in | plays | people | poses | labels | protocol |
# |---|---|---|---|---|---|
# | `studio` | Human3.6M | S1, S5, S6, S7, S8 to train; S9, S11 to test | 15 actions of daily life | full 3D | MPJPE, reconstruction error |
# | `duo` | HumanEva-I | S1, S2, S3, train and validation sequences | walking, jogging | full 3D | reconstruction error |
# | `wild` | LSP + MPII Ordinal | a new person in every image | broad: sports, floor, exercise, daily life | 2D keypoints and depth order, nothing metric | none: for training only |
# | `shift` | MPI-INF-3DHP | 24 strangers, never trained on | broad, 7 activities | full 3D, for tests only | PCK3D, AUC |
#
# The real ones come from their authors, each under its own terms, and lie in folders of their own, see the end of this notebook. **The tables use the stand-ins alone** unless a folder of real data sets is given (`make reproduce DATA=folder`); then the real ones take the stand-ins' parts, and no table mixes the two. This notebook is about the stand-ins. What it takes from outside is motion capture: BVH files in the folder `data` give the poses, and all else stays rendered. The relations of `wild` are those of simulated people, who err, and who order the 14 joints of each image by the procedure of Section 4.1 (notebook 02); all other relations are exact, from the true depths with a tie below 100 mm.
#
# A data set hands out batches by index. The helper below reads a whole split and drops its images, so that large splits fit into memory.


# %%
def labels(name: str, split: str) -> PoseBatch:
    """All samples of a split without their images."""
    dataset = setting.load(name, split)
    parts = []
    for indices in np.array_split(np.arange(len(dataset)), len(dataset) // 1000 + 1):
        batch = dataset.batch(indices)
        parts.append(replace(batch, images=batch.images[..., :0, :0].clone()))
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(PoseBatch)}
    meta = columns.pop("meta")
    joined = {k: None if v[0] is None else torch.cat(v) for k, v in columns.items()}
    return PoseBatch(**joined, meta={k: np.concatenate([m[k] for m in meta]) for k in meta[0]})


sizes = get_scale(scale)
folder = setting.folder
SHOWN = {"studio": "test", "duo": "validation", "wild": "val", "shift": "test"}
COLOURS = dict(zip(SHOWN, ("#1f78b4", "#a6761d", "#33a02c", "#e7298a"), strict=True))
shown = {name: labels(name, split) for name, split in SHOWN.items()}
train, test = labels("studio", "train"), shown["studio"]

# %% [markdown]
# ## Splits
#
# A subject of `studio` is either in the training split or in the test split, never in both. `fit` and `val` are views of `train`: whatever has to be chosen (a loss weight, a unit) is chosen on S8, so neither S9 and S11 nor `shift` ever takes part in a choice. `duo` has the same three people on both sides, as HumanEva-I has, but other sequences. The splits `train` of `duo` and `wild` are rendered when something trains on them.

# %% tags=["nbval-check-output"]
splits = {("studio", part): labels("studio", part) for part in ("train", "fit", "val")}
splits |= {(name, SHOWN[name]): data for name, data in shown.items()}
subjects = {key: set(data.meta["subject"].tolist()) for key, data in splits.items()}
rows = []
for (name, part), data in splits.items():
    people = sorted(subjects[name, part], key=lambda s: (len(s), s))
    names = ", ".join(people) if len(people) < 6 else f"{people[0]} to {people[-1]}"
    names = names or "a new one in each image"
    rows.append((name, part, len(data), names, data.joints_mm is not None))
assert not subjects["studio", "train"] & subjects["studio", "test"]
assert not subjects["studio", "fit"] & subjects["studio", "val"]
assert len(splits["studio", "fit"]) + len(splits["studio", "val"]) == len(train)
assert (len(train), len(test)) == (sizes.train_images, sizes.test_images)
counts = pd.DataFrame(rows, columns=["data", "split", "images", "subjects", "metric 3D"])
tables.write_csv(counts, folder / "tables" / "splits.csv")
counts

# %% [markdown]
# ## One sample
#
# Every data set gives the same `PoseBatch`. Here $B = 3$ images with $N = 17$ joints:

# %% tags=["nbval-check-output"]
studio = setting.load("studio", "test")
batch = studio.batch([0, 1, 2])
tensors = {f.name: getattr(batch, f.name) for f in fields(PoseBatch) if f.name != "meta"}
shapes = [str(tuple(tensor.shape)) for tensor in tensors.values()]
types = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()]
print("meta:", ", ".join(batch.meta))
pd.DataFrame({"shape": shapes, "type": types}, index=list(tensors))

# %% [markdown]
# The camera frame has x to the right, y **down** and z **away** from the camera, in millimetres. Pixels are continuous, and the centre of the first pixel lies at 0.5. `intrinsics` is the pinhole matrix of the crop, with focal lengths $f_x, f_y$ and principal point $(c_x, c_y)$ in pixels, so a joint at $(X, Y, Z)$ must be seen at
# $$ (u, v) = \left(f_x \tfrac{X}{Z} + c_x,\; f_y \tfrac{Y}{Z} + c_y\right). $$
# If frame, unit, crop or pixel convention were off anywhere, the check below would fail. It covers every sample with metric joints. The crop is a square around the joints with a margin, so all joints lie inside it.
#
# In the figure the person's own right limbs are orange and the left ones blue. See that the joints lie on the body in the image, and that its 3D pose has the same outline. The second figure can be turned with the mouse.

# %%
for data in (train, test, shown["duo"], shown["shift"]):
    projected = camera.project(data.joints_mm, data.intrinsics)
    assert (projected - data.keypoints_px).abs().max() < 0.01  # pixels
    assert ((data.keypoints_px > 0) & (data.keypoints_px < sizes.image_size)).all()
    assert (data.joints_mm[..., 2] > 0).all()

pose = batch.joints_mm[0] - batch.joints_mm[0, H36M17.root]
figure = plots.prediction_figure(batch.images[0], batch.keypoints_px[0], pose)
plots.save_figure(figure, folder / "figures" / "03_sample.png")
plt.show()
plots.turnable_skeletons([pose], [str(batch.meta["action"][0])]).show()

# %% [markdown]
# ## What the images look like
#
# See the same room and the same few people again and again in `studio` and `duo`, and how much changes in `wild` and `shift`: people, places, light, viewpoints, poses.

# %%
figure, axes = plt.subplots(2, 2, figsize=(8.6, 4.2), layout="constrained")
for ax, (name, split) in zip(axes.flat, SHOWN.items(), strict=True):
    dataset = setting.load(name, split)
    chosen = np.linspace(0, len(dataset) - 1, 21).astype(int)
    sheet = plots.contact_sheet(dataset.batch(chosen).images, columns=7, gap=1)
    plots.show_image(ax, torch.tensor(sheet).permute(2, 0, 1), f"{name}, {split}")
plots.save_figure(figure, folder / "figures" / "03_contact_sheets.png")
plt.show()

# %% [markdown]
# ## People differ in size
#
# The protocol will need the **mean limb lengths of the training subjects**. A limb is a bone between two joints. These lengths are a fact of the data set, not of a test image. Over the five training subjects of `studio` they are those of Human3.6M (file `limb_train.mat` of [32], the paper's reference for Pavlakos et al., *Coarse-to-fine volumetric prediction*, CVPR 2017). The table has the lengths of the right side and the trunk in percent of that mean. S9 is larger than the mean, as the real S9 is; remember it for the floor below.

# %% tags=["nbval-check-output"]
PARENTS, CHILDREN = map(list, zip(*H36M17.bones, strict=True))
BONES = [H36M17.joints[child] for child in CHILDREN]


def limb_lengths(data: PoseBatch) -> pd.DataFrame:
    """Length of each bone by subject, mm."""
    lengths = (data.joints_mm[:, CHILDREN] - data.joints_mm[:, PARENTS]).norm(dim=-1)
    groups = pd.DataFrame(lengths.numpy(), columns=BONES).groupby(data.meta["subject"])
    assert groups.std().max().max() < 0.1  # a person's limbs keep their length
    return groups.mean()


training_mm, test_mm = limb_lengths(train), limb_lengths(test)
assert np.allclose(training_mm.mean(), studio.limb_lengths_mm, atol=0.1)
assert np.allclose(studio.limb_lengths_mm, MEAN_LIMB_LENGTHS_MM)
percent = 100 * pd.concat([training_mm, test_mm]).loc[[*training_mm.index, "S9", "S11"]]
percent /= studio.limb_lengths_mm.numpy()
percent.loc[:, ~percent.columns.str.startswith("left")].T.round(0).astype(int)

# %% [markdown]
# ## Actions
#
# `studio` has the 15 actions of Human3.6M. Below is the first training image of each, with its joints. With motion capture as poses, actions are named after the clips.

# %%
actions, firsts = np.unique(train.meta["action"], return_index=True)
assert setting.data or len(actions) == 15
examples = setting.load("studio", "train").batch(firsts[:15])
figure, axes = plt.subplots(3, 5, figsize=(9, 5.8), layout="constrained")
for ax, image, points, action in zip(
    axes.flat, examples.images, examples.keypoints_px, actions, strict=False
):
    plots.show_image(ax, image, str(action))
    plots.draw_joints(ax, points)
plots.save_figure(figure, folder / "figures" / "03_actions.png")
plt.show()

# %% [markdown]
# Hard actions have to be hard. A joint counts as *hidden* (`camera.self_occluded`) when the line of sight from the camera to it passes within 60 mm of one of the person's own bones that is at least 100 mm nearer: roughly, when a limb covers it. Sitting and sitting down are dark; from `quick` up, where there are enough poses to tell, they should hide more than the average action.


# %%
names = np.concatenate([train.meta["action"], test.meta["action"]])
covered = torch.cat(
    [camera.self_occluded(part) for data in (train, test) for part in data.joints_mm.split(500)]
)
share = pd.Series(100 * covered.float().mean(1).numpy()).groupby(names).mean().sort_values()[-15:]
seated = share.index.str.startswith("Sitting")
figure, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
ax.barh(share.index, share, color=np.where(seated, "#08519c", "#9ecae1"))
ax.set_xlabel("joints that the person's own limbs hide (%)")
plots.save_figure(figure, folder / "figures" / "03_hidden.png")
plt.show()
assert setting.data or scale == "smoke" or share[seated].min() > share[~seated].mean()

# %% [markdown]
# ## Narrow studio, broad world
#
# The paper's argument needs two worlds: poses in the studio are narrow (upright, daily life), those outside are broad (sports, floor, odd viewpoints), so that depth out there cannot be had from studio supervision alone. One number shows it: the tilt of the trunk, which is the angle between the vertical of the image and the line from the middle of the hips to the thorax.
#
# **`wild` has no metric 3D**: its `joints_mm` is `None`, as it must be if training on it is to be weak. So `wild` appears only in the right figure, where the angle is taken in the image. See how steeply the curves of `studio` and `duo` rise and how slowly those of `wild` and `shift`.

# %%
THORAX, HIPS = H36M17.index("thorax"), [H36M17.index("left_hip"), H36M17.index("right_hip")]


def tilt(points: torch.Tensor) -> np.ndarray:
    """Angle of the trunk against the image's vertical, degrees; points in 2D or 3D."""
    trunk = points[:, THORAX] - points[:, HIPS].mean(1)
    return torch.rad2deg(torch.acos(-trunk[:, 1] / trunk.norm(dim=-1))).numpy()


assert shown["wild"].joints_mm is None
tilts = {n: tilt(data.keypoints_px) for n, data in shown.items()}
tilts_3d = {n: tilt(data.joints_mm) for n, data in shown.items() if data.joints_mm is not None}
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, angles, title in zip(axes, (tilts_3d, tilts), ("in 3D", "in the image"), strict=True):
    for name, values in angles.items():
        below = 100 * np.arange(1, len(values) + 1) / len(values)
        ax.plot(np.sort(values), below, color=COLOURS[name], label=name)
    ax.set(title=title, xlabel="tilt of the trunk (degrees)", xlim=(0, 180))
axes[0].set_ylabel("images with less tilt (%)")
axes[1].legend()
plots.save_figure(figure, folder / "figures" / "03_tilt.png")
plt.show()
assert setting.data or np.median(tilts_3d["shift"]) > np.median(tilts_3d["studio"])
assert setting.data or np.percentile(tilts["wild"], 90) > np.percentile(tilts["studio"], 90)

# %% [markdown]
# ## Ordinal relations
#
# Let $z_i$ be the depth of joint $i$. The relation $r_{(i,j)}$ is $+1$ where joint $i$ is closer than joint $j$ by 100 mm or more, $-1$ where it is farther by as much, and $0$ where the two are tied. So $r_{(j,i)} = -r_{(i,j)}$: the matrix is antisymmetric, and the $17 \cdot 16 / 2 = 136$ cells above its diagonal say everything. The figure shows the pose of the test split with the most hidden joints. Green cells: the joint of the row is closer than that of the column (+1). Pink: it is farther (-1). White: a tie.

# %%
one = studio.batch([int(camera.self_occluded(test.joints_mm).sum(1).argmax())])
matrix = one.relations[0]
assert torch.equal(matrix, -matrix.mT) and torch.equal(test.relations, -test.relations.mT)
names = [name.replace("_", " ") for name in H36M17.joints]
figure, axes = plt.subplots(1, 2, figsize=(10, 4.8), width_ratios=(1, 1.3), layout="constrained")
plots.show_image(axes[0], one.images[0], str(one.meta["action"][0]))
plots.draw_joints(axes[0], one.keypoints_px[0])
axes[1].imshow(matrix, cmap="PiYG", vmin=-1.5, vmax=1.5)
axes[1].set_xticks(range(17), names, rotation=90)
axes[1].set_yticks(range(17), names)
axes[1].set(title="r(i, j): +1 green, 0 white, -1 pink", xlabel="joint j", ylabel="joint i")
plots.save_figure(figure, folder / "figures" / "03_relations.png")
plt.show()

# %% [markdown]
# How often is a pair ordered at all? Counted are the annotated pairs $i < j$ of each domain. In `wild` only joints that LSP's 14 cover are annotated: not pelvis, spine and jaw.

# %%
rows = {}
for name, data in shown.items():
    pairs = data.annotated & torch.ones(17, 17, dtype=torch.bool).triu(1)
    values = data.relations[pairs]
    shares = [100 * float((values == kind).float().mean()) for kind in (1, -1, 0)]
    rows[name] = [int(data.visible[0].sum()), int(pairs[0].sum()), *shares]
    assert np.isclose(sum(shares), 100) and rows[name][1] == rows[name][0] * (rows[name][0] - 1) / 2
columns = ["joints", "pairs an image", "i closer (%)", "i farther (%)", "tied (%)"]
pd.DataFrame(rows, index=columns).T.astype({"joints": int, "pairs an image": int}).round(1)

# %% [markdown]
# ## What each metric measures
#
# * **MPJPE** (mean per joint position error): both poses are moved so that their pelvis lies at the origin; then the mean distance over all 17 joints, mm. The pelvis counts, with 0.
# * **Reconstruction error**: the mean distance after the best rotation, scale and translation of the prediction, mm. A reflection is not allowed. It forgives a wrong size and a wrong viewpoint.
# * **PCK3D** (percentage of correct keypoints): the share of 14 joints **strictly** nearer than 150 mm, pelvis at the origin, not aligned. It does not care how far a wrong joint is off.
# * **AUC** (area under the curve): the mean of PCK3D at 0, 5, ..., 150 mm. Nothing is strictly nearer than 0, so a perfect prediction gets 30 of 31: 96.8 %, not 100 %.
#
# One pose, rounded to whole centimetres so that the arithmetic is exact, and six ways to be wrong:

# %% tags=["nbval-check-output"]
truth = (test.joints_mm[:1] - test.joints_mm[:1, :1]).round(decimals=-1)
wrist = torch.zeros(17, 3)
wrist[H36M17.index("right_wrist"), 0] = 1.0
cases = {
    "exact": truth,
    "all moved by 300 mm": truth + 300,
    "10 % too large": truth * 1.1,
    "mirrored in depth": truth * torch.tensor([1.0, 1.0, -1.0]),
    **{f"one wrist off by {mm} mm": truth + mm * wrist for mm in (149, 150, 1700)},
}
measured = {
    "MPJPE (mm)": [metrics.mpjpe(p, truth).item() for p in cases.values()],
    "reconstruction (mm)": [metrics.reconstruction_error(p, truth).item() for p in cases.values()],
    "PCK3D (%)": [100 * metrics.pck3d(p, truth).item() for p in cases.values()],
    "AUC (%)": [100 * metrics.auc3d(p, truth).item() for p in cases.values()],
}
table = pd.DataFrame(measured, index=list(cases))
for name in ("exact", "all moved by 300 mm"):
    assert np.allclose(table.loc[name], [0, 0, 100, 100 * 30 / 31], atol=1e-3)
assert table["reconstruction (mm)"]["10 % too large"] < 0.01
assert table["reconstruction (mm)"]["mirrored in depth"] > 1
assert np.isclose(table["MPJPE (mm)"]["one wrist off by 1700 mm"], 1700 / 17)
assert table["PCK3D (%)"]["one wrist off by 149 mm"] == 100
assert np.isclose(table["PCK3D (%)"]["one wrist off by 150 mm"], 100 * 13 / 14)
table.round(1)

# %% [markdown]
# ## The floor of the protocol
#
# A network gives 2D positions and depths relative to the root. Millimetres also need the distance of the root from the camera. No ground truth of the test image may be used, so the root is put where the limbs come closest to the mean limb lengths of the training subjects (`camera.root_depth`, the third mode of the evaluation of [32]). A person larger than the mean is thus placed too near.
#
# The cell below gives the protocol **true** 2D positions and **true** relative depths. What remains is the protocol's own error, even for a perfect network. With the subject's own limb lengths it vanishes.

# %%
relative_mm = test.joints_mm[..., 2] - test.joints_mm[:, :1, 2]
given = (test.keypoints_px, relative_mm, test.intrinsics)
floor = metrics.mpjpe(lift(*given, studio.limb_lengths_mm), test.joints_mm)
root = camera.root_depth(*given, studio.limb_lengths_mm)
own = camera.root_depth(*given, torch.tensor(test_mm.loc[test.meta["subject"]].to_numpy()))
assert (own - test.joints_mm[:, 0, 2]).abs().max() < 20  # mm, of about 5 m
too_far = (root - test.joints_mm[:, 0, 2]).double()
errors = pd.DataFrame({"floor (mm)": floor.double(), "root too far by (mm)": too_far})
floors = errors.groupby(test.meta["subject"]).mean().loc[["S9", "S11"]]
floors.loc["all frames"] = errors.mean()
floors.loc["mean of actions"] = errors.groupby(test.meta["action"]).mean().mean()
assert floors["root too far by (mm)"]["S9"] < 0 < floors["floor (mm)"].min()
tables.write_csv(floors.reset_index(names="frames"), folder / "tables" / "floor.csv")
floors.round(1)

# %% [markdown]
# The paper does not say whether it averages frames or actions; this project averages frames.
#
# ## The floor of the volume
#
# A volume (Section 3.3) has heatmap pixels in x and y and bins over ±1 m in z. Suppose a network were perfect but could only name the right cell: the true joints become the nearest cell centres. The table has what this alone costs at this scale. Its last row reads positions as those of the networks are read, from Gaussians around the truth: in 2D at the vertex of a parabola through the logarithms of the maximum and its neighbours (notebook 06), in depth as the mean over all bins.

# %%
some = np.unique(np.linspace(0, len(test) - 1, min(500, len(test))).astype(int))
points, z, matrices, truth_mm = *(tensor[some] for tensor in given), test.joints_mm[some]
stride, bins = sizes.image_size / sizes.heatmap_size, volume.bin_centres_mm(sizes.depth_bins)
bin_mm = float(bins[1] - bins[0])
cell_px = (torch.floor(points / stride) + 0.5) * stride
cell_z = bins[(z[..., None] - bins).abs().argmin(-1)]
heatmaps = losses.gaussian_heatmaps(points / stride, sizes.heatmap_size, sizes.sigma)
soft_z = volume.expected_depth(losses.gaussian_line(z, bins, sizes.sigma * bin_mm), bins)
readings = {
    "exact": (points, z),
    "pixels to centres": (cell_px, z),
    "depths to centres": (points, cell_z),
    "both to centres": (cell_px, cell_z),
    "Gaussians, read as networks are": (volume.decode_xy(heatmaps) * stride, soft_z),
}
rows = {}
for name, (pixels, depth) in readings.items():
    placed = camera.backproject(pixels, truth_mm[:, :1, 2] + depth, matrices)
    lifted = lift(pixels, depth, matrices, studio.limb_lengths_mm)
    rows[name] = [metrics.mpjpe(p, truth_mm).mean().item() for p in (placed, lifted)]
cells = pd.DataFrame(rows, index=["true root depth (mm)", "protocol (mm)"]).T
assert cells.loc["exact"].iloc[0] < 0.1
assert (cell_z - z)[z.abs() < 1000].abs().max() <= bin_mm / 2 + 1e-3
print(f"{sizes.heatmap_size} x {sizes.heatmap_size} pixels, {len(bins)} bins of {bin_mm:.1f} mm")
cells.round(1)

# %% [markdown]
# ## How much depth order is in 2D alone?
#
# Depth order must be readable from the image, yet should not be trivial without it. Four guesses that see **no image** measure this on the test split of `studio`. *Ordinal accuracy* is the share of ordered pairs that come out in the right order.
#
# 1. **Chance**: one half.
# 2. **One constant order**: the mean depth of each joint over the training split.
# 3. **One joint's position**: each joint's mean training depth in the cell of the crop in which it lies, on a grid of 8 x 8.
# 4. **All 2D joints together**: a small network, 34 numbers in, two hidden layers of 128 units, 17 depths out, trained with the ranking loss. It gets the *true* positions, or positions with noise (standard deviation in percent of the crop's side, in training and in test), since nobody who looks at an image knows the positions exactly.
#
# Beside them stands `table1/depth/weak`, trained with the same loss: it sees the image and has to find the joints first. The bars have 95 % bootstrap intervals over test images, that of the network over seeds too where the scale has more than one; the guesses are those of the first seed. See how far each guess gets above chance, and how fast the guess from all joints falls as the positions get worse.

# %%
NOISES = (0.0, 2.0, 4.0, 8.0)  # percent of the crop's side
generator = torch.Generator().manual_seed(seed)
known, asked = train.keypoints_px / sizes.image_size, test.keypoints_px / sizes.image_size
with single_thread("cpu"):
    steps = {"steps": 40 if scale == "smoke" else 600, "generator": generator}
    fitted = {
        k: lifting.fit_depth_from_keypoints(known, train.relations, noise=k / 100, **steps)
        for k in NOISES
    }
train_mm = train.joints_mm[..., 2] - train.joints_mm[:, :1, 2]
noise = torch.randn(asked.shape, generator=generator)
guesses = {
    "one constant order": train_mm.mean(0).expand(len(test), -1),
    "one joint's position": lifting.depth_by_position(known, train_mm, asked),
    **{f"2D joints, noise {k:g} %": fitted[k](asked + k / 100 * noise) for k in NOISES},
}
scores = {n: 100 * ordinal_accuracy(z, test.relations)[None].numpy() for n, z in guesses.items()}
runs = [experiments.run(ROWS[0], s) for s in setting.seeds()]
scores["the image (depth/weak)"] = 100 * tables.per_sample(runs, "ordinal_accuracy")
order = pd.DataFrame({n: intervals.mean(v) for n, v in scores.items()}).T
order.columns = ["accuracy (%)", "ci_low", "ci_high"]

# %%
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
centre, colours = order["accuracy (%)"], ["#bbbbbb"] * len(guesses) + [plots.WEAK]
spread = [centre - order["ci_low"], order["ci_high"] - centre]
ax.barh(order.index, centre, xerr=spread, color=colours)
ax.axvline(50, color="black", linestyle=":")
ax.set(xlabel="ordinal accuracy on studio test (%); dotted: chance", xlim=(0, 100))
ax.invert_yaxis()
plots.save_figure(figure, folder / "figures" / "03_order_from_2d.png")
plt.show()
tables.write_csv(order.reset_index(names="seen"), folder / "tables" / "order_from_2d.csv")
exact, network = centre["2D joints, noise 0 %"], centre.iloc[-1]
if scale != "smoke" and not setting.data:
    assert 50 < centre["one constant order"] < exact and centre["one joint's position"] < exact
beaten = [f"{k:g} %" for k in NOISES if centre[f"2D joints, noise {k:g} %"] < network]
print(f"True 2D joints alone: {exact:.1f} %. The network, from the image: {network:.1f} %.")
print(f"Noise at which it beats the guess from 2D joints: {', '.join(beaten) or 'none'}.")
order.round(1)

# %% [markdown]
# **True** 2D joints say a great deal about depth order in a studio: a bone seen short points towards the camera or away from it, knees and elbows bend one way only, and people stand upright. Methods that lift 2D joints to 3D live on this. But it is knowledge that a network which sees pixels has to earn: it must find the joints first, and the bars show what errors in them cost. Nor does it carry over to other poses. The same guesser with the true 2D positions of other domains:

# %%
rows = {}
for name in ("studio", "duo", "shift"):
    guess = fitted[0.0](shown[name].keypoints_px / sizes.image_size)
    rows[name] = 100 * ordinal_accuracy(guess, shown[name].relations).nanmean().item()
if scale != "smoke" and not setting.data:
    assert rows["shift"] < rows["studio"]
pd.DataFrame({"guess from true 2D joints (%)": rows}).round(1)

# %% [markdown]
# ## Real data sets: where they are, and what the loaders expect
#
# Each has its own terms: read them where you get the files. "Research" below stands for use in research that is not commercial. Put the data sets into one folder in any order; `DIR/` is the folder of one of them.
#
# | data set | page and terms | what to get | layout that the loader reads |
# |---|---|---|---|
# | Human3.6M | [vision.imar.ro/human3.6m](http://vision.imar.ro/human3.6m); registration, academic use | videos and poses of S1, S5 to S9, S11; make images and annotations with the script h36m-fetch, or take the annotation files of the coarse-to-fine code [32] with the images they name | `DIR/processed/S1/Eating-1/annot.h5` and `imageSequence/54138969/img_000001.jpg`; or `DIR/annot/train.h5`, `valid.h5`, `train_images.txt`, `valid_images.txt`, and `DIR/images` |
# | HumanEva-I | [humaneva.is.tue.mpg.de](http://humaneva.is.tue.mpg.de); registration, research | videos, and the two archives that VideoPose3D makes of the poses | `DIR/data_3d_humaneva15.npz`, `data_2d_humaneva15_gt.npz`, `images/S1/Walking_1_C1/000001.jpg`; `Train/S1/Walking_1.mat` if there |
# | MPI-INF-3DHP | [vcai.mpi-inf.mpg.de/3dhp-dataset](https://vcai.mpi-inf.mpg.de/3dhp-dataset); research | the test set | `DIR/TS1/annot_data.mat` and `imageSequence/img_000001.jpg`, up to `TS6` |
# | LSP | [sam.johnson.io/research/lsp.html](http://sam.johnson.io/research/lsp.html); photographs from Flickr, research | the 2,000 images, for Relative Depth LSP below, or to label with the annotation tool | `DIR/joints.mat` and `DIR/images/im0001.jpg` |
# | LSP Extended | [sam.johnson.io/research/lspet.html](http://sam.johnson.io/research/lspet.html); the same | the 10,000 images | `DIR/joints.mat` and `DIR/images/im00001.jpg` |
# | MPII | [human-pose.mpi-inf.mpg.de](http://human-pose.mpi-inf.mpg.de); frames of other people's videos, see the terms there | images and annotations | `DIR/images`, and `DIR/mpii_human_pose_v1_u12_1.mat` or the hourglass authors' `DIR/annot/train.h5`, `valid.h5` |
# | LSP + MPII Ordinal | the paper's [project page](https://www.cis.upenn.edu/~pavlakos/projects/ordinal); licence in the archive, and the terms of LSP and MPII | `lsp-mpii-ordinal.zip` | `DIR/lsp_dataset_original` and `DIR/mpii_upis1h`, each with `joints.mat`, `ordinal.mat`, `images` |
# | Relative Depth LSP | project page of the paper *It's all relative* (Ronchi et al., BMVC 2018), linked from [github.com/matteorr/rel_3d_pose](https://github.com/matteorr/rel_3d_pose); see the terms there | the annotation file, and LSP | `DIR/relative_depth_lsp_v1.json` and `DIR/lsp_dataset/images/im0001.jpg` |
# | CMU motion capture | [mocap.cs.cmu.edu](http://mocap.cs.cmu.edu); free, also in products, not for resale | `.asf` and `.amc` files, which are not read, or a conversion to BVH | any folder of `.bvh` |
#
# Pages move; those above were not all reached when this was written. One command tells what was recognised in a folder, how many samples it has, and which files are missing or odd:
#
# ```
# python -m ordlib datasets DIR
# ```
#
# ## A few photographs
#
# With the parameter `photographs`, the cell below shows some pictures of your own disk with their 2D joints, from LSP Extended, LSP + MPII Ordinal or an annotated folder. Joints that are not annotated are left out. The figure is in this notebook's output alone: mind the terms of the photographs before you pass an executed copy on. The README tells how a network learns from them (*Your own photographs*).

# %%
if photographs:
    real = read_photographs(photographs, size=256)
    some = real.batch(np.unique(np.linspace(0, len(real) - 1, 10).astype(int)))
    marked = some.keypoints_px.where(some.visible[..., None], torch.nan)
    figure, axes = plt.subplots(2, 5, figsize=(9, 4), layout="constrained")
    for ax, image, points in zip(axes.flat, some.images, marked, strict=False):
        plots.show_image(ax, image)
        plots.draw_joints(ax, points)
    plt.show()
print(f"{len(real):,} photographs" if photographs else "No folder of photographs was named.")

# %% [markdown]
# ## Summary
#
# * Four stand-ins give one sample type; subjects are apart, frames and pixels agree, and `wild` has nothing metric.
# * MPJPE, reconstruction error, PCK3D and AUC forgive different things. AUC ends at 96.8 %.
# * The protocol has a floor, because a test person is not the mean training person. The cells of a volume add to it; see the last row of its table for how much reading between them recovers.
# * Depth order can be guessed without an image as far as the last figure shows. Read the ordinal accuracy of any network against these bars, not against one half.
#
# ## Try it
#
# * Set `data` to a folder of BVH files: the same people and rooms, real motion. Set `photographs` to a folder of real people.
# * Change the tie: `relations_from_depth(test.joints_mm[..., 2], tie_mm=50)`. How many pairs stay tied?
