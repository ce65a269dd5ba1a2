"""The annotation tool in a real browser, from the first question to the last."""

import json
import shutil
import signal
from base64 import b64encode

import labelling_browser
import numpy as np
import pytest
from labelling_browser import (
    WAYS,
    answers_on_disk,
    in_order,
    label,
    marker,
    on_disk,
    pixels,
    question,
    token,
)
from labelling_folders import make_folder, truth
from PIL import Image

from ordlib.labelling import AnnotationWidget
from ordlib.labelling.labels import CLICK_ORDER
from ordlib.labelling.messages import spoken

browser, page, start = labelling_browser.FIXTURES


def wait(page, number, phase="pair"):
    page.wait_for_selector(f"main[data-token$='-{number}'][data-phase={phase}][data-busy=false]")


def photographs(folder, request):
    """Three photographs of LSP Extended with their joints; depths are made up."""
    source = request.getfixturevalue("shared_data") / "lspet"
    folder.mkdir()
    for name in ("im00001.jpg", "im00002.jpg", "im01500.jpg"):
        shutil.copy(source / "images" / name, folder)
    shutil.copy(source / "joints.mat", folder)
    generator = np.random.default_rng(3)
    return {path.name: generator.integers(0, 6, 14) for path in folder.glob("*.jpg")}


@pytest.mark.parametrize("make", [lambda folder, _: make_folder(folder), photographs])
def test_three_images_from_the_first_question_to_the_last(make, tmp_path, request, page, start):
    folder = tmp_path / "my photographs"
    ranks = make(folder, request)
    process, address = start(folder)
    page.goto(address)
    given = label(page, ranks, 20)
    assert page.screenshot() and "token" not in page.url

    process.send_signal(signal.SIGKILL)
    process.wait()
    page.keyboard.press("1")
    page.wait_for_selector(".message.error:visible")
    assert "This was not saved" in page.inner_text(".message")
    assert answers_on_disk(folder) == in_order(given)

    _, address = start(folder)
    page.goto(address)
    assert token(page) == 20
    given += label(page, ranks)
    assert answers_on_disk(folder) == in_order(given)
    assert page.inner_text("h1") == "All done"
    assert "3\nimages complete" in page.inner_text(".done")
    page.click(".done [data-action=export]")
    page.wait_for_selector(".exported:visible")
    assert f"exported {len(given)} answers about 3 images" in page.inner_text(".exported")
    plain = json.loads((folder / "annotations" / "export" / "annotations.json").read_text())
    assert len(plain["events"]) == len(given)


def test_going_back_putting_aside_and_markers(tmp_path, page, start):
    ranks = make_folder(tmp_path)
    (tmp_path / "far.webp").write_text("x")
    _, address = start(tmp_path)
    page.goto(address)
    token(page)
    assert page.is_disabled("[data-action=back]")
    given = label(page, ranks, 4)
    page.keyboard.press("Backspace")
    wait(page, 5)
    assert question(page) == given[3][:3]
    page.keyboard.press("s")
    wait(page, 6)
    aside = given[3][0]
    image, first, second = question(page)
    assert image != aside
    places = [marker(page, tmp_path, image, joint) for joint in (first, second)]
    assert places[0]["x"] <= places[1]["x"]  # the left key is the left marker
    page.locator("canvas").click(position=places[1])
    wait(page, 7)
    assert answers_on_disk(tmp_path) == in_order([*given[:3], (image, first, second, "farther")])
    page.keyboard.press("?")
    assert page.is_visible(".help")
    page.keyboard.press("1")  # closes the help and answers nothing
    assert page.is_hidden(".help") and token(page) == 7
    page.keyboard.press("z")
    label(page, ranks)
    assert page.inner_text("h1") == "Done, but for what was put aside"
    assert f"Put aside: {aside}" in page.inner_text(".done")
    assert "left out: 1 file of other kinds (.webp)" in page.inner_text(".done")
    page.click("[data-action=again]")
    page.wait_for_selector("main[data-phase=pair][data-busy=false]")
    assert page.inner_text(".name") == aside


def test_two_windows_answer_each_question_once(tmp_path, browser, page, start):
    ranks = make_folder(tmp_path)
    _, address = start(tmp_path)
    other = browser.new_page()
    for window in (page, other):
        window.goto(address)
        token(window)
    given = label(page, ranks, 3)
    other.keyboard.press("1")
    other.wait_for_selector(".message.notice:visible")
    assert token(other) == 3 and question(other) == question(page)
    given += label(other, ranks, 2)
    assert answers_on_disk(tmp_path) == in_order(given)
    other.close()


