"""Facts about ourselves -> the second registry on /metrics. One method per fact; counters are born at 0.

A part that has something to report is given the one `Telemetry` and calls a method named after the fact, so that the
name of a metric stands in one place and the code that reports it reads as prose.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable

from prometheus_client import CollectorRegistry

from vllm_vigil import __version__
from vllm_vigil.clock import Clock
from vllm_vigil.model import Incident, Outcome, Point, Reading, Series, Snapshot, labels
from vllm_vigil.tally import Counter, Gauge


class Telemetry:
    """The sidecar's own metrics."""

    def __init__(self, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self.families: list[Counter | Gauge] = []
        self._clock = clock
        self._read_at: dict[tuple[str, str], float] = {}
        self._build = self._gauge(
            "vigil_build_info", "Version of vllm-vigil and of Python; always 1.", "version", "python"
        )
        self._build.labels(__version__, platform.python_version()).set(1)
        self._up = self._gauge(
            "vigil_source_up", "Whether the last reading of the source was good.", "source", "server"
        )
        self._age = self._gauge(
            "vigil_source_age_seconds", "Time since the last good reading of the source.", "source", "server"
        )
        self._duration = self._gauge(
            "vigil_source_duration_seconds", "How long the last reading of the source took.", "source", "server"
        )
        self._unknown = self._gauge(
            "vigil_source_unknown_families",
            "Families of the source that no series is made of; /api/v1/status names them.",
            "source",
            "server",
        )
        self._reload = self._gauge(
            "vigil_config_last_reload_successful",
            "Whether the configuration in force is the one in the file; 0 after a bad reload.",
        )
        self._reload.set(1)
        self._declare_logs()
        self._events = self._counter("vigil_log_events_total", "Log records that a pattern recognised.", "event")
        self._open = self._gauge("vigil_incidents_open", "Incidents open now.", "rule", "severity")
        self._incidents = self._counter("vigil_incidents_total", "Incidents opened.", "rule")
        self._state_writable = self._gauge(
            "vigil_state_writable",
            "Whether state reaches the disk; 0 while it is kept in memory, because the disk is full or read-only.",
        )
        self._state_writable.set(1)
        self._recordings = self._counter(
            "vigil_recordings_total", "Incidents whose last minutes were to be kept, by what became of it.", "outcome"
        )
        self._declare_channels()
        self._pushes = self._counter(
            "vigil_alertmanager_pushes_total",
            "Requests to a member of Alertmanager, by how they ended.",
            "member",
            "outcome",
        )
        self._told = self._counter(
            "vigil_alertmanager_alerts_total", "Alerts that Alertmanager told of, by what became of them.", "outcome"
        )
        self._dropped = self._counter(
            "vigil_series_dropped_total", "Samples of a source that were not turned into series, by cause.", "cause"
        )

    def _declare_channels(self) -> None:
        self._pending = self._gauge("vigil_outbox_pending", "Notifications waiting to be delivered.", "channel")
        self._oldest = self._gauge(
            "vigil_outbox_oldest_seconds", "Age of the oldest notification waiting; 0 when none waits.", "channel"
        )
        self._breaker = self._gauge(
            "vigil_channel_breaker_open", "Whether the channel is left alone because it keeps failing.", "channel"
        )
        self._succeeded = self._gauge(
            "vigil_channel_last_success_timestamp_seconds",
            "When the channel last took a notification of any kind; 0 if that was not in the last 30 days.",
            "channel",
        )
        self._proven = self._gauge(
            "vigil_channel_proof_interval_seconds",
            "How often the channel is sent a test by itself; absent without `notify.proof`.",
            "channel",
        )
        self._heartbeats = self._counter(
            "vigil_heartbeats_total", "Heartbeats to the dead man's switch, by how they ended.", "outcome"
        )
        self._deliveries = self._counter(
            "vigil_deliveries_total", "Attempts at delivery, by how they ended.", "channel", "outcome"
        )

    def _declare_logs(self) -> None:
        self._lines = self._counter("vigil_log_lines_total", "Log lines read, by level.", "file", "level")
        self._lag = self._gauge("vigil_log_lag_bytes", "Bytes written to the file and not yet judged.", "file")
        self._lag_seconds = self._gauge(
            "vigil_log_lag_seconds", "For how long the oldest byte of the file waits to be judged; 0 if none.", "file"
        )
        self._lost = self._counter(
            "vigil_log_lost_bytes_total", "Bytes of the file that may not have been read, by cause.", "file", "cause"
        )
        self._file_up = self._gauge("vigil_log_readable", "Whether the followed path can be read now.", "file")

    # --- sources and series

    def source_expected(self, source: str, server: str) -> None:
        """A source that will be asked is down until it has answered."""
        self._up.labels(source, server).set(0)

    def source_read(self, reading: Reading) -> None:
        """A source was asked; from its last good answer on it ages."""
        key = (reading.source, reading.server)
        self._up.labels(*key).set(0 if reading.error else 1)
        self._duration.labels(*key).set(reading.duration_seconds)
        if not reading.error:
            self._read_at[key] = reading.at

    def time_passed(self) -> None:
        """What was read is older than it was."""
        now = self._clock.monotonic()
        for key, at in self._read_at.items():
            self._age.labels(*key).set(now - at)

    def source_unknown(self, source: str, server: str, families: int) -> None:
        """So many families of the source are in no table."""
        self._unknown.labels(source, server).set(families)

    def source_gone(self, source: str, server: str) -> None:
        """A source is no longer configured: its facts go with it."""
        for gauge in (self._up, self._age, self._duration, self._unknown):
            gauge.remove_by_labels({"source": source, "server": server})
        self._read_at.pop((source, server), None)

    def series_dropped(self, cause: str, count: int = 1) -> None:
        """Samples were left out on purpose."""
        self._dropped.labels(cause).inc(count)

    # --- logs

    def lines_read(self, file: str, level: str, count: int = 1) -> None:
        """Lines of one level were read."""
        self._lines.labels(file, level or "none").inc(count)

    def log_lag(self, file: str, size_bytes: int, seconds: float) -> None:
        """So many bytes wait to be read, the oldest of them for so long."""
        self._lag.labels(file).set(size_bytes)
        self._lag_seconds.labels(file).set(seconds)

    def log_lost(self, file: str, cause: str, size_bytes: int) -> None:
        """Bytes were overwritten before we read them, or may have been."""
        self._lost.labels(file, cause).inc(size_bytes)

    def log_readable(self, file: str, *, readable: bool) -> None:
        """The path can, or cannot, be opened and read."""
        self._file_up.labels(file).set(int(readable))

    def log_gone(self, file: str) -> None:
        """The path is no longer followed."""
        for gauge in (self._lag, self._lag_seconds, self._file_up):
            gauge.remove_by_labels({"file": file})

    # --- events, incidents

    def events_known(self, kinds: Iterable[str]) -> None:
        """Every event that a pattern can give is counted from 0."""
        for kind in kinds:
            self._events.labels(kind)

    def event_seen(self, kind: str) -> None:
        """A pattern recognised a record."""
        self._events.labels(kind).inc()

    def rules_known(self, rules: Iterable[str]) -> None:
        """Every rule's incidents are counted from 0."""
        for rule in rules:
            self._incidents.labels(rule)

    def incident_opened(self, rule: str) -> None:
        """An incident was opened."""
        self._incidents.labels(rule).inc()

    def recordings_known(self) -> None:
        """The last minutes of an incident may be kept, and that may end in these ways."""
        for outcome in ("written", "failed", "skipped"):
            self._recordings.labels(outcome)

    def recorded(self, outcome: str) -> None:
        """The last minutes of an incident were kept, or not."""
        self._recordings.labels(outcome).inc()

    def incidents_open(self, incidents: Iterable[Incident]) -> None:
        """These incidents are open now; rules without one show nothing older than this."""
        self._open.clear()
        for incident in incidents:
            self._open.labels(incident.rule, incident.severity).inc()

    # --- notifications

    def channels_known(self, channels: Iterable[str]) -> None:
        """Every outcome of every channel is counted from 0."""
        for channel in channels:
            self.outbox(channel, pending=0, oldest_seconds=0.0)
            self.channel_breaker(channel, is_open=False)
            for outcome in Outcome:
                self._deliveries.labels(channel, outcome)

    def outbox(self, channel: str, *, pending: int, oldest_seconds: float) -> None:
        """What waits for one channel."""
        self._pending.labels(channel).set(pending)
        self._oldest.labels(channel).set(oldest_seconds)

    def channel_breaker(self, channel: str, *, is_open: bool) -> None:
        """A channel is, or is no longer, left alone."""
        self._breaker.labels(channel).set(int(is_open))

    def channel_gone(self, channel: str) -> None:
        """A channel is no longer configured; what was sent stays counted."""
        for gauge in (self._pending, self._oldest, self._breaker, self._succeeded, self._proven):
            gauge.remove_by_labels({"channel": channel})

    def attempted(self, channel: str, outcome: Outcome) -> None:
        """One attempt at delivery ended."""
        self._deliveries.labels(channel, outcome).inc()
        if outcome is Outcome.DELIVERED:
            self.channel_succeeded(channel, self._clock.wall())

    def channel_succeeded(self, channel: str, at: float) -> None:
        """The channel last took something then (epoch seconds; 0 for never)."""
        self._succeeded.labels(channel).set(at)

    def channel_proven(self, channel: str, every_seconds: float) -> None:
        """The channel is sent a test so often."""
        self._proven.labels(channel).set(every_seconds)

    # --- the dead man's switch

    def heartbeats_known(self) -> None:
        """Every outcome of a heartbeat is counted from 0."""
        for outcome in ("delivered", "refused", "failed", "withheld"):
            self._heartbeats.labels(outcome)

    def heartbeat(self, outcome: str) -> None:
        """A heartbeat was sent, or was not."""
        self._heartbeats.labels(outcome).inc()

    # --- Alertmanager

    def members_known(self, members: Iterable[str], told: Iterable[str]) -> None:
        """Every outcome of every member, and of what is told, is counted from 0."""
        for outcome in told:
            self._told.labels(outcome)
        for member in members:
            for outcome in ("delivered", "refused", "failed"):
                self._pushes.labels(member, outcome)

    def pushed(self, member: str, outcome: str) -> None:
        """A member was told our incidents, or was not."""
        self._pushes.labels(member, outcome).inc()

    def told(self, outcome: str) -> None:
        """Alertmanager told of an alert."""
        self._told.labels(outcome).inc()

    # --- state and configuration

    def state_writable(self, *, writable: bool) -> None:
        """What is to outlive the process reaches the disk, or does not."""
        self._state_writable.set(int(writable))

    def reloaded(self, *, successful: bool) -> None:
        """The configuration was read again."""
        self._reload.set(int(successful))

    def snapshot(self, names: Collection[str]) -> Snapshot:
        """The series of these names as they are now, under the names of `/metrics`."""
        families = self.registry.restricted_registry(names).collect() if names else ()
        samples = [sample for family in families for sample in family.samples]
        found: dict[str, Series] = {}
        for name in names:
            points = tuple(Point(labels(**each.labels), each.value) for each in samples if each.name == name)
            found[name] = Series(name, points)
        return Snapshot(found)

    def _gauge(self, name: str, text: str, *label_names: str) -> Gauge:
        self.families.append(gauge := Gauge(name, text, label_names, registry=self.registry))
        return gauge

    def _counter(self, name: str, text: str, *label_names: str) -> Counter:
        self.families.append(counter := Counter(name, text, label_names, registry=self.registry))
        return counter
