"""Figures that several notebooks draw: what a reader sees of the data."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ordlib.plots import STYLE, contact_sheet, prediction_figure, save_figure, turnable_examples
from ordlib.skeleton import H36M17

IMAGE = torch.zeros(3, 64, 64, dtype=torch.uint8)


def poses(count: int) -> torch.Tensor:
    return 500 * torch.randn(count, 17, 3, generator=torch.Generator().manual_seed(count))


def drawn(traces) -> set[tuple[float, float, float]]:
    """The points of all lines, without the breaks."""
    points = np.concatenate([np.stack([trace.x, trace.y, trace.z], -1) for trace in traces])
    return {tuple(point) for point in points[~np.isnan(points[:, 0])].tolist()}


def test_the_menu_shows_one_example_at_a_time():
    """y points up on the screen and depth away from the reader."""
    pairs = {f"example {k}": (poses(2 * k + 1)[0], poses(2 * k + 2)[0]) for k in range(3)}
    figure = turnable_examples(pairs)
    (menu,) = figure.layout.updatemenus
    assert [button.label for button in menu.buttons] == list(pairs)
    shown = [list(button.args[0]["visible"]) for button in menu.buttons]
    assert [trace.visible for trace in figure.data] == shown[0]
    assert np.array(shown).sum(0).tolist() == [1] * len(figure.data)
    for visible, pair in zip(shown, pairs.values(), strict=True):
        traces = [trace for trace, is_on in zip(figure.data, visible, strict=True) if is_on]
        expected = torch.cat(pair)[:, [0, 2, 1]] * torch.tensor([1.0, 1.0, -1.0])
        assert drawn(traces) == {tuple(point) for point in expected.tolist()}


def test_a_contact_sheet_fills_its_last_row_with_white():
    images = torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 3, 4, 5)
    sheet = contact_sheet(images, 2, gap=1)
    assert sheet.shape == (10, 12, 3)
    assert sheet[[0, 0, 5, 5, 0], [0, 6, 0, 6, 5], 0].tolist() == [0, 1, 2, 255, 255]


def test_a_long_note_stays_inside_the_figure():
    note = "Depths are not to be trusted. " * 12
    figure = prediction_figure(IMAGE, torch.rand(len(H36M17), 2) * 64, poses(1)[0], note, "title")
    figure.draw_without_rendering()
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width


@pytest.mark.parametrize("style", [{}, STYLE])
def test_texts_are_no_latex_whatever_the_user_has_set(tmp_path, style):
    with plt.rc_context({"text.usetex": True} | style):
        points = torch.rand(len(H36M17), 2) * 64
        figure = prediction_figure(IMAGE, points, poses(1)[0], "50% of a_b", "my_photo #1 {$^$}")
        save_figure(figure, tmp_path / "figure.png")
        assert plt.rcParams["text.usetex"] == (not style)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
