"""Which vLLM can say what: releases, the generations of its engine, and spans of both written as a person would.

    "V0 0.3.1-0.10.2, V1 0.7.1-, Rust 0.22.0-"

A span's ends are both in it, and an open end reaches the newest release known. `API` is the Python API server, whatever
engine is behind it; `hidden` is what a release shows only with `--show-hidden-metrics-for-version`; `NIM` is NVIDIA's
packaging, which has versions of its own. The releases are those of tests/data/vllm/metrics.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_RELEASES = """
    0.4.0 0.4.1 0.4.2 0.4.3 0.5.0 0.5.0.post1 0.5.1 0.5.2 0.5.3 0.5.3.post1 0.5.4 0.5.5 0.6.0 0.6.1 0.6.1.post2 0.6.2
    0.6.3 0.6.3.post1 0.6.4 0.6.4.post1 0.6.5 0.6.6 0.6.6.post1 0.7.0 0.7.1 0.7.2 0.7.3 0.8.0 0.8.1 0.8.2 0.8.3 0.8.4
    0.8.5 0.8.5.post1 0.9.0 0.9.0.1 0.9.1 0.9.2 0.10.0 0.10.1 0.10.1.1 0.10.2 0.11.0 0.11.1 0.11.2 0.12.0 0.13.0 0.14.0
    0.14.1 0.15.0 0.15.1 0.16.0 0.17.0 0.17.1 0.18.0 0.18.1 0.19.0 0.19.1 0.20.0 0.20.1 0.20.2 0.21.0 0.22.0 0.22.1
    0.23.0 0.24.0 0.25.0 0.25.1 0.26.0 0.27.0 0.27.1 0.28.0 0.29.0 0.30.0 0.31.0 0.32.0 0.33.0
"""
RELEASES = tuple(_RELEASES.split())
"""Every release from 0.4 on whose metrics are known, oldest first."""

_SPAN = re.compile(r"(V0|V1|API|Rust) ([\w.]+)-([\w.]*)( hidden)?")
_RELEASE = re.compile(r"v?(\d+(?:\.\d+)*)(?:\.post(\d+))?")


@dataclass(frozen=True, slots=True)
class Span:
    """Releases of one generation, from `first` to `last`, None while it goes on."""

    generation: str
    first: str
    last: str | None
    hidden: bool = False

    def covers(self, generation: str, version: str) -> bool:
        """Whether a server of that generation and release is in it."""
        same = self.generation == generation or (self.generation == "API" and generation in {"V0", "V1"})
        return same and ordinal(self.first) <= ordinal(version) and not self.over(version)

    def over(self, version: str) -> bool:
        """Whether it had ended before that release."""
        return self.last is not None and ordinal(self.last) < ordinal(version)


GENERATIONS = (Span("V0", "0.2.3", "0.10.2"), Span("V1", "0.7.1", None), Span("Rust", "0.22.0", None))
"""The engines that a release can run with metrics; Rust is the V1 engine behind vLLM's front end in Rust."""


def spans(text: str) -> tuple[Span, ...]:
    """The spans of a text as above; none for NIM. Raises ValueError if it cannot be read."""
    return () if text == "NIM" else tuple(_span(part) for part in text.split(", "))


def _span(text: str) -> Span:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a span of releases, such as 'V1 0.7.1-' or 'V0 0.3.1-0.10.2 hidden'")
    return Span(match[1], match[2], match[3] or None, match[4] is not None)


def ordinal(version: str) -> tuple[int, ...]:
    """A release as numbers that sort: `0.8.5` < `0.8.5.post1` < `0.9`. What follows (`rc1`, `+cpu`) is left out."""
    match = _RELEASE.match(version)
    if match is None:
        return ()
    numbers = [int(number[:9]) for number in match[1].split(".")]
    return (*numbers, *[0] * (3 - len(numbers)), *([int(match[2][:9])] if match[2] else []))


def generations_of(version: str) -> Iterator[str]:
    """The generations that a release can run."""
    return (each.generation for each in GENERATIONS if each.covers(each.generation, version))
