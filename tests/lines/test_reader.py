"""Files are followed from where they were left, whatever is done to them."""

from __future__ import annotations

import asyncio
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest

from standins.logs import Logs, descriptors_of, lines_of
from vllm_vigil.clock import CrankedClock
from vllm_vigil.lines.reader import Reader
from vllm_vigil.lines.retired import QUIET_SECONDS
from vllm_vigil.lines.roll import Followed
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.lines.split import LINE_LIMIT_BYTES
from vllm_vigil.model import Record


@pytest.fixture
def logs(tmp_path: Path, clock: CrankedClock) -> Logs:
    """An empty vllm.log that was seen once."""
    made = Logs(tmp_path, clock)
    made.path.touch()
    made.read()
    return made


def numbered(first: int, last: int) -> list[str]:
    """Texts of lines."""
    return [f"line {number} of the log, long enough to tell it from others" for number in range(first, last)]


def text(lines: list[str]) -> str:
    """Lines as a writer writes them."""
    return "".join(f"{line}\n" for line in lines)


# --- first sight


def test_what_was_there_at_the_first_sight_is_not_read(tmp_path: Path, clock: CrankedClock) -> None:
    """Old trouble must not page; what is written from then on is read."""
    logs = Logs(tmp_path, clock)
    logs.write("old trouble\n")
    assert [] == logs.texts()
    logs.write("new\n")
    assert ["new"] == logs.texts()


def test_a_line_that_is_being_written_at_the_first_sight_is_read_whole(tmp_path: Path, clock: CrankedClock) -> None:
    """Its first half is not cut off."""
    logs = Logs(tmp_path, clock)
    logs.write("old\nhalf of")
    assert [] == logs.texts()
    logs.write(" a line\n")
    assert ["half of a line"] == logs.texts()


def test_a_file_that_appears_later_is_read_from_its_beginning(tmp_path: Path, clock: CrankedClock) -> None:
    """Missing at start is told by a 0 and taken back by a 1."""
    logs = Logs(tmp_path, clock)
    assert ([], 0) == (logs.texts(), logs.number("vigil_log_readable"))
    logs.write("first words\n")
    assert (["first words"], 1) == (logs.texts(), logs.number("vigil_log_readable"))


def test_lines_name_their_file_server_place_and_softness(logs: Logs) -> None:
    """Every field of the noun is filled."""
    logs.write("a\r\nbc\n")
    soft, hard = logs.read()
    assert (str(logs.path), "llama", 0, 3, True) == (soft.file, soft.server, soft.offset, soft.end, soft.soft)
    assert (3, 6, False) == (hard.offset, hard.end, hard.soft)
    assert soft.generation == hard.generation != ""


def test_every_kind_of_loss_is_counted_from_nothing(logs: Logs) -> None:
    """So that `increase()` sees the first."""
    assert [0, 0, 0] == [logs.lost(cause) for cause in ("truncated", "gone", "line_too_long")]


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_no_regular_file_is_refused_and_a_file_in_its_place_read(
    tmp_path: Path, clock: CrankedClock, kind: str
) -> None:
    """A FIFO does not hang us, and neither stops the others."""
    logs = Logs(tmp_path, clock, "vllm.log", "other.log")
    os.mkfifo(logs.path) if kind == "fifo" else logs.path.mkdir()
    logs.texts()
    logs.write("alive\n", "other.log")
    assert (["alive"], 0) == (logs.texts(), logs.number("vigil_log_readable"))
    logs.path.unlink() if kind == "fifo" else logs.path.rmdir()
    logs.read()
    logs.write("a file at last\n")
    assert (["a file at last"], 1) == (logs.texts(), logs.number("vigil_log_readable"))


def test_a_symlink_that_leads_to_itself_is_trouble_and_no_crash(tmp_path: Path, clock: CrankedClock) -> None:
    """ELOOP is a value."""
    logs = Logs(tmp_path, clock)
    logs.path.symlink_to(logs.path)
    assert ([], 0) == (logs.texts(), logs.number("vigil_log_readable"))


# --- rename rotation


