"""A member of Alertmanager is told, whatever it answers: told again, never in a loop, and trouble is said once."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from standins.alertmanager import Alertmanager
from standins.program import free_port, until
from standins.scripted import Scripted
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.notifications.alertmanager import LEFT_OUT_SECONDS, Member
from vllm_vigil.notifications.push_settings import PushSettings, member_of
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Seconds, Secret

Answer = int | Callable[["_Handler"], None]


class Listening(Scripted):
    """A server that answers as it is told; `requests` holds path, headers and alerts of each."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.requests: list[tuple[str, dict[str, str], list[Any]]] = []
        self.answer: Answer = 200


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take alerts."""
        scene: Listening = self.server.scene  # type: ignore[attr-defined]
        alerts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        scene.requests.append((self.path, dict(self.headers), alerts))
        if callable(scene.answer):
            scene.answer(self)
        else:
            self.reply(scene.answer)

    def reply(self, status: int, body: bytes = b"no token=hunter2hunter2") -> None:
        """Answer at once."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Listening]:
    """A member that is up."""
    made = Listening()
    made.start()
    yield made
    made.close()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What our log says."""
    lines: list[str] = []
    number = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(number)


def alert(number: int = 1, **more: str) -> dict[str, Any]:
    """One of ours."""
    return {
        "labels": {"alertname": "cuda_oom", "vigil_key": f"vigil-{number}", **more},
        "annotations": {"summary": "GPU out of memory"},
        "startsAt": "2026-05-28T20:26:40.000Z",
    }


def told(
    url: str,
    steps: Callable[[Member], Awaitable[None]],
    *alerts: dict[str, Any],
    clock: CrankedClock,
    telemetry: Telemetry,
    **settings: Any,
) -> None:
    """Let a member be told by these steps."""

    async def run() -> None:
        given = {"interval": Seconds(30.0), "timeout": Seconds(5.0)} | settings
        member = Member(url, PushSettings((url,), **given), lambda: alerts, clock, telemetry)
        await steps(member)
        await member.close()

    asyncio.run(run())


async def once(member: Member) -> None:
    """One push."""
    await member.push()


async def twice(member: Member) -> None:
    """And another."""
    await member.push()
    await member.push()


def counted(telemetry: Telemetry, url: str) -> dict[str, float]:
    """The outcomes that were counted."""
    outcomes = {
        outcome: telemetry.registry.get_sample_value(
            "vigil_alertmanager_pushes_total", {"member": member_of(url), "outcome": outcome}
        )
        for outcome in ("delivered", "refused", "failed")
    }
    return {outcome: value for outcome, value in outcomes.items() if value}


def test_every_alert_is_told_at_the_api_of_today(server: Listening, clock: CrankedClock, telemetry: Telemetry) -> None:
    """One request for all, under the path that the address may have; also when there is nothing to tell."""
    told(f"{server.url}/prefix/", once, alert(1), alert(2), clock=clock, telemetry=telemetry)
    told(server.url, once, clock=clock, telemetry=telemetry)
    assert [("/prefix/api/v2/alerts", 2), ("/api/v2/alerts", 0)] == [
        (path, len(alerts)) for path, _, alerts in server.requests
    ]
    assert {"delivered": 2} == counted(telemetry, server.url)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"bearer": Secret("c4n4ry")}, "Bearer c4n4ry"),
        (
            {"username": "vigil", "password": Secret("p\u00e4ss")},
            "Basic " + base64.b64encode("vigil:p\u00e4ss".encode()).decode(),
        ),
        ({}, None),
    ],
)
def test_it_logs_in_as_it_is_told(
    server: Listening, clock: CrankedClock, telemetry: Telemetry, settings: dict[str, Any], wanted: str | None
) -> None:
    """By a token, by name and password, or not at all."""
    told(server.url, once, alert(), clock=clock, telemetry=telemetry, **settings)
    assert wanted == server.requests[0][1].get("Authorization")


@pytest.mark.parametrize("status", [301, 401, 404, 429, 500, 503])
def test_what_is_no_success_is_said_once_and_tried_again(
    server: Listening, clock: CrankedClock, telemetry: Telemetry, said: list[str], status: int
) -> None:
    """With the status and no secret; and once more when it works again."""

    async def steps(member: Member) -> None:
        server.answer = status
        await twice(member)
        server.answer = 200
        await twice(member)

    told(server.url, steps, alert(), clock=clock, telemetry=telemetry)
    assert 4 == len(server.requests)
    answered = f"it answered status {status} no token=[redacted]; tried again every 30s"
    assert [
        f"cannot push alerts to Alertmanager {member_of(server.url)}: {answered}",
        f"alerts reach Alertmanager {member_of(server.url)} again",
    ] == said
    assert {"delivered": 2, "failed": 2} == counted(telemetry, server.url)


def _drip(handler: _Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.scene.release.wait(0.02):  # type: ignore[attr-defined]
        handler.wfile.write(b"x")


def _hang(handler: _Handler) -> None:
    handler.server.scene.release.wait()  # type: ignore[attr-defined]


@pytest.mark.parametrize("answer", [_drip, _hang])
def test_a_member_that_never_ends_its_answer_is_given_up(
    server: Listening, clock: CrankedClock, telemetry: Telemetry, said: list[str], answer: Answer
) -> None:
    """One deadline for the whole of it."""
    server.answer = answer
    began = time.monotonic()
    told(server.url, once, alert(), clock=clock, telemetry=telemetry, timeout=Seconds(0.3))
    assert time.monotonic() - began < 30
    assert "no answer within 0.3s" in said[0]


def test_a_member_that_is_down_is_a_value(clock: CrankedClock, telemetry: Telemetry, said: list[str]) -> None:
    """In the system's words."""
    url = f"http://127.0.0.1:{free_port()}"
    told(url, twice, alert(), clock=clock, telemetry=telemetry)
    assert {"failed": 2} == counted(telemetry, url)
    assert ["connection refused; tried again every 30s"] == [line.rpartition(": ")[2] for line in said]


