"""The document -> Markdown, with a bar of blocks for each chart."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_vigil.report.document import Chart, Document, Section, Table

BLOCKS = "▁▂▃▄▅▆▇█"


def markdown(document: Document) -> str:
    """The whole text."""
    parts = [f"# {document.title}", document.lead]
    for section in document.sections:
        parts += _section(section)
    return "\n\n".join(parts) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield f"{'#' * section.level} {_safe(section.title)}"
    yield from (_safe(line) for line in section.lines)
    for chart in section.charts:
        yield f"{chart.title}: `{bar(chart)}`"
    if section.table:
        yield _table(section.table)


def _table(table: Table) -> str:
    rows = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    return "\n".join("| " + " | ".join(_safe(cell) for cell in row) + " |" for row in rows)


def bar(chart: Chart) -> str:
    """A block a day, as high as its value; a gap where there is none."""
    low, high = floor(chart), max((day for day in chart.days if day is not None), default=0.0)
    span = high - low

    def block(day: float | None) -> str:
        if day is None:
            return " "
        return BLOCKS[round((day - low) / span * (len(BLOCKS) - 1)) if span > 0 else len(BLOCKS) - 1]

    return "".join(block(day) for day in chart.days)


def floor(chart: Chart) -> float:
    """Where the chart begins: at 0, but for shares near 1 a little below the least, or the bad day would not show."""
    known = [day for day in chart.days if day is not None]
    if chart.unit != "ratio" or not known:
        return 0.0
    return max(0.0, min(known) - 0.01)


def _safe(text: str) -> str:
    """What Markdown would take for markup is text."""
    return "".join(f"\\{letter}" if letter in "|*_`<>[]#\\" else letter for letter in text)
