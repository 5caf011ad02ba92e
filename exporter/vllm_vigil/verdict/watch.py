"""The snapshot of one tick and the `watch:` rows -> findings, one for each row and server.

All label sets of a row that hold on one server are one finding: eight hot GPUs are one incident, which names them.
A series that is absent does not hold, whatever the row compares; the row `absent` is for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from vllm_vigil.model import Finding, Labels, Snapshot, labels
from vllm_vigil.units import format_duration
from vllm_vigil.verdict.onset import Onsets
from vllm_vigil.verdict.rates import Rates
from vllm_vigil.verdict.watch_series import declared
from vllm_vigil.verdict.watch_settings import WatchSettings

NAMED_SETS = 4
THOUSANDS = 100_000


class Watching:
    """One row, and since when which of its label sets holds."""

    def __init__(self, name: str, row: WatchSettings, servers: Sequence[str], told: Iterable[str]) -> None:
        self._name = name
        self._row = row
        spec = declared(row.series)
        of_server = spec is not None and "server" in spec.labels
        wanted = row.labels.get("server")
        self._servers = [each for each in servers if wanted in (None, each)] if of_server else [""]
        self._told = set(told)
        self._onsets = Onsets()
        self._rates = Rates(row.rate) if row.rate is not None else None
        self._held: set[Labels] = set()

    def move(self, seconds: float) -> None:
        """The wall clock was set by so much."""
        self._onsets.move(seconds)

    def judge(self, snapshot: Snapshot, now: float) -> Iterator[Finding]:
        """What changed, and what holds. A row that has just begun to compare so is no news in either direction."""
        values = dict(self._absent(snapshot) if self._row.absent else self._met(snapshot, now))
        for gone in self._held - values.keys():
            self._onsets.since(gone, now, holds=False)
        self._held = set(values)
        of_server: dict[str, dict[Labels, float]] = {}
        for which in values:
            since = self._onsets.since(which, now, holds=True)
            of_server.setdefault(dict(which).get("server", ""), {})[which] = now if since is None else since
        for server in self._told - of_server.keys():
            yield Finding(self._name, server, holds=False, since=now, summary="")
        self._told &= of_server.keys()
        for server, sets in of_server.items():
            lasting = {which: since for which, since in sets.items() if now - since >= self._row.for_}
            if lasting or server in self._told:  # one that was told, by this process or the last, is so until it ends
                self._told.add(server)
                yield self._finding(server, lasting or sets, values, now)

    def _met(self, snapshot: Snapshot, now: float) -> Iterator[tuple[Labels, float]]:
        """The label sets that compare so, with their values."""
        wanted = self._row.labels.items()
        for point in snapshot.points(self._row.series):
            if point.suffix or not wanted <= dict(point.labels).items():
                continue
            value = point.value if self._rates is None else self._rates.take(point.labels, point.value, now)
            if value is not None and self._row.holds(value):
                yield point.labels, value
        if self._rates is not None:
            self._rates.forget(now)

    def _absent(self, snapshot: Snapshot) -> Iterator[tuple[Labels, float]]:
        """The servers of which no label set is there; "" is the host."""
        wanted = self._row.labels.items()
        found = [dict(point.labels) for point in snapshot.points(self._row.series)]
        present = {pairs.get("server", "") for pairs in found if wanted <= pairs.items()}
        for server in self._servers:
            if server not in present:
                yield labels(**dict(self._row.labels) | {"server": server}), 0.0

    def _finding(
        self, server: str, sets: Mapping[Labels, float], values: Mapping[Labels, float], now: float
    ) -> Finding:
        since = min(sets.values())
        known: dict[str, str] = dict(set.intersection(*(set(which) for which in sets)))
        if not self._row.absent:
            name, limit = self._row.comparison
            known |= {"value": _number(values[next(iter(sets))]), "limit": f"{name.replace('_', ' ')} {_number(limit)}"}
        summary = self._summary(sets, values, now - since)
        return Finding(self._name, server, holds=True, since=since, summary=summary, labels=labels(**known))

    def _summary(self, sets: Mapping[Labels, float], values: Mapping[Labels, float], lasts: float) -> str:
        """`llm_kv_cache_usage_ratio is above 0.95 for 5m: 0.97 (engine 0, model_name llama)`."""
        row, lasting = self._row, format_duration(round(lasts))
        if row.absent:
            return f"{row.series} has been absent for {lasting}{_named(tuple(row.labels.items()))}"
        name, limit = row.comparison
        per = f" a second, over {format_duration(row.rate)}," if row.rate is not None else ""
        shown = [f"{_number(values[which])}{_named(which)}" for which in sets][:NAMED_SETS]
        more = f" and {len(sets) - NAMED_SETS} more" if len(sets) > NAMED_SETS else ""
        compared = f"{row.series}{per} has been {name.replace('_', ' ')} {_number(limit)} for {lasting}"
        return f"{compared}: {', '.join(shown)}{more}"


class WatchVerdict:
    """Judges all rows, tick by tick. `told` are the (row, server) that an earlier process or round has told.

    `own` are the series of the sidecar itself that the snapshot must hold too.
    """

    def __init__(
        self, rows: Mapping[str, WatchSettings], servers: Sequence[str], told: Iterable[tuple[str, str]] = ()
    ) -> None:
        known = list(told)
        self.own = frozenset(row.series for row in rows.values() if row.series.startswith("vigil_"))
        self._rows = [
            Watching(name, row, servers, [server for rule, server in known if rule == name])
            for name, row in rows.items()
        ]

    def move(self, seconds: float) -> None:
        """The wall clock was set by so much."""
        for each in self._rows:
            each.move(seconds)

    def judge(self, snapshot: Snapshot, now: float) -> tuple[Finding, ...]:
        """The findings of this tick: every row that holds, and those that have just ceased to."""
        return tuple(finding for row in self._rows for finding in row.judge(snapshot, now))


def _named(which: Labels) -> str:
    """The labels that tell one set from another: ` (engine 0, gpu 3)`."""
    pairs = ", ".join(f"{name} {value}" for name, value in which if name != "server")
    return f" ({pairs})" if pairs else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= THOUSANDS else f"{value:.4g}"
