# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 The ranking loss (Section 3.1, Eq. 1 and 2)
#
# **Question.** Why does the loss that trains everything here look as it does, and what can it find: an order, a distance, or millimetres?
#
# **Answer.** Eq. 1 is the likelihood of noisy answers, with a Gaussian added for ties. It finds a consensus of answers that contradict each other, and depths up to a shift. Their scale is set by its margin, so by the unit in which z is measured. A likelihood with an explicit tie threshold uses what Eq. 1 leaves out, the 100 mm of a tie. It finds millimetres as far as its threshold and its slope are those of the answers.
#
# **Needs.** The labels of the training people of `studio`, the rendered stand-in for Human3.6M. It is rendered here if it is missing. No trained network is needed. Whatever is chosen or compared uses S8, the training subject that is held out; the test people are not touched.
#
# **Time on a CPU**, by scale (the size of data and training; at smoke numbers mean nothing). smoke: seconds. quick: about a minute, and half a minute to render. desk and paper: the same, and the rendering.

# %% tags=["parameters"]
scale: str = "quick"  # smoke, quick, desk or paper
seed: int = 0  # first seed
device: str = "auto"  # auto, cpu, cuda or cuda:N
data: str = ""  # folder of real data sets in place of stand-ins, and of motion capture

# %%
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sympy
import torch
from scipy.optimize import brentq
from scipy.sparse.csgraph import connected_components

from ordlib import experiments, losses, plots
from ordlib.experiments import lifting, tables
from ordlib.likelihoods import SLOPE_MM, answer_log_probabilities, minimise, tie_likelihood_loss
from ordlib.relations import ordinal_accuracy, relations_from_depth
from ordlib.scales import get_scale
from ordlib.training import single_thread

plots.use_style()
setting = experiments.Setting(scale, seed, data, device)
folder = setting.folder
generator = torch.Generator().manual_seed(seed)
CLOSER, TIE, FARTHER = "#d95f02", "#555555", "#1f78b4"
EXPLICIT = "#00838f"  # likelihoods with a tie threshold

# %% [markdown]
# ## An answer is the toss of a biased coin
#
# The network gives joint $i$ the depth $z_i$. For a pair with the relation $r$ the paper takes, as Eq. 1,
#
# $$\mathcal{L}_{i,j} = \begin{cases} \log(1 + \exp(z_i - z_j)), & r = +1 \text{ ($i$ is closer)}\\ \log(1 + \exp(z_j - z_i)), & r = -1 \text{ ($j$ is closer)}\\ (z_i - z_j)^2, & r = 0 \text{ (roughly the same)} \end{cases}$$
#
# and sums over the annotated pairs (Eq. 2). Where do the three lines come from?
#
# Somebody looks at joints $i$ and $j$ and says which is closer to the camera. People err, most of all when the two are about equally far. *Bradley and Terry* (1952) describe such answers with one positive number per item, its worth $\pi_i$: item $i$ wins against $j$ with probability $\pi_i / (\pi_i + \pi_j)$. Here to win is to be closer. Write the worth as $\pi_i = e^{-z_i}$, so that a larger $z$ is farther away:
#
# $$P(i \text{ closer}) = \frac{e^{-z_i}}{e^{-z_i} + e^{-z_j}} = \frac{1}{1 + e^{z_i - z_j}} = \sigma(z_j - z_i), \qquad \sigma(x) = \frac{1}{1 + e^{-x}}.$$
#
# The same follows from a picture: the eye reads $z_j - z_i$ plus noise of logistic distribution, and says "closer" when the sum is positive. Maximum likelihood asks for the $z$ that make the given answers most probable, so for the least $-\log P$. For the answer "$i$ is closer" that is $-\log \sigma(z_j - z_i) = \log(1 + e^{z_i - z_j})$: the first line of Eq. 1. RankNet (Burges et al., 2005) trains networks with exactly this loss.
#
# The code tosses 4,000 such coins at each difference. The dots are the share of "closer", the line is $\sigma$, that is $e^{-\mathcal{L}}$ with the project's own loss.


# %%
def pair(relation: int) -> torch.Tensor:
    """The relations of two joints as a matrix, (1, 2, 2)."""
    return torch.tensor([[[0, relation], [-relation, 0]]], dtype=torch.int8)


def loss_of(difference: float, relation: int) -> float:
    """Eq. 1 of one pair by `ordlib`, at z_i - z_j = difference."""
    z = torch.tensor([[difference, 0.0]], dtype=torch.float64)
    return losses.ranking_loss(z, pair(relation)).item()


