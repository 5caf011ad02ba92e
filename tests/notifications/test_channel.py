"""One attempt through Apprise's own plugins, against servers that behave as providers do, well and badly."""

from __future__ import annotations

import importlib
import io
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from standins.channels import (
    DISCORD,
    DISCORD_HOST,
    LOCAL_HOST,
    PAGERDUTY,
    PAGERDUTY_HOST,
    SLACK,
    SLACK_HOST,
    TELEGRAM,
    TELEGRAM_HOST,
    Behaviour,
    Channels,
)
from standins.mail import Mail
from standins.notices import Incidents
from vllm_vigil.errors import ConfigError
from vllm_vigil.model import Notification, Outcome, Reason, Severity
from vllm_vigil.notifications.channel import PLUGINS, Attempt, Channel, check_version, classify, short_key, understands
from vllm_vigil.notifications.message import Kind, Message, Style, compose
from vllm_vigil.units import Secret

MESSAGE = Message("CRITICAL: CUDA out of memory on llama", "Rule cuda_oom\nKey k, attempt 1", Kind.FAILURE)
RECOVERED = Message("RESOLVED: CUDA out of memory on llama", "Lasted 12m", Kind.SUCCESS)
HOSTILE = (
    "<!channel> <@U123> @everyone @here <@&9> <https://evil.example|Grafana> [x](http://evil.example) `code` "
    "\x1b[31m \u202e \x00 \ud800 <script> &amp; token=c4n4ryXq7 **b**"
)
CANARIES = ("TIiajkdnlazkcOXrIdevi7FQ", "u1yN9xKEYc4n4ryXq7Ab", "0123456789abcdef0123456789abcdef", "c4n4ry")

# Each behaviour, and what an attempt at Slack and at any of the others is then said to be. Slack confirms with "ok" in
# the body; the others by status alone, so that a page of HTML under 200 passes for a confirmation.
DELIVERED, RETRY, PERMANENT = Outcome.DELIVERED, Outcome.RETRY, Outcome.PERMANENT
OUTCOMES: dict[Behaviour | int, tuple[Outcome, Outcome]] = {
    Behaviour.ACCEPT: (DELIVERED, DELIVERED),
    Behaviour.GARBAGE: (RETRY, DELIVERED),
    Behaviour.NO_HTTP: (RETRY, RETRY),
    Behaviour.CUT: (RETRY, RETRY),
    Behaviour.CLOSE: (RETRY, RETRY),
    Behaviour.HANG: (RETRY, RETRY),  # the channel's own read timeout: no code
    **dict.fromkeys((302, 307, 408, 425, 429, 500, 502, 503, 504), (RETRY, RETRY)),
    **dict.fromkeys((400, 401, 403, 404, 410, 422), (PERMANENT, PERMANENT)),
}


