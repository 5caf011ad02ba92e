"""Figures -> the document, as titles, sentences, tables and charts: `markdown.py` and `html.py` write it down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vllm_vigil.exposition.wording import ABSENT, span
from vllm_vigil.redact import mask
from vllm_vigil.report import text
from vllm_vigil.report.advice import advice
from vllm_vigil.report.figures import Daily, Figures, Server
from vllm_vigil.report.spells import Trouble

JOULES_PER_KWH = 3.6e6
ENOUGH_TOKENS = 100_000
"""Below so many, a price a million says more about idling than about the model."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a GPU hour and a kilowatt hour cost, in `currency`; None where nobody said."""

    gpu_hour: float | None = None
    kilowatt_hour: float | None = None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of as many cells as there are columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One value a day; `unit` is tokens, ratio or seconds."""

    title: str
    unit: str
    days: Daily


@dataclass(frozen=True, slots=True)
class Section:
    """A title and what stands under it. Sections of level 3 belong to the one of level 2 before them."""

    title: str
    level: int = 2
    lines: tuple[str, ...] = ()
    table: Table | None = None
    charts: tuple[Chart, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """The whole report."""

    title: str
    lead: str
    sections: tuple[Section, ...]


def document(figures: Figures, prices: Prices) -> Document:
    """Put the report together."""
    month = figures.month
    name = datetime.fromtimestamp(month.start, UTC).strftime("%B %Y")
    so_far = "" if month.whole else f", up to {text.moment(month.end)} UTC"
    sections = [*(part for server in figures.servers for part in _server(server, figures, prices))]
    sections.append(_incidents(figures.troubles))
    return Document(f"vLLM in {name}{so_far}", _lead(figures), tuple(sections))


def _lead(figures: Figures) -> str:
    if not figures.servers:
        return "Prometheus has no series of a vLLM server for this month: was the sidecar scraped?"
    broken = [
        f"{mask(server.name)} {each.title} ({each.tier})"
        for server in figures.servers
        for each in server.promises
        if each.budget_left is not None and each.budget_left < 0
    ]
    kept = "Every promise was kept." if not broken else f"Not as promised: {'; '.join(broken)}."
    critical = [spell for each in figures.troubles if each.severity == "critical" for spell in each.spells]
    lost = f" {len(critical)} critical incident{'s' * (len(critical) > 1)}." if critical else " No critical incident."
    return kept + lost


def _server(server: Server, figures: Figures, prices: Prices) -> Iterator[Section]:
    numbers = server.numbers
    watched = numbers.get("watched_minutes", 0.0) * 60 / figures.month.seconds
    line = (
        f"Able to answer {text.share(numbers.get('serving'))} of the time that it was watched, which was "
        f"{text.percent(min(1.0, watched))} of the month. {_errors(server)}"
    )
    yield Section(mask(server.name), lines=(line, advice(server)), charts=tuple(_charts(server)))
    if server.promises:
        yield Section("Promises", 3, table=_promises(server))
    yield Section("Times", 3, table=_times(server))
    yield Section("Use", 3, table=_use(server, figures))
    if server.peaks:
        yield Section("Peaks", 3, table=_peaks(server))
    yield Section("Cost and energy", 3, tuple(_caveats(server, prices)), _cost(server, prices))


def _errors(server: Server) -> str:
    asked = server.numbers.get("http_requests")
    if not asked:
        return "Its HTTP requests are not known."
    failed = server.numbers.get("http_errors", 0.0)
    return f"{text.percent(failed / asked, 3)} of {text.count(asked)} HTTP requests ended in a 5xx."


def _promises(server: Server) -> Table:
    rows = tuple(
        (
            each.title,
            mask(each.tier),
            text.share(each.target),
            text.share(each.kept),
            text.percent(each.budget_left, 0),
            ABSENT if each.budget_left is None else "kept" if each.budget_left >= 0 else "broken",
        )
        for each in server.promises
    )
    return Table(("", "tier", "target", "kept", "error budget left", ""), rows)


def _times(server: Server) -> Table:
    rows = tuple(
        (each.title, *(text.seconds(value) for value in each.quantiles.values()), text.seconds(each.mean))
        for each in server.times
    )
    return Table(("", "p50", "p95", "p99", "mean"), rows)


def _use(server: Server, figures: Figures) -> Table:
    names = {"requests": "requests", "prompt_tokens": "prompt tokens", "generated_tokens": "generated tokens"}
    rows = tuple(
        (
            title,
            text.count(server.numbers.get(key)),
            text.count(server.earlier.get(key)),
            text.change(server.numbers.get(key), server.earlier.get(key)),
        )
        for key, title in names.items()
    )
    then = figures.earlier.name if figures.earlier.whole else f"{figures.earlier.name} up to the same day"
    return Table(("", figures.month.name, then, "change"), rows)


def _peaks(server: Server) -> Table:
    rows = tuple(
        (
            each.title,
            text.percent(each.value, 0) if each.title.startswith("KV") else text.count(each.value),
            f"{text.moment(each.at)} UTC",
        )
        for each in server.peaks
    )
    return Table(("", "most", "in the hour before"), rows)


def _cost(server: Server, prices: Prices) -> Table:
    hours = sum(gpu.hours for gpu in server.gpus) if server.gpus else None
    joules = [gpu.joules for gpu in server.gpus if gpu.joules is not None]
    kilowatt_hours = sum(joules) / JOULES_PER_KWH if joules else None
    energy_cost = _times_price(kilowatt_hours, prices.kilowatt_hour)
    gpu_cost = _times_price(hours, prices.gpu_hour)
    millions = server.tokens / 1e6 if server.tokens >= ENOUGH_TOKENS else None
    rows = (
        ("GPU hours", text.count(hours), ABSENT),
        ("energy", _unit(kilowatt_hours, "kWh"), _unit(_each(kilowatt_hours, millions), "kWh")),
        ("cost of GPU hours", _unit(gpu_cost, prices.currency), _unit(_each(gpu_cost, millions), prices.currency)),
        ("cost of energy", _unit(energy_cost, prices.currency), _unit(_each(energy_cost, millions), prices.currency)),
    )
    return Table(("", "month", "a million tokens"), rows)


def _caveats(server: Server, prices: Prices) -> Iterator[str]:
    if not server.gpus:
        yield (
            "No GPU is known to be this server's: none was read, "
            "or several servers share the host and it cannot be told whose is which."
        )
    if prices.gpu_hour is None:
        yield "For costs, give --gpu-hour-price (and --energy-price)."


def _times_price(amount: float | None, price: float | None) -> float | None:
    return None if amount is None or price is None else amount * price


def _each(amount: float | None, millions: float | None) -> float | None:
    return None if amount is None or not millions else amount / millions


def _unit(amount: float | None, unit: str) -> str:
    return ABSENT if amount is None else f"{amount:,.2f} {unit}"


def _charts(server: Server) -> Iterator[Chart]:
    units = ("tokens", "ratio", "seconds")
    for (title, days), unit in zip(server.daily.items(), units, strict=False):
        yield Chart(title, unit, days)


def _incidents(troubles: Sequence[Trouble]) -> Section:
    if not troubles:
        return Section("Incidents", lines=("No incident was open in this month.",))
    rows = tuple(
        (
            mask(each.rule),
            mask(each.severity),
            str(len(each.spells)),
            span(each.total_seconds),
            span(each.recovery_seconds),
            f"{span(each.longest.seconds)}, {text.moment(each.longest.start)} UTC",
        )
        for each in troubles
    )
    return Section("Incidents", table=Table(("rule", "severity", "times", "in all", "to recover", "longest"), rows))
