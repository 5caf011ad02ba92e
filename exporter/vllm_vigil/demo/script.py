"""What happens when: the words of a play, and the demo's day, a few minutes long, as a table of scenes.

Two servers: `chat` with two data-parallel engines on GPUs 0 and 1, `code` with one engine on GPUs 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

Rate = float | Callable[[float], float]
"""Requests a second, or how they follow from the time (epoch seconds)."""


class Mood(Enum):
    """What a server does during a scene."""

    SERVING = "serving"
    LOADING = "loading"  # its port is closed, its GPUs fill
    DOWN = "down"  # its port is closed
    HANGING = "hanging"  # /health says 200, requests are held, no step is taken, the GPU idles
    SPINNING = "spinning"  # the same, while a kernel keeps the GPU at 100 % and little power
    FROZEN = "frozen"  # all clients have hung up: the gauges of the last step stay
    ASLEEP = "asleep"
    SHUT = "shut"  # its port is closed and its log says nothing, its processes are there
    DEAD = "dead"  # /health says 503
    MUTE = "mute"  # serves, but its page is that of a future version: every name is another


@dataclass(frozen=True, slots=True)
class Act:
    """One server during a scene. `engine` is the only one that hangs, None for all.

    `answers` and `prompts` say how many times longer than usual those are, `errors` how many requests a second are
    answered with 500, `slow` how many times slower the engine is, `leak` by how many bytes
    a second the API server grows. `page` makes of the text of /metrics what is shown instead.
    """

    mood: Mood = Mood.SERVING
    rate: Rate = 1.5
    answers: float = 1.0
    prompts: float = 1.0
    errors: float = 0.0
    slow: float = 1.0
    leak: float = 0.0
    log: str = ""
    engine: int | None = None
    page: Callable[[str], str] | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """So many seconds in which every server plays its act; one without an act goes on with its usual traffic.

    `hot` and `lost` name GPUs; `xids` are reported when the scene begins, as (GPU, number); `ecc` says how many
    uncorrected memory errors a GPU has counted. Without `driver` NVML is gone, without `watched` the sidecar
    is down, without `heard` its channel takes nothing: these are for the simulation of the tests.
    """

    title: str
    seconds: float
    acts: Mapping[str, Act] = field(default_factory=dict)
    hot: frozenset[int] = frozenset()
    lost: frozenset[int] = frozenset()
    xids: tuple[tuple[int, int], ...] = ()
    ecc: Mapping[int, int] = field(default_factory=dict)
    driver: bool = True
    watched: bool = True
    heard: bool = True


def only(**acts: Act) -> Mapping[str, Act]:
    """The acts of the servers that are named."""
    return acts


LOADING = Act(Mood.LOADING, 0, log="start")
READY = Act(log="ready")

DAY = (
    Scene("both servers start and load their models", 10, only(chat=LOADING, code=LOADING)),
    Scene("ordinary traffic", 35, only(chat=READY, code=READY)),
    Scene("long answers fill the KV cache of chat: preemptions", 40, only(chat=Act(rate=6, answers=6, prompts=1.3))),
    Scene("chat gets more than it can take: the queue grows", 15, only(chat=Act(rate=18))),
    Scene("code runs out of GPU memory and dies", 15, only(code=Act(Mood.DOWN, 0, log="cuda_oom"))),
    Scene("code is started again", 8, only(code=LOADING)),
    Scene("ordinary traffic, but GPU 1 gets hot and slows down", 35, only(code=READY), hot=frozenset({1})),
    Scene(
        "one engine of chat hangs, and /health goes on saying 200",
        100,
        only(chat=Act(Mood.HANGING, engine=1)),
    ),
    Scene("it recovers", 25),
    Scene(
        "GPU 3 falls off the bus: XID 79",
        30,
        only(code=Act(Mood.DOWN, 0, log="gpu_lost")),
        lost=frozenset({3}),
        xids=((3, 79),),
    ),
    Scene("GPU 3 is back, code starts", 10, only(code=LOADING)),
    Scene("ordinary traffic", 30, only(code=READY)),
    Scene("a kernel spins on code's GPUs: 100 % busy at little power", 90, only(code=Act(Mood.SPINNING))),
    Scene("it recovers", 25),
    Scene("all clients of code hang up at once: its gauges freeze", 60, only(code=Act(Mood.FROZEN, 0))),
    Scene("code is put to sleep", 30, only(code=Act(Mood.ASLEEP, 0, log="sleep"))),
    Scene("a quiet night", 40, only(chat=Act(rate=0), code=Act(rate=0))),
)
