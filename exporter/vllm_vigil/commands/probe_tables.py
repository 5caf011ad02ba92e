"""What a probe came to -> a table for a person, or one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from vllm_vigil.probe.answer import Answer, Outcome
from vllm_vigil.probe.load import QUANTILES, Figures
from vllm_vigil.probe.suite import Result
from vllm_vigil.redact import mask

ANSWER_CHARACTERS = 2000


def suite(found: Sequence[Result], model: str, url: str, *, as_json: bool, answers: bool) -> None:
    """Every prompt, what is not met below, and the count."""
    good = sum(not result.unmet for result in found)
    if as_json:
        for result in found:
            print(json.dumps(_document(result, answers=answers), ensure_ascii=False))
        print(json.dumps({"kind": "suite", "url": url, "model": mask(model), "good": good, "bad": len(found) - good}))
        return
    rows = [("PROMPT", "RESULT", "FIRST TOKEN", "TOTAL", "TOKENS"), *(_row(result) for result in found)]
    print("\n".join(_aligned(rows)))
    for result in found:
        for each in result.unmet:
            detail = f" ({result.answer.detail})" if result.answer.detail else ""
            print(f"{result.name}: {each.check}: {each.words}{detail}")
        if answers:
            print(f"{result.name}: answer: {mask(result.answer.text, ANSWER_CHARACTERS)}")
    print(f"{good} of {len(found)} good: {mask(model)} at {url}")


def load(found: Figures, model: str, url: str, concurrency: int, *, as_json: bool) -> None:
    """The quantiles, the rates, and how the requests ended."""
    count = sum(found.outcomes.values())
    if as_json:
        print(json.dumps({"kind": "load", "url": url, "model": mask(model), **_load_document(found, concurrency)}))
        return
    rows = [
        ("", *QUANTILES),
        ("first token", *_quantiles(found.first_token)),
        ("between tokens", *_quantiles(found.inter_token)),
        ("total", *_quantiles(found.total)),
    ]
    print("\n".join(_aligned(rows)))
    rates = f"{found.requests_per_second:.2f} requests/s, {found.tokens_per_second:.1f} tokens/s"
    print(f"{count} requests, {concurrency} at a time, in {found.seconds:.2f} s: {rates}")
    print(", ".join(f"{found.outcomes.get(each, 0)} {each}" for each in Outcome) + f": {mask(model)} at {url}")
    for error, times in sorted(found.errors.items(), key=lambda pair: -pair[1])[:5]:
        print(f"{times} x {error}")


def no_model(url: str, answer: Answer, *, as_json: bool) -> None:
    """Why the server could not be asked for its model."""
    if as_json:
        print(json.dumps({"kind": "error", "url": url, "outcome": answer.outcome, "error": answer.error}))
    else:
        print(f"{url} cannot be asked: {answer.error}")


def _document(result: Result, *, answers: bool) -> Mapping[str, object]:
    answer = result.answer
    shown = {"answer": mask(answer.text, ANSWER_CHARACTERS)} if answers else {}
    return {
        "kind": "prompt",
        "prompt": result.name,
        "good": not result.unmet,
        "outcome": answer.outcome,
        "first_token_seconds": _rounded(answer.first_token_seconds),
        "total_seconds": _rounded(answer.duration_seconds),
        "tokens": answer.tokens,
        "unmet": [{"check": each.check, "words": each.words} for each in result.unmet],
        **shown,
    }


def _load_document(found: Figures, concurrency: int) -> Mapping[str, object]:
    return {
        "concurrency": concurrency,
        "requests": sum(found.outcomes.values()),
        "seconds": _rounded(found.seconds),
        "requests_per_second": _rounded(found.requests_per_second),
        "tokens_per_second": _rounded(found.tokens_per_second),
        "outcomes": {str(each): found.outcomes.get(each, 0) for each in Outcome},
        "errors": dict(found.errors),
        "first_token_seconds": {name: _rounded(value) for name, value in found.first_token.items()},
        "inter_token_seconds": {name: _rounded(value) for name, value in found.inter_token.items()},
        "total_seconds": {name: _rounded(value) for name, value in found.total.items()},
    }


def _row(result: Result) -> tuple[str, ...]:
    answer = result.answer
    word = "good" if not result.unmet else "BAD" if answer.outcome is Outcome.OK else answer.outcome.upper()
    return (result.name, word, _span(answer.first_token_seconds), _span(answer.duration_seconds), str(answer.tokens))


def _quantiles(values: Mapping[str, float]) -> Iterable[str]:
    return (_span(values.get(name)) for name in QUANTILES)


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join((first.ljust(widths[0]), *cells)).rstrip()
