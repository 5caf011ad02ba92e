"""What the sieve leaves out is of no consequence: events and counts are those of reading every line, on either way."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from standins.json_lines import WRITERS, Write
from standins.log_replay import WALL, lines_of, logs
from vllm_vigil.clock import CrankedClock
from vllm_vigil.commands import reading
from vllm_vigil.commands.reading import BLOCK_BYTES, Bar, Log
from vllm_vigil.commands.replay import Story
from vllm_vigil.events import record, scan, shape
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.part import LEVELS, Part
from vllm_vigil.events.pattern import Pattern, PatternSettings
from vllm_vigil.events.patterns import PATTERNS, user_rows
from vllm_vigil.events.record import Joiner
from vllm_vigil.events.sieve import Gate, Sieve, Texts, sieves
from vllm_vigil.events.times import Zone, zone
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.model import Line, Stretch
from vllm_vigil.telemetry import Telemetry

TEXTS = Texts(PATTERNS)
DETECTOR = Detector(PATTERNS)
WAYS: list[type[scan.Hyperscan | scan.Standard]] = [scan.Hyperscan, scan.Standard] if scan.FAST else [scan.Standard]
NAMES = [way.__name__ for way in WAYS]


def told(path: Path, by: scan.Scan | None, rows: tuple[Pattern, ...] = PATTERNS) -> tuple[list[str], Counter[str]]:
    """Events by where they stand, then incidents, and lines by level, of a file read in one of the ways."""
    story = Story(rows, RULES, Bar([]), zone("UTC"))
    story._sieves = lambda: Sieve(Texts(rows), by) if by else None
    facts = [str(fact) for fact in story.tell([str(path)])]
    counts = Counter({level: count for level, count in story.counts.items() if count})
    return sorted(facts), counts


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@pytest.mark.parametrize("log", logs(), ids=[log.stem for log in logs()])
def test_every_sample_gives_the_same_by_either_way(log: Path, way: type[scan.Hyperscan | scan.Standard]) -> None:
    """Events with their fields, incidents with their times, and the count of each level."""
    by = way(TEXTS.by_level)
    assert told(log, None) == told(log, by)


def pieces() -> list[bytes]:
    """Lines to make logs of: those of the samples, those of the rows' examples, and what is made to be mistaken."""
    found = [line for log in logs() for line in log.read_bytes().split(b"\n") if len(line) < 2000]
    for row in PATTERNS:
        found += [line.encode() for text in (*row.examples, *row.near_misses) for line in text.split("\n")]
    return [*dict.fromkeys(found), *documents(), *ODD]


def documents() -> list[bytes]:
    """The rows' examples as JSON, by each who writes it, at every level."""
    messages = [*dict.fromkeys(text for row in PATTERNS for text in (*row.examples[:1], *row.near_misses[:1]))]
    turns = zip(messages, itertools.cycle(LEVELS), itertools.cycle(("31", "32", "35")), strict=False)
    return [write(level, second, message).encode() for message, level, second in turns for write in WRITERS]


