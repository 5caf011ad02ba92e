"""The one model of the configuration, composed of the Settings that each part declares beside itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vllm_vigil.events.pattern import PatternSettings
from vllm_vigil.exposition.listen import WebSettings
from vllm_vigil.incidents.rules import RULES, RuleSettings
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.notifications.settings import NotifySettings
from vllm_vigil.sources.nvml import GpuSettings
from vllm_vigil.sources.vllm import VllmSettings


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
    """One vLLM server: how to ask it, and where it writes its logs."""

    logs: tuple[LogSettings, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set. Every key has a default, so that an empty file is a good one."""

    vllm: tuple[ServerSettings, ...] = (ServerSettings(),)
    gpu: GpuSettings = field(default_factory=GpuSettings)
    web: WebSettings = field(default_factory=WebSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    rules: Mapping[str, RuleSettings] = field(default_factory=dict)
    patterns: Mapping[str, PatternSettings] = field(default_factory=dict)
    state_dir: Path | None = None
    log: OutputSettings = field(default_factory=OutputSettings)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What no part can see alone: servers of one name, patterns that name no rule."""
        seen: set[str] = set()
        for server in self.vllm:
            if server.server in seen:
                yield "vllm", f"two servers are called {server.server!r}; give each a name of its own"
            seen.add(server.server)
        for id_, pattern in self.patterns.items():
            if pattern.rule and pattern.rule not in RULES and pattern.rule not in self.rules:
                yield f"patterns.{id_}.rule", f"there is no rule {pattern.rule!r}; built in are {', '.join(RULES)}"