tosses, places = 4000, torch.linspace(-5, 5, 21)
noise = torch.logit(torch.rand(tosses, len(places), generator=generator), eps=1e-7)
said_closer = (-places + noise > 0).double().mean(0)
line = torch.tensor([np.exp(-loss_of(d, 1)) for d in places.tolist()])
standard_error = (line * (1 - line) / tosses).sqrt()
assert ((said_closer - line).abs() < 4.5 * standard_error).all()
figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
ax.plot(places, line, color=CLOSER, label="$\\exp(-L)$, Eq. 1 for r = +1")
ax.plot(places, said_closer, "o", color="black", markersize=4, label="simulated answers")
ax.set(xlabel="$z_i - z_j$ (negative: joint i is closer)", ylabel='share of "i is closer"')
ax.legend()
plots.save_figure(figure, folder / "figures" / "01_bradley_terry.png")
plt.show()

# %% [markdown]
# ## The tie is a measurement, and that does not fit
#
# Bradley and Terry know no ties. Eq. 1 adds $(z_i - z_j)^2$, which is a likelihood too, of another kind: somebody *measured* the difference $z_i - z_j$, read 0, and the ruler has a Gaussian error of variance $1/2$:
#
# $$-\log \frac{1}{\sqrt{\pi}} e^{-(z_i - z_j - 0)^2} = (z_i - z_j)^2 + \text{const}.$$
#
# For three possible answers to one question the probabilities would sum to one. These do not. The two orders use up all probability, and the tie comes on top: $e^{-\mathcal{L}_{+1}} + e^{-\mathcal{L}_{-1}} + e^{-\mathcal{L}_0} = 1 + e^{-(z_i - z_j)^2}$. So Eq. 1 has no idea how probable a tie is, and no place for the distance at which people begin to say "the same". The second half of this notebook draws the sum and puts it right.
#
# ## Gradient and curvature
#
# By hand, with $d = z_i - z_j$ and $\sigma' = \sigma(1 - \sigma)$:
#
# | answer | loss | gradient in $d$ | curvature |
# |---|---|---|---|
# | $+1$ | $\log(1 + e^{d})$ | $\sigma(d)$ | $\sigma(d)\,\sigma(-d)$ |
# | $-1$ | $\log(1 + e^{-d})$ | $-\sigma(-d)$ | $\sigma(d)\,\sigma(-d)$ |
# | $0$ | $d^2$ | $2d$ | $2$ |
#
# The gradient with respect to $z_i$ is the one in the table, with respect to $z_j$ its negative: the two joints are pushed by the same force in opposite directions. No curvature is negative, so the loss is convex in the depths. SymPy differentiates the formulas, autograd the package.

