"""PromQL -> numbers, from the HTTP API of a Prometheus, or of what speaks it (Mimir, Thanos, VictoriaMetrics).

Promise: every failure is a `PrometheusUnusable` that names the server (without a password in its URL) and the question.
A span that has more points than a server gives at once (11,000) is asked for in parts.
"""

from __future__ import annotations

import math
import ssl
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx

from vllm_vigil.endpoint import words
from vllm_vigil.errors import PrometheusUnusable, UsageError
from vllm_vigil.model import Labels, labels
from vllm_vigil.redact import mask

TIMEOUT_SECONDS = 120.0
MAX_POINTS = 10_000

Values = dict[Labels, float]
"""The answer at one moment, by labels."""

Courses = dict[Labels, list[tuple[float, float]]]
"""The answer over a span: pairs of time (epoch seconds) and value, by labels."""


class Prometheus:
    """One server."""

    def __init__(self, url: str, bearer: str = "", ca_file: str = "") -> None:
        self._name = _without_password(url)
        try:
            self._client = httpx.Client(
                base_url=url.rstrip("/") + "/",
                headers={"Authorization": f"Bearer {bearer}"} if bearer else {},
                timeout=TIMEOUT_SECONDS,
                verify=ssl.create_default_context(cafile=ca_file) if ca_file else True,
            )
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(f"--ca-file: cannot use {ca_file}: {words(error)}") from error

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def at(self, question: str, when: float) -> Values:
        """The values at one moment."""
        found = self._ask("query", question, time=f"{when:.3f}")
        values = {_labels(each["metric"]): float(each["value"][1]) for each in found}
        return {key: value for key, value in values.items() if not math.isnan(value)}

    def over(self, question: str, start: float, end: float, step_seconds: float) -> Courses:
        """The values at every step from `start` to `end`."""
        courses: Courses = defaultdict(list)
        for first, last in _parts(start, end, step_seconds):
            found = self._ask("query_range", question, start=f"{first}", end=f"{last}", step=f"{step_seconds:g}")
            for each in found:
                points = [(float(at), float(value)) for at, value in each["values"]]
                courses[_labels(each["metric"])] += [point for point in points if not math.isnan(point[1])]
        return dict(courses)

    def _ask(self, call: str, question: str, **parameters: str) -> list[dict[str, Any]]:
        try:
            answer = self._client.post(f"api/v1/{call}", data={"query": question, **parameters})
        except httpx.HTTPError as error:
            raise PrometheusUnusable(
                f"{self._name} does not answer: {words(error)}; is it Prometheus' address?"
            ) from error
        try:
            body = answer.json()
        except ValueError as error:
            said = f"{self._name} answers {answer.status_code} without JSON: is it Prometheus' address?"
            raise PrometheusUnusable(said) from error
        if not isinstance(body, dict) or body.get("status") != "success":
            said = mask(str(body.get("error", answer.status_code) if isinstance(body, dict) else body), 300)
            raise PrometheusUnusable(f"{self._name} cannot answer {question!r}: {said}")
        result: list[dict[str, Any]] = body["data"]["result"]
        return result


def _without_password(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:  # a port that is none
        parts = httpx.URL()
    if parts.scheme not in {"http", "https"} or not parts.host:
        raise UsageError(f"--prometheus: {mask(url)!r} is no address: write one such as http://127.0.0.1:9090")
    return str(parts.copy_with(username=None, password=None))


def _labels(metric: dict[str, str]) -> Labels:
    return labels(**{name: value for name, value in metric.items() if name != "__name__"})


def _parts(start: float, end: float, step_seconds: float) -> Iterator[tuple[float, float]]:
    """Spans of at most `MAX_POINTS` steps that share no point."""
    first = start
    while first <= end:
        last = min(end, first + (MAX_POINTS - 1) * step_seconds)
        yield first, last
        first = last + step_seconds
