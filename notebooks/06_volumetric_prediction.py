# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 Volumetric prediction (Section 3.3)
#
# **Question.** How can one and the same volume of scores be trained with 3D truth, and with nothing but 2D keypoints and depth orders?
#
# **Answer.** Make the volume a probability distribution and sum it out: over depth it is a heatmap for the 2D loss, over the image it is a depth distribution whose mean goes into the ranking loss. The network does not change.
#
# **Needs.** The stand-in `studio` and four networks: one or two hourglasses, weak or full supervision. They are trained here if no run of them is found.
#
# **Time on a CPU.** smoke: seconds. quick: half a minute to a minute and a half a network, and half a minute for the rest. desk: its part of the about two hours that all notebooks take together. paper: days on a GPU for the eight rows.

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

from ordlib import experiments, losses, metrics, plots
from ordlib.experiments import intervals, published, tables
from ordlib.experiments import supervision as objectives
from ordlib.relations import ordinal_accuracy
from ordlib.scales import get_scale
from ordlib.skeleton import H36M17
from ordlib.volume import bin_centres_mm, decode_xy, expected_depth, marginals

plots.use_style()
ROWS = [
    "table1/volume1/weak",
    "table1/volume1/full",
    "table1/volume2/weak",
    "table1/volume2/full",
]
setting = experiments.Setting(scale, seed, data, device)
experiments.train(ROWS, setting.seeds())

# %% [markdown]
# ## A softmax over a volume
#
# For each joint $n$ the network gives a volume of scores $\Psi_n$ with $D$ bins in depth and $H \times W$ pixels. It covers the crop in $x$ and $y$ and one metre before and behind the pelvis in $z$. The softmax over the whole volume is the probability that the joint is in voxel $u = (x, y, z)$: $p(u|n) = \sigma[\Psi_n]_u$. Two sums make it comparable with weak labels:
#
# $$p(x, y|n) = \sum_z p(u|n) \quad (4), \qquad p(z|n) = \sum_{x,y} p(u|n) \quad (5).$$
#
# `volume.marginals` gives both. It equals a softmax followed by two sums, which is asserted here on a trained network.

# %%
folder = setting.folder
place = setting.device
test = setting.load("studio", "test")
labels = test.batch(np.arange(min(256, len(test))))
size, stride = labels.images.shape[-1], 4
true_depth = labels.joints_mm[..., 2] - labels.joints_mm[:, :1, 2]
runs = {row: experiments.run(row, setting) for row in ROWS}
weak, full = runs["table1/volume2/weak"], runs["table1/volume2/full"]

with torch.no_grad():
    scores = weak.network()(labels.images[:16])[-1]
p = scores.flatten(2).softmax(-1).view_as(scores)
p_xy, p_z = marginals(scores)
torch.testing.assert_close(p_xy, p.sum(2), atol=1e-5, rtol=1e-4)
torch.testing.assert_close(p_z, p.sum((3, 4)), atol=1e-5, rtol=1e-4)
torch.testing.assert_close(p_z.sum(-1), torch.ones(16, 17))

# %% [markdown]
# Why not simply write the softmax? The volume is by far the largest tensor of a training step: at full size 17 joints of $64^3$ voxels are 18 MB an image in float32, and each hourglass has its own. The plain version keeps the softmax from forward to backward and makes more tensors of that size on the way. `marginals` makes one, the exponentials, sums it and forgets it. Backward computes it again from the scores, in the tensor that becomes the gradient, with one more beside it. So at any time there is one extra tensor of that size and no more. The benchmark of the volume in `tests/benchmarks` measures time and memory of both versions.
#
# The figure is the paper's Figure 2 for one joint of a trained network. Left: the marginal heatmap over the image, with the true position as a cross. Middle: the eight slices of the volume that hold most, from near to far, all in one colour range. Right: the marginal depth distribution with its mean (purple) and the true depth (dashed). Look whether mass lies in one place or in several.

