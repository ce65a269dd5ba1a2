"""Figures that several notebooks draw: people with their joints, skeletons in 3D, sheets of images.

Colours: right limbs orange, left limbs blue, trunk grey; weak supervision purple, full green.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ordlib.files import replacing
from ordlib.skeleton import H36M17, Skeleton

SIDE_COLOURS = {"right": "#e66101", "left": "#2b7bba", "trunk": "#555555"}
WEAK, FULL, PUBLISHED = "#7b3294", "#1b7837", "#999999"
TRUTH_COLOURS = {"right": "#fbc9a3", "left": "#b5d5ec", "trunk": "#cccccc"}
"""The same, pale: true skeletons under predicted ones."""

# texts are no LaTeX, whatever the user's matplotlibrc says
_PLAIN: dict[Any, Any] = {"text.usetex": False}
STYLE: dict[str, Any] = {
    **_PLAIN,
    "figure.dpi": 80,
    "savefig.dpi": 110,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def use_style() -> None:
    """Set the look of all notebooks' figures, and let Plotly store data instead of its library."""
    plt.style.use(STYLE)
    pio.renderers.default = "plotly_mimetype"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, replacing the file as a whole."""
    with replacing(path) as temporary, plt.rc_context(_PLAIN):
        figure.savefig(temporary, format="png")


def _colour(joint: str, colours: Mapping[str, str] = SIDE_COLOURS) -> str:
    return colours.get(joint.partition("_")[0], colours["trunk"])


def contact_sheet(
    images: UInt8[Tensor, "count 3 height width"], columns: int, gap: int = 2
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Images in rows of `columns`, with a white gap between them."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    padded = torch.full((rows * columns, 3, height + gap, width + gap), 255, dtype=torch.uint8)
    padded[:count, :, :height, :width] = images
    grid = padded.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2)
    return grid.reshape(rows * (height + gap), columns * (width + gap), 3).numpy()


def show_image(ax: Axes, image: UInt8[Tensor, "3 height width"], title: str = "") -> None:
    """An image in crop pixels, where the centre of the first pixel is at 0.5."""
    height, width = image.shape[-2:]
    ax.imshow(image.permute(1, 2, 0).numpy(), extent=(0, width, height, 0))
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(title)


def draw_joints(
    ax: Axes,
    keypoints_px: Float[Tensor, "joints 2"],
    skeleton: Skeleton = H36M17,
    marker: str = "o",
) -> None:
    """Bones and joints over an image, coloured by the person's own side."""
    points = keypoints_px.detach().cpu().numpy()
    for parent, child in skeleton.bones:
        colour = _colour(skeleton.joints[child])
        ax.plot(*points[[parent, child]].T, color=colour, linewidth=1.5)
    colours = [_colour(name) for name in skeleton.joints]
    ax.scatter(points[:, 0], points[:, 1], c=colours, s=8, marker=marker, zorder=3)


def draw_skeleton(
    ax: Axes,
    joints_mm: Float[Tensor, "joints 3"],
    side_view: bool = False,
    alpha: float = 1.0,
    skeleton: Skeleton = H36M17,
    colours: Mapping[str, str] = SIDE_COLOURS,
    linewidth: float = 1.5,
) -> None:
    """A skeleton as the camera sees it (x, y), or from its right side (depth, y); axes in mm."""
    columns = [2, 1] if side_view else [0, 1]
    points = joints_mm.detach().cpu().numpy()[:, columns]
    for parent, child in skeleton.bones:
        colour = _colour(skeleton.joints[child], colours)
        ax.plot(*points[[parent, child]].T, color=colour, alpha=alpha, linewidth=linewidth)
    ax.set_aspect("equal")
    ax.set_xlim(-1000, 1000)
    ax.set_ylim(1000, -1000)
    ax.set_xlabel("z, away from the camera (mm)" if side_view else "x (mm)")
    ax.set_ylabel("y (mm)")


def draw_example(
    axes: Sequence[Axes],
    image: UInt8[Tensor, "3 height width"],
    keypoints_px: Float[Tensor, "joints 2"],
    joints_mm: Float[Tensor, "joints 3"],
    truth_mm: Float[Tensor, "joints 3"],
    title: str = "",
) -> None:
    """An image with 2D joints, the pose from the camera and turned by 90 degrees (Figure 4).

    The truth lies under the poses in pale colours. Both are drawn as large as fits, without axes.

    Args:
        axes: three of them.
    """
    show_image(axes[0], image, title)
    draw_joints(axes[0], keypoints_px)
    reach = 1.05 * torch.stack([joints_mm, truth_mm]).abs().max().item()
    for ax, side_view in ((axes[1], False), (axes[2], True)):
        draw_skeleton(ax, truth_mm, side_view, colours=TRUTH_COLOURS, linewidth=4)
        draw_skeleton(ax, joints_mm, side_view)
        ax.set_xlim(-reach, reach)
        ax.set_ylim(reach, -reach)
        ax.set_title("turned by 90°" if side_view else "from the camera", fontsize=8)
        ax.set_axis_off()


