"""The verdict against a real vLLM: what it does to itself and what is done to it, and what was said, after how long.

`VIGIL_RECORD=1 scripts/test --real-vllm -k verdict` writes what was measured to tests/data/verdict/real.json, from
where docs/verdict.md takes it (PYTHONPATH=tests .venv/bin/python -m standins.cases docs/verdict.md).
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import pytest

from standins.cases import REAL, Outcome
from standins.channels import PAGERDUTY, PAGERDUTY_HOST, Channels
from standins.program import Program, until
from standins.real_vllm import RealVllm

pytestmark = pytest.mark.real_vllm

STALLED_WITHIN_SECONDS = 30.0
LATE_SECONDS = 15.0
"""What a busy machine may be late."""

CONFIG = """
vllm:
  - name: llama
    url: {url}
    logs: [{{path: {log}}}]
gpu: {{enabled: false}}
notify:
  channels: {{pagerduty: {{url: "{pagerduty}"}}}}
  routes: [{{match: {{}}, to: [pagerduty]}}]
rules:
  engine_dead: {{quiet: 10s, up: 5s}}
"""


class Witness:
    """Asks the sidecar and vLLM's /health twice a second, and writes down every state, incident and status."""

    def __init__(self, sidecar: Program, vllm: RealVllm) -> None:
        self._sidecar = sidecar
        self._vllm = vllm
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{sidecar.port}", timeout=10, trust_env=False)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.began = time.monotonic()
        self.states: list[tuple[float, str, str]] = []
        self.incidents: list[tuple[float, str]] = []
        self.healths: set[int | None] = set()
        self._thread.start()

    def happens(self) -> None:
        """From here on it is counted."""
        self.began = time.monotonic()
        self.states, self.incidents, self.healths = self.states[-1:], [], set()

    def said(self) -> set[str]:
        """Every state since then, with the one that was said before."""
        return {state for _, state, _ in self.states}

    def seconds(self, state: str, within: float) -> float:
        """How long it took until that state was said."""

        def look() -> float | None:
            return next((at - self.began for at, each, _ in self.states if each == state and at >= self.began), None)

        return until(within, f"it is said to be {state}", look)

    def close(self) -> None:
        """Stop looking."""
        self._left.set()
        self._thread.join(20)
        self._client.close()

    def _watch(self) -> None:
        while not self._left.wait(0.5):
            try:
                status: dict[str, Any] = self._client.get("/api/v1/status").json()
            except httpx.HTTPError:
                continue
            now = time.monotonic()
            for engine in status["engines"][:1]:
                if not self.states or self.states[-1][1] != engine["state"]:
                    self.states = [*self.states, (now, engine["state"], "; ".join(engine["reasons"]))]
            rules = {rule for _, rule in self.incidents}
            new = [each["rule"] for each in status["incidents"]["open"] if each["rule"] not in rules]
            self.incidents = [*self.incidents, *((now, rule) for rule in new)]
            self.healths |= {self._vllm.health()}


@pytest.fixture
def sidecar(vllm: RealVllm, channels: Channels, tmp_path: Path) -> Iterator[Program]:
    """The program with its ordinary thresholds and intervals, started before vLLM is."""
    vllm.stop()
    vllm.log.touch()
    config = CONFIG.format(url=vllm.url, log=vllm.log, pagerduty=PAGERDUTY)
    program = Program(tmp_path, config, channels.environment)
    yield program.start()
    program.close()


@pytest.fixture
def witness(sidecar: Program, vllm: RealVllm) -> Iterator[Witness]:
    """Who sees everything."""
    watching = Witness(sidecar, vllm)
    yield watching
    watching.close()


@pytest.mark.timeout(1200)
def test_what_a_real_vllm_does_and_what_was_said(vllm: RealVllm, witness: Witness, channels: Channels) -> None:
    """No false alarm, a hang within 30 s and paged once after a minute, a death, each with its seconds."""
    acts: tuple[Callable[[RealVllm, Witness, Channels], Outcome], ...] = (
        it_starts,
        it_prefills,
        its_clients_hang_up,
        it_sleeps,
        it_hangs,
        it_goes_on,
        it_is_killed,
    )
    outcomes = [act(vllm, witness, channels) for act in acts]
    if os.environ.get("VIGIL_RECORD"):
        rows = [{name: value for name, value in asdict(each).items() if name != "real"} for each in outcomes]
        REAL.parent.mkdir(exist_ok=True)
        REAL.write_text(json.dumps(rows, indent=1) + "\n")


def it_starts(vllm: RealVllm, witness: Witness, channels: Channels) -> Outcome:
    """A start of half a minute, with the sidecar there first."""
    vllm.start()
    until(60, "it is idle", lambda: "idle" in witness.said())
    assert witness.said() <= {"unreachable", "starting", "idle"}
    assert [] == witness.incidents
    assert not channels.received(PAGERDUTY_HOST)
    seconds = next(at for at, state, _ in witness.states if state == "starting") - witness.began
    return Outcome("It is started, and loads", "refused", "starting", seconds)


