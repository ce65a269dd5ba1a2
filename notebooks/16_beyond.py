# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 16 Beyond the paper: how much annotation, how good, and which loss?
#
# **Questions.** How does the error fall with the annotation budget: images, pairs, questions per image? What do annotators' errors and their tie threshold cost? Is Eq. 1 the loss to use, or a likelihood that knows the threshold, or one of whole orderings? Do ordinal answers beat limb lengths, which cost nothing, and do they add up?
#
# **Answer.** Each study ends in a sentence that the code forms from its numbers; they are collected in the summary.
#
# **Needs** no image for the studies: small networks from 2D joints to depths, which it trains. Beside them it shows three ConvNets of notebooks 10 and 12, and trains those that are missing (below `paper` also the one that they begin with). **Time** (one CPU core, without the ConvNets): `smoke` seconds; `quick` two to four minutes; `desk` and `paper` seven to twenty minutes.

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
data: str = ""  # folder of real data sets in place of stand-ins, and of motion capture

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from ordlib import experiments, plots
from ordlib.experiments import beyond, intervals, tables
from ordlib.experiments.beyond import CHOSEN, Study, interval
from ordlib.training import single_thread

plots.use_style()
ROWS = ["table2/keypoints", "table2/ordinal", "table4/limbs"]
setting = experiments.Setting(scale, seed, data, device)
experiments.train(ROWS, setting.seeds())
folder = setting.folder

# %% [markdown]
# ## What a small network can stand for, and what it cannot
#
# A ConvNet takes from half a minute to days to train, and each study below needs some ten trainings with five seeds each. So the studies use a *lifter*: a perceptron that gets the 2D joints of a person (with noise) and gives depths. It is trained as in the mixed setting of Section 4.2, with the halves of our networks: half of each batch are people of `studio` with exact depths, half are people of `wild`, of whom only 2D joints and ordinal answers are known. It is judged on people of `shift`, whom it never sees.
#
# - **It can** say what labels and losses do to depths: it has the same labels, the same losses, the same gap between narrow training poses with depth and broad ones without. It is quick enough for intervals over seeds.
# - **It cannot** see. Shading, overlap and size in the image are evidence for depth that it lacks; 2D joints leave much of the depth open, and that part of its error no annotation mends. It learns no 2D, so it says nothing of what `wild` images do for the positions. It has few weights, so it needs fewer people than a ConvNet needs images: where its curves flatten is no advice on how many images to buy. Read directions and orders of effects, not millimetres.
#
# The annotator is `annotation.PERSON` of notebook 02, an assumption of this project, who orders all 14 joints by the `kinematic` strategy. Everything is drawn anew for each seed: people, answers, weights, batches. Settings share the draws of a seed, so differences are taken within seeds. All intervals are 95% by Student's t over seeds; they cover what another sample of people and another training would change, not another network or another kind of annotator.

# %%
world = beyond.make_world(setting)
PEOPLE, SEEDS = world.size.people, world.size.seeds
NONE, EQ1, PAIRS, LISTS, LIMBS = (
    Study(), *(CHOSEN[name] for name in ("ranking", "likelihood", "listwise", "limbs")),
)  # fmt: skip
COLOURS = {"Eq. 1": plots.WEAK, "likelihood": "#00838f", "listwise": "#d95f02"}
COLOURS["Eq. 1, unit follows"] = "#c2a5cf"
METRICS = ["mpjpe", "depth_error", "accuracy", "spread", "correlation", "factor"]
SPOKEN = {
    "mpjpe": ("MPJPE", " mm", 1),
    "depth_error": ("the depth error", " mm", 1),
    "accuracy": ("ordinal accuracy", " points", 100),
}
found: dict[Study, dict[str, np.ndarray]] = {}
sentences: list[str] = []


