"""Lines as Docker and Kubernetes store them -> the lines that the server wrote.

Both cut what is longer than 16 KiB: Docker leaves the line end out of all parts but the last, the kubelet marks parts
`P` and the last `F`. Parts are joined per stream, for stdout and stderr interleave. What is not wrapped is given as
it is, and the format is decided line by line, so that a path may hold either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from vllm_vigil.lines.settings import Format
from vllm_vigil.lines.sift import Left
from vllm_vigil.lines.split import LINE_LIMIT_BYTES, Piece

_CRI = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) (stdout|stderr) ([PF])(?::\S*)? (.*)", re.DOTALL
)
_DOCKER_START = b'{"log":'
_JOINED_LIMIT = 1024


class Part(NamedTuple):
    """What one stored line holds: the text, of which stream, and whether the written line ends with it."""

    text: bytes
    stream: str = ""
    whole: bool = True


def unwrap(data: bytes, form: Format) -> Part | None:
    """The content of a wrapped line, None if it is not wrapped."""
    if form in (Format.AUTO, Format.DOCKER) and data.startswith(_DOCKER_START):
        return _docker(data)
    if form in (Format.AUTO, Format.CRI) and data[10:11] == b"T" and (match := _CRI.fullmatch(data)):
        return Part(match[3], match[1].decode(), match[2] == b"F")
    return None


def may_be_wrapped(data: bytes, form: Format) -> bool:
    """Whether the beginning of a line is, or may be, that of a wrapped one."""
    if form is not Format.AUTO:
        return form is not Format.PLAIN
    return data.startswith(_DOCKER_START) or bool(_CRI.fullmatch(data))


def _docker(data: bytes) -> Part | None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    text, stream = document.get("log"), document.get("stream")
    if not isinstance(text, str) or not isinstance(stream, str):
        return None
    raw = text.encode(errors="replace")
    return Part(raw.removesuffix(b"\n"), stream, raw.endswith(b"\n"))


class Parts:
    """Joins the parts of the lines of one file. A joined line stands where its last part does."""

    def __init__(self, form: Format = Format.AUTO) -> None:
        self._form = form
        self._open: dict[str, tuple[int, bytearray]] = {}  # stream -> offset of the first part, the text so far
        self._joined: dict[int, int] = {}  # offset of a last part -> that of the first
        self.cut_bytes = 0

    @property
    def begun(self) -> list[int]:
        """Where each line begins whose last part has not come."""
        return [offset for offset, _ in self._open.values()]

    def first_of(self, offset: int) -> int:
        """Where the first part stands of the line that is said to stand at an offset."""
        return self._joined.get(offset, offset)

    def join(self, pieces: Iterable[Piece | Left]) -> list[Piece | Left]:
        """The lines that these pieces complete; what was left out is wrapped by nobody."""
        joined = ((stored if isinstance(stored, Left) else self._one(stored)) for stored in pieces)
        return [piece for piece in joined if piece]

    def _one(self, stored: Piece) -> Piece | None:
        part = unwrap(stored.data, self._form)
        if part is None:
            return stored
        offset, text = self._open.pop(part.stream, (stored.offset, bytearray()))
        kept = part.text[: LINE_LIMIT_BYTES - len(text)]
        self.cut_bytes += len(part.text) - len(kept)
        if not part.whole:
            self._open[part.stream] = (offset, text + kept)
            return None
        if offset != stored.offset:
            self._joined[stored.offset] = offset
            if len(self._joined) > _JOINED_LIMIT:
                del self._joined[next(iter(self._joined))]
        return _as_on_a_terminal(bytes(text + kept), stored)


def _as_on_a_terminal(text: bytes, stored: Piece) -> Piece:
    """What stays of a line with carriage returns; one before its end makes it soft, as in `split`."""
    body = text.rstrip(b"\r")
    return Piece(body[body.rfind(b"\r") + 1 :], stored.offset, stored.end, stored.soft or len(body) < len(text))
