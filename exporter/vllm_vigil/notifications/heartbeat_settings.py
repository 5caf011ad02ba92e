"""`heartbeat:` -> the address of the dead man's switch, which is a secret, and how often it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from vllm_vigil.units import Seconds, Secret


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """The address that is asked on every interval, as Healthchecks or an uptime monitor gives it; none without it."""

    url: Secret | None = None
    interval: Seconds = Seconds(60.0)
    timeout: Seconds = Seconds(10.0)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, without a letter of the address."""
        if self.url is not None and not _usable(self.url.reveal()):
            yield "url", "must be an address that begins with http:// or https:// (not shown, it is a secret)"
        if self.interval < 1:
            yield "interval", "must be 1s or more"
        if self.timeout <= 0:
            yield "timeout", "must be more than 0s"


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and url.split() == [url]
    except ValueError:  # a port that is no number, half an IPv6 address, a part of a name with more than 63 letters
        return False
