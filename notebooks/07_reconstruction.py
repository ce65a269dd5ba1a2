# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 Reconstruction (Section 3.4)
#
# **Question.** Can a small network, trained on motion capture alone, turn 2D joints and ordinal depths into a coherent 3D pose?
#
# **Answer.** Yes: it needs no image to learn and no depth scale to be used, and from `quick` up it lowers the error of the ConvNets before it. How much of that is calibration, how much comes from the ordinal depths, and how much it would have found from the 2D joints alone, is measured below. 2D joints alone bring all of the gain behind the weak network and most of it behind the full one.
#
# **Needs.** The stand-in `studio` and two networks, `table1/volume2/weak` and `table1/volume2/full`. They are trained here if no run of them is found. The component itself is trained here, five times. All numbers and figures of this notebook are those of the first seed.
#
# **Time on a CPU.** smoke: seconds. quick: a minute or two a network of Table 1, and two for the rest. desk: its part of the about two hours that all notebooks take together. paper: days on a GPU for the networks, less than an hour for the component.

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
data: str = ""  # folder of real data sets in place of stand-ins, and of motion capture

# %%
from dataclasses import asdict, replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image

from ordlib import experiments, metrics, plots, reconstruction
from ordlib.data import crop
from ordlib.experiments import intervals, published, tables
from ordlib.experiments.components import (
    CONFIGS,
    component,
    fine_tune,
    fit_component,
    training_skeletons,
)
from ordlib.experiments.evaluation import lift
from ordlib.networks import (
    PoseEstimator,
    ReconstructionNet,
    parameter_count,
    reconstruct,
    reconstruction_input,
)
from ordlib.reconstruction import CLEAN, NoiseModel
from ordlib.relations import ordinal_accuracy, relations_from_depth
from ordlib.skeleton import H36M17
from ordlib.training import Budget

# %%
plots.use_style()
ROWS = ["table1/volume2/weak", "table1/volume2/full"]
setting = experiments.Setting(scale, seed, data, device)
experiments.train(ROWS, setting.seeds())

# %% [markdown]
# ## The component (Figure 3a)
#
# Input: $N$ positions $(x_n, y_n)$ and $N$ depths $z_n$. Output: $N$ joints in 3D. Between them are two bilinear units, as in Martinez et al. [25]: two layers of 1024 values with batch norm, ReLU and dropout, around an identity.
#
# Neither input has a unit that can be trusted. Pixels depend on the crop, and the depths of a ConvNet trained on relations have a scale of their own. So `reconstruction_input` takes the unit away: positions relative to the pelvis, divided by the largest coordinate, and depths relative to the pelvis, divided by their root mean square over the joints of this person. Training and prediction both go through this one function. The price is that the input does not say how deep a pose is as a whole; the 2D pose and the lengths of limbs have to tell.
#
# A scale for each network (its mean spread) in place of one for each person would tell how deep a pose is, but the spread of a weak network says little about that.

# %% tags=["nbval-check-output"]
with torch.device("meta"):
    full_size = ReconstructionNet()
assert parameter_count(full_size) == (51 + 1) * 1024 + 4 * (1024 + 1) * 1024 + 5 * 2048 + 1025 * 51
print("parameters at full size:", parameter_count(full_size))

points, depth = torch.rand(1, 17, 2), torch.rand(1, 17)
seen = reconstruction_input(points, depth)
torch.testing.assert_close(seen, reconstruction_input(points * 64 + 7, depth * 250 - 40))
print(
    "values it sees:",
    seen.shape[1],
    "- largest coordinate:",
    round(seen[:, :34].abs().max().item(), 4),
)

# %% [markdown]
# ## Training data without images
#
# Poses of the training people are put on the ground, turned any way, and projected by a random camera of their own. The source is the built-in prior, or BVH files in the folder that the parameter `data` names. `skeletons_from_poses` takes any other poses in millimetres. Test people and the domain `shift` are refused.

# %%
folder = setting.folder
place = setting.device
config = CONFIGS[scale]
skeletons = training_skeletons(config.skeletons, seed, motion=setting.motion)
for refused in ({"split": "test"}, {"domain": "shift"}):
    try:
        training_skeletons(1, seed, **refused)
    except ValueError as error:
        print(error)
    else:
        raise AssertionError(f"{refused} was not refused")