# %%
d = sympy.symbols("d", real=True)
s = 1 / (1 + sympy.exp(-d))
by_hand = {
    1: (sympy.log(1 + sympy.exp(d)), s, s * (1 - s)),
    -1: (sympy.log(1 + sympy.exp(-d)), s - 1, s * (1 - s)),
    0: (d**2, 2 * d, sympy.Integer(2)),
}
grid = torch.linspace(-6, 6, 121, dtype=torch.float64)
curves = {}
for r, (loss, gradient, curvature) in by_hand.items():
    assert sympy.simplify(sympy.diff(loss, d) - gradient) == 0
    assert sympy.simplify(sympy.diff(gradient, d) - curvature) == 0
    z = grid.clone().requires_grad_()
    both = torch.stack([z, torch.zeros_like(z)], -1)
    value = losses.ranking_loss(both, pair(r).expand(len(z), 2, 2)) * len(z)
    (first,) = torch.autograd.grad(value, z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    curves[r] = [torch.tensor([loss_of(x, r) for x in grid.tolist()]), first.detach(), second]
    for found, formula in zip(curves[r], (loss, gradient, curvature), strict=True):
        expected = [float(formula.subs(d, x)) for x in grid[::20].tolist()]
        assert np.allclose(found[::20], expected)

# %% [markdown]
# In the middle plot, the force on an ordered pair (orange and blue) never exceeds 1 and fades once the two are a few units apart in the right order. That distance is the **margin**: nothing in the loss says "far enough", but beyond some 3 units hardly anything pushes. The force of a tie (grey) grows without bound. Right: far apart in the right order, force and curvature both vanish, so such an answer no longer says where its joints are. (In the wrong order the curvature vanishes too, but there the force is 1.)

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained")
names = {1: ("r = +1, i closer", CLOSER), 0: ("r = 0, tie", TIE), -1: ("r = -1, j closer", FARTHER)}
titles = ["loss", "gradient (force on the pair)", "curvature"]
for column, (ax, title) in enumerate(zip(axes, titles, strict=True)):
    for r, (label, colour) in names.items():
        ax.plot(grid, curves[r][column], "--" if r < 0 else "-", color=colour, label=label)
    ax.set(title=title, xlabel="$z_i - z_j$ (units)")
axes[0].set_ylim(0, 6)
axes[1].set_ylim(-2.2, 2.2)
axes[2].legend(loc="center", bbox_to_anchor=(0.5, 0.6))
plots.save_figure(figure, folder / "figures" / "01_gradient.png")
plt.show()

# %% [markdown]
# ## Large differences
#
# Typed as it is printed, `log(1 + exp(x))` breaks in float32. Beyond $x \approx 88.7$ `exp` overflows: the loss is infinite and its gradient infinity over infinity, which is NaN and ruins the network. On the other side `1 + exp(-20)` is rounded to 1 and the loss of a good pair to 0, though its gradient is still right. The package computes $-\log\sigma(-x)$ as one function, which takes out the large part first, $\log(1 + e^x) = \max(x, 0) + \log(1 + e^{-|x|})$, and takes the last term by `log1p`, which keeps small numbers.

# %% tags=["nbval-check-output"]
rows = []
for x in (-1e6, -20.0, 0.0, 80.0, 100.0, 1e6):
    z = torch.tensor(x, requires_grad=True)
    naive = torch.log(1 + torch.exp(z))
    naive.backward()
    depths = torch.tensor([[x, 0.0]], requires_grad=True)
    stable = losses.ranking_loss(depths, pair(1))
    stable.backward()
    rows.append((x, naive.item(), z.grad.item(), stable.item(), depths.grad[0, 0].item()))
    assert stable.isfinite() and depths.grad.isfinite().all()
assert np.isnan(rows[-1][2]) and rows[1][1] == 0 < rows[1][3]
columns = ["x", "naive loss", "naive gradient", "loss", "gradient"]
pd.DataFrame(rows, columns=columns).map("{:.3g}".format)

# %% [markdown]
# ## Subsets of pairs
#
# Eq. 2 sums over the pairs that somebody annotated. How few are enough? Think of joints as beads and pairs as springs. The matrix of second derivatives of the loss (the Hessian) says which movements cost something. Moving all beads together is always free. If the annotated pairs fall into $k$ separate groups, each group moves freely, and $k$ eigenvalues are zero. A chain of 16 pairs is enough to connect 17 joints; all 136 are not needed. (Orders have no rest length: they fix the connection, not the distance.) Whether a chain says *enough* is another matter: it orders neighbours only.

# %% tags=["nbval-check-output"]
chain, ones = [(j, j + 1) for j in range(16)], torch.ones(1, 17, 17, dtype=torch.int8)
cases = {"all pairs": [(i, j) for j in range(17) for i in range(j)], "a chain": chain}
cases |= {"a chain without a link": chain[:8] + chain[9:], "every second link": chain[::2]}
rows = {}
for name, pairs in cases.items():
    known = torch.zeros(1, 17, 17, dtype=torch.bool)
    known[0, [i for i, _ in pairs], [j for _, j in pairs]] = True
    hessian = torch.autograd.functional.hessian(
        lambda z, k=known: losses.ranking_loss(z[None], ones, k), torch.zeros(17).double()
    )
    rows[name] = len(pairs), int((torch.linalg.eigvalsh(hessian) < 1e-9).sum())
    assert rows[name][1] == connected_components(known[0].numpy())[0]
pd.DataFrame(rows, index=["pairs", "free movements"]).T

# %% [markdown]
# ## Contradicting answers: one pair
#
# The paper: "the relations do not have to be consistent". Ask $m$ people about one pair; $k$ say "$i$ is closer". With $x = z_j - z_i$ the loss is $-k \log\sigma(x) - (m - k) \log\sigma(-x)$, its derivative $m\,\sigma(x) - k$, and the minimum lies where $\sigma(x) = k/m$:
#
# $$z_j - z_i = \log\frac{k}{m - k}.$$
#
# So the *share* of people who agree becomes a distance. If all agree, the distance is infinite: only disagreement gives this loss a scale. `minimise` descends by L-BFGS in double precision.


# %% tags=["nbval-check-output"]
def consensus(answers: torch.Tensor, loss: Callable = losses.ranking_loss) -> torch.Tensor:
    """Depths with the least loss over all annotators, whose answers are (annotators, N, N)."""
    annotators, joints, _ = answers.shape
    start = torch.zeros(1, joints)
    return minimise(lambda z: loss(z.expand(annotators, joints), answers), start)[0]


rows = []
for k in (5, 6, 8, 9):
    z = consensus(torch.cat([pair(1)] * k + [pair(-1)] * (10 - k)))
    rows.append((f"{k} of 10", (z[1] - z[0]).item(), np.log(k / (10 - k))))
    assert abs(rows[-1][1] - rows[-1][2]) < 1e-5
pd.DataFrame(rows, columns=["say i is closer", "minimum of Eq. 1", "closed form"]).round(3)

# %% [markdown]
# ## Contradicting answers: a cycle
#
# Three joints $a, b, c$, each pair answered once: $a$ before $b$, $b$ before $c$, and $c$ before $a$. No order satisfies all three. Each joint wins once and loses once, so by symmetry the consensus puts all three at the same depth, at a cost of $3 \log 2$. Left: the loss over $z_b$ and $z_c$, with $z_a = 0$ (light contours are low), and the paths of gradient descent from three starts (white dots). They end in the middle. Right: the last answer turned round, so that $a, b, c$ is a valid order. There is no minimum, the paths leave the picture, downhill for ever.

# %%
cycle = torch.tensor([[[0, 1, -1], [-1, 0, 1], [1, -1, 0]]], dtype=torch.int8)
order = torch.tensor([[[0, 1, 1], [-1, 0, 1], [-1, -1, 0]]], dtype=torch.int8)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
b, c = torch.meshgrid(torch.linspace(-4, 4, 61), torch.linspace(-4, 4, 61), indexing="xy")
spread = torch.stack([0 * b, b, c], -1).reshape(-1, 3)
for ax, relations, title in zip(axes, (cycle, order), ("a cycle", "an order"), strict=True):
    height = [losses.ranking_loss(z[None], relations).item() for z in spread]
    ax.contour(b, c, np.reshape(height, b.shape), levels=14, cmap="Greys", linewidths=0.8)
    for start in ((-3.0, 1.0), (2.0, -3.5), (3.0, 3.5)):
        z, path = torch.tensor([[0.0, *start]]), []
        for _ in range(300):
            path.append((z - z[:, :1])[0, 1:].tolist())
            z.requires_grad_()
            (gradient,) = torch.autograd.grad(losses.ranking_loss(z, relations), z)
            z = z.detach() - 0.2 * gradient
        ax.plot(*np.transpose(path), color=plots.WEAK, linewidth=1.3)
        ax.plot(*path[0], "o", color=plots.WEAK, markerfacecolor="white")
        ax.plot(*path[-1], "o", color=plots.WEAK)
    ax.set(title=title, xlabel="$z_b - z_a$", ylabel="$z_c - z_a$", xlim=(-4, 4), ylim=(-4, 4))
plots.save_figure(figure, folder / "figures" / "01_cycle.png")
plt.show()
five = cycle.expand(5, 3, 3)
rest = minimise(lambda z: losses.ranking_loss(z, five), torch.randn(5, 3, generator=generator))
torch.testing.assert_close(rest, torch.zeros_like(rest), atol=1e-5, rtol=0)

# %% [markdown]
# ## Contradicting answers: many annotators
#
# Now all 136 pairs of one person of S8, and $m$ annotators who answer each pair with the coin of the first section (one unit is a fifth of the person's depth range; no ties, for the coin knows none). Statistics has an algorithm for the best worths (Zermelo, 1929). In the form of Hunter (2004), with $W_i$ the number of times that $i$ was called closer and $n_{ij} = m$ the number of answers about a pair, repeat
#
# $$\pi_i \leftarrow W_i \Big/ \sum_{j \ne i} \frac{n_{ij}}{\pi_i + \pi_j}.$$
#
# It never sees Eq. 1, a gradient or a network, and finds the same depths: the code compares them for each dot. The more people answer, the nearer the consensus is to the truth, with an error that falls roughly as $1/\sqrt{m}$ (one draw of answers for each dot).


# %%
held_out = setting.load("studio", "val")
people = held_out.batch(np.linspace(0, len(held_out) - 1, min(2000, len(held_out))).astype(int))
true_mm = people.joints_mm[..., 2].double()
true_mm = true_mm - true_mm.mean(1, keepdim=True)
depth_range = true_mm.amax(1) - true_mm.amin(1)
truth = true_mm[depth_range == depth_range.median()][0]  # the person of the median range
fifth = depth_range.median().item() / 5


# %%
def hear(annotators: int, width_mm: float, threshold_mm: float) -> torch.Tensor:
    """Answers about that person: the difference with logistic noise, against a threshold."""
    noise = torch.logit(torch.rand(annotators, 17, 17, generator=generator).double(), eps=1e-9)
    ahead = truth[None, :] - truth[:, None] + width_mm * noise
    return ((ahead > threshold_mm).int() - (ahead < -threshold_mm).int()).to(torch.int8)


def best_scale(found: torch.Tensor, exact: torch.Tensor) -> float:
    """True millimetres for one unit of what was found, by least squares."""
    return ((found * exact).sum() / found.square().sum()).item()


def bradley_terry(answers: torch.Tensor, rounds: int = 5000) -> np.ndarray:
    """Depths of the best worths by Hunter's algorithm, minus their mean."""
    upper = (answers > 0).sum(0).triu(1)  # the lower triangle holds answers that Eq. 2 never reads
    wins = (upper + (answers < 0).sum(0).triu(1).mT).sum(1).numpy()
    worth = np.ones(17)
    for _ in range(rounds):
        worth = wins / (len(answers) / np.add.outer(worth, worth) * (1 - np.eye(17))).sum(1)
        worth /= np.exp(np.log(worth).mean())
    return -np.log(worth)


# %%
counts, errors = (100, 300, 1000, 3000), []
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for m in counts:
    answers = hear(m, width_mm=fifth, threshold_mm=0.0)
    found = consensus(answers)
    assert np.abs(found.numpy() - bradley_terry(answers)).max() < 1e-3
    errors.append((found - truth / fifth).square().mean().sqrt().item())
ax.loglog(counts, errors, "o-", color=plots.WEAK, label="distance to the true depths")
guide = errors[0] * np.sqrt(counts[0] / np.array(counts))
ax.loglog(counts, guide, ":", color="black", label="falls as $1/\\sqrt{m}$")
ax.set(xlabel="annotators m", ylabel="error (units, root mean square)")
ax.legend()
plots.save_figure(figure, folder / "figures" / "01_annotators.png")
plt.show()
assert errors[-1] < errors[0] / 2

# %% [markdown]
# ## The unit of z
#
# With annotators who err in a known way, the scale came out. The relations of this benchmark, and those of careful annotators, are not like that: they agree. Then the orders alone push for ever, as the right plot of the cycle showed, and only the ties hold. Take the smallest example: $a, b, c$ at 0, 60 and 120 mm. With a tie threshold of 100 mm, $a \sim b$ and $b \sim c$ are ties and $a$ is closer than $c$. By symmetry Eq. 1 rests at equal steps $s$ where $2s^2 + \log(1 + e^{-2s})$ is least, so $s = \sigma(-2s)/2$. That is a pure number. Anything from 50 to 100 mm would be a valid step; Eq. 1 does not know, since the 100 mm occur nowhere in it.
#
# What the step means in millimetres depends on the **unit**: how many millimetres one unit of $z$ stands for. Eq. 1 also has a threshold of its own, the distance $d$ at which tie and (right) order cost the same, $d^2 = \log(1 + e^{-d})$. The table gives both for units across three orders of magnitude. A small unit presses tied and ordered joints together, a large one tears them apart, and the threshold that belongs to the *loss* meets the 100 mm of the *answers* only for one unit in between. The table holds that unit as a row of its own, where the threshold is 100.0 by construction.

# %% tags=["nbval-check-output"]
step = brentq(lambda x: x - 1 / (1 + np.exp(2 * x)) / 2, 0, 1)
own_threshold = brentq(lambda x: x**2 - np.log1p(np.exp(-x)), 0, 2)
ladder = relations_from_depth(torch.tensor([[0.0, 60.0, 120.0]]))
rest = consensus(ladder)
assert np.allclose(rest, [-step, 0, step], atol=1e-5)
own_unit = round(100 / own_threshold, 1)
units = [10, 30, 100, losses.RANKING_UNIT_MM, own_unit, 300, 1000, 3000, 10_000]
table = pd.DataFrame({"unit (mm)": units})
table["a to c, truth 120 mm"] = 2 * step * table["unit (mm)"]
table["own threshold, answers 100 mm"] = own_threshold * table["unit (mm)"]
print(f"step {step:.4f} units, own threshold {own_threshold:.4f} units")
table.round(1)

# %% [markdown]
# ## Likelihoods that know the threshold
#
# Let the eye read $x = (z_j - z_i)/w$ plus logistic noise, as before, but answer "closer" only above a threshold $t = 100\,\text{mm}/w$, "farther" only below $-t$, and "the same" in between. The width $w$ of the noise is the *slope*, in millimetres. Then
#
# $$P(+1) = \sigma(x - t), \qquad P(-1) = \sigma(-x - t), \qquad P(0) = \sigma(x + t) - \sigma(x - t).$$
#
# Statisticians call this the **ordered logit**. With $\theta = e^t$ and the worths of above, now $\pi_i = e^{-z_i/w}$, it reads $P(+1) = \pi_i / (\pi_i + \theta \pi_j)$: the model of **Rao and Kupper** (1967), found from another side. They are one model and one function here, and from here on *the likelihood* means this one. The difference of two numbers near 1 loses all digits, so it is computed as the product $P(0) = (1 - e^{-2t})\,\sigma(t + x)\,\sigma(t - x)$. **Davidson** (1970) lets the answers compete: $P(+1) : P(0) : P(-1) = e^{x/2} : \nu : e^{-x/2}$. With $\nu = e^{t/2}$ a tie is as probable as an order at the threshold. The code checks this in the package, and the form of Rao and Kupper and the product with SymPy, where $X = e^x$ and $\theta = e^t$:

# %%
X, theta = sympy.symbols("X theta", positive=True)
logistic = lambda odds: odds / (1 + odds)  # noqa: E731  sigma(x), written with exp(x)
plus = logistic(X / theta)
tie = logistic(X * theta) - plus
assert sympy.simplify(plus - X / (X + theta)) == 0  # Rao and Kupper's form
product = (1 - theta**-2) * logistic(theta * X) * logistic(theta / X)
assert sympy.simplify(tie - product) == 0
closer, same, _ = answer_log_probabilities(torch.tensor(-100.0), model="davidson")
torch.testing.assert_close(closer, same)  # at the threshold

figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained", sharey=True)
mm = torch.linspace(-400, 400, 161).double()
unit = losses.RANKING_UNIT_MM
eq1 = [[np.exp(-loss_of(x / unit, r)) for r in (1, 0, -1)] for x in mm.tolist()]
panels = {f"Eq. 1, unit {unit:g} mm": torch.tensor(eq1)}
for name, model in {"Rao and Kupper": "rao_kupper", "Davidson": "davidson"}.items():
    panels[f"{name}, slope {SLOPE_MM:g} mm"] = answer_log_probabilities(mm, model=model).exp()
for ax, (title, probabilities) in zip(axes, panels.items(), strict=True):
    for column, (label, colour) in zip(probabilities.T, names.values(), strict=True):
        ax.plot(mm, column, color=colour, label=label)
    ax.plot(mm, probabilities.sum(1), ":", color="black", label="sum")
    ax.vlines([-100, 100], 0, 1, color=plots.PUBLISHED, linewidth=1, linestyles=":")
    ax.set(title=title, xlabel="$z_i - z_j$ (mm)", ylim=(0, 2.05))
axes[0].set_ylabel("$\\exp(-L)$")
axes[2].legend(loc="upper right")
plots.save_figure(figure, folder / "figures" / "01_likelihoods.png")
plt.show()
sums = [probabilities.sum(1) for probabilities in panels.values()]
torch.testing.assert_close(sums[0], 1 + torch.exp(-((mm / unit) ** 2)))
assert all(torch.allclose(total, torch.ones_like(mm)) for total in sums[1:])

# %% [markdown]
# On the left the tie does not share the probability with the orders: the dotted sum leaves 1. In the other two it does, and near 100 mm (dotted grey) the answers change over: exactly there in Davidson, close to it in Rao and Kupper. `likelihoods.tie_likelihood_loss` is $-\log P$ of the answers, summed over pairs like Eq. 2, for depths in **millimetres**.
#
# ## What relations pin down
#
# Fit free depths to exact relations, 17 depths for each person, with no network in the way. A tie says "within 100 mm", an order "at least 100 mm". If a chain of ties links all joints, every distance has a floor and a ceiling. If not, the groups can drift apart under either loss, and only the floor remains. So the fit takes up to 100 images, spread over those of S8 whose ties leave the fewest groups; the cell prints how many groups, and how many images are like that. Left: depths by Eq. 1, in units. Right: by the likelihood, in millimetres; no scale was fitted. The grey lines show the one best scale for all people. The slope is 10 mm, because these answers contain no errors.


# %%
groups = np.array([connected_components(r == 0)[0] for r in people.relations.numpy()])
linked = np.flatnonzero(groups == groups.min())
some = linked[np.linspace(0, len(linked) - 1, min(100, len(linked))).astype(int)]
exact, relations = true_mm[some], people.relations[some]
start = torch.zeros(exact.shape)
in_units = minimise(lambda z: losses.ranking_loss(z, relations), start)
in_mm = 100 * minimise(lambda z: tie_likelihood_loss(100 * z, relations, slope_mm=10.0), start)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
rows = {}
cases = [(in_units, "Eq. 1", "units", plots.WEAK), (in_mm, "likelihood", "mm", EXPLICIT)]
for ax, (found, name, unit_name, colour) in zip(axes, cases, strict=True):
    each = [best_scale(*person) for person in zip(found, exact, strict=True)]
    one = best_scale(found, exact)
    errors = [(k * found - exact).abs().mean().item() for k in (one, 1)]
    rows[name] = [min(each), one, max(each), *errors]
    ax.scatter(exact, found, s=4, alpha=0.4, color=colour, linewidths=0)
    ax.axline((0, 0), slope=1 / one, color=plots.PUBLISHED, linewidth=1)
    ax.set(title=name, xlabel="true depth (mm)", ylabel=f"depth found ({unit_name})")
rows["Eq. 1"][-1] = np.nan  # units are not millimetres
plots.save_figure(figure, folder / "figures" / "01_free_depths.png")
plt.show()
print(f"Groups linked by ties: {groups.min()}, for {len(linked)} of {len(groups)} images")
if groups.min() == 1 and scale != "smoke":
    assert rows["likelihood"][4] < min(25, rows["Eq. 1"][3])
    assert abs(rows["likelihood"][1] - 1) < 0.1
columns = ["scale, least", "scale, all", "scale, most", "error, scaled (mm)", "error as it is (mm)"]
pd.DataFrame(rows, index=columns).T.round(2)

# %% [markdown]
# *Scale* is the number of true millimetres for one unit, or one millimetre, that was found, by person and for all; for the likelihood it should be 1. The *error* is the mean over joints, after the one best scale for all people and without any. For Eq. 1 the scale is the unit that would have been right. It was 299 mm for the ladder, where the step in units is a pure number; here it is another, and another for each person. Eq. 1 has no unit of its own.
#
# Annotators who err change this little, if one knows how they err. Let $m$ of them read the person of above with logistic noise of width 50 mm and a threshold, 100 mm in the first rows. The likelihood is told a width, its slope, and the threshold 100 mm. With the right ones its error vanishes with many annotators. With a wrong slope, or annotators of another threshold (last four rows), it keeps an error, mostly of scale. Eq. 1 is given the one scale that fits best. It still keeps an error that no number of annotators removes, because its depths have another shape.

# %%
rows = []
cases = [(m, 50.0, 100.0) for m in (3, 30, 300)]
cases += [(300, 25.0, 100.0), (300, 100.0, 100.0), (300, 50.0, 70.0), (300, 50.0, 140.0)]
for m, w, threshold in cases:
    answers = hear(m, width_mm=50.0, threshold_mm=threshold)
    z = consensus(answers, lambda z, r, w=w: tie_likelihood_loss(100 * z, r, slope_mm=w))
    in_mm, in_units = 100 * z, consensus(answers)
    best = best_scale(in_mm, truth)
    estimates = in_mm, best * in_mm, best_scale(in_units, truth) * in_units
    off = [(found - truth).square().mean().sqrt().item() for found in estimates]
    rows.append((m, w, threshold, best, *off))
columns = ["annotators", "slope in the loss (mm)", "their threshold (mm)", "scale"]
columns += ["error as it is (mm)", "error, scaled (mm)", "Eq. 1, scaled (mm)"]
table = pd.DataFrame(rows, columns=columns)
as_it_is = table["error as it is (mm)"]
assert as_it_is[2] < min(as_it_is[0], table["Eq. 1, scaled (mm)"][2], as_it_is[3:].min() / 3)
assert table["scale"][[4, 5]].max() < 0.95 < 1.05 < table["scale"][[3, 6]].min()
table.round(2)

# %% [markdown]
# ## A small network
#
# A network cannot give each person a scale of their own. What does it learn? `lifting.fit_depth_from_keypoints` trains a network with 34 inputs (the 2D joints), two hidden layers of 128 units and 17 depths as outputs, on the relations of the training people without S8. The output counts metres. Only the loss changes: Eq. 1 with z in different units, or the likelihood with slopes of 10 to 100 mm. From `desk` up each is trained with three seeds, before with one. One slope in this list is the package's default, `SLOPE_MM`. It was chosen on S8, by this table.


# %%
def train(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], start: int) -> torch.Tensor:
    """Depths of S8 in mm, minus their mean, by a network trained with this loss of mm."""
    network = lifting.fit_depth_from_keypoints(
        chosen.keypoints_px / side,
        chosen.relations,
        steps=20 if scale == "smoke" else 500,
        generator=torch.Generator().manual_seed(start),
        loss=lambda z, relations: loss(1000 * z, relations),
    )
    depth = 1000 * network(people.keypoints_px / side).double()
    return depth - depth.mean(1, keepdim=True)


