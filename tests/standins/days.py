"""Days to simulate: an ordinary one without any trouble, and a bad one in which everything happens.

ordinary_day()      24 h: traffic by the hour, bursts, an idle night, a planned restart, long prefills
ordinary_week()     seven of them
BAD_DAY             24 h: each trouble that alerts are for, with time to recover in between
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from vllm_vigil.demo.script import LOADING, Act, Mood, Rate, Scene, only

MINUTE, HOUR = 60.0, 3600.0


def by_the_hour(peak: float, night: float = 0.0) -> Rate:
    """Requests a second over a day: nothing or little before six, most in the afternoon."""

    def rate(now: float) -> float:
        hour = now / HOUR % 24
        day = math.sin((hour - 6) / 18 * math.pi) if hour >= 6 else 0.0
        return night + (peak - night) * math.sqrt(max(0.0, day))

    return rate


CHAT, CODE = Act(rate=by_the_hour(1.8, night=0.02)), Act(rate=by_the_hour(1.4))
BURST, LONG = replace(CHAT, rate=6.0), replace(CODE, rate=0.3, prompts=9.0)
USUAL = only(chat=CHAT, code=CODE)
READY = only(chat=replace(CHAT, log="ready"), code=replace(CODE, log="ready"))


def ordinary_day() -> Iterator[Scene]:
    """24 hours from midnight in which nothing is wrong."""
    yield Scene("the day begins with servers that start", 2 * MINUTE, only(chat=LOADING, code=LOADING))
    yield Scene("the night", 6 * HOUR - 2 * MINUTE, READY)
    yield Scene("the morning", 3 * HOUR, USUAL)
    yield Scene("a burst on chat", 2 * MINUTE, only(chat=BURST, code=CODE))
    yield Scene("the forenoon", 2 * HOUR, USUAL)
    yield Scene(
        "long documents are read by code: prefills of thousands of tokens", 30 * MINUTE, only(chat=CHAT, code=LONG)
    )
    yield Scene("noon", 1.5 * HOUR, USUAL)
    yield Scene("code is stopped on purpose", 60, only(chat=CHAT, code=Act(Mood.DOWN, 0, log="stop")))
    yield Scene("and loads another version", 2 * MINUTE, only(chat=CHAT, code=LOADING))
    yield Scene("the afternoon", 4 * HOUR, only(chat=CHAT, code=replace(CODE, log="ready")))
    yield Scene("a burst on chat", 3 * MINUTE, only(chat=BURST, code=CODE))
    yield Scene("the evening", 5 * HOUR, USUAL)
    yield Scene("code sleeps until midnight", 2 * HOUR - 8 * MINUTE, only(chat=CHAT, code=Act(Mood.ASLEEP, 0)))


def ordinary_week() -> Iterator[Scene]:
    """Seven ordinary days; only the first begins with a start."""
    for day in range(7):
        for scene in ordinary_day():
            if day == 0 or "servers that start" not in scene.title:
                yield scene
            else:
                yield Scene("midnight", scene.seconds, USUAL)


def _quiet(seconds: float) -> Scene:
    return Scene("ordinary traffic", seconds, USUAL)


BAD_DAY: tuple[Scene, ...] = (
    Scene("both servers start", 90, only(chat=LOADING, code=LOADING)),
    Scene("the night", 5 * HOUR - 90, READY),
    _quiet(2 * HOUR),
    Scene("a queue builds up on chat", 15 * MINUTE, only(chat=replace(CHAT, rate=10.0), code=CODE)),
    _quiet(65 * MINUTE),
    Scene(
        "long answers fill the KV cache of chat", 25 * MINUTE, only(chat=replace(CHAT, rate=2.2, answers=6), code=CODE)
    ),
    _quiet(75 * MINUTE),
    Scene("code dies of CUDA out of memory", 4 * MINUTE, only(chat=CHAT, code=Act(Mood.DOWN, 0, log="cuda_oom"))),
    Scene("code starts", 2 * MINUTE, only(chat=CHAT, code=LOADING)),
    Scene("ordinary traffic", 74 * MINUTE, only(chat=CHAT, code=replace(CODE, log="ready"))),
    Scene("one engine of chat hangs", 12 * MINUTE, only(chat=replace(CHAT, mood=Mood.HANGING, engine=1), code=CODE)),
    _quiet(78 * MINUTE),
    Scene(
        "GPU 1 is hot and slows down", 25 * MINUTE, only(chat=replace(CHAT, rate=4.0), code=CODE), hot=frozenset({1})
    ),
    _quiet(65 * MINUTE),
    Scene(
        "GPU 3 falls off the bus",
        15 * MINUTE,
        only(chat=CHAT, code=Act(Mood.DOWN, 0, log="gpu_lost")),
        lost=frozenset({3}),
        xids=((3, 79),),
    ),
    Scene("GPU 3 is back, code starts", 2 * MINUTE, only(chat=CHAT, code=LOADING)),
    Scene("ordinary traffic", 58 * MINUTE, only(chat=CHAT, code=replace(CODE, log="ready"))),
    Scene("a kernel spins on the GPUs of code", 12 * MINUTE, only(chat=CHAT, code=replace(CODE, mood=Mood.SPINNING))),
    _quiet(63 * MINUTE),
    Scene("all clients of code hang up: frozen gauges", 12 * MINUTE, only(chat=CHAT, code=Act(Mood.FROZEN, 0))),
    _quiet(63 * MINUTE),
    Scene("chat answers a share of requests with 500", 10 * MINUTE, only(chat=replace(CHAT, errors=0.5), code=CODE)),
    _quiet(50 * MINUTE),
    Scene("the sidecar is down", 10 * MINUTE, USUAL, watched=False),
    _quiet(2.5 * HOUR),
    Scene("code sleeps until midnight", 2.25 * HOUR, only(chat=CHAT, code=Act(Mood.ASLEEP, 0))),
)
