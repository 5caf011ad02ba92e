"""Does the watcher itself see, remember and deliver."""

from __future__ import annotations

from vigil_boards import look
from vigil_boards.board import Board, Row
from vigil_boards.kinds import bars, chart, stat, timeline
from vigil_boards.panel import Query
from vigil_boards.tables import Column, table

SILENT = "No sidecar answers: look at the targets of Prometheus"
NO_LOGS = "No log is followed: set vllm.logs in vigil.yaml"
NO_CHANNELS = "No channel: set notify.channels in vigil.yaml"
NO_HEARTBEAT = "Off: set heartbeat in vigil.yaml"
NO_ALERTMANAGER = "Off: set alertmanager in vigil.yaml"
SOURCE_OF = 'label_join({}, "of", " ", "source", "server")'
"""A source with its server, where it has one: a legend would write the word server where there is none."""

OUTCOMES = {
    "delivered": look.GOOD,
    "failed": look.WARNING,
    "refused": look.BAD,
    "dropped": look.DEAD,
    "withheld": look.UNKNOWN,
}

GLANCE = (
    stat(
        "Sources that answer",
        "percentunit",
        "avg(vigil_source_up)",
        steps=look.below(1.0, 0.5),
        width=6,
        no_data=SILENT,
        means="Share of the sources (vLLM, NVML, host) whose last reading was good.",
        bad="What a silent source would tell is absent everywhere, never old: the board below names it.",
        runbooks=("server_unreachable",),
    ),
    stat(
        "Oldest reading",
        "s",
        "max(vigil_source_age_seconds)",
        steps=look.above(15, 60),
        width=6,
        no_data=SILENT,
        means="Time since the last good reading of the source that is furthest behind.",
        bad="Above three intervals its series are withdrawn.",
    ),
    stat(
        "Configuration in force",
        "short",
        "min(vigil_config_last_reload_successful)",
        mappings={"1": ("as in the file", look.GOOD), "0": ("reload failed", look.BAD)},
        width=6,
        no_data=SILENT,
        means="Whether the last reload was good; after a bad one the old configuration stays.",
        bad="The file on disk is not what runs: `vigil check` says why.",
    ),
    stat(
        "State reaches the disk",
        "short",
        "min(vigil_state_writable)",
        mappings=look.YES_IS_GOOD,
        width=6,
        no_data=SILENT,
        means="Whether incidents, log positions and the outbox are kept on disk.",
        bad="A full or read-only disk: it goes on from memory, and a restart would forget.",
    ),
    stat(
        "Notifications that wait",
        "short",
        "sum(vigil_outbox_pending)",
        steps=look.above(1, 10),
        width=6,
        no_data=NO_CHANNELS,
        means="Notifications that are not yet delivered.",
        bad="They are kept and tried again; an old one is a page that nobody has had.",
    ),
    stat(
        "Oldest that waits",
        "s",
        "max(vigil_outbox_oldest_seconds)",
        steps=look.above(60, 300),
        width=6,
        no_data=NO_CHANNELS,
        means="Age of the oldest notification that waits.",
        bad="Five minutes without delivery: failover takes the critical ones, if there is one.",
    ),
    stat(
        "Log behind by",
        "s",
        "max(vigil_log_lag_seconds)",
        steps=look.above(5, 60),
        width=6,
        no_data=NO_LOGS,
        means="For how long the oldest unread byte waits, of the log that is furthest behind.",
        bad="Incidents are told that much later.",
    ),
    stat(
        "Bytes lost",
        "bytes",
        "sum(increase(vigil_log_lost_bytes_total[$__range])) or 0 * sum(vigil_build_info)",
        steps=look.above(None, 1),
        width=6,
        no_data=SILENT,
        means="Log bytes that may not have been read in the time shown.",
        bad="Rotate by renaming: copytruncate loses what is written in the instant of the copy.",
    ),
)

