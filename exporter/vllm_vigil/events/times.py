"""Times as logs write them -> seconds since the epoch.

vLLM's plain format has neither year nor zone. The year is the one that puts the time nearest before now; the zone is
the one that is handed in, because a container writes UTC and a host its own.
"""

from __future__ import annotations

import functools
import re
import zoneinfo
from datetime import UTC, datetime, tzinfo

Zone = tzinfo | None
"""That of times which name none; None is this host's own."""

_DAY_SECONDS = 86_400.0
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)? ?(Z|[+-]\d\d:?\d\d)?")
_NO_YEAR = re.compile(r"(?:(\d\d)-(\d\d)|([A-Z][a-z]{2}) +(\d{1,2})) (\d\d):(\d\d):(\d\d)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def zone(name: str) -> Zone:
    """The zone of that name: `local`, `UTC`, or one of the IANA's such as `Europe/Berlin`. Raises ValueError."""
    if name.lower() == "local":
        return None
    if name.upper() == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no zone {name!r}: write local, UTC, or a name such as Europe/Berlin") from error


def epoch(text: str, now: float, zone: Zone = UTC) -> float | None:
    """Seconds since the epoch of `11-21 03:05:31`, `Nov 21 03:05:31`, `2026-11-21 03:05:31,123`, or None."""
    return _epoch(text, int(now // _DAY_SECONDS), zone)


@functools.lru_cache(maxsize=256)
def _epoch(text: str, today: int, zone: Zone) -> float | None:
    try:
        return _with_year(text, zone) if text[:4].isdigit() else _without_year(text, today, zone)
    except (ValueError, OverflowError):  # a 31st of February, a year 0001 west of Greenwich
        return None


def _with_year(text: str, zone: Zone) -> float | None:
    match = _ISO.match(text)
    if not match:
        return None
    day, time, fraction, offset = match.groups()
    moment = datetime.fromisoformat(f"{day}T{time}{(offset or '').replace('Z', '+00:00')}")
    return _stamp(moment, zone) + float(f"0.{fraction or 0}")


def _without_year(text: str, today: int, zone: Zone) -> float | None:
    match = _NO_YEAR.match(text)
    if not match:
        return None
    month = int(match[1]) if match[1] else _MONTHS.index(match[3]) + 1
    day, time = int(match[2] or match[4]), (int(match[5]), int(match[6]), int(match[7]))
    latest = (today + 2) * _DAY_SECONDS  # a clock a little ahead is no last year
    this_year = datetime.fromtimestamp(latest, UTC).year
    for year in range(this_year, this_year - 9, -1):  # nine years hold a 29th of February
        if (month, day) == (2, 29) and year % 4:
            continue
        at = _stamp(datetime(year, month, day, *time), zone)  # noqa: DTZ001  # its zone is added there
        if at <= latest:
            return at
    return None


def _stamp(moment: datetime, zone: Zone) -> float:
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    return moment.timestamp()  # one without a zone is this host's
