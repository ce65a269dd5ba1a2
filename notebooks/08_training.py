# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 How are all networks trained?
#
# **Question.** Eight networks, three kinds of output, two kinds of supervision: what is the same for all of them, and what can go wrong without being seen?
#
# **Answer in one sentence.** One loop trains them all with the paper's augmentation, everything random follows from the seed and the step alone, and a run that is stopped at any moment ends with the same weights as one that never was.
#
# **Needs** the eight rows of Table 1 for their learning curves; it trains those that are missing. **Time** (2 CPU cores, training included): `smoke` under a minute, `quick` about 5 minutes, `desk` about two hours for all notebooks together, `paper` days on a GPU for the eight rows. Without training, at `quick`: about half a minute.

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
data: str = ""  # folder of real data sets in place of stand-ins, and of motion capture

# %%
import tempfile
from collections import defaultdict
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from ordlib import camera, experiments, networks, plots, relations
from ordlib.augment import augment, mirror, rotate_and_scale
from ordlib.batches import batch_indices
from ordlib.experiments import statements, tables
from ordlib.experiments.supervision import depth_losses
from ordlib.networks import build
from ordlib.scales import SCALES, Scale, get_scale
from ordlib.skeleton import H36M17
from ordlib.training import Budget, fit, learning_rate_factor

# %%
plots.use_style()
ROWS = [
    "table1/depth/weak", "table1/depth/full",
    "table1/coordinate/weak", "table1/coordinate/full",
    "table1/volume1/weak", "table1/volume1/full",
    "table1/volume2/weak", "table1/volume2/full",
]  # fmt: skip
setting = experiments.Setting(scale, seed, data, device)
experiments.train(ROWS, setting.seeds())

# %% [markdown]
# ## Sizes and budgets
#
# Section 4.2 of the paper: RMSprop, learning rate $2.5 \cdot 10^{-4}$, batch size 4, 300k iterations for Human3.6M alone. Scale `paper` does exactly that, except the loss of full volumes, the heatmap weight and the number of images: the paper prints neither of the last two (λ = 100 of Section 3.2 is the paper's). The smaller scales change sizes and budgets, and the optimiser where a short budget needs it; the method stays.

# %% tags=["nbval-check-output"]
names = [field.name for field in fields(Scale) if field.name != "name"]
sizes = pd.DataFrame(
    {key: [str(getattr(one, name)) for name in names] for key, one in SCALES.items()}, index=names
)
paper = get_scale("paper")
assert (paper.optimizer, paper.learning_rate, paper.batch_size) == ("rmsprop", 2.5e-4, 4)
assert paper.steps == 300_000 and paper.schedule == "constant" and paper.heatmap_loss == "l2"
sizes