@pytest.fixture
def root_log() -> Iterator[io.StringIO]:
    """Everything that the standard library's log lets through at its most talkative."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.parametrize("behaviour", OUTCOMES)
def test_each_behaviour_of_a_provider_has_its_outcome(channels: Channels, behaviour: Behaviour | int) -> None:
    """What a provider does decides between delivered, later and never, and says so without address or key."""
    providers = {
        SLACK: SLACK_HOST,
        PAGERDUTY: PAGERDUTY_HOST,
        DISCORD: DISCORD_HOST,
        TELEGRAM: TELEGRAM_HOST,
        channels.webhook: LOCAL_HOST,
        channels.ntfy: LOCAL_HOST,
    }
    for url, host in providers.items():
        expected = OUTCOMES[behaviour][url != SLACK]
        channels.answer(host, behaviour)
        before = len(channels.received(host))
        patience = 1.0 if behaviour in (Behaviour.HANG, Behaviour.DRIP) else 30.0
        attempt = Channel("c", Secret(url), read_seconds=patience).send(MESSAGE, "k")
        assert expected == attempt.outcome
        assert not any(canary in attempt.detail for canary in CANARIES)
        if isinstance(behaviour, int):
            assert str(behaviour) in attempt.detail
        tries = 2 if (host, behaviour) == (DISCORD_HOST, 429) else 1  # its plugin tries once more by itself
        assert tries == len(channels.received(host)) - before


def test_a_redirect_is_not_followed(channels: Channels) -> None:
    """Neither the body nor the key of a channel goes to where a 302 or 307 points."""
    for status in (302, 307):
        channels.answer(PAGERDUTY_HOST, status)
        Channel("p", Secret(PAGERDUTY)).send(MESSAGE, "k")
    assert not channels.received(LOCAL_HOST)


def test_nobody_there_is_for_later() -> None:
    """A refused connection is tried again."""
    with socket.create_server((LOCAL_HOST, 0)) as bound:
        port = bound.getsockname()[1]
    attempt = Channel("c", Secret(f"json://{LOCAL_HOST}:{port}/")).send(MESSAGE, "k")
    assert Attempt(RETRY, "no HTTP answer: not reached, timed out or cut off", answered=False) == attempt


def test_slack_gets_the_words_and_no_markup(channels: Channels) -> None:
    """Slack is told to take the text as text, with our title and lines."""
    Channel("s", Secret(SLACK)).send(MESSAGE, "k")
    (request,) = channels.received(SLACK_HOST)
    (attachment,) = request.document["attachments"]
    assert request.path == "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert request.document["mrkdwn"] is False
    assert (MESSAGE.title, MESSAGE.body) == (attachment["title"], attachment["text"])


def test_pagerduty_opens_and_resolves_one_incident(channels: Channels) -> None:
    """Trigger and resolve carry the same key, and the severity is that of the kind."""
    for message in (MESSAGE, RECOVERED):
        Channel("p", Secret(f"{PAGERDUTY}?action=trigger&dedup=other")).send(message, "llama:cuda_oom:1")
    trigger, resolve = (request.document for request in channels.received(PAGERDUTY_HOST))
    assert [("trigger", "llama:cuda_oom:1"), ("resolve", "llama:cuda_oom:1")] == [
        (event["event_action"], event["dedup_key"]) for event in (trigger, resolve)
    ]


@pytest.mark.parametrize(
    ("kind", "severity"), [(Kind.FAILURE, "critical"), (Kind.WARNING, "warning"), (Kind.INFO, "info")]
)
def test_pagerduty_gets_the_severity(channels: Channels, kind: Kind, severity: str) -> None:
    """What we call critical, warning and info is called so there."""
    Channel("p", Secret(PAGERDUTY)).send(Message("t", "b", kind), "k")
    assert severity == channels.received(PAGERDUTY_HOST)[0].document["payload"]["severity"]


def test_pagerdutys_summary_keeps_its_limit(channels: Channels) -> None:
    """A long message is one event, cut at 1,024 characters, its first line whole."""
    Channel("p", Secret(PAGERDUTY)).send(Message("T" * 200, "b" * 1700, Kind.FAILURE), "k")
    (request,) = channels.received(PAGERDUTY_HOST)
    summary = request.document["payload"]["summary"]
    assert summary.startswith("T" * 200)
    assert len(summary) <= 1024


def test_hostile_text_arrives_inert(channels: Channels, incident: Incidents) -> None:
    """What a log says cannot mention, link, format or steer a terminal in any channel, and its secrets stay here."""
    hostile = incident(
        title=HOSTILE, rule=HOSTILE, server=HOSTILE, key=HOSTILE, labels=(("l", HOSTILE),), evidence=(HOSTILE,)
    )
    message = compose(Notification("c", Reason.FIRST, hostile), hostile.updated, Style(evidence=True))
    for url in (SLACK, PAGERDUTY, DISCORD, TELEGRAM, channels.webhook, channels.ntfy):
        assert Attempt(DELIVERED) == Channel("c", Secret(url)).send(message, hostile.key)
    assert {SLACK_HOST, PAGERDUTY_HOST, DISCORD_HOST, TELEGRAM_HOST, LOCAL_HOST} == {
        request.host for request in channels.received()
    }
    for request in channels.received():
        text = str(request.document).replace("\\u200b", "\u200b")
        for live in (
            "<!",
            "<@",
            "<http",
            "@everyone",
            "@here",
            "http://evil",
            "https://evil",
            "](",
            "<script",
            "`code",
        ):
            assert live not in text, request.host
        for raw in ("\x1b", "\u202e", "\x00", "\\x1b", "\\x00", "\\u202e", "c4n4ryXq7 "):
            assert raw not in text, request.host
        assert b"c4n4ryXq7" not in request.body.replace(b"u1yN9xKEYc4n4ryXq7Ab", b"")
        assert b"\\ud800" not in request.body.lower()
        assert "everyone" in text


def test_apprise_prints_no_address_and_no_text(
    channels: Channels, log: list[str], capfd: pytest.CaptureFixture[str], root_log: io.StringIO
) -> None:
    """Whatever goes wrong and however much is logged, no address and no key shows up anywhere."""
    for url, host in ((SLACK, SLACK_HOST), (PAGERDUTY, PAGERDUTY_HOST)):
        channels.answer(host, 401, Behaviour.CLOSE, Behaviour.ACCEPT)
        for _ in range(3):
            Channel("c", Secret(url)).send(MESSAGE, "k")
    understands(Secret("slack://c4n4ry/x"))
    understands(Secret("nonsense://c4n4ry"))
    printed = "".join([*capfd.readouterr(), root_log.getvalue(), *log])
    assert not printed


def test_a_send_leaves_no_thread_behind(channels: Channels) -> None:
    """Apprise runs in the caller's thread: a pool thread of its own would hold up the exit of the process."""
    before = set(threading.enumerate())
    channels.answer(SLACK_HOST, Behaviour.HANG)
    Channel("s", Secret(SLACK), read_seconds=0.2).send(MESSAGE, "k")
    new = [thread for thread in threading.enumerate() if thread not in before]
    assert all(thread.daemon for thread in new)
    assert not any("ThreadPool" in thread.name for thread in new)


