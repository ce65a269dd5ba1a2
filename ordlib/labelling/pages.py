"""The files of the page, which the server and the notebook widget share."""

from pathlib import Path

_HERE = Path(__file__).parent
_SCRIPTS = ("drawing.js", "zoom.js", "layout.js", "page.js")
_STYLES = ("page.css", "small.css")


def page() -> str:
    """The document that the server shows."""
    return (_HERE / "page.html").read_text("utf-8")


def script() -> str:
    """One module, since a widget can have no other."""
    return "\n".join((_HERE / name).read_text("utf-8") for name in _SCRIPTS)


def style() -> str:
    """The look of both."""
    return "\n".join((_HERE / name).read_text("utf-8") for name in _STYLES)