def test_a_renamed_file_is_read_on_while_its_writer_goes_on(logs: Logs) -> None:
    """The writer keeps the old file open for a while; every line comes once, the old file's first."""
    with logs.path.open("a") as writer:
        print("before", file=writer, flush=True)
        assert ["before"] == logs.texts()
        logs.path.rename(logs.directory / "vllm.log.1")
        print("into the old one", file=writer, flush=True)
        logs.write("into the new one\n")
        assert ["into the old one", "into the new one"] == logs.texts()
        print("into the old one again", file=writer, flush=True)
        assert ["into the old one again"] == logs.texts()
    assert [] == logs.texts()


def test_a_renamed_file_is_let_go_when_it_is_quiet_and_the_new_one_is_written_to(logs: Logs) -> None:
    """vLLM never reopens its output: as long as the new file is empty, the writer is still in the old one."""
    old = logs.directory / "vllm.log.1"
    logs.path.rename(old)
    logs.path.touch()
    logs.read()
    asyncio.run(logs.clock.crank(10 * QUIET_SECONDS))
    logs.read()
    logs.write("the writer never let go\n", "vllm.log.1")
    assert ["the writer never let go"] == logs.texts()
    logs.write("now it has\n")
    logs.write("last words without an end", "vllm.log.1")
    assert ["now it has"] == logs.texts()
    asyncio.run(logs.clock.crank(QUIET_SECONDS))
    assert (["last words without an end"], 0) == (logs.texts(), descriptors_of(old))


def test_a_deleted_file_is_let_go_when_it_is_quiet(logs: Logs) -> None:
    """The space of a deleted log is given back, and what comes next at the path is read from its beginning."""
    logs.write("last\n")
    logs.path.unlink()
    logs.read()
    assert 1 == descriptors_of(logs.path)
    asyncio.run(logs.clock.crank(QUIET_SECONDS))
    logs.read()
    assert 0 == descriptors_of(logs.path)
    logs.write("born again\n")
    assert ["born again"] == logs.texts()


def test_a_file_that_was_deleted_before_it_was_read_is_read_still(logs: Logs) -> None:
    """The descriptor was open; deletion loses nothing."""
    logs.write("unread\n")
    logs.path.unlink()
    logs.write("the next\n")
    assert ["unread", "the next"] == logs.texts()


def test_every_target_of_a_symlink_is_read_once(tmp_path: Path, clock: CrankedClock) -> None:
    """As the kubelet does it; a link that swings back finds its place again."""
    logs = Logs(tmp_path, clock)
    for target in range(5):
        logs.write(f"start of {target}\n", f"target-{target}")
    logs.path.symlink_to("target-0")
    got = logs.texts()
    for target in (1, 2, 3, 4, 0):
        swung = tmp_path / "swung"
        swung.symlink_to(f"target-{target}")
        swung.replace(logs.path)
        logs.write(f"more of {target}\n", f"target-{target}")
        got += logs.texts()
    expected = [f"{what} of {target}" for target in range(1, 5) for what in ("start", "more")]
    assert [*expected, "more of 0"] == got
    logs.commit()
    logs.restart()
    assert ([], 0) == (logs.texts(), logs.lost("gone"))


# --- truncation


def test_a_truncated_file_is_read_from_its_beginning(logs: Logs) -> None:
    """What was seen and not read is counted; a last line without its end is given."""
    logs.write(text(numbered(0, 100)))
    read = logs.texts(max_bytes=1000)
    unread = logs.number("vigil_log_lag_bytes")
    logs.path.write_text("fresh\n")
    partial, fresh = logs.texts()
    assert numbered(0, 100)[len(read)].startswith(partial)
    assert ("fresh", unread) == (fresh, logs.lost())


def test_a_file_that_grew_past_the_old_offset_after_truncation_is_seen(logs: Logs) -> None:
    """Size says nothing here: the bytes before the offset do."""
    logs.write(text(numbered(0, 5)))
    logs.read()
    logs.path.write_text(text(numbered(100, 200)))
    assert numbered(100, 200) == logs.texts()


def test_a_file_rewritten_to_the_same_size_is_seen(logs: Logs) -> None:
    """Nothing grew, and yet it is all new."""
    logs.write(text(numbered(10, 15)))
    logs.read()
    logs.path.write_text(text(numbered(20, 25)))
    assert numbered(20, 25) == logs.texts()


