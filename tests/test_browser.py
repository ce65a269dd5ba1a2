"""The annotation tool in a real browser, from the first question to the last."""

import json
import shutil
import signal
from base64 import b64encode

import labelling_browser
import numpy as np
import pytest
import torch
from labelling_browser import WAYS, in_journal, in_order, label, marker, question, token
from labelling_folders import make_folder, true_relations, truth

from ordlib.datasets import lsp_mpii_ordinal
from ordlib.labelling import AnnotationWidget
from ordlib.labelling.files import read_joints
from ordlib.labelling.journal import read_journal
from ordlib.labelling.labels import CLICK_ORDER
from ordlib.labelling.messages import spoken
from ordlib.labelling.photographs import image_files
from ordlib.skeleton import LSP14, convert

browser, page, start = labelling_browser.FIXTURES


def made_up(folder, _):
    return make_folder(folder)


def photographs(folder, request):
    """Three photographs of LSP Extended with their joints; depths are made up."""
    source = request.getfixturevalue("shared_data") / "lspet"
    folder.mkdir()
    for name in ("im00001.jpg", "im00002.jpg", "im00004.jpg"):
        shutil.copy(source / "images" / name, folder)
    shutil.copy(source / "joints.mat", folder)
    generator = np.random.default_rng(3)
    return {path.name: generator.integers(0, 6, 14) for path in image_files(folder)}


@pytest.mark.parametrize("make", [made_up, photographs])
def test_three_images_from_the_first_question_to_the_last(make, tmp_path, request, page, start):
    folder = tmp_path / "my photographs"
    ranks = make(folder, request)
    process, address = start(folder)
    page.goto(address)
    given = label(page, ranks, 20)
    assert page.screenshot()

    process.send_signal(signal.SIGKILL)
    process.wait()
    page.keyboard.press("1")
    page.wait_for_selector(".message.error:visible")
    assert "This was not saved" in page.inner_text(".message")
    assert in_journal(folder) == in_order(given)

    _, address = start(folder)
    page.goto(address)
    assert token(page) == 20
    given += label(page, ranks)
    assert in_journal(folder) == in_order(given)
    assert page.inner_text("h1") == "All done"
    assert "3\nimages complete" in page.inner_text(".done")

    page.click(".done [data-action=export]")
    page.wait_for_selector(".exported:visible")
    exported = folder / "annotations" / "export"
    assert f"exported {len(given)} answers about 3 images" in page.inner_text(".exported")
    check_export(exported, folder, ranks)
    plain = json.loads((exported / "annotations.json").read_text())
    assert len(plain["events"]) == len(given)


def check_export(exported, folder, ranks):
    """The loader of the real data set reads the relations that were seen."""
    data = lsp_mpii_ordinal.load(exported)
    images = image_files(folder)
    file = next(folder.glob("joints.*"))
    present = read_joints(file, images).present
    batch = data.batch(list(range(len(images))))
    back = [data.skeleton.joints.index("thorax" if j == "neck" else j) for j in LSP14.joints]
    for row, path in enumerate(images):
        both = present[row][:, None] & present[row] & ~torch.eye(14, dtype=torch.bool)
        known = batch.annotated[row][back][:, back]
        assert known.equal(both)
        relations = batch.relations[row][back][:, back].numpy()
        assert (relations == true_relations(ranks[path.name]))[both.numpy()].all()
    assert convert(batch.keypoints_px, data.skeleton, LSP14).shape == (len(images), 14, 2)