def turnable_skeletons(
    poses_mm: Sequence[Float[Tensor, "joints 3"]],
    names: Sequence[str],
    skeleton: Skeleton = H36M17,
) -> go.Figure:
    """Skeletons in one Plotly scene to turn with the mouse; axes in mm, y up on the screen."""
    figure = go.Figure()
    dashes = ("solid", "dash", "dot")
    for number, (pose, name) in enumerate(zip(poses_mm, names, strict=True)):
        style = {"width": 6, "dash": dashes[number % 3]}
        _add_skeleton(figure, pose, name, skeleton, SIDE_COLOURS, style)
    figure.update_layout(**_layout("data"))
    return figure


def turnable_examples(
    examples: Mapping[str, tuple[Float[Tensor, "joints 3"], Float[Tensor, "joints 3"]]],
    skeleton: Skeleton = H36M17,
) -> go.Figure:
    """One pose at a time to turn with the mouse, chosen from a menu, the truth in pale colours; mm.

    Args:
        examples: by the text of the menu, the predicted and the true pose.
    """
    figure = go.Figure()
    for pose, truth in examples.values():
        _add_skeleton(figure, truth, "truth", skeleton, TRUTH_COLOURS, {"width": 8})
        _add_skeleton(figure, pose, "predicted", skeleton, SIDE_COLOURS, {"width": 5})
    each = 2 * len(SIDE_COLOURS)
    shown = [
        [place // each == number for place in range(len(figure.data))]
        for number in range(len(examples))
    ]
    buttons = [
        {"label": name, "method": "restyle", "args": [{"visible": visible}]}
        for name, visible in zip(examples, shown, strict=True)
    ]
    for trace, visible in zip(figure.data, shown[0], strict=True):
        trace.visible = visible
    menu = {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.0, "yanchor": "top"}
    # the same axes for all, so that poses can be compared
    reach = 1.05 * max(torch.stack(pair).abs().max().item() for pair in examples.values())
    figure.update_layout(updatemenus=[menu], **_layout("cube", 0.75, range=[-reach, reach]))
    return figure


def _layout(aspect: str, distance: float = 1.0, **axis: Any) -> dict[str, Any]:
    """A scene without margins, seen from about where the camera was."""
    titles = {"xaxis": "x (mm)", "yaxis": "depth (mm)", "zaxis": "up (mm)"}
    axes = {name: {"title": {"text": title}, **axis} for name, title in titles.items()}
    camera = {"eye": {"x": 0.6 * distance, "y": -2.0 * distance, "z": 0.4 * distance}}
    return {
        "template": "none",
        "height": 420,
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "scene": {**axes, "aspectmode": aspect, "camera": camera},
    }


def _add_skeleton(
    figure: go.Figure,
    pose_mm: Tensor,
    name: str,
    skeleton: Skeleton,
    colours: Mapping[str, str],
    style: Mapping[str, Any],
) -> None:
    """One line for each side, y up on the screen."""
    points = pose_mm.detach().cpu().numpy().astype(np.float32)
    for side, colour in colours.items():
        line = _polyline(points, side, skeleton)
        figure.add_scatter3d(
            x=line[:, 0],
            y=line[:, 2],
            z=-line[:, 1],
            mode="lines",
            line={"color": colour, **style},
            name=f"{name}, {side}",
        )


def _polyline(points: np.ndarray, side: str, skeleton: Skeleton) -> np.ndarray:
    """All bones of a side as one line with breaks (NaN) between them."""
    broken = np.full((1, 3), np.nan, dtype=points.dtype)
    chosen = [
        bone for bone in skeleton.bones if _colour(skeleton.joints[bone[1]]) == SIDE_COLOURS[side]
    ]
    return np.concatenate([part for bone in chosen for part in (points[list(bone)], broken)])


def prediction_figure(
    image: UInt8[Tensor, "3 height width"],
    keypoints_px: Float[Tensor, "joints 2"],
    joints_mm: Float[Tensor, "joints 3"],
    note: str = "",
    title: str = "",
) -> Figure:
    """An image with its 2D joints, and the 3D skeleton from the camera and from the side."""
    with plt.rc_context(_PLAIN | {"text.parse_math": False}):  # a title may be a file's name
        figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
        show_image(axes[0], image, "2D joints")
        draw_joints(axes[0], keypoints_px)
        draw_skeleton(axes[1], joints_mm)
        axes[1].set_title("3D, from the camera")
        draw_skeleton(axes[2], joints_mm, side_view=True)
        axes[2].set_title("3D, from the side")
        if note:
            figure.supxlabel(textwrap.fill(note, 150), fontsize=8)
        if title:
            figure.suptitle(title)
    return figure
