# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 Depth prediction (Section 3.1)
#
# **Question.** Can a ConvNet learn the depths of a person's joints when nobody ever tells it a depth, only which of two joints is closer to the camera?
#
# **Answer.** A ranking loss on pairs trains the order; how far is measured below. The scale and the shift of the depths stay free, so millimetres need one more piece of knowledge: mean limb lengths.
#
# **Needs.** The stand-in `studio` and two networks, `table1/depth/weak` and `table1/depth/full`. They are trained here if no run of them is found.
#
# **Time on a CPU.** smoke: seconds. quick: half a minute a network, and as much for the rest. desk: its part of the about two hours that all notebooks take together. paper: days on a GPU for the eight rows.

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

from ordlib import camera, experiments, losses, metrics, plots
from ordlib.experiments import evaluation, intervals, published, tables
from ordlib.networks import DepthNet, parameter_count
from ordlib.relations import ordinal_accuracy
from ordlib.scales import get_scale
from ordlib.skeleton import H36M17

plots.use_style()
ROWS = ["table1/depth/weak", "table1/depth/full"]
setting = experiments.Setting(scale, seed, data, device)
experiments.train(ROWS, setting.seeds())

# %% [markdown]
# ## The data: who is closer
#
# A person has $N = 17$ joints. Joint $i$ has a depth $z_i$: its distance along the camera's axis, so *closer* means a smaller $z$. The relation $r_{(i,j)}$ is $+1$ where joint $i$ is closer than joint $j$, $-1$ where $j$ is closer, and $0$ where their depths are *roughly the same*. Section 4.3 draws that line at 100 mm. In this experiment all relations come from the true depths, so that only the form of the supervision differs between the rows. No person labelled anything.
#
# Look at the right half. Green cells: the joint of the row is closer than that of the column (+1). Pink: it is farther (-1). White: a tie. The matrix is antisymmetric, so the $17 \cdot 16 / 2 = 136$ cells above the diagonal say everything.

# %%
folder = setting.folder
test = setting.load("studio", "test")
some = test.batch(np.arange(min(48, len(test))))
depth_mm = some.joints_mm[..., 2] - some.joints_mm[:, :1, 2]
person = int((depth_mm.amax(1) - depth_mm.amin(1)).argmax())  # the one deepest in space

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
plots.show_image(left, some.images[person], "one test image")
plots.draw_joints(left, some.keypoints_px[person])
right.imshow(some.relations[person], cmap="PiYG", vmin=-1.5, vmax=1.5)
names = [name.replace("_", " ") for name in H36M17.joints]
right.set_xticks(range(17), names, rotation=90)
right.set_yticks(range(17), names)
right.set_title("r(i, j): +1 green, 0 white, -1 pink")
right.set(xlabel="joint j", ylabel="joint i")
plots.save_figure(figure, folder / "figures" / "04_relations.png")
plt.show()

# %%
relations = some.relations[person]
assert torch.equal(relations, -relations.mT)
upper = relations[torch.triu_indices(17, 17, 1).unbind()]
assert len(upper) == 17 * 16 // 2 == 136
pd.DataFrame(
    {"pairs": [int((upper == r).sum()) for r in (1, -1, 0)]},
    index=["i closer", "j closer", "tie"],
)

# %% [markdown]
# ## The loss of one pair (Eq. 1)
#
# The network gives $z_i$ and $z_j$. The loss of the pair is
#
# $$\mathcal{L}_{i,j} = \begin{cases} \log(1 + \exp(z_i - z_j)), & r_{(i,j)} = +1\\ \log(1 + \exp(-z_i + z_j)), & r_{(i,j)} = -1\\ (z_i - z_j)^2, & r_{(i,j)} = 0. \end{cases}$$
#
# It is three lines of code. `losses.ranking_loss` computes the same for all pairs of a batch at once: it sums over pairs (Eq. 2) and averages over images.


# %% tags=["nbval-check-output"]
def pair_loss(z_i: float, z_j: float, r: int) -> float:
    """Eq. 1."""
    if r == 0:
        return (z_i - z_j) ** 2
    return float(np.log1p(np.exp(r * (z_i - z_j))))


