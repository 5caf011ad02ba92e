"""A time -> how every command prints it."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(epoch_seconds: float) -> str:
    """RFC 3339, in UTC, to the second."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
