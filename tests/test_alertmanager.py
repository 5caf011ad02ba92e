"""The real program and the real Alertmanager, both ways, with a restart of each side in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from standins.alertmanager import Alertmanager
from standins.channels import SLACK, SLACK_HOST, Behaviour, Channels
from standins.program import Program, until
from standins.vllm import StandInVllm
from vllm_vigil.incidents.told import MAX_OPEN

DATA = Path(__file__).parent / "data"
PAGE = (DATA / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()
CRASH = (DATA / "captures" / "server-0.32.0-engine-killed.log").read_bytes()
TOKEN = "c4n4ry-webhook-token"

CONFIG = """
vllm:
  - name: llama
    url: {url}
    interval: 200ms
    logs: [{{path: {log}}}]
gpu: {{enabled: false}}
host: {{enabled: false}}
rules: {{engine_dead: {{quiet: {quiet}, up: 0s}}}}
notify: {{channels: {{slack: {{url: "{slack}"}}}}}}
alertmanager: {{urls: [{alertmanager}], interval: 500ms, webhook_token: {token}}}
"""


def moment(seconds: float) -> str:
    """RFC 3339, so many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


STARTED = moment(-5)


class Scene:
    """A server, its log, the sidecar, Slack, and an Alertmanager that knows the way to the sidecar."""

    def __init__(self, directory: Path, vllm: StandInVllm, channels: Channels) -> None:
        self.log = directory / "vllm.log"
        self.log.touch()
        self.channels = channels
        self._vllm = vllm
        self.program = Program(directory, "", channels.environment)
        self.webhook = f"http://127.0.0.1:{self.program.port}/api/v1/alerts/webhook"
        self.alertmanager = Alertmanager(directory / "alertmanager", self.webhook, TOKEN)
        self.configure()

    def configure(self, *others: Alertmanager, quiet: str = "10m") -> None:
        """Push to other members too, and let a dead engine count as over after so long a quiet."""
        self.program.config.write_text(
            CONFIG.format(
                url=self._vllm.url,
                log=self.log,
                slack=SLACK,
                alertmanager=", ".join(member.url for member in (self.alertmanager, *others)),
                token=TOKEN,
                quiet=quiet,
            )
        )

    def start(self) -> None:
        """Everything."""
        self.alertmanager.start()
        self.program.start()
        until(60, "ready", lambda: self.program.get("/-/ready").status_code == 200)

    def restart_program(self) -> None:
        """The sidecar ends and begins again."""
        self.program.stop()
        self.program.start()

    def restart_alertmanager(self) -> None:
        """Alertmanager ends, forgets its alerts, and begins again."""
        self.alertmanager.stop()
        self.alertmanager.start()

    def titles(self) -> list[str]:
        """The first lines that Slack got."""
        return [str(each.document["attachments"][0]["title"]) for each in self.channels.received(SLACK_HOST)]

    def firing(self, member: Alertmanager | None = None) -> list[dict[str, Any]]:
        """What amtool shows of ours."""
        return [alert for alert in (member or self.alertmanager).query() if "vigil_key" in alert["labels"]]

    def crash(self) -> None:
        """Let the log of a real crash be written."""
        with self.log.open("ab") as stream:
            stream.write(CRASH)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """All of it, not started yet."""
    with StandInVllm(PAGE) as vllm, Channels() as channels:
        made = Scene(tmp_path, vllm, channels)
        yield made
        made.program.close()
        made.alertmanager.stop()


def test_our_incident_is_an_alert_there_until_it_is_over(scene: Scene) -> None:
    """A crash appears in `amtool alert query`, again after a restart of either side, and is resolved there."""
    scene.start()
    scene.crash()
    (alert,) = until(60, "the alert is there", scene.firing)
    (incident,) = scene.program.status()["incidents"]["open"]
    assert {
        "alertname": "engine_dead",
        "severity": "critical",
        "server": "llama",
        "vigil_key": incident["key"],
    } == alert["labels"]
    assert alert["annotations"]["description"].startswith("Restart vLLM")

    scene.restart_alertmanager()
    assert [alert["fingerprint"]] == [each["fingerprint"] for each in until(60, "it is told again", scene.firing)]
    scene.restart_program()
    assert [alert["labels"]] == [each["labels"] for each in until(60, "it is still told", scene.firing)]

    scene.configure(quiet="1s")
    scene.program.post("/-/reload")
    until(60, "the incident is over", lambda: not scene.program.status()["incidents"]["open"])
    until(60, "the alert is over", lambda: not scene.firing())
    until(60, "it came back to us", lambda: told(scene, "own"))
    assert told(scene, "opened") == 0, "ours is no news"
    assert len(scene.channels.wait_for(SLACK_HOST, 2)) == 2


def test_an_alert_of_alertmanager_is_told_once_and_resolved_once(scene: Scene) -> None:
    """Firing and resolved reach Slack, one message each, whichever side is started again in between."""
    scene.start()
    alert = {
        "labels": {"alertname": "KVCacheFull", "severity": "page", "server": "llama"},
        "annotations": {"summary": "the KV cache is full <!channel>"},
        "startsAt": moment(-5),
        "endsAt": moment(600),
    }
    scene.alertmanager.add(alert)
    scene.channels.wait_for(SLACK_HOST, 1)
    (incident,) = scene.program.status()["incidents"]["open"]
    assert ("alertmanager", "critical", "llama") == (incident["rule"], incident["severity"], incident["server"])

    scene.restart_program()
    scene.restart_alertmanager()
    scene.alertmanager.add(alert)
    time.sleep(1.5)  # time in which it would be told again, or pushed back
    assert len(scene.titles()) == 1
    assert scene.firing() == []

    scene.alertmanager.add({**alert, "endsAt": moment(-1)})
    scene.channels.wait_for(SLACK_HOST, 2)
    assert scene.program.status()["incidents"]["open"] == []
    scene.restart_program()
    scene.alertmanager.add({**alert, "endsAt": moment(-1)})
    time.sleep(1.5)  # time in which a third would come
    first, second = scene.titles()
    assert first.startswith("CRITICAL: KVCacheFull: the KV cache is full \u2039!channel\u203a on llama")
    assert second.startswith("RESOLVED: KVCacheFull")