rows = []
for r in (1, -1, 0):
    by_hand = pair_loss(0.2, 1.0, r)
    pair = torch.tensor([[[0, r], [-r, 0]]])
    packaged = losses.ranking_loss(torch.tensor([[0.2, 1.0]]), pair).item()
    assert abs(by_hand - packaged) < 1e-6
    rows.append({"r": r, "by hand": by_hand, "ordlib": packaged})
pd.DataFrame(rows).round(4)

# %% [markdown]
# The figure shows the three cases against the difference $z_i - z_j$. The two curves for ordered pairs have no minimum: they fall for ever, so a pair in the right order is still pushed apart, with a force that fades. The tie has its minimum where the two depths are equal.

# %%
difference = torch.linspace(-4, 4, 161)
both = torch.stack([difference, torch.zeros_like(difference)], -1)
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
labels = {1: "r = +1, i is closer", -1: "r = -1, j is closer", 0: "r = 0, a tie"}
for (r, label), colour in zip(labels.items(), ("#d95f02", "#1f78b4", "#555555"), strict=True):
    pair = torch.tensor([[[0, r], [-r, 0]]])
    values = [losses.ranking_loss(z[None], pair).item() for z in both]
    ax.plot(difference, values, color=colour, label=label)
ax.set_ylim(0, 4.5)
ax.set_xlabel("$z_i - z_j$ (units of the loss)")
ax.set_ylabel("loss of the pair")
ax.legend(loc="upper center")
plots.save_figure(figure, folder / "figures" / "04_loss.png")
plt.show()

# %% [markdown]
# ## A pair that nobody annotated costs nothing
#
# The sum in Eq. 2 runs over the annotated pairs alone. Annotators may skip pairs, and a data set may leave joints out. Below, all pairs of one joint are removed. Its depth then receives no gradient at all, and no other joint notices what value it has.

# %% tags=["nbval-check-output"]
known = torch.ones(1, 17, 17, dtype=torch.bool)
wrist = H36M17.index("left_wrist")
known[:, wrist], known[:, :, wrist] = False, False
z = torch.linspace(-1, 1, 17)[None].requires_grad_()
loss = losses.ranking_loss(z, relations[None], known)
loss.backward()
assert z.grad[0, wrist] == 0 and (z.grad != 0).sum() > 0
moved = z.detach().clone()
moved[0, wrist] += 100
assert losses.ranking_loss(moved, relations[None], known) == loss.detach()
print("gradient for the joint without annotated pairs:", z.grad[0, wrist].item())
print("annotated pairs:", int(known.triu(1).sum()), "of 136")

# %% [markdown]
# ## What can be recovered from relations alone
#
# Before a network enters, take 17 free numbers for one person and run gradient descent (Adam) on the loss. It shows what the loss alone asks for, with no network in the way. It is done twice: with the ordered pairs only, and with the ties as well. All test people of the first batch are done at once, each with 17 numbers of their own.


# %%
def learn_depths(annotated: torch.Tensor | None) -> dict[int, torch.Tensor]:
    """Depths of everybody in `some`, from zero, after 300 and 1500 steps of descent on Eq. 2."""
    depths = torch.zeros(len(some), 17, requires_grad=True)
    optimizer = torch.optim.Adam([depths], lr=0.05)
    learned = {}
    for step in range(1, 1501):
        optimizer.zero_grad()
        (losses.ranking_loss(depths, some.relations, annotated) * len(some)).backward()
        optimizer.step()
        if step in (300, 1500):
            learned[step] = (depths - depths[:, :1]).detach().double()
    return learned


ordered_pairs = some.relations != 0
without_ties, with_ties = learn_depths(ordered_pairs), learn_depths(None)

# %% [markdown]
# In each plot a point is a joint of the person above. Both versions sort the joints. On the left all points keep moving apart as the descent goes on, since twice the depths always cost less. On the right, joints that are linked by ties come to rest close together: the tie term pulls back what the order pushes apart. Groups without a tie between them still drift. So the ties bend the curve, and the scale that comes out belongs to the loss and not to the person.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
cases = {"ordered pairs only": without_ties, "ordered pairs and ties": with_ties}
for ax, (title, learned) in zip(axes, cases.items(), strict=True):
    for (steps, depths), marker in zip(learned.items(), ("o", "^"), strict=True):
        ax.scatter(depth_mm[person], depths[person], s=22, marker=marker, label=f"{steps} steps")
    ax.set_title(title)
    ax.set_xlabel("true depth, relative to the pelvis (mm)")
    ax.set_ylabel("learned depth (units of the loss)")
    ax.legend()
