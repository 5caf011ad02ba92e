"""A `watch:` row holds for a server while its comparison does, for its time, and what cannot be compared is refused."""

from __future__ import annotations

from typing import Any

import pytest

from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import Finding, Point, Series, Snapshot, labels
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Seconds
from vllm_vigil.verdict.watch import WatchVerdict
from vllm_vigil.verdict.watch_settings import WatchSettings

KV = "llm_kv_cache_usage_ratio"
SERVERS = ["llama", "qwen"]


def shown(name: str, *points: tuple[dict[str, str], float]) -> Snapshot:
    """A snapshot of one series."""
    return Snapshot({name: Series(name, tuple(Point(labels(**pairs), value) for pairs, value in points))})


def kv(value: float, server: str = "llama", **more: str) -> Snapshot:
    """One engine's KV cache."""
    return shown(KV, ({"server": server, "engine": "0"} | more, value))


def row(series: str = KV, minutes: float = 1, **changed: Any) -> WatchSettings:
    """A row, which must last a minute."""
    given: dict[str, Any] = {"series": series, "for_": Seconds(60.0 * minutes)}
    return WatchSettings(**given | changed)


class Scene:
    """Rows and the time, a tick of a second each."""

    def __init__(self, told: tuple[tuple[str, str], ...] = (), **rows: WatchSettings) -> None:
        self.verdict = WatchVerdict(rows, SERVERS, told)
        self.now = 1_780_000_000.0

    def after(self, seconds: int, snapshot: Snapshot) -> tuple[Finding, ...]:
        """What is found at the end, when it has been so for so long."""
        found: tuple[Finding, ...] = ()
        for _ in range(seconds):
            self.now += 1
            found = self.verdict.judge(snapshot, self.now)
        return found


def test_a_row_holds_when_it_has_compared_so_for_its_time() -> None:
    """From its onset on, with the numbers in words and as labels."""
    scene = Scene(full=row(above=0.95))
    assert () == scene.after(60, kv(0.97))
    (found,) = scene.after(1, kv(0.97))
    assert (
        Finding(
            "full",
            "llama",
            holds=True,
            since=scene.now - 60,
            summary="llm_kv_cache_usage_ratio has been above 0.95 for 1m: 0.97 (engine 0)",
            labels=labels(server="llama", engine="0", value="0.97", limit="above 0.95"),
        )
        == found
    )


def test_one_tick_that_does_not_compare_so_begins_the_time_anew() -> None:
    """And an absent series does not hold, whatever is compared."""
    for gap in (kv(0.95), Snapshot()):
        scene = Scene(full=row(above=0.95), low=row(below=0.1))
        scene.after(50, kv(0.97))
        assert () == scene.after(1, gap)
        assert () == scene.after(50, kv(0.97))
        assert ["full"] == [found.rule for found in scene.after(20, kv(0.97))]


def test_its_end_is_told_once() -> None:
    """And then it may hold again."""
    scene = Scene(full=row(above=0.95))
    scene.after(70, kv(0.97))
    assert [("llama", False)] == [(found.server, found.holds) for found in scene.after(1, kv(0.5))]
    assert () == scene.after(1, kv(0.5))
    assert () == scene.after(30, kv(0.97))
    assert [True] == [found.holds for found in scene.after(40, kv(0.97))]


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "over"),
    [
        ("above", False, False, True),
        ("at_least", False, True, True),
        ("below", True, False, False),
        ("at_most", True, True, False),
    ],
)
def test_each_comparison_is_what_it_says(comparison: str, below: bool, equal: bool, over: bool) -> None:  # noqa: FBT001
    """Below, at and over the limit."""
    for value, expected in ((4.0, below), (5.0, equal), (6.0, over)):
        scene = Scene(it=row("llm_requests_waiting", minutes=0, **{comparison: 5.0}))
        found = scene.after(1, shown("llm_requests_waiting", ({"server": "llama"}, value)))
        assert expected == any(each.holds for each in found)