ODD = (
    b"",
    b"\r",
    b"INFO",
    b"INFO ",
    b"INFO:     ",
    b"INFO:    four",
    b"INFO:      six",
    b"INFO 11-21 03:05:31 [x.py:1]",
    b"INFO 11-21 03:05:31 [x.py:1] ",
    b"INFO 11-21 03:05:31 [x y.py:1] no source",
    b"INFO 11-21 03:05:31 x.py:1] old",
    b"INFO 2026-11-21 03:05:31 [x.py:1] with a year",
    b"(A pid=1)INFO 11-21 03:05:31 [x.py:1] no blank",
    b"(A pid=) INFO 11-21 03:05:31 [x.py:1] no pid",
    b"(A B pid=1) INFO 11-21 03:05:31 [x.py:1] blank in the name",
    b"(RayWorkerProc pid=1, ip=10.0.0.1) INFO 11-21 03:05:31 [x.py:1] ray [repeated 3x across cluster]",
    b"\x1b[1;36m(A pid=1)\x1b[0;0m INFO 11-21 03:05:31 [x.py:1] coloured",
    b"\x1b[1;36m(A pid=1)\x1b[0;0m INFO 11-21 03:05:31 [x.py:1] Initializing \x1b[1ma V1 LLM engine (v0.1) with",
    b"\x1b[1;36m(A pid=1)\x1b[0;0m WARNING 11-21 03:05:31 [x.py:1] coloured",
    b"(A pid=1) INFO 11-21 03:05:31 [x.py:1] \x1b[1mNo available shared memory broadcast block found in 60 seconds",
    b"(A pid=1) INFO 11-21 03:05:31 [x.py:1] No available sha\0red memory broadcast block found in 60 seconds",
    b"(A pid=1) INFO 11-21 03:05:31 [x.py:1] No available sha\x1b[0mred memory broadcast block found in 60 seconds",
    b"(A pid=1) INFO 11-21 03:05:31 [x.py:1] goes on\r",
    b"(A pid=1) INFO 11-21 03:05:31 [x.py:1] last",
    b"(A pid=1) WARNING 11-21 03:05:31 [x.py:1] goes on\r",
    b"(A pid=1) WARNING 11-21 03:05:31 [x.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB",
    b"(A pid=1) DEBUG 11-21 03:05:31 [x.py:1] detail",
    b"prefix of the site (A pid=1) ERROR 11-21 03:05:31 [x.py:1] WorkerProc hit an exception.",
    b"50%\rINFO 11-21 03:05:31 [x.py:1] Application startup complete.",
    b'{"asctime": "2026-11-21 03:10:22,820", "levelname": "INFO", "name": "a", "message": "levelname", "x": "\\u00e9"}',
    b'{"asctime": "2026-11-21 03:10:22,820", "levelname": "INFO", "name": "a", "levelname": "ERROR"}',
    b'{"asctime": "2026-11-21 03:10:22,820", "levelname": "WARNING", "name": "a", "message": "torn',
    "INFO 11-21 03:05:31 [x.py:1] \u2028 \x9b31m non-default args: {".encode(),
    b"\xff\xfe INFO:     ",
)
LINES = pieces()


@pytest.mark.no_cover
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@settings(max_examples=150, deadline=None)
@given(lines=st.lists(st.sampled_from(LINES), max_size=40), ended=st.booleans())
def test_any_log_gives_the_same_by_either_way(
    tmp_path_factory: pytest.TempPathFactory,
    way: type[scan.Hyperscan | scan.Standard],
    lines: list[bytes],
    ended: bool,  # noqa: FBT001  # Hypothesis gives it
) -> None:
    """Lines of all formats in any order, whole ones and torn ones."""
    path = tmp_path_factory.getbasetemp() / f"{way.__name__}.log"
    path.write_bytes(b"\n".join(lines) + b"\n" * ended)
    events, counts = told(path, None)
    assert (events, counts) == told(path, way(TEXTS.by_level))


@pytest.mark.no_cover
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_bytes_changed_anywhere_give_the_same(tmp_path: Path, way: type[scan.Hyperscan | scan.Standard]) -> None:
    """Two thousand lines of a real log, each with a byte taken away, doubled or changed."""
    rng = random.Random(5)
    changed = []
    for line in rng.choices([line for line in LINES if line], k=2000):
        at = rng.randrange(min(len(line), 60))
        changed.append(line[:at] + rng.choice([b"", line[at : at + 1] * 2, b" ", b"(", b"7"]) + line[at + 1 :])
    path = tmp_path / "changed.log"
    path.write_bytes(b"\n".join(changed))
    by = way(TEXTS.by_level)
    assert told(path, None)[1] == told(path, by)[1]
    assert kinds(told(path, None)[0]) == kinds(told(path, by)[0])


