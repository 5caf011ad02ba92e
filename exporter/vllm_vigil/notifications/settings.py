"""The `notify` section: channels, and which of them hears what.

A channel's address is a secret: no message here shows more of it than its scheme.
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vllm_vigil.model import Severity
from vllm_vigil.notifications.channel import understands
from vllm_vigil.notifications.wording import Language
from vllm_vigil.units import Seconds, Secret

MATCH_KEYS = ("severity", "rule", "server")
HOUR = 3600.0
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_LINK = re.compile(r"https?://[^\s<>\"]{1,300}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://")


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """One place where messages go, as an Apprise address. `budget` is the number of messages an hour.

    What comes beyond that goes into a digest every ten minutes; critical pages are not counted, but the sixth of a
    server within the hour goes into a digest too, which is then sent within a minute.
    """

    url: Secret
    budget: int = 30

    def problems(self) -> Iterator[tuple[str, str]]:
        """An address that Apprise cannot use is found at start, not at the first page."""
        if self.budget < 1:
            yield "budget", "a channel that may send nothing is no channel: write 1 or more messages an hour"
        if understands(self.url):
            return
        scheme = _SCHEME.match(self.url.reveal())
        if scheme is None:
            yield "url", "this is no Apprise address: it begins with a scheme, such as slack:// or pagerduty://"
        else:
            yield (
                "url",
                (
                    f"Apprise does not understand this {scheme[1]}:// address (not shown, it is a secret): "
                    f"compare it with the form that https://appriseit.com/services/ gives for {scheme[1]}"
                ),
            )


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """Which incidents go to which channels. `match` names severity, rule or server; all that it names must agree.

    `repeat` is how often an incident that stays open is told again; without it by severity (30m, 2h, 24h). `fallback`
    are the channels that a critical page goes to, one after the other, when no channel of the route has taken it
    within `notify.failover`; without it all others that are configured, and `[]` means none.
    """

    to: tuple[str, ...] = ()
    match: Mapping[str, str] = field(default_factory=dict)
    repeat: Seconds | None = None
    also: bool = False
    fallback: tuple[str, ...] | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """A route that can never match, or leads nowhere, is a page that nobody gets."""
        if not self.to:
            yield "to", "a route needs at least one channel: write the names of channels, such as [slack]"
        for key in self.match:
            if key not in MATCH_KEYS:
                yield f"match.{key}", f"a route matches on {', '.join(MATCH_KEYS)}{_nearest(key, MATCH_KEYS)}"
        severity = self.match.get("severity")
        if severity is not None and severity not in list(Severity):
            yield "match.severity", f"{severity!r} is no severity: write one of {', '.join(Severity)}"
        if self.repeat is not None and self.repeat < 60:
            yield "repeat", "an incident is told again at most once a minute: write 1m or more"


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """A time of planned work, every week: what `match` agrees with is recorded and told to nobody.

    `start` and `end` are times of day in `zone`; `days` are those on which it begins, all without them. `match` may
    name severity, rule, server or a label of the incident; empty, it agrees with everything.
    """

    start: str = "00:00"
    end: str = "00:00"
    days: tuple[str, ...] = ()
    zone: str = "UTC"
    match: Mapping[str, str] = field(default_factory=dict)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Times, days and zones that are none."""
        for name, value in (("start", self.start), ("end", self.end)):
            if not _TIME.fullmatch(value):
                yield name, f'{value!r} is no time of day: write it as "22:30"'
        for day in self.days:
            if day not in DAYS:
                yield "days", f"{day!r} is no day: write {', '.join(DAYS)}{_nearest(day, DAYS)}"
        try:
            zoneinfo.ZoneInfo(self.zone)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            yield "zone", f"{self.zone!r} is no time zone of this system: write one such as UTC or Asia/Seoul"


def minutes_of(time: str) -> int:
    """Minutes since midnight of `22:30`."""
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


@dataclass(frozen=True, slots=True)
class ProofSettings:
    """A marked test on schedule, so that a dead channel is found before it is needed; off without `every`.

    `channels` are those that are tested, all without them.
    """

    every: Seconds | None = None
    channels: tuple[str, ...] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        """Tests that come so often that nobody reads them."""
        if self.every is not None and self.every < HOUR:
            yield "every", "a test more than once an hour is noise: write 1h or more, such as 24h"


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Channels by name, and the routes to them; without routes every channel hears everything.

    `evidence` sends the masked log lines too; without it messages hold the rule's words, labels and numbers only.
    `failover` is how long a critical page may wait before it goes to the fallback of its route. `runbook_url` is the
    address of the page on a rule, with `{rule}` where its id stands.
    """

    channels: Mapping[str, ChannelSettings] = field(default_factory=dict)
    routes: tuple[RouteSettings, ...] = ()
    evidence: bool = False
    language: Language = Language.EN
    failover: Seconds = Seconds(300.0)
    maintenance: tuple[WindowSettings, ...] = ()
    runbook_url: str | None = None
    proof: ProofSettings = field(default_factory=ProofSettings)

    def problems(self) -> Iterator[tuple[str, str]]:
        """A route to a channel that does not exist leads nowhere."""
        if self.failover < 10:
            yield "failover", "a page needs a few seconds to be delivered: write 10s or more"
        if self.runbook_url is not None and not _LINK.fullmatch(self.runbook_url):
            yield "runbook_url", "write an address that begins with http:// or https://, with {rule} for the rule's id"
        for name in self.proof.channels:
            if name not in self.channels:
                yield "proof.channels", f"there is no channel {name!r}{_nearest(name, tuple(self.channels))}"
        if self.proof.every is not None and not self.channels:
            yield "proof.every", "there is no channel to test: name one in channels"
        for index, route in enumerate(self.routes):
            for key, name in (
                *(("to", each) for each in route.to),
                *(("fallback", each) for each in route.fallback or ()),
            ):
                if name not in self.channels:
                    yield (
                        f"routes[{index}].{key}",
                        f"there is no channel {name!r}{_nearest(name, tuple(self.channels))}",
                    )


def _nearest(name: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {found[0]!r}?" if found else ""
