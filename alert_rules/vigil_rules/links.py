"""The two links of every alert: its runbook, and the panel that shows the trouble.

Rules are written without them. `stamped` puts them in, in place: the runbook is named after the alert, the panel is
looked up by its title in dashboards/panels.json, so that one that is renamed or dropped fails `scripts/rules --check`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from vigil_rules.panels import PANEL_OF_ALERT, PANEL_OF_COMPONENT

RUNBOOKS = "https://github.com/vllm-vigil/vllm-vigil/blob/main/docs/runbooks/"
"""Where the runbooks stand; a site that keeps its own changes this one line and runs scripts/rules."""

PANELS = Path(__file__).parents[2] / "dashboards" / "panels.json"

SELECTED_BY = ("server", "model_name", "gpu")
"""Template variables of the boards that a link sets, as far as the alert's text names the label."""

_ALERT = re.compile(r"^( *)- alert: (\w+)\n(?:\1  .*\n|\n(?=\1  ))+", re.MULTILINE)
_LINKS = re.compile(r"^ *(?:runbook_url|dashboard_url): .*\n", re.MULTILINE)
_COMPONENT = re.compile(r"component: ([\w-]+)")


def stamped(text: str) -> str:
    """A rules file whose alerts have their links."""
    panels = json.loads(PANELS.read_text())
    return _ALERT.sub(lambda found: _with_links(found[0], found[2], panels), text)


def _with_links(alert: str, name: str, panels: Mapping[str, Mapping[str, str | int]]) -> str:
    bare = _LINKS.sub("", alert).rstrip("\n")
    indent = " " * (len(alert) - len(alert.lstrip()) + 4)
    links = f'{indent}runbook_url: "{runbook(name)}"\n{indent}dashboard_url: "{dashboard(name, bare, panels)}"\n'
    return f"{bare}\n{links}"


def runbook(alert: str) -> str:
    """The page of an alert."""
    return f"{RUNBOOKS}{alert}.md"


def dashboard(name: str, text: str, panels: Mapping[str, Mapping[str, str | int]]) -> str:
    """The panel of an alert, for what it names."""
    component = _COMPONENT.search(text)
    title = PANEL_OF_ALERT.get(name) or PANEL_OF_COMPONENT[component[1] if component else ""]
    panel = panels[title]
    variables = [f"&var-{label}={{{{ $labels.{label} }}}}" for label in SELECTED_BY if f"$labels.{label} " in text]
    return f"/d/{panel['uid']}?viewPanel={panel['id']}{''.join(variables)}"