figure, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
for ax, pose in zip(axes, skeletons.relative_mm, strict=False):
    plots.draw_skeleton(ax, pose)
    ax.set_axis_off()
plots.save_figure(figure, folder / "figures" / "07_skeletons.png")
plt.show()

# %% [markdown]
# ## Noise that keeps the order and not the values
#
# The paper says of the depths: *a noisy version, such that the majority of their ordinal relations are preserved, while their values might not necessarily match*. It does not say how. Here is what is done to a pose before its depths are read:
#
# 1. it is **turned** at random (by some 20 degrees in *chosen*), since an image tells only roughly which way a person faces;
# 2. a random **error** is added to the step in depth along each bone, and now and then it gets the other **sign**: the projection of a bone does not tell whether it points to the camera or away from it. Steps add up, so hands and feet suffer most;
# 3. the depths are **bent**, so that far joints are compressed, and each gets a **factor** of its own: their values go, their order stays for the most part.
#
# A small ConvNet also misses in 2D, which the paper's large one hardly did. So scales below `paper` add noise to the 2D positions as well. This is a departure. The numbers were chosen on the held-out subject S8, behind ConvNets of mixed training that were not trained on S8 (rows like `choice/mixed/...`, with images of 64 x 64 pixels and 4,000 steps from scratch, the component trained for 2,500 on the other subjects): *chosen* keeps about as many relations as such ConvNets do, and gave 160 mm where *coarse* gave 161 and 2D noise of twice the size 164. So the choice matters little; these trials are not kept as rows.

# %%
LEVELS = {
    "too clean": replace(CLEAN, keypoint=config.noise.keypoint),
    "chosen": config.noise,
    "coarse": NoiseModel(35.0, 80.0, 0.1, 0.5, (0.6, 1.0), config.noise.keypoint),
    "too coarse": NoiseModel(60.0, 160.0, 0.3, 1.0, (0.2, 1.0), config.noise.keypoint),
    "2D alone": replace(config.noise, blank=1.0),
}
pd.DataFrame({name: asdict(noise) for name, noise in LEVELS.items()})

# %% [markdown]
# ## Does the noise look like a ConvNet?
#
# Measured on test images and on as many skeletons: the share of ordered pairs that are kept, the correlation with the true depths within a person, how much of the true spread a joint shows (its slope on the true depth, both over their root mean square in that person), and the mean absolute value. Nothing is chosen from this table. Look at the slopes: where those of hips and wrists differ, no single scale gives a network's depths the values of a person. Compare each network's two slopes with each other and with those of the noise. Compare the share of relations that *chosen* keeps with those of the two networks.

# %%
test = setting.load("studio", "test")
truth_mm = experiments.run(ROWS[0], setting).truth().joints_mm
runs = {row: experiments.run(row, setting) for row in ROWS}
convnets = {row.split("/")[-1]: run.predictions() for row, run in runs.items()}
draws = torch.Generator().manual_seed(seed)
some = skeletons.relative_mm[: len(test)]
depths = {f"ConvNet, {name}": (p["depth"], truth_mm[..., 2]) for name, p in convnets.items()}
for name in ("too clean", "chosen", "coarse", "too coarse"):
    depths[f"noise, {name}"] = (reconstruction.noisy_depth(some, LEVELS[name], draws), some[..., 2])


# %%
def describe(depth: torch.Tensor, true_depth: torch.Tensor) -> dict[str, float]:
    """How depths in any unit relate to the true ones; the pelvis is left out."""
    kept = ordinal_accuracy(depth, relations_from_depth(true_depth)).nanmean().item()
    z, t = (
        d / d.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9) for d in (depth, true_depth)
    )
    z, t = z[:, 1:], t[:, 1:]
    centred = [d - d.mean(1, keepdim=True) for d in (z, t)]
    within = torch.nn.functional.cosine_similarity(*centred, dim=1).mean().item()
    slope = (z * t).sum(0) / t.square().sum(0)
    ends = [H36M17.index(f"{side}_wrist") - 1 for side in ("left", "right")]
    hips = [H36M17.index(f"{side}_hip") - 1 for side in ("left", "right")]
    return {
        "relations kept": kept,
        "correlation within a person": within,
        "slope of hips": slope[hips].mean().item(),
        "slope of wrists": slope[ends].mean().item(),
        "mean of |z|": z.abs().mean().item(),
    }