def test_all_label_sets_of_a_server_are_one_finding() -> None:
    """Each server its own, with the values of the first few; a label that they share is the incident's."""
    points = [({"server": "llama", "engine": str(n), "model_name": "m"}, 0.96 + n / 1000) for n in range(6)]
    scene = Scene(full=row(above=0.95))
    other = ({"server": "qwen", "engine": "0"}, 0.99)
    llama, qwen = scene.after(61, shown(KV, *points, other, ({"server": "qwen", "engine": "1"}, 0.1)))
    assert ("llama", "qwen") == (llama.server, qwen.server)
    assert "0.96 (engine 0, model_name m), 0.961 (engine 1, model_name m)" in llama.summary
    assert llama.summary.endswith(" and 2 more")
    assert ("m", None) == (dict(llama.labels).get("model_name"), dict(llama.labels).get("engine"))
    assert "0.99 (engine 0)" in qwen.summary


def test_each_label_set_has_its_own_time() -> None:
    """Two that take turns are not one that lasts."""
    scene = Scene(full=row(above=0.95))
    for _ in range(6):
        assert () == scene.after(20, kv(0.97, engine="0"))
        assert () == scene.after(20, kv(0.97, engine="1"))


def test_labels_choose() -> None:
    """All given pairs must agree."""
    scene = Scene(full=row(above=0.95, labels={"server": "llama", "engine": "1"}))
    assert () == scene.after(70, kv(0.99, engine="0"))
    assert () == scene.after(70, kv(0.99, server="qwen", engine="1"))
    assert ["llama"] == [found.server for found in scene.after(70, kv(0.99, engine="1"))]


def test_a_series_of_the_host_has_no_server() -> None:
    """Such as a GPU's."""
    scene = Scene(hot=row("gpu_temperature_celsius", above=80, labels={"sensor": "memory"}))
    gpus = [({"gpu": str(n), "uuid": f"GPU-{n}", "sensor": "memory"}, 91.0) for n in range(2)]
    (found,) = scene.after(61, shown("gpu_temperature_celsius", *gpus))
    assert "" == found.server
    assert "91 (gpu 0, sensor memory, uuid GPU-0), 91 (gpu 1" in found.summary


def test_a_counter_is_compared_by_its_rate() -> None:
    """Over its window, which must be covered first."""
    scene = Scene(thrash=row("llm_preemptions_total", minutes=0, rate=Seconds(60.0), above=0.5))
    found: tuple[Finding, ...] = ()
    for second in range(60):
        found = scene.after(1, shown("llm_preemptions_total", ({"server": "llama"}, 1000.0 + second)))
        assert second >= 54 or found == ()
    assert "llm_preemptions_total a second, over 1m, has been above 0.5 for 5s: 1" == found[0].summary


def test_absence_is_of_each_server_that_is_configured() -> None:
    """Once the series was not there for its time; a part of it that is there is enough."""
    scene = Scene(gone=row(absent=True))
    found = scene.after(61, kv(0.5, server="qwen"))
    assert [("llama", "llm_kv_cache_usage_ratio has been absent for 1m")] == [(f.server, f.summary) for f in found]
    assert [("llama", False)] == [(found.server, found.holds) for found in scene.after(1, kv(0.5))]
    one = Scene(gone=row(absent=True, labels={"server": "qwen", "engine": "1"}))
    (found_one,) = one.after(61, kv(0.5, server="qwen", engine="0"))
    assert "qwen" == found_one.server
    host = Scene(gone=row("gpu_info", absent=True))
    assert [""] == [found.server for found in host.after(61, Snapshot())]