def it_prefills(vllm: RealVllm, witness: Witness, _: Channels) -> Outcome:
    """Prompts of about 500 tokens, of which each asks for one token only, for 20 s."""
    witness.happens()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        vllm.complete(1, prompt="abcdefghi " * 45)
    _wait(15)
    assert witness.said() <= {"idle", "healthy"}
    assert [] == witness.incidents
    said = "healthy" if "healthy" in witness.said() else "idle"
    return Outcome("Prefills of 500 tokens, one after the other", _healths(witness), said)


def its_clients_hang_up(vllm: RealVllm, witness: Witness, _: Channels) -> Outcome:
    """60 of them, all at once."""
    connections = vllm.connected(60, 450)
    witness.seconds("healthy", 30)
    witness.happens()
    for connection in connections:
        connection.close()
    seconds = witness.seconds("idle", 60)
    _wait(45)
    assert witness.said() <= {"healthy", "idle"}
    assert [] == witness.incidents
    return Outcome("60 clients all hang up", _healths(witness), "idle", seconds)


def it_sleeps(vllm: RealVllm, witness: Witness, _: Channels) -> Outcome:
    """And is asked meanwhile; then it wakes."""
    witness.happens()
    vllm.tell("/sleep?level=1")
    seconds = witness.seconds("asleep", 30)
    threads = vllm.load(clients=2, tokens=20)
    _wait(40)
    vllm.tell("/wake_up")
    for thread in threads:
        thread.join(60)
    until(40, "it is awake", lambda: witness.states[-1][1] in ("idle", "healthy"))
    assert witness.said() <= {"idle", "asleep", "healthy"}
    assert [] == witness.incidents
    return Outcome("Put to sleep; requests come and wait", _healths(witness), "asleep", seconds)


def it_hangs(vllm: RealVllm, witness: Witness, channels: Channels) -> Outcome:
    """SIGSTOP under load: stalled within 30 s, one page after a minute, and /health says 200 all the time."""
    with vllm.busy(clients=60, tokens=450):
        until(60, "it is healthy", lambda: witness.states[-1][1] == "healthy")
        _wait(5)
        witness.happens()
        vllm.signal_engine(signal.SIGSTOP)
    seconds = witness.seconds("stalled", 60)
    assert seconds <= STALLED_WITHIN_SECONDS
    until(90, "it pages", lambda: channels.received(PAGERDUTY_HOST))
    page_seconds = time.monotonic() - witness.began
    assert 55 <= page_seconds <= 65 + LATE_SECONDS
    _wait(30)
    (page,) = channels.received(PAGERDUTY_HOST)
    assert page.document["event_action"] == "trigger"
    assert [rule for _, rule in witness.incidents] == ["engine_stalled"]
    assert witness.healths == {200}
    return Outcome(
        "SIGSTOP of the engine under load", _healths(witness), "stalled", seconds, "engine_stalled", page_seconds
    )


def it_goes_on(vllm: RealVllm, witness: Witness, channels: Channels) -> Outcome:
    """SIGCONT: healthy, and resolved under the same key."""
    witness.happens()
    with vllm.busy(clients=4, tokens=450):
        vllm.signal_engine(signal.SIGCONT)
        seconds = witness.seconds("healthy", 60)
    trigger, resolve = channels.wait_for(PAGERDUTY_HOST, 2, seconds=180)
    assert [trigger.document["event_action"], resolve.document["event_action"]] == ["trigger", "resolve"]
    assert trigger.document["dedup_key"] == resolve.document["dedup_key"]
    return Outcome("SIGCONT: the same incident resolves", _healths(witness), "healthy", seconds)


def it_is_killed(vllm: RealVllm, witness: Witness, channels: Channels) -> Outcome:
    """`kill -9` of the engine under load."""
    with vllm.busy(clients=10, tokens=450):
        _wait(15)
        witness.happens()
        vllm.kill_engine()
    seconds = witness.seconds("dead", 30)
    page = channels.wait_for(PAGERDUTY_HOST, 3, seconds=60)[2]
    assert page.document["event_action"] == "trigger"
    _wait(75)
    assert {rule for _, rule in witness.incidents} == {"engine_dead"}
    assert len(channels.received(PAGERDUTY_HOST)) == 3
    page_seconds = witness.incidents[0][0] - witness.began
    return Outcome("`kill -9` of the engine under load", "refused", "dead", seconds, "engine_dead", page_seconds)


def _healths(witness: Witness) -> str:
    return ", ".join(sorted("refused" if each is None else str(each) for each in witness.healths)) or "200"


def _wait(seconds: float) -> None:
    """Let real time pass: it is what the verdict measures."""
    deadline = time.monotonic() + seconds
    until(seconds + 1, "time passes", lambda: time.monotonic() >= deadline)
