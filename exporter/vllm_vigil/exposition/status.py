"""The facts that people ask for -> one document, the same for `/api/v1/status` and the page.

`Sidecar` is what the HTTP side asks of the app; `observe` puts its answers together. Every text that comes from a log,
a label or an error is masked here, once, so that no reader of a `Status` has to think of it. Absent is null, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from vllm_vigil import __version__
from vllm_vigil.exposition.figures import GpuFigures, ServerFigures, gpu_figures, server_figures
from vllm_vigil.exposition.headline import Headline, headline
from vllm_vigil.model import SERVING_STATES, EngineHealth, Incident, Silence, Snapshot
from vllm_vigil.redact import mask

NAMED_FAMILIES = 100
"""Unknown families that are named; `vigil_source_unknown_families` counts them all."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source of samples: whether its last reading was good, and why not. `server` is "" for the host's own.

    Both times are None until there is something to time: `age_seconds` counts from the last good reading. `facts` is
    what it said beside numbers, such as why GPU memory cannot be attributed. Families that became no series are
    `unknown_families`; `blank` names the series of the contract that it does not feed, and why.
    """

    source: str
    server: str
    up: bool
    error: str | None = None
    age_seconds: float | None = None
    duration_seconds: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    unknown_families: tuple[str, ...] = ()
    blank: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """One followed log; `lag_bytes` wait to be judged, None if that is not known."""

    file: str
    server: str
    readable: bool
    lag_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel and what waits for it. Its URL is a secret and has no place here."""

    name: str
    pending: int
    oldest_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration in force: its file, None without one, and how the last reload (epoch seconds) went."""

    path: str | None = None
    reloaded: float | None = None
    successful: bool = True
    error: str | None = None


class Sidecar(Protocol):
    """What HTTP asks of the app. Every answer comes from memory, at once; only `reload` takes its time."""

    @property
    def started(self) -> float:
        """When the process began (epoch seconds)."""

    def now(self) -> float:
        """The time (epoch seconds)."""

    def heartbeat_seconds(self) -> float:
        """Time since the sampler last went round; before its first round, since it was started."""

    def missing(self) -> Sequence[str]:
        """The enabled parts that have not had their first tick, in words."""

    def servers(self) -> Sequence[str]:
        """The names of the configured vLLM servers."""

    def snapshot(self) -> Snapshot:
        """The series of the last tick; the same object until the next."""

    def engines(self) -> Sequence[EngineHealth]:
        """The verdict on every engine that is known."""

    def serving_since(self) -> Mapping[str, float | None]:
        """Since when each server serves without a break (epoch seconds); None for one that does not."""

    def open_incidents(self) -> Sequence[Incident]:
        """Those not resolved, oldest first."""

    def resolved_incidents(self) -> Sequence[Incident]:
        """The last few that were resolved, newest first."""

    def advice(self, rule: str) -> str:
        """What to do about an incident of that rule, "" if nothing is written."""

    def runbook(self, rule: str) -> str:
        """The address of the page about incidents of that rule, "" if there is none."""

    def sources(self) -> Sequence[Source]:
        """Every source that is asked."""

    def files(self) -> Sequence[File]:
        """Every log that is followed."""

    def channels(self) -> Sequence[Channel]:
        """Every channel that is told."""

    def silences(self) -> Sequence[Silence]:
        """The silences that hold, the first to end first."""

    def config(self) -> Config:
        """The configuration in force."""

    async def reload(self) -> str | None:
        """Read the configuration again; the error, in which case the last good one stays."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The verdict on one engine, and whether a request that comes now is answered."""

    server: str
    engine: str
    model_name: str
    state: str
    serving: bool
    since: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """One incident as people read it; `advice` says what to do: its `fix`, if one is known. Times in epoch seconds."""

    key: str
    rule: str
    server: str
    severity: str
    title: str
    opened: float
    updated: float
    resolved: float | None
    count: int
    labels: dict[str, str]
    evidence: tuple[str, ...]
    advice: str
    runbook: str
    fix: str


