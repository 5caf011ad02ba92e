"""Lines to outbox rows, one transaction per step: nothing is lost or doubled wherever a step is cut off."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from standins.channels import DISCORD, PAGERDUTY, SLACK, TELEGRAM, Channels
from standins.mail import Mail
from vllm_vigil.app.alert_half import AlertHalf
from vllm_vigil.app.ledger import Parts
from vllm_vigil.clock import CrankedClock
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.events.record import Joiner
from vllm_vigil.incidents.alertmanager import Alert
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.incidents.told import Told
from vllm_vigil.lines.reader import Reader
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.model import Finding, Outcome, Reason
from vllm_vigil.notifications.channel import Channel
from vllm_vigil.notifications.message import Style, compose
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Secret
from vllm_vigil.verdict.judge import Judgement

CRASH = (Path(__file__).parents[1] / "data" / "captures" / "server-0.32.0-engine-killed.log").read_bytes()
SETTINGS = NotifySettings({"slack": ChannelSettings(Secret("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"))})


class Scene:
    """One alert half over a log and a state file, which outlive it."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "vllm.log"
        self.log.touch()
        self.heard: list[tuple[str, str]] = []
        self._directory = directory
        self.clock = CrankedClock()

    def half(self, store: Store) -> AlertHalf:
        """The parts as after a start."""
        telemetry = Telemetry(self.clock)
        joiner, incidents = Joiner(telemetry, self.clock), Incidents(RULES)
        joiner.restore(store.memory("records"))
        incidents.restore(store.memory("incidents"), store.open_incidents())
        reader = Reader({"llama": (LogSettings(str(self.log)),)}, store.positions(), telemetry, self.clock)
        outbox = Outbox(store, SETTINGS, self.clock, wake=lambda _: None)
        told = Told(RULES["alertmanager"], {"llama"}, 3600.0, own=frozenset)
        parts = Parts(reader, joiner, Detector(PATTERNS), incidents, told, outbox, store)
        return AlertHalf(parts, self.clock, telemetry, hear=lambda server, life, _: self.heard.append((server, life)))

    def open(self) -> Store:
        """The state file."""
        return Store.open(self._directory / "state")


def outcome(store: Store) -> tuple[list[str], list[tuple[str, Reason]]]:
    """What a restart would find: open rules, and who is to be told."""
    rules = [incident.rule for incident in store.open_incidents()]
    return rules, [(row.channel, row.reason) for row, _ in store.rows.waiting()]


QUIET_SECONDS = 300.0
ONE_PAGE = (["engine_dead"], [("slack", Reason.FIRST)])


@pytest.mark.parametrize("cut", range(12))
def test_a_step_that_is_cut_off_anywhere_loses_nothing(tmp_path: Path, cut: int) -> None:
    """A stop cancels the step; what it had begun is finished by the last read."""
    scene = Scene(tmp_path)

    async def play(store: Store) -> None:
        half = scene.half(store)
        await half.step()
        scene.log.write_bytes(CRASH)
        step = asyncio.create_task(half.step())
        for _ in range(cut):
            await asyncio.sleep(0.0005 if cut % 2 else 0)
        step.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await step
        await half.close()

    store = scene.open()
    asyncio.run(play(store))
    assert outcome(store) == ONE_PAGE
    store.close()


def test_a_restart_goes_on_where_the_last_commit_stood(tmp_path: Path) -> None:
    """The same log is not judged twice, and the incident keeps its key."""
    scene = Scene(tmp_path)

    async def play(store: Store) -> None:
        half = scene.half(store)
        await half.step()
        await half.close()

    store = scene.open()
    asyncio.run(play(store))
    scene.log.write_bytes(CRASH)
    asyncio.run(play(store))
    (key,) = [incident.key for incident in store.open_incidents()]
    asyncio.run(play(store))
    assert outcome(store) == ONE_PAGE
    assert [incident.key for incident in store.open_incidents()] == [key]
    store.close()


def test_news_is_kept_at_once_and_more_of_the_same_once_a_second(tmp_path: Path) -> None:
    """A flood of errors must not be a flood of commits; what is not kept yet would be read again."""
    scene = Scene(tmp_path)

    async def play(store: Store) -> list[float]:
        half, lasted = scene.half(store), []
        await half.step()
        for seconds in (0.0, 0.5, 0.5):
            await scene.clock.crank(seconds)
            with scene.log.open("a") as log:
                log.write("Nov 21 03:05:31 node kernel: NVRM: Xid (PCI:0000:3b:00): 119, pid=1, Timeout\n")
            await half.step()
            lasted += [incident.updated - incident.opened for incident in store.open_incidents()]
        return lasted

    store = scene.open()
    assert [0.0, 0.0, 1.0] == asyncio.run(play(store))
    store.close()


def test_the_verdict_hears_what_the_log_says_of_the_server_s_life(tmp_path: Path) -> None:
    """Ready, and dead, so that a closed port has its reason."""
    scene = Scene(tmp_path)

    async def play(store: Store) -> None:
        half = scene.half(store)
        await half.step()
        scene.log.write_bytes(CRASH)
        await half.close()

    store = scene.open()
    asyncio.run(play(store))
    store.close()
    assert set(scene.heard) == {
        ("llama", "starting"),
        ("llama", "loading"),
        ("llama", "warming"),
        ("llama", "ready"),
        ("llama", "dead"),
    }
    assert scene.heard[-1] == ("llama", "dead")


