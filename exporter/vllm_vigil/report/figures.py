"""The questions, asked -> the figures of the month, per server and for the whole of the GPUs and incidents.

What Prometheus does not have is None, and the report says so; it is never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vllm_vigil.report import questions
from vllm_vigil.report.month import DAY_SECONDS, Month, before
from vllm_vigil.report.prometheus import Prometheus
from vllm_vigil.report.spells import STEP_SECONDS, Trouble, longest_first, spells
from vllm_vigil.slo.objectives import LATENCIES, Latency, Objective

HOUR_SECONDS = 3600.0

Daily = list[float | None]
"""A value for each whole day of the month, None where there is none."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One objective held against the month. `kept` is the share that was as promised, 0 to 1."""

    tier: str
    title: str
    target: float
    kept: float | None

    @property
    def budget_left(self) -> float | None:
        """The share of the error budget that is left; below 0 the promise is broken."""
        return None if self.kept is None else 1 - (1 - self.kept) / (1 - self.target)


@dataclass(frozen=True, slots=True)
class Times:
    """One latency over the month, in seconds: its quantiles by share, and the exact mean."""

    title: str
    quantiles: Mapping[float, float | None]
    mean: float | None


@dataclass(frozen=True, slots=True)
class Peak:
    """The greatest value of the month, and the end of the hour in which it was (epoch seconds)."""

    title: str
    value: float
    at: float


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: hours it was seen, energy in joules, mean and 95th percentile of its utilisation (0 to 1)."""

    uuid: str
    instance: str
    hours: float
    joules: float | None
    busy: float | None
    busy_p95: float | None


@dataclass(frozen=True, slots=True)
class Server:
    """One server. `numbers` are those of `questions.PER_SERVER`, `earlier` its usage in the month before."""

    name: str
    numbers: Mapping[str, float]
    earlier: Mapping[str, float]
    promises: tuple[Promise, ...]
    times: tuple[Times, ...]
    peaks: tuple[Peak, ...]
    daily: Mapping[str, Daily]
    gpus: tuple[Gpu, ...]

    @property
    def tokens(self) -> float:
        """Prompt and generated tokens together."""
        return self.numbers.get("prompt_tokens", 0.0) + self.numbers.get("generated_tokens", 0.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything, and the span that it is of."""

    month: Month
    earlier: Month
    servers: tuple[Server, ...]
    troubles: tuple[Trouble, ...]


