"""Following a log, the whole daemon, beside mtail on the same file in the same run; `replay.py` is about whole logs.

They are measured with a lone line now and then, and under 10,000 lines a second, each its own write. mtail looks for
twelve of our literals and counts lines and levels, as we do. Beside that we join records and judge bursts.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.daemon import free_port, wait_for
from benchmarks.figure import Figure

LONE_LINES = 18  # each is an incident of its own GPU, and a rule has no more than 20 open
LONE_DAEMONS = 12
LINES_BETWEEN = 5.0  # a second, as a server with little to do writes them
BUSY_SECONDS = 20.0
START_SECONDS = 5.0  # until both follow, also on a busy machine: what stands there at first sight is old
BUSY_LINES = 10_000
TEXTS = (
    "CUDA out of memory",
    "No available memory for the cache blocks",
    "EngineDeadError",
    "EngineCore encountered a fatal error",
    "WorkerProc hit an exception",
    "died unexpectedly",
    "NCCL error",
    "Watchdog caught collective operation timeout",
    "CUDA error: ",
    "Address already in use",
    "No available shared memory broadcast block",
    "NVRM: Xid",
)


def measure(scratch: Path) -> Iterator[Figure]:
    """Lone lines, then a flood."""
    program = scratch / "peer.mtail"
    program.write_text(mtail_program())
    yield from lone_line(scratch, program)
    yield from flood(scratch, program)


def version(command: list[str]) -> str:
    """Name and version of a peer: they differ tenfold."""
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return " ".join((said.stdout or said.stderr).split("\n")[0].split()[:4])


def lines(rng: random.Random, count: int) -> Iterator[str]:
    """What vLLM writes on an ordinary day."""
    for number in range(count):
        second = number // 2000
        when = f"11-21 {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        kind = rng.random()
        if kind < 0.64:
            client = f"10.0.{rng.randrange(256)}.{rng.randrange(256)}:{rng.randrange(65536)}"
            yield f'(APIServer pid=4100) INFO:     {client} - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
        elif kind < 0.80:
            yield (
                f"(APIServer pid=4100) INFO {when} [loggers.py:248] Engine 000: Avg prompt throughput: "
                f"{rng.random() * 9000:.1f} tokens/s, Avg generation throughput: {rng.random() * 3000:.1f} tokens/s, "
                f"Running: {rng.randrange(256)} reqs, Waiting: {rng.randrange(64)} reqs, GPU KV cache usage: "
                f"{rng.random() * 100:.1f}%, Prefix cache hit rate: {rng.random() * 100:.1f}%\n"
            )
        elif kind < 0.95:
            yield (
                f"(APIServer pid=4100) INFO {when} [logger.py:40] Received request "
                f"chatcmpl-{rng.getrandbits(128):032x}: params: SamplingParams(n=1, temperature=0.7, max_tokens=512)\n"
            )
        elif kind < 0.995:
            prefix = f"(EngineCore_DP0 pid=4214) WARNING {when} [scheduler.py:{rng.randrange(900)}]"
            yield f"{prefix} request {rng.getrandbits(64):016x} waits for {rng.random():.2f} s\n"
        else:
            prefix = f"(EngineCore_DP0 pid=4214) ERROR {when} [core.py:1131]"
            yield f"{prefix} step {rng.randrange(9999)} failed\r\n{prefix} Traceback (most recent call last):\r\n"
            yield f"{prefix} KeyError: 'x'\n"


def mtail_program() -> str:
    """The peer's equivalent: lines, levels, and one counter for each text."""
    head = "counter lines\ncounter levels by level\ncounter found by literal\n/$/ {\n  lines++\n}\n"
    head += "/^(?:\\([^)]*\\) )?(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)[ :]/ {\n  levels[$level]++\n}\n"
    return head + "".join(f'/{text}/ {{\n  found["{text}"]++\n}}\n' for text in TEXTS)


def lone_line(scratch: Path, program: Path) -> Iterator[Figure]:
    """Milliseconds from the write of a line to the committed incident, and to mtail's counter.

    After a silence, and on a server that writes a few lines a second meanwhile. mtail polls, four times a second.
    """
    between = {0.0: "", LINES_BETWEEN: f" amid {LINES_BETWEEN:.0f} a second"}
    judged: dict[float, list[float]] = {often: [] for often in between}
    counted: list[float] = []
    for number in range(LONE_DAEMONS):
        for often, late in judged.items():
            log, others = scratch / f"lone{number}-{often:.0f}.log", lines(random.Random(number), 1000)
            log.touch()
            with TemporaryDirectory(dir=scratch) as state, _daemons(Path(state), log, program) as (ours, _, port):
                late += [_judged(log, ours, count, others, often) for count in range(LONE_LINES)]
                counted += [] if often else [_counted(log, port, count) for count in range(LONE_LINES)]
    counted, name = sorted(counted), version(["mtail", "--version"])
    for often, words in between.items():
        late = sorted(judged[often])
        for what, share in (("median", 0.5), ("p99", 0.99)):
            theirs = counted[int(share * len(counted))]
            yield Figure(f"lone line{words} to incident, {what}", "ms", late[int(share * len(late))], theirs, name)