side = get_scale(scale).image_size
fit = setting.load("studio", "fit")
chosen = fit.batch(np.linspace(0, len(fit) - 1, min(8000, len(fit))).astype(int))
options = {("Eq. 1", u): lambda z, r, u=u: losses.ranking_loss(z / u, r) for u in units}
for w in (10.0, 25.0, 50.0, 100.0):
    options["likelihood", w] = lambda z, r, w=w: tie_likelihood_loss(z, r, slope_mm=w)
seeds = range(seed, seed + (1 if scale in ("smoke", "quick") else 3))
with single_thread("cpu"):
    trained = {name: [train(loss, s) for s in seeds] for name, loss in options.items()}


# %%
def judge(depth: torch.Tensor) -> list[float]:
    """The scale of depths of S8, their error, and how far tied and ordered pairs lie apart."""
    best = best_scale(depth, true_mm)
    errors = [(k * depth - true_mm).abs().mean().item() for k in (1, best)]
    found, real = (z[:, :, None] - z[:, None] for z in (depth, true_mm))
    masks = [people.relations == 0, people.relations != 0]
    apart = [(found[m].square().mean() / real[m].square().mean()).sqrt().item() for m in masks]
    return [best, *errors, *apart, ordinal_accuracy(depth, people.relations).nanmean().item()]


