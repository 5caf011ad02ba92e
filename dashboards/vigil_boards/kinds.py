"""The kinds of panels: each function is one row's panel, and what they have in common is in `panel.py`."""

from __future__ import annotations

from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    statetimeline,
)
from grafana_foundation_sdk.builders import (
    common as build_common,
)
from grafana_foundation_sdk.builders import (
    dashboard as build,
)
from grafana_foundation_sdk.builders import (
    heatmap as build_heatmap,
)
from grafana_foundation_sdk.builders import (
    logs as build_logs,
)
from grafana_foundation_sdk.builders import (
    stat as build_stat,
)
from grafana_foundation_sdk.builders import (
    timeseries as build_timeseries,
)
from grafana_foundation_sdk.models import (
    common,
)
from grafana_foundation_sdk.models import (
    dashboard as model,
)
from grafana_foundation_sdk.models import (
    heatmap as model_heatmap,
)
from grafana_foundation_sdk.models import (
    prometheus as model_prometheus,
)

from vigil_boards import look, scope
from vigil_boards.panel import NO_TRAFFIC, Builder, Panel, Query, instant, judged, over_time, panel_of


def stat(
    title: str,
    unit: str,
    *queries: Query | str,
    mappings: dict[str, tuple[str, str]] | None = None,
    decimals: int | None = None,
    **row: Any,
) -> Panel:
    """One number, or one per series, coloured by its thresholds."""

    def make(panel: Panel) -> Builder:
        builder = judged(panel, instant(panel, build_stat.Panel()))
        builder.reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        has_colours = bool(panel.steps or mappings)
        builder.color_mode(common.BigValueColorMode.BACKGROUND if has_colours else common.BigValueColorMode.VALUE)
        builder.graph_mode(common.BigValueGraphMode.NONE).text_mode(common.BigValueTextMode.AUTO)
        builder.justify_mode(common.BigValueJustifyMode.CENTER)
        if mappings:
            builder.mappings(look.words(mappings))
        return builder if decimals is None else builder.decimals(decimals)

    return panel_of(title, unit, queries, make, {"width": 3, "height": 3} | row)


def chart(
    title: str,
    unit: str,
    *queries: Query | str,
    top: float | None = None,
    stacked: bool = False,
    colours: dict[str, str] | None = None,
    bars: bool = False,
    **row: Any,
) -> Panel:
    """Lines over time from 0 up; quantiles and what `colours` names have their own colour."""

    def make(panel: Panel) -> Builder:
        builder = over_time(panel, build_timeseries.Panel()).min(0)
        _lines(builder, stacked=stacked, bars=bars)
        if top is not None:
            builder.max(top)
        if panel.steps:
            builder.thresholds(look.thresholds(panel.steps))
            builder.thresholds_style(
                build_common.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
            )
        _colour(builder, panel, colours or {})
        return builder

    return panel_of(title, unit, queries, make, row)


def _lines(builder: Builder, *, stacked: bool, bars: bool) -> None:
    builder.line_width(0 if stacked or bars else 1.5).fill_opacity(60 if stacked or bars else 8)
    builder.show_points(common.VisibilityMode.NEVER).line_interpolation(common.LineInterpolation.LINEAR)
    builder.draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE)
    if stacked or bars:
        builder.stacking(build_common.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    legend = build_common.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    builder.legend(legend.placement(common.LegendPlacement.BOTTOM).show_legend(True).calcs([]))
    tooltip = build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    builder.tooltip(tooltip.sort(common.SortOrder.DESCENDING))


def _colour(builder: Builder, panel: Panel, colours: dict[str, str]) -> None:
    """Each name its colour: quantiles, what the panel says, GPUs by their number, else hues that judge nothing."""
    legends = [query.legend for query in panel.queries]
    quantiles = {name: look.QUANTILES[name] for name in legends if name in look.QUANTILES}
    open_ended = any("{{" in legend for legend in legends)
    named = {} if open_ended else dict(zip(legends, look.HUES, strict=False))
    builder.color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    for name, colour in (named | quantiles | colours).items():
        if name.startswith("/"):
            builder.override_by_regexp(name, [look.fixed(colour)])
        elif name:
            builder.override_by_name(name, [look.fixed(colour)])
    if any("GPU {{gpu}}" in legend for legend in legends):
        for number, colour in enumerate(look.HUES):
            builder.override_by_regexp(f"/GPU {number}\\b/", [look.fixed(colour)])
    if legends == [""]:
        builder.color_scheme(build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(look.NEUTRAL))
    if "mean" in quantiles:
        dashed = model.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [6, 6]})
        builder.override_by_name("mean", [dashed, model.DynamicConfigValue("custom.fillOpacity", 0)])


