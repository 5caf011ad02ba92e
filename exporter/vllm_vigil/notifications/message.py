"""A notification -> the message that a person reads on a phone at 3 a.m. Pure: plain text, no channel's markup.

First line: what, where, since when. Then the labels and the count, the numbers of the server, the first thing to do,
the command that tells more, links, and the key, by which the messages of one incident are known in a channel that has
no keys of its own.
Everything that came from a log, a label or a webhook is masked and defused here, once, whatever the channel; only the
links are live, and they come from the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from vllm_vigil.model import Incident, Notification, Reason, Severity
from vllm_vigil.notifications.wording import WORDS, Language
from vllm_vigil.redact import defuse, mask
from vllm_vigil.units import format_duration

TITLE_LIMIT = 230
"""Characters; the shortest limits are those of Discord's and Pushover's titles (256 and 250)."""
BODY_LIMIT = 1_700
"""Characters, so that title and body together fit Discord's 2,000; PagerDuty's 1,024 cut off evidence first."""
FACTS_LIMIT = 500
"""Characters of rule and labels, so that many labels do not push out what to do and the key."""
FIX_LIMIT = 300
OVER = frozenset({Reason.RESOLVED, Reason.PASSED})


class Kind(StrEnum):
    """What an incident service makes of the message; the values are Apprise's notify types."""

    FAILURE = "failure"  # critical
    WARNING = "warning"
    INFO = "info"
    SUCCESS = "success"  # resolves


KINDS = {Severity.CRITICAL: Kind.FAILURE, Severity.WARNING: Kind.WARNING, Severity.INFO: Kind.INFO}


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: one line, and the lines under it.

    `details` and `link` are for services with fields for them: the same numbers by name, and the runbook or page.
    `picture` is a file for services that take attachments.
    """

    title: str
    body: str
    kind: Kind
    details: tuple[tuple[str, str], ...] = ()
    link: str = ""
    picture: Path | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """How messages are written. `remedy` gives the first thing to do for a rule, `runbook` its page, "" if none.

    `evidence` adds the masked log lines. `page_url` is the address of our own page; without it there is no link.
    """

    remedy: Callable[[str], str] = lambda _rule: ""
    evidence: bool = False
    language: Language = Language.EN
    runbook: Callable[[str], str] = lambda _rule: ""
    page_url: str | None = None


def compose(notification: Notification, now: float, style: Style) -> Message:
    """Say it, as of `now` (epoch seconds)."""
    incident, words = notification.incident, WORDS[style.language]
    over = notification.reason in OVER
    links = [] if over else list(_links(notification, style))
    lines = [
        *_what(notification, now, words),
        _cut(", ".join(_numbers(notification, words)), FACTS_LIMIT),
        words["note"].format(note=_safe(notification.note, 300)) if notification.note else "",
        words["do"].format(remedy=first) if not over and (first := _first(incident, style)) else "",
        *([] if over else _closer(notification, words)),
        *(words[name].format(url=url) for name, url in links),
        words["key"].format(key=_safe(incident.key, 255), attempt=notification.attempts + 1),
    ]
    if style.evidence and not over and incident.evidence:
        lines += [words["log"], *(_safe(line, 300) for line in incident.evidence)]
    return Message(
        title=_cut(f"{_heading(notification, words)}: {_subject(notification, words)}", TITLE_LIMIT),
        body=_cut("\n".join(line for line in lines if line), BODY_LIMIT),
        kind=_kind(notification),
        details=tuple(_details(notification)),
        link=links[0][1] if links else "",
    )


def _heading(notification: Notification, words: Mapping[str, str]) -> str:
    severity = words[notification.incident.severity]
    return words[notification.reason].format(severity=severity)


def _first(incident: Incident, style: Style) -> str:
    """The line for just this incident, else what its rule says."""
    return _safe(incident.fix, FIX_LIMIT) or style.remedy(incident.rule)


def _kind(notification: Notification) -> Kind:
    if notification.reason in OVER or notification.incident.resolved is not None:
        return Kind.SUCCESS
    return Kind.INFO if notification.reason is Reason.TEST else KINDS[notification.incident.severity]


def _subject(notification: Notification, words: Mapping[str, str]) -> str:
    incident = notification.incident
    title = _safe(incident.title, 120)
    if notification.reason is Reason.DIGEST:
        title = words["many"].format(count=incident.count)
    subject = words["on"].format(title=title, server=_safe(incident.server, 50)) if incident.server else title
    if notification.reason in OVER:
        return words["after"].format(subject=subject, span=_lasted(incident))
    return words["since"].format(subject=subject, at=_clock(incident.opened))


def _what(notification: Notification, now: float, words: Mapping[str, str]) -> Iterable[str]:
    """The lines that say which rule, how long and how often."""
    incident = notification.incident
    if notification.reason is Reason.DIGEST:
        yield words["span"].format(at=_clock(incident.opened), span=_lasted(incident))
        yield from (f"{_safe(count, 20)} x {_safe(what, 150)}" for what, count in notification.facts)
        return
    pairs = (f"{_safe(name, 40)}={_safe(value, 80)}" for name, value in incident.labels)
    yield _cut(", ".join([words["rule"].format(rule=_safe(incident.rule, 80)), *pairs]), FACTS_LIMIT)
    times = words["once"] if incident.count == 1 else words["times"].format(count=incident.count)
    if incident.resolved is not None:
        yield words["lasted"].format(span=_lasted(incident), at=_clock(incident.opened), times=times)
    else:
        span = _span(now - incident.opened)
        yield words["open"].format(span=span, times=times, at=_clock(incident.updated))


def _numbers(notification: Notification, words: Mapping[str, str]) -> Iterable[str]:
    if notification.reason is Reason.DIGEST:
        return ()
    known = ((name, value) for name, value in notification.facts if name != "bundle")
    return (words.get(name, "{value}").format(value=_safe(value, 80)) for name, value in known)


def _links(notification: Notification, style: Style) -> Iterable[tuple[str, str]]:
    runbook = style.runbook(notification.incident.rule)
    if runbook and notification.reason not in (Reason.DIGEST, Reason.TEST):
        yield "runbook", runbook
    if style.page_url:
        yield "page", style.page_url


def _closer(notification: Notification, words: Mapping[str, str]) -> Iterable[str]:
    """The command that shows all that is known, and where that stands if it has been written by now."""
    if notification.reason not in (Reason.DIGEST, Reason.TEST):
        yield words["look"].format(key=_safe(notification.incident.key, 255))
    yield from (words["bundle"].format(path=_path(path)) for name, path in notification.facts if name == "bundle")


def _details(notification: Notification) -> Iterable[tuple[str, str]]:
    incident = notification.incident
    yield "rule", _safe(incident.rule, 80)
    yield "count", str(incident.count)
    yield "opened", _clock(incident.opened)
    if incident.server:
        yield "server", _safe(incident.server, 50)
    pairs = (*incident.labels, *notification.facts)[:20]
    yield from ((_safe(name, 40), _path(value) if name == "bundle" else _safe(value, 80)) for name, value in pairs)


def _lasted(incident: Incident) -> str:
    return _span((incident.resolved or incident.updated) - incident.opened)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(seconds: float) -> str:
    return format_duration(max(0, round(seconds)))


def _safe(text: str, limit: int) -> str:
    return defuse(mask(text, limit))


def _path(path: str) -> str:
    """A directory of ours: its name holds nothing to mask, and cut it would lead nowhere."""
    return defuse(path)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
