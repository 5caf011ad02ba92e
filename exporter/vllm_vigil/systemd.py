"""READY, WATCHDOG, RELOADING and STOPPING for systemd (`Type=notify`), by datagram to $NOTIFY_SOCKET; else nothing.

The protocol is that of sd_notify(3). The watchdog is fed from the tick that samples and judges, so that a loop that
no longer turns gets the process restarted.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from loguru import logger


class Systemd:
    """The manager that started us, if one did."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")

    def ready(self, status: str) -> None:
        """We serve."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """The loop turns."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """We were told to stop and do so."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(1.0)
                channel.sendto(text.encode(), address)
        except OSError as error:
            logger.warning("cannot tell systemd {!r} at {}: {}; going on", text, self._address, error.strerror)
            self._address = ""