def test_each_member_is_told_and_two_that_tell_the_same_are_heard_once(scene: Scene, tmp_path: Path) -> None:
    """Two members that do not know of each other: the worst that a cluster can do."""
    other = Alertmanager(tmp_path / "other", scene.webhook, TOKEN)
    scene.configure(other)
    alert = {"labels": {"alertname": "KVCacheFull"}, "startsAt": STARTED, "endsAt": moment(600)}
    try:
        other.start()
        scene.start()
        scene.crash()
        for member in (scene.alertmanager, other):
            until(60, "the member is told", lambda member=member: scene.firing(member))  # type: ignore[misc]  # bound
        for ends, times in ((alert["endsAt"], 2), (moment(-1), 4)):
            for member in (scene.alertmanager, other):
                member.add({**alert, "endsAt": ends})
            until(60, "both have told it", lambda times=times: heard(scene) == times)  # type: ignore[misc]  # bound
        scene.channels.wait_for(SLACK_HOST, 3)
    finally:
        other.stop()
    assert (1, 1, 2) == (told(scene, "opened"), told(scene, "resolved"), told(scene, "known"))
    titles = [title for title in scene.titles() if "KVCacheFull" in title]
    assert ["WARNING", "RESOLVED"] == [title.partition(":")[0] for title in titles]


def test_what_is_told_while_the_sidecar_is_away_arrives_after_it(scene: Scene) -> None:
    """Alertmanager tries again until it is taken."""
    scene.start()
    scene.program.stop()
    scene.alertmanager.add({"labels": {"alertname": "Late"}, "endsAt": moment(600)})
    until(60, "it was tried", lambda: "connection refused" in scene.alertmanager.said())
    scene.program.start()
    scene.channels.wait_for(SLACK_HOST, 1)
    assert [title.partition(",")[0] for title in scene.titles()] == ["WARNING: Late"]


def test_what_was_answered_200_outlives_kill_9(scene: Scene) -> None:
    """It was on the disk before the answer; nothing of the sender's is in the answers to junk."""
    scene.channels.answer(SLACK_HOST, Behaviour.HANG)
    scene.program.start()
    assert (401, 400) == (
        send(scene, {"version": "4"}, token="c4n4ry").status_code,
        send(scene, {"version": "c4n4ry"}).status_code,
    )
    assert "c4n4ry" not in send(scene, {"version": "c4n4ry"}).text
    assert 200 == send(scene, document("firing", 1)).status_code
    scene.program.kill()
    scene.channels.answer(SLACK_HOST, Behaviour.ACCEPT)
    scene.program.start()
    until(60, "it is told", lambda: any("A0" in title for title in scene.titles()))
    (incident,) = scene.program.status()["incidents"]["open"]
    assert "A0" == incident["title"]


def test_more_than_is_kept_is_to_be_sent_again(scene: Scene) -> None:
    """503 while it is full, 200 once there is room."""
    text = scene.program.config.read_text()
    scene.program.config.write_text("\n".join(line for line in text.splitlines() if not line.startswith("notify")))
    scene.program.start()
    assert 503 == send(scene, document("firing", MAX_OPEN + 1)).status_code
    assert MAX_OPEN == len(scene.program.status()["incidents"]["open"])
    assert 200 == send(scene, document("resolved", 1)).status_code
    assert 200 == send(scene, document("firing", MAX_OPEN + 1)).status_code


def document(status: str, count: int) -> dict[str, Any]:
    """What Alertmanager sends of so many alerts."""
    alerts = [
        {"status": status, "labels": {"alertname": f"A{number}"}, "startsAt": STARTED, "endsAt": moment(0)}
        for number in range(count)
    ]
    return {"version": "4", "groupKey": "{}:{}", "status": status, "alerts": alerts}


def send(scene: Scene, body: dict[str, Any], token: str = TOKEN) -> httpx.Response:
    """As Alertmanager does."""
    url = f"http://127.0.0.1:{scene.program.port}/api/v1/alerts/webhook"
    return httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60)


def test_a_member_that_is_down_is_said_once_and_told_when_it_is_back(scene: Scene) -> None:
    """One line in the log when it goes, one when it comes; no credentials in them."""
    scene.program.start()
    until(60, "it failed twice", lambda: (pushes(scene, "failed") or 0) >= 2)
    scene.alertmanager.start()
    until(60, "it was told", lambda: pushes(scene, "delivered"))
    said = [line for line in scene.program.output.read_text().splitlines() if "Alertmanager" in line]
    assert 2 == len(said), said
    assert "connection refused; tried again every 0.5s" in said[0]
    assert "again" in said[1]


def told(scene: Scene, outcome: str) -> float | None:
    """How many alerts Alertmanager told of that came to this."""
    return scene.program.value("vigil_alertmanager_alerts_total", outcome=outcome)


def heard(scene: Scene) -> float:
    """How many alerts Alertmanager told of, whatever came of them."""
    return sum(told(scene, outcome) or 0 for outcome in ("opened", "resolved", "known"))


def pushes(scene: Scene, outcome: str) -> float | None:
    """How often the member was told."""
    return scene.program.value("vigil_alertmanager_pushes_total", outcome=outcome)
