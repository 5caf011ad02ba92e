"""`vigil probe` asks a suite, says what is not met, measures a load, and shows an answer only when asked to."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standins.completions import by_prompt, hangs, refuses, says
from standins.program import free_port
from standins.vllm import StandInVllm
from vllm_vigil.cli import main

PAGE = (Path(__file__).parents[2] / "docs" / "probe.md").read_text()
SUITE = re.findall(r"```yaml suite\n(.*?)```", PAGE, re.DOTALL)[0]
GOOD = {"France": "Paris , of course", "1, 2": " 7, 8, 9", "lighthouse": "on a cliff above the grey and restless sea"}


@pytest.fixture
def vllm() -> Iterator[StandInVllm]:
    """One that knows the answers of the example."""
    with StandInVllm() as server:
        server.model = "tiny"
        server.complete = by_prompt(GOOD)
        yield server


@pytest.fixture
def suite(tmp_path: Path) -> str:
    """The example of docs/probe.md."""
    (tmp_path / "suite.yaml").write_text(SUITE)
    return str(tmp_path / "suite.yaml")


def objects(printed: str) -> list[dict[str, Any]]:
    """One a line."""
    return [json.loads(line) for line in printed.splitlines()]


def test_the_example_of_the_documentation_is_met(
    vllm: StandInVllm, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, the count, and no answer."""
    assert 0 == main(["probe", "--suite", suite, "--url", vllm.url])
    printed = capsys.readouterr()
    head, *rows, last = printed.out.splitlines()
    assert ["PROMPT", "RESULT", "FIRST", "TOKEN", "TOTAL", "TOKENS"] == head.split()
    assert [["capital", "good"], ["count", "good"], ["prose", "good"]] == [row.split()[:2] for row in rows]
    assert f"3 of 3 good: tiny at {vllm.url}" == last
    assert "Paris" not in printed.out
    assert "" == printed.err
    assert [16, 24, 64] == [prompt["max_tokens"] for prompt in vllm.prompts]
    assert [0.0, 0.0, 0.7] == [prompt["temperature"] for prompt in vllm.prompts]