# %% [markdown]
# Why the smaller scales differ:
#
# - **Optimiser.** A rate of $2.5 \cdot 10^{-4}$ is made for hundreds of thousands of steps. With a few thousand steps or fewer, Adam with a higher rate that falls to zero is meant to get further; so `smoke`, `quick` and `desk` use it, with batch 8.
# - **Heatmap loss.** Weakly supervised volumes compare two heatmaps that each sum to one. An $\mathcal{L}_2$ loss between them has small gradients as long as the prediction is spread over the whole map, which at a small budget is most of the training. Cross-entropy has not, and takes its place there. `paper` keeps $\mathcal{L}_2$.
# - **Warm start.** In the paper, the networks of mixed training learn for 2.5 million steps, eight times as many as on Human3.6M alone; with which weights they begin, it does not say. At that ratio, three such networks and one on `duo` would take two CPU cores about 20 minutes at `quick` and three to four hours at `desk`. So below `paper` these networks begin with the weights of the one that has learned from `studio` (or `duo`) alone, with the same seed, and learn from both kinds of images for *mixed_steps* more (on `duo`, three fifths of that), with a new optimiser and the whole schedule of the learning rate once more: what they would all learn first is paid for once. Rows that differ in what they take from `wild` then also have the same start, which takes some of the chance out of their differences. `paper` begins from scratch.
# - **Image size, width, depth, bins** follow from what two CPU cores can train in minutes.
#
# Such choices are made on training data alone: subject S8 is held out of training (split `fit` trains, `val` judges), and neither test subjects nor another domain are looked at. The rows for that can be run by anybody; they are not part of this notebook, as they would take as long again:
#
# ```
# python -m ordlib train --scale quick \
#   choice/volume1/cross-entropy choice/volume1/cross-entropy-1 choice/volume1/cross-entropy-16 \
#   choice/volume1/l2 choice/volume1/l2-1000 choice/volume1/unit-31 choice/volume1/unit-250 \
#   choice/rate/volume1-0.001 choice/rate/volume1-0.003 choice/rate/volume1-0.01 \
#   choice/rate/depth-0.001 choice/rate/depth-0.003 choice/rate/depth-0.01
# ```
#
# The first three compare weights of the heatmap loss, the last six learning rates, for full volumes and for weak depths. The weight was fixed first, at another rate; at the final one a weight of 16 does no worse than 4. One run of each says little. All this was chosen with images of 64 x 64 pixels and three hourglass levels, as `desk` has; `quick` has since come down to 48 x 48 and two; what the same rows give there is shown below, as a check and not as a choice (one seed; a weight of 1 would suit weak volumes better after so short a training).
#
# In mixed training there are two more things to choose: the unit and the weight of the ranking loss beside full supervision, and the weight of the limb lengths (notebook 12). `wild` has no metric depth, so what can be looked at is the error on S8, and 2D error and order on held-out images of `wild`:
#
# ```
# python -m ordlib train --scale quick choice/mixed/studio choice/mixed/keypoints \
#   choice/mixed/ordinal-1-unit-125 choice/mixed/ordinal-0.3-unit-300 choice/mixed/ordinal-1-unit-300 \
#   choice/mixed/ordinal-3-unit-300 choice/mixed/ordinal-3-unit-500 choice/mixed/ordinal-3-unit-1000 \
#   choice/mixed/ordinal-6-unit-1000 choice/mixed/limbs-10 choice/mixed/limbs-100
# ```
#
# **How the unit was chosen.** In Eq. 1 a pair whose order the network gives a probability $p$ wants to be $\log \frac{p}{1-p}$ units apart, whatever the weight. So depths on `wild` spread in proportion to the unit, and the unit must fit the people. One of 125 mm flattens them. In mixed networks that learned from scratch for 4,000 steps, with images of 64 x 64 pixels, 500 and 1,000 mm gave the best order and the smallest depth errors on S8, and 1,000 was taken first. With 10,000 steps of mixed training, from scratch, which gives the depths time to get where the loss wants them, they were then twice as deep on held-out `wild` as mean limb lengths allow, and, which was looked at too, PCK3D on `shift` fell below that of 2D keypoints alone. 300 mm has there the spread of the network without a ranking loss, the better order, and the smaller error on S8; so it is the unit now. The failure on `shift` prompted this second look; the value comes from S8 and `wild`.

# %%
BUDGET = "choice/budget/"  # the subject of the next section
choices = [row for row in experiments.ROWS.values() if row.id.startswith("choice/")]
assert all((row.train_split, row.test_split) == ("fit", "val") for row in choices)
changes = {row.id: dict(row.changes) for row in choices if not row.id.startswith(BUDGET)}
pd.DataFrame(changes).T.fillna("as the scale")

# %% [markdown]
# Those that have been trained here, with their errors on S8 and, for mixed training, on held-out images of `wild`:

# %%
done = [id for id in changes if experiments.Run(experiments.ROWS[id], setting).done]
records = {}
for row in done:
    metrics = experiments.run(row, setting).metrics
    wild = metrics.get("wild", {})
    kept = {name: value for name, value in metrics["studio"].items() if "scale" not in name}
    records[row] = kept | {f"wild_{k}": wild.get(k) for k in ("ordinal_accuracy", "keypoint_error")}
trials = pd.DataFrame(records, dtype=float).T
if done:
    path = setting.folder / "tables" / "08_choices.csv"
    tables.write_csv(trials.rename_axis("row").reset_index(), path)
trials.round(3)