judged = {name: np.array([judge(depth) for depth in runs]) for name, runs in trained.items()}
columns = ["scale", "error as it is (mm)", "error, scaled (mm)", "tied pairs", "ordered pairs"]
columns.append("ordinal accuracy")
table = pd.DataFrame({k: v.mean(0) for k, v in judged.items()}, index=columns).T
table.index.names = ["loss", "unit or slope (mm)"]
table["scale, spread of seeds"] = [np.ptp(v[:, 0]) for v in judged.values()]
tables.write_csv(table.assign(seeds=len(seeds)).reset_index(), folder / "tables" / "01_unit.csv")
eq1, explicit = table.loc["Eq. 1"], table.loc["likelihood"]
unit_factor, slope_factor = (t["scale"][10.0] / t["scale"][100.0] for t in (eq1, explicit))
print(f"From 10 to 100 mm: unit {unit_factor:.1f} times in scale, slope {slope_factor:.1f} times")
if scale != "smoke" and not setting.data:
    assert (eq1["scale"].diff().dropna() < 0).all() and eq1["scale"].iloc[0] > 10
    assert slope_factor < 3 < unit_factor
    assert 300 < eq1["scale"].iloc[0] / eq1["scale"].iloc[-1] < 3000  # 1000 times the unit
    assert explicit["error, scaled (mm)"].max() < eq1["error, scaled (mm)"].min()
    assert 1.5 > explicit["scale"].iloc[0] > 1 > explicit["scale"].iloc[-1] > 0.6
    assert (eq1["tied pairs"][unit] < explicit["tied pairs"]).all()