plots.save_figure(figure, folder / "figures" / "04_free_depths.png")
plt.show()

free = without_ties[1500]
assert (ordinal_accuracy(free, some.relations) == 1).all()
assert ordinal_accuracy(with_ties[1500], some.relations)[person] == 1
shift = losses.ranking_loss(free + 7.0, some.relations, ordered_pairs)
as_is = losses.ranking_loss(free, some.relations, ordered_pairs)
double = losses.ranking_loss(2 * free, some.relations, ordered_pairs)
torch.testing.assert_close(shift, as_is)  # a shift of all depths changes nothing
assert double < as_is  # a larger scale is always a little better
mm_per_unit = (with_ties[1500] * depth_mm).sum(1) / with_ties[1500].square().sum(1)
print(f"best scale with ties, mm a unit: {mm_per_unit.min():.0f} to {mm_per_unit.max():.0f}")

# %% [markdown]
# The last line is the price of ordinal supervision. If the relations held a metric scale, one number of millimetres a unit would fit everybody. It does not: the scale depends on which joints of a pose are tied, and on how long one descends. A network sees many people and can learn one scale for them all, but which one is up to the loss and the length of the training.
#
# ## The network
#
# Section 4.2: one hourglass, with a fully connected layer in the end. The stem brings the image to a quarter of its side. The hourglass halves that a few times and comes back, with a skip at each level. The head turns the result into one map for each joint. The fully connected layer sees all maps at once and gives $N$ depths. The paper gives no more detail; how the maps are made is a choice of this project. Here are the shapes at this scale, without the batch dimension.

# %% tags=["nbval-check-output"]
sizes = get_scale(scale)
network = DepthNet(features=sizes.features, levels=sizes.levels, image_size=sizes.image_size).eval()
stages, x = [], some.images[:1].float() / 255 - 0.5
stages.append(("image", x))
for name in ("stem", "hourglass", "head", "maps"):
    with torch.no_grad():
        x = getattr(network, name)(x)
    stages.append((name, x))
depths = network.linear(x.flatten(1)).detach()
stages.append(("linear", depths))
torch.testing.assert_close(network(some.images[:1]).detach(), depths)
pd.DataFrame(
    [(n, " x ".join(map(str, x.shape[1:]))) for n, x in stages], columns=["after", "shape"]
)

# %% [markdown]
# And here are the parameters at full size: 256 features, four levels, images of 256 x 256. The fully connected layer has $17 \cdot 64 \cdot 64$ inputs, 17 outputs and 17 offsets, which makes a quarter of the network. Nothing is allocated for this count: a network on the device `meta` has shapes but no numbers.

# %% tags=["nbval-check-output"]
with torch.device("meta"):
    full_size = DepthNet()
counts = {name: parameter_count(part) for name, part in full_size.named_children()}
assert counts["linear"] == 17 * 64 * 64 * 17 + 17
assert sum(counts.values()) == parameter_count(full_size) == 4_606_050
pd.Series({**counts, "whole network": sum(counts.values())}, name="parameters").to_frame()

# %% [markdown]
# ## Training
#
# Both rows have the same network, images, order of batches and augmentation. Only the loss differs: *weak* is Eq. 2, *full* is the squared difference to the true depth (*direct regression*). The full network's depths are in units of `ranking_unit_mm`; the table shows it and the other settings beside those of scale `paper`. Smaller scales train shorter and therefore with another optimiser.

# %%
settings = ["image_size", "features", "steps", "batch_size", "optimizer", "learning_rate"]
settings += ["schedule", "ranking_unit_mm"]
pd.DataFrame(
    {
        name: [getattr(get_scale(name), s) for s in settings]
        for name in dict.fromkeys([scale, "paper"])
    },
    index=settings,
)

# %% [markdown]
# The curves show the training loss of each row by step. They have different units, so compare shapes and not heights. The grey line in the left plot is what equal depths for all joints would cost on the first 48 test images: $\log 2$ for every ordered pair.