def test_a_rewritten_head_is_seen_when_the_bytes_before_the_offset_are_the_same(logs: Logs) -> None:
    """Marker and head together: neither is enough."""
    tail = numbered(0, 10)
    logs.write("a beginning\n" + text(tail))
    logs.read()
    logs.path.write_text("b beginning\n" + text(tail))
    assert ["b beginning", *tail] == logs.texts()


def test_the_bytes_before_the_offset_tell_two_starts_of_the_same_server_apart(logs: Logs) -> None:
    """vLLM prints the same long banner at every start: running or not, the head alone says nothing."""
    banner = text(numbered(0, 50))
    logs.write(banner + text(numbered(50, 60)))
    logs.read()
    logs.path.write_text(banner + text(numbered(60, 70)))
    assert [*numbered(0, 50), *numbered(60, 70)] == logs.texts()
    logs.commit()
    logs.path.write_text(banner + text(numbered(70, 80)))
    logs.restart()
    assert [*numbered(0, 50), *numbered(70, 80)] == logs.texts()


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_what_was_seen_and_not_begun_to_be_read_counts_as_lost_too(logs: Logs, *, down: bool) -> None:
    """A file that shrinks below the size that was seen lost something, whatever the offset."""
    logs.write(text(numbered(0, 9)))
    logs.texts(max_bytes=0)
    logs.commit()
    logs.path.write_text("fresh\n")
    if down:
        logs.restart()
    assert (["fresh"], len(text(numbered(0, 9)))) == (logs.texts(), logs.lost())


def test_the_same_place_after_truncation_is_another_place(logs: Logs) -> None:
    """(file, generation, offset) names a line for ever, also when the first line is the same as before."""
    lines = []
    for end in ("one\n", "another\n", "third\n"):
        logs.path.write_text("banner\n" + end)
        lines.append(logs.read()[0])
        logs.commit()
        if end == "another\n":
            logs.restart()
    assert [(0, b"banner")] * 3 == [(line.offset, line.data) for line in lines]
    assert 3 == len({line.generation for line in lines})


def test_copytruncate_under_writing_loses_what_was_written_between_copy_and_truncation_only(logs: Logs) -> None:
    """The copy is read on from where the original was left, under the same name; then the original from 0."""
    logs.write(text(numbered(0, 10)))
    first = logs.read()
    logs.write(text(numbered(10, 20)) + "half a")
    shutil.copy(logs.path, logs.directory / "vllm.log.1")
    logs.write(" line, gone with the truncation\n")
    os.truncate(logs.path, 0)
    logs.write(text(numbered(20, 30)))
    got = logs.read()
    rest = logs.texts()
    assert [*numbered(10, 20), *numbered(20, 30)] == [line.data.decode() for line in got]
    assert first[0].generation == got[0].generation != got[-1].generation
    assert (["half a"], 0) == (rest, logs.lost())


def test_a_hole_left_by_a_writer_that_does_not_append_is_leapt_over(logs: Logs) -> None:
    """After copytruncate such a writer goes on at its old offset: 10 GiB of nothing come before its next line."""
    with logs.path.open("w") as writer:
        writer.write("before\n")
        writer.flush()
        logs.read()
        os.truncate(logs.path, 0)
        writer.seek(10 << 30)
        writer.write("after\n")
        writer.flush()
        got = [text for _ in range(3) for text in logs.texts()]
    assert (["after"], 0) == (got, logs.number("vigil_log_lag_bytes"))


# --- restarts


def test_a_restart_goes_on_where_it_was_left(logs: Logs) -> None:
    """Nothing twice, nothing lost, and the lines keep their generation."""
    logs.write("one\ntwo\nhalf")
    before = logs.read()
    logs.commit()
    logs.write(" and whole\n")
    logs.restart()
    [after] = logs.read()
    assert (b"half and whole", before[0].generation, 8) == (after.data, after.generation, after.offset)


def test_lines_that_were_not_committed_come_again_under_the_same_name(logs: Logs) -> None:
    """A kill -9 between reading and storing repeats; whoever looks at the place sees that it is the same line."""
    logs.commit()
    logs.write("one\n")
    before = logs.read()
    logs.restart()
    assert before == logs.read()


