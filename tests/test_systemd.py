"""What systemd is told."""

from __future__ import annotations

import socket
from pathlib import Path

from vllm_vigil.systemd import Systemd


def test_each_turn_is_one_datagram(tmp_path: Path) -> None:
    """In the words of sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        systemd.ready("watching")
        systemd.alive()
        systemd.stopping()
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1\nSTATUS=watching", b"WATCHDOG=1", b"STOPPING=1"]


def test_an_abstract_address_is_understood() -> None:
    """`@name` stands for a leading NUL."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")
        name = manager.getsockname()
        Systemd({"NOTIFY_SOCKET": "@" + name[1:].decode()}).alive()
        assert manager.recv(100) == b"WATCHDOG=1"


def test_without_a_manager_nothing_happens_and_a_vanished_one_does_no_harm(tmp_path: Path) -> None:
    """The sidecar also runs where there is no systemd."""
    Systemd({}).alive()
    gone = Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    gone.alive()
    gone.alive()