SOURCES = (
    timeline(
        "Sources",
        Query(SOURCE_OF.format("vigil_source_up"), "{{instance}} {{of}}"),
        mappings=look.UP_WORDS,
        width=12,
        no_data=SILENT,
        means="Which source answered when.",
        bad="A source that is down takes its series with it: other boards say No data for that time.",
        runbooks=("server_unreachable",),
    ),
    chart(
        "Age of the readings",
        "s",
        Query(SOURCE_OF.format("vigil_source_age_seconds"), "{{of}}"),
        width=6,
        no_data=SILENT,
        means="Time since each source's last good reading.",
        bad="It climbs while a source hangs.",
    ),
    chart(
        "Time that a reading takes",
        "s",
        Query(SOURCE_OF.format("vigil_source_duration_seconds"), "{{of}}"),
        width=6,
        no_data=SILENT,
        means="How long the last reading of each source took.",
        bad="vLLM's page slow: its API process is busy. NVML slow: the driver hangs.",
    ),
    chart(
        "Families that no series is made of",
        "short",
        Query(SOURCE_OF.format("vigil_source_unknown_families"), "{{of}}"),
        no_data=SILENT,
        means="Families of vLLM's page that the sidecar does not know; /api/v1/status names them.",
        bad="A jump after an upgrade of vLLM: it has new series, or renamed old ones.",
    ),
    chart(
        "Samples left out",
        "cps",
        Query("sum by (cause) (rate(vigil_series_dropped_total[$__rate_interval]))", "{{cause}}"),
        no_data="None was left out",
        means="Samples that were not turned into series, by cause.",
        bad="`max_series` guards Prometheus against a server with too many labels.",
    ),
    chart(
        "Series by origin",
        "short",
        Query('count({__name__=~"llm_.+", job=~"$job", instance=~"$instance"})', "llm_"),
        Query('count({__name__=~"gpu_.+", job=~"$job", instance=~"$instance"})', "gpu_"),
        Query('count({__name__=~"vigil_.+", job=~"$job", instance=~"$instance"})', "vigil_"),
        stacked=True,
        no_data=SILENT,
        means="What this monitoring costs: series in Prometheus.",
        bad="Growth without new servers is a label that should not be one.",
    ),
    table(
        "Sidecars",
        "max by (instance, version, python) (vigil_build_info)",
        "sum by (instance) (vigil_incidents_open)",
        "min by (instance) (vigil_source_up)",
        columns=(
            Column("instance", "Instance"),
            Column("version", "Version"),
            Column("python", "Python"),
            Column("B", "Open incidents", "short", steps=look.above(1, 3)),
            Column("C", "All sources", mappings=look.UP_WORDS),
        ),
        height=5,
        no_data=SILENT,
        means="Every sidecar that Prometheus asks.",
        bad="Different versions have different series and rules: finish the rollout.",
    ),
)

LOGS = (
    timeline(
        "Logs that can be read",
        Query("vigil_log_readable", "{{file}}"),
        mappings={"1": ("readable", look.GOOD), "0": ("unreadable", look.BAD)},
        width=12,
        no_data=NO_LOGS,
        means="Whether each followed log can be opened.",
        bad="A rotated file without permission, or a log that nobody writes: incidents from logs stop.",
    ),
    chart(
        "Bytes behind",
        "bytes",
        Query("vigil_log_lag_bytes", "{{file}}"),
        width=6,
        no_data=NO_LOGS,
        means="Bytes written and not yet judged.",
        bad="A pile that grows is a log flood.",
        runbooks=("error_burst",),
    ),
    chart(
        "Time behind",
        "s",
        Query("vigil_log_lag_seconds", "{{file}}"),
        width=6,
        no_data=NO_LOGS,
        means="For how long the oldest byte of each log waits.",
        bad="Incidents are told that much later.",
    ),
    chart(
        "Lines read",
        "cps",
        Query("sum by (file) (rate(vigil_log_lines_total[$__rate_interval]))", "{{file}}"),
        width=12,
        no_data=NO_LOGS,
        means="Lines read a second.",
        bad="0 from a server that serves: the log goes elsewhere, or the engine hangs.",
    ),
    chart(
        "Bytes lost by cause",
        "bytes",
        Query("sum by (file, cause) (increase(vigil_log_lost_bytes_total[$__rate_interval]))", "{{file}} {{cause}}"),
        bars=True,
        width=12,
        no_data="Nothing was lost",
        means="Bytes that were overwritten before they were read, or may have been.",
        bad="Truncation and copies lose lines for everybody; rotate by renaming.",
    ),
)