measured = pd.DataFrame({name: describe(*pair) for name, pair in depths.items()}).T
assert measured.loc["noise, too clean", "relations kept"] == 1
kept = measured["relations kept"]
assert kept["noise, too coarse"] < kept["noise, chosen"] < kept["noise, too clean"]
assert kept["noise, chosen"] > 0.5  # the majority
tables.write_csv(measured.rename_axis("depths").reset_index(), folder / "tables" / "07_noise.csv")
measured.round(3)

# %% [markdown]
# The histograms show the values as the component sees them, all joints but the pelvis. Grey: true depths. Left, the two ConvNets; right, the levels of noise.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
bins = np.linspace(-3, 3, 61)
colours = {"ConvNet, weak": plots.WEAK, "ConvNet, full": plots.FULL, "noise, too clean": "#1f78b4"}
colours["noise, coarse"] = "#e7298a"
colours |= {"noise, chosen": "#d95f02", "noise, too coarse": "#000000"}
for ax, kind in zip(axes, ("ConvNet", "noise"), strict=True):
    ax.set_title(kind)
    values = reconstruction_input(some[..., :2], some[..., 2])[:, 35:]
    ax.hist(values.flatten(), bins, density=True, color="#dddddd", label="true depths")
    for name, (depth, _) in depths.items():
        if name.startswith(kind):
            values = reconstruction_input(depth[..., None].expand(-1, -1, 2), depth)[:, 35:]
            style = {"histtype": "step", "color": colours[name], "label": name, "linewidth": 1.4}
            ax.hist(values.flatten(), bins, density=True, **style)
    ax.set_xlabel("depth over its root mean square")
    ax.legend()
axes[0].set_ylabel("density")
plots.save_figure(figure, folder / "figures" / "07_values.png")
plt.show()

# %% [markdown]
# ## Training
#
# The loss is Eq. 6, the squared distance of all joints. The paper: RMSprop, 2.5e-4, batch 64, 200,000 steps. Short budgets take another optimiser, a higher learning rate, less dropout and a narrower network. The learning rate and the steps of `desk` were chosen by the error on fresh skeletons of the training people, in trials that are not kept; `quick` has fewer steps to save time.

# %%
fields = ["width", "dropout", "skeletons", "steps", "batch_size", "optimizer", "learning_rate"]
fields += ["schedule"]
pd.DataFrame(
    {n: {f: getattr(CONFIGS[n], f) for f in fields} for n in dict.fromkeys([scale, "paper"])}
)

# %% [markdown]
# One component is trained for each level. The one on 2D positions alone sees depths that are always zero; it is what [25] does and shows what ordinal depths add. The same seed gives the same weights, to the bit, which is asserted with the smallest size.

# %%
components = {
    name: fit_component(skeletons, replace(config, noise=noise), seed, place).cpu()
    for name, noise in LEVELS.items()
    if name != "chosen"
}
components["chosen"] = component(setting)
twice = [fit_component(skeletons, CONFIGS["smoke"], seed).state_dict() for _ in range(2)]
assert all(torch.equal(twice[0][key], twice[1][key]) for key in twice[0])

# %% [markdown]
# ## Too clean, too coarse
#
# MPJPE in mm. The first two columns are skeletons of the training people that the component has not seen: with true depths and 2D, and with the chosen noise in both. The others are test images with the 2D joints and depths of a ConvNet, or with true 2D joints and the ConvNet's depths.
#
# A component that was trained on clean depths believes them: it is by far the best where they are true and by far the worst on noisy skeletons. Behind a ConvNet, 2D errors can hide this: compare each ConvNet's column with that for true 2D. One that was trained on coarse depths hardly uses them. Compare *chosen* with *2D alone* in the first column, too: if it is not lower, this component gains nothing even from true depths.