def judge(setting: Study) -> dict[str, np.ndarray]:
    """Results of a setting, one number a seed; each setting is trained once."""
    if setting not in found:
        with single_thread("cpu"):
            networks = beyond.train(world, setting)
        held_out = {"held_out": beyond.held_out_accuracy(world, networks)}
        found[setting] = beyond.measure(world, networks) | held_out
    return found[setting]


def change(after: Study, before: Study, metric: str = "mpjpe") -> tuple[float, float, float]:
    """Mean difference within seeds, and its interval."""
    return interval(judge(after)[metric] - judge(before)[metric])


# %%
def study(name: str, settings: dict[str, Study]) -> pd.DataFrame:
    """Train and judge settings, write a table of all numbers, and give one to read."""
    records = [
        (label, metric, *interval(judge(setting)[metric]), SEEDS)
        for label, setting in settings.items()
        for metric in METRICS
    ]
    columns = ["setting", "metric", "mean", "ci_low", "ci_high", "seeds"]
    table = pd.DataFrame(records, columns=columns)
    tables.write_csv(table, folder / "tables" / f"16_{name}.csv")
    table["text"] = [
        f"{mean:.3g} [{low:.3g}, {high:.3g}]"
        for mean, low, high in table[columns[2:5]].itertuples(index=False)
    ]
    wide = table.pivot(index="setting", columns="metric", values="text")
    return wide.loc[list(settings), METRICS].rename_axis(index=None, columns=None)


def say(text: str) -> None:
    """Print a sentence and keep it for the summary."""
    sentences.append(text)
    print(text)


# %%
def effect(after: Study, before: Study, metric: str = "mpjpe") -> str:
    """A change in words, and whether its sign is sure."""
    name, unit, factor = SPOKEN[metric]
    mean, low, high = (factor * value for value in change(after, before, metric))
    if low <= 0 <= high:
        return f"no sure change of {name}, {mean:+.2g}{unit} [{low:+.2g}, {high:+.2g}]"
    low, high = sorted((abs(low), abs(high)))
    return f"{name} {'rises' if mean > 0 else 'falls'} by {abs(mean):.2g}{unit} [{low:.2g}, {high:.2g}]"


def curve(ax, places, settings, name, metric="mpjpe", **style) -> None:
    """Means over seeds with their interval as a band."""
    mean, low, high = np.array([interval(judge(s)[metric]) for s in settings]).T
    ax.plot(places, mean, "o-", markersize=4, label=name, **style)
    ax.fill_between(places, low, high, alpha=0.15, linewidth=0, color=style.get("color"))


def level(ax, setting: Study, name: str, metric: str = "mpjpe") -> None:
    """A setting to compare with, as a dashed line."""
    ax.axhline(judge(setting)[metric].mean(), color="black", linestyle="--", linewidth=0.8)
    ax.annotate(name, (0.02, judge(setting)[metric].mean()), xycoords=("axes fraction", "data"),
                va="bottom", fontsize=7)  # fmt: skip


# %% [markdown]
# ## The settings, and how they were chosen
#
# Four ways to supervise the people of `wild`, each with a weight beside the squared error on `studio`, and a unit (Eq. 1) or a slope (likelihoods):
#
# - **Eq. 1**, `losses.ranking_loss`, on all pairs that follow from an ordering;
# - **likelihood**, `likelihoods.tie_likelihood_loss` of notebook 01, on the same pairs. It knows that a tie means less than 100 mm;
# - **listwise**, `likelihoods.listwise_loss`: the probability of the ordering as a whole. Joints are chosen front to back, groups of tied ones at once, from those that remain (Plackett and Luce; with ties the Davidson-Luce model of Firth, Kosmidis and Turner, 2019). It knows the 100 mm too, and counts each joint once where pairs count it 13 times;
# - **limbs**, `losses.limb_loss` of Zhou et al. [64]: lengths of limbs that belong together should be in proportion. It needs no annotator.
#
# Weights and widths were chosen once, in a world of another seed (4,000 people, 600 steps), from 5 to 16 settings a way, by the share of held-out answers of `wild` that the network has in the right order; `shift` had no part in it. The columns on the left show that choice again, with weights three times smaller and larger; a choice is as good as its neighbours allow. Ordinal answers cannot see the *scale* of depths, so nothing has been fitted to it.