def test_without_the_secret_nothing_is_shown_and_nobody_may_frame_it(
    tmp_path, browser, page, start
):
    make_folder(tmp_path)
    _, address = start(tmp_path)
    bare = address.partition("?")[0]
    stranger = browser.new_context().new_page()
    assert stranger.goto(bare).status == 403
    stranger.context.close()
    page.goto(address)
    token(page)
    page.reload()  # the cookie is enough
    token(page)
    page.set_content(f"<iframe src={address}></iframe>")
    page.wait_for_timeout(500)
    assert page.frames[1].locator(".answers").count() == 0


def test_try_again_keeps_the_answer(tmp_path, page, start):
    make_folder(tmp_path)
    _, address = start(tmp_path)
    page.goto(address)
    token(page)
    page.route("**/message", lambda route: route.abort(), times=1)
    page.keyboard.press("1")
    page.wait_for_selector(".message.error:visible")
    page.click("[data-action=again-send]")
    wait(page, 1)
    assert len(answers_on_disk(tmp_path)) == 1


def test_a_picture_lies_as_it_is_learned_from(tmp_path, page, start):
    """A red left half in the file that XMP, but not EXIF, would turn: browsers differ."""
    image = np.zeros((80, 120, 3), np.uint8)
    image[:, :60, 0] = 255
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a tiff:Orientation='6'/></x:xmpmeta>"
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(image).save(tmp_path / "a.jpg", xmp=xmp)
    Image.fromarray(image).save(tmp_path / "b.jpg", exif=exif)
    _, address = start(tmp_path)
    page.goto(address)
    # the red half lies on the left, or turned at the top
    for name, size, red in (("a.jpg", [120, 80], [0, 1]), ("b.jpg", [80, 120], [1, 0])):
        token(page)
        state = page.evaluate(
            "async () => (await fetch('/message', {method: 'POST', headers: {'Content-Type':"
            " 'application/json'}, body: '{\"type\": \"state\"}'})).json()"
        )
        assert (state["image"]["name"], state["image"]["size"]) == (name, size)
        shown = page.evaluate(
            """async (id) => {
              const image = new Image();
              image.src = `/image/${id}`;
              await image.decode();
              const canvas = document.createElement("canvas");
              [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
              const context = canvas.getContext("2d");
              context.drawImage(image, 0, 0);
              const at = (x, y) => context.getImageData(x, y, 1, 1).data[0];
              const [right, low] = [canvas.width - 3, canvas.height - 3];
              return [canvas.width, canvas.height, at(2, 2), at(right, 2), at(2, low)];
            }""",
            state["image"]["id"],
        )
        assert shown[:2] == size and shown[2] > 200
        assert [value > 200 for value in shown[3:]] == red
        page.keyboard.press("s")
        page.wait_for_timeout(300)


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
    assert len(answers_on_disk(tmp_path)) == count == widget.session.progress()["answers"]
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
        last = number + 1 == len(CLICK_ORDER)
        wait(page, number + 1, "pair" if last else "joint")
    clicked = {event.first: event.point for event in on_disk(tmp_path)}
    assert clicked.pop("neck") is None
    for joint, point in expected.items():
        assert clicked[joint] == pytest.approx(point, abs=1 / zoom + 0.01)


def test_a_wheel_goes_nearer_and_clicks_stay_exact(tmp_path, page, start):
    make_folder(tmp_path, names=("one.png",), joints=False)
    _, address = start(tmp_path)
    page.goto(address)
    token(page)
    box = page.locator("canvas").bounding_box()
    fit = min(box["width"] / 120, box["height"] / 160)
    at = (box["x"] + box["width"] / 2 + 20 * fit, box["y"] + box["height"] / 2 - 30 * fit)
    far = pixels(page)
    page.mouse.move(*at)
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(300)
    assert pixels(page) != far
    page.mouse.click(*at)  # what is under the pointer stays there
    wait(page, 1, "joint")
    page.mouse.click(at[0] + 3 * fit, at[1])
    wait(page, 2, "joint")
    page.keyboard.press("z")  # all of it again
    page.mouse.click(at[0] + 3 * fit, at[1])
    wait(page, 3, "joint")
    points = [event.point for event in on_disk(tmp_path)]
    assert points[0] == pytest.approx((80, 50), abs=1 / fit)
    times = np.exp(0.002 * 600)
    assert points[1] == pytest.approx((80 + 3 / times, 50), abs=1 / fit)
    assert points[2] == pytest.approx((83, 50), abs=1 / fit)


@pytest.mark.parametrize("size", [(390, 844), (844, 390)])
def test_a_phone_gives_the_room_to_the_photograph(tmp_path, page, start, size):
    make_folder(tmp_path)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    _, address = start(tmp_path)
    page.goto(address)
    token(page)
    assert page.locator("kbd:visible").count() == 0 and page.is_hidden(".hint")
    assert page.locator("header").bounding_box()["height"] < 40
    assert page.locator("canvas").bounding_box()["height"] > 0.55 * size[1]
    footer = page.locator("footer").bounding_box()
    assert footer["y"] + footer["height"] <= size[1]
