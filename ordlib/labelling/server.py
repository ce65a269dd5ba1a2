"""The annotation tool as a page in the browser, for this machine alone."""

import asyncio
import json
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler

from ordlib.errors import InputError
from ordlib.labelling.messages import reply
from ordlib.labelling.pages import page, script, style
from ordlib.labelling.session import Session

ADDRESS = "127.0.0.1"
_NAMES = (ADDRESS, "localhost")
_PAGES = {
    "": (page, "text/html"),
    "page.js": (script, "text/javascript"),
    "page.css": (style, "text/css"),
}
_LARGEST_MESSAGE = 64 * 1024


class _Handler(RequestHandler):
    """Answers only this machine's own pages: a foreign site may reach the port through the
    visitor's browser, but then under its own name, or as the origin of the request."""

    session: Session

    def initialize(self, session: Session) -> None:
        self.session = session

    def prepare(self) -> None:
        host = self.request.host
        if host.partition(":")[0] not in _NAMES:
            raise HTTPError(403, reason=f"expected a request to {' or '.join(_NAMES)}")
        origin = self.request.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise HTTPError(403, reason="expected a request of this page, found one of another")

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'self'; img-src 'self' data:")
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {self._reason}\n")


class _Page(_Handler):
    def get(self, name: str) -> None:
        text, kind = _PAGES[name]
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.write(text())


class _Image(_Handler):
    """Images by row, so that no other file can be named, and by key: another folder may have been
    at this address, and browsers keep what they saw."""

    def get(self, row: str) -> None:
        try:
            data = self.session.photographs.read(int(row), self.request.query)
        except InputError as error:
            raise HTTPError(404, reason="expected the row and the key of an image") from error
        kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
        self.set_header("Content-Type", kind)
        self.set_header("Cache-Control", "private, max-age=3600")
        self.write(data)


class _Nothing(_Handler):
    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404)


class _Message(_Handler):
    def post(self) -> None:
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            raise HTTPError(415, reason="expected application/json")
        try:
            message = json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, reason="expected JSON") from error
        self.write(reply(self.session, message))


def application(session: Session) -> Application:
    """The pages, the images and the messages of a session."""
    known = {"session": session}
    return Application(
        [
            (r"/(|page\.js|page\.css)", _Page, known),
            (r"/image/(\d{1,9})", _Image, known),
            (r"/message", _Message, known),
        ],
        default_handler_class=_Nothing,
        default_handler_args=known,
        log_function=lambda handler: None,
    )


def serve(session: Session, port: int, browser: bool, say: Callable[[str], None]) -> None:
    """Serve a session until Ctrl-C or SIGTERM.

    Args:
        session: closed at the end.
        port: 0 for any that is free.
        browser: whether to open the page.
        say: called with lines about what is done and how far it is.

    Raises:
        InputError: the port is taken.
    """
    try:
        asyncio.run(_serve(session, port, browser, say))
    finally:
        session.close()
    say(f"\n{summary(session)}")
    say(f"answers: {session.journal.path}; the same command continues")


async def _serve(session: Session, port: int, browser: bool, say: Callable[[str], None]) -> None:
    try:
        listening = socket.create_server((ADDRESS, port))
    except OSError as error:
        raise InputError(f"--port: expected a free port, found {port}: {_reason(error)}") from error
    server = HTTPServer(application(session), max_body_size=_LARGEST_MESSAGE)
    listening.setblocking(False)
    server.add_socket(listening)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    address = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
    for line in session.notes:
        say(line)
    say(f"{address}  (Ctrl-C ends; every answer is saved at once)")
    if browser and _has_screen():
        webbrowser.open(address)
    await ended.wait()
    server.stop()
    await server.close_all_connections()


def _reason(error: OSError) -> str:
    """Why; Python says the address in the same words, and with them the reason again."""
    return os.strerror(error.errno) if error.errno else str(error)


def _has_screen() -> bool:
    """Without a screen Python would open a browser for terminals in place of the tool's lines."""
    shown = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return shown or sys.platform in ("darwin", "win32")


def summary(session: Session) -> str:
    """How far an annotator is, in a line."""
    done = session.progress()
    return (
        f"{session.journal.header.annotator}: {done['complete']} of {done['images']} images"
        f" complete, {done['answers']} answers"
    )
