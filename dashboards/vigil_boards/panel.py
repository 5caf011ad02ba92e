"""One row of a board's table -> one Grafana panel, whatever its kind.

Each has a title, a unit, queries, what it means, what a bad value implies, why it may be empty, and where to go next.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import loki, prometheus
from grafana_foundation_sdk.models import (
    common,
)
from grafana_foundation_sdk.models import (
    dashboard as model,
)
from grafana_foundation_sdk.models import (
    prometheus as model_prometheus,
)

from vigil_boards import look, runbooks, scope

PROMETHEUS = common.DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
LOKI = common.DataSourceRef(type_val="loki", uid="${loki_datasource}")

NO_DATA = "No data: vigil_source_up says whether vLLM answers"
NO_TRAFFIC = "No traffic in this time"
NO_GPU = "No GPU: NVML is not there, or this GPU does not tell"

Builder = Any
"""A panel builder of the SDK: one class per kind, which share no base that has what they share."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query: PromQL without the board's selectors, which are added, or LogQL as it is."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel that knows its size and not yet its place. `means` and `bad` are sentences."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    means: str
    bad: str
    build: Callable[[Panel], Builder]
    width: int = 8
    height: int = 7
    steps: look.Steps = look.CALM
    no_data: str = NO_DATA
    runbooks: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    flag: str = ""
    logs: bool = False

    @property
    def id(self) -> int:
        """Stays the same as long as the title does, wherever the panel stands."""
        return zlib.crc32(self.title.encode()) % 90_000 + 10_000

    @property
    def series(self) -> list[str]:
        """The series that it shows; none of a Loki panel."""
        found = [] if self.logs else [name for query in self.queries for name in scope.series_in(query.expression)]
        return list(dict.fromkeys(found))

    @property
    def description(self) -> str:
        """Meaning, what bad implies, the flag or call that feeds it, the series."""
        parts = [self.means, f"**When it is bad:** {self.bad}"]
        if fed := self._fed():
            parts.append(f"**Fed by:** {fed}.")
        if self.flag:
            parts.append(f"**Flag:** {self.flag}.")
        if not self.logs:
            parts.append("**Series:** " + (", ".join(f"`{name}`" for name in self.series) or "all, by their prefix"))
        return "\n\n".join(parts)

    def _fed(self) -> str:
        return "; ".join(dict.fromkeys(scope.ORIGINS[name] for name in self.series if name in scope.ORIGINS))

    def place(self, x: int, y: int) -> Builder:
        """The builder of the panel at a place of the grid."""
        builder = self.build(self)
        (
            builder.id(self.id)
            .title(self.title)
            .description(self.description)
            .datasource(LOKI if self.logs else PROMETHEUS)
            .grid_pos(model.GridPos(h=self.height, w=self.width, x=x, y=y))
            .unit(self.unit)
            .no_value(self.no_data)
        )
        if links := [*map(_runbook, self.runbooks), *map(_board, self.to)]:
            builder.links(links)
        return builder


def _runbook(identity: str) -> build.DashboardLink:
    link = build.DashboardLink(f"Runbook: {identity}").url(runbooks.url(identity))
    return link.type(model.DashboardLinkType.LINK).target_blank(True)


def _board(uid: str) -> build.DashboardLink:
    title = uid.removeprefix("vigil-").replace("-", " ").capitalize()
    link = build.DashboardLink(f"Board: {title}").url(f"/d/{uid}?${{__url_time_range}}&${{__all_variables}}")
    return link.type(model.DashboardLinkType.LINK)


# --- queries


def instant(panel: Panel, builder: Builder, format_: model_prometheus.PromQueryFormat | None = None) -> Builder:
    """The value now. A chart's last value would still be shown long after the series has gone."""
    for reference, query in zip("ABCDEFGHIJKLM", panel.queries, strict=False):
        target = prometheus.Dataquery().ref_id(reference).datasource(PROMETHEUS).instant()
        target.expr(scope.scoped(query.expression)).legend_format(query.legend)
        builder.with_target(target.format(format_) if format_ else target)
    return builder


def over_time(panel: Panel, builder: Builder, format_: model_prometheus.PromQueryFormat | None = None) -> Builder:
    """The values in the time that the board shows; of Loki too."""
    for reference, query in zip("ABCDEFGHIJKLM", panel.queries, strict=False):
        if panel.logs:
            builder.with_target(
                loki.Dataquery().ref_id(reference).datasource(LOKI).expr(query.expression).legend_format(query.legend)
            )
            continue
        target = prometheus.Dataquery().ref_id(reference).datasource(PROMETHEUS).range()
        target.expr(scope.scoped(query.expression)).legend_format(query.legend)
        builder.with_target(target.format(format_) if format_ else target)
    return builder


def judged(panel: Panel, builder: Builder) -> Builder:
    """Coloured by thresholds; neutral where there are none."""
    return builder.thresholds(look.thresholds(panel.steps)).color_scheme(
        build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)
    )


def panel_of(
    title: str, unit: str, queries: Iterable[Query | str], make: Callable[[Panel], Builder], row: dict[str, Any]
) -> Panel:
    """A row of the table: queries may be written as plain text."""
    asked = tuple(query if isinstance(query, Query) else Query(query) for query in queries)
    return Panel(title=title, unit=unit, queries=asked, build=make, **row)