# %%
ways = {"Eq. 1": EQ1, "likelihood": PAIRS, "listwise": LISTS, "limbs": LIMBS}
rows = {}
for name, way in ways.items():
    held = []
    for factor in (1 / 3, 1, 3):
        weights = {key: factor * getattr(way, key) for key in ("weight", "limb_weight")}
        held.append(100 * judge(replace(way, **weights))["held_out"].mean())
    rows[name] = *held, way.width_mm if way.loss else np.nan, max(weights.values()) / 3
columns = ["weight / 3", "chosen", "weight x 3", "unit or slope (mm)", "weight"]
choice = pd.DataFrame(rows, index=columns).T
tables.write_csv(choice.reset_index(names="way"), folder / "tables" / "16_choice.csv")
print(f"Without supervision on wild: {100 * judge(NONE)['held_out'].mean():.1f}")
choice.round(1)

# %% [markdown]
# The first three columns: percent of ordered pairs of held-out people of `wild` that are as their annotators say. Annotators err, so 100 is out of reach.
#
# ## Study 1: the annotation budget
#
# With Eq. 1: fewer images; of all images only some pairs; of all images only the first questions, in the order of the procedure, with what follows from the answers. The error is MPJPE on `shift` with true 2D joints.
#
# Fewer images can be used in two ways. Either each answer keeps its weight, so that few of them weigh little in all; or the loss as a whole keeps its weight, and few people are repeated as often as many would be (*full weight*). The second was tried first, and the first was added when its errors had been seen: both are shown, and the sentences speak of the first unless they say *full weight*.


# %%
def advice(what: str, settings: dict[float, Study]) -> None:
    """How much of the largest budget brings four fifths of its gain; budgets ascend."""
    gains = {budget: -change(setting, NONE)[0] for budget, setting in settings.items()}
    *_, most = settings
    mean, low, high = change(settings[most], NONE)
    if high >= 0:
        say(
            f"{what}: even {most:.0f} bring no sure gain ({mean:+.1f} mm [{low:+.1f}, {high:+.1f}])."
        )
        return
    enough = next(budget for budget, gain in gains.items() if gain >= 0.8 * gains[most])
    say(
        f"{what}: {enough:.0f} of {most:.0f} bring {100 * gains[enough] / gains[most]:.0f}% of the"
        f" gain, which is {-mean:.1f} mm [{-high:.1f}, {-low:.1f}]."
    )


asked = beyond.annotations(world).questions.float().mean().item()
by_images = {PEOPLE * share: replace(EQ1, images=share) for share in (0.01, 0.03, 0.1, 0.3, 1.0)}
full_weight = {PEOPLE * s: replace(EQ1, images=s, weight=EQ1.weight / s) for s in (0.01, 0.1, 0.3)}
full_weight |= {PEOPLE: EQ1}
by_pairs = {91 * share: replace(EQ1, pairs=share) for share in (1 / 91, 4 / 91, 0.12, 0.4, 1.0)}
by_questions = {q: replace(EQ1, questions=q) for q in (1, 2, 4, 8)} | {asked: EQ1}
concentrated = {q: replace(EQ1, images=min(1.0, q / asked)) for q in (1, 2, 4, 8)} | {asked: EQ1}
budgets = {f"{n:.0f} images": s for n, s in by_images.items()}
budgets |= {f"{n:.0f} images, full weight": s for n, s in full_weight.items()}
budgets |= {f"{n:.0f} pairs": s for n, s in by_pairs.items()}
budgets |= {f"{n:.0f} questions": s for n, s in by_questions.items()}
budgets |= {f"{n:.0f} questions, concentrated": s for n, s in concentrated.items()}
study("budget", {"none": NONE} | budgets)

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3.3), layout="constrained", sharey=True)
curve(axes[0], list(by_images), by_images.values(), "all pairs", color=plots.WEAK)
curve(axes[0], list(full_weight), full_weight.values(), "full weight", color="#c2a5cf")
curve(axes[1], list(by_pairs), by_pairs.values(), "all images", color=plots.WEAK)
curve(axes[2], list(by_questions), by_questions.values(), "few about all images", color=plots.WEAK)
same = "all about few images"
curve(axes[2], list(concentrated), concentrated.values(), same, color=plots.FULL)
labels = ("images", "pairs of an image", "questions per image, on average")
for ax, label in zip(axes, labels, strict=True):
    level(ax, NONE, "no annotation")
    ax.set(xscale="log", xlabel=label)
    ax.legend(fontsize=7)