@dataclass(slots=True)
class Asking:
    """One pass over the questions. An answer is kept: several figures need the same."""

    prometheus: Prometheus
    month: Month
    _kept: dict[str, dict[str, float]] = field(default_factory=dict)

    def figures(self, objectives: Sequence[Objective]) -> Figures:
        """Ask everything."""
        earlier = before(self.month)
        numbers = {key: self._by_server(question) for key, question in questions.PER_SERVER.items()}
        then = {
            key: _by(self.prometheus.at(_spanned(questions.PER_SERVER[key], earlier), earlier.end), "server")
            for key in questions.USAGE
        }
        peaks, daily, gpus = self._peaks(), self._daily(), self._gpus()
        names = sorted({name for answers in numbers.values() for name in answers})
        servers = tuple(
            Server(
                name,
                _of(numbers, name),
                _of(then, name),
                tuple(self._promises(name, objectives)),
                tuple(self._times(name, latency) for latency in LATENCIES),
                tuple(peaks.get(name, ())),
                {title: course[name] for title, course in daily.items() if name in course},
                tuple(gpus.get(name, ())),
            )
            for name in names
        )
        return Figures(self.month, earlier, servers, tuple(self._troubles()))

    def _by_server(self, question: str) -> dict[str, float]:
        if question not in self._kept:
            asked = _spanned(question, self.month)
            self._kept[question] = _by(self.prometheus.at(asked, self.month.end), "server")
        return self._kept[question]

    def _promises(self, server: str, objectives: Sequence[Objective]) -> Iterator[Promise]:
        for objective in objectives:
            if objective.server not in ("", server):
                continue
            if objective.uptime_percent is not None:
                kept = self._by_server(questions.PER_SERVER["serving"]).get(server)
                yield Promise(objective.tier, "able to answer", objective.uptime_percent / 100, kept)
            if objective.availability_percent is not None:
                kept = self._by_server(questions.ANSWERED).get(server)
                yield Promise(objective.tier, "answered without a 5xx", objective.availability_percent / 100, kept)
            for latency, within in objective.latencies():
                kept = self._by_server(questions.within(latency.series, within.le)).get(server)
                title = f"{latency.title} within {within.within:g} s"
                yield Promise(objective.tier, title, within.target_percent / 100, kept)

    def _times(self, server: str, latency: Latency) -> Times:
        found = {
            share: self._by_server(questions.quantile(share, latency.series)).get(server)
            for share in questions.QUANTILES
        }
        return Times(latency.title, found, self._by_server(questions.mean(latency.series)).get(server))

    def _peaks(self) -> dict[str, list[Peak]]:
        found: dict[str, list[Peak]] = {}
        start = self.month.start + HOUR_SECONDS
        for title, question in questions.PEAKS.items():
            for known, course in self.prometheus.over(question, start, self.month.end, HOUR_SECONDS).items():
                at, value = max(course, key=lambda point: point[1], default=(0.0, 0.0))
                found.setdefault(dict(known).get("server", ""), []).append(Peak(title, value, at))
        return found

    def _daily(self) -> dict[str, dict[str, Daily]]:
        ends = [self.month.start + (day + 1) * DAY_SECONDS for day in range(self.month.days)]
        found: dict[str, dict[str, Daily]] = {}
        for title, question in questions.DAILY.items() if ends else ():
            courses = self.prometheus.over(question, ends[0], ends[-1], DAY_SECONDS)
            found[title] = {
                dict(known).get("server", ""): [dict(course).get(end) for end in ends]
                for known, course in courses.items()
            }
        return found

    def _gpus(self) -> dict[str, list[Gpu]]:
        """The GPUs of each server: those on which it held memory, else those of a host that has no other server."""
        answers = {
            key: {
                (dict(known).get("uuid", ""), dict(known).get("instance", "")): value
                for known, value in self.prometheus.at(_spanned(question, self.month), self.month.end).items()
            }
            for key, question in questions.PER_GPU.items()
        }
        holders = self._pairs(questions.HOLDERS, "uuid")
        neighbours = self._pairs(questions.NEIGHBOURS, "instance")
        found: dict[str, list[Gpu]] = {}
        for (uuid, instance), hours in answers["hours"].items():
            of_host = neighbours.get(instance, set())
            numbers = (answers[key].get((uuid, instance)) for key in ("joules", "busy", "busy_p95"))
            gpu = Gpu(uuid, instance, hours, *numbers)
            for server in holders.get(uuid, set()) or (of_host if len(of_host) == 1 else set()):
                found.setdefault(server, []).append(gpu)
        return found

    def _pairs(self, question: str, name: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for known in self.prometheus.at(_spanned(question, self.month), self.month.end):
            facts = dict(known)
            found.setdefault(facts.get(name, ""), set()).add(facts.get("server", ""))
        return found

    def _troubles(self) -> Iterator[Trouble]:
        courses = self.prometheus.over(questions.OPEN_INCIDENTS, self.month.start, self.month.end, STEP_SECONDS)
        troubles = []
        for known, course in courses.items():
            facts = dict(known)
            troubles.append(Trouble(facts.get("rule", ""), facts.get("severity", ""), spells(course)))
        yield from longest_first(troubles)


def _spanned(question: str, month: Month) -> str:
    return question.replace("{span}", f"{month.seconds}s")


def _by(values: Mapping[tuple[tuple[str, str], ...], float], name: str) -> dict[str, float]:
    return {dict(known).get(name, ""): value for known, value in values.items()}


def _of(answers: Mapping[str, Mapping[str, float]], server: str) -> dict[str, float]:
    return {key: each[server] for key, each in answers.items() if server in each}
