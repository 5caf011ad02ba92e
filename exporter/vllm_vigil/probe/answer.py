"""What one request came to: how it ended, how long it took, and what it said.

`text` and `detail` are for the person at the terminal who wrote the prompt, and for checks. They reach no log, metric,
page or incident: the daemon hands on `outcome`, `error` and the times alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a request ended; the label values of `llm_probe_requests_total`."""

    OK = "ok"
    FAILED = "failed"  # a broken answer, a wrong one, or none
    TIMEOUT = "timeout"
    REFUSED = "refused"  # 4xx: it was not taken, which says nothing of the engine


@dataclass(frozen=True, slots=True)
class Answer:
    """One request, from connecting to its end or its deadline.

    `first_token_seconds` is None when none came, `gaps_seconds` are the spans between one piece of text and the next.
    `tokens` is what the server counted, else the number of pieces. `error` says in our words what was wrong.
    """

    outcome: Outcome
    duration_seconds: float
    first_token_seconds: float | None = None
    gaps_seconds: tuple[float, ...] = ()
    tokens: int = 0
    text: str = ""
    error: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proven:
    """What a probe says of its server: whether it made a token, and when the request began (epoch seconds)."""

    server: str
    answered: bool
    began: float
    words: str
