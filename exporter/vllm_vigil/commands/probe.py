"""`vigil probe`: a suite of prompts asked of a server -> a table, and 1 if a check is not met; or a bounded load.

Prompts and answers stay here: the answers are shown with `--answers` only, masked as everything that a server says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vllm_vigil.clock import RealClock
from vllm_vigil.commands import probe_tables as tables
from vllm_vigil.commands.progress import Progress
from vllm_vigil.config.document import Node
from vllm_vigil.config.load import load_suite
from vllm_vigil.config.shape import Shaping
from vllm_vigil.endpoint import Endpoint, words
from vllm_vigil.errors import UsageError
from vllm_vigil.probe.answer import Answer, Outcome
from vllm_vigil.probe.checks import PromptSettings
from vllm_vigil.probe.load import MAX_CONCURRENCY, MAX_REQUESTS, figures, load, rounds
from vllm_vigil.probe.request import Server, entered
from vllm_vigil.probe.suite import Result, Suite, results

MODEL_SECONDS = 10.0
ONE_TOKEN = Suite(max_tokens=1, prompts={"one token": PromptSettings(prompt="1")})
STORY = Suite(max_tokens=64, prompts={"story": PromptSettings(prompt="Once upon a time")})


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    url: str
    suite: Path | None = None
    model: str | None = None
    headers: Sequence[str] = ()
    bearer_file: Path | None = None
    ca_file: Path | None = None
    concurrency: int | None = None
    requests: int | None = None
    as_json: bool = False
    answers: bool = False


def probe(asked: Asked) -> int:
    """Ask; 1 if a check is not met, a request came to no good end, or the server names no model."""
    endpoint = _endpoint(asked)
    _check_load(asked)
    suite = load_suite(asked.suite) if asked.suite else STORY if asked.requests else ONE_TOKEN
    try:
        return asyncio.run(_ask(asked, endpoint, suite))
    except OSError as error:
        raise UsageError(f"--ca-file {asked.ca_file}: cannot be used: {words(error)}") from error


async def _ask(asked: Asked, endpoint: Endpoint, suite: Suite) -> int:
    concurrency = asked.concurrency or (8 if asked.requests else 1)
    async with entered(endpoint, RealClock(), concurrency) as server:
        model = asked.model or suite.model or await server.model(MODEL_SECONDS)
        if isinstance(model, Answer):
            tables.no_model(endpoint.url, model, as_json=asked.as_json)
            return 1
        if asked.requests:
            return await _load(asked, server, model, suite, min(concurrency, asked.requests))
        return await _suite(asked, server, model, suite)


async def _suite(asked: Asked, server: Server, model: str, suite: Suite) -> int:
    found: list[Result] = []
    with Progress(len(suite.prompts)) as progress:
        async for result in results(suite, server, model):
            found.append(result)
            progress.advance()
    tables.suite(found, model, asked.url, as_json=asked.as_json, answers=asked.answers)
    return int(any(result.unmet for result in found))


async def _load(asked: Asked, server: Server, model: str, suite: Suite, concurrency: int) -> int:
    count = asked.requests or 0
    questions = rounds([suite.question(name) for name in suite.prompts], count)
    began = time.monotonic()
    with Progress(count) as progress:
        answers = await load(server, model, questions, concurrency, progress.advance)
    found = figures(answers, time.monotonic() - began)
    tables.load(found, model, asked.url, concurrency, as_json=asked.as_json)
    return int(found.outcomes.get(Outcome.OK, 0) < count)


def _endpoint(asked: Asked) -> Endpoint:
    """The flags through the same checks as a server of the configuration."""
    headers = {}
    for header in asked.headers:
        name, colon, value = header.partition(":")
        if not colon:
            raise UsageError("--header: write it as NAME: VALUE")
        headers[name.strip()] = Node(value.strip(), "flag --header", hidden=True)
    given = {
        "url": Node(asked.url, "flag --url"),
        "headers": Node(headers, "flag --header"),
        "bearer_file": Node(asked.bearer_file and str(asked.bearer_file), "flag --bearer-file"),
        "ca_file": Node(asked.ca_file and str(asked.ca_file), "flag --ca-file"),
    }
    shaping = Shaping()
    tree = Node({name: node for name, node in given.items() if node.value is not None}, "flags")
    endpoint: Endpoint = shaping.shape(Endpoint, tree, "")
    if shaping.problems:
        raise UsageError("\n".join(shaping.problems))
    return replace(endpoint, url=endpoint.url.rstrip("/"))


def _check_load(asked: Asked) -> None:
    if asked.concurrency is not None and asked.requests is None:
        raise UsageError("--concurrency says how many at a time: say with --requests how many in all")
    for flag, value, most in (
        ("--requests", asked.requests, MAX_REQUESTS),
        ("--concurrency", asked.concurrency, MAX_CONCURRENCY),
    ):
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{flag}: must be from 1 to {most}, not {value}")
