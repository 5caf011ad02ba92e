"""`2026-10` -> the span of that month in UTC, and the one before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vllm_vigil.errors import UsageError

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Month:
    """From `start` up to `end`, in epoch seconds; `end` is now for the month that is not over."""

    name: str
    start: float
    end: float
    whole: bool = True

    @property
    def seconds(self) -> int:
        """How long it is, to the minute."""
        return int(self.end - self.start) // 60 * 60

    @property
    def days(self) -> int:
        """How many of its days are over."""
        return self.seconds // DAY_SECONDS


def month(text: str, now: float) -> Month:
    """The month that `text` names. Raises `UsageError` for what is none, and for one that has not begun."""
    match = re.fullmatch(r"(\d{4})-(\d{2})", text)
    if not match or not 1 <= int(match[2]) <= 12:
        raise UsageError(f"--month: {text!r} is no month: write a year and a month, such as 2026-10")
    first = datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)
    start, end = first.timestamp(), (first + timedelta(days=32)).replace(day=1).timestamp()
    if start >= now - 60:
        raise UsageError(f"--month: {text} has not begun yet")
    return Month(text, start, min(end, now), whole=end <= now)


def last_month(now: float) -> str:
    """The name of the last month that is over."""
    first = datetime.fromtimestamp(now, UTC).replace(day=1)
    return f"{first - timedelta(days=1):%Y-%m}"


def before(this: Month) -> Month:
    """The month before, as far as this one has got, so that half a month is not held against a whole one."""
    name = last_month(this.start)
    whole = month(name, this.end)
    return whole if this.whole else Month(name, whole.start, min(whole.end, whole.start + this.seconds), whole=False)
