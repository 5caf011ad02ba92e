"""The play, moved on by hand: each mood shows what the real trouble shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_vigil.demo.script import DAY, Act, Mood, Scene, only
from vllm_vigil.demo.stage import Stage

BEGUN = 1_780_000_000.0


class Hand:
    """A stage and the time on it."""

    def __init__(self, directory: Path) -> None:
        self.stage = Stage(directory)
        self.now = BEGUN

    def play(self, *scenes: Scene) -> Hand:
        """Take it through scenes, second by second."""
        for scene in scenes:
            self.stage.enter(scene, self.now)
            for _ in range(int(scene.seconds)):
                self.now += 1.0
                self.stage.live(self.now, 1.0, scene)
        return self

    def value(self, name: str, label: str = "", *, engine: int = 0, server: str = "chat") -> float:
        """A number of an engine."""
        return self.stage.servers[server].engines[engine].numbers.get(name, label)


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    """A stage that serves."""
    return Hand(tmp_path).play(Scene("start", 30))


def acting(act: Act, seconds: float = 30) -> Scene:
    """A scene of chat's."""
    return Scene("", seconds, only(chat=act))


def test_a_hang_takes_no_step_and_goes_on_saying_that_it_is_well(hand: Hand) -> None:
    """One engine of two: the other works on."""
    before = [hand.value("generation_tokens_total", engine=engine) for engine in (0, 1)]
    hand.play(acting(Act(Mood.HANGING, engine=1)))
    after = [hand.value("generation_tokens_total", engine=engine) for engine in (0, 1)]
    assert (True, True) == (after[0] > before[0], after[1] == before[1])
    chat = hand.stage.servers["chat"]
    assert (200, True, True) == (chat.health, chat.is_open, hand.value("num_requests_running", engine=1) > 0)


def test_a_spinning_kernel_keeps_its_gpu_busy_at_little_power(hand: Hand) -> None:
    """100 % utilisation, no memory traffic, hardly more than idle watts."""
    hand.play(acting(Act(Mood.SPINNING)))
    gpu = hand.stage.machine.gpus[0]
    assert "UtilizationRates 100 0" in list(gpu.lines())
    assert 150 > gpu.watts


def test_gauges_freeze_when_all_clients_hang_up(hand: Hand) -> None:
    """They show the last step's work, and nothing is held."""
    hand.play(acting(Act(Mood.FROZEN, 0)))
    assert hand.value("num_requests_running") > 0
    assert 0 == hand.stage.servers["chat"].connections


def test_long_answers_fill_the_cache_and_preempt(hand: Hand) -> None:
    """And a queue builds up."""
    hand.play(acting(Act(rate=4, answers=7, prompts=2), 90))
    assert hand.value("num_preemptions_total") > 10
    assert hand.value("kv_cache_usage_perc") > 0.9
    assert hand.value("num_requests_waiting") > 0


def test_a_start_begins_every_counter_anew(hand: Hand) -> None:
    """And shuts the port until it has loaded."""
    assert hand.value("generation_tokens_total") > 100
    hand.play(acting(Act(Mood.DOWN, 0, log="cuda_oom"), 5))
    assert not hand.stage.servers["chat"].is_open
    hand.play(acting(Act(rate=0, log="ready"), 1))
    assert 0 == hand.value("generation_tokens_total")


def test_a_sleeping_engine_says_so_and_gives_its_memory_back(hand: Hand) -> None:
    """Level 1; it is woken by the next act."""
    hand.play(acting(Act(Mood.ASLEEP, 0)))
    assert (0.0, 1.0) == tuple(hand.value("engine_sleep_state", state) for state in ("awake", "weights_offloaded"))
    assert 2 * 2**30 > hand.stage.machine.gpus[0].used_bytes
    hand.play(acting(Act()))
    assert 1.0 == hand.value("engine_sleep_state", "awake")


def test_heat_slows_a_gpu_down_and_its_engine_with_it(hand: Hand) -> None:
    """The reasons say hardware and heat, the clock falls, the counter of time goes up."""
    hand.play(Scene("", 90, only(chat=Act(rate=8)), hot=frozenset({0})))
    gpu = hand.stage.machine.gpus[0]
    assert (True, 1125) == (gpu.is_throttled, gpu.megahertz)
    assert gpu.throttled_seconds > 10
    hand.play(Scene("", 60))
    assert not gpu.is_throttled


def test_a_lost_gpu_answers_nothing_and_its_xid_stays_told(hand: Hand) -> None:
    """Until it is back."""
    hand.play(Scene("", 2, lost=frozenset({3}), xids=((3, 79),)))
    assert "gpu3 * !15" in hand.stage.machine.text()
    hand.play(Scene("", 2))
    assert "gpu3 * !15" not in hand.stage.machine.text()
    assert "event.1 3 8 79" in hand.stage.machine.text()


def test_the_same_seed_gives_the_same_day(tmp_path: Path) -> None:
    """To the last token."""
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    pages = [Hand(each).play(*DAY[:4]).stage.servers["chat"].page() for each in (first, second)]
    assert pages[0] == pages[1]


def test_the_day_shows_every_trouble_there_is_a_mood_for() -> None:
    """Those that only the tests of alerts want aside; and the day takes ten minutes at most."""
    shown = {act.mood for scene in DAY for act in scene.acts.values()}
    assert set(Mood) - {Mood.DEAD, Mood.MUTE, Mood.SHUT} == shown | {Mood.SERVING}
    assert 620 > sum(scene.seconds for scene in DAY)