ALERT = Alert("a", firing=True, started=1_780_000_000.0, ended=None, labels={"alertname": "A"}, annotations={})
STALLED = Finding("engine_stalled", "llama", holds=True, since=1_780_000_000.0, summary="llama hangs")
TICK = Judgement((), (), {"llama": None})


def test_what_a_tick_finds_while_lines_are_ahead_waits_for_the_step_but_not_for_a_disk_that_hangs(
    tmp_path: Path,
) -> None:
    """Lines and findings meet in one incident, which is written with the positions; a page waits one tick for them."""
    scene = Scene(tmp_path)

    async def play(store: Store) -> list[list[str]]:
        half, kept = scene.half(store), []
        await half.step()
        scene.log.write_bytes(CRASH)
        step = asyncio.create_task(half.step())
        while half._saving is None:
            await asyncio.sleep(0)
        step.cancel()  # as far as the ticks can see, the disk does not say where the log was left
        for tell in (lambda: half.weigh([STALLED], TICK), lambda: half.take([ALERT]), lambda: half.weigh([], TICK)):
            tell()
            kept.append([incident.rule for incident in store.open_incidents()])
        await half.close()
        return kept

    store = scene.open()
    assert [[], ["alertmanager"], ["alertmanager", "engine_stalled"]] == asyncio.run(play(store))
    store.close()


def test_a_finding_becomes_an_incident_and_a_row_at_once(tmp_path: Path) -> None:
    """The metrics half needs no log."""
    scene = Scene(tmp_path)
    store = scene.open()
    half = scene.half(store)
    half.weigh([STALLED], TICK)
    assert outcome(store) == (["engine_stalled"], [("slack", Reason.FIRST)])
    store.close()


@pytest.mark.parametrize(
    "step", [-86_400.0, -600.0, 7200.0, 86_400.0], ids=["a day back", "10 min back", "2 h on", "a day on"]
)
def test_a_clock_that_is_set_ends_no_incident_and_delays_no_page(tmp_path: Path, step: float) -> None:
    """NTP that corrects it, a machine that was suspended: quiet is what was quiet by the monotonic clock."""
    scene = Scene(tmp_path)
    store = scene.open()
    half, clock = scene.half(store), scene.clock
    hangs = Finding("engine_stalled", "llama", holds=True, since=clock.wall(), summary="llama hangs")
    half.weigh([hangs], Judgement((), (), {}))
    (row,) = [row for row, _ in store.rows.waiting()]
    store.rows.postpone(row.id, clock.wall() + 60.0, Outcome.RETRY, "")
    half.weigh([replace(hangs, holds=False)], Judgement((), (), {}))
    clock.set_by(step)
    half.weigh([], Judgement((), (), {}))
    assert ["engine_stalled"] == [incident.rule for incident in store.open_incidents()]
    assert [clock.wall() + 60.0] == [at for _, at in store.rows.waiting()]
    assert [clock.wall()] == [incident.opened for incident in half.open()]
    clock.lapse(QUIET_SECONDS)
    half.weigh([], Judgement((), (), {}))
    assert [] == store.open_incidents()
    store.close()


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0], ids=["a day back", "a day on"])
def test_a_clock_that_is_set_ends_no_alert_of_alertmanager_and_keeps_none(tmp_path: Path, step: float) -> None:
    """Its time to live runs by the time in which it could have been told again."""
    scene = Scene(tmp_path)
    store = scene.open()
    half, clock = scene.half(store), scene.clock
    half.take([Alert("a", firing=True, started=clock.wall(), ended=None, labels={"alertname": "A"}, annotations={})])
    clock.set_by(step)
    half.weigh([], Judgement((), (), {}))
    assert 1 == len(half.open())
    clock.lapse(3600.0)
    half.weigh([], Judgement((), (), {}))
    assert [] == half.open()
    store.close()


def test_bytes_that_are_no_text_reach_every_service_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be decoded is replaced where lines become records: store and services can encode what they get."""
    scene = Scene(tmp_path)
    store = scene.open()

    async def play() -> None:
        half = scene.half(store)
        await half.step()
        said = (
            b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB. \xff\xed\xa0\x80\xc3\x28\x00 GPU 0"
        )
        scene.log.write_bytes(b"ERROR 11-26 12:00:00 [core.py:1] " + said + b"\n")
        await half.close()

    asyncio.run(play())
    ((row, _),) = store.rows.waiting()
    message = compose(row, scene.clock.wall(), Style(evidence=True))
    assert "cuda_oom" == row.incident.rule
    assert "\ufffd" in message.body
    assert message.body == message.body.encode().decode()
    store.close()
    with Channels() as channels, Mail() as mail:
        for name, value in channels.environment.items():
            monkeypatch.setenv(name, value)
        urls = (SLACK, PAGERDUTY, DISCORD, TELEGRAM, channels.webhook, channels.ntfy)
        for url in (*urls, mail.url):
            assert Outcome.DELIVERED is Channel("c", Secret(url)).send(message, row.incident.key).outcome
        assert len(urls) == len(channels.received())
        for request in channels.received():
            assert "2 GiB. \ufffd" in str(request.document), request.host
        (sent,) = mail.handler.mails
    text = "".join(part.get_content() for part in sent.walk() if not part.is_multipart())
    assert "2 GiB. \ufffd" in text
