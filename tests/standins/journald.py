"""A real journald of one's own: in a mount namespace, so that the machine's journal is neither read nor written."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from vllm_vigil.clock import RealClock
from vllm_vigil.lines.journal import Journal, left_from_json
from vllm_vigil.lines.report import Report
from vllm_vigil.model import Line
from vllm_vigil.telemetry import Telemetry

PREPARE = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal
echo 0123456789abcdef0123456789abcdef > /run/id && touch /etc/machine-id && mount --bind /run/id /etc/machine-id
mkdir -p /run/log/journal/0123456789abcdef0123456789abcdef
/lib/systemd/systemd-journald & journald=$!
"$@"; status=$?
kill $journald; wait $journald 2>/dev/null
exit $status
"""
DEADLINE_SECONDS = 20.0


def with_journald(directory: Path, program: str) -> None:
    """Run a Python program beside a journald; fails with what it said if it does."""
    script = directory / "program.py"
    script.write_text(textwrap.dedent(program))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", PREPARE, "sh", sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Unit:
    """A unit whose output journald takes, connected as systemd does it."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        until(self._connected)
        self.write(f"vllm\n{name}\n6\n0\n0\n0\n0\n".encode())

    def _connected(self) -> bool:
        return self._socket.connect_ex("/run/systemd/journal/stdout") == 0

    def write(self, data: bytes) -> None:
        """Write to its standard output."""
        self._socket.sendall(data)


class Reading:
    """One who follows `vllm.service`, and can die and come back."""

    def __init__(self, name: str = "journal:vllm.service") -> None:
        self.clock = RealClock()
        self.telemetry = Telemetry(self.clock)
        self.name = name
        self.journal = Journal(name, "llama", Report(name, self.telemetry), self.clock, None)

    def lines(self, count: int) -> list[Line]:
        """The next so many lines."""
        found: list[Line] = []

        def enough() -> bool:
            self.journal.look()
            found.extend(self.journal.read(1 << 20))
            return len(found) >= count

        until(enough)
        return found

    def texts(self, count: int) -> list[str]:
        """The same as texts."""
        return [line.data.decode() for line in self.lines(count)]

    def restart(self, position: str | None = None) -> None:
        """Die, and go on from a position; by default from that of all that was given."""
        left = left_from_json(position or self.journal.position([]))
        self.journal.close()
        self.journal = Journal(self.name, "llama", Report(self.name, self.telemetry), self.clock, left)


def until(holds: Callable[[], bool]) -> None:
    """Return when it holds; fails when that takes too long."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stored(text: str) -> bool:
    """Whether journald has a line of that text."""
    done = subprocess.run(["journalctl", "--output=cat"], capture_output=True, text=True, check=False)
    return text in done.stdout.splitlines()


def vacuum() -> None:
    """Lose everything that was written until now."""
    subprocess.run(["journalctl", "--rotate"], check=True, capture_output=True)
    for path in Path("/run/log/journal").glob("*/system@*"):
        path.unlink()
