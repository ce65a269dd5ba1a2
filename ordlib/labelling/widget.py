"""The annotation tool as a widget in JupyterLab: the page and the session of the server."""

from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import anywidget

from ordlib.errors import InputError
from ordlib.labelling.messages import reply
from ordlib.labelling.pages import script, style
from ordlib.labelling.session import Session, login_name

_open: WeakValueDictionary[tuple[str, str], "AnnotationWidget"] = WeakValueDictionary()


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

        A cell that is run again takes the place of its earlier widget; if it fails, that stays.
        """
        annotator = annotator or login_name()
        key = (str(Path(folder).expanduser().resolve()), annotator)
        earlier = _open.get(key)
        self.session: Session = Session(
            folder,
            annotator,
            Path(joints) if joints else None,
            strategy,
            instead_of=earlier.session if earlier else None,
        )
        if earlier is not None:
            earlier.close()
        super().__init__()
        _open[key] = self
        self.on_msg(self._receive)

    def _receive(self, _: Any, content: Any, __: Any) -> None:
        """Answer a message of the page; an image travels as a buffer beside the answer."""
        number = content.get("id") if isinstance(content, dict) else None
        if isinstance(content, dict) and content.get("type") == "image":
            image = self._image(content.get("row"), content.get("key"))
            self.send({"id": number}, buffers=image)
        else:
            self.send({"id": number, "reply": reply(self.session, content)})

    def _image(self, row: Any, key: Any) -> list[bytes]:
        """The bytes of an image file; nothing if there is none."""
        try:
            return [self.session.photographs.read(row, key)]
        except InputError:
            return []

    def close(self) -> None:
        """Remove the widget and let others open the journal."""
        if hasattr(self, "session"):  # it has none if it could not be opened
            self.session.close()
        super().close()
