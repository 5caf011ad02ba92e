"""What ends and begins again and again is held open, and said once."""

from __future__ import annotations

import json

from vllm_vigil.incidents.flaps import MAX_KEYS, Flaps
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.model import Change, Event, Record, Transition

T = 1_780_000_000.0


def burst(incidents: Incidents, at: float) -> list[Change]:
    """Five requests that time out, which is what opens the rule."""
    changes = []
    for n in range(5):
        record = Record("vllm.log", "ERROR", "timed out", "llama", offset=int(at * 10) + n)
        changes += incidents.observe(Event("request_timeout", "request_timeout", "llama", T + at + n, record))
    return changes


def live(incidents: Incidents, seconds: int, *bursts: int) -> list[tuple[str, str]]:
    """What people are told while bursts come at these seconds and the clock ticks every ten."""
    told = []
    for now in range(0, seconds, 10):
        changes = incidents.tick(T + now, {})
        if now in bursts:
            changes += burst(incidents, now)
        told += [(str(c.transition), c.incident.title) for c in changes if c.transition is not Transition.UPDATED]
    return told


TITLE = RULES["request_timeout"].title


def test_the_third_opening_within_an_hour_is_held_and_said_once() -> None:
    """Bursts every ten minutes for two hours: three openings, two ends, and then silence until it is really over."""
    told = live(Incidents(RULES), 12_000, *range(0, 7200, 600))
    assert [
        ("opened", TITLE),
        ("resolved", TITLE),
        ("opened", TITLE),
        ("resolved", TITLE),
        ("opened", f"{TITLE}, flapping"),
        ("resolved", f"{TITLE}, flapping"),
    ] == told


def test_what_comes_back_once_in_a_while_does_not_flap() -> None:
    """Once an hour is an incident each time."""
    told = live(Incidents(RULES), 15_000, 0, 3600, 7200, 10_800)
    assert 4 * [("opened", TITLE), ("resolved", TITLE)] == told


def test_a_restart_does_not_forget_the_flapping() -> None:
    """Neither the ends that were counted nor the longer quiet of one that is held."""
    first = Incidents(RULES)
    live(first, 1200, 0, 600)
    second = Incidents(RULES)
    second.restore(first.remember(), first.open())
    assert [] == second.tick(T + 1200, {})
    (opened,) = [change for change in burst(second, 1210) if change.transition is Transition.OPENED]
    assert opened.incident.title.endswith("flapping")
    third = Incidents(RULES)
    third.restore(second.remember(), second.open())
    assert [] == third.tick(T + 1210 + 1790, {})
    assert [Transition.RESOLVED] == [change.transition for change in third.tick(T + 1214 + 1800, {})]


def test_the_memory_of_an_older_version_has_no_flaps() -> None:
    """It is taken over all the same."""
    memory = json.loads(Incidents(RULES).remember())
    del memory["flaps"]
    Incidents(RULES).restore(json.dumps(memory), [])


def test_ever_new_keys_are_bounded() -> None:
    """Only the latest are remembered."""
    flaps = Flaps()
    for n in range(10_000):
        flaps.ended(("llama", "error_burst", f"{n}"), float(n))
    assert MAX_KEYS == len(flaps.remember())