def test_a_held_record_keeps_the_position_at_its_start(logs: Logs) -> None:
    """A restart gives the record's lines again, from the first one held."""
    logs.write(text(numbered(0, 6)))
    lines = logs.read()
    record = Record(str(logs.path), "ERROR", "", generation=lines[2].generation, offset=lines[2].offset)
    logs.commit(held=[lines[4], record])
    logs.restart()
    assert lines[2:] == logs.read()
    logs.commit()
    logs.restart()
    assert [] == logs.read()


def test_a_record_held_in_a_renamed_file_keeps_it_and_the_new_one_apart(logs: Logs) -> None:
    """The old file is given again from the record on, the new one only from where it was left."""
    logs.write(text(numbered(0, 3)))
    old = logs.read()
    logs.path.rename(logs.directory / "vllm.log-20261121")
    logs.write(text(numbered(3, 5)))
    logs.read()
    logs.commit(held=old[1:])
    logs.write(text(numbered(5, 6)))
    asyncio.run(logs.clock.crank(10 * QUIET_SECONDS))
    logs.restart()
    again = logs.read()
    assert [*old[1:]] == again[:2]
    assert numbered(5, 6) == [line.data.decode() for line in again[2:]]


def test_a_rotation_while_we_were_down_is_walked(logs: Logs) -> None:
    """The rest of the old file comes first, then all of the new one."""
    logs.write(text(numbered(0, 5)))
    logs.read()
    logs.commit()
    logs.write(text(numbered(5, 8)))
    logs.path.rename(logs.directory / "vllm.log.1")
    logs.write(text(numbered(8, 10)))
    logs.restart()
    assert numbered(5, 10) == logs.texts()


def test_a_renamed_file_that_was_being_drained_is_found_again(logs: Logs) -> None:
    """A restart in the middle of the drain loses neither file's place, and its writer may still go on."""
    logs.write(text(numbered(0, 50)))
    first = logs.texts(max_bytes=500)
    logs.path.rename(logs.directory / "vllm.log.1")
    logs.write(text(numbered(50, 52)))
    first += logs.texts(max_bytes=500)
    logs.commit()
    logs.restart()
    assert numbered(0, 52) == [*first, *logs.texts()]
    logs.write("the old one goes on\n", "vllm.log.1")
    assert ["the old one goes on"] == logs.texts()


def test_copytruncate_while_we_were_down_is_walked_through_the_copy(logs: Logs) -> None:
    """The copy is known by its content, for its inode is another."""
    logs.write(text(numbered(0, 5)))
    logs.read()
    logs.commit()
    logs.write(text(numbered(5, 8)))
    shutil.copy(logs.path, logs.directory / "vllm.log.1")
    os.truncate(logs.path, 0)
    logs.write(text(numbered(8, 10)))
    logs.restart()
    assert (numbered(5, 10), 0) == (logs.texts(), logs.lost())


@pytest.mark.parametrize("fresh", [range(100, 101), range(100, 200), range(20, 25)], ids=["less", "more", "same size"])
def test_a_truncation_while_we_were_down_is_seen(logs: Logs, fresh: range) -> None:
    """Less, more and the very same size: all is read from the beginning, and what was seen unread is counted."""
    logs.write(text(numbered(10, 15)))
    logs.texts(max_bytes=len(text(numbered(10, 13))))
    logs.commit()
    logs.path.write_text(text(numbered(fresh.start, fresh.stop)))
    logs.restart()
    assert numbered(fresh.start, fresh.stop) == logs.texts()
    assert len(text(numbered(13, 15))) == logs.lost()


def test_an_inode_used_again_is_another_file(logs: Logs) -> None:
    """On ext a file deleted and made again has the same inode: only the content tells."""
    logs.write(text(numbered(10, 15)))
    logs.read()
    logs.commit()
    logs.reader.close()
    old = logs.path.stat().st_ino
    logs.path.unlink()
    logs.path.write_text(text(numbered(20, 25)))
    spare = [logs.path]
    while logs.path.stat().st_ino != old and len(spare) < 100:  # most often the first one has it
        logs.path.rename(logs.directory / f"spare{len(spare)}")
        spare.append(logs.path)
        logs.path.write_text(text(numbered(20, 25)))
    logs.reader = Reader(logs.settings, logs.stored, logs.telemetry, logs.clock)
    assert numbered(20, 25) == logs.texts()