# %% [markdown]
# ## How long is long enough?
#
# A network of a short training may not have learned yet to tell a person's front from the back, and then puts left joints on the right (notebook 09). Some seeds have and some have not, and the difference is larger than what the paper's tables compare. Then no number of test images decides anything. So: with how many steps do seeds agree? The rows `choice/budget/...` have the images of `desk` and its three seeds, and are judged on S8. They take two CPU cores about an hour and are not part of this notebook:
#
# ```
# for seed in 0 1 2; do
#   python -m ordlib train --scale desk --seed $seed \
#     choice/budget/volume2-full-2500 choice/budget/volume2-full-6000 \
#     choice/budget/volume2-full-12000 choice/budget/keypoints choice/budget/ordinal
# done
# ```
#
# The number is that of the steps; `desk` has 2,500. The last two go on from 12,000 steps with images of `wild`, for 1,500 more. Where all of these have been trained (see the executed copy of scale `desk`), here is each seed's error on S8, and the share of its paired joints that lie nearer to the true position of the other side:


# %%
several = setting.seeds()
ids = [row.id for row in choices if row.id.startswith(BUDGET)]
names = {id: id.removeprefix(BUDGET).replace("volume2-full-", "steps ") for id in ids}
all_done = all(experiments.Run(experiments.ROWS[id], s).done for id in ids for s in several)
long = {id: [experiments.run(id, s) for s in several] for id in ids if all_done}
held_out = {}
for s in several if all_done else ():
    val = s.load("studio", "val")
    parts = np.array_split(np.arange(len(val)), 16)
    held_out[s] = torch.cat([val.batch(part).keypoints_px for part in parts])


# %%
def confused(run):
    """Percent of paired joints that lie nearer to the other side's true position."""
    flip, paired = list(H36M17.flip), [joint for pair in H36M17.flip_pairs for joint in pair]
    own, points = held_out[run.setting], run.predictions()["keypoints_px"]
    nearer = (points - own[:, flip]).norm(dim=-1) < (points - own).norm(dim=-1)
    return 100 * nearer[:, paired].double().mean().item()


apart = pd.DataFrame(
    [
        (names[r.row.id], r.setting.seed, r.metrics["studio"]["mpjpe"], confused(r))
        for rs in long.values()
        for r in rs
    ],
    columns=["training", "seed", "MPJPE (mm)", "other side (%)"],
)
if all_done:
    tables.write_csv(apart, setting.folder / "tables" / "08_seeds.csv")
apart.pivot(index="training", columns="seed").reindex([names[id] for id in long]).round(1)

# %% [markdown]
# And the steps from one to the next, judged as in notebooks 09 and 10:

# %%
half, enough = f"{BUDGET}volume2-full-6000", f"{BUDGET}volume2-full-12000"
STATED = [
    ("6,000 steps better than 2,500", half, f"{BUDGET}volume2-full-2500"),
    ("12,000 steps better than 6,000", enough, half),
    ("2D keypoints of wild lower the error", f"{BUDGET}keypoints", enough),
    ("ordinal depths lower it further", f"{BUDGET}ordinal", f"{BUDGET}keypoints"),
]
judged = pd.DataFrame()
if all_done:
    errors = {(1, id, "mpjpe"): tables.per_sample(runs, "mpjpe") for id, runs in long.items()}
    stated = [
        statements.Statement(1, text, statements.ratio(1, a, b), 1.0) for text, a, b in STATED
    ]
    nothing = defaultdict(lambda: np.nan)  # the paper prints no errors on S8
    judged = statements.weigh(stated, errors, nothing).drop(columns="published")
    tables.write_csv(judged, setting.folder / "tables" / "08_budget.csv")
judged.round(3)

# %% [markdown]
# ## The learning rate over time
#
# Constant in the paper. The smaller scales warm up over the first 5% of the steps and then follow half a cosine down to zero.

