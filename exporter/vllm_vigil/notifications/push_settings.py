"""`alertmanager:` -> where our incidents are pushed to, and how one logs in there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vllm_vigil.units import Seconds, Secret

PATH = "/api/v2/alerts"

Alert = dict[str, Any]
"""One alert as Alertmanager takes it."""


@dataclass(frozen=True, slots=True)
class PushSettings:
    """Where our incidents are pushed to: every member of the cluster, not a balancer in front of them."""

    urls: tuple[str, ...] = ()
    interval: Seconds = Seconds(30.0)
    timeout: Seconds = Seconds(10.0)
    bearer: Secret | None = None
    username: str = ""
    password: Secret | None = None
    ca_file: Path | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, as (field, message)."""
        members = []
        for index, url in enumerate(self.urls):
            problem = _url_problem(url)
            if problem:
                yield f"urls[{index}]", problem
            else:
                members.append(member_of(url))
        if len(set(members)) < len(members):
            yield "urls", "names a member twice"
        for name in ("interval", "timeout"):
            if getattr(self, name) <= 0:
                yield name, "must be more than 0s"
        if self.bearer is not None and (self.username or self.password is not None):
            yield "bearer", "would be sent beside username and password: give one of the two"
        if bool(self.username) != (self.password is not None):
            yield "username", "goes with password: give both or none"
        if self.bearer is not None and not (self.bearer.reveal().isascii() and self.bearer.reveal().isprintable()):
            yield "bearer", "holds characters that an HTTP header cannot carry"
        if self.ca_file is not None and not self.ca_file.is_file():
            yield "ca_file", f"there is no file {self.ca_file}"

    @property
    def lasts_seconds(self) -> float:
        """For how long an alert holds that is not sent again: as Prometheus does, four times its interval."""
        return 4 * self.interval


def member_of(url: str) -> str:
    """host:port, by which a member is known in metrics and in our log."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and url.split() == [url]
    except ValueError:  # a port that is no number, half an IPv6 address, a part of a name with more than 63 letters
        return "must be the address of an Alertmanager, such as http://127.0.0.1:9093"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user or password: use username and password_file"
    if not usable or parts.query or parts.fragment:
        return "must be the address of an Alertmanager, such as http://127.0.0.1:9093"
    return None if not parts.path.endswith(PATH) else f"must be given without {PATH}, which is added"