@pytest.mark.no_cover
@settings(max_examples=150, deadline=None)
@given(lines=st.lists(st.sampled_from(LINES), max_size=40))
def test_a_gate_before_the_joiner_changes_nothing(lines: list[bytes]) -> None:
    """In the daemon lines come one by one; ordinary ones are counted and not read."""
    found = []
    for gate in (None, Gate(PATTERNS)):
        telemetry = Telemetry(CrankedClock(WALL))
        joiner = Joiner(telemetry, CrankedClock(WALL), gate=gate)
        records = [record for line in lines_of(b"\n".join(lines)) for record in joiner.feed(line)]
        events = [DETECTOR.judge(record, 0.0) for record in (*records, *joiner.flush())]
        told_ = [(e.kind, e.record.offset, e.record.message, e.record.traceback, dict(e.fields)) for e in events if e]
        counts = {
            level: telemetry.registry.get_sample_value(
                "vigil_log_lines_total", {"file": "vllm.log", "level": level or "none"}
            )
            for level in ("", *LEVELS)
        }
        found.append((told_, counts))
    assert found[0] == found[1]


def kinds(facts: list[str]) -> Counter[str]:
    """How many events of each kind."""
    return Counter(fact.split("'event': ")[1].split(",")[0] for fact in facts if "'event': " in fact)


def test_an_ordinary_log_hardly_reaches_python(tmp_path: Path) -> None:
    """Of ten thousand access and statistics lines and five thousand warnings none is given, and all are counted."""
    access = b'(APIServer pid=1) INFO:     10.0.0.1:1 - "POST /v1/completions HTTP/1.1" 200 OK\n'
    stats = b"(APIServer pid=1) INFO 11-21 03:05:31 [loggers.py:248] Engine 000: Avg prompt throughput: 1.0 tokens/s\n"
    warning = b"(EngineCore pid=2) WARNING 11-21 03:05:31 [scheduler.py:9] request 7 waits for 0.7 s\n"
    log = tmp_path / "ordinary.log"
    log.write_bytes((access + stats + warning) * 5000)
    for way in WAYS:
        by = way(TEXTS.by_level)
        given, levels = Sieve(TEXTS, by).sift((access + stats + warning) * 500)
        assert [] == given
        assert {"WARNING": 500} == {level: len(places) for level, places in levels.items() if places}
        assert {"INFO": 10_000, "WARNING": 5_000} == told(log, by)[1]


@pytest.mark.parametrize("write", WRITERS, ids=[write.__name__ for write in WRITERS])
def test_an_ordinary_log_of_json_hardly_reaches_python(tmp_path: Path, write: Write) -> None:
    """Nor do plain access lines among its lines; what is of interest does."""
    ordinary = f'{write("INFO", "31", "step")}\nINFO:     10.0.0.1:1 - "GET /health HTTP/1.1" 200 OK\n'.encode()
    warning = f"{write('WARNING', '31', 'slow')}\n".encode()
    fatal = f"{write('ERROR', '31', 'EngineCore encountered a fatal error.')}\n".encode()
    log = tmp_path / "ordinary.log"
    log.write_bytes((ordinary * 1000 + warning + fatal) * 3)
    for way in WAYS:
        by = way(TEXTS.by_level)
        assert [] == by.look(ordinary * 100)[0]
        given, levels = Sieve(TEXTS, by).sift(ordinary + warning + fatal)
        assert [fatal] == [(ordinary + warning + fatal)[slice(start, end + 1)] for start, end in given]
        assert {"WARNING": 1} == {level: len(places) for level, places in levels.items() if places}
        events, counts = told(log, by)
        assert {"INFO": 6000, "WARNING": 3, "ERROR": 3} == counts
        assert told(log, None) == (events, counts)


