"""The one model of the configuration, composed of the Settings that each part declares beside itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vllm_vigil.events.pattern import PatternSettings
from vllm_vigil.events.times import zone
from vllm_vigil.exposition.listen import WebSettings
from vllm_vigil.incidents.rules import RULES, RuleSettings
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.notifications.heartbeat_settings import HeartbeatSettings
from vllm_vigil.notifications.push_settings import PushSettings
from vllm_vigil.notifications.settings import NotifySettings
from vllm_vigil.probe.settings import ProbeSettings
from vllm_vigil.recorder.settings import RecorderSettings
from vllm_vigil.sources.settings import GpuSettings, HostSettings, VllmSettings
from vllm_vigil.units import Seconds, Secret
from vllm_vigil.verdict.settings import VerdictSettings
from vllm_vigil.verdict.watch_settings import WatchSettings

MIN_TOKEN = 16
_ROW_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}")


class OutputFormat(StrEnum):
    """How we write our own log: for a person, as JSON, or as the place asks for."""

    AUTO = "auto"
    HUMAN = "human"
    JSON = "json"
    JOURNAL = "journal"


class Level(StrEnum):
    """The lowest level of our own log that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class OutputSettings:
    """Our own log, on standard error."""

    level: Level = Level.INFO
    format: OutputFormat = OutputFormat.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings(VllmSettings):
    """One vLLM server: how to ask it, where it writes its logs, and whether it is asked for a token."""

    logs: tuple[LogSettings, ...] = ()
    probe: ProbeSettings = field(default_factory=ProbeSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerSettings(PushSettings):
    """Alertmanager both ways: whom we push to, and who may tell us. Without a token nobody may."""

    webhook_token: Secret | None = None
    expire_after: Seconds = Seconds(5 * 3600.0)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used."""
        yield from PushSettings.problems(self)
        token = self.webhook_token.reveal() if self.webhook_token is not None else None
        if token is not None and not (token.isascii() and token.isprintable() and len(token) >= MIN_TOKEN):
            yield (
                "webhook_token",
                f"must be of at least {MIN_TOKEN} ASCII characters, such as `openssl rand -hex 16` gives",
            )
        if self.expire_after <= 0:
            yield "expire_after", "must be more than 0s, and longer than Alertmanager's repeat_interval"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """Rules and patterns alone, as a file of them may hold (`vigil replay --rules`)."""

    rules: Mapping[str, RuleSettings] = field(default_factory=dict)
    patterns: Mapping[str, PatternSettings] = field(default_factory=dict)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Patterns that name no rule."""
        for id_, pattern in self.patterns.items():
            if pattern.rule and pattern.rule not in RULES and pattern.rule not in self.rules:
                yield f"patterns.{id_}.rule", f"there is no rule {pattern.rule!r}; built in are {', '.join(RULES)}"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Every key has a default, so that an empty file is a good one."""

    vllm: tuple[ServerSettings, ...] = (ServerSettings(),)
    gpu: GpuSettings = field(default_factory=GpuSettings)
    host: HostSettings = field(default_factory=HostSettings)
    verdict: VerdictSettings = field(default_factory=VerdictSettings)
    web: WebSettings = field(default_factory=WebSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    alertmanager: AlertmanagerSettings = field(default_factory=AlertmanagerSettings)
    heartbeat: HeartbeatSettings = field(default_factory=HeartbeatSettings)
    recorder: RecorderSettings = field(default_factory=RecorderSettings)
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)
    patterns: Mapping[str, PatternSettings] = field(default_factory=dict)
    watch: Mapping[str, WatchSettings] = field(default_factory=dict)
    zone: str = "local"
    state_dir: Path | None = None
    log: OutputSettings = field(default_factory=OutputSettings)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What no part can see alone: servers of one name, patterns that name no rule."""
        seen: set[str] = set()
        for server in self.vllm:
            if server.server in seen:
                yield "vllm", f"two servers are called {server.server!r}; give each a name of its own"
            seen.add(server.server)
        try:
            zone(self.zone)
        except ValueError as error:
            yield "zone", str(error)
        yield from RuleFile(self.rules, self.patterns).problems()
        yield from self._watch_problems(seen)

    def _watch_problems(self, servers: Collection[str]) -> Iterator[tuple[str, str]]:
        """Rows that are called as a rule is, or are of a server that is none."""
        for name, row in self.watch.items():
            if not _ROW_NAME.fullmatch(name):
                yield f"watch.{name}", "its name is a rule's id: letters, digits and _, a letter first"
            if name in RULES or name in self.rules:
                yield f"watch.{name}", "there is a rule of that name; give the row another"
            server = row.labels.get("server")
            if server is not None and server not in servers:
                yield f"watch.{name}.labels.server", f"there is no server {server!r}; known: {', '.join(servers)}"
