"""Tables: a column per label and per query, each with its unit, its colours and where a click leads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import table as build_table
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as model_prometheus

from vigil_boards import look
from vigil_boards.panel import Builder, Panel, Query, instant, judged, panel_of


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the label or the query it shows, and how."""

    name: str
    heading: str
    unit: str = "short"
    steps: look.Steps = look.CALM
    mappings: dict[str, tuple[str, str]] | None = None
    link: str = ""
    link_title: str = ""
    width: int = 0
    decimals: int | None = None

    def properties(self) -> Iterable[model.DynamicConfigValue]:
        """The column as overrides of its field."""
        value = model.DynamicConfigValue
        yield value("unit", self.unit)
        yield value("noValue", "-")
        yield value("custom.align", "left" if self.mappings or len(self.name) > 1 else "right")
        if self.decimals is not None:
            yield value("decimals", self.decimals)
        if self.width:
            yield value("custom.width", self.width)
        if self.mappings:
            yield value("mappings", look.words(self.mappings))
        if self.steps or self.mappings:
            yield value("custom.cellOptions", {"type": "color-text"})
            yield value("thresholds", look.thresholds(self.steps).build())
        if self.link:
            yield value("links", [{"title": self.link_title, "url": self.link, "targetBlank": False}])


def table(title: str, *queries: Query | str, columns: tuple[Column, ...], sort: str = "", **row: Any) -> Panel:
    """One line per set of labels, a column per label and per query (A, B, ... in their order), as it is now."""

    def make(panel: Panel) -> Builder:
        builder = judged(panel, instant(panel, build_table.Panel(), model_prometheus.PromQueryFormat.TABLE))
        several = len(panel.queries) > 1
        if several:
            builder.with_transformation(model.DataTransformerConfig("merge", options={}))
        raw = {column.name: _field(column.name, several=several) for column in columns}
        builder.with_transformation(
            model.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": {"Time": True},
                    "includeByName": {raw[column.name]: True for column in columns},
                    "indexByName": {raw[column.name]: index for index, column in enumerate(columns)},
                    "renameByName": {raw[column.name]: column.heading for column in columns},
                },
            )
        )
        for column in columns:
            builder.override_by_name(column.heading, list(column.properties()))
        if sort:
            builder.sort_by([build_common.TableSortByFieldState().display_name(sort).desc(True)])
        return builder.show_header(True).cell_height(common.TableCellHeight.SM)

    return panel_of(title, "short", queries, make, {"width": 24} | row)


def _field(name: str, *, several: bool) -> str:
    """What Grafana calls a column: of several queries the values are told apart by their letter."""
    return f"Value #{name}" if several and len(name) == 1 else "Value" if name == "A" else name