def test_what_an_earlier_process_told_goes_on_while_it_holds() -> None:
    """A restart has not seen it last; it resolves nothing and pages for nothing."""
    scene = Scene(told=(("full", "llama"),), full=row(above=0.95, minutes=30))
    assert [True] == [found.holds for found in scene.after(1, kv(0.97))]
    assert [False] == [found.holds for found in scene.after(1, kv(0.5))]
    over = Scene(told=(("full", "llama"),), full=row(above=0.95, minutes=30))
    assert [False] == [found.holds for found in over.after(1, Snapshot())]


@pytest.mark.parametrize(
    ("changed", "field", "words"),
    [
        ({"series": "llm_kv_cache_usage"}, "series", "did you mean 'llm_kv_cache_usage_ratio'?"),
        ({"series": "nonsense!"}, "series", "docs/metrics.md lists them"),
        ({"series": "vllm:num_requests_waiting"}, "series", "here it is 'llm_requests_waiting'"),
        ({"series": "vigil_source_upp"}, "series", "did you mean 'vigil_source_up'?"),
        ({"series": "vigil_build_info"}, "series", "only `absent: true`"),
        ({"series": "vigil_log_events_total"}, "series", "add `rate: 5m`"),
        ({"series": "llm_time_to_first_token_seconds_sum"}, "series", "a part of the histogram"),
        ({"series": "llm_time_to_first_token_seconds"}, "series", "llm_probe_time_to_first_token_seconds"),
        ({"series": "llm_engine_info"}, "series", "only `absent: true`"),
        ({"series": "llm_preemptions_total"}, "series", "add `rate: 5m`"),
        ({"series": "llm_preemptions_total", "rate": Seconds(5.0)}, "rate", "must be 30s or more"),
        ({"rate": Seconds(60.0)}, "rate", "is for counters that are compared, and llm_kv_cache_usage_ratio is none"),
        ({"above": None}, "above", "give one of above, below, at_least, at_most, absent, and none is given"),
        ({"below": 1.0}, "below", "not above and below"),
        ({"absent": True}, "absent", "not above and absent"),
        ({"for_": Seconds(-1.0)}, "for", "must be more than 0s"),
        ({"quiet": Seconds(0.0)}, "quiet", "must be more than 0s"),
        ({"labels": {"modle_name": "x"}}, "labels.modle_name", "it has server, model_name, engine"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_to_do(changed: dict[str, Any], field: str, words: str) -> None:
    """By the field that is wrong."""
    given: dict[str, Any] = {"above": 0.5}
    ((found, said),) = row(**given | changed).problems()
    assert field == found
    assert words in said


@pytest.mark.parametrize(
    "good",
    [
        row(above=0.9),
        row("llm_engine_state", at_least=1, labels={"state": "asleep"}),
        row("llm_time_to_first_token_seconds", absent=True),
        row("llm_cache_config_info", absent=True, labels={"block_size": "16"}),
        row("gpu_power_watts", below=50),
        row("vigil_source_up", below=1, labels={"source": "nvml"}),
        row("vigil_log_events_total", above=0, rate=Seconds(300.0), labels={"event": "preempted"}),
        row("llm_preemptions_total", above=0, rate=Seconds(300.0)),
    ],
)
def test_what_can_be_compared_is_taken(good: WatchSettings) -> None:
    """Gauges and states, the rates of counters, the absence of anything."""
    assert [] == list(good.problems())


def test_the_sidecar_s_own_series_are_asked_for_by_name(clock: CrankedClock) -> None:
    """And compared as the others; a row for a server is of that server."""
    telemetry = Telemetry(clock)
    telemetry.source_expected("vllm", "llama")
    telemetry.source_expected("nvml", "")
    scene = Scene(down=row("vigil_source_up", below=1), full=row(above=0.9))
    assert {"vigil_source_up"} == scene.verdict.own
    found = scene.after(61, telemetry.snapshot(scene.verdict.own))
    assert ["llama", ""] == [each.server for each in found]
    assert "vigil_source_up has been below 1 for 1m: 0 (source nvml)" == found[1].summary
    assert {} == telemetry.snapshot(()).series