axes[0].set_ylabel("MPJPE on shift (mm)")
plots.save_figure(figure, folder / "figures" / "16_budget.png")
plt.show()
advice("Images", by_images)
few, all_weight = by_images[PEOPLE * 0.01], full_weight[PEOPLE * 0.01]
say(f"{PEOPLE * 0.01:.0f} images at full weight, against no answers: {effect(all_weight, NONE)}.")
say(f"The same images at the weight of their number, against none: {effect(few, NONE)}.")
advice("Random pairs of each image", by_pairs)
advice("Questions about each image", by_questions)
mean, low, high = change(by_questions[4], concentrated[4])
better = "spread them" if high < 0 else "finish images" if low > 0 else "either will do"
say(
    f"The same {4 * PEOPLE} questions, 4 about each image against all about fewer:"
    f" {mean:+.1f} mm [{low:+.1f}, {high:+.1f}], so {better}."
)
pairs, few = by_pairs[91 * 4 / 91], by_questions[4]
say(f"Four pairs at random in place of the first four questions: {effect(pairs, few)}.")

# %% [markdown]
# *Concentrated* (green) spends the same number of questions on fewer images, with complete orderings. The kinematic procedure goes from the trunk outwards, so its first questions are about the neck, shoulders and hips, and few questions never reach wrists and ankles; random pairs do.
#
# ## Study 2: errors of annotators
#
# All errors of `PERSON` (uncertainty, bias, lapses) are multiplied: 0 is an annotator who never errs, 1 the person of notebook 02. The indented lines translate the loss into images, by the first curve of study 1: so many images with answers of a careful person would do as well.

# %%
errors = (0.0, 1.0, 2.0, 4.0)
noisy = {
    name: {e: replace(way, errors=e) for e in errors}
    for name, way in (("Eq. 1", EQ1), ("likelihood", PAIRS))
}
study("noise", {f"{name}, errors x {e:g}": s for name, w in noisy.items() for e, s in w.items()})

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for name, settings in noisy.items():
    for ax, metric in zip(axes, ("mpjpe", "accuracy"), strict=True):
        curve(ax, errors, settings.values(), name, metric, color=COLOURS[name])
for ax, metric, label in zip(axes, ("mpjpe", "accuracy"), ("MPJPE (mm)", "accuracy"), strict=True):
    level(ax, NONE, "no annotation", metric)
    ax.set(xlabel="errors (1: a person)", ylabel=f"{label}, shift")
axes[0].legend()
plots.save_figure(figure, folder / "figures" / "16_noise.png")
plt.show()
fewer = np.minimum.accumulate([judge(s)["mpjpe"].mean() for s in by_images.values()])
for e in (2.0, 4.0):
    say(f"Errors x {e:g} in place of 1, Eq. 1: {effect(noisy['Eq. 1'][e], EQ1)}.")
    at = judge(noisy["Eq. 1"][e])["mpjpe"].mean()
    worth = np.exp(np.interp(at, fewer[::-1], np.log(list(by_images))[::-1]))
    print(f"  as good as {worth:.0f} of {PEOPLE} images with errors x 1")