def test_a_certificate_file_that_is_none_is_a_value(
    tmp_path: Path, clock: CrankedClock, telemetry: Telemetry, said: list[str]
) -> None:
    """It can break while we run."""
    (tmp_path / "ca.pem").write_text("no certificate")
    told("https://127.0.0.1:1", once, alert(), clock=clock, telemetry=telemetry, ca_file=tmp_path / "ca.pem")
    assert 1 == len(said)


def test_it_tells_at_once_when_woken_and_else_on_its_interval(
    server: Listening, clock: CrankedClock, telemetry: Telemetry
) -> None:
    """And ends when it is cancelled."""

    async def steps(member: Member) -> None:
        running = asyncio.create_task(member.run())
        await reached(1)
        await settle()
        await clock.crank(29.0)
        assert 1 == len(server.requests)
        await clock.crank(1.0)
        await reached(2)
        member.wake()
        await reached(3)
        running.cancel()
        await asyncio.wait({running})

    async def reached(count: int) -> None:
        deadline = time.monotonic() + 60
        while (counted(telemetry, server.url).get("delivered") or 0) < count:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        await settle()

    told(server.url, steps, alert(), clock=clock, telemetry=telemetry)
    assert 3 == len(server.requests)


def test_an_alert_that_the_real_alertmanager_refuses_is_left_out_and_the_others_arrive(
    tmp_path: Path, clock: CrankedClock, telemetry: Telemetry, said: list[str]
) -> None:
    """It is found, said once, not sent again for an hour, and then tried anew."""
    real = Alertmanager(tmp_path, "http://127.0.0.1:1/", "none").start()
    bad = alert(3, **{"not a label": "x"})

    async def steps(member: Member) -> None:
        await twice(member)
        assert {"refused": 1.0} == {k: v for k, v in counted(telemetry, real.url).items() if k == "refused"}
        await clock.crank(LEFT_OUT_SECONDS)
        await member.push()

    try:
        lasting = [each | {"endsAt": "2100-01-01T00:00:00Z"} for each in (alert(1), alert(2), bad, alert(4))]
        told(real.url, steps, *lasting, clock=clock, telemetry=telemetry)
        keys = {each["labels"]["vigil_key"] for each in until(60, "alerts", real.query)}
    finally:
        real.stop()
    assert {"vigil-1", "vigil-2", "vigil-4"} == keys
    assert 2 == counted(telemetry, real.url)["refused"]
    assert 2 == len([line for line in said if "does not accept the alert of vigil-3" in line])
    assert 2 == len(said)


def test_settings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    """Each problem names its field."""
    settings = PushSettings(
        urls=(
            "ftp://a",
            "http://u:p@a:9093",
            "http://a:9093/api/v2/alerts",
            "http://[",
            "http://a b",
            "http://b",
            "http://b:80/",
        ),
        interval=Seconds(0.0),
        bearer=Secret("caf\u00e9"),
        username="vigil",
        ca_file=tmp_path / "none.pem",
    )
    assert [
        "urls[0]",
        "urls[1]",
        "urls[2]",
        "urls[3]",
        "urls[4]",
        "urls",
        "interval",
        "bearer",
        "username",
        "bearer",
        "ca_file",
    ] == [name for name, _ in settings.problems()]
    assert [] == list(PushSettings(urls=("https://am.example/prefix",)).problems())
