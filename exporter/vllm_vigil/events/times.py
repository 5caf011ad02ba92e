"""Times as logs write them -> seconds since the epoch.

vLLM's plain format has neither year nor zone. The year is the one that puts the time nearest before now; the zone is
taken to be UTC, as in containers, so that what is shown again is what stands in the log.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime

_DAY_SECONDS = 86_400.0
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)? ?(Z|[+-]\d\d:?\d\d)?")
_NO_YEAR = re.compile(r"(?:(\d\d)-(\d\d)|([A-Z][a-z]{2}) +(\d{1,2})) (\d\d):(\d\d):(\d\d)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def epoch(text: str, now: float) -> float | None:
    """Seconds since the epoch of `11-21 03:05:31`, `Nov 21 03:05:31`, `2026-11-21 03:05:31,123`, or None."""
    return _epoch(text, int(now // _DAY_SECONDS))


@functools.lru_cache(maxsize=256)
def _epoch(text: str, today: int) -> float | None:
    try:
        return _with_year(text) if text[:4].isdigit() else _without_year(text, today)
    except ValueError:  # a 31st of February
        return None


def _with_year(text: str) -> float | None:
    match = _ISO.match(text)
    if not match:
        return None
    day, time, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{day}T{time}{(zone or 'Z').replace('Z', '+00:00')}")
    return moment.timestamp() + float(f"0.{fraction or 0}")


def _without_year(text: str, today: int) -> float | None:
    match = _NO_YEAR.match(text)
    if not match:
        return None
    month = int(match[1]) if match[1] else _MONTHS.index(match[3]) + 1
    day, time = int(match[2] or match[4]), (int(match[5]), int(match[6]), int(match[7]))
    tomorrow = datetime.fromtimestamp((today + 2) * _DAY_SECONDS, UTC)  # a clock a little ahead is no last year
    for year in range(tomorrow.year, tomorrow.year - 9, -1):  # nine years hold a 29th of February
        if (month, day) == (2, 29) and year % 4:
            continue
        moment = datetime(year, month, day, *time, tzinfo=UTC)
        if moment <= tomorrow:
            return moment.timestamp()
    return None
