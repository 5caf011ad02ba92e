"""A bundle's document -> the text that stands in it and that `vigil incidents show` prints: small lines and numbers.

Requests                                       19:43 to 19:58 UTC
  running      ▁▂▄▆▇███████████████▇▇▇▇▇▇▆▆▆▅▅▄▃▂▁▁▁▁▁   0 to 64, last 12
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from vllm_vigil.recorder.panels import Frozen, Line, Panel, frozen, panels, states

WIDTH = 60
MOST_LINES = 2
BARS = "▁▂▃▄▅▆▇█"
UNKNOWN = " "
T = TypeVar("T")
MARKS = {
    "healthy": "█",
    "idle": "▁",
    "starting": "░",
    "asleep": "z",
    "stalled": "!",
    "spinning": "!",
    "frozen_metrics": "?",
    "dead": "x",
    "unreachable": "x",
}


def view(document: dict[str, Any]) -> list[str]:
    """The lines. Raises KeyError, TypeError or ValueError for what is no bundle's document."""
    return list(_view(frozen(document)))


def _view(found: Frozen) -> Iterator[str]:
    if not found.times:
        yield "nothing was recorded before it"
        return
    yield f"{_clock(found.times[0])} to {_clock(found.times[-1])} UTC, one column is {_column_seconds(found):.0f} s"
    strip = states(found)
    if any(strip):
        yield "State"
        yield f"  {'':<13} {_strip(strip)}  {_said(strip)}"
    for panel in panels(found):
        yield panel.title
        yield from (_line(panel, line) for line in _telling(panel))


def _telling(panel: Panel) -> list[Line]:
    """The lines, or of many GPUs the one that was lowest and the one that was highest on average."""
    known = sorted((line for line in panel.lines if line.last is not None), key=lambda line: line.mean)
    if len(known) <= MOST_LINES:
        return [line for line in panel.lines if line.last is not None]
    lowest, highest = known[0], known[-1]
    return [Line(f"{lowest.name} low", lowest.values), Line(f"{highest.name} high", highest.values)]


def _line(panel: Panel, line: Line) -> str:
    known = [value for value in line.values if not math.isnan(value)]
    span = f"{panel.show(min(known))} to {panel.show(max(known))}, last {panel.show(known[-1])}"
    return f"  {line.name:<13} {sparkline(line.values, panel.most)}  {span}"


def sparkline(values: Sequence[float], most: float | None = None) -> str:
    """A column for each stretch of time: its mean, from the lowest to the highest (0 to `most` where there is one)."""
    means = [_mean(part) for part in _parts(values)]
    known = [mean for mean in means if not math.isnan(mean)]
    if not known:
        return UNKNOWN * len(means)
    low, high = (0.0, most) if most is not None else (min(0.0, *known), max(known))
    return "".join(UNKNOWN if math.isnan(mean) else _bar(mean, low, high) for mean in means)


def _bar(value: float, low: float, high: float) -> str:
    span = high - low
    share = value / span - low / span if 0 < span < math.inf else 0.0
    return BARS[min(len(BARS) - 1, int(min(1.0, max(0.0, share)) * len(BARS)))]


def _strip(names: list[str | None]) -> str:
    """The worst of each stretch, as its mark: whatever is no serving wins over what is."""
    return "".join(_mark([name for name in part if name]) for part in _parts(names))


def _mark(names: list[str]) -> str:
    order = list(MARKS)
    return MARKS[max(names, key=order.index)] if names else UNKNOWN


def _said(names: list[str | None]) -> str:
    """The states that were, in their order: `healthy, stalled`."""
    return ", ".join(dict.fromkeys(name for name in names if name))


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    columns = min(WIDTH, len(values))
    for index in range(columns):
        yield values[index * len(values) // columns : (index + 1) * len(values) // columns]


def _mean(part: Sequence[float]) -> float:
    known = [value for value in part if not math.isnan(value)]
    mean = sum(known) / len(known) if known else math.nan
    return mean if math.isfinite(mean) else math.nan


def _column_seconds(found: Frozen) -> float:
    return max(1.0, (found.times[-1] - found.times[0]) / min(WIDTH, len(found.times)))


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")
