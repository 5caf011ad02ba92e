"""`vigil doctor` tells a person what each source says, and why a series is blank."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from standins.nvml import MACHINES
from standins.vllm import StandInVllm
from vllm_vigil.cli import main

CAPTURE = Path(__file__).parents[1] / "data" / "captures" / "metrics-0.32.0-after-load.txt"
CONFIG = "vllm: [{{name: llama, url: {url}}}]\ngpu: {{enabled: false}}\nhost: {{enabled: false}}\n"


def told(server: StandInVllm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit code and lines about that server."""
    config = tmp_path / "vigil.yaml"
    config.write_text(CONFIG.format(url=server.url))
    code = main(["doctor", "--config", str(config)])
    return code, capsys.readouterr().out.splitlines()


def test_a_healthy_server_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is blank, nothing unknown, and the exit code is 0."""
    with StandInVllm(CAPTURE.read_text()) as server:
        code, lines = told(server, tmp_path, capsys)
    assert code == 0
    assert [line.split(":")[0] for line in lines] == ["vllm llama"]


def test_what_an_old_server_lacks_is_told_and_is_not_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each blank series with cause and remedy; what is explained is no trouble."""
    page = CAPTURE.read_text().replace("vllm:iteration_tokens_total", "vllm:strange")
    with StandInVllm(page, version="0.6.3") as server:
        code, lines = told(server, tmp_path, capsys)
    (line,) = (line for line in lines if "llm_engine_steps_total" in line)
    assert line == (
        "  llm_engine_steps_total: vLLM 0.6.3 is older than 0.6.4, which has it first; to do: upgrade to 0.6.4"
    )
    assert any("in no table" in line and "vllm:strange" in line for line in lines)
    assert code == 0


def test_what_should_be_there_and_is_not_is_trouble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --disable-log-stats every panel is empty: exit 1, and the option is named."""
    with StandInVllm("python_info 1\n") as server:
        code, lines = told(server, tmp_path, capsys)
    assert code == 1
    (line,) = (line for line in lines if "llm_requests_running" in line)
    assert "TROUBLE" in line
    assert "--disable-log-stats" in line


def test_what_a_gpu_does_not_support_is_no_news(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for the GPUs, and nothing of the calls that this one has not: they are for the log of the sidecar."""
    config = tmp_path / "vigil.yaml"
    with StandInVllm(CAPTURE.read_text()) as server:
        gpu = f"gpu: {{machine: {MACHINES / 'a10g.txt'}}}"
        config.write_text(CONFIG.format(url=server.url).replace("gpu: {enabled: false}", gpu))
        assert main(["doctor", "--config", str(config)]) == 0
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["vllm llama", "nvml"]
    assert said.err == ""


def test_a_server_that_is_not_there_is_trouble(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, with what happened, and nothing about series."""
    with StandInVllm("") as server:
        server.page = "<html>\n"
        code, lines = told(server, tmp_path, capsys)
    assert (1, 1) == (code, len(lines))
    assert "TROUBLE" in lines[0]


def test_logs_are_read_and_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is there with when it was last written, one that is none, one that is not there yet."""
    (tmp_path / "vllm.log").write_text("INFO up\n")
    (tmp_path / "folder.log").mkdir()
    with StandInVllm(CAPTURE.read_text()) as server:
        config = tmp_path / "vigil.yaml"
        logs = f"logs: [{{path: {tmp_path}/*.log}}, {{path: {tmp_path}/other}}]"
        config.write_text(CONFIG.format(url=f"{server.url}, {logs}"))
        code = main(["doctor", "--config", str(config)])
    (folder, log, other) = capsys.readouterr().out.splitlines()[-3:]
    assert code == 1
    assert folder == f"log {tmp_path}/folder.log: TROUBLE: Is a directory"
    assert re.fullmatch(re.escape(f"log {tmp_path}/vllm.log: good, 8B, last written ") + r"\d+s ago", log)
    assert other == f"log {tmp_path}/other: TROUBLE: no such file yet; it is picked up when it appears"
