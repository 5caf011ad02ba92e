"""Rules files -> docs/alerts.md: every alert in one table, every record in another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

HEAD = """\
# Alerts and recorded series

Generated from `alert_rules/` by `scripts/rules`. {alerts} alerts, of which {critical} page, and {records} recorded
series; each has a unit test ([tests/shipped/rules](../tests/shipped/rules)). They hold on Prometheus 2.42 and later, 3
included.

## Load them

1. Set the price of a GPU hour in `alert_rules/site.yml`: the only file to edit.
2. Tell Prometheus where they are, and scrape the sidecars under a job whose name has `vigil` in it:

   ```yaml
   rule_files: ["/etc/prometheus/alert_rules/*.yml"]
   scrape_configs:
     - job_name: vllm-vigil
       static_configs: [{{targets: ["gpu-1:9877"]}}]
   ```

3. `alert_rules/alertmanager/` routes them: critical to PagerDuty and Slack, again every 30 minutes; warning to Slack,
   again every 2 hours; info to a channel of its own; the Watchdog to a heartbeat service. What follows from another
   trouble is muted. Secrets are files, the texts templates (`templates/`); Grafana's address stands in `site.tmpl`
   there.

Without the sidecar, load `alert_rules/raw/` beside them: it gives vLLM's and dcgm-exporter's own names ours
([below](#without-the-sidecar)).

## How to read a severity

| Severity | Means |
| --- | --- |
| critical | Pages. Requests fail or hang now, or soon will, and someone must act. |
| warning | Tells the team's channel. Look at it today. |
| info | Has a channel of its own. The classic thresholds that are often no trouble are here. |
| none | The Watchdog, which always fires. |

The thresholds of the field that are the same for a chat bot and for a batch (p95 over 8 s, memory over 90 %, queue
over 10) never page: what pages for slowness is the error budget of an objective (`slo.yml`).
"""

RAW = """\
## Without the sidecar

`alert_rules/raw/vllm.yml` and `raw/dcgm.yml` record our series from vLLM's own names (every spelling since 0.2.3, V0
and V1, Ray's too) and from dcgm-exporter's (before and after 4.9.0 renamed its fields and changed their units);
`raw/targets.yml` watches those targets. The alerts above are then loaded unchanged. `job` becomes `raw`, `instance` the
host without its port (so that GPUs and engines of one host meet), `server` the scraped address. Load it where there is
no sidecar, or you will hear of everything twice.

These are silent without the sidecar, because only it knows:

{silent}
"""


def markdown(files: Iterable[Path], raw: Iterable[Path], silent: Iterable[str]) -> str:
    """The page."""
    rules = [(path, rule) for path in files for rule in rules_of(path)]
    alerts = [rule for _, rule in rules if "alert" in rule]
    critical = sum(rule["labels"]["severity"] == "critical" for rule in alerts)
    records = [rule for _, rule in rules if "record" in rule]
    parts = [HEAD.format(alerts=len(alerts), critical=critical, records=len(records))]
    for path in files:
        named = [rule for each, rule in rules if each == path and "alert" in rule]
        if named:
            parts.append(f"## {path.name}\n\n{_about(path)}\n\n{_alert_table(named)}")
    parts.append(RAW.format(silent=", ".join(f"`{name}`" for name in silent) + "."))
    of_targets = [rule for path in raw for rule in rules_of(path) if "alert" in rule]
    parts.append(f"And these are only for such sites:\n\n{_alert_table(of_targets)}")
    parts.append(f"## Recorded series\n\n{_record_table(rules)}")
    return "\n".join(parts)


def rules_of(path: Path) -> list[dict[str, Any]]:
    """The rules of a file, in order."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def _about(path: Path) -> str:
    """The comment at the head of a file, without the line that says where it is from."""
    lines = path.read_text().split("groups:")[0].splitlines()
    text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines if "scripts/rules" not in line)
    kept = [block for block in text.strip().split("\n\n") if not block.startswith("  ")]
    return "\n\n".join(kept)


def _alert_table(rules: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        f"| [{rule['alert']}](runbooks/{rule['alert']}.md) | {rule['labels']['severity']} "
        f"| {_words(rule['annotations']['summary'])} | {rule['for']} |"
        for rule in rules
    ]
    return (
        "\n".join(["| Alert and its runbook | Severity | What it says | For |", "| --- | --- | --- | --- |", *rows])
        + "\n"
    )


def _record_table(rules: Iterable[tuple[Path, Mapping[str, Any]]]) -> str:
    rows = [f"| `{rule['record']}` | {path.name} |" for path, rule in rules if "record" in rule]
    return "\n".join(["| Series | File |", "| --- | --- |", *rows]) + "\n"


def _words(summary: str) -> str:
    """A summary with its templates as placeholders."""
    text = summary.replace("{{ with $labels.model_name }} ({{ . }}){{ end }}", " (*model*)")
    text = text.replace("{{ with $labels.server }} of {{ . }}{{ end }}", " of *server*")
    for label in ("server", "model_name", "engine", "instance", "gpu"):
        text = text.replace(f"{{{{ $labels.{label} }}}}", f"*{label.removesuffix('_name')}*")
    while "{{" in text:
        before, _, rest = text.partition("{{")
        inside, _, after = rest.partition("}}")
        name = inside.split("|")[0].strip().removeprefix("$labels.").removeprefix("$")
        text = f"{before}*{name}*{after}"
    return text