# %%
runs = {row: experiments.run(row, setting) for row in ROWS}
weak, full = (runs[row] for row in ROWS)
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
cases = [
    (weak, "rank", "weak: ranking loss", plots.WEAK),
    (full, "depth", "full: squared error", plots.FULL),
]
for ax, (run, term, title, colour) in zip(axes, cases, strict=True):
    ax.plot(run.log["step"], run.log[term], color=colour, linewidth=1)
    ax.set_title(title)
    ax.set_xlabel("step")
    ax.set_ylabel("loss, sum over pairs or joints")
    assert np.isfinite(run.log[term]).all()
    if scale != "smoke":
        assert run.log[term].tail(10).mean() < run.log[term].head(10).mean()
all_equal = float(np.log(2)) * float((some.relations.triu(1) != 0).sum()) / len(some)
axes[0].axhline(all_equal, color=plots.PUBLISHED, linewidth=1, label="all depths equal")
axes[0].legend()
plots.save_figure(figure, folder / "figures" / "04_training.png")
plt.show()

# %% [markdown]
# ## Results
#
# The network predicts depths and nothing else, so the 2D positions are taken from the annotation, for both rows. MPJPE is the mean distance of the 17 joints after the pelvis is subtracted. Ordinal accuracy is the share of ordered pairs in the right order; guessing gives 0.5. The published number stands in a column of its own: it is for Human3.6M at full size, the others are for rendered people at this scale. At scale `smoke` they mean nothing. Where the scale has more than one seed, the table is a mean over all of them and the interval covers them too; curves, scatters and examples are those of the first seed.

# %%
measures = ["mpjpe", "mpjpe_oracle_scale", "depth_error", "ordinal_accuracy"]
all_runs = {row: [experiments.run(row, s) for s in setting.seeds()] for row in ROWS}
table = pd.DataFrame(
    {
        m: {r: np.mean([run.metrics["studio"][m] for run in all_runs[r]]) for r in ROWS}
        for m in measures
    }
)
table.insert(0, "published (mm)", published.table(1).set_index("row")["avg_error_mm"].reindex(ROWS))
tables.write_csv(table.rename_axis("row").reset_index(), folder / "tables" / "04_depth.csv")
if scale != "smoke":
    assert (table["ordinal_accuracy"] > 0.5).all()
table.round(2)

# %%
ratio, low, high = intervals.ratio(*(tables.per_sample(all_runs[row], "mpjpe") for row in ROWS))
printed = table["published (mm)"]
verdict = "the interval holds 1" if low <= 1 <= high else "the interval does not hold 1"
print(f"MPJPE weak / full, published:  {printed.iloc[0] / printed.iloc[1]:.3f}")
print(f"MPJPE weak / full, reproduced: {ratio:.3f}, 95% interval {low:.3f} to {high:.3f}")
print(f"Is weak as good as full? {verdict}.")

# %% [markdown]
# The scatter compares predicted with true depth for every joint of up to 200 test images. A perfect network lies on the grey diagonal. For the weak network the depths are shown after the one global scale of the protocol. Look at the slope as well as at the width of the cloud: a flat cloud means that depths are compressed towards the pelvis.

# %%
labels = test.batch(np.arange(min(512, len(test))))
truth = labels.joints_mm[..., 2] - labels.joints_mm[:, :1, 2]
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
cases = [(weak, "weak, scaled", plots.WEAK), (full, "full", plots.FULL)]
for ax, (run, title, colour) in zip(axes, cases, strict=True):
    predicted = run.predictions()["depth"][: len(truth)] * run.metrics["studio"]["scale_mm"]
    x, y = truth[:200, 1:].flatten(), predicted[:200, 1:].flatten()
    correlation = np.corrcoef(x, y)[0, 1]
    ax.scatter(x, y, s=3, alpha=0.3, color=colour, linewidths=0)
    ax.plot([-800, 800], [-800, 800], color=plots.PUBLISHED, linewidth=1)
    ax.set_xlim(-800, 800)
    ax.set_ylim(-800, 800)
    ax.set_title(f"{title}: correlation {correlation:.2f}")
    ax.set_xlabel("true depth (mm)")
axes[0].set_ylabel("predicted depth (mm)")
plots.save_figure(figure, folder / "figures" / "04_scatter.png")
plt.show()

