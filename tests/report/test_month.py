"""A month is a span in UTC; the running one ends now, and is held against as much of the one before."""

from __future__ import annotations

from datetime import UTC, datetime

from vllm_vigil.report.month import Month, before, last_month, month


def at(*parts: int) -> float:
    """A time in UTC."""
    return datetime(*parts, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


NOW = at(2026, 11, 26, 12)


def test_a_month_that_is_over() -> None:
    """From midnight to midnight, across a year too."""
    assert month("2025-12", NOW) == Month("2025-12", at(2025, 12, 1), at(2026, 1, 1))
    assert before(month("2026-01", NOW)) == month("2025-12", NOW)
    assert month("2026-02", NOW).days == 28


def test_the_running_month() -> None:
    """25 days and a half of it, and the same of October."""
    running = month("2026-11", NOW)
    assert (running.whole, running.days, running.seconds) == (False, 25, 25 * 86_400 + 12 * 3600)
    assert before(running) == Month("2026-10", at(2026, 10, 1), at(2026, 10, 26, 12), whole=False)


def test_the_last_month_is_the_default() -> None:
    """Also on its first day."""
    assert last_month(at(2026, 11, 1)) == "2026-10"
    assert last_month(at(2026, 1, 31)) == "2025-12"
