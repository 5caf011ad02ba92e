"""A `Status` -> the page at `/`: the same facts for people, readable on a phone at night, without a script.

The first line answers whether it serves, what is wrong and since when; what is wrong comes before what is well.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from vllm_vigil.exposition.headline import Headline
from vllm_vigil.exposition.markup import Html, joined, tag
from vllm_vigil.exposition.status import Status, Trouble
from vllm_vigil.exposition.style import STYLE
from vllm_vigil.exposition.wording import ABSENT, moment, number, percent, size, span

NO_BREAK = "\N{NO-BREAK SPACE}"
REFRESH_SECONDS = 5
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)

Row = tuple[str, ...]
"""The cells of one row; a cell is text or `Html`."""


def page(status: Status) -> str:
    """The whole document."""
    head = joined(
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="refresh", content=str(REFRESH_SECONDS)),
        tag("title", f"{status.headline.text} · vllm-vigil"),
        tag("style", Html(STYLE)),
    )
    body = joined(_header(status.headline, status.at), tag("main", *_sections(status)), _footer(status))
    return "<!doctype html>\n" + tag("html", tag("head", head), tag("body", body), lang="en")


def _header(headline: Headline, now: float) -> Html:
    why = [tag("p", headline.why, class_="why")] if headline.why else []
    since = [tag("p", "for ", _ago(headline.since, now))] if headline.since is not None else []
    return tag("header", tag("h1", headline.text), *why, *since, class_=_tone(headline))


def _tone(headline: Headline) -> str:
    if headline.serving is None:
        return "none"
    if not headline.serving:
        return "bad"
    return "warn" if headline.troubled else "good"


def _sections(status: Status) -> Iterable[Html]:
    now = status.at
    if status.open:
        yield _section("Open incidents", *(_open(trouble, now) for trouble in status.open))
    if not status.config.successful:
        yield _section("Configuration", tag("article", _config(status), class_="warning"))
    yield _table("Engines", ("Server", "Model", "State", "For", "Why"), _engines(status))
    yield _table("Load", ("Server", "Running", "Waiting", "KV cache"), _load(status), numbers=3)
    yield _table("GPUs", ("GPU", "Busy", "Memory", "Temperature", "Power"), _gpus(status), numbers=4)
    yield _table("Sources", ("Source", "State", "Last good", "Took"), _sources(status), numbers=2)
    yield _table("Logs", ("File", "Server", "State", "Behind"), _files(status), numbers=1)
    yield _table("Channels", ("Channel", "Waiting", "Oldest"), _channels(status), numbers=2)
    yield _table("Silences", ("Silence", "Until", "By", "Why"), _silences(status))
    yield _table("Resolved lately", ("Incident", "Server", "Opened", "Lasted"), _resolved(status))


def _section(title: str, *content: Html) -> Html:
    return tag("section", tag("h2", title), *content)


def _table(title: str, columns: Sequence[str], rows: Sequence[Row], numbers: int = 0) -> Html:
    """A section with one table, nothing if it has no rows; the last `numbers` columns are numbers."""
    if not rows:
        return Html("")
    kinds = [""] * (len(columns) - numbers) + ["n"] * numbers
    head = tag("tr", *(tag("th", column, class_=kind) for column, kind in zip(columns, kinds, strict=True)))
    body = [
        tag(
            "tr",
            *(
                tag("td", tag("span", cell), data_label=column, class_=kind)
                for cell, column, kind in zip(row, columns, kinds, strict=True)
            ),
        )
        for row in rows
    ]
    return _section(title, tag("table", tag("thead", head), tag("tbody", *body)))


def _config(status: Status) -> Html:
    return joined(
        tag("h3", "The last reload was refused; the configuration before it is in force"),
        tag("p", status.config.error or ABSENT),
    )


def _open(trouble: Trouble, now: float) -> Html:
    title = f"{trouble.title} on {trouble.server}" if trouble.server else trouble.title
    labels = "".join(f" · {name} {value}" for name, value in trouble.labels.items())
    seen = f" · seen {trouble.count} times" if trouble.count > 1 else ""
    facts = tag("p", tag("span", trouble.severity, class_="state"), f" · {trouble.rule}{labels}{seen}")
    since = tag("p", "for ", _ago(trouble.opened, now))
    more = [" ", tag("a", "Runbook", href=trouble.runbook)] if trouble.runbook else []
    advice = [tag("strong", "Do first: "), *_commands(trouble.advice), *more] if trouble.advice else []
    closer = [tag("strong", "Look closer: "), tag("code", f"vigil incidents show {trouble.key}")]
    lines = [tag("p", *line, class_="todo") for line in (advice, closer) if line]
    evidence = [tag("pre", "\n".join(trouble.evidence))] if trouble.evidence else []
    return tag("article", tag("h3", title), facts, since, *lines, *evidence, class_=trouble.severity)


def _commands(text: str) -> Iterable[str]:
    """Text in which what stands between backticks is to be typed."""
    for place, part in enumerate(text.split("`")):
        yield tag("code", part) if place % 2 else part


def _sources(status: Status) -> list[Row]:
    return [
        (
            f"{each.source} {each.server}".rstrip(),
            _state("up", "good") if each.up else joined(_state("down", "bad"), f" {each.error or ''}"),
            ABSENT if each.age_seconds is None else f"{span(each.age_seconds)} ago",
            span(each.duration_seconds),
        )
        for each in status.sources
    ]


def _engines(status: Status) -> list[Row]:
    return [
        (
            f"{each.server} {each.engine}".rstrip().replace(" ", NO_BREAK),
            each.model_name or ABSENT,
            _state(each.state.replace("_", " "), "good" if each.serving else "bad"),
            _ago(each.since, status.at),
            "; ".join(each.reasons) or ABSENT,
        )
        for each in status.engines
    ]


def _load(status: Status) -> list[Row]:
    return [
        (
            each.server,
            number(each.requests_running),
            number(each.requests_waiting),
            percent(each.kv_cache_usage_ratio),
        )
        for each in status.servers
    ]


def _gpus(status: Status) -> list[Row]:
    return [
        (
            f"{each.gpu} {each.name}".rstrip(),
            percent(each.utilization_ratio),
            f"{size(each.memory_used_bytes)} of {size(each.memory_total_bytes)}",
            number(each.temperature_celsius, "°C"),
            number(each.power_watts, "W"),
        )
        for each in status.gpus
    ]


def _files(status: Status) -> list[Row]:
    return [
        (
            each.file,
            each.server or ABSENT,
            _state("followed", "good") if each.readable else _state("cannot be read", "bad"),
            size(each.lag_bytes),
        )
        for each in status.files
    ]


def _channels(status: Status) -> list[Row]:
    return [(each.name, str(each.pending), span(each.oldest_seconds)) for each in status.channels]


def _silences(status: Status) -> list[Row]:
    return [
        (
            f"{each.id}: " + ", ".join(f"{name}={value}" for name, value in each.match.items()),
            moment(each.ends, status.at),
            each.author,
            each.comment or ABSENT,
        )
        for each in status.silences
    ]


def _resolved(status: Status) -> list[Row]:
    return [
        (
            joined(each.title, tag("span", f" {each.rule}", class_="soft")),
            each.server or ABSENT,
            moment(each.opened, status.at),
            ABSENT if each.resolved is None else span(each.resolved - each.opened),
        )
        for each in status.resolved
    ]


def _footer(status: Status) -> Html:
    config = f"configured by {status.config.path}" if status.config.path else "no configuration file"
    facts = f"vllm-vigil {status.version} · up {span(status.uptime_seconds)} · {config}"
    as_of = f" · as of {moment(status.at, status.at)}, anew every {REFRESH_SECONDS} s · "
    links = joined(tag("a", "metrics", href="/metrics"), " · ", tag("a", "JSON", href="/api/v1/status"))
    return tag("footer", facts, as_of, links)


def _state(text: str, tone: str) -> Html:
    return tag("span", text, class_=f"state {tone}")


def _ago(at: float, now: float) -> Html:
    shown = moment(at, now)
    whole = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    return joined(f"{span(max(1.0, now - at))}, ", tag("time", f"since {shown}", datetime=whole))
