"""Each failure fires exactly the alerts that it should, in time, and they end with it.

The simulation plays a failure to the real sidecar; what its /metrics then says goes through the shipped rules as
Prometheus evaluates them. docs/alerts-matrix.md is the table of what came of it; after a wanted change, and a look at
what it changes: PYTHONPATH=tests:alert_rules:dashboards .venv/bin/python tests/shipped/test_alert_loop.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from standins.alert_loop import Fired, play, two_at_a_time
from standins.days import ordinary_day
from standins.evaluated import firing
from standins.failures import BACKGROUND, FAILURES, LATE, STAYS, Failure
from standins.promtool import rules_of
from standins.shipped import ROOT
from standins.shipped_alerts import ALERTS
from standins.simulation import Simulation
from vigil_rules.__main__ import FILES

MATRIX = ROOT / "docs" / "alerts-matrix.md"
DAY_SCRAPE = 120
NEAR_MINUTES = 1.5
pytestmark = [pytest.mark.timeout(600), pytest.mark.no_cover]


Played = Mapping[str, Future[tuple[Fired, ...]]]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """What fires of every failure, by its id, as it comes: two are played at a time."""
    with two_at_a_time() as pool:
        yield {failure.id: pool.submit(play, failure.id) for failure in FAILURES}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.id)
def test_a_failure_fires_exactly_its_alerts_in_time_and_they_end(failure: Failure, played: Played) -> None:
    """No alert more, none less; each within its time; and when all is well again they resolve."""
    fired = played[failure.id].result()
    assert sorted(failure.alerts) == sorted(str(each.alert) for each in fired)
    late = {str(each.alert): each.since for each in fired if each.since > failure.alerts[str(each.alert)]}
    assert {} == late
    if len(failure.scenes) > 1:
        lasting = [each.alert.name for each in fired if not each.ended]
        assert [] == [name for name in lasting if name not in STAYS and LATE not in name]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.id)
def test_the_page_says_of_each_failure_what_is_found(failure: Failure, played: Played) -> None:
    """Which alerts, how bad, where; and when, nearly. If not: look at the change, and write the page anew."""
    found = {row[:4]: row[4:] for row in (_words(failure, each) for each in played[failure.id].result())}
    told = {row[:4]: row[4:] for row in _rows() if row[0] == f"`{failure.id}`"}
    assert sorted(told) == sorted(found)
    far = {row: (told[row], times) for row, times in found.items() if not all(map(_are_near, told[row], times))}
    assert {} == far


def test_an_ordinary_day_fires_nothing(tmp_path: Path) -> None:
    """24 hours with bursts, an idle night, long prefills and sleep; the one planned restart informs that it was."""
    with Simulation(tmp_path / "play", ordinary_day(), step_seconds=DAY_SCRAPE / 2, scrape_seconds=DAY_SCRAPE) as day:
        moments = [moment for moment in day.moments() if moment.scraped]
    fired = {str(alert) for alerts in firing(moments, rules_of(FILES), tmp_path, DAY_SCRAPE) for alert in alerts}
    assert {"VllmRestarted(code)"} == {each for each in fired if each.partition("(")[0] not in BACKGROUND}
    assert 86_400 == len(moments) * DAY_SCRAPE


def test_the_matrix_of_the_docs_is_what_was_found() -> None:
    """Every failure and every alert that it fired stands in the page, as bad as its rule says, and no other."""
    text = MATRIX.read_text()
    told = {(row[0].strip("`"), row[1].strip("`")) for row in _rows()}
    assert [] == [row for row in _rows() if row[2] != ALERTS[row[1].strip("`")]["labels"]["severity"]]
    assert text.startswith(HEAD)
    assert [f"### {each.id}: {each.title}" for each in FAILURES] == [
        line for line in text.splitlines() if line.startswith("### ")
    ]
    wanted = {(failure.id, alert.split("(")[0]) for failure in FAILURES for alert in failure.alerts}
    assert wanted == told


def page(fired: Mapping[str, tuple[Fired, ...]]) -> str:
    """The text of docs/alerts-matrix.md."""
    lines = [HEAD]
    for failure in FAILURES:
        lines.append(f"\n### {failure.id}: {failure.title}\n")
        if fired[failure.id]:
            lines += ["| failure | alert | severity | where | fires after | ends after |", "|---|---|---|---|---|---|"]
            lines += [_row(failure, each) for each in fired[failure.id]]
        else:
            lines.append("Nothing fires, and nothing must.")
    return "\n".join((*lines, ""))


def _row(failure: Failure, fired: Fired) -> str:
    return f"| {' | '.join(_words(failure, fired))} |"


def _words(failure: Failure, fired: Fired) -> tuple[str, ...]:
    where = " ".join(f"{name} {value}" for name, value in fired.alert.labels)
    ends = _minutes(fired.until + failure.scrape_seconds) if fired.ended else "not yet at the end"
    return (f"`{failure.id}`", f"`{fired.alert.name}`", fired.alert.severity, where, _minutes(fired.since), ends)


def _rows() -> list[tuple[str, ...]]:
    """The words of every row of the page."""
    lines = [line for line in MATRIX.read_text().splitlines() if line.startswith("| `")]
    return [tuple(word.strip() for word in line.split("|")[1:-1]) for line in lines]


def _are_near(told: str, found: str) -> bool:
    """Whether two times are close to each other, or neither has come."""
    minutes = [float(each.removesuffix(" min")) if each.endswith(" min") else math.inf for each in (told, found)]
    return told == found or abs(minutes[0] - minutes[1]) < NEAR_MINUTES


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


HEAD = """\
# Alerts and failures

Which alert fires on what. Written by `tests/shipped/test_alert_loop.py`, which plays every failure to the real sidecar,
puts what its `/metrics` said through the shipped rules as Prometheus evaluates them, and fails when an alert more or an
alert less fires than stands in its table (`tests/standins/failures.py`), or one fires too late or does not end.

Two servers: `chat` (engines 0 and 1, GPUs 0 and 1) and `code` (engine 0, GPUs 2 and 3), scraped every 30 s. Each
failure begins on servers that are 20 minutes old: a day's error budget holds little else than the failure then, so
that the slow burns join earlier than they would on a server with a good day behind it; `http_5xx_storm` has six hours
before it, `traffic_lost` a day, scraped every 2 minutes. `Watchdog` fires always, as it is meant to;
`GpuMemoryOver90Percent` (info) fires on every GPU whose vLLM takes its default share of the memory, 0.92, and is left
out here. Times are since the failure began. An alert that `keep_firing_for` keeps for half an hour or longer, and a
burnt error budget, have not ended when the play does, 25 minutes later.\
"""


def main() -> int:
    """Write the page, and say where the table does not agree with what was found."""
    with two_at_a_time() as pool:
        fired = dict(zip((each.id for each in FAILURES), pool.map(play, [each.id for each in FAILURES]), strict=True))
    MATRIX.write_text(page(fired))
    for failure in FAILURES:
        for each in fired[failure.id]:
            wanted = failure.alerts.get(str(each.alert))
            if wanted is None or each.since > wanted:
                print(f"{failure.id}: {each.alert} fires after {each.since:.0f} s, wanted {wanted}")
        for missing in failure.alerts.keys() - {str(each.alert) for each in fired[failure.id]}:
            print(f"{failure.id}: {missing} does not fire")
    return 0


if __name__ == "__main__":
    sys.exit(main())
