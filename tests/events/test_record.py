"""Lines become records: one traceback one record, by process, with and without vLLM's marks, and across a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from standins.log_replay import WALL, lines_of, logs, records_of
from vllm_vigil.clock import CrankedClock
from vllm_vigil.events.record import MAX_PENDING, Joiner
from vllm_vigil.model import Line, Record
from vllm_vigil.telemetry import Telemetry

SAMPLES = Path(__file__).parents[1] / "data" / "samples"


def fresh() -> Joiner:
    """A joiner that has read nothing."""
    clock = CrankedClock(WALL)
    return Joiner(Telemetry(clock), clock)


def shown(records: list[Record]) -> list[tuple[str, str, str]]:
    """Process, message, and last line of the traceback."""
    return [(record.process, record.message, record.traceback.rpartition("\n")[2]) for record in records]


def prefixed(process: str, *said: str, marked: bool = True, time: str = "03:05:31") -> list[bytes]:
    """A record of several lines, as it stands in a file."""
    end = "\r" if marked else ""
    lines = [f"({process} pid=1) ERROR 11-21 {time} [x.py:1] {text}{end}" for text in said]
    return [*(line.encode() for line in lines[:-1]), lines[-1].removesuffix("\r").encode()]


TRACE = ("It failed.", "Traceback (most recent call last):", '  File "x.py", line 1, in f', "KeyError: 'x'")


def offsets(joiner: Joiner) -> list[int]:
    """Where the records that it holds begin."""
    return [line.offset for line in joiner.held()]


def test_a_marked_record_is_complete_with_its_last_line() -> None:
    """Four lines, of which three end in CR LF, give one record, at the fourth."""
    joiner = fresh()
    *first, last = lines_of(b"\n".join(prefixed("Worker", *TRACE)) + b"\n")
    assert [] == [record for line in first for record in joiner.feed(line)]
    (record,) = joiner.feed(last)
    assert ("ERROR", "It failed.", "\n".join(TRACE[1:])) == (record.level, record.message, record.traceback)
    assert ("llama", "Worker", "1", 0, "1") == (
        record.server,
        record.process,
        record.pid,
        record.offset,
        record.generation,
    )


def test_two_tracebacks_that_interleave_stay_apart() -> None:
    """The lines of two processes alternate; each record has its own."""
    one, two = prefixed("Worker_TP0", *TRACE), prefixed("Worker_TP1", *TRACE[:-1], "ValueError: y")
    mixed = b"\n".join(line for pair in zip(one, two, strict=True) for line in pair) + b"\n"
    assert [
        ("Worker_TP0", "It failed.", "KeyError: 'x'"),
        ("Worker_TP1", "It failed.", "ValueError: y"),
    ] == shown(records_of(mixed))


def test_without_marks_traceback_parts_are_joined() -> None:
    """As in a journal, where the CR is lost; the next message of the same place and second is a record of its own."""
    lines = [*prefixed("Worker", *TRACE, marked=False), *prefixed("Worker", *TRACE, marked=False)]
    assert 2 * [("Worker", "It failed.", "KeyError: 'x'")] == shown(records_of(b"\n".join(lines)))


def test_a_journal_gives_the_same_records_as_the_file() -> None:
    """Behind a journal's prefix and without CR every marked sample record is found again."""
    for name in ("cuda-oom-serving-v0.19.log", "illegal-memory-access-v0.11.log", "engine-killed-v0.32.log"):
        data = (SAMPLES / name).read_bytes()
        stamped = b"\n".join(
            b"Nov 21 03:05:31 host vllm[1]: " + line.rstrip(b"\r") for line in data.split(b"\n") if line
        )
        plain = {(r.level, r.message) for r in records_of(data) if r.level == "ERROR"}
        assert plain == {(r.level, r.message) for r in records_of(stamped) if r.level == "ERROR"}


RAW = (
    "Process EngineCore:",
    "Traceback (most recent call last):",
    '  File "x.py", line 1, in f',
    "KeyError: 'x'",
    "",
    "During handling of the above exception, another exception occurred:",
    "",
    "Traceback (most recent call last):",
    '  File "x.py", line 1, in g',
    "RuntimeError: y",
)


def test_a_raw_chain_is_one_record_and_two_tracebacks_are_two() -> None:
    """A chain is joined by its own words; a traceback after a finished one is another."""
    text = "\n".join((*RAW, *RAW[1:4])) + "\n"
    assert [
        ("", RAW[0], "RuntimeError: y"),
        ("", RAW[1], "KeyError: 'x'"),
    ] == shown(records_of(text.encode()))


def test_a_line_of_another_stream_does_not_tear_a_raw_traceback() -> None:
    """An access line may fall into a traceback; after the exception's name it ends it."""
    access = 'INFO:     1.1.1.1:1 - "GET / HTTP/1.1" 200 OK'
    text = "\n".join((*RAW[1:3], access, RAW[3], access)) + "\n"
    joiner = fresh()
    records = [record for line in lines_of(text.encode()) for record in joiner.feed(line)]
    assert ["1.1.1.1:1", "Traceback", "1.1.1.1:1"] == [record.message.split(" ")[0] for record in records]
    assert records[1].traceback.endswith("KeyError: 'x'")


