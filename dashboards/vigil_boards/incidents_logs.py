"""What went wrong, and what does the log say about it."""

from __future__ import annotations

from vigil_boards import look
from vigil_boards.board import Board, Row
from vigil_boards.kinds import bars, chart, log, stat, timeline
from vigil_boards.panel import Query
from vigil_boards.tables import Column, table

NO_LOGS = "No log is followed: set vllm.logs in vigil.yaml"
NO_LOKI = "No lines in Loki: see promtail/ for the shipper's configuration"
VLLM = 'job="vllm", server=~"$server"'
SEVERITY_COLOURS = dict(look.SEVERITIES)
LEVELS = {
    "critical": look.DEAD,
    "error": look.BAD,
    "warning": look.WARNING,
    "info": look.NEUTRAL,
    "debug": look.UNKNOWN,
}

NOW = (
    *(
        stat(
            f"Open, {severity}",
            "short",
            f'sum(vigil_incidents_open{{severity="{severity}"}}) or 0 * sum(vigil_build_info)',
            steps=steps,
            width=6,
            no_data="No sidecar answers",
            means=f"Open incidents of the severity {severity}.",
            bad=bad,
        )
        for severity, steps, bad in (
            ("critical", look.above(None, 1), "Somebody is paged: people wait or get errors."),
            ("warning", look.above(1, None), "Somebody should look today."),
            ("info", look.CALM, "Good to know, nothing to do."),
        )
    ),
    stat(
        "Opened in this time",
        "short",
        "sum(increase(vigil_incidents_total[$__range]))",
        width=6,
        means="Incidents that were opened in the time shown.",
        bad="Many of one rule are one trouble that comes back: look for what it is the symptom of.",
    ),
    timeline(
        "Open incidents over time",
        Query("max by (rule) (vigil_incidents_open)", "{{rule}}"),
        mappings={str(count): ("open" if count == 1 else f"{count} open", look.BAD) for count in range(1, 10)},
        width=15,
        height=7,
        no_data="No incident was open in this time",
        means="From when to when each rule's incident was open.",
        bad="What begins first is the cause; what begins after it is often its consequence.",
        runbooks=("engine_dead", "cuda_oom", "nccl_failure"),
    ),
    bars(
        "Opened by rule",
        "short",
        Query("sum by (rule) (increase(vigil_incidents_total[$__range])) > 0", "{{rule}}"),
        width=9,
        no_data="None was opened in this time",
        means="Which rules opened incidents in the time shown.",
        bad="The longest bar is where the week went.",
    ),
)

HISTORY = (
    chart(
        "Incidents opened",
        "short",
        Query("sum by (rule) (increase(vigil_incidents_total[$__rate_interval])) > 0", "{{rule}}"),
        bars=True,
        width=12,
        no_data="None was opened in this time",
        means="When incidents were opened, by rule.",
        bad="Bars at the same minute are one event with several faces.",
    ),
    chart(
        "Log records recognised",
        "short",
        Query("sum by (event) (increase(vigil_log_events_total[$__rate_interval])) > 0", "{{event}}"),
        bars=True,
        width=12,
        no_data="No record that a pattern knows",
        means="Log records that a pattern of the sidecar recognised, by kind.",
        bad="A crash is dozens of records in a second; they become one incident.",
    ),
    chart(
        "Log lines by level",
        "cps",
        Query("sum by (level) (rate(vigil_log_lines_total[$__rate_interval]))", "{{level}}"),
        stacked=True,
        colours=look.LOUDNESS,
        width=12,
        no_data=NO_LOGS,
        means="Lines that the sidecar read, by level; lines of a traceback have the level of nothing.",
        bad="A flood is a trouble of its own: it fills disks and hides the first line.",
        runbooks=("error_burst",),
    ),
    table(
        "Rules that opened incidents",
        "sum by (rule) (increase(vigil_incidents_total[$__range])) > 0",
        "sum by (rule) (vigil_incidents_open)",
        columns=(
            Column(
                "rule",
                "Rule",
                link="https://github.com/vllm-vigil/vllm-vigil/blob/main/docs/incidents.md",
                link_title="What it means",
            ),
            Column("A", "Opened", "short", decimals=0),
            Column("B", "Open now", "short", steps=look.above(None, 1)),
        ),
        sort="Opened",
        width=12,
        no_data="None was opened in this time",
        means="How often each rule opened an incident in the time shown, and how many are open.",
        bad="A rule that opens and closes all day is flapping: raise its count, or mend what it sees.",
    ),
)