# %% [markdown]
# ## From units to millimetres
#
# The protocol may use no 3D truth of the image, not even for one number. So the scale $s$ (mm a unit) is found from what every body has in common: mean limb lengths of the training people. For a candidate $s$, each training image gets the depth of its pelvis that fits the limb lengths best; the $s$ with the smallest remaining misfit wins. The *oracle* scale is fitted to the true depths of the test set and stands here for comparison only. The curve shows the MPJPE of the weak network against $s$, with both marked. The dashed line is the full network, which needs no scale.

# %%
weak_depth = weak.predictions()["depth"][: len(truth)]


def error_at(mm_a_unit: float) -> float:
    """MPJPE of the weak network on part of the test set, for one depth scale."""
    depth = weak_depth * mm_a_unit
    joints = evaluation.lift(labels.keypoints_px, depth, labels.intrinsics, test.limb_lengths_mm)
    return metrics.mpjpe(joints, labels.joints_mm).mean().item()


chosen, oracle = weak.metrics["studio"]["scale_mm"], weak.metrics["studio"]["oracle_scale_mm"]
candidates = np.linspace(0, 2.5 * max(chosen, oracle, 1.0), 26)
errors = np.array([error_at(candidate) for candidate in candidates])

# %%
figure, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
ax.plot(candidates, errors, color=plots.WEAK)
ax.plot(chosen, error_at(chosen), "o", color=plots.WEAK, label=f"limb lengths: {chosen:.0f} mm")
ax.plot(oracle, error_at(oracle), "s", color="black", label=f"oracle: {oracle:.0f} mm")
full_error = full.predictions()["mpjpe"][: len(truth)].mean().item()
ax.axhline(full_error, color=plots.FULL, linestyle="--", label="full supervision")
ax.set_xlabel("depth scale of the weak network (mm a unit)")
ax.set_ylabel("MPJPE (mm)")
ax.legend()
plots.save_figure(figure, folder / "figures" / "04_scale.png")
plt.show()

# %% [markdown]
# At scale 0 the person is flat; that is the error of knowing the 2D pose alone. What the fit sees is tested below without a network: it gets true depths in a made-up unit and must find the unit. It need not come out exactly, since people differ from the mean; see how near it comes.

# %%
made_up = 80.0
found = camera.depth_scale(
    labels.keypoints_px, truth / made_up, labels.intrinsics, test.limb_lengths_mm
).item()
print(f"true unit {made_up:.0f} mm, found from limb lengths {found:.0f} mm")
assert abs(found / made_up - 1) < 0.25

# %% [markdown]
# ## Examples
#
# Four test images with the predicted *rank* of each joint, from the closest (yellow) to the farthest (dark). The upper row is the truth, the lower row the weak network. Below each: the share of ordered pairs in the right order.

# %%
picks = np.linspace(0, len(truth) - 1, 4).astype(int)
figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), layout="constrained")
for column, index in enumerate(picks):
    accuracy = weak.predictions()["ordinal_accuracy"][index]
    for ax, depths in zip(axes[:, column], (truth[index], weak_depth[index]), strict=True):
        plots.show_image(ax, labels.images[index])
        ranks = depths.argsort().argsort()
        points = labels.keypoints_px[index]
        dots = ax.scatter(*points.T, c=ranks, cmap="inferno_r", s=34, edgecolors="white")
    axes[1, column].set_xlabel(f"{accuracy:.2f} of pairs in order")
axes[0, 0].set_ylabel("truth")
axes[1, 0].set_ylabel("weak network")
figure.colorbar(dots, ax=axes, label="rank (0 is closest)", shrink=0.7)
plots.save_figure(figure, folder / "figures" / "04_examples.png")
plt.show()

# %% [markdown]
# ## Summary
#
# - Eq. 1 asks only for the order of two joints; a missing pair costs nothing and moves nothing.
# - Relations fix the order of the joints. A shift is free. So is the scale, except for the pull of the ties, which is not metric.
# - The network is an hourglass and one fully connected layer. Weak and full supervision train the same one.
# - Millimetres come from mean limb lengths, by one number for each trained network.
#
# ## Try it
#
# - Set `relations_from_depth(..., tie_mm=0)` in place of the 100 mm and repeat the descent on free depths: what happens to the bend in the curve, and what to the scale?
# - Annotate only pairs of joints that share a bone: `known` with 16 pairs. Is the order of all joints still found?
# - Flip the sign of one relation in ten. The relations now contradict each other, and the descent still comes to rest. Why?