def test_uvicorns_error_takes_the_traceback_below_it() -> None:
    """`Exception in ASGI application` and what follows are one record at ERROR."""
    text = "\n".join(("ERROR:    Exception in ASGI application", *RAW[1:4])) + "\n"
    (record,) = records_of(text.encode())
    assert ("ERROR", "Exception in ASGI application") == (record.level, record.message)
    assert record.traceback.endswith("KeyError: 'x'")


def test_what_may_go_on_is_handed_out_when_it_is_old(clock: CrankedClock, telemetry: Telemetry) -> None:
    """A lone ERROR before any mark waits for half a second and no longer."""
    joiner = Joiner(telemetry, clock)
    assert [] == joiner.feed(Line("f", prefixed("Worker", "It failed.")[0]))
    asyncio.run(clock.crank(0.4))
    assert [] == joiner.flush(0.5)
    asyncio.run(clock.crank(0.2))
    assert [("Worker", "It failed.", "")] == shown(joiner.flush(0.5))
    assert [] == joiner.held()


def test_the_logs_own_time_ends_a_record_too() -> None:
    """In a replay no time passes; a line of two seconds later completes what was held, in its order."""
    early = prefixed("Worker", "early")
    late = [b"(APIServer pid=2) INFO 11-21 03:05:33 [x.py:1] late"]
    joiner = fresh()
    records = [record for line in lines_of(b"\n".join([*early, *late])) for record in joiner.feed(line)]
    assert ["early", "late"] == [record.message for record in records]


def test_lines_are_counted_by_level(clock: CrankedClock, telemetry: Telemetry) -> None:
    """`vigil_log_lines_total` counts every physical line, raw ones as none."""
    joiner = Joiner(telemetry, clock)
    for line in (*prefixed("Worker", *TRACE), b"raw", b"INFO:     x"):
        joiner.feed(Line("f", line))
    joiner.flush()
    count = {
        level: telemetry.registry.get_sample_value("vigil_log_lines_total", {"file": "f", "level": level})
        for level in ("ERROR", "INFO", "none")
    }
    assert {"ERROR": 4, "INFO": 1, "none": 1} == count


@pytest.mark.no_cover
def test_an_endless_record_keeps_its_beginning_and_its_end() -> None:
    """A hundred thousand lines of one record cost no more than 64 KiB and still name the exception."""
    lines = [*prefixed("Worker", "It failed.", *(f"  line {n}" for n in range(100_000)), "KeyError: 'x'")]
    (record,) = records_of(b"\n".join(lines))
    assert record.traceback.startswith("  line 0\n")
    assert record.traceback.endswith("KeyError: 'x'")
    assert 70_000 > len(record.traceback)


def test_records_that_never_end_are_bounded() -> None:
    """Of ever new processes only so many records are held; the oldest are handed out."""
    joiner = fresh()
    done = [
        record
        for n in range(500)
        for record in joiner.feed(Line("f", f"(W pid={n}) ERROR 11-21 03:05:31 [x.py:1] a".encode(), soft=True))
    ]
    assert 500 - MAX_PENDING == len(done)


def test_a_new_generation_completes_what_the_old_one_began() -> None:
    """Offsets of two generations are never mixed."""
    joiner = fresh()
    joiner.feed(Line("f", b"(W pid=1) ERROR 11-21 03:05:31 [x.py:1] a", generation="1", offset=900, soft=True))
    records = joiner.feed(Line("f", b"INFO:     b", generation="2"))
    assert ["a", "b"] == [record.message for record in records]


@pytest.mark.parametrize("log", logs(), ids=[log.stem for log in logs()])
def test_a_restart_anywhere_neither_loses_nor_repeats(log: Path) -> None:
    """Killed after any line and begun again from `held`, the records are those of a run without a break."""
    lines = list(lines_of(log.read_bytes(), log.name))
    whole = sorted(shown(records_of(log.read_bytes(), log.name)))
    for cut in range(1, len(lines), max(1, len(lines) // 40)):
        before = fresh()
        records = [record for line in lines[:cut] for record in before.feed(line)]
        held, memory = min([*offsets(before), lines[cut].offset]), before.remember()
        after = fresh()
        after.restore(memory)
        again = [line for line in lines if line.offset >= held]
        middle = len(again) // 2  # and killed once more while it reads again
        records += [record for line in again[:middle] for record in after.feed(line)]
        held, memory = min([*offsets(after), again[middle].offset]), after.remember()
        last = fresh()
        last.restore(memory)
        records += [record for line in again if line.offset >= held for record in last.feed(line)]
        assert whole == sorted(shown([*records, *last.flush()])), cut


def test_the_memory_of_a_restart_is_small() -> None:
    """A thousand records handed out beyond a held one cost two numbers each gap, not one a record."""
    joiner = fresh()
    data = [b"(A pid=1) ERROR 11-21 03:05:31 [x.py:1] held\r", *(b"INFO:     x" for _ in range(1000))]
    for line in lines_of(b"\n".join(data)):
        joiner.feed(line)
    assert [0] == offsets(joiner)
    assert 100 > len(joiner.remember())
