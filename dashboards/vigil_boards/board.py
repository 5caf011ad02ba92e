"""Rows of panels -> one dashboard: places on the grid, variables, annotations, links to the other boards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from vigil_boards import look, scope
from vigil_boards.panel import PROMETHEUS, Panel

TAG = "vllm-vigil"
COLUMNS = 24
SCHEMA_VERSION = 39
"""What Grafana 10.4 wrote; 11 to 13 migrate it as they load it."""

SCOPE = 'job=~"$job", instance=~"$instance"'


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading. A row of an optional feature is collapsed and names in its title what enables it."""

    title: str
    panels: tuple[Panel, ...]
    needs: str = ""

    @property
    def heading(self) -> str:
        """What stands above the row."""
        return f"{self.title} (requires {self.needs})" if self.needs else self.title


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable with a few values to choose from, such as the thresholds of an objective."""

    name: str
    label: str
    values: tuple[str, ...]
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard, which answers one question."""

    uid: str
    title: str
    question: str
    rows: tuple[Row, ...]
    choices: tuple[Choice, ...] = ()
    hours: int = 1
    loki: bool = False

    def json(self) -> str:
        """The file as Grafana imports it."""
        board = self.built().build()
        board.schema_version = SCHEMA_VERSION
        return json.dumps(board, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"

    def panels(self) -> Iterator[Panel]:
        """Every panel of every row."""
        for row in self.rows:
            yield from row.panels

    def built(self) -> build.Dashboard:
        """The whole dashboard as a builder of the SDK."""
        board = build.Dashboard(f"vLLM / {self.title}").uid(self.uid).description(self.question)
        board.tags(["vllm", TAG]).readonly().timezone("browser").version(1)
        board.tooltip(model.DashboardCursorSync.CROSSHAIR).refresh("30s").time(f"now-{self.hours}h", "now")
        for variable in self._variables():
            board.with_variable(variable)
        for annotation in _annotations():
            board.annotation(annotation)
        board.link(_other_boards()).link(_runbooks())
        self._fill(board)
        return board

    def _fill(self, board: build.Dashboard) -> None:
        y = 0
        for number, row in enumerate(self.rows):
            if number or row.needs:
                heading = build.Row(row.heading).id(number + 1).collapsed(bool(row.needs))
                heading.grid_pos(model.GridPos(h=1, w=COLUMNS, x=0, y=y))
                placed, below = _flow(row.panels, y + 1)
                for panel, x, top in placed if row.needs else ():
                    heading.with_panel(panel.place(x, top))
                board.with_row(heading)
                y += 1
            else:
                placed, below = _flow(row.panels, y)
            if not row.needs:
                for panel, x, top in placed:
                    board.with_panel(panel.place(x, top))
                y = below

    def _variables(self) -> Iterator[Builder[model.VariableModel]]:
        yield build.DatasourceVariable("prometheus_datasource").label("Prometheus data source").type("prometheus")
        if self.loki:
            yield build.DatasourceVariable("loki_datasource").label("Loki data source").type("loki")
        chosen = SCOPE
        yield _query("job", "label_values(vigil_build_info, job)")
        yield _query("instance", 'label_values(vigil_build_info{job=~"$job"}, instance)')
        for name in ("server", "model_name", "engine"):
            yield _query(name, f"label_values(llm_engine_state{{{chosen}}}, {name})")
            chosen += f', {name}=~"${name}"'
        holders = f'gpu_processes{{{SCOPE}, server=~"$server", engine=~"$engine"}}'
        yield _query("gpu", f"label_values({holders}, gpu)")
        for choice in self.choices:
            yield _choice(choice)


def _flow(panels: tuple[Panel, ...], y: int) -> tuple[list[tuple[Panel, int, int]], int]:
    """Panels from left to right, a new line where one no longer fits; and the first free line below."""
    placed, x, tallest = [], 0, 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        placed.append((panel, x, y))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return placed, y + tallest


def _query(name: str, query: str) -> build.QueryVariable:
    """A variable that Prometheus knows the values of; it takes part in the chain by the ones before it.

    `job` and `instance` are on every series; where the others are absent (a GPU's series have no server), All must
    match that too.
    """
    variable = build.QueryVariable(name).label(name.replace("_name", "").capitalize().replace("Gpu", "GPU"))
    variable.datasource(PROMETHEUS).query({"qryType": 1, "query": query, "refId": name}).definition(query)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.NATURAL_ASC)
    variable.multi(True).include_all(True).all_value(".+" if name in scope.TARGET else ".*")
    return variable.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))


def _choice(choice: Choice) -> build.CustomVariable:
    options = [
        model.VariableOption(selected=value == choice.default, text=value, value=value) for value in choice.values
    ]
    variable = build.CustomVariable(choice.name).label(choice.label).description(choice.description)
    variable.values(",".join(choice.values)).options(options).allow_custom_value(False)
    return variable.current(model.VariableOption(selected=True, text=choice.default, value=choice.default))


RESTARTED = (
    "max by (server, role) (increase(llm_process_restarts_total[2m])) > 0 "
    "or max by (server) (changes(llm_server_start_time_seconds[2m])) > 0"
)
UPGRADED = (
    "group by (server, vllm_version) (llm_engine_info) "
    "unless group by (server, vllm_version) (llm_engine_info offset 5m) "
    "and on (server) group by (server) (llm_engine_info offset 5m)"
)
ANNOTATIONS = (
    ("Restarts", look.STARTING, RESTARTED, "{{server}} restarted: {{role}}"),
    ("Incidents", look.BAD, "sum by (rule) (increase(vigil_incidents_total[2m])) > 0", "Incident: {{rule}}"),
    ("XID errors", look.DEAD, "time() - gpu_xid_last_seen_timestamp_seconds < 120", "XID {{xid}} on GPU {{gpu}}"),
    ("New vLLM version", look.ASLEEP, UPGRADED, "{{server}} now runs vLLM {{vllm_version}}"),
)
"""Name, colour, PromQL without selectors, title."""


def _annotations() -> Iterator[build.AnnotationQuery]:
    for name, colour, expression, title in ANNOTATIONS:
        annotation = build.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(colour)
        annotation.target(prometheus.Dataquery().expr(scope.scoped(expression)).ref_id(name).range())
        yield annotation.expr(scope.scoped(expression)).title_format(title).step("60s")


def _other_boards() -> build.DashboardLink:
    link = build.DashboardLink("vLLM boards").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(False).include_vars(True).keep_time(True).icon("dashboard")


def _runbooks() -> build.DashboardLink:
    url = "https://github.com/vllm-vigil/vllm-vigil/blob/main/docs/incidents.md"
    link = build.DashboardLink("What to do").type(model.DashboardLinkType.LINK).url(url).icon("doc")
    return link.target_blank(True)
