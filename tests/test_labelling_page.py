"""What the page of the tool does in a browser when something is out of the ordinary."""

import labelling_browser
import numpy as np
import pytest
from labelling_browser import give, in_journal, label, marker, pixels, question, token
from labelling_folders import make_folder, truth
from PIL import Image

from ordlib.labelling.journal import read_journal
from ordlib.labelling.session import Session
from ordlib.skeleton import LSP14

browser, page, start = labelling_browser.FIXTURES


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
    process.wait()
    page.keyboard.press("1")
    page.wait_for_selector(".message.error:visible")
    start(tmp_path, address.rstrip("/").rpartition(":")[2])
    page.click("[data-action=again-send]")
    page.wait_for_selector("main[data-token$='-1'][data-busy=false]")
    assert len(in_journal(tmp_path)) == 1


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
    near = pixels(page)
    assert near != far
    page.mouse.click(*at)  # what is under the pointer stays there
    page.wait_for_selector("main[data-token$='-1'][data-busy=false]")
    page.mouse.click(at[0] + 3 * fit, at[1])
    page.wait_for_selector("main[data-token$='-2'][data-busy=false]")
    page.keyboard.press("z")  # all of it again
    page.mouse.click(at[0] + 3 * fit, at[1])
    page.wait_for_selector("main[data-token$='-3'][data-busy=false]")
    _, events = read_journal(tmp_path / "annotations" / "ann.jsonl")
    points = [event["point"] for event in events]
    assert points[0] == pytest.approx([80, 50], abs=1 / fit)
    times = np.exp(0.002 * 600)
    assert points[1] == pytest.approx([80 + 3 / times, 50], abs=1 / fit)
    assert points[2] == pytest.approx([83, 50], abs=1 / fit)


def test_the_lens_is_for_large_photographs(tmp_path, page, start):
    shown = {}
    for size in (150, 1500):
        folder = tmp_path / str(size)
        folder.mkdir()
        pattern = np.indices((size, size)).sum(0) % 251
        Image.fromarray(pattern.astype(np.uint8)).save(folder / "one.png")
        _, address = start(folder)
        page.mouse.move(5, 5)
        page.goto(address)
        token(page)
        far = pixels(page)
        page.mouse.move(550, 350)
        page.wait_for_timeout(200)
        shown[size] = pixels(page) != far
    assert shown == {150: False, 1500: True}


def test_the_last_page_names_what_is_left(tmp_path, page, start):
    ranks = make_folder(tmp_path)
    (tmp_path / "far.webp").write_text("x")
    _, address = start(tmp_path)
    page.goto(address)
    token(page)
    image = page.inner_text(".name")
    page.keyboard.press("s")
    page.wait_for_selector("main[data-token$='-1'][data-busy=false]")
    while page.inner_text(".name") != image:
        label(page, ranks, 1)
        token(page)
    page.keyboard.press("s")
    page.wait_for_selector("main[data-phase=done][data-busy=false]")
    assert page.inner_text("h1") == "Done, but for what was put aside"
    assert f"Put aside: {image}" in page.inner_text(".done")
    assert "left out: 1 file of other kinds (.webp)" in page.inner_text(".done")
    page.click(".done [data-action=export]")
    page.wait_for_selector(".exported:visible")
    button = page.locator(".done [data-action=export]").bounding_box()
    text = page.locator(".exported").bounding_box()
    assert button["y"] + button["height"] <= text["y"] < button["y"] + 100
    page.click("[data-action=again]")
    page.wait_for_selector("main[data-phase=pair][data-busy=false]")
    assert page.inner_text(".name") == image


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


def test_a_broken_question_can_be_gone_back_from(tmp_path, page, start):
    make_folder(tmp_path)
    _, address = start(tmp_path)

    def break_once(route):
        reply = route.fetch()
        shown = {**reply.json(), "phase": "broken", "error": "joints: found others"}
        del shown["progress"], shown["upcoming"], shown["image"]
        route.fulfill(response=reply, json=shown)

    page.goto(address)
    token(page)
    page.route("**/message", break_once, times=1)
    page.keyboard.press("1")
    page.wait_for_selector("main[data-phase=broken][data-busy=false]")
    assert page.inner_text(".message") == "joints: found others"
    page.click("[data-action=back]")
    page.wait_for_selector("main[data-phase=pair][data-busy=false]")
    assert in_journal(tmp_path) == []
