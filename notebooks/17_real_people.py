# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 17 Real people: Human3.6M at the level of poses
#
# **Question.** All other notebooks run on rendered people. What of the paper holds on real ones?
#
# Human3.6M's images are licensed, but many people hold its poses: motion capture, cameras, and the 2D joints that a detector saw in the films. They are enough for the annotation procedure, for ordinal against full supervision, for annotators' errors and for the reconstruction component, with the paper's subjects (S1, 5, 6, 7, 8 to learn from, S9 and S11 to test on) at its 10 frames a second. A perceptron that sees 2D joints stands in for the ConvNet. **The answer stands below the next cell, built from its numbers.**
#
# **Needs.** `data`: a folder with the files of 3d-pose-baseline (`S9/MyPoses/3D_positions`, `S9/StackedHourglass`, ...) or of VideoPose3D (`data_3d_h36m.npz`, `data_2d_h36m_*.npz`): `make reproduce DATA=folder ONLY=17`. Without them the notebook shows the recorded results. **Time on two CPU cores.** About 15 minutes with the files, seconds without.

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
data: str = ""  # folder with Human3.6M's poses

# %%
import matplotlib.pyplot as plt
from IPython.display import Markdown

from ordlib import plots
from ordlib.experiments import Setting, real_people

ROLES = []  # runs with whatever real data there are

plots.use_style()
setting = Setting(scale, seed, data or None, device)
study = real_people.Study(setting)
Markdown(f"**{study.origin}**")

# %% [markdown]
# ## How many questions does an ordering take?
#
# Section 4.1: roughly 17 questions order the 14 joints of an image, in place of 91. Below, on test frames of Human3.6M, for an annotator who never errs and for a simulated person who does (notebook 02). The interval resamples the takes: frames of one performance are not independent.

# %%
questions = study.questions()
shown = questions.set_index(["strategy", "annotator"]).round(2)
shown

# %% [markdown]
# `kinematic` asks along the limbs, `informed` asks what a prior over poses leaves open (learned from the stand-in `wild`, not from Human3.6M). The last column is the share of relations that differ from the true ones.

# %%
figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
bars = questions[questions["strategy"] != "all"]
for offset, (who, part) in enumerate(bars.groupby("annotator", sort=False)):
    places = [k + 0.35 * offset for k in range(len(part))]
    error = [part["questions"] - part["low"], part["high"] - part["questions"]]
    ax.barh(places, part["questions"], 0.33, xerr=error, label=who)
ax.set_yticks([k + 0.17 for k in range(len(part))], part["strategy"])
ax.axvline(17, color="black", linestyle=":")
ax.set(xlabel="questions an image; dotted: the paper's 17")
ax.legend(frameon=False)
study.save(figure, "questions")
plt.show()

# %% [markdown]
# ## Ordinal against full supervision
#
# The same perceptron learns depths from the same detections three ways: from exact depths (squared error), from relations by Eq. 2,
#
# $$\mathcal{L}_{rank} = \sum_{i<j} \begin{cases} \log(1+e^{z_i-z_j}) & r_{ij}=+1 \\ \log(1+e^{z_j-z_i}) & r_{ij}=-1 \\ (z_i-z_j)^2 & r_{ij}=0 \end{cases}$$
#
# and by the likelihood with ties of notebook 01. `true_root` is the mean joint error in mm at the detected 2D joints with the true depth of the pelvis; `mpjpe` uses no truth at all; `scale` is the depth scale from mean limb lengths over the best one. **The paper's Table 1, depth prediction, has a ratio of 1.050.**

# %%
lifting = study.lifting()
lifting.set_index("supervision").round(3)

# %% [markdown]
# `order14` and `depth14` are of the 14 joints that annotators order, at the best scale: the rows with 14 joints know no others. The ratio is to `full` in `true_root`, with two intervals: over the takes of the two test people, and over seeds (Student's t). Both are narrow, and neither says how two *other* people would do.

# %%
figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
rows = lifting[(lifting["supervision"] != "full") & lifting["ratio"].notna()].iloc[::-1]
error = [rows["ratio"] - rows["takes_low"], rows["takes_high"] - rows["ratio"]]
ax.errorbar(rows["ratio"], rows["supervision"], xerr=error, fmt="o", color=plots.WEAK)
ax.axvline(1.0, color="black", linewidth=0.8)
ax.axvline(84.24 / 80.23, color="black", linestyle=":")
ax.set(xlabel="error over that of full supervision (dotted: paper, Table 1)")
study.save(figure, "lifting")
plt.show()