DELIVERY = (
    chart(
        "Deliveries",
        "short",
        Query("sum by (outcome) (increase(vigil_deliveries_total[$__rate_interval]))", "{{outcome}}"),
        bars=True,
        colours=OUTCOMES,
        no_data=NO_CHANNELS,
        means="Attempts at delivery, by how they ended.",
        bad="Failed ones are tried again, refused ones are not: look at the channel's address and token.",
    ),
    chart(
        "Waiting by channel",
        "short",
        Query("sum by (channel) (vigil_outbox_pending)", "{{channel}}"),
        no_data=NO_CHANNELS,
        means="Notifications that wait, by channel.",
        bad="One channel alone: its provider is down or refuses. All: no way out of this host.",
    ),
    timeline(
        "Channels left alone",
        Query("vigil_channel_breaker_open", "{{channel}}"),
        mappings={"0": ("in use", look.GOOD), "1": ("left alone", look.BAD)},
        no_data=NO_CHANNELS,
        means="Channels that kept failing are tried only now and then.",
        bad="Pages of this channel wait, or go to the one that stands in for it.",
    ),
    bars(
        "Since the last success",
        "s",
        Query("time() - (vigil_channel_last_success_timestamp_seconds > 0)", "{{channel}}"),
        no_data="No channel has taken anything yet",
        means="Time since each channel last took a notification of any kind.",
        bad="Long is only good with `notify.proof`, which sends a marked test on schedule.",
    ),
    chart(
        "Heartbeats",
        "short",
        Query("sum by (outcome) (increase(vigil_heartbeats_total[$__rate_interval]))", "{{outcome}}"),
        bars=True,
        colours=OUTCOMES,
        no_data=NO_HEARTBEAT,
        means="Signs of life to the dead man's switch, by how they ended.",
        bad="Withheld ones mean that the tick does not turn; the switch will tell.",
    ),
    chart(
        "Alertmanager: pushes",
        "short",
        Query(
            "sum by (member, outcome) (increase(vigil_alertmanager_pushes_total[$__rate_interval]))",
            "{{member}} {{outcome}}",
        ),
        bars=True,
        no_data=NO_ALERTMANAGER,
        means="Requests that told a member of Alertmanager of open incidents.",
        bad="While a member fails the others know; while all fail only the sidecar's own channels tell.",
    ),
    chart(
        "Alertmanager: told us",
        "short",
        Query("sum by (outcome) (increase(vigil_alertmanager_alerts_total[$__rate_interval]))", "{{outcome}}"),
        bars=True,
        width=12,
        no_data="Off: no webhook token in vigil.yaml",
        means="Alerts that Alertmanager told of, by what became of them.",
        bad="Refused ones lack what an incident needs.",
    ),
    stat(
        "OOM kills of the sidecar",
        "short",
        "sum(increase(vigil_cgroup_oom_kills_total[$__range]))",
        steps=look.above(None, 1),
        width=6,
        height=7,
        no_data="The sidecar's cgroup does not tell",
        means="Processes of the sidecar's own cgroup that the kernel ended.",
        bad="Give it more memory: 80 MB is plenty.",
    ),
    stat(
        "Scraped by Prometheus",
        "percentunit",
        "avg(up)",
        steps=look.below(1.0, 0.5),
        width=6,
        height=7,
        no_data="No such job: choose another",
        means="Share of the chosen targets that answered Prometheus' last scrape.",
        bad="A sidecar that is down watches nothing: that is what the dead man's switch is for.",
    ),
)

SIDECAR = Board(
    uid="vigil-sidecar",
    title="Sidecar",
    question="Does the watcher itself see, remember and deliver?",
    hours=6,
    rows=(
        Row("At a glance", GLANCE),
        Row("Sources and series", SOURCES),
        Row("Logs", LOGS),
        Row("Delivery", DELIVERY),
    ),
)