say(f"Without any errors, Eq. 1: {effect(noisy['Eq. 1'][0.0], EQ1)}.")

# %% [markdown]
# ## Study 3: the tie threshold
#
# Below which difference should annotators say "the same"? A small threshold asks for fine distinctions: more groups, more questions, more answers that are guesses. A large one says less about order, and more about size for a loss that knows the threshold. The likelihood is told. Eq. 1 has no place for it, but its unit can follow: the third line has the unit in proportion to the threshold.

# %%
thresholds = (50.0, 100.0, 200.0, 400.0)
tied = {
    name: {t: replace(way, tie_mm=t) for t in thresholds}
    for name, way in (("Eq. 1", EQ1), ("likelihood", PAIRS))
}
tied["Eq. 1, unit follows"] = {
    t: replace(EQ1, tie_mm=t, width_mm=EQ1.width_mm * t / 100) for t in thresholds
}
table = study("ties", {f"{name}, {t:g} mm": s for name, w in tied.items() for t, s in w.items()})
counts = [beyond.annotations(world, False, 1.0, t).questions.float().mean() for t in thresholds]
table.insert(0, "questions", [f"{float(count):.1f}" for count in len(tied) * counts])
table

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for name, settings in tied.items():
    for ax, metric in zip(axes, ("mpjpe", "factor"), strict=True):
        curve(ax, thresholds, settings.values(), name, metric, color=COLOURS[name])
for ax, metric, label in zip(axes, ("mpjpe", "factor"), ("MPJPE (mm)", "factor"), strict=True):
    level(ax, NONE, "no annotation", metric)
    ax.set(xscale="log", xlabel="tie threshold of annotators (mm)", ylabel=f"{label}, shift")
    ax.set_xticks(thresholds, [f"{t:g}" for t in thresholds], minor=False)
axes[0].legend()
plots.save_figure(figure, folder / "figures" / "16_ties.png")
plt.show()
for name, settings in tied.items():
    best = min(thresholds, key=lambda t: judge(settings[t])["mpjpe"].mean())
    others = [t for t in thresholds if t != best and change(settings[t], settings[best])[1] <= 0]
    equal = f"; not surely worse: {', '.join(f'{t:g}' for t in others)}" if others else ""
    gain = "" if best == 100 else f"; against 100 mm, {effect(settings[best], settings[100.0])}"
    say(f"{name}: the best annotators call less than {best:g} mm a tie{equal}{gain}.")

# %% [markdown]
# ## Study 4: which loss, and do depths get too flat?
#
# Eq. 1 pulls tied joints to one depth. Notebooks 10 and 11 print how flat depths are with it and without it, beside full supervision. How flat is too flat? Depths that are partly unknown *should* be flatter than the truth: the best guess by squared error, the conditional mean, has a *spread* (root mean square over the true one) equal to its *correlation* with the truth. So the fair number is the **factor** that would fit the true depths best, correlation over spread: 1 for the conditional mean, above 1 for depths that are flatter than uncertainty excuses, below 1 for those that are deeper.
#
# The width (unit of Eq. 1, slope of the likelihood) sets the margin in both; the weight stays as chosen.

