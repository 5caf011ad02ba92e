"""Numbers -> words for the report. What is not known is a dash, never a 0."""

from __future__ import annotations

from datetime import UTC, datetime

from vllm_vigil.exposition.wording import ABSENT


def count(value: float | None) -> str:
    """A large number, short: `1.24 million`, `318 thousand`, `42`."""
    if value is None:
        return ABSENT
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e4, "thousand")):
        if abs(value) >= size:
            return f"{value / (1e3 if size == 1e4 else size):.3g} {name}"
    return f"{value:.0f}"


def percent(ratio: float | None, digits: int = 1) -> str:
    """A ratio as percent."""
    return ABSENT if ratio is None else f"{ratio * 100:.{digits}f} %"


def share(ratio: float | None) -> str:
    """A share near 1 with as many digits as tell it from 1: `99.95 %`; only what is whole is 100 %."""
    if ratio is None:
        return ABSENT
    shown = f"{ratio * 100:.3f}".rstrip("0").rstrip(".")
    return "99.999 %" if shown == "100" and ratio < 1 else f"{shown} %"


def seconds(value: float | None) -> str:
    """A short time, in the unit in which it reads best."""
    if value is None:
        return ABSENT
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.3g} s"


def moment(at: float) -> str:
    """A time, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b %H:%M")


def change(now: float | None, then: float | None) -> str:
    """How a number has changed against the one before."""
    if now is None or not then:
        return ABSENT
    return f"{(now - then) / then * 100:+.0f} %"
