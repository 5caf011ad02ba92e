"""Blocks that are scanned as bytes give what every line by itself gives: the same events, counts and positions."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from standins.json_lines import WRITERS
from standins.log_replay import WALL, logs
from vllm_vigil.clock import CrankedClock
from vllm_vigil.events import scan
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.events.record import Joiner
from vllm_vigil.events.shape import read
from vllm_vigil.events.sieve import Gate, Sieve, Texts
from vllm_vigil.lines.reader import Reader
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.model import Event, Line
from vllm_vigil.telemetry import Telemetry

TEXTS = Texts(PATTERNS)
DETECTOR = Detector(PATTERNS)
WAYS: list[type[scan.Hyperscan | scan.Standard]] = [scan.Hyperscan, scan.Standard] if scan.FAST else [scan.Standard]
NAMES = [way.__name__ for way in WAYS]
ORDINARY = [
    b'(APIServer pid=1) INFO:     10.0.0.1:1 - "POST /v1/completions HTTP/1.1" 200 OK\n',
    b"(APIServer pid=1) INFO 11-21 03:05:31 [loggers.py:248] Engine 000: Avg prompt throughput: 1.0 tokens/s\n",
    b"INFO 11-21 03:05:33 [x.py:1] Application startup complete.\n",
    b"(A pid=1) WARNING 11-21 03:05:31 [x.py:1] a matter of no interest\n",
    b"(A pid=1) DEBUG 11-21 03:05:32 [x.py:1] detail\n",
    *(f"{write(level, '33', 'as a document')}\n".encode() for write in WRITERS for level in ("INFO", "WARNING")),
]
TROUBLE = [
    b"\r\n".join(
        b"(A pid=1) ERROR 11-21 03:05:31 [core.py:1] " + text
        for text in (b"step 7 failed", b"Traceback (most recent call last):", b"KeyError: 'x'\n")
    ),
    b"(A pid=1) ERROR 11-21 03:05:31 [core.py:1] EngineCore encountered a fatal error.\n",
    b"Traceback (most recent call last):\n  File 'x.py', line 1\ntorch.OutOfMemoryError: CUDA out of memory. Tried\n",
    b"NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n",
    b"Loading: 10%\rLoading: 50%\rLoading: 100%\n",
    b"torn \0\0\0 by a writer that does not append\n",
    b'{"log":"ERROR 11-21 03:05:31 [core.py:1] in two ","stream":"stderr","time":"2026-11-21T03:05:31Z"}\n',
    *(f"{write('ERROR', '34', 'EngineCore encountered a fatal error.')}\n".encode() for write in WRITERS),
    b'{"log":"parts\\n","stream":"stderr","time":"2026-11-21T03:05:31Z"}\n',
]
SAMPLES = [line + b"\n" for log in logs() for line in log.read_bytes().split(b"\n") if len(line) < 2000]


@dataclass
class Way:
    """One way to read: what it read, and what it would store."""

    directory: Path
    scan: scan.Scan | None
    clock: CrankedClock

    def __post_init__(self) -> None:
        self.telemetry = Telemetry(self.clock)
        self.events: list[Event] = []
        self.lines = 0
        self.stored: dict[str, str] = {}
        self.memory: str | None = None
        self.begin()

    def begin(self) -> None:
        """As after a start."""
        settings_ = {"llama": (LogSettings(str(self.directory / "*.log")),)}
        made = self.scan
        self.reader = Reader(
            settings_,
            self.stored,
            self.telemetry,
            self.clock,
            stamp=lambda data, now: read(data, now).at,
            sieve=lambda: Sieve(TEXTS, made) if made else None,
        )
        self.joiner = Joiner(self.telemetry, self.clock, gate=Gate(PATTERNS) if made else None)
        self.joiner.restore(self.memory)

    def read(self, max_bytes: int, older_than_seconds: float = 0.5) -> bool:
        """One step of the alert half, without the commit."""
        batch = self.reader.read(max_bytes)
        records = [record for line in batch.lines for record in self.joiner.feed(line)]
        records += self.joiner.flush(older_than_seconds)
        self.lines += sum(isinstance(line, Line) for line in batch.lines)
        self.events += [event for record in records if (event := DETECTOR.judge(record, 0.0))]
        return batch.more

    def commit(self) -> None:
        """Store where it was left."""
        positions = self.reader.positions(self.joiner.held())
        self.stored |= positions
        if positions:
            self.memory = self.joiner.remember()

    def restart(self) -> None:
        """Die without another word."""
        self.reader.close()
        self.begin()

    def told(self) -> tuple[list[Event], Counter[tuple[str, str]], dict[str, str]]:
        """Everything that anybody could see of it."""
        metric = next(m for m in self.telemetry.registry.collect() if m.name == "vigil_log_lines")
        counts = Counter(
            {
                (sample.labels["file"], sample.labels["level"]): int(sample.value)
                for sample in metric.samples
                if sample.name.endswith("_total") and sample.value
            }
        )
        return self.events, counts, self.stored


class Day:
    """A directory of logs that is read in two ways at once, each thing that happens to it seen by both."""

    def __init__(self, directory: Path, by: scan.Scan) -> None:
        self.directory = directory
        self.clock = CrankedClock(WALL)
        for name in ("a.log", "b.log"):
            (directory / name).touch()
        self.ways = (Way(directory, None, self.clock), Way(directory, by, self.clock))
        self.rotations = 0
        self.apart = (
            False  # a warning that might go on was held in one of them, and is read and counted again after a restart
        )
        self.each(lambda way: way.read(1 << 20))

    def each(self, act: object) -> None:
        """Do it in both ways."""
        for way in self.ways:
            act(way)  # type: ignore[operator]

    def write(self, name: str, data: bytes) -> None:
        """Append."""
        with (self.directory / name).open("ab") as file:
            file.write(data)

    def rename(self, name: str) -> None:
        """Rotate by renaming."""
        self.rotations += 1
        (self.directory / name).rename(self.directory / f"{name}.{self.rotations}")
        (self.directory / name).touch()

    def copytruncate(self, name: str) -> None:
        """Rotate by copying."""
        self.rotations += 1
        shutil.copy(self.directory / name, self.directory / f"{name}.{self.rotations}")
        os.truncate(self.directory / name, 0)

    def commit(self) -> None:
        """Store where each was left."""
        by_lines, by_blocks = ({(line.file, line.offset, line.data) for line in way.joiner.held()} for way in self.ways)
        assert by_blocks <= by_lines
        assert all(b" WARNING " in data for _, _, data in by_lines - by_blocks)
        self.apart = self.apart or by_lines != by_blocks
        self.each(lambda way: way.commit())

    def wait(self) -> None:
        """Let time pass, so that what is held is over."""
        asyncio.run(self.clock.crank(6.0))

    def close(self) -> None:
        """Read to the end, and say nothing more."""
        for seconds in (0.5, 0.0):
            for way in self.ways:
                while way.read(1 << 20, seconds):
                    pass
            self.wait()
        for way in self.ways:
            way.read(1 << 20, 0.0)
            way.reader.close()


NAME = st.sampled_from(["a.log", "b.log"])
TEXT = st.one_of(
    st.lists(st.sampled_from(ORDINARY), min_size=1, max_size=30).map(b"".join),
    st.sampled_from(TROUBLE),
    st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=20).map(b"".join),
)
ACTION = st.one_of(
    st.tuples(st.just("write"), NAME, TEXT),
    st.tuples(st.just("write"), NAME, TEXT),
    st.tuples(st.just("torn"), NAME, TEXT, st.integers(1, 200)),
    st.tuples(st.just("read"), st.sampled_from([300, 5000, 1 << 20])),
    st.tuples(st.sampled_from(["rename", "copytruncate"]), NAME),
    st.tuples(st.sampled_from(["commit", "restart", "wait"])),
)


def play(day: Day, action: tuple[object, ...]) -> None:
    """One thing that happens."""
    match action:
        case ("write", str(name), bytes(data)):
            day.write(name, data)
        case ("torn", str(name), bytes(data), int(size)):
            day.write(name, data[:-size] or data[:1])
        case ("read", int(size)):
            day.each(lambda way: way.read(size))
        case ("rename", str(name)):
            day.rename(name)
        case ("copytruncate", str(name)):
            day.copytruncate(name)
        case ("commit",):
            day.commit()
        case ("restart",):
            day.each(lambda way: way.restart())
        case _:
            day.wait()


def _without_time(event: Event, day: Day) -> Event:
    """A record that says none has that of the line before it; who reads that line again after a restart knows it."""
    return replace(event, record=replace(event.record, at=None)) if day.apart else event


@pytest.mark.no_cover
@pytest.mark.parametrize("way", WAYS, ids=NAMES)
@settings(max_examples=int(os.environ.get("VIGIL_MODEL_EXAMPLES", "150")), deadline=None, derandomize=True)
@given(actions=st.lists(ACTION, max_size=30))
def test_blocks_give_what_lines_give_through_a_day_of_two_logs(
    way: type[scan.Hyperscan | scan.Standard], actions: list[tuple[object, ...]]
) -> None:
    """Torn writes, small reads, both rotations in the middle of a block, restarts from what was committed."""
    with TemporaryDirectory() as directory:
        day = Day(Path(directory), SCANS[way])
        for action in actions:
            play(day, action)
        day.close()
        lines, blocks = (each.told() for each in day.ways)
        assert [_without_time(event, day) for event in lines[0]] == [_without_time(event, day) for event in blocks[0]]
        assert day.apart or lines == blocks


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_what_was_counted_behind_a_held_record_is_not_counted_again_after_a_restart(
    tmp_path: Path, way: type[scan.Hyperscan | scan.Standard]
) -> None:
    """It is read again from the held record on, and so in a block."""
    day = Day(tmp_path, SCANS[way])
    ordinary = b'(APIServer pid=1) INFO:     10.0.0.1:1 - "POST /v1/completions HTTP/1.1" 200 OK\n'
    day.write("a.log", ordinary + b"(Core pid=2) Process Core:\n(A pid=1) INFO 11-21 03:05:31 [x.py:1] ordinary\n")
    for action in (("read", 5000), ("commit",), ("restart",)):
        play(day, action)
    day.write("a.log", ordinary)
    day.close()
    lines, blocks = (each.told() for each in day.ways)
    assert 3 == sum(count for (_, level), count in blocks[1].items() if level == "INFO")
    assert lines == blocks


SCANS = {way: way(TEXTS.by_level) for way in WAYS}