def test_a_file_removed_while_we_were_down_is_counted_as_far_as_it_was_seen(logs: Logs) -> None:
    """What is gone is gone, and said."""
    logs.write(text(numbered(0, 9)))
    logs.texts(max_bytes=len(text(numbered(0, 4))))
    logs.commit()
    logs.path.unlink()
    logs.restart()
    assert ([], len(text(numbered(4, 9)))) == (logs.texts(), logs.lost("gone"))


def test_a_known_path_that_was_empty_handed_is_read_from_its_beginning(logs: Logs) -> None:
    """The file was deleted, the position says so; what appears while we are down is new from its first byte."""
    logs.path.unlink()
    logs.read()
    asyncio.run(logs.clock.crank(QUIET_SECONDS))
    logs.read()
    logs.commit()
    logs.write("born while you slept\n")
    logs.restart()
    assert ["born while you slept"] == logs.texts()


@pytest.mark.parametrize("body", ["", "{}", "[1]", '{"version": 1, "generations": [{"offset": -1}]}', "\0\0"])
def test_a_position_that_cannot_be_used_is_a_first_sight(logs: Logs, body: str) -> None:
    """Never a crash loop, never old trouble."""
    logs.write("old\n")
    logs.stored[str(logs.path)] = body
    logs.restart()
    assert [] == logs.texts()
    logs.write("new\n")
    assert ["new"] == logs.texts()


def test_only_positions_that_changed_are_given(logs: Logs) -> None:
    """A quiet log costs no write to the store."""
    logs.write("one\n")
    logs.read()
    assert [str(logs.path)] == list(logs.reader.positions())
    logs.read()
    assert {} == logs.reader.positions()


def test_a_directory_that_is_moved_away_and_made_anew_is_followed(logs: Logs) -> None:
    """The path is looked at afresh each time: the rest of the old file comes, then the new one's lines."""
    logs.write("unread\n")
    moved = logs.directory.with_name("moved")
    logs.directory.rename(moved)
    logs.texts(max_bytes=0)
    logs.directory.mkdir()
    logs.write("new\n")
    assert ["unread", "new"] == logs.texts()


# --- lines


def test_lines_written_byte_by_byte_are_given_once_each(logs: Logs) -> None:
    """However often we look in between."""
    got = []
    for byte in "one\r\ntwo\n":
        logs.write(byte)
        got += logs.texts()
    assert ["one", "two"] == got


def test_ten_mebibytes_without_a_line_end_are_not_held(logs: Logs) -> None:
    """The first 256 KiB are the line; the rest is read by, and counted."""
    size = 10 << 20
    with logs.path.open("wb") as writer:
        writer.write(b"x" * size + b"\nnext\n")
    got = []
    tracemalloc.start()
    try:
        for _ in range(200):
            got += logs.read(max_bytes=1 << 16)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [LINE_LIMIT_BYTES, 4] == [len(line.data) for line in got]
    assert size - LINE_LIMIT_BYTES == logs.lost("line_too_long")
    assert peak_bytes < 4 << 20


# --- many


def test_two_hundred_files_share_a_batch(tmp_path: Path, clock: CrankedClock) -> None:
    """One file with a flood does not hold up the others, a batch keeps to its size, and all of it arrives in order."""
    logs = Logs(tmp_path, clock, "*.log")
    logs.read()
    for number in range(200):
        logs.write(f"only line of {number}\n", f"{number}.log")
    logs.write(text(numbered(0, 50_000)), "0.log")
    batch = logs.reader.read(1 << 20)
    assert (200, True) == (len({line.file for line in batch.lines}), batch.more)
    lines = lines_of(batch)
    assert sum(line.end - line.offset for line in lines) <= 1 << 20
    while batch.more:
        batch = logs.reader.read(1 << 20)
        lines += lines_of(batch)
    flood = [line.data.decode() for line in lines if line.file.endswith("/0.log")]
    assert ["only line of 0", *numbered(0, 50_000)] == flood


def test_a_small_batch_reaches_every_file_in_turn(tmp_path: Path, clock: CrankedClock) -> None:
    """Whoever comes too late in one batch begins in the next."""
    logs = Logs(tmp_path, clock, "*.log")
    logs.read()
    for number in range(5):
        logs.write(text(numbered(0, 1000)), f"{number}.log")
    assert 5 == len({line.file for _ in range(5) for line in logs.read(max_bytes=4096)})