table.round(3)

# %% [markdown]
# *Scale*: true millimetres for one millimetre of the network; 1 is right, 10 means pressed together tenfold. *Tied pairs* and *ordered pairs*: root mean square distance of such pairs, over the true one. *Error*: mean over joints, with the depths as they are and after the one best scale, which cannot be known without metric depths. See in the left plot that the depths grow in proportion to the unit of Eq. 1, through three orders of magnitude. The line of Eq. 1 crosses 1 at the unit that is right for this network, once more another than for the ladder or the free depths. At the dotted line the threshold of Eq. 1 is 100 mm. The slope of the likelihood matters far less. The grey lines are the truth: scale 1, and depths equal to the true ones.

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
cases = [(eq1, "o-", plots.WEAK, "Eq. 1, by unit")]
cases += [(explicit, "s-", EXPLICIT, "likelihood, by slope")]
for part, marker, colour, label in cases:
    axes[0].loglog(part.index, 1 / part["scale"], marker, color=colour, label=label)
axes[0].axhline(1, color=plots.PUBLISHED, linewidth=1)
axes[0].axvline(own_unit, color=plots.PUBLISHED, linewidth=1, linestyle=":")
axes[0].set(xlabel="unit or slope (mm)", ylabel="learned depth / true depth")
axes[0].legend()
units_shown = {300: "#c2a5cf", losses.RANKING_UNIT_MM: plots.WEAK, 10: "black"}
cases = [(axes[1], ("Eq. 1", u), f"Eq. 1, unit {u:g} mm", c) for u, c in units_shown.items()]
cases += [(axes[2], ("likelihood", SLOPE_MM), f"likelihood, slope {SLOPE_MM:g} mm", EXPLICIT)]
for ax, name, label, colour in cases:
    points = true_mm[::20].flatten(), trained[name][0][::20].flatten()
    ax.scatter(*points, s=4, alpha=0.5, color=colour, label=label, linewidths=0)
    ax.set(xlabel="true depth (mm)", xlim=(-600, 600), ylim=(-1000, 1000))