# %%
joint, number = H36M17.index("right_wrist"), 3
centres = bin_centres_mm(p_z.shape[-1])
slices = p_z[number, joint].topk(8).indices.sort().values
figure = plt.figure(figsize=(11, 3.4), layout="constrained")
grid = figure.add_gridspec(2, 8)
image_ax, depth_ax = figure.add_subplot(grid[:, :2]), figure.add_subplot(grid[:, 6:])
plots.show_image(image_ax, labels.images[number], "p(x, y), Eq. 4")
heat = p_xy[number, joint]
image_ax.imshow(heat, extent=(0, size, size, 0), cmap="inferno", alpha=0.8 * heat / heat.max())
image_ax.plot(*labels.keypoints_px[number, joint], "x", color="cyan", markersize=9)
for place_in_grid, z in enumerate(slices):
    ax = figure.add_subplot(grid[place_in_grid // 4, 2 + place_in_grid % 4])
    ax.imshow(p[number, joint, z], cmap="inferno", vmin=0, vmax=p[number, joint].max())
    ax.set_title(f"{centres[z]:.0f} mm", fontsize=7)
    ax.set_axis_off()
depth_ax.barh(centres, p_z[number, joint], 0.9 * 2000 / len(centres), color=plots.PUBLISHED)
depth_ax.axhline(expected_depth(p_z, centres)[number, joint], color=plots.WEAK, label="mean")
depth_ax.axhline(true_depth[number, joint], color="black", linestyle="--", label="truth")
depth_ax.set_xlabel("probability")
depth_ax.legend(loc="upper right")
depth_ax.set_ylabel("z (mm), near is negative")
depth_ax.set_title("p(z), Eq. 5")
plots.save_figure(figure, folder / "figures" / "06_marginals.png")
plt.show()

# %% [markdown]
# ## Weak supervision of the volume
#
# Depth: the mean of the depth distribution, $z_n = \sum_z z\, p(z|n)$, goes into the ranking loss of Eq. 1. Image: a Gaussian around the annotated keypoint is the target for $p(x, y|n)$. The total is $\mathcal{L} = \mathcal{L}_{rank} + \lambda \mathcal{L}_{heat}$. Here it is put together by hand for one volume and compared with what the training uses. Coordinates in the heatmap are pixels of the crop divided by 4.

# %%
sizes = weak.scale
batch = test.batch(np.arange(16))
q_xy = losses.gaussian_heatmaps(batch.keypoints_px / stride, tuple(p_xy.shape[-2:]), sizes.sigma)
assert q_xy.shape == p_xy.shape
torch.testing.assert_close(q_xy.sum((2, 3)), torch.ones(16, 17))
z = expected_depth(p_z, centres) / sizes.ranking_unit_mm
ranking = losses.ranking_loss(z, batch.relations, batch.annotated)
compare = {"l2": losses.heatmap_loss, "cross_entropy": losses.heatmap_cross_entropy}
heat = sizes.heatmap_weight * compare[sizes.heatmap_loss](p_xy, q_xy, batch.visible)
terms = objectives.volume_losses((scores,), batch, weak=True, scale=sizes)
torch.testing.assert_close(terms["rank"], ranking)
torch.testing.assert_close(terms["heatmap"], heat)

# %% [markdown]
# ## L2 or cross-entropy between heatmaps
#
# The paper compares heatmaps with an L2 loss, $\sum (p - q)^2$. On a softmax this starts slowly. Take an untrained network, whose volume is flat: $p = 1/(HW)$ at each pixel. The gradient with respect to the score of a voxel, summed over depth, is
#
# - for L2: $2p\,(p - q)$ (the mean that the softmax subtracts is zero here), with $p = 1/(HW)$ in front;
# - for cross-entropy $-\sum q \log p$: $p - q$, without that factor.
#
# So L2 starts $HW/2$ times weaker. The table measures the ratio with automatic differentiation and compares.

# %% tags=["nbval-check-output"]
rows = []
for side in (8, 16, 64):
    target = losses.gaussian_heatmaps(torch.tensor([[[side / 2, side / 2]]]), side, 1.0)
    steepest = []
    for loss in (losses.heatmap_loss, losses.heatmap_cross_entropy):
        flat = torch.zeros(1, 1, 4, side, side, requires_grad=True)
        loss(marginals(flat)[0], target).backward()
        steepest.append(flat.grad.sum(2).abs().max().item())
    ratio = steepest[1] / steepest[0]
    assert math.isclose(ratio, side**2 / 2, rel_tol=1e-4)
    rows.append({"map": f"{side} x {side}", "L2": steepest[0], "cross-entropy": steepest[1]})
    rows[-1]["ratio"] = round(ratio, 1)
pd.DataFrame(rows).round(6)

# %% [markdown]
# A long training overcomes a slow start; a short one does not. Therefore the small scales depart from the paper and use cross-entropy, and scale `paper` uses L2. The paper gives no $\lambda$ and no unit for the volume, so these are choices too. With images of 64 x 64 pixels, $\lambda = 4$ was chosen among 1, 4 and 16 on held-out S8 (rows `choice/volume1/...`, notebook 08); all small scales take it over. Here is what this scale uses beside scale `paper`.

# %%
settings = ["heatmap_loss", "heatmap_weight", "sigma", "ranking_unit_mm", "heatmap_size"]
settings += ["depth_bins", "steps", "batch_size", "optimizer", "learning_rate"]
columns = dict.fromkeys([scale, "paper"])
pd.DataFrame({c: [getattr(get_scale(c), s) for s in settings] for c in columns}, index=settings)

# %% [markdown]
# ## The unit of $z$
#
# In Section 3.1 the network was free to choose the scale of its depths. A volume is not: its bins lie at fixed millimetres, and Eq. 1 has no unit of its own. If $z$ counts millimetres divided by a unit $u$, an ordered pair that is $d$ mm apart in the right direction costs $\log(1 + \exp(-d/u))$ and is pushed with force $1/(1+\exp(d/u))$ per unit, that is $1/u$ times this per millimetre. With one bin of the full-size volume as unit (31 mm), a pair at 100 mm is almost content. With 250 mm the push reaches across the whole body. The factor of the ties, $(d/u)^2$, changes with it, the other way. The constant is `losses.RANKING_UNIT_MM`.

# %%
d = torch.linspace(-300, 900, 241)
figure, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
for unit, style in ((31.25, ":"), (125.0, "-"), (250.0, "--")):
    both = torch.stack([torch.zeros_like(d), d / unit], -1)
    first_is_closer = torch.tensor([[[0, 1], [-1, 0]]])
    cost = [losses.ranking_loss(pair[None], first_is_closer).item() for pair in both]
    ax.plot(d, cost, style, color=plots.WEAK, label=f"unit {unit:g} mm")
ax.axvline(100, color=plots.PUBLISHED, linewidth=1)
ax.set_ylim(0, 3)
ax.set_xlabel("distance $d$ of an ordered pair, right order positive (mm)")
ax.set_ylabel("loss of the pair")
ax.legend()
plots.save_figure(figure, folder / "figures" / "06_unit.png")
plt.show()

# %% tags=["nbval-check-output"]
units, distances = (31.25, 125.0, 250.0), (0, 100, 300, 500)
force = pd.DataFrame(
    {f"unit {u:g} mm": [1 / (1 + math.exp(d / u)) for d in distances] for u in units},
    index=pd.Index(distances, name="d (mm)"),
)
assert (force.loc[0] == 0.5).all() and force.loc[500].is_monotonic_increasing
force.rename_axis(columns="force per unit").round(4)

# %% [markdown]
# ## Full supervision of the same volume
#
# With 3D truth the target is a 3D Gaussian at the joint, as in the baseline. A Gaussian is a product, $q(u) = q(x, y)\,q(z)$, so it need not be stored as a volume. The baseline ([32], the paper's reference for Pavlakos et al., *Coarse-to-fine volumetric prediction*, CVPR 2017) compares by L2 without a softmax. Here, at all scales, the loss is the cross-entropy of the softmax volume with that target, so that weak and full rows read their output in the same way. This is a departure.

# %%
bin_mm = 2000 / len(centres)
q_z = losses.gaussian_line(true_depth[:16], centres, sizes.sigma * bin_mm)
by_factors = losses.volume_cross_entropy(scores, q_xy, q_z)
q = q_z[..., None, None] * q_xy[:, :, None]
log_p = scores.flatten(2).log_softmax(-1).view_as(scores)
torch.testing.assert_close(by_factors, -(q * log_p).sum() / 16, rtol=1e-4, atol=1e-3)
terms = objectives.volume_losses((scores,), batch, weak=False, scale=sizes)
assert set(terms) == {"volume"}
torch.testing.assert_close(terms["volume"], by_factors)

# %% [markdown]
# ## Two hourglasses
#
# A second hourglass reads the features and scores of the first one and can correct them. Each gives a volume, and the loss is applied to both (*intermediate supervision*); the last is the result. The table scores every output on part of the test set, without flip averaging. Millimetres use the scale that was fitted for the last output.


# %%
@torch.no_grad()
def outputs(run) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Marginals of every hourglass on part of the test set."""
    network, pieces = run.network().to(place), []
    for images in labels.images.split(32):
        pieces.append([marginals(scores) for scores in network(images.to(place))])
    return [
        tuple(torch.cat(part).cpu() for part in zip(*stack, strict=True))
        for stack in zip(*pieces, strict=True)
    ]


marginals_of = {row: outputs(run) for row, run in runs.items()}
rows = []
for row, run in runs.items():
    for stack, (xy, z) in enumerate(marginals_of[row], 1):
        depth = expected_depth(z, centres) / run.scale.ranking_unit_mm
        depth = (depth - depth[:, :1]) * run.metrics["studio"]["scale_mm"]
        error = metrics.keypoint_error_px(decode_xy(xy) * stride, labels.keypoints_px).mean()
        rows.append({"row": row.removeprefix("table1/"), "output": stack})
        rows[-1]["2D error (%)"] = 100 * error.item() / size
        rows[-1]["depth error (mm)"] = metrics.depth_error(depth, true_depth).mean().item()
        rows[-1]["ordinal accuracy"] = ordinal_accuracy(depth, labels.relations).nanmean().item()
stacks = pd.DataFrame(rows)
assert len(stacks) == 6
stacks.round(2)

# %%
by_output = stacks.set_index(["row", "output"])
for row in ("volume2/weak", "volume2/full"):
    change = by_output.loc[(row, 2)] - by_output.loc[(row, 1)]
    print(
        f"{row}: the second output changes "
        + ", ".join(f"{k} by {v:+.2f}" for k, v in change.items())
    )

# %% [markdown]
# ## Reading a position from a heatmap
#
# The pixel of the maximum is coarse: it is off by up to half a heatmap pixel each way, which is 2 pixels of the crop. The mean over the whole map is finer, but a second mode or a thin floor of probability draws it away. The mean over the 3 x 3 pixels around the maximum (local soft-argmax) ignores both, but so small a window pulls it towards the middle pixel. And where the Gaussian is much narrower than a pixel, as on the small maps of `quick`, every mean is off. The table below tells which of these costs more here. `decode_xy` puts a parabola through the logarithms of the maximum and its neighbours, which is exact for a Gaussian. First on perfect heatmaps, whose only error is the decoding, then on the network's.


# %%
def argmax_xy(xy: torch.Tensor) -> torch.Tensor:
    best = xy.flatten(2).argmax(-1)
    return torch.stack([best % xy.shape[-1], best // xy.shape[-1]], -1) + 0.5


def mean_xy(xy: torch.Tensor) -> torch.Tensor:
    pixels = torch.arange(xy.shape[-1]) + 0.5
    return torch.stack([xy.sum(2) @ pixels, xy.sum(3) @ pixels], -1)


def local_mean_xy(xy: torch.Tensor) -> torch.Tensor:
    near = (torch.arange(xy.shape[-1]) + 0.5 - argmax_xy(xy)[..., None]).abs() < 1.5
    window = xy * near[..., 0, None, :] * near[..., 1, :, None]
    return mean_xy(window / window.sum((2, 3), keepdim=True))


decoders = {"maximum": argmax_xy, "mean of the map": mean_xy, "3 x 3 mean": local_mean_xy}
decoders["parabola"] = decode_xy

# %%
inside = ((labels.keypoints_px > 6) & (labels.keypoints_px < size - 6)).all(-1)
perfect = losses.gaussian_heatmaps(labels.keypoints_px / stride, size // stride, sizes.sigma)
cases = {"perfect heatmaps": perfect}
cases |= {kind: marginals_of[f"table1/volume2/{kind}"][-1][0] for kind in ("weak", "full")}
table = {
    case: {
        name: 100
        / size
        * (decode(xy) * stride - labels.keypoints_px).norm(dim=-1)[inside].mean().item()
        for name, decode in decoders.items()
    }
    for case, xy in cases.items()
}
exact, local, coarse = (table["perfect heatmaps"][k] for k in ("parabola", "3 x 3 mean", "maximum"))
assert exact < local < coarse
pd.DataFrame(table).rename_axis("2D error, % of the crop").round(2)

# %% [markdown]
# How coarse is the grid itself? A position that is uniform within a cell of side $a$ is off by $0.38\,a$ on average when the centre of the cell is taken, and a depth within a bin of width $b$ by $b/4$. The table does the arithmetic, with 2 m for what the crop's side spans on the body.

# %% tags=["nbval-check-output"]
offset = (math.sqrt(2) + math.asinh(1)) / 6  # mean distance to the centre of a unit square
grid = pd.DataFrame({"pixels a side": [8, 16, 64], "depth bins": [8, 16, 64]})
grid["2D error of the maximum (%)"] = 100 * offset / grid["pixels a side"]
grid["the same on the body (mm)"] = 2000 * offset / grid["pixels a side"]
grid["width of a bin (mm)"] = 2000 / grid["depth bins"]
grid["depth error of the best bin (mm)"] = 2000 / grid["depth bins"] / 4
assert abs(offset - 0.3826) < 1e-4 and grid["width of a bin (mm)"].iloc[-1] == 31.25
grid.round(2)

# %% [markdown]
# ## Results
#
# MPJPE in mm with the depth scale of the protocol, with the oracle scale (notebook 04) and with 2D from the annotation; 2D error in percent of the crop's side, depth error in mm, ordinal accuracy. The protocol fits the scale to limb lengths, through the network's own 2D joints. It wants limbs of the right length, whether or not they point the right way. So the two scales differ: limbs drawn too short in the image make the protocol's larger, and the oracle, by least squares, plays safe where depths are unsure. Notebook 09 prints both; where the oracle column is much lower than the first, the difference costs. Published numbers are for Human3.6M at full size and stand in a column of their own. At scale `smoke` the reproduced ones mean nothing. Where the scale has more than one seed, this table is a mean over all of them; the other tables but that of the gaps, and all figures, are those of the first seed.

# %%
measures = ["mpjpe", "mpjpe_oracle_scale", "mpjpe_given_2d", "keypoint_error", "depth_error"]
measures.append("ordinal_accuracy")
all_runs = {row: [experiments.run(row, s) for s in setting.seeds()] for row in ROWS}
table = pd.DataFrame(
    {
        m: {r: np.mean([run.metrics["studio"][m] for run in all_runs[r]]) for r in ROWS}
        for m in measures
    }
)
printed = published.table(1).set_index("row")["avg_error_mm"].reindex(ROWS)
table.insert(0, "published (mm)", printed)
tables.write_csv(table.rename_axis("row").reset_index(), folder / "tables" / "06_volume.csv")
if scale != "smoke":
    assert (table["ordinal_accuracy"] > 0.5).all()
table.round(2)

# %% [markdown]
# Section 4.3 says that the gap between weak and full supervision grows for the more powerful network. The gap is the ratio of two errors, weak over full, with a 95% interval over test images (and seeds, where the scale has more than one). It is given for MPJPE and for the depth error, since MPJPE also holds the 2D error, which both kinds of supervision learn from the same labels. Overlap of two intervals is a coarse test, and volume1 is only one of the three others; the verdict is in notebook 09.

# %%
gaps = []
for name in ("volume1", "volume2"):
    pair = [f"table1/{name}/{kind}" for kind in ("weak", "full")]
    for metric in ("mpjpe", "depth_error"):
        values = intervals.ratio(*(tables.per_sample(all_runs[row], metric) for row in pair))
        gap = dict(zip(("reproduced", "ci_low", "ci_high"), values, strict=True))
        ratio = printed[pair[0]] / printed[pair[1]] if metric == "mpjpe" else np.nan
        gaps.append({"network": name, "metric": metric, "published": ratio, **gap})
gaps = pd.DataFrame(gaps).set_index(["network", "metric"])
for metric in ("mpjpe", "depth_error"):
    one, two = (gaps.loc[(name, metric)] for name in ("volume1", "volume2"))
    apart = two["ci_low"] > one["ci_high"] or one["ci_low"] > two["ci_high"]
    direction = "grows" if two["reproduced"] > one["reproduced"] else "does not grow"
    print(
        f"{metric}: the gap {direction}; the two intervals {'are apart' if apart else 'overlap'}."
    )
gaps.round(3)

# %% [markdown]
# ## Depth compression
#
# The weak network's depths are in millimetres of its bins, but nothing in its labels is metric. The scatter shows them before the scale of the protocol is applied, next to the full network's, with the best line through the origin (black). A slope of 1 is the grey diagonal. The one global scale multiplies the slope on the left by the factor printed below. What is then missing to 1, like the slope on the right, means that an uncertain network plays safe and predicts near the mean.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
cases = [(weak, "weak, before the scale", plots.WEAK), (full, "full", plots.FULL)]
for ax, (run, title, colour) in zip(axes, cases, strict=True):
    predicted = run.predictions()["depth"][: len(true_depth)] * run.scale.ranking_unit_mm
    slope = ((predicted * true_depth).sum() / true_depth.square().sum()).item()
    x, y = true_depth[:200, 1:].flatten(), predicted[:200, 1:].flatten()
    ax.scatter(x, y, s=3, alpha=0.3, color=colour, linewidths=0)
    ax.plot([-800, 800], [-800, 800], color=plots.PUBLISHED, linewidth=1, label="diagonal")
    fitted = [-800 * slope, 800 * slope]
    ax.plot([-800, 800], fitted, color="black", linewidth=1, label="slope through the origin")
    ax.legend(loc="upper left")
    ax.set_xlim(-800, 800)
    ax.set_ylim(-800, 800)
    ax.set_title(f"{title}: slope {slope:.2f}")
    ax.set_xlabel("true depth (mm)")
axes[0].set_ylabel("predicted depth (mm)")
plots.save_figure(figure, folder / "figures" / "06_compression.png")
plt.show()
factor = weak.metrics["studio"]["scale_mm"] / weak.scale.ranking_unit_mm
print(f"the weak network's depths are multiplied by {factor:.2f} before they are evaluated")

# %% [markdown]
# ## Examples
#
# Three test images with the 2D joints of the weak network, and skeletons from the camera and from the side: prediction in full colour over the truth (faint); the second and third column: weak, the last column: full. One of the best, the median and one of the worst of the weak network.

# %%
order = weak.predictions()["mpjpe"].argsort()
picks = [int(order[int(q * (len(order) - 1))]) for q in (0.05, 0.5, 0.95)]
shown = test.batch(picks)
truth = shown.joints_mm - shown.joints_mm[:, :1]
figure, axes = plt.subplots(3, 4, figsize=(11, 8.4), layout="constrained")
for row, index in enumerate(picks):
    plots.show_image(axes[row, 0], shown.images[row])
    plots.draw_joints(axes[row, 0], weak.predictions()["keypoints_px"][index])
    views = ((axes[row, 1], weak, False), (axes[row, 2], weak, True), (axes[row, 3], full, True))
    for ax, run, side in views:
        plots.draw_skeleton(ax, truth[row], side, alpha=0.3)
        plots.draw_skeleton(ax, run.predictions()["joints_mm"][index], side)
        name = "weak" if run is weak else "full"
        view = "from the side" if side else "from the camera"
        ax.set_title(f"{name}, {view}: {run.predictions()['mpjpe'][index]:.0f} mm", fontsize=8)
plots.save_figure(figure, folder / "figures" / "06_examples.png")
plt.show()

# %% [markdown]
# The median example to turn with the mouse in JupyterLab: solid is the truth, dashed the weak network, dotted the full one.

# %%
poses = [truth[1], *(run.predictions()["joints_mm"][picks[1]] for run in (weak, full))]
plots.turnable_skeletons(poses, ["true", "weak", "full"]).show()

# %% [markdown]
# ## Summary
#
# - One softmax volume serves both kinds of supervision. Weak labels meet its two marginals, and the volume ties them together.
# - On a flat softmax the L2 heatmap loss starts $HW/2$ times weaker than cross-entropy; small scales use the latter.
# - Bins are metric, so the unit of $z$ in the ranking loss is a choice that sets how far ordered joints are pushed.
# - Decode finer than a pixel; score 2D, depth and order apart.
#
# ## Try it
#
# - Choose another `joint` and `number` for Figure 2. Which joints have two modes in depth?
# - Compare rows `choice/volume1/l2` and `choice/volume1/cross-entropy` of `experiments.ROWS` on the held-out training subject.
# - Replace the mean of the depth distribution by its maximum when reading depths. What happens to the ordinal accuracy, and why?