def test_a_text_is_found_without_libc_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none, Python looks itself; both know zero bytes and ends."""

    def none(_name: str | None) -> object:
        raise OSError

    monkeypatch.setattr("ctypes.CDLL", none)
    for holds in (scan.holds, scan._finder()):
        found = [holds(b"a\0bc\n", text) for text in (b"a", b"\0b", b"c\n", b"bd", b"\n\n")]
        assert [True, True, True, False, False] == found


UNMARKED = [
    f"{process}{level} 11-21 03:05:{second} [{source}] {text}".encode()
    for process in ("(A pid=1) ", "(B pid=2) ", "\x1b[1;36m(A pid=1)\x1b[0;0m ", "")
    for level, source, text in (
        ("INFO", "x.py:1", "ordinary"),
        ("DEBUG", "x.py:1", "detail"),
        ("WARNING", "x.py:2", "of no interest"),
        ("WARNING", "x.py:2", "Traceback (most recent call last):"),
        ("WARNING", "x.py:2", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("WARNING", "x.py:2", "RequestValidationError caught. Request id: 7"),
        ("ERROR", "core.py:1", "WorkerProc hit an exception."),
        ("ERROR", "core.py:1", "Traceback (most recent call last):"),
        ("ERROR", "core.py:1", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"),
    )
    for second in (31, 32, 33, 35)
]
RAW = [
    b'(A pid=1) INFO:     10.0.0.1:1 - "GET /health HTTP/1.1" 200 OK',
    b"Traceback (most recent call last):",
    b"  File 'x.py', line 1",
    b"KeyError: 'x'",
    b"(A pid=1) Traceback (most recent call last):",
    b"(A pid=1) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
    b"(A pid=1) ERROR:    Exception in ASGI application",
    b"[rank0]:[E1121 03:05:31.000000000 x.cpp:1] Watchdog caught collective operation timeout: WorkNCCL(",
    b"2026-11-21 03:05:32.100 | ERROR    | x:y:1 - it failed",
    b"Nov 21 03:05:31 node vllm[7]: Traceback (most recent call last):",
    b'{"asctime": "2026-11-21 03:05:34,820", "levelname": "INFO", "name": "a", "message": "a document"}',
    *(write(level, "34", "a document").encode() for write in WRITERS for level in ("INFO", "WARNING", "ERROR")),
]


@pytest.mark.no_cover
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    lines=st.lists(st.one_of(st.sampled_from(UNMARKED), st.sampled_from(RAW)), max_size=60),
    block_bytes=st.sampled_from((2500, BLOCK_BYTES)),
)
def test_a_log_without_marks_gives_the_same_by_either_way(
    tmp_path_factory: pytest.TempPathFactory,
    way: type[scan.Hyperscan | scan.Standard],
    lines: list[bytes],
    block_bytes: int,
) -> None:
    """Records of several processes are open most of the time, and the log's clock goes on, stands and goes back."""
    path = tmp_path_factory.getbasetemp() / f"unmarked{way.__name__}.log"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", block_bytes)
        by_scan = told(path, way(TEXTS.by_level))
    assert told(path, None) == by_scan


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@pytest.mark.parametrize("between", [0, 1500], ids=["in one block", "over the end of a block"])
def test_a_warning_of_no_interest_is_read_after_all_when_it_goes_on_with_a_text(
    tmp_path: Path, way: type[scan.Hyperscan | scan.Standard], between: int
) -> None:
    """Its first lines were left out; the event has all of them, and a client's own text in it opens nothing."""
    ordinary = b'(APIServer pid=1) INFO:     10.0.0.1:1 - "POST /v1/completions HTTP/1.1" 200 OK\n'
    warning = b"(Core pid=2) WARNING 11-21 03:05:31 [x.py:9] "
    head = [b"it failed", b"Traceback (most recent call last):", b'  File "x.py", line 1, in execute_model']
    oom = b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB"
    path = tmp_path / "unmarked.log"
    path.write_bytes(
        ordinary * (BLOCK_BYTES // len(ordinary) - 1)
        + b"".join(warning + text + b"\n" for text in head)
        + ordinary * between
        + warning
        + oom
        + b"\n"
    )
    story = Story(PATTERNS, RULES, Bar([]), zone("UTC"))
    story._sieves = lambda: Sieve(TEXTS, way(TEXTS.by_level))
    event, incident = story.tell([str(path)])
    assert ("cuda_oom", "it failed") == (event["event"], event["message"])
    assert "runtime" == incident["labels"]["phase"]
    assert {"INFO": BLOCK_BYTES // len(ordinary) - 1 + between, "WARNING": 4} == told(path, way(TEXTS.by_level))[1]


def test_an_open_record_has_no_ordinary_line_read_but_the_one_that_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback without end, and an ERROR of a process that says no more, among ten thousand lines of another."""
    taken: list[bytes] = []

    def noted(data: bytes, now: float, zone_: Zone) -> Part:
        taken.append(data)
        return shape.read(data, now, zone_)

    monkeypatch.setattr(record, "read", noted)
    joiner = Joiner(Telemetry(CrankedClock(WALL)), CrankedClock(WALL))
    trouble = b"(B pid=2) ERROR 11-21 03:05:31 [core.py:1] failed"
    same, later = (b"(A pid=1) INFO 11-21 03:05:%d [x.py:1] step\n" % second for second in (31, 33))
    block = same * 5000 + later * 5000
    for line in (b"Traceback (most recent call last):", trouble):
        joiner.feed(Line("a", line, "", "g", 0, 0))
    ended, own = joiner.feed(Stretch("a", block, 0, len(block), 0, "", "g"))
    assert ("failed", "step") == (ended.message, own.message)
    assert 3 == len(taken)


def test_a_users_row_that_looks_at_info_is_seen(tmp_path: Path) -> None:
    """By the text that its expression must hold, or, if there is none, by giving up the short cut."""
    path = tmp_path / "a.log"
    path.write_bytes(
        b"INFO 11-21 03:05:31 [x.py:1] Cache hit ratio 7\n" + b"INFO 11-21 03:05:31 [x.py:1] nothing\n" * 100
    )
    for regex in (r"hit ratio \d", r"(?i)HIT RATIO \d", r"h[ij]t|miss"):
        rows = (*user_rows({"mine": PatternSettings(regex=regex)}), *PATTERNS)
        story = Story(rows, RULES, Bar([]), zone("UTC"))
        assert ["mine"] == [fact["event"] for fact in story.tell([str(path)])], regex
        assert {"INFO": 101} == {level: count for level, count in story.counts.items() if count}


def test_a_line_longer_than_a_block_is_one_line(tmp_path: Path) -> None:
    """It costs a block of memory, and what follows it is read."""
    path = tmp_path / "long.log"
    path.write_bytes(b"x" * (3 * BLOCK_BYTES) + b"\nERROR:    no\n")
    long, *rest = Log(str(path), Sieve(TEXTS, scan.scan(TEXTS.by_level)), Bar([])).lines()
    assert isinstance(long, Line)
    assert [b"ERROR:    no"] == [line.data for line in rest if isinstance(line, Line)]
    assert 3 * BLOCK_BYTES > len(long.data)


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_a_prepared_sieve_makes_nothing_while_a_line_waits(
    way: type[scan.Hyperscan | scan.Standard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database takes up to 30 ms to be made; for each kind of lines there is one."""
    made = scan._database if scan.FAST else None
    count = 0

    def counted(*kinds: Iterable[bytes]) -> object:
        nonlocal count
        count += 1
        assert made is not None
        return made(*kinds)

    monkeypatch.setattr(scan, "FAST", way is scan.Hyperscan)
    monkeypatch.setattr(scan, "_database", counted)
    sieve = sieves(PATTERNS, prepared=True)()
    assert sieve is not None
    before = count
    for log in logs():
        sieve.sift(log.read_bytes().rstrip(b"\n") + b"\n")
    assert before == count