# %%
fresh = training_skeletons(2000, seed + 1, motion=setting.motion)
points, pose = fresh.keypoints_px, fresh.relative_mm
draws = torch.Generator().manual_seed(seed)
noisy = reconstruction.noisy_depth(pose, LEVELS["chosen"], draws)
batches = [test.batch(part) for part in np.array_split(np.arange(len(test)), -(-len(test) // 256))]
true_px, intrinsics = (
    torch.cat([getattr(b, k) for b in batches]) for k in ("keypoints_px", "intrinsics")
)
cases = {"skeletons, true depths": (points, pose[..., 2], pose)}
blurred = reconstruction.noisy_keypoints(points, LEVELS["chosen"], draws)
cases["skeletons, noisy"] = (blurred, noisy, pose)
for name, p in convnets.items():
    cases[f"{name} ConvNet"] = (p["keypoints_px"], p["depth"], truth_mm)
    cases[f"{name} ConvNet, true 2D"] = (true_px, p["depth"], truth_mm)


# %%
def component_errors(level: str, points: torch.Tensor, depth: torch.Tensor, truth: torch.Tensor):
    """Metrics of a component by sample; the one on 2D alone is given no depths."""
    given = torch.zeros_like(depth) if level == "2D alone" else depth
    return reconstruction.errors(components[level], points, given, truth)


levels = pd.DataFrame(
    {
        case: {name: component_errors(name, *values)["mpjpe"].mean().item() for name in LEVELS}
        for case, values in cases.items()
    }
)
if scale != "smoke":
    clean = levels["skeletons, true depths"]
    assert clean["too clean"] < clean["chosen"]
tables.write_csv(levels.rename_axis("noise").reset_index(), folder / "tables" / "07_levels.csv")
levels.round(1)

# %%
for name in convnets:
    for given in (f"{name} ConvNet", f"{name} ConvNet, true 2D"):
        gain = levels.loc["2D alone", given] - levels.loc["chosen", given]
        print(
            f"{given}: its depths {'help by' if gain > 0 else 'cost'} {abs(gain):.1f} mm against 2D alone"
        )

# %% [markdown]
# Before the depths are blamed, look at the second column. A component that has learned all there is to learn should not be worse on its own noise than one that sees no depths at all. Where *chosen* is above *2D alone* there, it has not learned to use its depths well; too short a training is the first suspect.
#
# What else could make depths cost something? The component weighs them by the noise that it was trained with, in which the errors of a pose are independent of what its 2D joints leave open. A ConvNet may err most where the 2D joints leave the depth open, and its errors hang together over a whole limb or body; then its depths deserve less trust there than the noise says. And the skeletons here are poses in the same actions as the images, though of other people, so that 2D joints alone say more about depth than they would in other actions.
#
# ## With and without the component
#
# How much of the gain is mere calibration? The paper's argument for the component is that depths *do not typically match the exact metric depths*. That alone could be mended by a better scale. So the ladder has these rungs, for each ConvNet:
#
# - **ConvNet**: the depth scale and the root from mean limb lengths, as in Table 1;
# - **oracle scale**: one factor for all depths, by least squares to the true ones of the test set;
# - **oracle joint scales**: one factor for each joint. They fit depths best, which is not always the smallest MPJPE;
# - **2D alone** and **component**: Section 3.4, without any truth.


# %%
def calibrated(p: dict[str, torch.Tensor], by_joint: bool) -> torch.Tensor:
    """ConvNet poses after the best scale for true depths, one or one for each joint."""
    over = [0] if by_joint else [0, 1]
    z, t = p["depth"], truth_mm[..., 2]
    factor = (z * t).sum(over) / z.square().sum(over).clamp_min(1e-9)
    return lift(p["keypoints_px"], z * factor, intrinsics, test.limb_lengths_mm)


judges = (metrics.mpjpe, metrics.reconstruction_error, metrics.pck3d)
ladder = {}
for name, p in convnets.items():
    poses = {"ConvNet": p["joints_mm"], "oracle scale": calibrated(p, False)}
    poses["oracle joint scales"] = calibrated(p, True)
    for rung, found in poses.items():
        ladder[name, rung] = {j.__name__: j(found, truth_mm) for j in judges}
    for rung, level in (("2D alone", "2D alone"), ("component", "chosen")):
        ladder[name, rung] = component_errors(level, *cases[f"{name} ConvNet"])

# %%
table = pd.DataFrame(
    {key: {m: v.mean().item() for m, v in values.items()} for key, values in ladder.items()}
).T
table["pck3d"] *= 100
table.index.names = ["supervision", "rung"]
tables.write_csv(table.reset_index(), folder / "tables" / "07_reconstruction.csv")
table.rename(
    columns={"mpjpe": "MPJPE (mm)", "reconstruction_error": "rec. error (mm)", "pck3d": "PCK3D (%)"}
).round(1)

# %% [markdown]
# The gain as a ratio of errors, paired over test images, with its 95% interval over test images alone, as this is one seed. The published number is from Table 2, lines 3 and 5, where the ConvNet was trained on more data and is far better.

# %%
printed = published.table(2).set_index("training")["avg_error_mm"]
ours = printed["Human3.6M + 2D keyp + Ord + Rec"] / printed["Human3.6M + 2D keyp + Ord"]
print(f"published, with over without the component: {ours:.3f}")
for name in convnets:
    for below in ("ConvNet", "oracle joint scales", "2D alone"):
        pair = [ladder[name, rung]["mpjpe"].double().numpy()[None] for rung in ("component", below)]
        ratio, low, high = intervals.ratio(*pair)
        print(f"{name}: component over {below}: {ratio:.3f}, {low:.3f} to {high:.3f}")

# %% [markdown]
# Is the pose coherent? Two signs of it need no second opinion: limbs have the length of the person's, and left ones that of right ones. The table gives the mean error of a bone's length and the mean difference between left and right. The figure gives the mean length of right and middle bones over the true one, 1 is right. A component that minimises a squared error plays safe where it is unsure, and a mean of several directions is short: see the forearms, and which other bones are short.


# %%
def bone_lengths(pose: torch.Tensor) -> torch.Tensor:
    parents, children = (list(ends) for ends in zip(*H36M17.bones, strict=True))
    return (pose[:, children] - pose[:, parents]).norm(dim=-1)


poses = {}
for name, p in convnets.items():
    with torch.no_grad():
        found = reconstruct(components["chosen"], p["keypoints_px"], p["depth"])
    poses |= {f"{name}: ConvNet": p["joints_mm"], f"{name}: component": found}
true_lengths, flip = bone_lengths(truth_mm), list(H36M17.flip)
limbs = {}
for name, pose in poses.items():
    lengths, other = bone_lengths(pose), bone_lengths(pose[:, flip])
    limbs[name] = {"length error (mm)": (lengths - true_lengths).abs().mean().item()}
    limbs[name]["left against right (mm)"] = (lengths - other).abs().mean().item()
limbs = pd.DataFrame(limbs).T
if scale != "smoke":
    for name in convnets:
        assert (limbs.loc[f"{name}: component"] < limbs.loc[f"{name}: ConvNet"]).all()
limbs.round(1)

# %%
bones = [(H36M17.joints[end], end - 1) for _, end in H36M17.bones]
bones = [(name.removeprefix("right_"), k) for name, k in bones if not name.startswith("left_")]
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for (name, pose), marker in zip(poses.items(), ("o", "s", "o", "s"), strict=True):
    ratio = (bone_lengths(pose).mean(0) / true_lengths.mean(0))[[k for _, k in bones]]
    colour = plots.WEAK if name.startswith("weak") else plots.FULL
    filled = colour if name.endswith("component") else "none"
    ax.plot(ratio, marker, color=colour, markerfacecolor=filled, label=name)
ax.axhline(1, color=plots.PUBLISHED, linewidth=1)
ax.set_xticks(range(len(bones)), [f"to {name.replace('_', ' ')}" for name, _ in bones], rotation=30)
ax.set_ylabel("mean length over the true one")
ax.legend(ncols=2)
plots.save_figure(figure, folder / "figures" / "07_limbs.png")
plt.show()

# %% [markdown]
# ## Joined with a ConvNet (Figure 3b)
#
# `PoseEstimator` puts the two one after the other. Its output is the pose in millimetres, averaged over the image and its mirror image; no camera and no depth scale enter. All of it is differentiable: the position is read from a heatmap by a parabola and the depth as a mean. Below, a pose changes the first layer of the ConvNet, and the joined module gives what the two gave apart.

# %%
networks = {name: runs[f"table1/volume2/{name}"].network() for name in convnets}
size = runs[ROWS[0]].scale.image_size
joined = {n: PoseEstimator(net, components["chosen"], size).eval() for n, net in networks.items()}
with torch.no_grad():
    torch.testing.assert_close(
        joined["weak"](batches[0].images[:16]), poses["weak: component"][:16], atol=1.0, rtol=0.01
    )
joined["weak"](batches[0].images[:2]).square().mean().backward()
slope = next(networks["weak"].parameters()).grad
assert slope.isfinite().all() and slope.abs().sum() > 0

# %% [markdown]
# One call takes a photograph, here the test image with the median error, and a box around the person. Left, the 2D joints of the ConvNet; pale is the truth.

# %%
errors = (poses["weak: component"] - truth_mm).norm(dim=-1).mean(-1)
middle = int(errors.argsort()[len(errors) // 2])
image = test.batch([middle]).images[0]
photo = Image.fromarray(image.permute(1, 2, 0).numpy())
with torch.no_grad():
    pose = joined["weak"](crop(photo, (size / 2, size / 2, size), size)[0][None])[0]
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
plots.show_image(axes[0], image)
plots.draw_joints(axes[0], convnets["weak"]["keypoints_px"][middle])
for ax, side in zip(axes[1:], (False, True), strict=True):
    plots.draw_skeleton(ax, truth_mm[middle], side, alpha=0.3)
    plots.draw_skeleton(ax, pose, side)
    ax.set_title(f"{'from the side' if side else 'from the camera'}: {errors[middle]:.0f} mm")
plots.save_figure(figure, folder / "figures" / "07_estimator.png")
plt.show()

# %% [markdown]
# ## Fine-tuning both together
#
# The joined module can be trained end to end with Eq. 6 on images with 3D truth. This is an option that the paper mentions and does not measure. Weak supervision has no 3D truth, so it is done for the full network only. The ConvNet sees some more images on the way, so part of any gain may be plain longer training. Compare the columns: if MPJPE falls and the reconstruction error does not, the gain is in size and direction of the pose, not in its shape.

# %%
budget = max(4, runs[ROWS[1]].scale.steps // 8)
settings = Budget(budget, optimizer="adam", learning_rate=3e-4, schedule="cosine")
train_set = setting.load("studio", "train")
tuned = fine_tune(joined["full"], train_set, settings, seed=seed, device=place).cpu()
with torch.no_grad():
    found = torch.cat([tuned(batch.images) for batch in batches])
after = {j.__name__: j(found, truth_mm) for j in judges}
ratio = intervals.ratio(
    *(v["mpjpe"].double().numpy()[None] for v in (after, ladder["full", "component"]))
)
print(f"{budget} steps; MPJPE after over before: {ratio[0]:.3f}, {ratio[1]:.3f} to {ratio[2]:.3f}")
before = {m: v.mean().item() for m, v in ladder["full", "component"].items()}
both = pd.DataFrame(
    {"apart": before, "fine-tuned": {m: v.mean().item() for m, v in after.items()}}
).T
assert np.isfinite(both).all(axis=None)
both.round(3)

# %% [markdown]
# ## Summary
#
# - The component learns from skeletons alone, and sees 2D joints and depths without their units, so any ConvNet can stand before it.
# - The noise decides how far depths are trusted: trained too clean, the component believes wrong ones; too coarse, it ignores right ones.
# - What a better scale would bring, what 2D joints alone bring and what depths add are told apart by the ladder; 2D joints alone bring all of the gain behind the weak network and most of it behind the full one.
# - ConvNet and component are one differentiable module, with one call from image to millimetres.
#
# ## Try it
#
# - Set `data` to a folder of BVH files: images and skeletons then come from its clips.
# - Train the component on `domain="wild"`, whose poses are broader. What does it cost on `studio`?
# - Set `blank=0.3` in the noise: depths are withheld now and then. Does the component trust them less?
