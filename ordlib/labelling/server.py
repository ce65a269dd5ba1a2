"""The annotation tool as a page in the browser, for one user of this machine."""

import asyncio
import hmac
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application, HTTPError, RequestHandler

from ordlib.errors import InputError
from ordlib.labelling.messages import image, reply, script, style
from ordlib.labelling.session import Session

ADDRESS = "127.0.0.1"
_NAMES = (ADDRESS, "localhost")
_LARGEST_MESSAGE = 64 * 1024
_POLICY = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'"


class _Handler(RequestHandler):
    """Answers one user's own pages: other users of this machine lack the secret; a foreign site
    may reach the port through the visitor's browser, but under its own name or origin."""

    session: Session
    secret: str
    cookie: str

    def initialize(self, **known: Any) -> None:
        self.__dict__.update(known)

    def prepare(self) -> None:
        host = self.request.host
        if host.partition(":")[0] not in _NAMES:
            raise HTTPError(403, reason=f"expected a request to {' or '.join(_NAMES)}")
        origin = self.request.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise HTTPError(403, reason="expected a request of this page, found one of another")
        given = self.get_query_argument("token", None) or self.get_cookie(self.cookie) or ""
        if not hmac.compare_digest(given.encode(), self.secret.encode()):
            raise HTTPError(403, reason="expected the secret; open the address that is printed")
        self.set_cookie(self.cookie, given, httponly=True, samesite="Strict")

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", _POLICY)
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-store")

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code}: {self._reason}\n")


class _Page(_Handler):
    def get(self, name: str) -> None:
        page = Path(__file__).with_name("page.html")
        text, kind = {
            "": (lambda: page.read_text("utf-8"), "html"),
            "page.js": (script, "javascript"),
            "page.css": (style, "css"),
        }[name]
        self.set_header("Content-Type", f"text/{kind}; charset=utf-8")
        self.write(text())


class _Image(_Handler):
    def get(self, name: str) -> None:
        try:
            data = image(self.session, name)
        except InputError as error:
            raise HTTPError(404, reason="expected an image of this page") from error
        self.set_header("Content-Type", "image/jpeg")
        self.set_header("Cache-Control", "private, max-age=3600")
        self.write(data)


class _Message(_Handler):
    def post(self) -> None:
        if not self.request.headers.get("Content-Type", "").startswith("application/json"):
            raise HTTPError(415, reason="expected application/json")
        try:
            message = json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, reason="expected JSON") from error
        self.write(reply(self.session, message))


class _Nothing(_Handler):
    def prepare(self) -> None:
        super().prepare()
        raise HTTPError(404)


def application(session: Session, secret: str, port: int) -> Application:
    """The pages, the images and the messages of a session, for those who know the secret."""
    # cookies belong to all ports of a machine, so each server's has a name of its own
    known = {"session": session, "secret": secret, "cookie": f"ordlib-{port}"}
    return Application(
        [
            (r"/(|page\.js|page\.css)", _Page, known),
            (r"/image/([0-9a-f-]+)", _Image, known),
            (r"/message", _Message, known),
        ],
        default_handler_class=_Nothing,
        default_handler_args=known,
        log_function=lambda handler: None,
    )


def serve(session: Session, port: int, browser: bool, say: Callable[[str], None]) -> None:
    """Serve a session until Ctrl-C or SIGTERM, and close it; port 0 is any that is free.

    Raises:
        InputError: the port is taken.
    """
    try:
        asyncio.run(_serve(session, port, browser, say))
        say(f"\n{session.summary()}")
        say(f"answers: {session.store.path}; the same command continues")
    finally:
        session.close()


async def _serve(session: Session, port: int, browser: bool, say: Callable[[str], None]) -> None:
    try:
        listening = socket.create_server((ADDRESS, port))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"--port: expected a free port, found {port}: {reason}") from error
    secret, port = secrets.token_urlsafe(24), listening.getsockname()[1]
    server = HTTPServer(application(session, secret, port), max_body_size=_LARGEST_MESSAGE)
    listening.setblocking(False)
    server.add_socket(listening)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    address = f"http://{ADDRESS}:{port}/?token={secret}"
    for line in (*session.notes, session.summary()):
        say(line)
    say(f"{address}  (Ctrl-C ends; every answer is saved at once)")
    with tempfile.NamedTemporaryFile("w", suffix=".html") as link:
        if browser and _has_screen():
            # a file that only this user can read: everybody sees what programs are started with
            link.write(f'<meta http-equiv="refresh" content="0; url={address}">')
            link.flush()
            webbrowser.open(Path(link.name).as_uri())
        await ended.wait()
    server.stop()
    await server.close_all_connections()


def _has_screen() -> bool:
    """Without a screen Python would open a browser for terminals in place of the tool's lines."""
    shown = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return shown or sys.platform in ("darwin", "win32")
