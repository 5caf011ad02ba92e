"""Every format a line may have, and times without year or zone."""

# ruff: noqa: E501  # log lines stand as they are written

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from standins.log_replay import WALL, logs
from vllm_vigil.events.part import Part, Shape
from vllm_vigil.events.shape import read
from vllm_vigil.events.text import MAX_LINE_CHARACTERS
from vllm_vigil.events.times import epoch, zone


def at(text: str) -> float:
    """Seconds since the epoch of an ISO time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOV = at("2026-11-21T03:05:31")

CASES = [
    (
        "ERROR 11-21 03:05:31 engine.py:135] gone",  # 0.1 to 0.7
        Part(Shape.RECORD, "gone", "ERROR", "", "", NOV, "engine.py:135"),
    ),
    ("INFO 11-21 03:05:31 [a/.../x.py:1] hi", Part(Shape.RECORD, "hi", "INFO", "", "", NOV, "a/.../x.py:1")),
    ("INFO 2026-11-21 03:05:31,123 [x.py:1] hi", Part(Shape.RECORD, "hi", "INFO", "", "", NOV, "x.py:1")),
    (
        "\x1b[1;36m(Worker_TP1 pid=356)\x1b[0;0m ERROR 11-21 03:05:31 [m.py:815]     raise X",
        Part(Shape.RECORD, "    raise X", "ERROR", "Worker_TP1", "356", NOV, "m.py:815"),
    ),
    (
        "(APIServer pid=1) \x1b[31mERROR\x1b[0m \x1b[90m11-21 03:05:31\x1b[0m \x1b[90m[x.py:1]\x1b[0m gone",
        Part(Shape.RECORD, "gone", "ERROR", "APIServer", "1", NOV, "x.py:1"),
    ),
    (
        "(VllmWorker rank=0 pid=12) WARNING 11-21 03:05:31 [x.py:1] slow",
        Part(Shape.RECORD, "slow", "WARNING", "VllmWorker rank=0", "12", NOV, "x.py:1"),
    ),
    (
        "\x1b[36m(RayWorkerWrapper pid=880, ip=10.0.0.6)\x1b[0m ERROR 11-21 03:05:31 [x.py:1] gone",
        Part(Shape.RECORD, "gone", "ERROR", "RayWorkerWrapper", "880", NOV, "x.py:1"),
    ),
    ("INFO:     Shutting down", Part(Shape.UVICORN, "Shutting down", "INFO")),
    ("(APIServer pid=1) ERROR:    no", Part(Shape.UVICORN, "no", "ERROR", "APIServer", "1")),
    (
        "[rank1]:[E1121 03:05:31.342459398 ProcessGroupNCCL.cpp:2068] [Rank 1] late",
        Part(Shape.CPP, "[Rank 1] late", "ERROR", at=NOV, source="ProcessGroupNCCL.cpp:2068", facts=(("rank", "1"),)),
    ),
    (
        "[E918 06:41:27.512047193 P.cpp:685] late",
        Part(Shape.CPP, "late", "ERROR", at=at("2026-09-18T06:41:27"), source="P.cpp:685"),
    ),
    ("host:214:890 [0] NCCL WARN no shm", Part(Shape.CPP, "NCCL no shm", "WARNING", "", "214", facts=(("gpu", "0"),))),
    (
        "Nov 21 03:05:31 gpu-node kernel: NVRM: Xid",
        Part(Shape.RAW, "NVRM: Xid", process="kernel", at=NOV),
    ),
    (
        "Nov 21 03:05:31 gpu-node kernel: [  358.106643] NVRM: Xid",
        Part(Shape.RAW, "NVRM: Xid", process="kernel", at=NOV),
    ),
    ("[  358.106643] NVRM: Xid", Part(Shape.RAW, "NVRM: Xid", process="kernel")),
    ("[123456.789012] NVRM: Xid", Part(Shape.RAW, "NVRM: Xid", process="kernel")),
    ("[Sat Nov 21 03:05:31 2026] NVRM: Xid", Part(Shape.RAW, "NVRM: Xid", process="kernel", at=NOV)),
    (
        "2026-11-21T03:05:31+00:00 gpu-node systemd[1]: vllm.service: Failed",
        Part(Shape.RAW, "vllm.service: Failed", process="systemd", pid="1", at=NOV),
    ),
    (
        "Nov 21 03:05:33 gpu-node vllm[24050]: (Worker pid=2) ERROR 11-21 03:05:31 [x.py:1] gone",
        Part(Shape.RECORD, "gone", "ERROR", "Worker", "2", NOV, "x.py:1"),
    ),
    (
        "Nov 21 03:05:31 gpu-node vllm[24050]: INFO:     Shutting down",
        Part(Shape.UVICORN, "Shutting down", "INFO", pid="24050", at=NOV),
    ),
    ("Traceback (most recent call last):", Part(Shape.RAW, "Traceback (most recent call last):")),
    (
        "Loading: 50%\rLoading: 100%\rERROR 11-21 03:05:31 [x.py:1] a",
        Part(Shape.RECORD, "a", "ERROR", at=NOV, source="x.py:1"),
    ),
    ("a\x00b\x1b]0;title\x07c\x9b31md\u2028", Part(Shape.RAW, "a bcd ")),
    (
        (
            '{"asctime": "2026-11-21 03:05:31,500", "levelname": "ERROR", "process": 7, "processName": "MainProcess", '
            '"message": "one\\ntwo", "exc_info": "Traceback\\nE: x", "vllm_process_name": "APIServer"}'
        ),
        Part(Shape.DOCUMENT, "one", "ERROR", "APIServer", "7", NOV + 0.5, traceback="two\nTraceback\nE: x"),
    ),
    (
        '{"ts": 1795230331.0, "severity": "warn", "msg": "x"}',
        Part(Shape.DOCUMENT, "x", "WARNING", at=NOV),
    ),
    (
        (
            '{"text": "t", "record": {"level": {"name": "ERROR", "no": 40}, "message": "m", "process": {"id": 9, '
            '"name": "MainProcess"}, "time": {"repr": "2026-11-21 03:05:31.000000+00:00", "timestamp": 1795230331.0}}}'
        ),
        Part(Shape.DOCUMENT, "m", "ERROR", pid="9", at=NOV),
    ),
    (  # VLLM_LOGGING_PREFIX
        "[prod-7] (EngineCore pid=214) ERROR 11-21 03:05:31 [core.py:1] gone",
        Part(Shape.RECORD, "gone", "ERROR", "EngineCore", "214", NOV, "core.py:1"),
    ),
    ("node7: ERROR 11-21 03:05:31 core.py:1] gone", Part(Shape.RECORD, "gone", "ERROR", at=NOV, source="core.py:1")),
    (
        "  said: ERROR 11-21 03:05:31 [core.py:1] gone",
        Part(Shape.RAW, "  said: ERROR 11-21 03:05:31 [core.py:1] gone"),
    ),
    (  # Ray folds what its workers repeat
        "(RayWorkerWrapper pid=880, ip=10.0.0.6) ERROR 11-21 03:05:31 [x.py:1] gone\x1b[32m [repeated 3x across cluster]\x1b[0m",
        Part(Shape.RECORD, "gone", "ERROR", "RayWorkerWrapper", "880", NOV, "x.py:1"),
    ),
    (
        "(RayWorkerProc pid=9) gone [repeated 7x across cluster] (Ray deduplicates logs by default. Set RAY_X)",
        Part(Shape.RAW, "gone", "", "RayWorkerProc", "9"),
    ),
    (  # NCCL names its source with a WARN, and from 2.27 the time
        "[2026-11-21 03:05:31] host:214:890 [3] misc/shmutils.cc:72 NCCL WARN no shm",
        Part(Shape.CPP, "NCCL no shm", "WARNING", "", "214", NOV, "misc/shmutils.cc:72", facts=(("gpu", "3"),)),
    ),
    (
        "2026-11-21 03:05:31.000 | ERROR    | app.proxy:call:42 - upstream gone",
        Part(Shape.UVICORN, "upstream gone", "ERROR", at=NOV, source="app.proxy:call:42"),
    ),
    (  # structlog
        (
            '{"event": "request timed out", "level": "error", "timestamp": "2026-11-21T03:05:31Z", "request_id": "cmpl-7", '
            '"duration_seconds": 61.5, "exception": [{"exc_type": "TimeoutError", "exc_value": "late", "frames": []}]}'
        ),
        Part(
            Shape.DOCUMENT,
            "request timed out",
            "ERROR",
            at=NOV,
            traceback="TimeoutError: late",
            facts=(("duration_seconds", "61.5"), ("request_id", "cmpl-7")),
        ),
    ),
    (  # loguru's serialize=True
        (
            '{"text": "x\\nTraceback (most recent call last):\\nKeyError: 1\\n", "record": {"level": {"name": "SUCCESS"}, '
            '"message": "m", "exception": {"type": "KeyError", "value": "1", "traceback": true}, "extra": {"request_id": 5}}}'
        ),
        Part(
            Shape.DOCUMENT,
            "m",
            "INFO",
            traceback="Traceback (most recent call last):\nKeyError: 1",
            facts=(("request_id", "5"),),
        ),
    ),
    ("{'a': 1}", Part(Shape.RAW, "{'a': 1}")),
    ('{"a": 1}', Part(Shape.RAW, '{"a": 1}')),
]


@pytest.mark.parametrize(
    ("line", "part"), CASES, ids=[line[:30].encode("unicode_escape").decode() for line, _ in CASES]
)
def test_a_line_says_what_it_is(line: str, part: Part) -> None:
    """Level, process, time and text of every format, without escapes and control characters."""
    assert part == read(line.encode(), WALL)


def test_every_recorded_line_keeps_its_level() -> None:
    """In all samples no line that shows a level is taken for raw text."""
    for log in logs():
        for line in log.read_bytes().split(b"\n"):
            if any(f"{level} 1".encode() in line[:60] for level in ("INFO", "WARNING", "ERROR", "CRITICAL")):
                assert Shape.RAW is not read(line, WALL).shape, line


def test_no_bytes_can_break_the_reading() -> None:
    """Invalid UTF-8, endless lines and JSON nested without end are text like any other."""
    assert "\ufffd" in read(b"\xff\xfe", WALL).text
    assert MAX_LINE_CHARACTERS == len(read(b"x" * 10_000_000, WALL).text)
    assert Shape.RAW is read(b'{"a":' * 50_000, WALL).shape


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("12-31 23:59:59", "2027-01-01T00:00:10", "2026-12-31T23:59:59"),
        ("01-01 00:00:01", "2026-12-31T23:59:59", "2027-01-01T00:00:01"),  # its clock is a little ahead
        ("02-29 12:00:00", "2026-11-21T00:00:00", "2024-02-29T12:00:00"),
        ("Nov  1 03:05:31", "2026-11-21T00:00:00", "2026-11-01T03:05:31"),
        ("2026-11-21T05:05:31+02:00", "2030-01-01T00:00:00", "2026-11-21T03:05:31"),
    ],
)
def test_a_time_without_a_year_is_the_nearest_past_one(text: str, now: str, expected: str) -> None:
    """Over New Year's Eve and on a leap day too."""
    assert at(expected) == epoch(text, at(now))


def test_a_time_without_a_zone_is_of_the_zone_that_is_given() -> None:
    """Winter and summer in Berlin; one that names its zone is not moved."""
    berlin, now = zone("Europe/Berlin"), at("2026-11-21T12:00:00")
    assert at("2026-11-21T02:05:31") == epoch("11-21 03:05:31", now, berlin)
    assert at("2026-07-01T01:05:31") == epoch("2026-07-01 03:05:31,000", now, berlin)
    assert at("2026-11-21T03:05:31") == epoch("2026-11-21T03:05:31Z", now, berlin)
    assert zone("local") is None
    local = datetime(2026, 11, 21, 3, 5, 31).timestamp()  # noqa: DTZ001  # this host's
    assert local == epoch("11-21 03:05:31", now, None)
    with pytest.raises(ValueError, match="there is no zone 'Nowhere/Land'"):
        zone("Nowhere/Land")


@pytest.mark.parametrize(
    "text", ["02-31 00:00:00", "soon", "", "2026-13-01 00:00:00", "99-99 00:00:00", "Foo 21 00:00:00"]
)
def test_a_time_that_is_none_is_none(text: str) -> None:
    """A date that does not exist is no reason to stop."""
    assert epoch(text, WALL) is None
