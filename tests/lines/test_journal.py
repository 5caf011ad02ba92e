"""A unit's lines are read from a real journald, once each, whatever happens to the journal or to journalctl."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from standins.journald import until, with_journald
from vllm_vigil.clock import CrankedClock
from vllm_vigil.lines.entries import Entry, entry
from vllm_vigil.lines.journal import Journal, Left, left_from_json
from vllm_vigil.lines.report import Report
from vllm_vigil.model import Record
from vllm_vigil.telemetry import Telemetry

NAME = "journal:vllm.service"


def test_lines_of_the_unit_come_whole_and_once_across_restarts(tmp_path: Path) -> None:
    """Old ones are marked old; colours, long lines and what was written while we were away come as they were."""
    with_journald(
        tmp_path,
        r"""
        import subprocess
        from standins.journald import Reading, Unit, stored, until
        unit = Unit("vllm.service")
        unit.write(b"before we came\n")
        subprocess.run(["systemd-cat", "echo", "not of the unit"], check=True)
        until(lambda: stored("before we came") and stored("not of the unit"))
        reading = Reading()
        [old] = reading.lines(1)
        assert (old.data, old.old, old.server) == (b"before we came", True, "llama"), old
        long = b"x" * 60_000
        unit.write(b"plain\r\nred \x1b[31mtext\n" + long + b"end\n")
        lines = reading.lines(3)
        assert [line.data for line in lines] == [b"plain", b"red \x1b[31mtext", long + b"end"], lines
        assert not any(line.old for line in lines)
        assert lines[0].offset < lines[1].offset < lines[2].offset
        before = reading.journal.position(lines[1:])
        unit.write(b"while away\n")
        reading.restart()
        assert reading.texts(1) == ["while away"]
        reading.restart(before)
        assert [line.data[:5] for line in reading.lines(3)] == [b"red \x1b", b"xxxxx", b"while"]
        reading.journal.close()
        """,
    )


def test_a_vacuumed_cursor_is_seen_and_reading_goes_on_with_what_came_after(tmp_path: Path) -> None:
    """Neither silence for ever, nor the first entry lost, nor anything twice."""
    with_journald(
        tmp_path,
        """
        from standins.journald import Reading, Unit, stored, until, vacuum
        unit = Unit("vllm.service")
        reading = Reading()
        unit.write(b"one\\n")
        assert reading.texts(1) == ["one"]
        unit.write(b"lost with the vacuum\\n")
        until(lambda: stored("lost with the vacuum"))
        position = reading.journal.position([])
        reading.restart()
        reading.journal.close()
        vacuum()
        unit.write(b"after\\n")
        reading.restart(position)
        assert reading.texts(1) == ["after"]
        unit.write(b"and on\\n")
        assert reading.texts(1) == ["and on"]
        reading.journal.close()
        """,
    )


def test_journalctl_that_is_killed_is_started_again_where_it_was(tmp_path: Path) -> None:
    """The entry it was at is not repeated, and none is lost."""
    with_journald(
        tmp_path,
        """
        from standins.journald import Reading, Unit
        unit = Unit("vllm.service")
        reading = Reading()
        unit.write(b"one\\n")
        assert reading.texts(1) == ["one"]
        reading.journal._child._process.kill()
        unit.write(b"two\\n")
        assert reading.texts(1) == ["two"]
        reading.journal.close()
        """,
    )


# --- with a journalctl that does as the test says

PROGRAM = """#!/bin/sh
echo "$@" >> {directory}/calls
cat {directory}/output 2>/dev/null
{rest}
"""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose `journalctl` is the first on the PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def play(stage: Path, output: str, rest: str) -> None:
    """Let journalctl print this, and then do that."""
    (stage / "output").write_text(output)
    program = stage / "journalctl"
    program.write_text(PROGRAM.format(directory=stage, rest=rest))
    program.chmod(0o755)


def calls(stage: Path) -> list[str]:
    """With which arguments it was started."""
    path = stage / "calls"
    return path.read_text().splitlines() if path.exists() else []


def look_until(journal: Journal, holds: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Look and read until it holds of what was found; the texts of the lines."""
    found: list[bytes] = []

    def turn() -> bool:
        journal.look()
        found.extend(line.data for line in journal.read(1 << 20))
        return holds(found)

    until(turn)
    return found


def printed(number: int, message: str) -> str:
    """An entry as journalctl prints it."""
    cursor = f"s=0a;i={number:x};b=0;m=0;t=0;x=0"
    return f'{{"__CURSOR":"{cursor}","__REALTIME_TIMESTAMP":"{number}","MESSAGE":{message}}}\n'


def test_a_journalctl_that_fails_is_started_again_ever_more_slowly(stage: Path, clock: CrankedClock) -> None:
    """What it said last is told, and a gauge shows it."""
    play(stage, "", "echo 'Failed to open: Bad message' >&2; exit 1")
    telemetry = Telemetry(clock)
    journal = Journal(NAME, "llama", Report(NAME, telemetry), clock, None)
    for count in range(1, 5):
        look_until(journal, lambda _: journal._child is None)
        assert count == len(calls(stage))
        assert 0 == telemetry.registry.get_sample_value("vigil_log_readable", {"file": NAME})
        asyncio.run(clock.crank(2 ** (count - 1) - 0.5))
        journal.look()
        assert count == len(calls(stage))
        asyncio.run(clock.crank(0.5))


