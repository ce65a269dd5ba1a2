"""What the page and a session say to each other, the same over HTTP and in a notebook."""

from typing import Any

from ordlib.errors import InputError
from ordlib.labelling.exporting import export_folder
from ordlib.labelling.labels import CLICK_ORDER, Pair
from ordlib.labelling.session import Question, Session
from ordlib.skeleton import LSP14

Message = dict[str, Any]

_LIMBS = [(LSP14.joints[parent], LSP14.joints[child]) for parent, child in LSP14.bones]
_SPOKEN = {"head_top": "top of the head"}


def spoken(joint: str) -> str:
    """A joint in words: "left wrist" is the person's own left."""
    return _SPOKEN.get(joint, joint.replace("_", " "))


def reply(session: Session, message: Any) -> Message:
    """Do what a message asks for and return the state that the page shows then.

    Messages have a `type`: state, answer, joint, skip, back, again, export. Those that change
    something carry the `token` of the state that they answer; one to an older state changes
    nothing, so that a second window cannot answer a question that it does not show. What went
    wrong is said in `error`; nothing has changed then.
    """
    said: Message = {}
    try:
        said = _act(session, message)
    except InputError as error:
        said["error"] = str(error)
    try:
        return state(session) | said
    except InputError as error:
        return _always(session) | {"phase": "broken", "error": str(error)}


def _act(session: Session, message: Any) -> Message:
    if not isinstance(message, dict):
        raise InputError(f"message: expected a JSON object, found {message!r}")
    kind = message.get("type")
    if kind == "state":
        return {}
    if kind == "export":
        return {"exported": export_folder(session.folder, session.joints_file).text()}
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
    assert question.pair is not None
    first, second = question.pair
    points = session.labels.keypoints_px[question.row]
    return (first, second) if points[first, 0] <= points[second, 0] else (second, first)


def _seconds(message: Message) -> float:
    value = message.get("seconds")
    if not isinstance(value, int | float):
        raise InputError(f"seconds: expected a number, found {value!r}")
    return float(value)


def _point(value: Any) -> list[float] | None:
    if value is None:
        return None
    if not (isinstance(value, list) and [type(v) in (int, float) for v in value] == [True, True]):
        raise InputError(f"point: expected [x, y] or null, found {value!r}")
    return [round(float(v), 2) for v in value]


def state(session: Session) -> Message:
    """Everything that the page shows."""
    question = session.current()
    shown = _always(session) | {
        "progress": session.progress(),
        "upcoming": [_file(session, row) for row in session.upcoming()],
    }
    if question is None:
        aside = [session.images[row].name for row in session.aside()]
        return shown | {"phase": "done", "aside": aside, "notes": session.notes}
    size = session.sizes[question.row]
    shown["image"] = _file(session, question.row) | {
        "name": session.images[question.row].name,
        "size": list(size),
        "box": session.labels.box(question.row, size).tolist(),
    }
    return shown | (_pair(session, question) if question.pair else _click(session, question))


def _always(session: Session) -> Message:
    """What is known whatever the question is."""
    return {
        "token": session.token,
        "annotator": session.journal.header.annotator,
        "folder": str(session.folder.resolve()),
        "journal": str(session.journal.path.resolve()),
        "can_go_back": session.can_go_back,
    }


def _file(session: Session, row: int) -> Message:
    """What an image is asked for by; the key tells it from that of another folder."""
    return {"row": row, "key": session.photographs.keys[row]}


def _pair(session: Session, question: Question) -> Message:
    points = session.labels.keypoints_px[question.row].tolist()
    asked, size = session.group()
    return {
        "phase": "pair",
        "joints": [
            {"name": spoken(LSP14.joints[joint]), "point": points[joint]}
            for joint in _shown(session, question)
        ],
        "group": {"place": asked + 1, "size": size} if session.in_group(question) else None,
    }


def _click(session: Session, question: Question) -> Message:
    assert question.joint is not None
    clicks = session.labels.clicks(question.row)
    return {
        "phase": "joint",
        "joint": {
            "name": spoken(question.joint),
            "place": len(clicks) + 1,
            "size": len(CLICK_ORDER),
        },
        "clicked": [
            {"name": spoken(joint), "point": point} for joint, point in clicks.items() if point
        ],
        "limbs": [
            [clicks[parent], clicks[child]]
            for parent, child in _LIMBS
            if clicks.get(parent) and clicks.get(child)
        ],
    }