def test_apprise_is_imported_late_and_little() -> None:
    """Without a channel Apprise is not imported, and for Slack and PagerDuty only their plugins are."""
    program = f"""
import sys
from vllm_vigil.notifications import channel, message, outbox, route, sender, settings
from vllm_vigil.units import Secret
assert not any(name.startswith("apprise") for name in sys.modules)
assert channel.understands(Secret({SLACK!r})) and channel.understands(Secret({PAGERDUTY!r}))
print(sorted(name for name in sys.modules if name.startswith("apprise.plugins.")))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = "['apprise.plugins.base', 'apprise.plugins.pagerduty', 'apprise.plugins.slack']\n"
    assert expected == done.stdout


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (SLACK, True),
        (PAGERDUTY, True),
        (DISCORD, True),
        ("json://127.0.0.1:1/x", True),
        ("gotify://host/token", True),  # none of our table: Apprise finds it
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", True),
        ("slack://one/two", False),
        ("pagerduty://only-one", False),
        ("nonsense://x", False),
        ("nothing", False),
        ("", False),
        ("json://[::1", False),
    ],
)
def test_an_address_is_understood_or_not(url: str, *, expected: bool) -> None:
    """A bad address is known before there is anything to send."""
    assert expected == understands(Secret(url))


def test_every_scheme_of_the_table_is_apprises() -> None:
    """The modules and classes that the table names exist, and claim the scheme."""
    for scheme, (module, name) in PLUGINS.items():
        kind = getattr(importlib.import_module(f"apprise.plugins.{module}"), name)
        assert scheme in (kind.protocol, kind.secure_protocol) or scheme in (kind.secure_protocol or ())


def test_a_bad_address_fails_for_good(channels: Channels) -> None:
    """An address that stopped being one is refused without a request."""
    attempt = Channel("c", Secret("slack://c4n4ry")).send(MESSAGE, "k")
    assert Attempt(PERMANENT, "Apprise does not understand the address of this channel") == attempt
    assert not channels.received()


def test_the_last_status_counts() -> None:
    """A plugin may report several; without any there was no HTTP answer."""
    assert RETRY == classify(["x error=401.", "Failed: Internal Server Error, error=503."]).outcome
    assert RETRY == classify([]).outcome
    assert PERMANENT == classify(["Failed to send: error=404."]).outcome


def test_keys_fit_every_provider() -> None:
    """A plain key is itself; a long or odd one is its hash, the same each time."""
    assert short_key("llama:cuda_oom:1780000000") == "llama:cuda_oom:1780000000"
    for odd in ("x" * 256, "a b", "a&b=c", "키", "\ud800"):
        assert len(short_key(odd)) == 64
        assert short_key(odd) == short_key(odd)
    assert short_key("a b") != short_key("a c")


@pytest.mark.parametrize("version", ["1.2.0", "2.0.9", "0.9"])
def test_an_old_apprise_is_refused(version: str) -> None:
    """Debian's Apprise sends but never resolves: better not to start."""
    with pytest.raises(ConfigError, match="version 2"):
        check_version(version)


