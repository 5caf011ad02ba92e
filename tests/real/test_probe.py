"""The probe against a real vLLM: suite and load are answered, and one token tells a stall from a serving engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from standins.program import Program, until
from standins.real_vllm import RealVllm

pytestmark = pytest.mark.real_vllm

PAGE = (Path(__file__).parents[2] / "docs" / "probe.md").read_text()
SUITE = re.findall(r"```yaml suite\n(.*?)```", PAGE, re.DOTALL)[0]
WHICH = {"server": "llama", "model_name": "tiny", "engine": "0"}
CONFIG = """
vllm:
  - name: llama
    url: {url}
    interval: 1s
    probe: {{enabled: true, timeout: 5s, at_most_every: 10s, every: 15s}}
gpu: {{enabled: false}}
"""
CHAT = """
api: chat
prompts:
  hello: {system: Be brief., prompt: Hello, max_tokens: 8, min_characters: 1, longest: 60s}
"""


@pytest.fixture(autouse=True)
def serving(vllm: RealVllm) -> None:
    """It serves; its weights are made up, so what it says means nothing."""
    vllm.start()


def vigil(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """`vigil probe --json`: its exit code and its objects."""
    command = [sys.executable, "-m", "vllm_vigil", "probe", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert "" == done.stderr
    print(done.stdout)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_suite_of_the_documentation_finds_that_made_up_weights_know_nothing(vllm: RealVllm, tmp_path: Path) -> None:
    """Every prompt is answered to its end; what does not hold is what it should say, and not how long it took."""
    (tmp_path / "suite.yaml").write_text(SUITE)
    code, (*prompts, whole) = vigil("--suite", f"{tmp_path}/suite.yaml", "--url", vllm.url, "--answers")
    assert (1, "tiny") == (code, whole["model"])
    assert {"ok"} == {prompt["outcome"] for prompt in prompts}
    assert all(0 < prompt["first_token_seconds"] <= prompt["total_seconds"] for prompt in prompts)
    limits = {"capital": 16, "count": 24, "prose": 64}
    assert all(1 <= prompt["tokens"] <= limits[prompt["prompt"]] for prompt in prompts)
    unmet = {prompt["prompt"]: {each["check"] for each in prompt["unmet"]} for prompt in prompts}
    assert "must_contain" in unmet["capital"]
    assert "must_match" in unmet["count"]
    assert not {"longest", "first_token", "answer"} & set().union(*unmet.values())


def test_a_chat_and_one_token_are_answered(vllm: RealVllm, tmp_path: Path) -> None:
    """By the other path, and without a suite."""
    (tmp_path / "suite.yaml").write_text(CHAT)
    code, (hello, _) = vigil("--suite", f"{tmp_path}/suite.yaml", "--url", vllm.url)
    assert (0, "ok", 8) == (code, hello["outcome"], hello["tokens"])
    code, (token, _) = vigil("--url", vllm.url)
    assert (0, 1) == (code, token["tokens"])


def test_a_wrong_model_is_refused(vllm: RealVllm) -> None:
    """With vLLM's status."""
    code, (token, _) = vigil("--url", vllm.url, "--model", "none")
    assert (1, "refused") == (code, token["outcome"])
    assert "/v1/completions answered status 404" == token["unmet"][0]["words"]


def test_a_load_is_answered_whole(vllm: RealVllm) -> None:
    """And its tokens are those that vLLM counts."""
    before = generated(vllm)
    code, (found,) = vigil("--url", vllm.url, "--requests", "30", "--concurrency", "6")
    assert (0, 30) == (code, found["outcomes"]["ok"])
    assert found["first_token_seconds"]["p50"] <= found["total_seconds"]["p50"] <= found["total_seconds"]["p99"]
    assert 0 < found["inter_token_seconds"]["p50"]
    until(30, "vLLM has counted all", lambda: generated(vllm) - before >= 30)
    assert round(found["tokens_per_second"] * found["seconds"]) == generated(vllm) - before


def generated(vllm: RealVllm) -> float:
    """vLLM's own count of tokens."""
    found = re.search(r"^vllm:generation_tokens_total\{.*\} (\S+)$", vllm.metrics(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def test_one_token_tells_a_stall(vllm: RealVllm, tmp_path: Path) -> None:
    """A canary is answered; under SIGSTOP a token does not come, and the verdict says so; then it is again."""
    vllm.complete(tokens=8)  # the first request of a fresh vLLM takes long where the machine is busy
    sidecar = Program(tmp_path, CONFIG.format(url=vllm.url)).start()
    try:
        until(180, "a canary is answered", lambda: outcomes(sidecar).get("ok", 0) >= 1)
        assert 1 == sidecar.value("llm_probe_success", server="llama")
        first = sidecar.value("llm_probe_time_to_first_token_seconds", server="llama")
        assert first is not None
        print(f"first token of the canary: {first:.4f} s")
        vllm.load(clients=20, tokens=450)
        until(30, "requests wait", lambda: (sidecar.value("llm_requests_waiting", **WHICH) or 0) > 0)
        os.kill(vllm.engine_pid(), signal.SIGSTOP)
        try:
            until(90, "the token does not come", lambda: outcomes(sidecar).get("timeout", 0) >= 1)
            until(30, "the verdict says so", lambda: "a probe got no token" in reason(sidecar))
            assert 1 == sidecar.value("llm_engine_state", **WHICH, state="stalled")
            assert 0 == sidecar.value("llm_probe_success", server="llama")
            assert vllm.serves(), "/health of a hung vLLM still says 200"
        finally:
            os.kill(vllm.engine_pid(), signal.SIGCONT)
        answered = outcomes(sidecar)["ok"]
        until(120, "a canary is answered again", lambda: outcomes(sidecar).get("ok", 0) > answered)
        assert 1 == sidecar.value("llm_probe_success", server="llama")
        assert "a probe got no token" not in reason(sidecar)
        assert "a first token did not come within 5s" in sidecar.output.read_text()
    finally:
        sidecar.close()


def outcomes(sidecar: Program) -> dict[str, float]:
    """How the probes ended."""
    return {
        dict(pairs)["outcome"]: value
        for (name, pairs), value in sidecar.samples().items()
        if name == "llm_probe_requests_total"
    }


def reason(sidecar: Program) -> str:
    """Why the engine is in its state."""
    return json.dumps(sidecar.status())
