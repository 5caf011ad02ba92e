"""A random life of log, process, state and channels: no incident is lost, and none is repeated but under its key."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from standins.alert_life import AlertLife
from standins.logs import as_nobody

ACTIONS = (
    *("W", "WW", "WWW", "WWWWWW", "W", "WW", "WWW", "WWWWWW"),
    *("r", "rr", "A", "A", "c", "c", "t", "q", "w", "wK", "rqK", "K", "K", "G"),
    *("0r", "1A", "2A", "3A", "4A", "4t", "5A", "5t", "6A", "6t", "7A", "7q", "4w", "5w", "5w"),
    *("R", "R", "RO", "C", "C", "WRWRW", "P", "O"),
    *("N", "N", "U", "Y", "Y"),
    *("f", "f", "x", "a", "e", "y", "dt", "4x", "5x", "5y", "4a", "5a", "WArA", "WArf"),
    *("T", "Z", "D", "S", "XcX", "B", "Q", "J", "j"),
)
"""Often writing and reading, seldom what makes it excusable to lose a line."""
EXAMPLES = int(os.environ.get("VIGIL_MODEL_EXAMPLES", "300"))
"""5,000 in a night."""
MEMORY = "/dev/shm" if Path("/dev/shm").exists() else None
"""The logs are on a real disk; the state, which is flushed at every commit, need not be: no power fails here."""


async def play(actions: str) -> None:
    """One life."""
    with as_nobody() as directory, TemporaryDirectory(dir=MEMORY) as state:
        life = AlertLife(directory, Path(state))
        try:
            await life.run(actions)
            life.verify()
        finally:
            await life.close()


@pytest.mark.timeout(max(120.0, EXAMPLES * 0.5))
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(ACTIONS), min_size=5, max_size=40).map("".join))
@example("WWZWWWWWWWWcBj")  # the clock is set back while nobody runs: the digest does not wait for it
@example("WWWWAWrqKWA")  # a tick commits between a read and its position: the line that is read again counts once
def test_whatever_happens_no_incident_is_lost_and_none_is_repeated_but_under_its_key(actions: str) -> None:
    """Rotation, truncation, kills at every point, a torn state, channels that fail or do not say what they took."""
    asyncio.run(play(actions))
