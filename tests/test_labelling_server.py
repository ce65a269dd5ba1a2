"""The server and the widget: what they send, and whom they refuse."""

import gc
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from labelling_folders import make_folder

from ordlib.cli import main
from ordlib.errors import InputError
from ordlib.labelling import AnnotationWidget
from ordlib.labelling.journal import read_journal
from ordlib.labelling.session import Session


class Tool:
    """The real command as a process of its own."""

    def __init__(self, folder, *options):
        command = [sys.executable, "-m", "ordlib", "annotate", str(folder), "--no-browser"]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("http://"):
                break
        self.url = self.said[-1].split()[0] if self.said else ""

    def fetch(self, path, data=None, **headers):
        """Status, headers and body of a request; headers are named with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, named)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def say(self, **message):
        data = json.dumps(message).encode()
        status, _, body = self.fetch("message", data, Content_Type="application/json")
        assert status == 200
        return json.loads(body)

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=30)
        return rest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "with blank"
    make_folder(folder)
    return folder


@pytest.fixture(scope="module")
def tool(folder):
    tool = Tool(folder, "--annotator", "server")
    yield tool
    tool.end()


def test_pages_and_images(tool, folder):
    for path, kind in (("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css")):
        status, headers, body = tool.fetch(path)
        assert (status, headers.get_content_type()) == (200, kind)
        assert body
    for row, (name, kind) in enumerate(
        [("a.png", "image/png"), ("b sofa.jpg", "image/jpeg"), ("ü jump.JPG", "image/jpeg")]
    ):
        image = key_of(tool, row)
        status, headers, body = tool.fetch(image)
        assert (status, headers.get_content_type()) == (200, kind)
        assert body == (folder / name).read_bytes()


def key_of(tool, row):
    """Address of an image, as the page asks for it."""
    state = tool.say(type="state")
    known = {image["row"]: image["key"] for image in [state["image"], *state["upcoming"]]}
    return f"image/{row}?{known[row]}"


@pytest.mark.parametrize(
    "path",
    [
        *("image/3", "image/0", "image/0?0123456789ab", "image/-1", "image/../joints.json"),
        *("joints.json", "../a.png", "page.html"),
    ],
)
def test_nothing_else_is_served(tool, path):
    status, headers, body = tool.fetch(path)
    assert status == 404 and body.startswith(b"404: ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil", "[::1]:80"])
def test_a_foreign_name_for_this_machine_is_refused(tool, host):
    status, _, body = tool.fetch("image/0", Host=host)
    assert status == 403
    assert b"expected a request to 127.0.0.1 or localhost" in body


def test_other_sites_cannot_answer(tool):
    data = b'{"type": "state"}'
    good = {"Content_Type": "application/json"}
    for origin in ("http://evil.example", "null", tool.url.replace("http", "https").rstrip("/")):
        assert tool.fetch("message", data, Origin=origin, **good)[0] == 403
    assert tool.fetch("message", data, Origin=tool.url.rstrip("/"), **good)[0] == 200
    assert tool.fetch("message", data, Content_Type="text/plain")[0] == 415
    for broken in (b"{", b"[" * 60_000):
        assert tool.fetch("message", broken, **good)[0] == 400


def test_only_this_machine_is_listened_to(tool):
    port = int(tool.url.rstrip("/").rpartition(":")[2])
    try:
        found = socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)
    except OSError:
        pytest.skip("this machine's own name has no address")
    addresses = {info[4][0] for info in found}
    for address in addresses - {"127.0.0.1"}:
        with socket.socket() as probe:
            probe.settimeout(5)
            assert address.startswith("127.") or probe.connect_ex((address, port)) != 0


def test_an_answer_is_on_the_disk_when_the_page_hears_of_it(folder):
    tool = Tool(folder, "--annotator", "quick")
    said = tool.say(type="state")
    for count in range(5):
        said = tool.say(type="answer", answer="closer", seconds=1, token=said["token"])
        assert said["token"].endswith(f"-{count + 1}")
    tool.process.kill()
    tool.process.communicate()
    assert len(read_journal(folder / "annotations" / "quick.jsonl")[1]) == 5


def test_the_end_says_where_the_answers_are(folder):
    for number in (signal.SIGINT, signal.SIGTERM):
        tool = Tool(folder, "--annotator", f"ended {int(number)}")
        assert any("2 of 42 joints without a position" in line for line in tool.said)
        rest = tool.end(number)
        assert tool.process.returncode == 0
        assert f"ended {int(number)}.jsonl; the same command continues" in rest
        assert "0 of 3 images complete, 0 answers" in rest


def test_a_taken_port_and_a_second_server_are_messages(tool, folder, capsys):
    port = tool.url.rstrip("/").rpartition(":")[2]
    command = ["annotate", str(folder), "--no-browser"]
    assert main([*command, "--annotator", "other", "--port", port]) == 2
    assert capsys.readouterr().err.endswith(
        f"--port: expected a free port, found {port}: Address already in use\n"
    )
    assert main([*command, "--annotator", "server"]) == 2
    assert "in use by another server or notebook" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "nowhere: expected a folder of images, found no such folder"),
        ([".", "--annotator", "a/b"], "found"),
        ([".", "--joints", "none.csv"], "none.csv"),
        ([".", "--strategy", "informed"], "expected one of all, insertion, kinematic, merge"),
    ],
)
def test_bad_input_of_the_command(folder, options, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main(["annotate", "--no-browser", *options]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("ordlib: error: ") and message in captured.err
    assert captured.err.count("\n") == 1


def test_export_by_command(tmp_path, capsys):
    make_folder(tmp_path)
    assert main(["annotate", str(tmp_path), "--export"]) == 2
    assert "expected answers to export, found none" in capsys.readouterr().err
    widget = AnnotationWidget(tmp_path, "ann")
    widget.session.answer("closer", 1.0)
    widget.close()
    assert main(["annotate", str(tmp_path), "--export"]) == 0
    assert "exported 1 answers about 1 images" in capsys.readouterr().out


@pytest.fixture
def widget(tmp_path):
    make_folder(tmp_path)
    widget = AnnotationWidget(tmp_path, annotator="ann")
    sent = []
    widget.send = lambda content, buffers=None: sent.append((content, buffers))
    widget.sent = sent
    yield widget
    widget.close()


def test_widget_answers_messages_as_the_server_does(widget):
    widget._handle_custom_msg({"id": 7, "type": "state"}, [])
    (content, _), *_ = widget.sent
    assert content["id"] == 7
    assert content["reply"]["phase"] == "pair"
    answer = {"id": 8, "type": "answer", "answer": "closer", "seconds": 2}
    widget._handle_custom_msg({**answer, "token": content["reply"]["token"]}, [])
    assert widget.sent[-1][0]["reply"]["token"].endswith("-1")
    event = widget.session.journal.events[0]
    left, right = (joint["name"].replace(" ", "_") for joint in content["reply"]["joints"])
    assert {event["first"], event["second"]} == {left, right}
    assert event["answer"] == ("closer" if event["first"] == left else "farther")


def test_widget_sends_images_as_buffers(widget):
    key = widget.session.photographs.keys[0]
    widget._handle_custom_msg({"id": 1, "type": "image", "row": 0, "key": key}, [])
    assert widget.sent[-1] == ({"id": 1}, [widget.session.images[0].read_bytes()])
    widget.session.images[0].unlink()
    for row in (0, 3, -1, "0", None):
        widget._handle_custom_msg({"id": 2, "type": "image", "row": row, "key": key}, [])
        assert widget.sent[-1] == ({"id": 2}, [])


def test_widget_shows_the_page_of_the_server(widget):
    assert "export default" in str(widget._esm)
    assert ".ordlib-annotate" in str(widget._css)


def test_a_cell_that_fails_leaves_the_earlier_widget(widget, tmp_path):
    for options in ({"strategy": "informed"}, {"joints": "~/none.csv"}, {"strategy": "merge"}):
        with pytest.raises(InputError):
            AnnotationWidget(tmp_path, annotator="ann", **options)
    widget.session.answer("closer", 1.0)
    with pytest.raises(InputError, match="in use by another"):
        Session(tmp_path, "ann")


def test_the_login_name_is_the_annotator_of_both(tmp_path, monkeypatch):
    make_folder(tmp_path)
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    first = AnnotationWidget(tmp_path)
    second = AnnotationWidget(tmp_path, annotator="me")
    second.session.answer("closer", 1.0)
    with pytest.raises(InputError, match="closed"):
        first.session.answer("closer", 1.0)
    second.close()


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_widget_that_cannot_open_ends_silently(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        AnnotationWidget(tmp_path / "none")
    gc.collect()


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    make_folder(tmp_path / "photos")
    monkeypatch.setenv("HOME", str(tmp_path))
    widget = AnnotationWidget("~/photos", "ann", joints="~/photos/joints.json")
    assert widget.session.joints_file == tmp_path / "photos" / "joints.json"
    widget.close()


def test_a_cell_that_is_run_again_takes_over(widget, tmp_path):
    widget.session.answer("closer", 1.0)
    second = AnnotationWidget(tmp_path, annotator="ann")
    assert [event["kind"] for event in second.session.journal.events] == ["answer"]
    second.close()
