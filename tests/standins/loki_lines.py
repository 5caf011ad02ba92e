"""Lines of a followed log -> what Loki would answer, for pictures only: no Loki can be had here, and none is tested.

It knows the shapes of query that the boards have: one selector by level, line filters, counts by label. The levels and
times are the lines' own; a line without a time has that of the line before.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

_LINE = re.compile(r"(?:\([^)]*\) )?(?P<level>[A-Z]+) (?P<time>\d\d-\d\d \d\d:\d\d:\d\d) ")
_ACCESS = re.compile(r'HTTP/[\d.]+" (?P<status>[45]\d\d)')


@dataclass(frozen=True, slots=True)
class Entry:
    """One line with its labels."""

    at: float
    level: str
    text: str


def entries(paths: Iterable[Path], year: int) -> list[Entry]:
    """Every line of the logs, in the order of time."""
    found, at, level = [], 0.0, "info"
    for path in paths:
        for text in path.read_text().splitlines():
            if match := _LINE.match(text):
                at = (
                    datetime.strptime(f"{year}-{match['time']}+0000", "%Y-%m-%d %H:%M:%S%z").astimezone(UTC).timestamp()
                )
                level = match["level"].lower()
            found.append(Entry(at, level, text))
    return sorted(found, key=lambda entry: entry.at)


def answer(every: list[Entry], query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
    """Streams of lines, or counts over time by level or status."""
    chosen = [each for each in every if start <= each.at <= end and _matches(each, query)]
    if "count_over_time" not in query:
        levels = dict.fromkeys(each.level for each in chosen)
        return [{"stream": {"level": level}, "values": _lines(chosen, level)} for level in levels]
    by = "status" if "by (status)" in query else "level"
    counts = Counter((_label(each, by), each.at // step * step) for each in chosen)
    names = sorted({name for name, _ in counts})
    return [
        {"metric": {by: name}, "values": [[at, str(count)] for (of, at), count in sorted(counts.items()) if of == name]}
        for name in names
    ]


def _lines(chosen: list[Entry], level: str) -> list[list[str]]:
    return [[f"{each.at * 1e9:.0f}", each.text] for each in reversed(chosen) if each.level == level][:200]


def _label(entry: Entry, by: str) -> str:
    found = _ACCESS.search(entry.text)
    return entry.level if by == "level" else found["status"] if found else ""


def _matches(entry: Entry, query: str) -> bool:
    if 'job="vllm"' not in query:
        return False
    level = re.search(r'level=~"([^"]+)"', query)
    filters = re.findall(r'\|~ (?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)', query)
    return (not level or bool(re.fullmatch(level[1], entry.level))) and all(
        re.search(quoted.replace("\\\\", "\\") or raw, entry.text) for quoted, raw in filters
    )


@contextmanager
def serving(every: list[Entry]) -> Iterator[str]:
    """The address of a server that answers `query_range` from these lines."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
            start, end, step = float(asked["start"]), float(asked["end"]), float(asked.get("step", 60))
            result = answer(every, asked["query"], start, end, step)
            body = json.dumps({"status": "success", "data": {"result": result}}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the standard library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
