"""Numbers -> what people read. What is absent is a dash, never a 0."""

from __future__ import annotations

from datetime import UTC, datetime

ABSENT = "–"  # noqa: RUF001  # an en dash is what is meant
DAY_SECONDS = 86_400


def span(seconds: float | None) -> str:
    """A time in its two greatest units: `45 s`, `4 min`, `3 h 05 min`, `2 d 4 h`."""
    if seconds is None:
        return ABSENT
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < DAY_SECONDS:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // DAY_SECONDS} d {whole % DAY_SECONDS // 3600} h"


def moment(at: float, now: float) -> str:
    """A time of day in UTC, with the date when it was not within a day."""
    form = "%H:%M:%S UTC" if abs(now - at) < DAY_SECONDS else "%Y-%m-%d %H:%M UTC"
    return datetime.fromtimestamp(at, UTC).strftime(form)


def size(size_bytes: float | None) -> str:
    """Bytes in binary units."""
    if size_bytes is None:
        return ABSENT
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.{0 if value >= 100 else 1 if value % 1 else 0}f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def number(value: float | None, unit: str = "") -> str:
    """A number without decimals, and its unit."""
    if value is None:
        return ABSENT
    return f"{value:.0f} {unit}".rstrip()


def percent(ratio: float | None) -> str:
    """A ratio of 0 to 1."""
    return ABSENT if ratio is None else f"{ratio * 100:.0f} %"