def test_without_journalctl_the_log_is_unreadable_and_nothing_breaks(
    tmp_path: Path, clock: CrankedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container without systemd."""
    monkeypatch.setenv("PATH", str(tmp_path))
    telemetry = Telemetry(clock)
    journal = Journal(NAME, "llama", Report(NAME, telemetry), clock, None)
    journal.look()
    assert ([], False) == (journal.read(100), journal.waiting)
    assert 0 == telemetry.registry.get_sample_value("vigil_log_readable", {"file": NAME})


def test_silence_after_a_seek_is_taken_for_a_lost_cursor(stage: Path, clock: CrankedClock) -> None:
    """After five seconds it is tried by time; what is not newer than what was read is passed over."""
    play(stage, "", "exec sleep 60")
    left = Left("s=0a;i=5;b=0;m=0;t=0;x=0", 5)
    journal = Journal(NAME, "llama", Report(NAME, Telemetry(clock)), clock, left)
    journal.look()
    until(lambda: len(calls(stage)) == 1)
    asyncio.run(clock.crank(5))
    play(stage, printed(4, '"known"') + printed(5, '"read last"') + printed(6, '"new"'), "exec sleep 60")
    assert [b"new"] == look_until(journal, lambda found: len(found) >= 1)
    assert ["--cursor=s=0a;i=5", "--since=@0.000005"] == [call.split()[5][:17] for call in calls(stage)]
    journal.close()


def test_the_kernel_is_a_log_of_its_own(stage: Path, clock: CrankedClock) -> None:
    """Its transport is asked for, by which Xid errors and OOM kills come."""
    play(stage, printed(1, '"NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."'), "exec sleep 60")
    journal = Journal("journal:kernel", "llama", Report("journal:kernel", Telemetry(clock)), clock, None)
    [line] = look_until(journal, lambda found: len(found) >= 1)
    assert line.startswith(b"NVRM: Xid")
    assert "_TRANSPORT=kernel" == calls(stage)[0].split()[-1]
    journal.close()


MESSAGES = {
    '"text \\u00e9"': "text \u00e9".encode(),
    "[27,91,49,109,255]": b"\x1b[1m\xff",
    "null": b"",
    '["one","two"]': b"one\ntwo",
    "[300]": b"",
    "{}": b"",
}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_a_text_an_array_of_bytes_or_null(message: str) -> None:
    """As systemd writes it; anything else is an empty line and no crash."""
    found = entry(printed(7, message).encode())
    assert found is not None
    assert (MESSAGES[message], ("journal-0a", 7)) == (found.text, found.place)


@pytest.mark.parametrize("line", [b"", b"-- No entries --", b"[]", b"{}", b'{"__CURSOR":"a"}', b"[" * 100_000])
def test_what_is_no_entry_is_passed_over(line: bytes) -> None:
    """journalctl may print remarks."""
    assert None is entry(line)


def test_a_held_line_keeps_the_position_before_its_entry(stage: Path, clock: CrankedClock) -> None:
    """A restart gives it again; when nothing is held the last entry is the position."""
    play(stage, printed(1, '"one"') + printed(2, '"two"') + printed(3, '"three"'), "exec sleep 60")
    journal = Journal(NAME, "llama", Report(NAME, Telemetry(clock)), clock, None)
    look_until(journal, lambda found: len(found) >= 3)
    place = Record(NAME, "ERROR", "", generation="journal-0a", offset=2 * 4096)
    assert [1, 3] == [left_from_json(journal.position(held)).at for held in ([place], [])]
    journal.close()


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"cursor": 1, "at": 2}', '{"cursor": "a", "at": 2, "version": 9}'])
def test_a_position_that_is_none_of_ours_is_refused(body: str) -> None:
    """Then it is a first sight."""
    with pytest.raises(ValueError, match=r".*"):
        left_from_json(body)


def test_an_entry_without_a_number_is_placed_by_its_time() -> None:
    """Whatever a cursor of another systemd looks like."""
    assert ("journal", 5) == Entry("opaque", 5, b"").place


def test_a_journal_that_is_behind_says_so(stage: Path, telemetry: Telemetry) -> None:
    """In bytes of what journalctl printed, and in seconds since the entry that was read last."""
    play(stage, printed(1_000_000, '"one"'), "sleep 60")
    clock = CrankedClock(wall=0.5)
    journal = Journal("journal:vllm.service", "llama", Report("journal:vllm.service", telemetry), clock, Left("", 1))

    def lag(what: str) -> float | None:
        return telemetry.registry.get_sample_value(f"vigil_log_lag_{what}", {"file": "journal:vllm.service"})

    def behind() -> bool:
        journal.look()
        return journal.waiting

    until(behind)
    assert (journal.lag_bytes, True) == (lag("bytes"), (lag("seconds") or 0) > 0)
    assert [b"one"] == [line.data for line in journal.read(1 << 20)]
    assert (0, 0) == (lag("bytes"), lag("seconds"))
    journal.close()
