"""Three hours for the boards: a simulated sidecar that sees each kind of trouble, and one that sees every feature.

The first (`instance="demo:9877"`) is the real sidecar beside the demo's stage; pictures show it. The second
(`instance="every-feature:9877"`) gives what no one machine has at once, from the goldens: a page of vLLM with
everything switched on, the recorded GPUs with MIG, and the sidecar's own counters, each told once a step.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from series.test_every_version import of
from standins.nvml import MACHINES
from standins.simulation import BEGUN, HOUR, JOB, Simulation, backfill, with_target
from vllm_vigil.clock import CrankedClock
from vllm_vigil.demo.script import LOADING, Act, Mood, Scene, only
from vllm_vigil.exposition.metrics import Metrics
from vllm_vigil.model import Outcome, Reading
from vllm_vigil.series.catalogue import SPECS, spec_of
from vllm_vigil.series.spec import Kind, Spec
from vllm_vigil.telemetry import Telemetry

MINUTE = 60.0
STEP_SECONDS = 15.0
BEGIN = BEGUN + 8 * HOUR
EVERY_FEATURE = "every-feature:9877"

CHAT, CODE = Act(rate=1.6), Act(rate=1.2)
USUAL = only(chat=CHAT, code=CODE)
READY = only(chat=CHAT, code=replace(CODE, log="ready"))

DAY = (
    Scene("both servers start", 90, only(chat=LOADING, code=LOADING)),
    Scene("the morning", 40 * MINUTE - 90, only(chat=replace(CHAT, log="ready"), code=replace(CODE, log="ready"))),
    Scene("long answers fill the KV cache of chat", 14 * MINUTE, only(chat=Act(rate=2.0, answers=4), code=CODE)),
    Scene("ordinary traffic", 26 * MINUTE, USUAL),
    Scene("code dies of CUDA out of memory", 4 * MINUTE, only(chat=CHAT, code=Act(Mood.DOWN, 0, log="cuda_oom"))),
    Scene("code starts", 2 * MINUTE, only(chat=CHAT, code=LOADING)),
    Scene("ordinary traffic", 14 * MINUTE, READY),
    Scene("GPU 1 is hot", 16 * MINUTE, only(chat=replace(CHAT, rate=3.0), code=CODE), hot=frozenset({1})),
    Scene("ordinary traffic", 12 * MINUTE, USUAL),
    Scene("code answers with 500", 8 * MINUTE, only(chat=CHAT, code=replace(CODE, errors=0.4))),
    Scene(
        "GPU 3 falls off the bus",
        6 * MINUTE,
        only(chat=CHAT, code=Act(Mood.DOWN, 0, log="gpu_lost")),
        lost=frozenset({3}),
        xids=((3, 79),),
    ),
    Scene("GPU 3 is back, code starts", 2 * MINUTE, only(chat=CHAT, code=LOADING)),
    Scene("ordinary traffic", 14 * MINUTE, READY),
    Scene("code sleeps", 10 * MINUTE, only(chat=CHAT, code=Act(Mood.ASLEEP, 0))),
    Scene("ordinary traffic", 8 * MINUTE, USUAL),
    Scene("one engine of chat hangs", 4 * MINUTE, only(chat=replace(CHAT, mood=Mood.HANGING, engine=1), code=CODE)),
)
END = BEGIN + sum(scene.seconds for scene in DAY)


def fill(directory: Path) -> Path:
    """The blocks of both, for a Prometheus; the logs of the play stay in `directory`/play."""
    tsdb = directory / "tsdb"
    played = Simulation(directory / "play", DAY, begun=BEGIN, step_seconds=STEP_SECONDS)
    backfill(tsdb, played)
    for number, pages in enumerate(_by_block(_featured_pages())):
        path = directory / f"features-{number}.txt"
        path.write_text("".join(pages) + "# EOF\n")
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", str(path), str(tsdb)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    return tsdb


def _by_block(pages: Iterable[tuple[float, str]]) -> Iterator[list[str]]:
    """The pages of each block of two hours together, as promtool reads a file anew for every block in it."""
    blocks: dict[int, list[str]] = {}
    for at, text in pages:
        blocks.setdefault(int(at // (2 * HOUR)), []).append(text)
    yield from blocks.values()


def _featured_pages() -> Iterator[tuple[float, str]]:
    """The last half an hour of the second sidecar; counters grow by themselves at every step."""
    text = featured_text()
    for step in range(121):
        at = END - (120 - step) * STEP_SECONDS
        yield at, with_target(_grown(text, step + 1), at, job=JOB, instance=EVERY_FEATURE)


def featured_text() -> str:
    """One page with every series of the catalogue."""
    clock = CrankedClock(END)
    telemetry = Telemetry(clock)
    _tell_everything(telemetry)
    text = Metrics(spec_of, telemetry.families).answer(of("0.33.0", "V1").snapshot, "text/plain", "").body.decode()
    text += "".join((MACHINES / f"{name}.metrics").read_text() for name in ("a100x8-mig", "plain", "h200"))
    known = {line.partition(" ")[0].partition("{")[0] for line in text.splitlines()}
    text += "".join(_from_the_row(spec) for spec in SPECS.values() if not _is_there(spec, known))
    samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return "".join(f"{name} {value}\n" for name, value in {name: value for name, _, value in samples[::-1]}.items())


def _is_there(spec: Spec, known: set[str]) -> bool:
    return spec.name in known or f"{spec.name}_bucket" in known


def _from_the_row(spec: Spec) -> str:
    """What no golden has, as its row in the catalogue declares it."""
    labels = ",".join(f'{label}="{_VALUES.get(label, "x")}"' for label in spec.labels)
    braces = f"{{{labels}}}" if labels else ""
    if spec.kind is not Kind.HISTOGRAM:
        return f"{spec.name}{braces} 1\n"
    first = f"{labels}," if labels else ""
    ends = "".join(f'{spec.name}_bucket{{{first}le="{le}"}} 1\n' for le in ("1.0", "+Inf"))
    return f"{ends}{spec.name}_sum{braces} 0.5\n{spec.name}_count{braces} 1\n"


_VALUES = {"part": "sm", "server": "s", "model_name": "m", "engine": "0", "gpu": "0", "outcome": "ok", "kind": "host"}


def _tell_everything(telemetry: Telemetry) -> None:
    """Each fact of the sidecar's own, once."""
    telemetry.source_read(Reading("vllm", "s", END, 0.1))
    telemetry.series_dropped("max_series")
    telemetry.log_lost("/var/log/vllm.log", "truncated", 10)
    telemetry.channels_known(["pager"])
    telemetry.attempted("pager", Outcome.DELIVERED)
    telemetry.recordings_known()
    telemetry.recorded("written")
    telemetry.heartbeats_known()
    telemetry.heartbeat("delivered")
    telemetry.members_known(["am-1"], ["opened"])
    telemetry.pushed("am-1", "delivered")
    telemetry.told("opened")


_COUNTING = re.compile(r"^(\w+_(?:total|bucket|sum|count)(?:\{.*\})?) (\S+)$", re.MULTILINE)


def _grown(text: str, times: int) -> str:
    """The page after so many steps: counters and histograms so many times as large."""
    return _COUNTING.sub(lambda found: f"{found[1]} {float(found[2]) * times:g}", text)
