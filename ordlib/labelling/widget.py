"""The annotation tool as a widget in JupyterLab: the page and the session of the server."""

from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anywidget

from ordlib.labelling.messages import reply
from ordlib.labelling.pages import script, style
from ordlib.labelling.session import Session

_open: WeakValueDictionary[tuple[str, str | None], "AnnotationWidget"] = WeakValueDictionary()


class AnnotationWidget(anywidget.AnyWidget):
    """Shows the tool in a notebook cell.

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
        """Open a folder of images; see `Session` for the arguments and what can be wrong.

        A cell that is run again takes the place of its earlier widget.
        """
        key = (str(Path(folder).resolve()), annotator)
        if key in _open:
            _open[key].close()
        self.session = Session(folder, annotator, Path(joints) if joints else None, strategy)
        super().__init__()
        _open[key] = self
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        """Answer a message of the page; an image travels as a buffer beside the answer."""
        number = content.get("id") if isinstance(content, dict) else None
        if isinstance(content, dict) and content.get("type") == "image":
            self.send({"id": number}, buffers=self._image(content.get("row")))
        else:
            self.send({"id": number, "reply": reply(self.session, content)})

    def _image(self, row: Any) -> list[bytes]:
        """The bytes of an image file; nothing if there is none."""
        try:
            return [self.session.images[row].read_bytes()] if self._is_row(row) else []
        except OSError:
            return []

    def _is_row(self, row: Any) -> bool:
        return type(row) is int and 0 <= row < len(self.session.images)

    def close(self) -> None:
        """Remove the widget and let others open the journal."""
        self.session.close()
        super().close()