def test_what_is_not_met_is_said_and_is_exit_code_1(
    vllm: StandInVllm, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By prompt and check, in the suite's own words."""
    vllm.complete = by_prompt(GOOD | {"France": "Lyon", "lighthouse": "the day " * 30})
    assert 1 == main(["probe", "--suite", suite, "--url", vllm.url])
    printed = capsys.readouterr().out
    assert "capital: must_contain: 'Paris' is not in it\n" in printed
    assert re.search(r"prose: repetition: 0\.\d\d of it repeats what came before, more than 0\.5\n", printed)
    assert f"1 of 3 good: tiny at {vllm.url}\n" in printed
    assert "Lyon" not in printed


def test_a_prompt_that_gets_no_answer_is_not_met(
    vllm: StandInVllm, suite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what the server said of it, which is for the person who asked."""
    vllm.complete = refuses(400, {"error": {"message": "this model has no completions"}})
    assert 1 == main(["probe", "--suite", suite, "--url", vllm.url])
    printed = capsys.readouterr().out
    assert "REFUSED" in printed
    assert "answer: /v1/completions answered status 400 (this model has no completions)" in printed


def test_json_is_one_object_a_line(vllm: StandInVllm, suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each prompt, then the whole."""
    vllm.complete = by_prompt(GOOD | {"France": "Lyon"})
    assert 1 == main(["probe", "--suite", suite, "--url", vllm.url, "--json", "--model", "new"])
    capital, count, _, whole = objects(capsys.readouterr().out)
    assert ("prompt", "capital", False, "ok") == tuple(capital[key] for key in ("kind", "prompt", "good", "outcome"))
    assert [{"check": "must_contain", "words": "'Paris' is not in it"}] == capital["unmet"]
    assert 0 < count["first_token_seconds"] <= count["total_seconds"]
    assert "answer" not in capital
    assert {"kind": "suite", "url": vllm.url, "model": "new", "good": 2, "bad": 1} == whole
    assert {"new"} == {prompt["model"] for prompt in vllm.prompts}


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_answers_are_shown_when_asked_for_and_masked(
    vllm: StandInVllm, suite: str, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """A model can write terminal codes."""
    vllm.complete = by_prompt(GOOD | {"France": "\x1b[2JParis"})
    assert 0 == main(["probe", "--suite", suite, "--url", vllm.url, "--answers", *more])
    printed = capsys.readouterr().out
    assert "Paris" in printed
    assert "\x1b" not in printed


def test_without_a_suite_one_token_is_asked_for(vllm: StandInVllm, capsys: pytest.CaptureFixture[str]) -> None:
    """The quickest way to see whether it answers."""
    vllm.complete = says("a")
    assert 0 == main(["probe", "--url", vllm.url])
    assert f"1 of 1 good: tiny at {vllm.url}" in capsys.readouterr().out
    assert [1] == [prompt["max_tokens"] for prompt in vllm.prompts]


def test_the_token_of_the_server_comes_from_a_file(vllm: StandInVllm, tmp_path: Path) -> None:
    """And headers from flags."""
    (tmp_path / "token").write_text("s3cret\n")
    assert 0 == main(["probe", "--url", vllm.url, "--bearer-file", f"{tmp_path}/token", "--header", "X-Team: infra"])
    _, headers = vllm.requests[-1]
    assert ("Bearer s3cret", "infra") == (headers["authorization"], headers["x-team"])


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_server_that_does_not_answer_is_exit_code_1(capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    """With why."""
    assert 1 == main(["probe", "--url", f"http://127.0.0.1:{free_port()}", *more])
    assert "connection refused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--url", "ftp://x"], "flag --url: url: must begin with http:// or https://"),
        (["--header", "X-Team"], "--header: write it as NAME: VALUE"),
        (["--bearer-file", "/none"], "flag --bearer-file: bearer_file: cannot read /none: No such file or directory"),
        (["--ca-file", "/none"], "ca_file: there is no file /none"),
        (["--concurrency", "4"], "--concurrency says how many at a time: say with --requests how many in all"),
        (["--requests", "0"], "--requests: must be from 1 to 10000, not 0"),
        (["--requests", "9", "--concurrency", "1000"], "--concurrency: must be from 1 to 256, not 1000"),
        (["--suite", "/none"], "cannot read the suite file /none"),
    ],
)
def test_what_cannot_be_asked_is_exit_code_2(flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is asked."""
    assert 2 == main(["probe", *flags])
    assert words in capsys.readouterr().err


def test_a_ca_file_that_is_none_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As found when it is read."""
    (tmp_path / "ca.pem").write_text("nonsense")
    assert 2 == main(["probe", "--url", "https://127.0.0.1:9", "--ca-file", f"{tmp_path}/ca.pem"])
    assert "cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompts: {a: {prompt: x, must_contian: [y]}}", ":1: prompts.a.must_contian: unknown key; did you mean"),
        ("prompts:\n  a:\n    must_contain: [y]", ":2: prompts.a.prompt: is missing"),
        ("prompts: {a: {prompt: x, must_match: ['(']}}", "prompts.a.must_match: '(' is not a regular expression"),
        ("prompts: {a: {prompt: x, system: y}}", "prompts.a.system: needs `api: chat`"),
        ("prompts: {a: {prompt: x, longest: 3}}", "prompts.a.longest: 3 has no unit"),
        ("max_tokens: 64", ": prompts: must hold from 1 to 200 prompts"),
        ("api: chatt", ":1: api: 'chatt' is not one of completions, chat"),
        ("max_tokens: 9999\nprompts: {a: {prompt: x}}", ":1: max_tokens: must be from 1 to 4096"),
    ],
)  # fmt: skip
def test_a_suite_is_as_strict_as_the_configuration(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, line, full path, and the nearest key."""
    (tmp_path / "suite.yaml").write_text(text)
    assert 2 == main(["probe", "--suite", f"{tmp_path}/suite.yaml"])
    assert f"{tmp_path}/suite.yaml" in (said := capsys.readouterr().err)
    assert words in said


def test_a_load_is_bounded_and_measured(vllm: StandInVllm, suite: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The prompts in turn; three lines of quantiles, the rates and the outcomes."""
    assert 0 == main(["probe", "--suite", suite, "--url", vllm.url, "--requests", "12", "--concurrency", "3"])
    head, *rows, rates, outcomes = capsys.readouterr().out.splitlines()
    assert ["p50", "p95", "p99"] == head.split()
    assert ["first token", "between tokens", "total"] == [re.split(r"  +", row)[0] for row in rows]
    assert re.fullmatch(r"12 requests, 3 at a time, in [\d.]+ s: [\d.]+ requests/s, [\d.]+ tokens/s", rates)
    assert f"12 ok, 0 failed, 0 timeout, 0 refused: tiny at {vllm.url}" == outcomes
    assert 12 == len(vllm.prompts)
    assert {4} == {sum(word in prompt["prompt"] for prompt in vllm.prompts) for word in GOOD}


def test_a_load_with_errors_tells_them_and_is_exit_code_1(
    vllm: StandInVllm, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted, without quantiles that nothing gave."""
    vllm.complete = refuses(503, {})
    assert 1 == main(["probe", "--url", vllm.url, "--requests", "5", "--json"])
    (found,) = objects(capsys.readouterr().out)
    assert {"ok": 0, "failed": 5, "timeout": 0, "refused": 0} == found["outcomes"]
    assert {"/v1/completions answered status 503": 5} == found["errors"]
    assert ({}, 0.0) == (found["total_seconds"], found["requests_per_second"])
    assert 1 == main(["probe", "--url", vllm.url, "--requests", "5"])
    assert "5 x /v1/completions answered status 503" in capsys.readouterr().out


def test_a_late_answer_has_timed_out(vllm: StandInVllm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At the suite's own deadline."""
    vllm.complete = hangs
    (tmp_path / "suite.yaml").write_text("timeout: 200ms\nprompts: {a: {prompt: x}}")
    assert 1 == main(["probe", "--suite", f"{tmp_path}/suite.yaml", "--url", vllm.url])
    assert "a: answer: a first token did not come within 0.2s" in capsys.readouterr().out


class Terminal(io.StringIO):
    """Standard error where a person watches."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_a_person_sees_a_bar_that_goes_away(vllm: StandInVllm, suite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From none to all, and then an empty line for the table."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert 0 == main(["probe", "--suite", suite, "--url", vllm.url])
    shown = [part for part in terminal.getvalue().split("\r") if part]
    assert ["0/3", "1/3", "2/3", "3/3"] == [part.rpartition(" ")[2] for part in shown[:-1]]
    assert [32] == list({len(re.findall(r"[#.]", part)) for part in shown[:-1]})
    assert "\x1b[K" == shown[-1]
