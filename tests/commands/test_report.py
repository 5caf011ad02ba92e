"""`vigil report` on a real Prometheus with two days of September and two of October 2026."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from standins.tsdb import Course, backfill, prometheus_on
from vllm_vigil.cli import main

MINUTE, DAY = 60.0, 86_400.0
SEPTEMBER = datetime(2026, 9, 1, tzinfo=UTC).timestamp()
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
OUTAGE = (OCTOBER + 6 * 3600, OCTOBER + 6 * 3600 + 144 * MINUTE)  # a twentieth of the two days
TIMES = [start + minute * MINUTE for start in (SEPTEMBER, OCTOBER) for minute in range(2 * 1440 + 1)]


def steady(a_minute: float) -> Course:
    """A counter that begins anew in each month and twice as fast in October."""

    def course(at: float) -> float:
        if at >= OCTOBER:
            return (at - OCTOBER) / MINUTE * a_minute * 2
        return (at - SEPTEMBER) / MINUTE * a_minute

    return course


def down(at: float) -> bool:
    """Whether it is the time of the outage."""
    return OUTAGE[0] <= at < OUTAGE[1]


def incidents(at: float) -> float:
    """How many are open."""
    return float(down(at))


def state(name: str) -> Course:
    """One label value of the state set."""
    return lambda at: float(name == ("dead" if down(at) else "healthy"))


def constant(value: float) -> Course:
    """A gauge that stays."""
    return lambda _: value


def labelled(name: str, **pairs: str) -> str:
    """A sample name with the labels of a scrape and these."""
    known = {"instance": "gpu1:9877", "job": "vllm-vigil", **pairs}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in known.items()) + "}"


def of(name: str, **more: str) -> str:
    """A sample name with the labels of the server's engine."""
    return labelled(name, server="llama", model_name="m", engine="0", **more)


def gpu(name: str, **more: str) -> str:
    """A sample name with the labels of a GPU."""
    return labelled(name, gpu="0", uuid="GPU-1", **more)


def histogram(name: str, bounds: dict[str, float]) -> tuple[str, str, dict[str, Course]]:
    """60 observations a minute, of which so many stay within each bound; their mean is 0.4 s."""
    buckets = {of(f"{name}_bucket", le=le): steady(60 * share) for le, share in {**bounds, "+Inf": 1.0}.items()}
    return name, "histogram", {**buckets, of(f"{name}_count"): steady(60), of(f"{name}_sum"): steady(24)}


FAMILIES: tuple[tuple[str, str, dict[str, Course]], ...] = (
    ("llm_engine_state", "gauge", {of("llm_engine_state", state=each): state(each) for each in ("healthy", "dead")}),
    ("llm_requests_finished", "counter", {of("llm_requests_finished_total", reason="stop"): steady(60)}),
    ("llm_prompt_tokens", "counter", {of("llm_prompt_tokens_total"): steady(6000)}),
    ("llm_generation_tokens", "counter", {of("llm_generation_tokens_total"): steady(3000)}),
    (
        "llm_http_requests",
        "counter",
        {
            of("llm_http_requests_total", code="2xx", handler="/v1/completions"): steady(99),
            of("llm_http_requests_total", code="5xx", handler="/v1/completions"): steady(1),
        },
    ),
    ("llm_requests_waiting", "gauge", {of("llm_requests_waiting"): constant(0.0)}),
    ("llm_kv_cache_usage_ratio", "gauge", {of("llm_kv_cache_usage_ratio"): constant(0.2)}),
    histogram("llm_time_to_first_token_seconds", {"0.5": 0.5, "1.0": 0.98, "2.5": 0.999}),
    ("gpu", "info", {gpu("gpu_info", driver_version="580"): constant(1.0)}),
    ("gpu_utilization_ratio", "gauge", {gpu("gpu_utilization_ratio"): constant(0.1)}),
    ("gpu_energy_joules", "counter", {gpu("gpu_energy_joules_total"): steady(3000)}),  # 100 W in October
    (
        "vigil_incidents_open",
        "gauge",
        {gpu("vigil_incidents_open", rule="engine_dead", severity="critical"): incidents},
    ),
)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its address."""
    directory = tmp_path_factory.mktemp("past")
    backfill(directory, FAMILIES, TIMES)
    with prometheus_on(directory) as address:
        yield address


@pytest.fixture
def written(prometheus: str, tmp_path: Path) -> str:
    """The report on October as Markdown, with prices and a promise of one tier."""
    slo = tmp_path / "slo.yaml"
    slo.write_text(
        "objectives:\n"
        "  - {tier: gold, server: llama, uptime_percent: 99, availability_percent: 99.5,\n"
        "     time_to_first_token: {within: 1s, target_percent: 95}}\n"
        "  - {tier: gold, server: another, availability_percent: 99}\n"
    )
    output = tmp_path / "report.md"
    prices = ["--gpu-hour-price", "2.5", "--energy-price", "0.3", "--currency", "EUR"]
    arguments = ["report", "--prometheus", prometheus, "--month", "2026-10", "--slo", str(slo), "--output", str(output)]
    assert main([*arguments, *prices]) == 0
    return output.read_text()


def cells(text: str, first: str) -> list[str]:
    """The cells of the row of a table that begins so."""
    (row,) = re.findall(rf"^\| {re.escape(first)} \|(.*)\|$", text, re.MULTILINE)
    return [cell.strip() for cell in row.split("|")]


def test_promises_are_held_against_the_month(written: str) -> None:
    """Half a day's tenth down breaks 99 %; 98 % within a second keeps 95 %, and leaves 60 % of the budget."""
    assert "# vLLM in October 2026" in written
    availability = cells(written, "able to answer")
    assert availability[:2] == ["gold", "99 %"]
    assert float(availability[2].removesuffix(" %")) == pytest.approx(95, abs=0.1)
    assert availability[-1] == "broken"
    assert cells(written, "answered without a 5xx") == ["gold", "99.5 %", "99 %", "-100 %", "broken"]
    assert cells(written, "time to first token within 1 s") == ["gold", "95 %", "98 %", "60 %", "kept"]
    assert "Not as promised: llama able to answer (gold); llama answered without a 5xx (gold)." in written


