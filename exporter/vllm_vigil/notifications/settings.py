"""The `notify` section: channels, and which of them hears what.

A channel's address is a secret: no message here shows more of it than its scheme.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vllm_vigil.model import Severity
from vllm_vigil.notifications.channel import understands
from vllm_vigil.units import Seconds, Secret

MATCH_KEYS = ("severity", "rule", "server")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://")


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """One place where messages go, as an Apprise address."""

    url: Secret

    def problems(self) -> Iterator[tuple[str, str]]:
        """An address that Apprise cannot use is found at start, not at the first page."""
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

    `repeat` is how often an incident that stays open is told again; without it by severity (30m, 2h, 24h).
    """

    to: tuple[str, ...] = ()
    match: Mapping[str, str] = field(default_factory=dict)
    repeat: Seconds | None = None
    also: bool = False

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
class NotifySettings:
    """Channels by name, and the routes to them; without routes every channel hears everything.

    `evidence` sends the masked log lines too; without it messages hold the rule's words, labels and numbers only.
    """

    channels: Mapping[str, ChannelSettings] = field(default_factory=dict)
    routes: tuple[RouteSettings, ...] = ()
    evidence: bool = False

    def problems(self) -> Iterator[tuple[str, str]]:
        """A route to a channel that does not exist leads nowhere."""
        for index, route in enumerate(self.routes):
            for name in route.to:
                if name not in self.channels:
                    yield f"routes[{index}].to", f"there is no channel {name!r}{_nearest(name, tuple(self.channels))}"


def _nearest(name: str, known: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {found[0]!r}?" if found else ""