@pytest.mark.parametrize("version", ["2.1", "2.1.0", "2.2.0", "2.10.1", "3.0.0rc1"])
def test_a_newer_apprise_is_taken(version: str) -> None:
    """From 2.1 on."""
    check_version(version)


def test_severities_have_kinds(incident: Incidents) -> None:
    """Every severity and reason is one of Apprise's notify types."""
    for severity in Severity:
        for reason in Reason:
            made = incident(severity=severity)
            assert compose(Notification("c", reason, made), 0.0, Style()).kind in Kind


def test_pagerduty_gets_numbers_and_link_in_fields_and_every_change_under_one_key(
    channels: Channels, incident: Incidents
) -> None:
    """Trigger, update and resolve; what a label says arrives as it is, and changes no other field."""
    made = incident(labels=(("phase", "a&severity=info %41+ü"),))
    style = Style(runbook=lambda rule: f"https://docs.example/{rule}?a=1&b=%20")
    for reason in (Reason.FIRST, Reason.MORE, Reason.RESOLVED):
        row = Notification("c", reason, made, facts=(("kv_cache", "99 %"),))
        assert Attempt(DELIVERED) == Channel("c", Secret(PAGERDUTY)).send(compose(row, 0.0, style), made.key)
    events = [request.document for request in channels.received(PAGERDUTY_HOST)]
    assert ["trigger", "trigger", "resolve"] == [event["event_action"] for event in events]
    assert {made.key} == {event["dedup_key"] for event in events}
    payload = events[0]["payload"]
    assert payload["severity"] == "critical"
    assert payload["custom_details"]["phase"] == "a&severity=info %41+ü"
    assert payload["custom_details"]["kv_cache"] == "99 %"
    assert events[0]["links"] == [{"href": "https://docs.example/cuda_oom?a=1&b=%20"}]


@pytest.mark.parametrize(
    ("url", "source"), [(PAGERDUTY, "llama"), (f"{PAGERDUTY}?source=gpu-box", "gpu-box"), (f"{PAGERDUTY}/mine", "mine")]
)
def test_pagerdutys_source_is_the_server(channels: Channels, incident: Incidents, url: str, source: str) -> None:
    """Unless the address names one."""
    row = Notification("c", Reason.FIRST, incident())
    assert Attempt(DELIVERED) == Channel("c", Secret(url)).send(compose(row, 0.0, Style()), "k")
    assert source == channels.received(PAGERDUTY_HOST)[0].document["payload"]["source"]


@pytest.mark.parametrize("url", [SLACK, PAGERDUTY, DISCORD])
def test_what_would_be_sent_can_be_told_without_sending(channels: Channels, incident: Incidents, url: str) -> None:
    """The whole text and every field, and no secret of the address."""
    message = compose(Notification("c", Reason.FIRST, incident()), 0.0, Style(page_url="https://vigil.example/"))
    told = Channel("c", Secret(url)).explain(message, "k")
    assert (message.title, message.body) == (told["title"], told["body"])
    assert ("key" in told) == (url == PAGERDUTY)
    assert not any(canary in str(told) for canary in CANARIES)
    assert channels.received() == []