def test_a_glob_follows_what_appears_and_passes_over_what_was_rotated(tmp_path: Path, clock: CrankedClock) -> None:
    """A rotated file that the glob finds too is not read again, and neither is a link to a followed file."""
    logs = Logs(tmp_path, clock, "*.log*")
    assert [] == logs.texts()
    logs.write("first\n")
    assert ["first"] == logs.texts()
    logs.path.rename(tmp_path / "vllm.log.1")
    logs.write("second\n")
    (tmp_path / "link.log").symlink_to("vllm.log")
    logs.write("not text", "vllm.log.2.gz")
    assert ["second"] == logs.texts()
    asyncio.run(logs.clock.crank(QUIET_SECONDS))
    assert [] == logs.texts()
    logs.restart()
    assert [] == logs.texts()


def test_a_glob_that_leads_nowhere_is_among_what_is_followed(tmp_path: Path, clock: CrankedClock) -> None:
    """As one that cannot be read, until it finds a file: a typing error in a path is to be seen on the page."""
    logs = Logs(tmp_path, clock, "*.log")
    nowhere = Followed(f"{tmp_path}/*.log", "llama", readable=False, lag_bytes=None)
    assert (nowhere,) == logs.reader.read(1 << 20).followed
    logs.path.touch()
    assert (Followed(str(logs.path), "llama", readable=True, lag_bytes=0),) == logs.reader.read(1 << 20).followed


def test_of_a_file_and_a_link_to_it_the_file_is_followed(tmp_path: Path, clock: CrankedClock) -> None:
    """Whatever their names: a link may be swung to another file, and then that one is read under its own."""
    logs = Logs(tmp_path, clock, "*.log")
    logs.path.touch()
    (tmp_path / "current.log").symlink_to("vllm.log")
    logs.read()
    logs.write("once\n")
    assert [(str(logs.path), b"once")] == [(line.file, line.data) for line in logs.read()]


def test_of_two_hard_links_one_is_followed(tmp_path: Path, clock: CrankedClock) -> None:
    """They are one file by device and inode; also when the second appears later, and after a restart."""
    logs = Logs(tmp_path, clock, "*.log")
    logs.path.touch()
    (tmp_path / "also.log").hardlink_to(logs.path)
    logs.read()
    logs.write("once\n")
    assert [b"once"] == [line.data for line in logs.read()]
    (tmp_path / "later.log").hardlink_to(logs.path)
    logs.write("and once\n")
    assert [b"and once"] == [line.data for line in logs.read()]
    logs.commit()
    logs.restart()
    logs.write("for ever\n")
    assert [b"for ever"] == [line.data for line in logs.read()]


def test_a_path_that_is_gone_from_its_glob_is_forgotten_and_comes_back_new(tmp_path: Path, clock: CrankedClock) -> None:
    """Its gauges go with it; what appears under its name again is read from the beginning."""
    logs = Logs(tmp_path, clock, "*.log")
    logs.path.touch()
    logs.read()
    logs.path.unlink()
    logs.read()
    asyncio.run(logs.clock.crank(QUIET_SECONDS))
    logs.read()
    assert None is logs.number("vigil_log_readable")
    logs.write("again\n")
    assert ["again"] == logs.texts()


def test_a_reload_keeps_the_place_of_what_stays_and_of_what_comes_back(logs: Logs) -> None:
    """A path taken out of the configuration and put back goes on where it was left: a reload makes a new reader."""
    alone = logs.settings
    both = {"llama": (*alone["llama"], LogSettings(str(logs.directory / "b.log")))}
    logs.write("old\n", "b.log")
    logs.write("a1\n")
    logs.reload(both)
    assert ["a1"] == logs.texts()
    logs.write("b1\n", "b.log")
    assert ["b1"] == logs.texts()
    logs.reload(alone)
    logs.write("a2\n")
    logs.write("b2\n", "b.log")
    assert ["a2"] == logs.texts()
    logs.reload({"mistral": both["llama"]})
    [line] = logs.read()
    assert (b"b2", "mistral") == (line.data, line.server)
