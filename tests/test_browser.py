"""The annotation tool in a real browser, from the first question to the last."""

import json
import re
import shutil
import signal
import subprocess
import sys
from base64 import b64encode

import numpy as np
import pytest
import torch
from labelling_folders import make_folder, true_relations, truth

from ordlib.datasets import lsp_mpii_ordinal
from ordlib.labelling import AnnotationWidget
from ordlib.labelling.files import read_joints
from ordlib.labelling.journal import active, read_journal
from ordlib.labelling.labels import CLICK_ORDER
from ordlib.labelling.messages import spoken
from ordlib.labelling.photographs import image_files
from ordlib.labelling.session import Session
from ordlib.skeleton import LSP14, convert

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
JOINT_OF = {spoken(joint): joint for joint in LSP14.joints}


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed (looked for {', '.join(BROWSERS)})")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """An empty page whose scripts may not fail."""
    page = browser.new_page(viewport={"width": 1100, "height": 760})
    failures = []
    page.on("pageerror", lambda error: failures.append(error))
    yield page
    page.close()
    assert failures == []


def open_tool(folder, port=0):
    """Start the real command on a folder; its process and address."""
    command = [sys.executable, "-m", "ordlib", "annotate", str(folder)]
    options = ["--annotator", "ann", "--no-browser", "--port", str(port)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if found := re.match(r"http://\S+", line):
            return process, found[0]
    raise AssertionError("the command ended before it printed an address")


@pytest.fixture
def start():
    """`open_tool`; what it started ends with the test."""
    running = []

    def begin(folder, port=0):
        opened = open_tool(folder, port)
        running.append(opened[0])
        return opened

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def token(page):
    """Wait until the page shows a question that can be answered; its number."""
    page.wait_for_selector("main[data-busy=false][data-token]")
    return int(page.get_attribute("main", "data-token").rpartition("-")[2])


def question(page):
    """Image and both joints of the question that is shown."""
    names = page.locator(".answers b").all_inner_texts()
    return page.inner_text(".name"), JOINT_OF[names[0]], JOINT_OF[names[2]]


WAYS = {
    "closer": ["key 1", "key ArrowLeft", "key c", "button closer"],
    "farther": ["key 2", "key ArrowRight", "key f", "button farther"],
    "ambiguous": ["key 3", "key ArrowDown", "key a", "key Space", "button ambiguous"],
}


def give(page, answer, number):
    """Answer by one of the ways that the page offers, and wait until it is saved."""
    before = token(page)
    kind, what = WAYS[answer][number % len(WAYS[answer])].split()
    if kind == "key":
        page.keyboard.press(what)
    else:
        page.click(f".answers [data-action={what}]")
    page.wait_for_selector(f"main[data-token$='-{before + 1}'][data-busy=false]")


def label(page, ranks, count=10_000):
    """Answer up to `count` questions from known depths; what was answered."""
    given = []
    while len(given) < count and token(page) >= 0:
        if page.get_attribute("main", "data-phase") == "done":
            break
        image, first, second = question(page)
        answer = truth(ranks[image], first, second)
        give(page, answer, len(given))
        given.append((image, first, second, answer))
    return given


def in_order(answers):
    """Answers with each pair in the order of the alphabet; the page has it from left to right."""
    other = {"closer": "farther", "farther": "closer", "ambiguous": "ambiguous"}
    return [
        (image, first, second, answer) if first < second else (image, second, first, other[answer])
        for image, first, second, answer in answers
    ]


def in_journal(folder):
    """Answers on disk that were not undone, with each pair in the order of the alphabet."""
    _, events = read_journal(folder / "annotations" / "ann.jsonl")
    keys = ("image", "first", "second", "answer")
    return in_order(tuple(e[key] for key in keys) for e in active(events) if e["kind"] == "answer")


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


def test_the_left_key_is_the_left_marker(tmp_path, page, start):
    ranks = make_folder(tmp_path)
    _, address = start(tmp_path)
    page.goto(address)
    for number in range(12):
        token(page)
        image, first, second = question(page)
        places = [marker(page, tmp_path, image, joint) for joint in (first, second)]
        assert places[0]["x"] <= places[1]["x"]
        give(page, truth(ranks[image], first, second), number)
    session = Session(tmp_path, "bob")
    journal = read_journal(tmp_path / "annotations" / "ann.jsonl")[1]
    for event in journal:  # pairs are kept as they were asked, whatever the page showed
        asked = session.current().pair
        assert (event["first"], event["second"]) == tuple(LSP14.joints[j] for j in asked)
        assert event["answer"] == truth(ranks[event["image"]], event["first"], event["second"])
        session.answer(event["answer"], 1.0)
    session.close()


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


def pixels(page):
    """What the canvas shows."""
    return page.locator("canvas").screenshot()


def test_another_folder_at_the_same_address(tmp_path, browser, page, start):
    """Neither its images nor its questions are mistaken for those of the first."""
    for name, seed in (("one", 1), ("two", 2)):
        make_folder(tmp_path / name, ("a.png", "b.png"), seed=seed)
    process, address = start(tmp_path / "one")
    page.goto(address)
    token(page)
    first = pixels(page)
    process.kill()
    process.wait()
    start(tmp_path / "two", address.rstrip("/").rpartition(":")[2])
    page.keyboard.press("1")
    page.wait_for_selector(".message.notice:visible")
    assert in_journal(tmp_path / "two") == []
    page.keyboard.press("s")
    page.wait_for_selector("main[data-token$='-1'][data-busy=false]")
    page.keyboard.press("b")  # the first image again, without the notice
    page.wait_for_selector("main[data-token$='-2'][data-busy=false]")
    stale = pixels(page)
    page.goto(address)
    token(page)
    fresh = browser.new_page(viewport=page.viewport_size)
    fresh.goto(address)
    token(fresh)
    assert stale == pixels(page) == pixels(fresh) != first
    fresh.close()


def test_try_again_after_a_kill_keeps_the_answer(tmp_path, page, start):
    make_folder(tmp_path)
    process, address = start(tmp_path)
    page.goto(address)
    token(page)
    process.kill()
    process.communicate()
    page.keyboard.press("1")
    page.wait_for_selector(".message.error:visible")
    start(tmp_path, address.rstrip("/").rpartition(":")[2])
    page.click("[data-action=again-send]")
    page.wait_for_selector("main[data-token$='-1'][data-busy=false]")
    assert len(in_journal(tmp_path)) == 1


def marker(page, folder, image, joint):
    """Where a joint is on the canvas: the person's box fills it, centred."""
    place = next(i for i, path in enumerate(image_files(folder)) if path.name == image)
    state = page.evaluate(
        "async () => (await fetch('/message', {method: 'POST', headers:"
        " {'Content-Type': 'application/json'}, body: '{\"type\": \"state\"}'})).json()"
    )
    left, top, right, bottom = state["image"]["box"]
    joints = read_joints(folder / "joints.json", image_files(folder))
    x, y = joints.keypoints_px[place, LSP14.index(joint)].tolist()
    assert left <= x <= right and top <= y <= bottom
    box = page.locator("canvas").bounding_box()
    zoom = min(box["width"] / (right - left), box["height"] / (bottom - top))
    return {
        "x": box["width"] / 2 + (x - (left + right) / 2) * zoom,
        "y": box["height"] / 2 + (y - (top + bottom) / 2) * zoom,
    }


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
