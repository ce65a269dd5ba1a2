"""What the page and a session say to each other, the same over HTTP and in a notebook."""

from pathlib import Path
from typing import Any

from ordlib.errors import InputError
from ordlib.labelling.exporting import export_folder
from ordlib.labelling.folder import jpeg
from ordlib.labelling.labels import CLICK_ORDER, Pair
from ordlib.labelling.session import Question, Session
from ordlib.labelling.store import Point
from ordlib.skeleton import LSP14

Message = dict[str, Any]

_HERE = Path(__file__).parent
_SCRIPTS = ("drawing.js", "zoom.js", "layout.js", "page.js")
_LIMBS = [(LSP14.joints[parent], LSP14.joints[child]) for parent, child in LSP14.bones]
_LARGEST = 1e6  # seconds and pixels


def script() -> str:
    """The page's script as one module, since a widget can have no other."""
    return "\n".join((_HERE / name).read_text("utf-8") for name in _SCRIPTS)


def style() -> str:
    """The look of the page, on the server and as a widget."""
    return (_HERE / "page.css").read_text("utf-8")


def spoken(joint: str) -> str:
    """A joint in words: "left wrist" is the person's own left."""
    return {"head_top": "top of the head"}.get(joint, joint.replace("_", " "))


def reply(session: Session, message: object) -> Message:
    """Do what a message asks for and return the state that the page shows then.

    Messages have a `type`: state, answer, joint, skip, back, again, export. Those that change
    something carry the `token` of the state that they answer; one to an older state changes
    nothing, so that a second window cannot answer a question that it does not show. What went
    wrong is said in `error`; nothing has changed then.
    """
    said: Message = {}
    try:
        session.refresh()
        said = _act(session, message)
    except InputError as error:
        said["error"] = str(error)
    return state(session) | said


def image(session: Session, name: object) -> bytes:
    """A picture as JPEG, by the name that the state gives it.

    Raises:
        InputError: no such picture, or a file that can no longer be read.
    """
    shown = {_image_name(session, row): path for row, path in enumerate(session.pictures.paths)}
    if not isinstance(name, str) or name not in shown:
        raise InputError(f"image: expected one of {len(shown)} that are shown, found {name!r}")
    return jpeg(shown[name])


def _image_name(session: Session, row: int) -> str:
    """Tells an image from those of other folders that had this address: browsers keep images."""
    return f"{session.id}-{row}"


def _act(session: Session, message: object) -> Message:
    if not isinstance(message, dict):
        raise InputError(f"message: expected a JSON object, found {message!r}")
    kind = message.get("type")
    if kind == "state":
        return {}
    if kind == "export":
        given = session.labels.joints.file
        return {"exported": export_folder(session.pictures.folder, given).text()}
    if kind not in ("answer", "joint", "skip", "back", "again"):
        raise InputError(f"message: expected a known type, found {kind!r}")
    if message.get("token") != session.token:
        return {"notice": "This was answered elsewhere; here is the question that is open now."}
    if kind == "answer":
        session.answer(_as_asked(session, str(message.get("answer"))), _seconds(message))
    elif kind == "joint":
        session.click(_point(message.get("point")), _seconds(message))
    else:
        {"skip": session.skip, "back": session.back, "again": session.again}[kind]()
    return {}


def _as_asked(session: Session, answer: str) -> str:
    """An answer about the joint that is shown as the first, as one about that of the question."""
    question = session.current()
    if question is None or question.pair is None or _shown(session, question) == question.pair:
        return answer
    return {"closer": "farther", "farther": "closer"}.get(answer, answer)


def _shown(session: Session, question: Question) -> Pair:
    """The pair from left to right in the image, so that the left key is the left marker."""
    first, second = question.pair or (0, 0)
    points = session.labels.joints.keypoints_px[question.row]
    return (first, second) if points[first, 0] <= points[second, 0] else (second, first)


def _is_number(value: Any) -> bool:
    """Whether a value is a number of everyday size; an integer may be too large for a float."""
    return type(value) in (int, float) and 0 <= value < _LARGEST


def _seconds(message: Message) -> float:
    value: Any = message.get("seconds")
    if not _is_number(value):
        raise InputError(f"seconds: expected a number from 0 to {_LARGEST:g}")
    return float(value)


def _point(value: Any) -> Point | None:
    if value is None:
        return None
    if not (isinstance(value, list) and [_is_number(v) for v in value] == [True, True]):
        raise InputError(f"point: expected [x, y] from 0 to {_LARGEST:g}, or null")
    return round(float(value[0]), 2), round(float(value[1]), 2)


def state(session: Session) -> Message:
    """Everything that the page shows."""
    questions = session.upcoming(4)
    shown = {
        "token": session.token,
        "annotator": session.annotator,
        "answers": str(session.store.path.resolve()),
        "can_go_back": session.can_go_back,
        "progress": session.progress(),
        "upcoming": [_image_name(session, question.row) for question in questions[1:]],
    }
    if not questions:
        aside = sorted(session.labels.aside() & session.open_rows().keys())
        names = [session.pictures.names[row] for row in aside]
        return shown | {"phase": "done", "aside": names, "notes": session.notes}
    question = questions[0]
    size = session.pictures.sizes[question.row].tolist()
    shown["image"] = {
        "id": _image_name(session, question.row),
        "name": session.pictures.names[question.row],
        "size": size,
        "box": session.labels.joints.box(question.row, size),
    }
    return shown | (_pair(session, question) if question.pair else _click(session, question))


def _pair(session: Session, question: Question) -> Message:
    points = session.labels.joints.keypoints_px[question.row].tolist()
    return {
        "phase": "pair",
        "joints": [
            {"name": spoken(LSP14.joints[joint]), "point": points[joint]}
            for joint in _shown(session, question)
        ],
        "group": {"place": question.group[0] + 1, "size": question.group[1]},
    }


def _click(session: Session, question: Question) -> Message:
    clicks = session.labels.clicks(question.row)
    name = spoken(str(question.joint))
    return {
        "phase": "joint",
        "joint": {"name": name, "place": len(clicks) + 1, "size": len(CLICK_ORDER)},
        "clicked": [{"name": spoken(j), "point": point} for j, point in clicks.items() if point],
        "limbs": [
            [clicks[parent], clicks[child]]
            for parent, child in _LIMBS
            if clicks.get(parent) and clicks.get(child)
        ],
    }