def test_use_is_held_against_the_month_before(written: str) -> None:
    """October had twice September's traffic."""
    assert cells(written, "generated tokens") == ["17.3 million", "8.64 million", "+100 %"]
    assert "1.000 % of 576 thousand HTTP requests ended in a 5xx." in written


def test_latency_is_given_with_its_exact_mean(written: str) -> None:
    """Quantiles lie between the bounds of the buckets; what was not measured is a dash."""
    assert cells(written, "time to first token") == ["500 ms", "969 ms", "1.79 s", "400 ms"]
    assert cells(written, "whole request") == ["–"] * 4  # noqa: RUF001


def test_cost_and_energy_are_per_million_tokens(written: str) -> None:
    """48 hours of one GPU at 100 W for 51.8 million tokens."""
    assert cells(written, "GPU hours") == ["48", "–"]  # noqa: RUF001
    assert cells(written, "energy") == ["4.80 kWh", "0.09 kWh"]
    assert float(cells(written, "cost of GPU hours")[0].removesuffix(" EUR")) == pytest.approx(120, rel=0.01)
    assert cells(written, "cost of energy")[0] == "1.44 EUR"


def test_incidents_are_told_with_how_long_they_lasted(written: str) -> None:
    """One, of 2 h 24 min."""
    (row,) = re.findall(r"^\| engine\\_dead \|(.*)\|$", written, re.MULTILINE)
    assert row.split("|")[1].strip() == "1"
    assert "2 h 24 min" in row
    assert "01 Oct 06:00 UTC" in row


def test_it_advises_on_size(written: str) -> None:
    """GPUs that are busy a tenth of the time, and an empty KV cache."""
    assert "Larger than it needs to be" in written


def test_html_is_one_file_with_its_charts(prometheus: str, tmp_path: Path) -> None:
    """A bar for each day that has a value, nothing to fetch."""
    output = tmp_path / "report.html"
    assert main(["report", "--prometheus", prometheus, "--month", "2026-10", "--output", str(output)]) == 0
    text = output.read_text()
    assert text.count("<svg") == 3
    assert "<rect" in text
    assert "src=" not in text
    assert "href=" not in text


def test_a_month_without_data_says_so(prometheus: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And exits 1."""
    assert main(["report", "--prometheus", prometheus, "--month", "2026-01"]) == 1
    assert "no series of a vLLM server" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--month", "2026-13"], 2, "--month: '2026-13' is no month: write a year and a month, such as 2026-10"),
        (["--month", "2999-01"], 2, "--month: 2999-01 has not begun yet"),
        (["--output", "report.pdf"], 2, "--output: report.pdf must end in .html or .md"),
        (["--ca-file", "/none"], 2, "--ca-file: cannot use /none: no such file or directory"),
        (["--prometheus", "ftp://x"], 2, "--prometheus: 'ftp://x' is no address"),
        (["--prometheus", "http://user:hunter2@127.0.0.1:1"], 1, "http://127.0.0.1:1 does not answer"),
        (["--bearer-file", "missing"], 2, "--bearer-file: cannot read missing"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was attempted, what is wrong, what to do; never a password."""
    address = [] if "--prometheus" in arguments else ["--prometheus", "http://127.0.0.1:1"]
    assert main(["report", *address, *arguments]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "hunter2" not in error