# %% [markdown]
# ## The reconstruction component
#
# Section 3.4: a network that learns from skeletons alone makes a coherent pose of 2D joints and ordinal depths. In training, its depths are noisy. The default noise is made for ConvNets that keep some 83 percent of the order; these perceptrons keep more, so beside it stands noise that *follows*: scaled until it leaves as much order as the perceptron keeps on its training films. The rival is [25]: the same network, which sees detected 2D joints and no depths. Mean over seeds, mm; `aligned` is the reconstruction error.

# %%
component = study.component()
component.groupby(["depths", "component"])[["mpjpe", "aligned"]].mean().round(1)

# %% [markdown]
# ## What the stand-in has in common with real people
#
# The same functions on both (`ordlib.experiments.facts`). The stand-in `studio` plays Human3.6M in all other notebooks.

# %%
facts = study.facts()
facts.set_index("fact").round(1)

# %% [markdown]
# ## Known defects of the data
#
# In parts of Greeting, SittingDown and Waiting, S9's motion capture is off the films. The detector's error by action and person, in percent of its box, shows it: S9 stands out there and nowhere else as much.

# %%
defects = study.defects().set_index("action")
defects.assign(ratio=defects["S9"] / defects["S11"]).round(2).sort_values("ratio").iloc[::-1]

# %%
clean = study.without_defects()
Markdown(
    f"Without S9's three actions, ordinal supervision costs {100 * (clean['ratio'] - 1):.1f} percent"
    f" in place of {100 * (lifting.set_index('supervision').loc['ordinal', 'ratio'] - 1):.1f}."
)

# %% [markdown]
# ## What holds

# %%
by = lifting.set_index("supervision")
asked = questions.set_index(["strategy", "annotator"])
pose = component.groupby(["depths", "component"])["mpjpe"].mean()
speed = asked.loc[("all", "a person"), "minutes"] / asked.loc[("informed", "a person"), "minutes"]
Markdown(
    f"""
- **17 questions.** `kinematic` takes {asked.loc[("kinematic", "never errs"), "questions"]:.1f} and `informed` {asked.loc[("informed", "never errs"), "questions"]:.1f}; for a person who errs {asked.loc[("kinematic", "a person"), "questions"]:.1f} and {asked.loc[("informed", "a person"), "questions"]:.1f}. Annotation by `informed` is {speed:.1f} times faster than all pairs.
- **Ordinal is close to full.** It costs {100 * (by.loc["ordinal", "ratio"] - 1):.1f} percent (published 5.0); the likelihood with ties {100 * (by.loc["ordinal, with ties", "ratio"] - 1):.1f}. The order itself is as good: {by.loc["ordinal", "order"]:.1f} percent of pairs against {by.loc["full", "order"]:.1f}.
- **Contradicting answers do no harm.** With 10 percent of the answers turned round it costs {100 * (by.loc["ordinal, 10 % flipped", "ratio"] - 1):.1f} percent, with 20 percent {100 * (by.loc["ordinal, 20 % flipped", "ratio"] - 1):.1f}.
- **Orderings by people** (14 joints, some 18 questions an image, errors and all) leave a depth error of {by.loc["ordinal, 14 joints, people's orderings", "depth14"]:.1f} mm, all 91 true relations {by.loc["ordinal, 14 joints", "depth14"]:.1f}.
- **Few images cost ordinal supervision more**: with a tenth of them it is {100 * (by.loc["ordinal, 10 % of the images", "ratio"] / by.loc["full, 10 % of the images", "ratio"] - 1):.1f} percent behind full supervision with as few.
- **The component** has {pose["ordinal", "noise that follows"]:.1f} mm behind ordinal depths with noise that follows, {pose["ordinal", "noise of the ConvNets"]:.1f} with the default noise; lifting without depths has {pose["2D alone", "lifting [25]"]:.1f}. Order that was itself read from 2D adds little to lifting 2D; the paper's order comes from pixels.
"""
)
