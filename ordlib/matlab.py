"""Variables of MATLAB files of v5 to v7, read so that no damaged byte can do harm.

SciPy's reader ends the whole process at some damaged bytes. Here every size is compared with the
bytes that are there, and numbers, texts, structs and cells of texts are all that is read.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

_MOST_INFLATED = 1032  # bytes that zlib can make of one
_LONGEST_TEXT = 256  # bytes; of cells of texts, each takes as much memory as the longest

_STORED = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8",
    12: "i8", 13: "u8", 16: "u1", 17: "u2", 18: "u4",
}  # fmt: skip
"""How MATLAB v5 to v7 stores numbers and texts, by the type of an element."""

_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _TEXT, _NUMBERS = 1, 2, 4, range(6, 16)
_COMPLEX = 0x800

_Elements = Iterator[tuple[int, memoryview]]


def variables(raw: bytes, keys: Iterable[str]) -> dict[str, Any]:
    """Arrays and texts under the keys; `a/b` is a struct's field; names of others, with None.

    Raises:
        Exception: of almost any type, where bytes are damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128], "")
    if not order:
        raise ValueError("no such file begins like this")
    paths = [key.split("/") for key in keys]
    wanted = {path[0] for path in paths}
    content: dict[str, Any] = {}
    for kind, element in _elements(memoryview(raw)[128:], order):
        if kind == _COMPRESSED:
            [(kind, element)] = _elements(memoryview(_inflated(element, order)), order)
        if kind == _MATRIX:
            content |= [_matrix(element, order, wanted)]
    for *above, field in paths:
        holder: Any = content
        for name in above:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if above and isinstance(holder, dict) and field in holder:
            content["/".join([*above, field])] = holder[field]
    return content


def require_size(stated: int, stored: int) -> None:
    """Raise ValueError where a file states more than its bytes can hold."""
    if stated > _MOST_INFLATED * stored:
        raise ValueError(f"{stated} bytes are stated and {stored} are there")


def _elements(raw: memoryview, order: str) -> _Elements:
    """Type and bytes of each element."""
    start = 0
    while start < len(raw):
        kind, size = struct.unpack_from(f"{order}II", raw, start)
        if kind >> 16:  # a short element: size, type and data in eight bytes
            kind, size, first, end = kind & 0xFFFF, kind >> 16, start + 4, start + 8
        else:
            first = start + 8
            end = first + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if first + size > min(end, len(raw)):
            raise ValueError(f"an element of {size} bytes where {len(raw) - first} are left")
        yield kind, raw[first : first + size]
        start = end


def _inflated(raw: memoryview, order: str) -> bytes:
    """The element in a compressed one; its checksum is compared."""
    inflater = zlib.decompressobj()
    head = inflater.decompress(raw, 8)
    _, size = struct.unpack(f"{order}II", head)
    require_size(size, len(raw))
    body = inflater.decompress(inflater.unconsumed_tail, size + 8)
    if not inflater.eof:
        raise ValueError("a compressed element that does not end")
    return head + body


def _matrix(raw: memoryview, order: str, wanted: Iterable[str] | None = None) -> tuple[str, Any]:
    """Name and value; None for one that is not wanted or of a kind that nobody needs."""
    if not len(raw):  # as MATLAB writes an empty cell
        return "", None
    elements = _elements(raw, order)
    flags, shape, letters = (_numbers(*next(elements), order) for _ in range(3))
    name = letters.astype("u1").tobytes().decode("ascii")
    if (shape < 0).any():
        raise ValueError(f"a shape of {shape}")
    if wanted is not None and name not in wanted:
        return name, None
    count, kind = math.prod(shape.tolist()), int(flags[0]) & 0xFF
    if kind in _NUMBERS and not flags[0] & _COMPLEX:
        [value] = (_numbers(*element, order) for element in elements)
        return name, value.reshape(shape, order="F")
    if kind == _TEXT:
        return name, _text(elements, order)
    if kind == _STRUCT and count == 1:
        return name, _fields(elements, order)
    if kind == _CELL:
        cells = [_matrix(element, order)[1] for _, element in elements]
        if len(cells) != count:
            raise ValueError(f"{len(cells)} cells, expected {count}")
        texts = all(isinstance(cell, np.str_) for cell in cells)
        return name, np.array(cells).reshape(shape, order="F") if texts else None
    return name, None


def _numbers(kind: int, raw: memoryview, order: str) -> np.ndarray:
    return np.frombuffer(raw, order + _STORED[kind])


def _text(elements: _Elements, order: str) -> np.str_ | None:
    """A line of text, None for a long one."""
    [(kind, raw)] = elements
    if len(raw) > _LONGEST_TEXT:
        return None
    codings = {"u1": "utf-8", "i1": "utf-8", "u2": "utf-16", "u4": "utf-32"}
    coding = codings[_STORED[kind]]
    return np.str_(
        bytes(raw).decode(coding + {"<": "-le", ">": "-be"}[order] * (coding != "utf-8"))
    )


def _fields(elements: _Elements, order: str) -> dict[str, Any]:
    """The fields of a struct."""
    [length] = _numbers(*next(elements), order)
    names = bytes(next(elements)[1])
    fields = [
        names[start : start + length].split(b"\0")[0].decode("ascii")
        for start in range(0, len(names), int(length))
    ]
    values = [_matrix(element, order)[1] for _, element in elements]
    return dict(zip(fields, values, strict=True))
