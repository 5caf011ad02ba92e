"""The table of failures that the shipped alerts are played against, each with exactly the alerts that it must fire.

A row names each alert by name and place, `VllmEngineDead(code,0)`: server and engine, or GPU, or GPU and XID. Behind it
stands within how many seconds after the failure began it fires. Everything plays on servers that are 20 minutes old.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from vllm_vigil.demo.script import LOADING, Act, Mood, Scene, only

MINUTE = 60.0
SCRAPE = 30
"""Seconds between two scrapes."""

READY = Act(log="ready")
WARM = (
    Scene("both servers start", MINUTE, only(chat=LOADING, code=LOADING)),
    Scene("ordinary traffic", 20 * MINUTE, only(chat=READY, code=READY)),
)
BACKGROUND = frozenset({"Watchdog", "GpuMemoryOver90Percent"})
"""What fires always: the one is meant to, the other informs that vLLM has taken its share of the memory (0.92)."""

STAYS = frozenset(
    {"GpuLost", "GpuFellOffBus", "GpuEccUncorrected", "GpuXidApplication", "GpuXidHardware", "VllmEngineMissing"}
) | {"VllmFlapping"}
"""What looks back over half an hour, or is kept for so long or longer for whoever comes late: by intention."""

LATE = "BudgetBurns"
"""Budgets are of hours and days: what has been burnt is burnt when the failure is over."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One row. `scenes` begin with the failure; `alerts` are all that may fire, and by when they must.

    What looks back for a day has a day `before` it, which is scraped less often.
    """

    id: str
    title: str
    scenes: tuple[Scene, ...]
    alerts: Mapping[str, float] = field(default_factory=dict)
    before: tuple[Scene, ...] = WARM
    scrape_seconds: int = SCRAPE


def _of(act: Act, minutes: float, server: str = "code", **more: object) -> Scene:
    return Scene("the failure", minutes * MINUTE, {server: act}, **more)  # type: ignore[arg-type]


AFTER = Scene("afterwards", 25 * MINUTE)
AGAIN = (Scene("code loads", MINUTE, only(code=LOADING)), Scene("afterwards", 25 * MINUTE, only(code=READY)))


def _boots() -> Iterator[Scene]:
    for _ in range(4):
        yield _of(Act(Mood.DOWN, 0, log="cuda_oom"), 0.5)
        yield _of(LOADING, 1)
        yield _of(READY, 1)


def _latency(server: str, *more: str, **within: float) -> dict[str, float]:
    """The alerts on waiting too long of one server, with more of it."""
    named = {"VllmTtftOver2s": 1200.0, "VllmLatencyP95Over8s": 1200.0, "VllmLatencyP99Over15s": 1200.0}
    named |= {f"Vllm{kind}BudgetBurnsFast": 1200.0 for kind in ("Ttft", "Latency")}
    named |= {f"Vllm{kind}BudgetBurnsSlowly": 1800.0 for kind in ("Ttft", "Latency")}
    named |= dict.fromkeys(more, 1200.0) | within
    return {f"{name}({server})": seconds for name, seconds in named.items()}


INCIDENT = {"VigilIncidentOpen": 300.0}


def _replica(page: str) -> str:
    """The page of code as that of a second chat, whose KV cache was given another type."""
    return page.replace("qwen3-coder-30b", "llama-3.3-70b").replace('cache_dtype="auto"', 'cache_dtype="fp8"')


def _transfers(failed: int) -> Act:
    """Ordinary traffic at a server whose KV cache comes from another over NIXL; so many transfers have failed."""
    name = "vllm:nixl_num_failed_transfers"
    line = f'# TYPE {name} counter\n{name}_total{{engine="0",model_name="qwen3-coder-30b"}} {failed}.0\n'
    return Act(page=lambda page: page + line)


def _redeployed(act: Act, minutes: float) -> tuple[Scene, ...]:
    """Code is stopped on purpose and comes back as another."""
    stop, load = Act(Mood.DOWN, 0, log="stop"), LOADING
    return (_of(stop, 1), _of(load, 2), _of(act, minutes))


FAILURES = (
    Failure("ordinary", "nothing: ordinary traffic", (Scene("ordinary traffic", 30 * MINUTE),)),
    Failure("asleep", "nothing: code is put to sleep", (_of(Act(Mood.ASLEEP, 0), 15), AFTER)),
    Failure(
        "server_killed",
        "the processes of a server are gone, its log says nothing",
        (_of(Act(Mood.DOWN, 0), 5), *AGAIN),
        {"VllmEngineDead(code,0)": 120, "VllmRestarted(code)": 600} | INCIDENT,
    ),
    Failure(
        "planned_stop",
        "a server is told to stop, and comes back after ten minutes",
        (_of(Act(Mood.DOWN, 0, log="stop"), 10), *AGAIN),
        {"VllmRestarted(code)": 900},
    ),
    Failure(
        "stopped_for_long",
        "a server is told to stop, and comes back after an hour and a half",
        (_of(Act(Mood.DOWN, 0, log="stop"), 90), *AGAIN),
        {"VllmStoppedForLong(code)": 3900},
    ),
    Failure(
        "stop_then_crash",
        "a server is told to stop, is started again and dies",
        (_of(Act(Mood.DOWN, 0, log="stop"), 3), *AGAIN[:1], _of(Act(Mood.DOWN, 0, log="cuda_oom"), 8), *AGAIN),
        {"VllmEngineDead(code,0)": 330, "VllmRestarted(code)": 600, "VigilIncidentOpen": 420},
    ),
    Failure(
        "server_unreachable",
        "the port of a server is closed, its processes are there",
        (_of(Act(Mood.SHUT, 0), 8), AFTER),
        {"VllmServerUnreachable(code,0)": 180} | INCIDENT,
    ),
    Failure(
        "cuda_oom",
        "CUDA out of memory, the engine dies and is started again",
        (_of(Act(Mood.DOWN, 0, log="cuda_oom"), 5), *AGAIN),
        {"VllmEngineDead(code,0)": 120, "VllmRestarted(code)": 600} | INCIDENT,
    ),
    Failure(
        "engine_dead_http_up",
        "the engine is dead, the API server goes on: every request is answered with 500",
        (_of(Act(Mood.DEAD, 0, errors=1), 5), AFTER),
        {"VllmEngineDead(code,0)": 120} | INCIDENT,
    ),
    Failure(
        "hang",
        "one engine of two hangs, /health says 200",
        (_of(Act(Mood.HANGING, engine=1), 10, "chat"), AFTER),
        {"VllmEngineStalled(chat,1)": 300} | INCIDENT,
    ),
    Failure(
        "hang_then_slow",
        "one engine hangs for ten minutes, and is eight times as slow ever after",
        (_of(Act(Mood.HANGING, engine=1), 10, "chat"), _of(Act(rate=0.8, slow=8), 22, "chat"), AFTER),
        {"VllmEngineStalled(chat,1)": 300, "VllmKvCacheFillsUp(chat,1)": 1500}
        | INCIDENT
        | {f"Vllm{name}(chat)": 1200.0 for name in ("QueueOver10", "QueueOver50")}
        | {f"Vllm{name}BudgetBurnsFast(chat)": 1500.0 for name in ("Ttft", "InterToken", "Latency")}
        | {
            f"Vllm{name}(chat)": 1900.0
            for name in ("TtftOver2s", "LatencyP95Over8s", "LatencyP99Over15s", "QueueTimeOver2s")
        },
    ),
    Failure(
        "spinning",
        "a kernel spins: GPU at 100 %, little power, no token",
        (_of(Act(Mood.SPINNING), 10), AFTER),
        {"VllmEngineSpinning(code,0)": 300} | INCIDENT,
    ),
    Failure(
        "frozen_gauges",
        "all clients hang up at once, the gauges stay",
        (_of(Act(Mood.FROZEN, 0), 12), AFTER),
        {"VllmMetricsFrozen(code,0)": 600},
    ),
    Failure(
        "kv_pressure",
        "long answers fill the KV cache: preemptions",
        (_of(Act(rate=3.2, answers=6), 15, "chat"), AFTER),
        {"VllmKvCacheFillsUp(chat,0)": 600, "VllmKvCacheFillsUp(chat,1)": 600}
        | _latency("chat", "VllmPreemptionStorm", "VllmQueueOver10", "VllmQueueOver50", "VllmQueueTimeOver2s"),
    ),
    Failure(
        "queue_flood",
        "more requests than the server can take",
        (_of(Act(rate=16), 10, "chat"), AFTER),
        _latency("chat", "VllmQueueOver10", "VllmQueueOver50", "VllmQueueTimeOver2s"),
    ),
    Failure(
        "slow",
        "every step takes eight times as long",
        (_of(Act(rate=0.8, slow=8), 15, "chat"), AFTER),
        _latency("chat", "VllmInterTokenBudgetBurnsFast", VllmInterTokenBudgetBurnsSlowly=1800),
    ),
    Failure(
        "http_5xx",
        "a fifth of the requests is answered with 500",
        (_of(Act(errors=0.4), 10, "chat"), AFTER),
        {
            "VllmHttp5xxOverOnePercent(chat)": 480,
            "VllmHttp5xxOverTenthPercent(chat)": 480,
            "VllmAvailabilityBudgetBurnsFast(chat)": 480,
            "VllmAvailabilityBudgetBurnsSlowly(chat)": 1800,
        },
    ),
    Failure(
        "http_5xx_storm",
        "two thirds of the requests are answered with 500, after hours that were good",
        (_of(Act(errors=3), 10, "chat"), AFTER),
        {
            "VllmHttp5xxOverFivePercent(chat)": 300,
            "VllmHttp5xxOverOnePercent(chat)": 480,
            "VllmHttp5xxOverTenthPercent(chat)": 480,
            "VllmAvailabilityBudgetBurnsSlowly(chat)": 1800,
        },
        before=(*WARM, Scene("hours of ordinary traffic", 6 * 60 * MINUTE)),
    ),
    Failure(
        "gpu_lost",
        "a GPU falls off the bus: XID 79, its engine dies",
        (_of(Act(Mood.DOWN, 0, log="gpu_lost"), 10, lost=frozenset({3}), xids=((3, 79),)), *AGAIN),
        {"GpuFellOffBus(3,79)": 120, "VllmEngineDead(code,0)": 120, "VllmRestarted(code)": 900} | INCIDENT,
    ),
    Failure(
        "gpu_gone",
        "a GPU is gone without a word of the driver, its engine dies",
        (_of(Act(Mood.DOWN, 0, log="gpu_lost"), 10, lost=frozenset({3})), *AGAIN),
        {"GpuLost(3)": 120, "VllmEngineDead(code,0)": 120, "VllmRestarted(code)": 900} | INCIDENT,
    ),
    Failure(
        "xid_application",
        "XID 13: a program's error on a GPU, which goes on",
        (Scene("the failure", 5 * MINUTE, xids=((2, 13),)), AFTER),
        {"GpuXidApplication(2,13)": 120},
    ),
    Failure(
        "xid_hardware",
        "XID 119: the GPU's firmware does not answer",
        (Scene("the failure", 5 * MINUTE, xids=((2, 119),)), AFTER),
        {"GpuXidHardware(2,119)": 120} | INCIDENT,
    ),
    Failure(
        "hot",
        "a GPU is too hot and slows itself down",
        (_of(Act(rate=6), 20, "chat", hot=frozenset({1})), AFTER),
        {
            "GpuHot(1)": 600,
            "GpuMemoryHot(1)": 600,
            "GpuThrottledWhileServing(1)": 900,
            "VllmLatencyP95Over8s(chat)": 900,
            "VllmLatencyP99Over15s(chat)": 900,
            "VllmTtftBudgetBurnsSlowly(chat)": 1800,
        },
    ),
    Failure(
        "boot_loop",
        "a server dies and starts four times in ten minutes",
        (*_boots(), AFTER),
        {"VllmRestarted(code)": 300, "VllmFlapping(code)": 660} | INCIDENT,
    ),
    Failure(
        "sidecar_down",
        "the sidecar does not answer",
        (Scene("the failure", 10 * MINUTE, watched=False), AFTER),
        {"VigilSidecarDown": 240},
    ),
    Failure(
        "driver_gone",
        "NVML cannot be used any more",
        (Scene("the failure", 10 * MINUTE, driver=False), AFTER),
        {"VigilSourceDown": 480},
    ),
    Failure(
        "metrics_renamed",
        "a new release calls every metric by another name",
        (_of(Act(Mood.MUTE), 15), AFTER),
        {"VllmMetricsMissing(code)": 900, "VllmEngineMissing(code,0)": 300},
    ),
    Failure(
        "host_memory_leak",
        "the API server grows by 50 MB a second",
        (_of(Act(leak=5e7), 180, "chat"),),
        {"VllmHostMemoryLeak(chat)": 180 * MINUTE},
    ),
    Failure(
        "traffic_lost",
        "nobody asks code any more, and yesterday at this time they did",
        (_of(Act(rate=0), 40), AFTER),
        {"VllmTrafficLost(code)": 1800},
        before=(*WARM, Scene("a day of ordinary traffic", 24 * 60 * MINUTE)),
        scrape_seconds=120,
    ),
    Failure(
        "config_drift",
        "code is redeployed as a replica of chat, with another type of KV cache, and an hour later mended",
        (
            *_redeployed(Act(log="ready", page=_replica), 75),
            *_redeployed(replace(READY, page=lambda page: _replica(page).replace("fp8", "auto")), 25),
        ),
        {"VllmRestarted(code)": 600, "VllmConfigDrift": 4200},
    ),
    Failure(
        "undelivered",
        "an engine dies, and the channel that should page takes nothing for a quarter of an hour",
        (
            _of(Act(Mood.DOWN, 0), 10, heard=False),
            *(replace(scene, seconds=seconds, heard=False) for scene, seconds in zip(AGAIN, (60, 240), strict=True)),
            AFTER,
        ),
        {"VllmEngineDead(code,0)": 120, "VllmRestarted(code)": 900}
        | {"VigilPagesNotDelivered": 600, "VigilChannelFailing": 900}
        | INCIDENT,
    ),
    Failure(
        "kv_transfer",
        "KV cache from the prefill side does not arrive at code",
        (_of(_transfers(0), 1), _of(_transfers(4), 5), _of(_transfers(9), 25)),
        {"VllmKvTransferFailing(code)": 300},
    ),
    Failure(
        "ecc",
        "a GPU counts uncorrected errors in its memory, and goes on",
        (Scene("the failure", 5 * MINUTE, ecc={2: 2}), AFTER),
        {"GpuEccUncorrected(2)": 120},
    ),
)
