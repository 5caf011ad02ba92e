"""Planted secrets, looked for in everything that leaves the real program or that it leaves behind."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from standins.channels import DISCORD, DISCORD_HOST, PAGERDUTY, PAGERDUTY_HOST, SLACK, SLACK_HOST, Channels
from standins.program import Program, until
from standins.vllm import StandInVllm

DATA = Path(__file__).parent / "data"
PAGE = (DATA / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()
OUT_OF_MEMORY = (DATA / "samples" / "cuda-oom-serving-v0.19.log").read_text()
CANARY = "c4n4ry"
LABEL = f"sk-{CANARY}-api-key-as-a-model-name"
"""What a series of vLLM calls its model: a name, which `/metrics` hands on as it is and nothing else does."""
SECRETS = (
    f"Authorization: Bearer {CANARY}Bearer0123456789",
    f"hf_{CANARY}HubTokenAbCdEfGh",
    f"sk-{CANARY}-api-key-0123456789",
    f"api_key={CANARY}ApiKey99",
    f"https://user:{CANARY}Pass@proxy.example/",
    f"https://hooks.slack.com/services/T0/B0/{CANARY}Hook",
    f"prompt: 'my name is {CANARY} and'",
    f'messages=[{{"role": "user", "content": "{CANARY}"}}]',
    f"{CANARY}.person@example.com",
    f"eyJ{CANARY}AbCdEf.{CANARY}Payload.{CANARY}Signature",
    f"data:image/png;base64,{CANARY}AAAABBBBCCCC",
)

CONFIG = """
vllm:
  - name: llama
    url: {url}
    interval: 200ms
    headers: {{Authorization: "Bearer c4n4ryOwnToken"}}
    logs: [{{path: {log}}}]
gpu: {{enabled: false}}
web: {{public_url: "https://vigil.example/"}}
alertmanager: {{webhook_token: "c4n4ryWebhookToken01"}}
notify:
  evidence: true
  channels:
    slack: {{url: "{slack}"}}
    pagerduty: {{url: "{pagerduty}"}}
    discord: {{url: "{discord}"}}
"""


def test_no_planted_secret_leaves_the_program_or_stays_in_it(channels: Channels, tmp_path: Path) -> None:
    """Not in a message, even with evidence, the page, our log, state or a bundle; in `/metrics` as a label only."""
    log = tmp_path / "vllm.log"
    log.touch()
    with StandInVllm(PAGE.replace(model_of(PAGE), LABEL)) as vllm:
        config = CONFIG.format(url=vllm.url, log=log, slack=SLACK, pagerduty=PAGERDUTY, discord=DISCORD)
        program = Program(tmp_path, config, channels.environment)
        program.start()
        try:
            until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
            until(60, "series", lambda: program.value("llm_requests_waiting", model_name=LABEL))
            assert told(program).status_code == 200
            log.write_text(poisoned())
            for host in (SLACK_HOST, PAGERDUTY_HOST, DISCORD_HOST):
                channels.wait_for(host, 1 + len(SECRETS))
            until(60, "sent", lambda: program.value("vigil_outbox_pending", channel="discord") == 0)
            until(60, "a bundle", lambda: [*(tmp_path / "state").rglob("incident.json")])
            said = {path: program.get(path).text for path in ("/metrics", "/", "/health", "/api/v1/status")}
        finally:
            program.close()
    assert "CUDA out of memory" in said["/"]
    assert f'model_name="{LABEL}"' in said["/metrics"], "a label is handed on as vLLM shows it"
    said["/metrics"] = said["/metrics"].replace(f'model_name="{LABEL}"', "")
    found = said | {
        f"to {host}": "\n".join(each.body.decode(errors="replace") for each in channels.received(host))
        for host in (SLACK_HOST, PAGERDUTY_HOST, DISCORD_HOST)
    }
    assert "[redacted]" in found[f"to {SLACK_HOST}"], "no secret was read at all"
    found["own log"] = program.output.read_text()
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert any(path.name == "incident.json" for path in kept), "no incident left a bundle"
    found |= {str(path): path.read_bytes().decode(errors="replace") for path in kept}
    own = [part for url in (SLACK, PAGERDUTY, DISCORD) for part in url.split("://")[1].replace("@", "/").split("/")]
    for where, text in found.items():
        if where == f"to {PAGERDUTY_HOST}":
            text = text.replace(own[3], "")  # noqa: PLW2901  # its routing key belongs into its body
        assert CANARY not in text, where
        assert not any(secret in text for secret in own if len(secret) > 20), where


def model_of(page: str) -> str:
    """The model's name as the page has it."""
    return page.partition('model_name="')[2].partition('"')[0]


def told(program: Program) -> httpx.Response:
    """Alertmanager tells of alerts, each with a secret wherever a text fits."""
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": f"Told{number}", "severity": "warning"}
            | dict.fromkeys(("pod", "instance", "model_name", "unheard_of"), secret),
            "annotations": dict.fromkeys(("summary", "description", "runbook_url"), secret),
            "startsAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": f"http://x/{secret}",
        }
        for number, secret in enumerate(SECRETS)
    ]
    document = {"version": "4", "groupKey": SECRETS[1], "status": "firing", "alerts": alerts}
    url = f"http://127.0.0.1:{program.port}/api/v1/alerts/webhook"
    token = {"Authorization": "Bearer c4n4ryWebhookToken01"}
    return httpx.post(url, json=document, headers=token, trust_env=False, timeout=60)


def poisoned() -> str:
    """A real crash and a burst of errors, whose every message also holds a secret."""
    lines = []
    for number, line in enumerate(OUT_OF_MEMORY.splitlines()):
        secret = SECRETS[number % len(SECRETS)]
        lines.append(f"{line} {secret}" if "ERROR" in line and "Error" in line else line)
    burst = "(EngineCore pid=214) ERROR 03-14 09:26:53 [unknown.py:1] cannot reach the cache: {}"
    return "\n".join([*lines, *(burst.format(secret) for secret in SECRETS), ""])
