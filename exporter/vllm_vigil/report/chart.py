"""A chart -> an SVG of a bar a day, that needs no script and no other file."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_vigil.exposition.markup import Html, tag
from vllm_vigil.exposition.wording import ABSENT
from vllm_vigil.report import text
from vllm_vigil.report.document import Chart
from vllm_vigil.report.markdown import floor

WIDTH, HEIGHT, TOP, BOTTOM = 620, 220, 8, 32
GAP = 0.2
"""Of a day's width that is left free."""

READ = {"tokens": text.count, "ratio": text.share, "seconds": text.seconds}


def svg(chart: Chart) -> Html:
    """The picture; each bar says its day and value to who points at it."""
    bars = tuple(_bars(chart))
    axis = (
        tag("line", x1="0", x2=str(WIDTH), y1=str(HEIGHT - BOTTOM), y2=str(HEIGHT - BOTTOM), class_="axis"),
        tag("text", "1", x="2", y=str(HEIGHT - 6)),
        tag("text", str(len(chart.days)), x=str(WIDTH - 2), y=str(HEIGHT - 6), class_="end"),
    )
    return tag("svg", *bars, *axis, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=chart.title)


def extremes(chart: Chart) -> str:
    """The least and the greatest value, in words."""
    known = [day for day in chart.days if day is not None]
    read = READ[chart.unit]
    return f"{read(min(known))} to {read(max(known))}" if known else ABSENT


def _bars(chart: Chart) -> Iterator[Html]:
    low, high = floor(chart), max((day for day in chart.days if day is not None), default=0.0)
    span = high - low or 1.0
    width = WIDTH / max(1, len(chart.days))
    for number, day in enumerate(chart.days):
        if day is None:
            continue
        height = max(1.0, (day - low) / span * (HEIGHT - TOP - BOTTOM))
        yield tag(
            "rect",
            tag("title", f"day {number + 1}: {READ[chart.unit](day)}"),
            x=f"{(number + GAP / 2) * width:.1f}",
            y=f"{HEIGHT - BOTTOM - height:.1f}",
            width=f"{width * (1 - GAP):.1f}",
            height=f"{height:.1f}",
            rx="2",
        )