def flood(scratch: Path, program: Path) -> Iterator[Figure]:
    """Percent of a core under 10,000 lines a second, and how soon an incident is committed meanwhile."""
    log = scratch / "flood.log"
    log.touch()
    texts = [line.encode() for line in lines(random.Random(7), 20_000)]
    with _daemons(scratch / "state", log, program) as (ours, peer, _), log.open("ab", buffering=0) as file:
        before = [_used_seconds(process) for process in (ours, peer)]
        began, count, waits = time.perf_counter(), 0, list[float]()
        while (now := time.perf_counter() - began) < BUSY_SECONDS:
            while count < now * BUSY_LINES:
                file.write(texts[count % len(texts)])
                count += 1
            if len(waits) < LONE_LINES and now > len(waits) + 1:
                waits.append(_write(log, len(waits)))
            time.sleep(0.001)
        after = [_used_seconds(process) for process in (ours, peer)]
        ours.terminate()
        assert ours.stderr is not None
        opened = [line for line in ours.stderr if b" opened: " in line and b"gpu_xid" in line]
    own, theirs = (100 * (end - start) / BUSY_SECONDS for start, end in zip(before, after, strict=True))
    yield Figure("CPU at 10,000 writes/s", "%", own, theirs, version(["mtail", "--version"]))
    late = sorted(1000 * (_monotonic(line) - at) for line, at in zip(opened, waits, strict=True))
    yield Figure("line to committed incident at 10,000 writes/s, worst", "ms", late[-1])


@contextmanager
def _daemons(
    state: Path, log: Path, program: Path
) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes], int]]:
    """Ours and mtail, both following a log; and mtail's port."""
    port, peer_port = free_port(), free_port()
    options = ("--log", str(log), "--listen", f"127.0.0.1:{port}", "--state-dir", str(state))
    ours = subprocess.Popen(
        [sys.executable, "-m", "vllm_vigil", "run", *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    command = ["mtail", "--progs", str(program), "--logs", str(log), "--port", str(peer_port)]
    peer = subprocess.Popen([*command, "--address", "127.0.0.1"], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        wait_for(peer_port)
        time.sleep(START_SECONDS)
        yield ours, peer, peer_port
    finally:
        for process in (ours, peer):
            process.kill()
            process.wait()


def _used_seconds(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _monotonic(line: bytes) -> float:
    """When a line of our log was written, on the clock of `perf_counter`."""
    at = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
    return at - time.time() + time.perf_counter()


def _judged(log: Path, ours: subprocess.Popen[bytes], number: int, others: Iterator[str], often: float) -> float:
    """Until our own log says that the incident is stored; each is of another GPU."""
    _pass(0.3 + number % 7 / 100, log, others, often)
    began = _write(log, number)
    assert ours.stderr is not None
    while b"gpu_xid" not in (said := ours.stderr.readline()):
        assert said, "the daemon has ended"
    return (time.perf_counter() - began) * 1000


def _pass(seconds: float, log: Path, others: Iterator[str], often: float) -> None:
    """Let so much time pass, in which other lines are written so often a second, at random times."""
    rng, until = random.Random(time.perf_counter_ns()), time.perf_counter() + seconds
    while often and (at := time.perf_counter() + rng.expovariate(often)) < until:
        time.sleep(max(0.0, at - time.perf_counter()))
        with log.open("a") as file:
            file.write(next(others))
    time.sleep(max(0.0, until - time.perf_counter()))


def _counted(log: Path, port: int, number: int) -> float:
    time.sleep(0.3 + number % 7 / 30)
    before = _found(port)
    began = _write(log, 100 + number)
    while _found(port) == before:
        time.sleep(0.001)
    return (time.perf_counter() - began) * 1000


def _write(log: Path, number: int) -> float:
    """What a GPU says of itself alone: where it is more, those of other GPUs are signs of the same."""
    text = (
        f"Nov 21 03:05:31 node kernel: NVRM: Xid (PCI:0000:{number:02x}:00): 63, pid=1, Row Remapper: New row marked\n"
    )
    began = time.perf_counter()
    with log.open("a") as file:
        file.write(text)
    return began


def _found(port: int) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:  # our own address
        return [line for line in answer.read().decode().split("\n") if "Xid" in line]
