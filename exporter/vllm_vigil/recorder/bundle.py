"""What an incident froze -> a directory of three files, and back. Everything here may block: it runs in a worker.

    bundles/vigil-0123456789abcdef/
        incident.json   the incident as it was, every track second by second, the last records of each process
        summary.txt     the same for people: small lines, numbers, records
        chart.png       where it could be drawn

Promise: no prompt and no secret is in it (records are masked, labels and lines of the incident were), directories are
0700 and files 0600, and a bundle is there as a whole or not at all. The oldest go first when there are too many.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vllm_vigil.model import Incident
from vllm_vigil.recorder.ring import Recording
from vllm_vigil.recorder.tail import masked
from vllm_vigil.recorder.text import view
from vllm_vigil.recorder.tracks import COUNTED, STATES, UNITS

DIRECTORY = "bundles"
DOCUMENT, SUMMARY, CHART = "incident.json", "summary.txt", "chart.png"
VERSION = 1
_KEY = re.compile(r"[\w.-]{1,100}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is to be written: it does not change any more, and nothing in `records` is masked yet.

    `gpus` are those on which the incident's server holds memory, none if that is not known.
    """

    incident: Incident
    at: float
    recording: Recording
    records: dict[str, list[tuple[float | None, str]]]
    gpus: frozenset[str] = frozenset()


def place(directory: Path, key: str) -> Path | None:
    """Where the bundle of an incident stands or would; None for a key that is no name."""
    return directory / key if _KEY.fullmatch(key) and not key.startswith(".") else None


def write(directory: Path, frozen: Frozen) -> Path:
    """Write it, beside its place and then to it. Raises OSError."""
    final = place(directory, frozen.incident.key)
    if final is None:
        raise OSError(f"{frozen.incident.key!r} is no name for a directory")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = directory / f".{final.name}.new"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(mode=0o700)
    try:
        document = _document(frozen)
        _put(made / DOCUMENT, _chunks(document, frozen.recording))
        _put(made / SUMMARY, (f"{line}\n" for line in _summary(made / DOCUMENT, frozen, document["records"])))
        shutil.rmtree(final, ignore_errors=True)
        made.rename(final)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)  # half a bundle on a full disk is worse than none
        raise
    return final


def read(directory: Path, key: str) -> dict[str, Any] | None:
    """The document of a bundle, None if there is none that can be read."""
    found = place(directory, key)
    try:
        document = json.loads((found / DOCUMENT).read_text(encoding="utf-8")) if found else None
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def kept(directory: Path) -> list[Path]:
    """Every bundle, oldest first."""
    try:
        found = [(each.stat().st_mtime, each) for each in directory.iterdir() if _KEY.fullmatch(each.name)]
    except OSError:
        return []
    return [each for _, each in sorted(found) if not each.name.startswith(".")]


def prune(directory: Path, most: int, most_bytes: int) -> list[Path]:
    """Remove the oldest until so many, of so many bytes, are left; the newest stays. Gives what went.

    What a process that was killed has left half written goes too.
    """
    for half in directory.glob(".*.new"):
        shutil.rmtree(half, ignore_errors=True)
    bundles = kept(directory)
    sizes = {each: _size(each) for each in bundles}
    gone = []
    while len(bundles) > 1 and (len(bundles) > most or sum(sizes[each] for each in bundles) > most_bytes):
        gone.append(bundles.pop(0))
        shutil.rmtree(gone[-1], ignore_errors=True)
    return gone


def _document(frozen: Frozen) -> dict[str, Any]:
    return {
        "version": VERSION,
        "at": frozen.at,
        "incident": asdict(frozen.incident),
        "states": list(STATES),
        "gpus": sorted(frozen.gpus),
        "records": {name: [list(each) for each in kept_] for name, kept_ in masked(frozen.records).items()},
    }


def _chunks(document: dict[str, Any], recording: Recording) -> Iterator[str]:
    """The document as JSON, track by track: one call for all of it would keep every other thread waiting."""
    yield json.dumps(document, ensure_ascii=True)[:-1]
    yield f', "times": {_numbers(recording.times, 3)}, "tracks": ['
    for index, (track, values) in enumerate(sorted(recording.tracks.items())):
        about = {**track._asdict(), "unit": UNITS.get(track.name, ""), "counter": track.name in COUNTED}
        yield ("\n, " if index else "\n  ") + json.dumps(about)[:-1]
        yield f', "values": {_numbers(values, 4)}}}'
    yield "\n]}\n"


def _numbers(values: array[float], digits: int) -> str:
    return json.dumps(
        [_short(value, digits) if math.isfinite(value) else None for value in values], separators=(",", ":")
    )


def _short(value: float, digits: int) -> float | int:
    rounded = round(value, digits)
    return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded


def _summary(written: Path, frozen: Frozen, records: dict[str, list[list[Any]]]) -> Iterator[str]:
    incident = frozen.incident
    yield f"{incident.key}  {incident.severity}  {incident.server or 'this host'}  {incident.title}"
    yield f"opened {_moment(incident.opened)}, recorded until {_moment(frozen.at)}"
    yield from (f"  {name}: {value}" for name, value in incident.labels)
    if incident.fix:
        yield f"  fix: {incident.fix}"
    yield from ("", *view(json.loads(written.read_text(encoding="utf-8"))))
    for process, kept_ in records.items():
        yield from ("", f"Records of {process or 'the log'}")
        yield from (f"  {_moment(at) if at is not None else '-':<20}  {text}" for at, text in kept_)


def _put(path: Path, chunks: Iterator[str]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        for chunk in chunks:
            file.write(chunk)


def _size(bundle: Path) -> int:
    try:
        return sum(each.stat().st_size for each in bundle.iterdir())
    except OSError:
        return 0


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