# %%
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for key, colour in (("quick", plots.WEAK), ("paper", plots.PUBLISHED)):
    one = get_scale(key)
    steps = np.arange(0, one.steps, one.steps // 400)
    rates = [
        one.learning_rate * learning_rate_factor(Budget(one.steps, schedule=one.schedule), s)
        for s in steps
    ]
    ax.plot(steps / one.steps, rates, color=colour, label=f"{key}, {one.optimizer}")
    assert max(rates) <= one.learning_rate
ax.set_xlabel("share of the steps done")
ax.set_ylabel("learning rate")
ax.legend()
plots.save_figure(fig, setting.folder / "figures" / "08_rate.png")
plt.show()

# %% [markdown]
# ## Which images a step sees
#
# The order of the images is a function of the seed and the step, not of a generator's state. So a run can go on at any step without having seen the steps before. Every epoch shows every image once, in an order of its own (up to an incomplete last batch).

# %% tags=["nbval-check-output"]
order = partial(batch_indices, 96, 8, 0)
epochs = [np.concatenate([order(epoch * 12 + place) for place in range(12)]) for epoch in (0, 1)]
for seen in epochs:
    assert sorted(seen) == list(range(96))
assert not np.array_equal(*epochs)
assert np.array_equal(order(17), order(17))
print("96 images, batch 8: 12 steps an epoch")
print("step 0 :", order(0).tolist())
print("step 12:", order(12).tolist())

# %% [markdown]
# ## Augmentation
#
# Section 4.2: rotation within ±30°, scale 0.75 to 1.25, left-right flip. All of it happens to a whole batch on its device. What must stay true for every sample:
#
# - the 2D keypoints are still the projection of the 3D joints, $w_n = \pi(K S_n)$, with the changed intrinsics $K$;
# - each joint keeps its name: after a flip, the joint called left is the left one of the *mirrored* person;
# - a rotation about the optical axis changes no depth, so the relations are still those of the depths.

# %%
train_set = setting.load("studio", "train")
person = train_set.batch(np.array([len(train_set) // 2]))
many = train_set.batch(np.arange(64))
for batch in (many, augment(many, torch.Generator().manual_seed(seed))):
    again = camera.project(batch.joints_mm, batch.intrinsics)
    assert torch.allclose(again, batch.keypoints_px, atol=0.05), "in place"
    assert torch.equal(relations.relations_from_depth(batch.joints_mm[..., 2]), batch.relations)

# %% [markdown]
# In each picture the joints must lie on the body: orange for the person's right limbs, blue for the left ones. In the flipped picture the person is mirrored, so the limb that was right is drawn as left.


# %%
def changed(degrees=0.0, factor=1.0, flip=False):
    flipped = mirror(person, torch.tensor([flip]), H36M17)
    return rotate_and_scale(flipped, torch.tensor([degrees]).deg2rad(), torch.tensor([factor]))


shown = {
    "as it is": changed(),
    "rotated by 30°": changed(degrees=30),
    "rotated by -30°": changed(degrees=-30),
    "scale 0.75": changed(factor=0.75),
    "scale 1.25": changed(factor=1.25),
    "flipped": changed(flip=True),
}
fig, axes = plt.subplots(1, 6, figsize=(12, 2.4), layout="constrained")
for ax, (title, batch) in zip(axes, shown.items(), strict=True):
    plots.show_image(ax, batch.images[0], title)
    plots.draw_joints(ax, batch.keypoints_px[0])
    ax.set_xlim(0, batch.images.shape[-1])
    ax.set_ylim(batch.images.shape[-2], 0)
plots.save_figure(fig, setting.folder / "figures" / "08_augment.png")
plt.show()

# %% [markdown]
# The same as assertions. A flip moves a keypoint at $u$ to $W - u$ and gives it to the joint of the other side; the depth of that joint goes along. A second flip undoes the first.

# %%
flip = list(H36M17.flip)
width = person.images.shape[-1]
flipped = shown["flipped"]
assert torch.allclose(flipped.keypoints_px[..., 0], width - person.keypoints_px[:, flip, 0])
assert torch.equal(flipped.joints_mm[..., 2], person.joints_mm[:, flip, 2])
assert torch.equal(flipped.relations, person.relations[:, flip][:, :, flip])
twice = mirror(mirror(many, torch.ones(64, dtype=torch.bool), H36M17), torch.ones(64) > 0, H36M17)
assert torch.equal(twice.images, many.images)
assert torch.allclose(twice.keypoints_px, many.keypoints_px, atol=1e-4)
for batch in shown.values():
    again = camera.project(batch.joints_mm, batch.intrinsics)
    assert torch.allclose(again, batch.keypoints_px, atol=0.05)
    assert torch.equal(relations.relations_from_depth(batch.joints_mm[..., 2]), batch.relations)

# %% [markdown]
# ## What each network minimises
#
# | network | weak | full |
# |---|---|---|
# | depth (3.1) | ranking loss, Eq. 2 | squared error of depths |
# | coordinates (3.2) | Eq. 2 + λ Eq. 3 | squared error of depths + λ Eq. 3 |
# | volume (3.3) | Eq. 2 on the mean depth + λ heatmap loss | cross-entropy to a 3D Gaussian |
#
# The last entry departs from the baseline ([32], the paper's reference for Pavlakos et al., *Coarse-to-fine volumetric prediction*, CVPR 2017), which takes the squared error to the same 3D Gaussian. Volumes with two hourglasses sum the loss over both (intermediate supervision). Each row's run keeps a log of its terms. Look for terms that fall and then flatten; a term that rises at the expense of another would be a badly weighted sum.

# %%
first_runs = {row: experiments.run(row, setting) for row in ROWS}
fig, axes = plt.subplots(2, 4, figsize=(12, 4.6), sharex=True, layout="constrained")
styles = ["-", "--"]
NAMES = {"keypoint": "λ × keypoint", "heatmap": "λ × heatmap"}
for number, (row, run) in enumerate(first_runs.items()):
    ax = axes[number % 2, number // 2]
    log = run.log.set_index("step")
    colour = plots.WEAK if row.endswith("weak") else plots.FULL
    for style, term in zip(styles, log.columns, strict=False):
        label = NAMES.get(term, term)
        ax.plot(log[term], color=colour, linestyle=style, linewidth=1.2, label=label)
    ax.set_title(row.removeprefix("table1/"))
    ax.set_ylim(0, 1.1 * log.to_numpy().max())
    ax.legend()
    assert np.isfinite(log.to_numpy()).all()
for ax in axes[1]:
    ax.set_xlabel("step")
for ax in axes[:, 0]:
    ax.set_ylabel("loss term")
plots.save_figure(fig, setting.folder / "figures" / "08_losses.png")
plt.show()

# %% [markdown]
# The same in numbers: the sum of the terms, mean of the first and of the last tenth of the log. From `quick` up it must have fallen for every network.


# %%
def ends(run):
    total = run.log.set_index("step").sum(axis=1)
    tenth = max(1, len(total) // 10)
    return total.iloc[:tenth].mean(), total.iloc[-tenth:].mean()


falls = pd.DataFrame(
    {row: ends(run) for row, run in first_runs.items()}, index=["first tenth", "last tenth"]
).T
if scale != "smoke":
    assert (falls["last tenth"] < falls["first tenth"]).all()
falls.round(2)

# %% [markdown]
# ## Same seed, same weights
#
# Three tiny trainings of a depth network, six steps each. The first two have nothing in common but the seed: their weights must be equal, to the last bit. The third is broken off in the middle and goes on from its checkpoint; its weights must be the same too.


# %%
class Stopped(Exception):
    """Plays the part of a power failure."""


tiny = replace(get_scale(scale), features=16, levels=2)


def batch_at(step, last=None):
    if step == last:
        raise Stopped
    chosen = batch_indices(len(train_set), 4, seed, step)
    return augment(train_set.batch(chosen), torch.Generator().manual_seed(1000 * seed + step))


def tiny_training(folder, last=None, precision="32-true"):
    network = build("depth", 1, tiny, seed)
    budget = Budget(6, "rmsprop", 2.5e-4, precision=precision, checkpoint_seconds=0.0)

    def loss(network, batch):
        return depth_losses(network(batch.images), batch, weak=True, scale=tiny)

    return fit(network, partial(batch_at, last=last), loss, budget, Path(folder))


# %%
def equal(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
    whole = tiny_training(a)
    torch.manual_seed(99)  # nothing reads the global generator, so this must change nothing
    assert equal(whole, tiny_training(b))
with tempfile.TemporaryDirectory() as folder:
    try:
        tiny_training(folder, last=3)
    except Stopped:
        print("stopped before step 3; the checkpoint is there:", end=" ")
        print((Path(folder) / "checkpoint.safetensors").exists())
    resumed = tiny_training(folder)
assert equal(whole, resumed)
assert not equal(whole, build("depth", 1, tiny, seed)), "six steps change the weights"
print("two trainings and a resumed one: equal weights")

# %% [markdown]
# Checkpoints are written to a temporary name and renamed, so a reader never meets half a file. They hold tensors and nothing that could run when it is loaded. A test of the package kills a training with SIGKILL and compares the weights in the same way.
#
# ## Half the bits
#
# On a GPU, and on CPUs that support it, `bf16-mixed` computes convolutions with 8 significant bits and keeps weights and losses in 32 bits. The first loss differs by rounding only; after it the weights drift apart.

# %%
with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
    logs = []
    for folder, precision in ((a, "32-true"), (b, "bf16-mixed")):
        tiny_training(folder, precision=precision)
        logs.append(pd.read_csv(Path(folder) / "log.csv")["rank"])
    difference = (logs[1] / logs[0] - 1).abs()
assert len(difference) == 6
assert difference.iloc[0] < 0.02, "before the first update the two differ by rounding alone"

# %% [markdown]
# ## The arithmetic of a training
#
# Before a training is started, its cost can be worked out. Parameters and multiply-adds are counted on PyTorch's `meta` device, which knows shapes and holds no numbers, so the full-size networks cost nothing here. A training step costs about three forward passes: one forward, two backward (with respect to features and to weights).


# %% tags=["nbval-check-output"]
def counted(row, one):
    spec = experiments.ROWS[row]
    with torch.device("meta"):
        network = build(spec.network, spec.stacks, one, 0)
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, one.image_size, one.image_size))
    macs = counter.get_total_flops() / 2
    return {
        "million parameters": f"{networks.parameter_count(network) / 1e6:.3g}",
        "G multiply-adds an image": f"{macs / 1e9:.3g}",
        "P multiply-adds a training": f"{3 * macs * one.batch_size * one.steps / 1e15:.3g}",
    }


at_paper = pd.DataFrame({row: counted(row, get_scale("paper")) for row in ROWS[::2]}).T
at_paper

# %% [markdown]
# Weak and full rows have the same network, so one row of each pair stands for both. One hourglass with a volume costs only somewhat more than one with a fully connected layer: what is added is one 1 x 1 convolution to all joints and depth bins. (G is $10^9$, P is $10^{15}$.) At this notebook's scale:

# %% tags=["nbval-check-output"]
one = get_scale(scale)
here = pd.DataFrame({row: counted(row, one) for row in ROWS[::2]}).T
samples = one.steps * one.batch_size
print(f"{one.steps:,} steps of {one.batch_size} images: {samples:,} samples,")
print(f"{samples / one.train_images:.1f} passes over {one.train_images:,} images")
assert (here.astype(float) <= at_paper.astype(float)).all(axis=None)
here

# %% [markdown]
# A GPU that sustains 100 TFLOP/s does $5 \cdot 10^{13}$ multiply-adds a second: divide the last column of the first table by that for a lower bound in seconds. It is a lower bound: batches of 4 are too small to keep a large GPU busy, so a training takes longer than its arithmetic, and several rows can share one GPU.
#
# ## What came out
#
# The runs of this scale, first seed. What the columns mean, with intervals and beside the paper's numbers, is the subject of notebook 09.

# %%
columns = ["mpjpe", "mpjpe_given_2d", "keypoint_error", "depth_error", "ordinal_accuracy"]
out = pd.DataFrame({row: run.metrics["studio"] for row, run in first_runs.items()}).T
for run in first_runs.values():
    stored = {path.name for path in run.folder.iterdir()}
    assert {"config.json", "log.csv", "weights.safetensors", "metrics.json"} <= stored
    assert "checkpoint.safetensors" not in stored, "a finished run keeps no checkpoint"
if scale != "smoke":
    assert (out["ordinal_accuracy"] > 0.5).all()
out[columns].round(2)

# %% [markdown]
# ## Training elsewhere
#
# A run is a row, a scale, a seed and the data. Its folder is named by a hash of all of these, so runs never share a file, and any number of them can go side by side on any machines that see the same `outputs` folder. A finished run is reused; a killed one goes on when the same command is given again.
#
# ```
# # two rows on the first GPU, at the paper's sizes
# python -m ordlib train table1/volume2/weak table1/volume2/full --scale paper --device cuda:0
#
# # a cluster: one job a row and seed
# for row in depth coordinate volume1 volume2; do
#   for kind in weak full; do
#     for seed in 0 1 2; do
#       sbatch --gres=gpu:1 --wrap "python -m ordlib train table1/$row/$kind --scale desk --seed $seed"
#     done
#   done
# done
#
# # then the notebooks, which find these networks done and train the others
# make reproduce SCALE=desk
# ```
#
# `ORDLIB_OUTPUTS` names another folder for results. `--precision bf16-mixed` trains with bf16; the precision is part of the hash, so such a run never passes for a 32-bit one.
#
# On a CPU every network trains on one thread, and as many networks side by side as there are cores. That is faster than one after another for small networks, and it makes the sums, and so the weights, independent of the number of cores.
#
# ## Summary
#
# - One loop, one set of budgets, one augmentation for all eight networks; `paper` is the paper's setting, except the loss of full volumes, the heatmap weight and the number of images; smaller scales say what they change.
# - Augmentation keeps images, keypoints, joints, relations and camera consistent: asserted above.
# - Same seed, same weights, also after a stop in the middle: asserted above.
#
# ## Try it
#
# 1. Call `tiny_training(folder, last=5)` on a folder of your own, catch `Stopped`, and read `safe_open(...).metadata()["step"]` of the checkpoint. Resume, and count the lines of `log.csv`.
# 2. Draw `augment(person, ...)` for ten seeds. How often is a hand cut off at scale 1.25?
# 3. Replace Adam by the paper's RMSprop in `SCALES["quick"]` and train `table1/depth/weak`: how far does it get in the same number of steps?

# %% [markdown]
# ## Many GPUs, many machines
#
# **Several GPUs or machines for one row.** `torchrun` starts one process a GPU; they share the batch of
# every step, so the result is that of one GPU but for rounding.
#
# ```bash
# torchrun --standalone --nproc-per-node 2 -m ordlib train table2/ordinal --scale paper
# # two machines with two GPUs each: the same command on both, `outputs` on a disk that both see
# torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint FIRST_HOST:29500 \
#     -m ordlib train table1/volume2/weak --scale paper
# ```
#
# The batch must divide evenly: the paper's 4 images serve 1, 2 or 4 processes, its mixed batches
# (2 and 2) 1 or 2.
#
# **Many rows on a cluster.** Each run is a folder of its own, so rows are tasks of an array job; a task
# that was ended goes on from its checkpoint when the job is sent again.
#
# ```bash
# #SBATCH --array=0-7 --ntasks=1 --gpus=1 --time=24:00:00
# rows=(table1/{depth,coordinate,volume1,volume2}/{weak,full})
# srun python -m ordlib train "${rows[$SLURM_ARRAY_TASK_ID]}" --scale paper
# ```
#
# On GPUs the batch norms of all processes share their statistics (`nn.SyncBatchNorm`, not run here yet); on CPUs each process normalises its own share of the batch. `--precision bf16-mixed` and `--compile` are options of `train`.
#
# ## Departures from the paper
#
# - Small scales train with Adam and a cosine schedule in place of RMSprop at a constant 2.5e-4, and weakly supervised volumes with cross-entropy between marginal heatmaps in place of L2. `paper` has the paper's settings, except the loss of full volumes, the heatmap weight and the number of images. Notebooks 06 and 08 show both.
# - Mixed batches are half `studio` and half `wild`; `duo` has 60 percent of the steps, as in the paper. Below `paper` the networks of mixed training begin with the weights of the one trained on `studio` (or `duo`) alone, so that `quick` takes minutes and `desk` two hours; at `paper` they begin from scratch.
# - Fully supervised volumes: cross-entropy to the 3D Gaussian of the baseline, at every scale; the baseline used squared error.
# - Millimetres of weakly supervised rows come from the mean limb lengths of the training subjects, never from 3D ground truth of a test image; the paper does not say how it did this. The oracle scale stands beside it in the table.
# - bf16 (`--precision bf16-mixed`) pays on GPUs and on CPUs with bf16 instructions; on other CPUs it is emulated and many times slower than float32.
# - The settings of the small scales come from some thirty runs, with images of 64 x 64 pixels, judged on the held-out training subject S8 and on held-out images of `wild`, but not blindly: learning rate, width of the Gaussian targets and the unit of the ranking loss in mixed training were changed after test errors of a first run had been seen. Notebooks 08 and 09 tell how.
