"""Replaying a log, the whole process, beside mtail, grep and two ripgreps on the same file in the same run.

The logs are synthetic and the same in every run: 64 % access lines, 16 % statistics, 15 % requests, 4 % WARNING; and
tracebacks of three lines, as few as a server writes that is well (one in 20,000 lines) or as many as one that is not
(one in 200). They are written with the CR LF marks that vLLM makes and without, as copies have lost them. The peers
look for twelve of our literals; mtail also counts lines and levels, as we do. Beside that we join records and judge
bursts. What is compared is CPU seconds, the least of some runs that take turns, the start included.

`python -m benchmarks.replay 1000000000` takes 1 GB instead of 200 MB.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.figure import Figure
from benchmarks.logs import TEXTS, lines, mtail_program, version

SIZE_BYTES = 1_000_000_000
ROUNDS = 3
FEW, MANY = 20_000, 200  # lines for one traceback
WITHOUT_HYPERSCAN = "import sys; sys.modules['hyperscan'] = None; from vllm_vigil.cli import main; sys.exit(main())"
NEW_RIPGREP = str(Path(sys.executable).with_name("rg"))  # of the wheel; Debian's is ten times slower
STARTER = """import os, sys
nowhere = [(os.POSIX_SPAWN_OPEN, to, os.devnull, os.O_WRONLY, 0) for to in (1, 2)]
process = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=nowhere)
used = os.wait4(process, 0)[2]
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""  # a small process, since the peak of its own counts as that of what it starts


class Cost(NamedTuple):
    """CPU seconds and the peak of memory in MB, of a whole process."""

    seconds: float
    memory: float


def measure(scratch: Path, size_bytes: int = SIZE_BYTES) -> Iterator[Figure]:
    """Megabytes per CPU second, then memory, then more patterns."""
    program = scratch / "replay.mtail"
    program.write_text(mtail_program())
    log = scratch / "ordinary.log"
    write(log, size_bytes, FEW)
    peers = _peers(log, program)
    seconds = costs({"ours": _replay(log), "standard": _replay(log, hyperscan=False)} | peers)
    megabytes = log.stat().st_size / 1e6
    for name in peers:
        for what, ours in (("ordinary log", "ours"), ("the same without Hyperscan", "standard")):
            yield _figure(f"replay, {what}", megabytes, seconds[ours], seconds[name], name)
    yield from _other_logs(scratch, program, size_bytes // 5)
    write(scratch / "tenth.log", size_bytes // 10, FEW)
    tenth = costs({"": _replay(scratch / "tenth.log")})[""]
    yield Figure("replay, peak memory, whole log and a tenth of it", "MB", seconds["ours"].memory, tenth.memory, "ours")
    more = costs({"": _replay(log, "--config", str(_user_patterns(scratch, 100)))})[""]
    yield Figure("replay, 100 patterns of the user's more", "s", more.seconds, seconds["ours"].seconds, "ours without")


def _other_logs(scratch: Path, program: Path, size_bytes: int) -> Iterator[Figure]:
    """A log that has lost its marks, and one of a server that is not well."""
    cases = (
        ("ordinary log without CR LF", FEW, b"\n"),
        ("1.5 % of lines in tracebacks", MANY, b"\r\n"),
        ("the same without CR LF", MANY, b"\n"),
    )
    for what, every, end in cases:
        log = scratch / "other.log"
        write(log, size_bytes, every, end)
        mtail, command = next(iter(_peers(log, program).items()))
        seconds = costs({"ours": _replay(log), mtail: command})
        yield _figure(f"replay, {what}", log.stat().st_size / 1e6, seconds["ours"], seconds[mtail], mtail)


def costs(commands: Mapping[str, list[str]]) -> dict[str, Cost]:
    """What each of some commands costs at the least, as they take turns; mtail has one."""
    costs_of: dict[str, list[Cost]] = {name: [] for name in commands}
    for turn in range(ROUNDS):
        for name, command in commands.items():
            if turn == 0 or command[0] != "mtail":
                costs_of[name].append(_cost(command))
    return {name: min(found) for name, found in costs_of.items()}


def write(log: Path, size_bytes: int, every: int, end: bytes = b"\r\n") -> None:
    """A log of about that size with one traceback in so many lines, the same every time."""
    ordinary = [line for line in lines(random.Random(7), 100_000) if " ERROR " not in line]
    troubled = (line for line in lines(random.Random(7), 100_000) if " ERROR " in line)
    for at in range(every // 2, len(ordinary), every):
        ordinary[at] += next(troubled) + next(troubled)  # which come in two parts
    block = "".join(ordinary).encode().replace(b"\r\n", end)
    with log.open("wb") as file:
        while file.tell() < size_bytes:
            file.write(block)


def _peers(log: Path, program: Path) -> dict[str, list[str]]:
    """By name and version: versions differ tenfold. mtail, which does most of what we do, is the first."""
    texts = "|".join(TEXTS)
    commands = [["grep", "-cE", texts], ["rg", "-c", texts], [NEW_RIPGREP, "-c", texts]]
    return {
        version(["mtail", "--version"]): ["mtail", "--one_shot", "--progs", str(program), "--logs", str(log)],
        **{version([command[0], "--version"]): [*command, str(log)] for command in commands},
    }


def _replay(log: Path, *options: str, hyperscan: bool = True) -> list[str]:
    way = ["-m", "vllm_vigil"] if hyperscan else ["-c", WITHOUT_HYPERSCAN]
    return [sys.executable, *way, "replay", str(log), *options]


def _cost(command: list[str]) -> Cost:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
    small = [sys.executable, "-S", "-c", STARTER, *command]
    seconds, kilobytes = subprocess.run(small, env=kept, capture_output=True, text=True, check=True).stdout.split()
    return Cost(float(seconds), float(kilobytes) / 1000)


def _figure(name: str, megabytes: float, ours: Cost, theirs: Cost, peer: str) -> Figure:
    return Figure(name, "MB/s", megabytes / ours.seconds, megabytes / theirs.seconds, peer)


def _user_patterns(scratch: Path, count: int) -> Path:
    """A configuration with so many rows, half of which look at INFO too."""
    rows = [f"  row{n}: {{regex: 'never written {n} (?P<n>\\d+)'{', level: WARNING' * (n % 2)}}}" for n in range(count)]
    path = scratch / "patterns.yaml"
    path.write_text("\n".join(("patterns:", *rows, "")))
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        for figure in measure(Path(directory), *map(int, sys.argv[1:])):
            print(figure.row, flush=True)
