"""The document -> one HTML file that needs nothing else: it can be mailed, printed and kept."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_vigil.exposition.markup import Html, joined, tag
from vllm_vigil.report.chart import extremes, svg
from vllm_vigil.report.document import Chart, Document, Section, Table

STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--soft:#646b73;--line:#e3e6e8;--paper:#fbfbfa;--card:#fff;--bar:#3d7ec4}
@media (prefers-color-scheme:dark){:root{--ink:#e4e7ea;--soft:#98a1a9;--line:#2b3137;--paper:#14171a;--card:#1b1f23;
--bar:#6aa5e0}}
body{margin:0 auto;padding:2.5rem 1.25rem;max-width:60rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
h1{margin:0;font-size:2rem;letter-spacing:-.02em}
h2{margin:2.8rem 0 .4rem;padding-top:1rem;border-top:1px solid var(--line);font-size:1.35rem}
h3{margin:1.6rem 0 .4rem;font-size:.8rem;letter-spacing:.08em;text-transform:uppercase;color:var(--soft)}
p{margin:.4rem 0}
.lead{margin-top:.6rem;font-size:1.15rem}
table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);border-radius:6px}
th,td{padding:.45rem .8rem;text-align:right}
th:first-child,td:first-child{text-align:left}
th{font-size:.8rem;font-weight:500;color:var(--soft)}
td{border-top:1px solid var(--line)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:1rem;margin:1rem 0}
figure{margin:0;padding:.7rem .9rem;background:var(--card);border:1px solid var(--line);border-radius:6px}
figcaption{min-height:3.2em;font-size:.85rem;color:var(--soft)}
figcaption b{display:block;font-weight:600;color:var(--ink)}
svg{width:100%;height:auto;font:20px system-ui,sans-serif}
svg rect{fill:var(--bar)}
svg text{fill:var(--soft)}
svg .end{text-anchor:end}
.axis{stroke:var(--line)}
@media print{body{padding:0}h2{break-after:avoid}table,figure{break-inside:avoid}}
""".strip()


def html(document: Document) -> str:
    """The whole file."""
    head = joined(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", document.title),
        tag("style", Html(STYLE)),
    )
    sections = [part for section in document.sections for part in _section(section)]
    body = joined(tag("h1", document.title), tag("p", document.lead, class_="lead"), *sections)
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", body), lang="en") + "\n"


def _section(section: Section) -> Iterator[Html]:
    yield tag(f"h{section.level}", section.title)
    yield from (tag("p", line) for line in section.lines)
    if section.charts:
        yield tag("div", *(_figure(chart) for chart in section.charts), class_="charts")
    if section.table:
        yield _table(section.table)


def _figure(chart: Chart) -> Html:
    return tag("figure", tag("figcaption", tag("b", chart.title), f" {extremes(chart)}"), svg(chart))


def _table(table: Table) -> Html:
    head = tag("tr", *(tag("th", column) for column in table.columns))
    rows = [tag("tr", *(tag("td", cell) for cell in row)) for row in table.rows]
    return tag("table", tag("thead", head), tag("tbody", *rows))
