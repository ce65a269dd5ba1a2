"""The annotation tool as a widget in JupyterLab: the page and the session of the server."""

from pathlib import Path
from typing import Any

import anywidget

from ordlib.errors import InputError
from ordlib.labelling.messages import image, reply, script, style
from ordlib.labelling.session import Session


class AnnotationWidget(anywidget.AnyWidget):
    """Shows the tool in a notebook cell; several may show one folder.

    Attributes:
        session: what is asked and kept; see `ordlib.labelling.session.Session`.
    """

    _esm = script()
    _css = style()

    def __init__(
        self,
        folder: str | Path,
        annotator: str | None = None,
        joints: str | Path | None = None,
        strategy: str | None = None,
    ) -> None:
        """Open a folder of images; see `Session` for the arguments and what can be wrong."""
        self.session = Session(folder, annotator, Path(joints) if joints else None, strategy)
        super().__init__()
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        """Answer a message of the page; an image travels as a buffer beside the answer."""
        number = content.get("id") if isinstance(content, dict) else None
        if isinstance(content, dict) and content.get("type") == "image":
            self.send({"id": number}, buffers=self._image(content.get("image")))
        else:
            self.send({"id": number, "reply": reply(self.session, content)})

    def _image(self, name: object) -> list[bytes]:
        """An image; nothing if there is none."""
        try:
            return [image(self.session, name)]
        except InputError:
            return []

    def close(self) -> None:
        """Remove the widget and close the file of answers."""
        if hasattr(self, "session"):  # it has none if it could not be opened
            self.session.close()
        super().close()