@dataclass(frozen=True, slots=True)
class Quiet:
    """Incidents that nobody is told of until `ends` (epoch seconds): those that agree with all of `match`."""

    id: int
    match: dict[str, str]
    begins: float
    ends: float
    author: str
    comment: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment, `at` (epoch seconds)."""

    version: str
    at: float
    started: float
    uptime_seconds: float
    headline: Headline
    config: Config
    open: tuple[Trouble, ...]
    resolved: tuple[Trouble, ...]
    engines: tuple[Engine, ...]
    servers: tuple[ServerFigures, ...]
    gpus: tuple[GpuFigures, ...]
    sources: tuple[Source, ...]
    files: tuple[File, ...]
    channels: tuple[Channel, ...]
    silences: tuple[Quiet, ...]

    def to_json(self) -> dict[str, Any]:
        """The document of `/api/v1/status`: the fields by name, the incidents under one key."""
        body = asdict(self)
        body["incidents"] = {"open": body.pop("open"), "resolved": body.pop("resolved")}
        return body


def observe(sidecar: Sidecar) -> Status:
    """Ask the app for everything, now."""
    now, snapshot, config = sidecar.now(), sidecar.snapshot(), sidecar.config()
    engines, incidents = sidecar.engines(), sidecar.open_incidents()
    return Status(
        version=__version__,
        at=now,
        started=sidecar.started,
        uptime_seconds=max(0.0, now - sidecar.started),
        headline=headline(sidecar.servers(), engines, incidents, sidecar.serving_since()),
        config=Config(config.path, config.reloaded, config.successful, _masked(config.error)),
        open=tuple(_trouble(incident, sidecar) for incident in incidents),
        resolved=tuple(_trouble(incident, sidecar) for incident in sidecar.resolved_incidents()),
        engines=tuple(_engine(health) for health in engines),
        servers=tuple(server_figures(snapshot, server) for server in sidecar.servers()),
        gpus=gpu_figures(snapshot),
        sources=tuple(_source(source) for source in sidecar.sources()),
        files=tuple(File(mask(each.file), each.server, each.readable, each.lag_bytes) for each in sidecar.files()),
        channels=tuple(sidecar.channels()),
        silences=tuple(_quiet(silence) for silence in sidecar.silences()),
    )


def _source(each: Source) -> Source:
    facts = {name: mask(text) for name, text in each.facts.items()}
    unknown = tuple(mask(name) for name in each.unknown_families[:NAMED_FAMILIES])
    return replace(each, error=_masked(each.error), facts=facts, unknown_families=unknown)


def _engine(health: EngineHealth) -> Engine:
    return Engine(
        health.server,
        mask(health.engine),
        mask(health.model_name),
        str(health.state),
        health.state in SERVING_STATES,
        health.since,
        tuple(mask(reason) for reason in health.reasons),
    )


def _trouble(incident: Incident, sidecar: Sidecar) -> Trouble:
    return Trouble(
        key=incident.key,
        rule=incident.rule,
        server=incident.server,
        severity=str(incident.severity),
        title=mask(incident.title),
        opened=incident.opened,
        updated=incident.updated,
        resolved=incident.resolved,
        count=incident.count,
        labels={name: mask(value) for name, value in incident.labels},
        evidence=tuple(mask(line) for line in incident.evidence),
        advice=mask(incident.fix) or sidecar.advice(incident.rule),
        runbook=sidecar.runbook(incident.rule),
        fix=mask(incident.fix),
    )


def _quiet(silence: Silence) -> Quiet:
    match = {mask(name): mask(value) for name, value in silence.match}
    return Quiet(silence.id, match, silence.begins, silence.ends, mask(silence.author), mask(silence.comment))


def _masked(text: str | None) -> str | None:
    return None if text is None else mask(text)
