"""The lines that people look at are those of the incident's server, with counters as rates and nothing made up."""

from __future__ import annotations

import math

import pytest

from standins.flights import BEGAN, ring
from vllm_vigil.recorder.panels import Frozen, panels, states


def flight(server: str = "llama", engines: int = 2) -> Frozen:
    """A recording as it is read back."""
    copy = ring(engines=engines).copy()
    return Frozen(
        list(copy.times),
        {(track.kind, track.of, track.name): list(values) for track, values in copy.tracks.items()},
        server,
    )


def lines(found: Frozen) -> dict[str, dict[str, list[float]]]:
    """Panels, their lines and the numbers of these."""
    return {panel.title: {line.name: line.values for line in panel.lines} for panel in panels(found)}


def test_requests_add_up_over_the_server_s_engines_and_no_others() -> None:
    """Two engines of llama; the whole host has three."""
    assert lines(flight())["Requests"]["running"][100] == 128.0
    assert lines(flight(server=""))["Requests"]["running"][100] == 192.0
    assert lines(flight())["KV cache"]["fullest"][400] == 0.5


def test_a_counter_becomes_a_rate_and_a_restart_a_gap() -> None:
    """1000 tokens a second from each of two engines; time to first token is seconds for each request."""
    found = lines(flight())
    assert found["Tokens per second"]["generated"][300] == pytest.approx(2000.0)
    assert found["Time to first token"]["mean"][300] == pytest.approx(0.5)
    again = flight(engines=1)
    again.tracks["engine", "llama/0", "generation_tokens"][200:] = [0.0] * 700
    assert math.isnan(lines(again)["Tokens per second"]["generated"][205])


def test_what_was_not_known_is_no_panel() -> None:
    """A host without GPUs shows none, one without anything nothing."""
    found = flight()
    bare = Frozen(found.times, {key: values for key, values in found.tracks.items() if key[0] == "engine"}, "llama")
    assert not any(panel.title.startswith("GPU") for panel in panels(bare))
    assert panels(Frozen([BEGAN], {}, "llama")) == []


def test_the_worst_state_of_the_engines_is_the_server_s() -> None:
    """One that is idle beside one that is dead serves only half."""
    found = flight()
    found.tracks["engine", "llama/1", "state"][:] = [1.0] * 900  # idle
    names = states(found)
    assert (names[0], names[850], names[899]) == ("healthy", "stalled", "dead")
    assert states(Frozen([BEGAN], {}, "llama")) == []


def test_of_gpus_only_the_server_s_are_looked_at_where_they_are_known() -> None:
    """Another server's GPUs say nothing about this one's crash."""
    found = flight()
    assert list(lines(found)["GPU power"]) == ["GPU 0", "GPU 1"]
    own = Frozen(found.times, found.tracks, "llama", frozenset({"1"}))
    assert list(lines(own)["GPU power"]) == ["GPU 1"]