for ax in axes[1:]:
    ax.axline((0, 0), slope=1, color=plots.PUBLISHED, linewidth=1)
    ax.legend(loc="lower right", markerscale=4)
axes[1].set_ylabel("depth by the network (mm)")
plots.save_figure(figure, folder / "figures" / "01_unit.png")
plt.show()

# %% [markdown]
# Read the table with care. With a small slope the network's depths are compressed, with a large one stretched. The answers are exact here, so the slope describes no annotators but what a network cannot know from 2D joints; for free depths 10 mm were enough. With slopes of 10 to 100 mm the scale is within about 40 % of the truth; the slope that makes it exact was chosen with metric depths, as a unit of Eq. 1 would be. The gain is that a wrong choice costs less: compare what ten times the slope and ten times the unit do to the scale, printed above the table. The unit of the dotted line needs no metric depths: the table shows how near it comes. The likelihood also leaves tied joints farther apart than Eq. 1 at 125 mm does: it only asks for less than 100 mm between them, where Eq. 1 pulls them to 0 mm. And one set of people with three seeds of the network, or one, is a small experiment.
#
# ## Summary
#
# - Eq. 1 is the Bradley-Terry likelihood of an answer, and a Gaussian for ties that shares no probability with it. It is convex; its forces are bounded for orders, unbounded for ties.
# - Missing pairs cost nothing. What the annotated pairs do not link moves freely.
# - Contradictions have a consensus: log odds for a pair, equal depths for a cycle, the Bradley-Terry solution for many annotators. Without contradictions and ties there is no minimum.
# - Depths are found up to a shift. Their scale is the margin's: a network's depths grow in proportion to the unit of z.
# - A likelihood with a threshold of 100 mm (Rao and Kupper, or Davidson) turns ties into a ruler. Free depths come out in millimetres from exact answers, and from noisy ones if the width and the threshold of the annotators are known. For a small network the slope still moves the scale, but far less than a unit moves that of Eq. 1, for which no single unit is right.
#
# ## Try it
#
# - Train four times as long (`steps`): do the scales of Eq. 1 and of the likelihood stay?
# - Put `model="davidson"` into the options. Which slope gives the right scale now? (Look at its softer curves.)
# - Let a tenth of the answers be wrong at random, not by noise. Which of the two losses suffers more?