def quantiles(title: str, histogram: str, unit: str = "s", **row: Any) -> Panel:
    """p50, p95 and p99 between the buckets, and the exact mean."""
    queries = [Query(scope.quantile(float(f"0.{name[1:]}"), histogram), name) for name in ("p50", "p95", "p99")]
    return chart(title, unit, *queries, Query(scope.mean(histogram), "mean"), **({"no_data": NO_TRAFFIC} | row))


def heat(title: str, histogram: str, unit: str = "s", **row: Any) -> Panel:
    """How many observations fell into each bucket, over time: what percentiles hide."""

    def make(panel: Panel) -> Builder:
        builder = over_time(panel, build_heatmap.Panel(), model_prometheus.PromQueryFormat.HEATMAP)
        colour = build_heatmap.HeatmapColorOptions().mode(model_heatmap.HeatmapColorMode.SCHEME).scheme("Blues")
        builder.color(colour.steps(32).exponent(0.5).fill(look.NEUTRAL)).calculate(False).cell_gap(1)
        builder.filter_values(build_heatmap.FilterValueRange().le(1e-9)).show_legend()
        builder.rows_frame(build_heatmap.RowsHeatmapOptions().layout(common.HeatmapCellLayout.AUTO))
        builder.y_axis(build_heatmap.YAxisConfig().unit(unit).axis_placement(common.AxisPlacement.LEFT))
        return builder.cell_values(build_heatmap.CellValues().unit("reqps"))

    query = Query(f"sum by (le) (rate({histogram}_bucket[$__rate_interval]))", "{{le}}")
    return panel_of(title, unit, (query,), make, {"no_data": NO_TRAFFIC} | row)


def timeline(title: str, *queries: Query | str, mappings: dict[str, tuple[str, str]], **row: Any) -> Panel:
    """States over time as coloured bars, one row per series."""

    def make(panel: Panel) -> Builder:
        builder = judged(panel, over_time(panel, statetimeline.Panel()))
        builder.mappings(look.words(mappings)).merge_values(True).row_height(0.85).fill_opacity(85).line_width(0)
        builder.show_value(common.VisibilityMode.AUTO).align_value(common.TimelineValueAlignment.LEFT)
        legend = build_common.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
        return builder.legend(legend.placement(common.LegendPlacement.BOTTOM).show_legend(True).calcs([]))

    return panel_of(title, "short", queries, make, row)


def bars(title: str, unit: str, *queries: Query | str, top: float | None = None, **row: Any) -> Panel:
    """One bar per series, as it is now."""

    def make(panel: Panel) -> Builder:
        builder = judged(panel, instant(panel, bargauge.Panel())).min(0)
        builder.reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        builder.orientation(common.VizOrientation.HORIZONTAL).display_mode(common.BarGaugeDisplayMode.BASIC)
        builder.value_mode(common.BarGaugeValueMode.TEXT).show_unfilled(True)
        return builder if top is None else builder.max(top)

    return panel_of(title, unit, queries, make, row)


def log(title: str, *queries: Query | str, **row: Any) -> Panel:
    """Log lines from Loki, newest first."""

    def make(panel: Panel) -> Builder:
        builder = over_time(panel, build_logs.Panel())
        builder.show_time(True).wrap_log_message(True).enable_log_details(True).show_common_labels(False)
        builder.sort_order(common.LogsSortOrder.DESCENDING).dedup_strategy(common.LogsDedupStrategy.NONE)
        return builder.prettify_log_message(False).show_labels(False)

    return panel_of(title, "short", queries, make, {"logs": True, "width": 24, "height": 10} | row)
