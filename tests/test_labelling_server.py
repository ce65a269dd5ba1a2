"""The server and the widget: what they send, and whom they refuse."""

import gc
import json
import re
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
from ordlib.labelling.folder import jpeg
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
        self.url, self.secret = re.match(r"(http://\S+)\?token=(\S+)", self.said[-1]).groups()
        self.port = int(self.url.rstrip("/").rpartition(":")[2])

    def fetch(self, path, data=None, secret=None, **headers):
        """Status, headers and body of a request; headers are named with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("Cookie", f"ordlib-{self.port}={secret or self.secret}")
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
        assert body and "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    state = tool.say(type="state")
    for image, name in zip(
        [state["image"]["id"], *state["upcoming"]],
        ("a.png", "b sofa.jpg", "ü jump.JPG"),
        strict=True,
    ):
        status, headers, body = tool.fetch(f"image/{image}")
        assert (status, headers.get_content_type()) == (200, "image/jpeg")
        assert body == jpeg(folder / name)


def test_every_request_needs_the_secret(tool):
    image = f"image/{tool.say(type='state')['image']['id']}"
    json_type = {"Content_Type": "application/json"}
    for cookie in ("", "other=1", f"ordlib-{tool.port}=", f"ordlib-{tool.port}={'x' * 32}"):
        for path in ("", "page.js", "page.css", image, "none"):
            status, headers, body = tool.fetch(path, Cookie=cookie)
            assert status == 403 and b"open the address that is printed" in body
            assert "Set-Cookie" not in headers
        for message in (b'{"type": "state"}', b'{"type": "export"}'):
            assert tool.fetch("message", message, Cookie=cookie, **json_type)[0] == 403
    assert tool.fetch("?token=none", Cookie="")[0] == 403
    status, headers, _ = tool.fetch(f"?token={tool.secret}", Cookie="")
    assert status == 200
    assert re.search(r"^ordlib-\d+=.*HttpOnly.*SameSite=Strict", headers["Set-Cookie"])


@pytest.mark.parametrize(
    "path",
    [
        *("image/3", "image/0", "image/01234567-0", "image/-1", "image/../joints.csv"),
        *("joints.csv", "../a.png", "page.html", "annotations/answers.sqlite"),
    ],
)
def test_nothing_else_is_served(tool, path):
    status, headers, body = tool.fetch(path)
    assert status == 404 and body.startswith(b"404: ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil", "[::1]:80"])
def test_a_foreign_name_for_this_machine_is_refused(tool, host):
    status, _, body = tool.fetch("page.js", Host=host)
    assert status == 403
    assert b"expected a request to 127.0.0.1 or localhost" in body


def test_other_sites_cannot_answer(tool):
    data = b'{"type": "state"}'
    good = {"Content_Type": "application/json"}
    for origin in ("http://evil.example", "null", tool.url.replace("http", "https").rstrip("/")):
        assert tool.fetch("message", data, Origin=origin, **good)[0] == 403
    assert tool.fetch("message", data, Origin=tool.url.rstrip("/"), **good)[0] == 200
    assert tool.fetch("message", data, Content_Type="text/plain")[0] == 415
    for broken in (b"{", b"[" * 60_000, b"1" * 5000):
        assert tool.fetch("message", broken, **good)[0] == 400
    said = tool.say(type="state")
    said = tool.say(type="answer", answer="closer", seconds=int("9" * 400), token=said["token"])
    assert "seconds: expected a number" in said["error"]


def test_only_this_machine_is_listened_to(tool):
    try:
        found = socket.getaddrinfo(socket.gethostname(), tool.port, socket.AF_INET)
    except OSError:
        pytest.skip("this machine's own name has no address")
    for address in {info[4][0] for info in found} - {"127.0.0.1"}:
        with socket.socket() as probe:
            probe.settimeout(5)
            assert address.startswith("127.") or probe.connect_ex((address, tool.port)) != 0


def test_answers_are_on_the_disk_when_the_page_hears_of_them(folder):
    tool = Tool(folder, "--annotator", "quick")
    said = tool.say(type="state")
    for count in range(5):
        said = tool.say(type="answer", answer="closer", seconds=1, token=said["token"])
        assert said["token"].endswith(f"-{count + 1}")
    tool.process.kill()
    tool.process.communicate()
    session = Session(folder, "quick")
    assert session.progress()["answers"] == 5
    session.close()


def test_the_end_says_where_the_answers_are(folder):
    for number in (signal.SIGINT, signal.SIGTERM):
        tool = Tool(folder, "--annotator", f"ended {int(number)}")
        assert any("2 of 42 joints without a position" in line for line in tool.said)
        rest = tool.end(number)
        assert tool.process.returncode == 0
        assert "answers.sqlite; the same command continues" in rest
        assert f"ended {int(number)}: 0 of 3 images complete, 0 answers" in rest


def test_a_taken_port_is_a_message(tool, folder, capsys):
    assert main(["annotate", str(folder), "--no-browser", "--port", str(tool.port)]) == 2
    assert capsys.readouterr().err.endswith(
        f"--port: expected a free port, found {tool.port}: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "nowhere: expected a folder of images, found no such folder"),
        ([".", "--annotator", "a\nb"], "--annotator: expected a name"),
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


@pytest.fixture
def widget(tmp_path):
    make_folder(tmp_path)
    widget = AnnotationWidget(tmp_path, annotator="ann")
    widget.sent = []
    widget.send = lambda content, buffers=None: widget.sent.append((content, buffers))
    yield widget
    widget.close()


def test_widget_answers_messages_as_the_server_does(widget, tmp_path, capsys):
    widget._handle_custom_msg({"id": 7, "type": "state"}, [])
    (content, _), *_ = widget.sent
    assert content["id"] == 7
    assert content["reply"]["phase"] == "pair"
    answer = {"id": 8, "type": "answer", "answer": "closer", "seconds": 2}
    widget._handle_custom_msg({**answer, "token": content["reply"]["token"]}, [])
    assert widget.sent[-1][0]["reply"]["token"].endswith("-1")
    (event,) = widget.session.store.events()
    left, right = (joint["name"].replace(" ", "_") for joint in content["reply"]["joints"])
    assert {event.first, event.second} == {left, right}
    assert event.answer == ("closer" if event.first == left else "farther")
    assert main(["annotate", str(tmp_path), "--export"]) == 0
    assert "exported 1 answers about 1 images" in capsys.readouterr().out


def test_widget_sends_images_as_buffers(widget):
    path, image = widget.session.pictures.paths[0], f"{widget.session.id}-0"
    widget._handle_custom_msg({"id": 1, "type": "image", "image": image}, [])
    assert widget.sent[-1] == ({"id": 1}, [jpeg(path)])
    path.unlink()
    for name in (image, "0", 0, None, ["0"]):
        widget._handle_custom_msg({"id": 2, "type": "image", "image": name}, [])
        assert widget.sent[-1] == ({"id": 2}, [])


def test_a_cell_that_is_run_again_goes_on_beside_the_earlier_widget(widget, tmp_path, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ann")
    widget.session.answer("closer", 1.0)
    second = AnnotationWidget(tmp_path)
    assert second.session.progress()["answers"] == 1
    second.session.answer("closer", 1.0)
    second.close()
    widget.session.refresh()
    assert widget.session.progress()["answers"] == 2
    with pytest.raises(InputError, match="strategy: expected kinematic, as ann began with"):
        AnnotationWidget(tmp_path, strategy="merge")


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_widget_that_cannot_open_ends_silently(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        AnnotationWidget(tmp_path / "none")
    gc.collect()


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    make_folder(tmp_path / "photos")
    monkeypatch.setenv("HOME", str(tmp_path))
    widget = AnnotationWidget("~/photos", "ann", joints="~/photos/joints.csv")
    assert widget.session.labels.joints.file == tmp_path / "photos" / "joints.csv"
    widget.close()