def test_going_back_putting_aside_and_markers(tmp_path, page, start):
    ranks = make_folder(tmp_path)
    _, address = start(tmp_path)
    page.goto(address)
    token(page)
    assert page.is_disabled("[data-action=back]")
    given = label(page, ranks, 4)
    page.keyboard.press("Backspace")
    page.wait_for_selector("main[data-token$='-5'][data-busy=false]")
    assert question(page) == given[3][:3]
    page.keyboard.press("s")
    page.wait_for_selector("main[data-token$='-6'][data-busy=false]")
    assert question(page)[0] != given[3][0]
    image, first, second = question(page)
    canvas = page.locator("canvas")
    canvas.click(position=marker(page, tmp_path, image, second))
    page.wait_for_selector("main[data-token$='-7'][data-busy=false]")
    assert in_journal(tmp_path) == in_order([*given[:3], (image, first, second, "farther")])
    page.keyboard.press("?")
    assert page.is_visible(".help")
    page.keyboard.press("1")  # closes the help and answers nothing
    assert page.is_hidden(".help") and token(page) == 7
    page.keyboard.press("z")
    label(page, ranks)
    assert "All done" in page.inner_text("h1")


RUN_WIDGET = """async ([script, style]) => {
  const heard = [];
  const model = {
    send: async (content) => {
      const [reply, buffers] = await window.toKernel(content);
      const bytes = buffers.map((text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
      for (const hear of heard) hear(reply, bytes);
    },
    on: (name, hear) => name === "msg:custom" && heard.push(hear),
    off: () => heard.splice(0),
  };
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const widget = await import(address);
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const el = document.createElement("main");
  document.body.append(el);
  window.unmount = widget.default.render({ model, el });
}"""


def test_the_widget_shows_the_same_page(tmp_path, page):
    ranks = make_folder(tmp_path)
    widget = AnnotationWidget(tmp_path, "ann")
    sent = []
    widget.send = lambda content, buffers=(): sent.append((content, buffers))

    def to_kernel(content):
        widget._handle_custom_msg(content, [])
        reply, buffers = sent[-1]
        return [reply, [b64encode(data).decode() for data in buffers]]

    page.expose_function("toKernel", to_kernel)
    page.evaluate(RUN_WIDGET, [widget._esm, widget._css])
    root = page.locator(".ordlib-annotate")
    page.wait_for_selector(".ordlib-annotate[data-token$='-0'][data-busy=false]")
    assert root.get_attribute("data-lm-suppress-shortcuts") == "true"
    page.keyboard.press("1")  # not for the widget as long as it has no focus
    root.focus()
    count = 0
    while root.get_attribute("data-phase") != "done":
        answer = truth(ranks[question(page)[0]], *question(page)[1:])
        page.keyboard.press(WAYS[answer][0].split()[1])
        count += 1
        page.wait_for_selector(f".ordlib-annotate[data-token$='-{count}'][data-busy=false]")
    assert len(in_journal(tmp_path)) == count == widget.session.progress()["answers"]
    assert widget.session.progress()["complete"] == 3
    page.evaluate("window.unmount()")
    widget.close()


def test_joints_are_clicked_where_no_file_has_them(tmp_path, page, start):
    make_folder(tmp_path, names=("one.png",), joints=False)
    _, address = start(tmp_path)
    page.goto(address)
    token(page)
    box = page.locator("canvas").bounding_box()
    zoom = min(box["width"] / 120, box["height"] / 160)
    expected = {}
    for number, joint in enumerate(CLICK_ORDER):
        assert page.inner_text("h1") == f"Click the {spoken(joint)}"
        point = (10 + 7 * number, 150 - 9.5 * number)
        if joint == "neck":
            page.keyboard.press("n")
        else:
            expected[joint] = point
            x = box["width"] / 2 + (point[0] - 60) * zoom
            y = box["height"] / 2 + (point[1] - 80) * zoom
            page.locator("canvas").click(position={"x": x, "y": y})
        page.wait_for_selector(f"main[data-token$='-{number + 1}'][data-busy=false]")
    page.wait_for_selector("main[data-phase=pair]")
    _, events = read_journal(tmp_path / "annotations" / "ann.jsonl")
    clicked = {event["joint"]: event["point"] for event in events}
    assert clicked.pop("neck") is None
    for joint, point in expected.items():
        assert clicked[joint] == pytest.approx(point, abs=1 / zoom + 0.01)
