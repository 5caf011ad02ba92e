"""The demo's day, a few minutes long: a table of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Mood(Enum):
    """What the stand-in does during a scene."""

    SERVING = "serving"
    HANGING = "hanging"  # /health says 200, requests are held, no step is taken
    DOWN = "down"  # the port is closed


@dataclass(frozen=True, slots=True)
class Scene:
    """So many seconds of one mood with so many requests a second; `log` names what is written when it begins."""

    title: str
    seconds: float
    mood: Mood
    requests_per_second: float
    log: str = ""


DAY = (
    Scene("the server starts", 4, Mood.DOWN, 0, log="start"),
    Scene("ordinary traffic", 40, Mood.SERVING, 4, log="ready"),
    Scene("more comes than it can take: the queue grows", 40, Mood.SERVING, 14),
    Scene("CUDA out of memory: the engine dies", 25, Mood.DOWN, 0, log="cuda_oom"),
    Scene("it is started again", 6, Mood.DOWN, 0, log="start"),
    Scene("ordinary traffic", 40, Mood.SERVING, 4, log="ready"),
    Scene("the engine hangs, and /health goes on saying 200", 80, Mood.HANGING, 2),
    Scene("it recovers", 30, Mood.SERVING, 3),
    Scene("a quiet night", 30, Mood.SERVING, 0),
)