# %%
widths = {
    "Eq. 1": {w: replace(EQ1, width_mm=w) for w in (62.5, 125.0, 250.0, 500.0)},
    "likelihood": {w: replace(PAIRS, width_mm=w) for w in (25.0, 50.0, 100.0, 200.0)},
}
losses = {f"{n}, {w:g} mm": s for n, way in widths.items() for w, s in way.items()}
study("loss", {"none": NONE} | losses | {f"listwise, {LISTS.width_mm:g} mm": LISTS})

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
panels = {"factor": "factor, 1: as flat as warranted", "mpjpe": "MPJPE (mm)"}
panels["accuracy"] = "ordinal accuracy"
for ax, (metric, label) in zip(axes, panels.items(), strict=True):
    for name, way in widths.items():
        curve(ax, list(way), way.values(), name, metric, color=COLOURS[name])
    mean, low, high = interval(judge(LISTS)[metric])
    reach = [[mean - low], [high - mean]]
    ax.errorbar(LISTS.width_mm, mean, reach, fmt="s", color=COLOURS["listwise"], label="listwise")
    level(ax, NONE, "no annotation", metric)
    ax.set(xscale="log", xlabel="unit or slope (mm)", ylabel=f"{label}, shift")
    ax.set_xticks((25, 50, 100, 250, 500), ("25", "50", "100", "250", "500"))
    ax.set_xticks((), minor=True)
axes[0].axhline(1, color=plots.PUBLISHED)
axes[0].legend(fontsize=7)
plots.save_figure(figure, folder / "figures" / "16_loss.png")
plt.show()

# %%
off = {setting: np.abs(np.log(judge(setting)["factor"])) for setting in (EQ1, PAIRS, LISTS)}
for name, other in (("likelihood", PAIRS), ("listwise", LISTS)):
    mean, low, high = interval(judge(other)["factor"])
    _, least, most = interval(off[other] - off[EQ1])
    verb = "lessens" if most < 0 else "worsens" if least > 0 else "does not surely change"
    verb = "removes" if low <= 1 <= high and most < 0 else verb
    say(
        f"Depths in the wrong scale: factor {judge(EQ1)['factor'].mean():.2f} by Eq. 1,"
        f" {mean:.2f} [{low:.2f}, {high:.2f}] by the {name}, which {verb} it."
    )
    say(f"The {name} for Eq. 1: {effect(other, EQ1)}; {effect(other, EQ1, 'accuracy')}.")
for name, way in widths.items():
    factors = {w: judge(setting)["factor"].mean() for w, setting in way.items()}
    right = min(way, key=lambda w: abs(np.log(factors[w])))
    say(
        f"{name}: widths from {min(way):g} to {max(way):g} mm give factors from"
        f" {max(factors.values()):.2f} to {min(factors.values()):.2f}; nearest to 1 at {right:g} mm."
    )

# %% [markdown]
# ## Study 5: ordinal answers or limb lengths?
#
# The paper argues that limb lengths [64] only constrain the output, while ordinal answers bring new information. If so, limb lengths should do less, and both together no worse than the answers alone.

# %%
BOTH = replace(EQ1, limb_weight=LIMBS.limb_weight)
rivals = {"none": NONE, "limbs": LIMBS, "ordinal (Eq. 1)": EQ1, "both": BOTH}
rivals |= {"ordinal (likelihood)": PAIRS}
rivals |= {"both (likelihood)": replace(PAIRS, limb_weight=LIMBS.limb_weight)}
study("limbs", rivals)

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
colours = ["#999999", "#8c510a", plots.WEAK, "#d8b365", COLOURS["likelihood"], "#80cdc1"]
panels = {"mpjpe": "MPJPE (mm)", "depth_error": "depth error (mm)", "accuracy": "accuracy"}
for ax, (metric, label) in zip(axes, panels.items(), strict=True):
    mean, low, high = np.array([interval(judge(s)[metric]) for s in rivals.values()]).T
    ax.barh(list(rivals), mean, xerr=[mean - low, high - mean], color=colours, capsize=3)
    ax.set(xlabel=f"{label}, shift", xlim=(0.8 * low.min(), None))
    ax.invert_yaxis()
for ax in axes[1:]:
    ax.set_yticks([])
