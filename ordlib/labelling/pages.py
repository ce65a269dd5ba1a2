"""The files of the page, which the server and the notebook widget share."""

from pathlib import Path

_HERE = Path(__file__).parent


def page() -> str:
    """The document that the server shows."""
    return (_HERE / "page.html").read_text("utf-8")


def script() -> str:
    """One module, since a widget can have no other."""
    return "\n".join((_HERE / name).read_text("utf-8") for name in ("drawing.js", "page.js"))


def style() -> str:
    """The look of both."""
    return (_HERE / "page.css").read_text("utf-8")