def test_after_too_many_requests_the_channel_is_left_alone() -> None:
    """Apprise hides for how long; half a minute is what most ask for."""
    assert [30.0, 0.0] == [classify([f"error={code}"]).wait_seconds for code in (429, 503)]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("250 OK", DELIVERED),
        ("451 try again later", RETRY),
        ("550 no such user", RETRY),  # Apprise does not show SMTP's codes
        ("", RETRY),
        (None, RETRY),
    ],
)
def test_each_behaviour_of_a_mail_server_has_its_outcome(reply: str | None, expected: Outcome) -> None:
    """A real SMTP server takes the mail, refuses it, hangs up or says nothing."""
    with Mail() as mail:
        mail.handler.reply = reply
        patience = 1.0 if reply is None else 30.0
        assert expected == Channel("c", Secret(mail.url), read_seconds=patience).send(MESSAGE, "k").outcome
        (sent,) = mail.handler.mails
    assert sent["Subject"] == MESSAGE.title


def test_hostile_text_arrives_inert_by_mail(incident: Incidents) -> None:
    """As plain text alone: nothing that a mail reader would run, load or link; the subject stays one header."""
    hostile = incident(title=HOSTILE + "\r\nBcc: x@example.com", evidence=(HOSTILE,))
    with Mail() as mail:
        message = compose(Notification("c", Reason.FIRST, hostile), hostile.updated, Style(evidence=True))
        assert Attempt(DELIVERED) == Channel("c", Secret(mail.url)).send(message, "k")
        (sent,) = mail.handler.mails
    assert sent["Bcc"] is None
    assert {"text/plain"} == {part.get_content_type() for part in sent.walk() if not part.is_multipart()}
    text = str(sent["Subject"]) + "".join(part.get_content() for part in sent.walk() if not part.is_multipart())
    assert not any(live in text for live in ("<script", "https://evil", "http://evil", "\x1b", "\u202e", "c4n4ryXq7"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A file to attach."""
    path = tmp_path / "chart.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"pixels" * 100)
    return path


def test_a_picture_goes_with_the_message_where_the_service_takes_one(channels: Channels, picture: Path) -> None:
    """A webhook of JSON gets it in the document; PagerDuty and a webhook of Slack's get the words alone."""
    message = replace(MESSAGE, picture=picture)
    webhook = Channel("hook", Secret(channels.webhook))
    assert webhook.takes_pictures
    assert webhook.send(message, "k").outcome is DELIVERED
    (sent,) = channels.received(LOCAL_HOST)
    assert [each["filename"] for each in sent.document["attachments"]] == ["chart.png"]
    for url, host in ((PAGERDUTY, PAGERDUTY_HOST), (SLACK, SLACK_HOST)):
        channel = Channel("c", Secret(url))
        assert not channel.takes_pictures
        assert channel.send(message, "k").outcome is DELIVERED
        assert len(channels.received(host)) == 1


def test_a_picture_that_is_refused_costs_neither_the_page_nor_the_next(channels: Channels, picture: Path) -> None:
    """Discord takes the words and not the file: once more without it at once, and never a file again."""
    channels.answer(DISCORD_HOST, Behaviour.ACCEPT, 413, Behaviour.ACCEPT)
    channel = Channel("discord", Secret(DISCORD))
    assert channel.takes_pictures
    assert channel.send(replace(MESSAGE, picture=picture), "k").outcome is DELIVERED
    assert len(channels.received(DISCORD_HOST)) == 3
    assert not channel.takes_pictures
    assert channel.send(replace(MESSAGE, picture=picture), "k").outcome is DELIVERED
    assert len(channels.received(DISCORD_HOST)) == 4


def test_a_service_that_is_away_is_asked_once(channels: Channels, picture: Path) -> None:
    """What does not answer has refused no picture; and a file that is gone by now is none."""
    channels.answer(DISCORD_HOST, Behaviour.CLOSE)
    channel = Channel("discord", Secret(DISCORD))
    assert channel.send(replace(MESSAGE, picture=picture), "k").outcome is RETRY
    assert channel.takes_pictures
    channels.answer(DISCORD_HOST, Behaviour.ACCEPT)
    picture.unlink()
    before = len(channels.received(DISCORD_HOST))
    assert channel.send(replace(MESSAGE, picture=picture), "k").outcome is DELIVERED
    assert len(channels.received(DISCORD_HOST)) == before + 1