plots.save_figure(figure, folder / "figures" / "16_limbs.png")
plt.show()
say(f"Limb lengths alone: {effect(LIMBS, NONE)}.")
say(f"Ordinal answers (Eq. 1) in place of limb lengths: {effect(EQ1, LIMBS)}.")
say(f"Limb lengths beside ordinal answers (Eq. 1): {effect(BOTH, EQ1)}.")
both = effect(rivals["both (likelihood)"], PAIRS)
say(f"Limb lengths beside ordinal answers (likelihood): {both}.")

# %% [markdown]
# The axes of the bars do not start at 0.
#
# ## The ConvNets
#
# Three ConvNets on the images of `shift`: trained on `studio`, and on `wild` with 2D keypoints, with ordinal answers by Eq. 1 too, or with limb lengths instead. Their intervals are bootstrapped over test images and seeds, as in notebook 10. Do they agree with the small networks in the sign of the differences? With one training each (every scale but `desk`), the interval of a ratio says nothing about another seed; with three it says little.

# %%
NAMES = {"table2/keypoints": "none", "table2/ordinal": "ordinal (Eq. 1)", "table4/limbs": "limbs"}
SHARED = {"mpjpe_given_2d": "mpjpe", "depth_error": "depth_error", "ordinal_accuracy": "accuracy"}
seeds = setting.seeds()
convnets = {}
for row, name in NAMES.items():
    runs = [experiments.run(row, s) for s in seeds]
    convnets[name] = {
        metric: np.stack([run.predictions("shift")[metric].double().numpy() for run in runs])
        for metric in SHARED
    }
records = [
    (name, metric, *intervals.mean(values), len(seeds))
    for name, metrics in convnets.items()
    for metric, values in metrics.items()
]
columns = ["setting", "metric", "mean", "ci_low", "ci_high", "seeds"]
table = pd.DataFrame(records, columns=columns)
tables.write_csv(table, folder / "tables" / "16_convnets.csv")
table["mean"] = [f"{m:.3g} [{a:.3g}, {b:.3g}]" for m, a, b in table[columns[2:5]].to_numpy()]
table.pivot(index="setting", columns="metric", values="mean").loc[list(convnets), list(SHARED)]

# %%
for after, before in (("ordinal (Eq. 1)", "none"), ("limbs", "none"), ("ordinal (Eq. 1)", "limbs")):
    for metric, ours in SHARED.items():
        ratio, *bounds = intervals.ratio(convnets[after][metric], convnets[before][metric])
        theirs = np.sign([bound - 1 for bound in bounds])
        small = np.sign(change(rivals[after], rivals[before], ours)[1:])
        sure = abs(theirs.sum()) == 2 and abs(small.sum()) == 2
        verdict = ("agree" if theirs[0] == small[0] else "disagree") if sure else "not both sure"
        print(f"{after} over {before}, {ours}: ConvNets {ratio:.3f} [{bounds[0]:.3f},", end=" ")
        print(f"{bounds[1]:.3f}], lifters {effect(rivals[after], rivals[before], ours)}: {verdict}")

# %% [markdown]
# ## Summary
#
# What the numbers of this run say, sentence by sentence. A *sure* change is one whose 95% interval over seeds excludes zero; with this many comparisons, about one in twenty would do so by chance.

# %%
if scale == "smoke":
    print("Scale smoke: networks that are hardly trained; these sentences mean nothing.")
print("\n".join(f"- {sentence}" for sentence in sentences))
if scale != "smoke" and not setting.data:
    assert change(EQ1, NONE, "accuracy")[1] > 0, "ordinal answers teach order"
    assert change(PAIRS, NONE, "accuracy")[1] > 0

# %% [markdown]
# ## Try it
#
# 1. Annotators who know poses: give `annotate` in `beyond.annotations` the strategy `informed` of notebook 02. Does study 1 change, where questions are few?
# 2. Lower the noise of the 2D joints, `beyond.NOISE = 0.005`, before `make_world`. Which differences shrink?
# 3. Tell the likelihood a wrong threshold: train with labels of `tie_mm=200` and a loss that believes 100. Which number shows it first?
