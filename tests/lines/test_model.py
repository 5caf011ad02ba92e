"""A random life of a log: what the reader gives agrees with a model that knows every line and its file.

The model (`standins/log_life.py`) says which lines may be lost, and why; all others must come, and none may come again
once it was committed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from standins.log_life import CORRUPT, LogLife
from standins.logs import Logs, as_nobody, lines_of
from vllm_vigil.clock import CrankedClock

LENGTH = 77
ACTIONS = "WWWPROCTZDSXBrrAcK"
EXAMPLES = int(os.environ.get("VIGIL_MODEL_EXAMPLES", "300"))
"""5,000 in a night."""


class World(LogLife):
    """One log, its writer and its reader."""

    def __init__(self, directory: Path) -> None:
        self.logs = Logs(directory, CrankedClock())
        self.count = 0
        super().__init__(self.logs.path, self.line)
        self.wakes()
        self.read(1 << 20)
        self.commit()

    def line(self) -> bytes:
        """A line like no other, all of one length."""
        self.count += 1
        return (b"%06d " % self.count).ljust(LENGTH, b"x")

    def read(self, max_bytes: int) -> bool:
        """Read one batch; whether more waits."""
        if not self.alive:
            self.logs.restart()
            self.wakes()
        self.sees()
        batch = self.logs.reader.read(max_bytes)
        whole = []
        for line in lines_of(batch):
            number, _, rest = line.data.partition(b" ")
            assert (len(number) <= 6, set(rest) <= {*b"x"}) == (True, True), "a line that nobody wrote"
            if len(line.data) < LENGTH:  # the last words of a file that was truncated or deleted
                continue
            assert line.data not in self.committed, "a line that was dealt with came again"
            assert line.data not in self.given_by_this_reader, "a line came twice"
            whole.append(line.data)
        assert len(whole) == len({*whole}), "a line came twice"
        self.saw(whole)
        return batch.more

    def commit(self) -> None:
        """Store the positions."""
        if self.alive:
            self.logs.commit()
            self.kept()
            self.torn = CORRUPT in self.logs.stored.values()

    def corrupt(self) -> None:
        """The reader dies, and what it had stored cannot be read."""
        self.kill()
        self.logs.stored = dict.fromkeys(self.logs.stored, CORRUPT)
        self.tears()

    def kill(self) -> None:
        """The reader dies."""
        if self.alive:
            self.logs.reader.close()
            self.dies()

    def run(self, actions: str) -> None:
        """Do all of it, and at last look whether everything came."""
        steps = {
            "W": self.write,
            "P": self.write_half,
            "R": self.rename,
            "O": self.reopen,
            "C": self.copytruncate,
            "T": self.truncate,
            "Z": self.rewrite,
            "D": self.delete,
            "S": self.swap,
            "X": self.lock,
            "B": self.corrupt,
            "r": lambda: self.read(200),
            "A": lambda: self.read(1 << 20),
            "c": self.commit,
            "K": self.kill,
        }
        for action in actions:
            steps[action]()
        if self.locked:
            self.lock()
        while self.read(1 << 20):
            pass
        assert set() == self.missing

    def close(self) -> None:
        """Give the descriptors back."""
        super().close()
        self.logs.reader.close()


@pytest.mark.no_cover
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(ACTIONS), min_size=5, max_size=40).map("".join))
@example("DWAcKC")  # on ext the copy takes the inode of the deleted file, whose position is stored
@example("WrWCDcK")  # the copy is all that is left of a file that was deleted after the copy was made
@example("WAcXKrWX")  # a restart while the file may not be opened: it waits, and goes on where it was
@example("WARWRWRWA")  # three rotations between two looks
def test_whatever_happens_to_a_log_no_line_is_lost_that_need_not_be_and_none_comes_twice(actions: str) -> None:
    """Half lines, rotation both ways, truncation, rewriting, deletion, links, permissions, kills, corrupt state."""
    with as_nobody() as directory, contextlib.closing(World(directory)) as world:
        world.run(actions)