VOLUME = (
    chart(
        "Lines in Loki by level",
        "short",
        Query(f"sum by (level) (count_over_time({{{VLLM}}}[$__auto]))", "{{level}}"),
        logs=True,
        bars=True,
        colours=LEVELS,
        width=12,
        height=6,
        no_data=NO_LOKI,
        means="Lines of vLLM that arrived in Loki, by level. Ordinary access lines are sampled by the shipper.",
        bad="Nothing while the engine logs: the shipper has stopped.",
    ),
    chart(
        "Failed requests in the access log",
        "short",
        Query(
            f'sum by (status) (count_over_time({{{VLLM}}} |~ `"(?:GET|POST) \\S+ HTTP/[\\d.]+" [45]\\d\\d` '
            '| regexp `HTTP/[\\d.]+" (?P<status>[45]\\d\\d)` [$__auto]))',
            "{{status}}",
        ),
        logs=True,
        bars=True,
        width=12,
        height=6,
        no_data="No failed request in Loki",
        means="Access lines with 4xx and 5xx, by status.",
        bad="5xx are ours; 400 are refused lengths, 404 wrong model names.",
        runbooks=("http_5xx",),
    ),
)

LINES = (
    log(
        "Errors",
        f'{{{VLLM}, level=~"error|critical"}}',
        no_data=NO_LOKI,
        means="vLLM's lines of level ERROR and worse, and tracebacks.",
        bad="Read from the bottom: the first error is the cause.",
        runbooks=("error_burst", "cuda_error"),
    ),
    log(
        "The sidecar on incidents",
        '{job="vllm-vigil", level=~"warning|error|critical"}',
        height=7,
        no_data=NO_LOKI,
        means="What the sidecar itself wrote: incidents opened and resolved, sources that went away, deliveries.",
        bad="A failed delivery here is a page that somebody did not get.",
    ),
    log(
        "Out of memory, NCCL, CUDA",
        f'{{{VLLM}}} |~ "(?i)out of memory|nccl|cuda error|illegal memory access"',
        height=7,
        no_data="No such line in Loki",
        means="Lines that name the three causes behind most crashes.",
        bad="The one before the first traceback tells the phase: load, graph capture or run time.",
        runbooks=("cuda_oom", "nccl_failure", "cuda_error"),
    ),
    log(
        "Kernel: XID and OOM",
        '{job="kernel"} |~ "NVRM|Xid|Out of memory|oom-kill"',
        height=7,
        no_data="No such line in Loki, or the kernel's log is not shipped (promtail/journal.alloy)",
        means="What the kernel says about GPUs and memory.",
        bad="An Xid before the crash makes it the hardware's; an oom-kill makes it the host's.",
        runbooks=("gpu_xid", "host_oom_kill"),
    ),
    log(
        "Everything",
        f"{{{VLLM}}}",
        no_data=NO_LOKI,
        means="All lines of the chosen servers.",
        bad="Silence from a server that runs is a shipper that stopped, or a hang.",
    ),
)

INCIDENTS_LOGS = Board(
    uid="vigil-incidents-logs",
    title="Incidents and logs",
    question="What went wrong, since when, and what does the log say about it?",
    hours=6,
    loki=True,
    rows=(
        Row("Now", NOW),
        Row("History", HISTORY),
        Row("Log volume", VOLUME),
        Row("Log lines", LINES),
    ),
)
