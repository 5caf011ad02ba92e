"""An answer and what is expected of it -> the checks that it does not meet, in words that quote the suite only.

`repetition` is the share of the answer that says again what it said before: of its runs of four words (of four
characters, where a script has no spaces or the answer is one long word) those that stood in it earlier. Plain prose
lies below 0.1; a model that has come apart, or hangs in a loop, near 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_vigil.probe.answer import Answer, Outcome
from vllm_vigil.units import Seconds, format_duration

RUN = 4
LONG_WORD = 20
BOUNDS = ("longest", "first_token", "max_characters", "min_characters", "max_tokens")


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """One prompt, and what its answer must be. `system` needs `api: chat`; what is not set here the suite sets."""

    prompt: str
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    must_contain: tuple[str, ...] = ()
    must_not_contain: tuple[str, ...] = ()
    must_match: tuple[str, ...] = ()
    must_not_match: tuple[str, ...] = ()
    longest: Seconds | None = None
    first_token: Seconds | None = None
    repetition: float | None = None
    min_characters: int | None = None
    max_characters: int | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What no answer could meet, or no server take."""
        for name in ("must_match", "must_not_match"):
            yield from ((name, wrong) for wrong in _regex_problems(getattr(self, name)))
        for name in BOUNDS:
            value = getattr(self, name)
            if value is not None and value <= 0:
                yield name, "must be more than 0"
        if self.repetition is not None and not 0 <= self.repetition < 1:
            yield "repetition", "is a share of the answer: it must be 0 or more, and less than 1"
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            yield "temperature", "must be from 0 to 2"
        if None not in (self.min_characters, self.max_characters) and self.min_characters > self.max_characters:  # type: ignore[operator]
            yield "min_characters", "must not be more than max_characters"


@dataclass(frozen=True, slots=True)
class Unmet:
    """One check that an answer does not meet: the key of the suite, and in words what was so."""

    check: str
    words: str


def unmet(answer: Answer, expected: PromptSettings) -> tuple[Unmet, ...]:
    """What is wrong with an answer. One that did not come to an end is judged by that alone."""
    if answer.outcome is not Outcome.OK:
        return (Unmet("answer", answer.error),)
    return (*_words(answer.text, expected), *_times(answer, expected), *_shape(answer.text, expected))


def repetition(text: str) -> float:
    """The share of an answer that says again what it said before, from 0 to 1; 0 for one of fewer than 8 words."""
    words = text.split()
    if not words:
        return 0.0
    units: list[str] = list("".join(words)) if len(text) > LONG_WORD * len(words) else words
    runs = [tuple(units[at : at + RUN]) for at in range(len(units) - RUN + 1)]
    if len(runs) <= RUN:
        return 0.0
    return 1 - len(set(runs)) / len(runs)


def _words(text: str, expected: PromptSettings) -> Iterator[Unmet]:
    for part in expected.must_contain:
        if part not in text:
            yield Unmet("must_contain", f"{part!r} is not in it")
    for part in expected.must_not_contain:
        if part in text:
            yield Unmet("must_not_contain", f"{part!r} is in it")
    for regex in expected.must_match:
        if not re.search(regex, text):
            yield Unmet("must_match", f"{regex!r} matches nothing in it")
    for regex in expected.must_not_match:
        if re.search(regex, text):
            yield Unmet("must_not_match", f"{regex!r} matches in it")


def _times(answer: Answer, expected: PromptSettings) -> Iterator[Unmet]:
    if expected.longest is not None and answer.duration_seconds > expected.longest:
        limit = format_duration(expected.longest)
        yield Unmet("longest", f"it took {answer.duration_seconds:.2f} s, longer than {limit}")
    first = answer.first_token_seconds
    if expected.first_token is not None and first is not None and first > expected.first_token:
        limit = format_duration(expected.first_token)
        yield Unmet("first_token", f"its first token took {first:.2f} s, longer than {limit}")


def _shape(text: str, expected: PromptSettings) -> Iterator[Unmet]:
    share = repetition(text)
    if expected.repetition is not None and share > expected.repetition:
        yield Unmet("repetition", f"{share:.2f} of it repeats what came before, more than {expected.repetition:g}")
    length = len(text.strip())
    if expected.min_characters is not None and length < expected.min_characters:
        yield Unmet("min_characters", f"it has {length} characters, fewer than {expected.min_characters}")
    if expected.max_characters is not None and length > expected.max_characters:
        yield Unmet("max_characters", f"it has {length} characters, more than {expected.max_characters}")


def _regex_problems(regexes: tuple[str, ...]) -> Iterator[str]:
    for regex in regexes:
        try:
            re.compile(regex)
        except re.error as error:
            yield f"{regex!r} is not a regular expression: {error}"
