"""The daemon's probe asks one thing at a time, tells the verdict what came, and lets no word of it out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest
from loguru import logger

from standins.completions import Answering, by_prompt, hangs, refuses, says
from standins.vllm import StandInVllm
from vllm_vigil.clock import CrankedClock
from vllm_vigil.endpoint import Endpoint
from vllm_vigil.model import Snapshot
from vllm_vigil.probe.answer import Proven
from vllm_vigil.probe.checks import PromptSettings
from vllm_vigil.probe.prober import Prober
from vllm_vigil.probe.settings import ProbeSettings
from vllm_vigil.probe.suite import Suite
from vllm_vigil.units import Seconds

CANARY = "c4n4ry-d0-n0t-sh0w"
SUITE = Suite(
    prompts={
        "capital": PromptSettings(prompt=f"France {CANARY}?", must_contain=("Paris",)),
        "short": PromptSettings(prompt="brief?", max_characters=10),
    }
)


class Scene:
    """A prober of a stand-in, the clock that it lives by, and what it told."""

    def __init__(self, vllm: StandInVllm, clock: CrankedClock) -> None:
        self.vllm = vllm
        self.clock = clock
        self.told: list[Proven] = []

    def play(self, settings: ProbeSettings, scene: Callable[[Prober], None], rounds: int = 1) -> Snapshot:
        """Let a prober consider its server as the scene says, a minute apart, each time up to the end of its round."""

        async def run() -> Snapshot:
            prober = Prober(Endpoint("llama", self.vllm.url), settings, self.clock, self.told.append)
            task = asyncio.ensure_future(prober.run())
            for count in range(1, rounds + 1):
                scene(prober)
                await self._end(prober, count)
                await self.clock.crank(60)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return prober.snapshot()

        return asyncio.run(run())

    async def _end(self, prober: Prober, count: int) -> None:
        deadline = time.monotonic() + 60
        while prober.rounds < count:
            assert time.monotonic() < deadline, "the probe did not come to its end in time"
            await asyncio.sleep(0.005)


def doubt(prober: Prober) -> None:
    """The signs disagree."""
    prober.consider(doubted=True, serving=False)


def serve(prober: Prober) -> None:
    """All is well."""
    prober.consider(doubted=False, serving=True)


def values(snapshot: Snapshot, name: str) -> dict[str, float]:
    """The points of a series by outcome, "" for those without; each must name its server."""
    points = snapshot.points(name)
    assert {"llama"} >= {dict(point.labels)["server"] for point in points}
    return {dict(point.labels).get("outcome", ""): point.value for point in points}


def counts(snapshot: Snapshot) -> dict[str, float]:
    """The outcomes that there were."""
    return {name: count for name, count in values(snapshot, "llm_probe_requests_total").items() if count}


@pytest.fixture
def vllm() -> Iterator[StandInVllm]:
    with StandInVllm() as server:
        server.model = "tiny"
        server.complete = says("once")
        yield server


@pytest.fixture
def scene(vllm: StandInVllm, clock: CrankedClock) -> Scene:
    return Scene(vllm, clock)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged, a line each."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message).strip()), format="{level} {message}")
    yield lines
    logger.remove(sink)


ON = ProbeSettings(enabled=True, timeout=Seconds(5.0))


def test_before_the_first_probe_only_the_counter_is_there(vllm: StandInVllm, clock: CrankedClock) -> None:
    """Born at 0 in every outcome; what is not known is absent."""
    snapshot = Prober(Endpoint("llama", vllm.url), ON, clock, lambda _: None).snapshot()
    assert dict.fromkeys(("ok", "failed", "timeout", "refused"), 0.0) == values(snapshot, "llm_probe_requests_total")
    assert ["llm_probe_requests_total"] == list(snapshot.series)


def test_a_token_that_comes_is_told_and_counted(scene: Scene) -> None:
    """With when the request was made, so that the verdict can set it against the last step."""
    began = scene.clock.wall()
    snapshot = scene.play(ON, doubt)
    assert [Proven("llama", answered=True, began=began, words="")] == scene.told
    assert {"ok": 1.0} == counts(snapshot)
    assert {"": 1.0} == values(snapshot, "llm_probe_success")
    assert values(snapshot, "llm_probe_time_to_first_token_seconds")
    assert values(snapshot, "llm_probe_duration_seconds")


@pytest.mark.parametrize(
    ("complete", "outcome", "answered"),
    [(hangs, "timeout", [False]), (refuses(500, {}), "failed", [False]), (refuses(404, {}), "refused", [])],
)
def test_a_token_that_does_not_come_is_told_too(
    scene: Scene, complete: Answering, outcome: str, answered: list[bool]
) -> None:
    """But a request that was not taken says nothing of the engine."""
    scene.vllm.complete = complete
    snapshot = scene.play(ProbeSettings(enabled=True, timeout=Seconds(0.3)), doubt)
    assert answered == [proven.answered for proven in scene.told]
    assert {outcome: 1.0} == counts(snapshot)
    assert {"": 0.0} == values(snapshot, "llm_probe_success")
    assert {} == values(snapshot, "llm_probe_time_to_first_token_seconds")


def test_never_more_than_one_request_is_on_its_way(vllm: StandInVllm, clock: CrankedClock) -> None:
    """Not after ten minutes of doubt either, while the first has not come to its end."""
    vllm.complete = hangs

    async def run() -> None:
        prober = Prober(Endpoint("llama", vllm.url), ON, clock, lambda _: None)
        task = asyncio.ensure_future(prober.run())
        deadline = time.monotonic() + 60
        while not vllm.prompts:
            assert time.monotonic() < deadline
            doubt(prober)
            await asyncio.sleep(0.005)
        for _ in range(10):
            await clock.crank(60)
            doubt(prober)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert 1 == len(vllm.prompts)


def test_a_canary_asks_its_suite_and_names_what_is_not_met(scene: Scene, log: list[str]) -> None:
    """By prompt and check; of prompt, answer and what it should hold nothing is told."""
    settings = ProbeSettings(enabled=True, every=Seconds(60.0), suite=SUITE)
    scene.vllm.complete = by_prompt({"France": f"Lyon {CANARY}", "brief": "yes"})
    snapshot = scene.play(settings, serve, rounds=2)
    assert {"ok": 2.0, "failed": 2.0} == counts(snapshot)
    assert {"": 0.0} == values(snapshot, "llm_probe_success")
    assert [True] * 4 == [proven.answered for proven in scene.told]
    assert ["WARNING the probe of llama came to no good end: capital: must_contain not met"] == log
    assert CANARY not in str((snapshot, scene.told))


def test_trouble_is_said_once_and_when_it_is_over(scene: Scene, log: list[str]) -> None:
    """Three rounds that fail and one that does not."""
    answers = [refuses(500, {})] * 3 + [says("once")]

    def asked(prober: Prober) -> None:
        scene.vllm.complete = answers.pop(0)
        doubt(prober)

    scene.play(ON, asked, rounds=4)
    assert [
        "WARNING the probe of llama came to no good end: /v1/completions answered status 500",
        "INFO the probe of llama comes to a good end again",
    ] == log


def test_the_model_is_the_one_that_is_set_or_the_first_that_the_server_names(scene: Scene) -> None:
    """A server with adapters has several."""
    scene.play(ON, doubt)
    scene.vllm.model = None
    scene.play(ProbeSettings(enabled=True, model="adapter"), doubt)
    assert ["tiny", "adapter"] == [prompt["model"] for prompt in scene.vllm.prompts]


def test_a_ca_file_that_cannot_be_used_is_said(
    vllm: StandInVllm, clock: CrankedClock, log: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And costs the probe, not the sidecar."""
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    file.write_text("nonsense")
    scene = Scene(vllm, clock)

    async def run() -> Snapshot:
        prober = Prober(Endpoint("llama", "https://127.0.0.1:9", ca_file=file), ON, clock, scene.told.append)
        task = asyncio.ensure_future(prober.run())
        doubt(prober)
        await scene._end(prober, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return prober.snapshot()

    assert {"failed": 1.0} == counts(asyncio.run(run()))
    assert len(log) == 1
    assert "cannot use ca_file" in log[0]
    assert [] == scene.told
