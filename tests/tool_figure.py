"""Draws the picture of the annotation tool that the README and notebook 02 show.

    .venv/bin/python tests/tool_figure.py outputs/desk/figures/02_tool.png

Labels rendered people by the tool in a headless browser and photographs the page on the way.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from labelling_browser import ARGUMENTS, label, open_tool, token
from PIL import Image
from playwright.sync_api import sync_playwright

from ordlib.labelling.joints import write_joints
from ordlib.skeleton import H36M17, LSP14, convert
from ordlib.synthetic.domains import DOMAINS
from ordlib.synthetic.making import Maker

PEOPLE, SIDE = 12, 480
ANSWERED = 4


def render_people(folder: Path) -> dict[str, torch.Tensor]:
    """Images of `wild` and their joints in a folder; a rank for each joint of each image."""
    maker = Maker(DOMAINS["wild"], "train", PEOPLE, SIDE, seed=0)
    arrays = next(maker.chunks())
    depth_mm = next(maker.filmed()).joints_mm[..., 2:]
    paths = [folder / f"person{number:02}.png" for number in range(PEOPLE)]
    for path, image in zip(paths, arrays["images"], strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(path)
    points = convert(torch.from_numpy(arrays["keypoints_px"]), H36M17, LSP14)
    present = ((points > 0) & (points < SIDE)).all(-1)
    write_joints(folder / "joints.csv", [path.name for path in paths], points, present)
    ranks = (convert(depth_mm, H36M17, LSP14)[..., 0] / 100).round().numpy()
    return {path.name: rank for path, rank in zip(paths, ranks, strict=True)}


def main(target: Path) -> None:
    """Label some questions and save the page as a PNG file."""
    with TemporaryDirectory() as folder, sync_playwright() as play:
        ranks = render_people(Path(folder))
        process, address = open_tool(folder)
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 900, "height": 600})
        page.goto(address)
        label(page, ranks, ANSWERED)
        token(page)
        page.mouse.move(0, 0)
        page.wait_for_timeout(1200)  # until the flash of a new pair is over
        page.screenshot(path=target)
        browser.close()
        process.terminate()
        process.communicate()
    page = Image.open(target).convert("P", palette=Image.Palette.ADAPTIVE, colors=96)
    page.save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
