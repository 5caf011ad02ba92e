"""Each failure fires exactly the alerts that it should, in time, and they end with it.

The simulation plays a failure to the real sidecar; what its /metrics then says goes through the shipped rules as
Prometheus evaluates them. docs/alerts-matrix.md is the table of what came of it; after a wanted change, and a look at
what it changes: PYTHONPATH=tests:alert_rules:dashboards .venv/bin/python tests/shipped/test_alert_loop.py
"""

from __future__ import annotations

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
from standins.simulation import Simulation
from vigil_rules.__main__ import FILES

MATRIX = ROOT / "docs" / "alerts-matrix.md"
DAY_SCRAPE = 120
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


def test_an_ordinary_day_fires_nothing(tmp_path: Path) -> None:
    """24 hours with bursts, an idle night, long prefills and sleep; the one planned restart informs that it was."""
    with Simulation(tmp_path / "play", ordinary_day(), step_seconds=DAY_SCRAPE / 2, scrape_seconds=DAY_SCRAPE) as day:
        moments = [moment for moment in day.moments() if moment.scraped]
    fired = {str(alert) for alerts in firing(moments, rules_of(FILES), tmp_path, DAY_SCRAPE) for alert in alerts}
    assert {"VllmRestarted(code)"} == {each for each in fired if each.partition("(")[0] not in BACKGROUND}
    assert 86_400 == len(moments) * DAY_SCRAPE


def test_the_matrix_of_the_docs_is_what_was_found() -> None:
    """Every failure and every alert that it fired stands in the page, and no other."""
    text = MATRIX.read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    told = {(row.split("|")[1].strip(" `"), row.split("|")[2].strip(" `")) for row in rows}
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
    where = " ".join(f"{name} {value}" for name, value in fired.alert.labels)
    ends = _minutes(fired.until + failure.scrape_seconds) if fired.ended else "not yet at the end"
    words = (f"`{failure.id}`", f"`{fired.alert.name}`", fired.alert.severity, where, _minutes(fired.since), ends)
    return f"| {' | '.join(words)} |"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


HEAD = """\
# Alerts and failures

Which alert fires on what. Written by `tests/shipped/test_alert_loop.py`, which plays every failure to the real sidecar,
puts what its `/metrics` said through the shipped rules as Prometheus evaluates them, and fails when an alert more or an
alert less fires than stands in its table (`tests/standins/failures.py`), or one fires too late or does not end.

Two servers: `chat` (engines 0 and 1, GPUs 0 and 1) and `code` (engine 0, GPUs 2 and 3), scraped every 30 s. Each
failure begins on servers that are 20 minutes old: a day's error budget holds little else than the failure then, so
that the slow burns join earlier than they would on a server with a good day behind it; only `traffic_lost` has a day
before it, scraped every 2 minutes. `Watchdog` fires always, as it is meant to; `GpuMemoryOver90Percent` (info) fires on
every GPU whose vLLM takes its default share of the memory, 0.92, and is left out here. Times are since the failure
began. An alert that `keep_firing_for` keeps for half an hour or
longer, and a burnt error budget, have not ended when the play does, 25 minutes later.\
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
