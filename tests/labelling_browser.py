"""A headless browser, the real command, and answering by keys and clicks, for tests of the tool."""

import re
import shutil
import subprocess
import sys

import pytest
from labelling_folders import truth

from ordlib.labelling.folder import pictures
from ordlib.labelling.joints import joints_of
from ordlib.labelling.messages import spoken
from ordlib.labelling.session import Session
from ordlib.skeleton import LSP14

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
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
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


FIXTURES = (browser, page, start)
"""For test modules to take over: `browser, page, start = labelling_browser.FIXTURES`."""


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


def on_disk(folder):
    """Events on disk that were not undone."""
    session = Session(folder, "ann")
    session.close()
    return session.labels.active


def answers_on_disk(folder):
    """Answers on disk that were not undone, with each pair in the order of the alphabet."""
    return in_order(
        (e.image, e.first, e.second, e.answer) for e in on_disk(folder) if e.kind == "answer"
    )


def pixels(page):
    """What the canvas shows."""
    return page.locator("canvas").screenshot()


def marker(page, folder, image, joint):
    """Where a joint is on the canvas: the person's box fills it, centred."""
    state = page.evaluate(
        "async () => (await fetch('/message', {method: 'POST', headers:"
        " {'Content-Type': 'application/json'}, body: '{\"type\": \"state\"}'})).json()"
    )
    left, top, right, bottom = state["image"]["box"]
    joints = joints_of(pictures(folder))
    x, y = joints.keypoints_px[joints.names.index(image), LSP14.index(joint)].tolist()
    assert left <= x <= right and top <= y <= bottom
    box = page.locator("canvas").bounding_box()
    zoom = min(box["width"] / (right - left), box["height"] / (bottom - top))
    return {
        "x": box["width"] / 2 + (x - (left + right) / 2) * zoom,
        "y": box["height"] / 2 + (y - (top + bottom) / 2) * zoom,
    }
