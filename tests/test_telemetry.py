"""What the sidecar says of itself reads on /metrics as prometheus_client would write it, whatever was kept."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from vllm_vigil.clock import CrankedClock
from vllm_vigil.exposition.metrics import Format, Metrics
from vllm_vigil.model import Outcome, Reading, Snapshot
from vllm_vigil.series.catalogue import spec_of
from vllm_vigil.telemetry import Telemetry


def facts(telemetry: Telemetry, name: str, number: float) -> list[Callable[[], None]]:
    """What can be told of a server, a file and a channel of that name."""
    return [
        lambda: telemetry.source_expected("vllm", name),
        lambda: telemetry.source_read(Reading("vllm", name, 1.0, number)),
        lambda: telemetry.source_read(Reading("vllm", name, 1.0, number, error="gone")),
        lambda: telemetry.source_gone("vllm", name),
        telemetry.time_passed,
        lambda: telemetry.lines_read(name, "INFO", int(number)),
        lambda: telemetry.log_lag(name, int(number), number),
        lambda: telemetry.log_gone(name),
        lambda: telemetry.events_known([name]),
        lambda: telemetry.event_seen(name),
        lambda: telemetry.incidents_open([]),
        lambda: telemetry.channels_known([name]),
        lambda: telemetry.attempted(name, Outcome.DELIVERED),
        lambda: telemetry.channel_gone(name),
        lambda: telemetry.state_writable(writable=number > 1),
        lambda: telemetry.reloaded(successful=number > 1),
    ]


STEPS = st.lists(st.tuples(st.integers(0, 15), st.sampled_from(["a", "b"]), st.floats(0, 1e9)), max_size=6)


@settings(deadline=None)  # a busy machine is no fault of the renderer
@given(st.lists(STEPS, min_size=1, max_size=4))
def test_both_formats_read_as_if_nothing_had_been_kept(
    rounds: list[list[tuple[int, str, float]]],
) -> None:
    """Page after page, byte by byte, with whatever facts were told between them."""
    telemetry = Telemetry(CrankedClock())
    metrics = Metrics(spec_of, telemetry.families)
    for steps in rounds:
        for which, name, number in steps:
            facts(telemetry, name, number)[which]()
        metrics.ticked(Snapshot())
        assert generate_latest(telemetry.registry) == metrics.answer(Snapshot(), "", "").body
        openmetrics: bytes = generate_openmetrics(telemetry.registry)  # type: ignore[no-untyped-call]
        assert openmetrics == metrics.answer(Snapshot(), Format.OPENMETRICS.value, "").body


def test_what_has_not_changed_is_the_same_series(telemetry: Telemetry) -> None:
    """A counter that moves costs the rendering of one family."""
    before = [family.series() for family in telemetry.families]
    telemetry.event_seen("engine_dead")
    after = [family.series() for family in telemetry.families]
    assert ["vigil_log_events_total"] == [new.name for old, new in zip(before, after, strict=True) if old is not new]
