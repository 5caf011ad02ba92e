"""One physical line -> what it says about itself: shape, level, process, time, text.

Every format that vLLM has written since 0.1, decided line by line, because one file holds several: its own prefix,
JSON, uvicorn's, loguru's, PyTorch's and NCCL's C++ lines, kernel and systemd lines of a journal, what dmesg prints, and
raw text such as tracebacks.
The formats are those of the project's catalogue of vLLM logs and of its recorded samples.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC

from vllm_vigil.events.document import document
from vllm_vigil.events.part import LEVELS, Part, Shape, level_of
from vllm_vigil.events.text import ESCAPES, MAX_LINE_BYTES, MAX_LINE_CHARACTERS, clean
from vllm_vigil.events.times import Zone, epoch
from vllm_vigil.model import labels

_LEVEL = "|".join(LEVELS)
_JOURNAL = re.compile(  # `journalctl -o short`, `-o short-iso`, rsyslog
    r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)) "
    r"\S+ (?P<tag>[^\s:\[\]]+)(?:\[(?P<pid>\d+)\])?: (?P<rest>.*)"
)
_RING = re.compile(  # dmesg, `dmesg -T`, and the kernel's lines in /var/log/kern.log
    r"\[(?: *\d+\.\d{3,6}|[A-Z][a-z]{2} (?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) \d{4})\] (?P<text>.*)"
)
_PROCESS = re.compile(r"\((?P<process>[^()]{1,80}?) pid=(?P<pid>\d+)(?:, ip=[^()]{1,64})?\) ?")
_RECORD = re.compile(  # 0.1 has `file:1]`, 0.8 and later `[file:1]`
    rf"(?P<level>{_LEVEL}) (?P<time>(?:\d{{4}}-)?\d\d-\d\d \d\d:\d\d:\d\d)\S* "
    r"\[?(?P<source>[^\[\]\s:]+:\d+)\] ?(?P<text>.*)"
)
_UVICORN = re.compile(rf"(?P<level>{_LEVEL}): {{1,5}}(?P<text>.*)")
_CPP = re.compile(  # glog: `E918` is 18 September
    r"(?:\[rank(?P<rank>\d+)\]:)?\[(?P<level>[IWEF])(?P<month>\d{1,2})(?P<day>\d\d) (?P<time>\d\d:\d\d:\d\d)\.\d+ "
    r"(?:\d+ )?(?P<source>[\w.]+:\d+)\] (?P<text>.*)"
)
_NCCL = re.compile(  # from 2.4 a WARN names its source, from 2.27 every line may say its time
    r"(?:\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)[^\]]{0,16}\] )?\S+:(?P<pid>\d+):\d+ \[(?P<gpu>\d+)\] "
    r"(?:(?P<source>[\w./-]+:\d+) )?NCCL (?P<level>WARN|INFO) (?P<text>.*)"
)
_LOGURU = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6}) \| (?P<level>[A-Z]{4,9}) *\| "
    r"(?P<source>[\w.<>]+:[\w<>]+:\d+) - (?P<text>.*)"
)
_FREE = re.compile(  # VLLM_LOGGING_PREFIX: any text before the prefix, also before the process part
    rf"\S.{{0,99}}?(?=(?:\([^()]{{1,80}} pid=\d+(?:, ip=[^()]{{1,64}})?\) )?(?:{_LEVEL}) "
    r"(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\S* \[?[^\[\]\s:]+:\d+\] )"
)
_REPEATED = re.compile(r" *\[repeated \d+x across cluster\](?: \(Ray deduplicates .*)?$")
_CPP_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL", "WARN": "WARNING", "INFO": "INFO"}


def read(data: bytes, now: float, zone: Zone = UTC) -> Part:
    """What one line says; `now` (epoch seconds) gives the year where it has none, `zone` its zone."""
    text = data[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip("\r\n")
    if text.startswith("{"):
        part = document(text, now, zone)
        if part:
            return part
    text = ESCAPES.sub("", text) if "\x1b" in text or "\x9b" in text else text
    part = _plain(text, now, zone)
    if part.shape is Shape.RAW and "\r" in text:  # a progress bar rewrites its line; what it ends in is what stays
        part = _plain(text.rsplit("\r", 1)[-1], now, zone)
    return replace(part, text=clean(part.text)) if not part.text.isprintable() else part


def _plain(text: str, now: float, zone: Zone) -> Part:
    text = text[:MAX_LINE_CHARACTERS]
    journal = _JOURNAL.match(text) if text[6:7] == " " or text[10:11] == "T" else None
    if not journal:
        return _unwrapped(text, now, zone)
    at = epoch(journal["time"], now, zone)
    if journal["tag"] in ("kernel", "systemd"):
        ring = _RING.match(journal["rest"])
        said = ring["text"] if ring else journal["rest"]
        return Part(Shape.RAW, said, process=journal["tag"], pid=journal["pid"] or "", at=at)
    part = _unwrapped(journal["rest"], now, zone)
    return part if part.at is not None else replace(part, at=at, pid=part.pid or journal["pid"] or "")


def _unwrapped(text: str, now: float, zone: Zone) -> Part:
    part = _known(text, now, zone)
    free = _FREE.match(text) if part.shape is Shape.RAW and "] " in text else None
    return _known(text[free.end() :], now, zone) if free else part


def _known(text: str, now: float, zone: Zone) -> Part:
    """A line that begins as one of the formats does, else raw."""
    process, pid = "", ""
    mark = _PROCESS.match(text) if text.startswith("(") else None
    if mark:
        process, pid, text = mark["process"], mark["pid"], text[mark.end() :]
        text = _REPEATED.sub("", text) if "x across cluster]" in text else text  # Ray folds equal lines of its workers
    match = _RECORD.match(text)
    if match:
        at = epoch(match["time"], now, zone)
        return Part(Shape.RECORD, match["text"], match["level"], process, pid, at, match["source"])
    match = _UVICORN.match(text)
    if match:
        return Part(Shape.UVICORN, match["text"], match["level"], process, pid)
    return _foreign(text, now, zone, process, pid)


def _foreign(text: str, now: float, zone: Zone, process: str, pid: str) -> Part:
    """A line of the kernel, PyTorch, NCCL or loguru, else raw."""
    match = _RING.match(text) if text.startswith("[") else None
    if match:
        at = epoch(match["time"], now, zone) if match["time"] else None
        return Part(Shape.RAW, match["text"], process="kernel", at=at)
    match = _CPP.match(text) if text.startswith("[") else None
    if match:
        at = epoch(f"{int(match['month']):02}-{match['day']} {match['time']}", now, zone)
        level, facts = _CPP_LEVELS[match["level"]], labels(rank=match["rank"] or "")
        return Part(Shape.CPP, match["text"], level, process, pid, at, match["source"], facts=facts)
    match = _NCCL.match(text) if " NCCL " in text else None
    if match:
        at = epoch(match["time"], now, zone) if match["time"] else None
        said, level, facts = f"NCCL {match['text']}", _CPP_LEVELS[match["level"]], labels(gpu=match["gpu"])
        return Part(Shape.CPP, said, level, process, pid or match["pid"], at, match["source"] or "", facts=facts)
    match = _LOGURU.match(text) if " | " in text else None
    if match and level_of(match["level"]):
        at = epoch(match["time"], now, zone)
        return Part(Shape.UVICORN, match["text"], level_of(match["level"]), process, pid, at, match["source"])
    return Part(Shape.RAW, text, "", process, pid)
