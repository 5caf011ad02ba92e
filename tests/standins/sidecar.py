"""A sidecar whose facts a test sets, in the shape that the HTTP side asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from vllm_vigil.exposition.status import Channel, Config, File, Source
from vllm_vigil.model import EngineHealth, Incident, Silence, Snapshot

NOW = 1_780_000_000.0


@dataclass
class StandInSidecar:
    """Holds the answers as fields; `reloads` counts how often it was asked to reload."""

    started: float = NOW - 7_500
    heartbeat: float = 0.5
    missing_parts: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ("llama",)
    series: Snapshot = field(default_factory=Snapshot)
    health: tuple[EngineHealth, ...] = ()
    serving: Mapping[str, float | None] = field(default_factory=dict)
    open: tuple[Incident, ...] = ()
    resolved: tuple[Incident, ...] = ()
    source_facts: tuple[Source, ...] = ()
    file_facts: tuple[File, ...] = ()
    channel_facts: tuple[Channel, ...] = ()
    silence_facts: tuple[Silence, ...] = ()
    config_facts: Config = field(default_factory=Config)
    reload_error: str | None = None
    reloads: int = 0

    def now(self) -> float:
        """The time, which stands still."""
        return NOW

    def heartbeat_seconds(self) -> float:
        """As set."""
        return self.heartbeat

    def missing(self) -> Sequence[str]:
        """As set."""
        return self.missing_parts

    def servers(self) -> Sequence[str]:
        """As set."""
        return self.server_names

    def snapshot(self) -> Snapshot:
        """As set."""
        return self.series

    def engines(self) -> Sequence[EngineHealth]:
        """As set."""
        return self.health

    def serving_since(self) -> Mapping[str, float | None]:
        """As set."""
        return self.serving

    def open_incidents(self) -> Sequence[Incident]:
        """As set."""
        return self.open

    def resolved_incidents(self) -> Sequence[Incident]:
        """As set."""
        return self.resolved

    def advice(self, rule: str) -> str:
        """A sentence that names the rule."""
        return f"Look at the runbook of {rule}."

    def runbook(self, rule: str) -> str:
        """A page of the site's own."""
        return f"https://docs.example/{quote(rule)}"

    def sources(self) -> Sequence[Source]:
        """As set."""
        return self.source_facts

    def files(self) -> Sequence[File]:
        """As set."""
        return self.file_facts

    def channels(self) -> Sequence[Channel]:
        """As set."""
        return self.channel_facts

    def silences(self) -> Sequence[Silence]:
        """As set."""
        return self.silence_facts

    def config(self) -> Config:
        """As set."""
        return self.config_facts

    async def reload(self) -> str | None:
        """Count it, and answer as set."""
        self.reloads += 1
        return self.reload_error
