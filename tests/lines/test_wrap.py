"""Lines of Docker and Kubernetes are unwrapped, and their parts joined."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from standins.logs import Logs
from vllm_vigil.clock import CrankedClock
from vllm_vigil.lines.settings import Format, LogSettings
from vllm_vigil.lines.split import LINE_LIMIT_BYTES, Piece, Splitter
from vllm_vigil.lines.wrap import Parts

LONG = "x" * 40_000


def docker(text: str, stream: str = "stdout") -> str:
    """What Docker's json-file driver stores of one write of at most 16 KiB."""
    return json.dumps({"log": text, "stream": stream, "time": "2026-11-21T03:05:31.123456789Z"}, separators=(",", ":"))


def cri(text: str, stream: str = "stdout", tag: str = "F") -> str:
    """What containerd and CRI-O store."""
    return f"2026-11-21T03:05:31.123456789+00:00 {stream} {tag} {text}"


CUT = {
    "docker": [
        docker(LONG[:16_384]),
        docker("err", "stderr"),
        docker("or\n", "stderr"),
        docker(LONG[16_384:] + "\r\n"),
    ],
    "cri": [cri(LONG[:16_384], tag="P"), cri("err", "stderr", "P"), cri("or", "stderr"), cri(LONG[16_384:] + "\r")],
}


def joined(stored: list[str], form: Format = Format.AUTO) -> list[tuple[str, bool]]:
    """Text and softness of the lines in these stored ones."""
    pieces = Splitter(0).feed("".join(f"{line}\n" for line in stored).encode())
    return [(piece.data.decode(), piece.soft) for piece in Parts(form).join(pieces) if isinstance(piece, Piece)]


@pytest.mark.parametrize("stored", CUT.values(), ids=CUT.keys())
def test_a_line_in_parts_is_one_line_also_when_the_streams_interleave(stored: list[str]) -> None:
    """40 KB in two parts on stdout, a short line in two on stderr between them; the carriage return is softness."""
    assert [("error", False), (LONG, True)] == joined(stored)


def test_one_file_may_hold_every_format() -> None:
    """It is decided line by line, and what only looks wrapped is given as it is."""
    odd = [
        '{"log": 1, "stream": "stdout"}',
        '{"log":"cut',
        '{"log":' + "[" * 100_000,
        "2026-11-21T03:05:31Z not of CRI",
    ]
    assert [(line, False) for line in ("a", "b", "c", *odd)] == joined(["a", docker("b\n"), cri("c"), *odd])
    assert [(docker("b\n"), False)] == joined([docker("b\n")], Format.PLAIN)


def test_parts_without_end_cost_the_limit_and_are_counted() -> None:
    """A line that never ends is cut as any other."""
    parts = Parts(Format.CRI)
    pieces = Splitter(0).feed("".join(cri("x" * 10_000, tag="P") + "\n" for _ in range(100)).encode())
    assert [] == parts.join(pieces)
    assert 1_000_000 - LINE_LIMIT_BYTES == parts.cut_bytes


@pytest.mark.parametrize("stored", CUT.values(), ids=CUT.keys())
def test_a_restart_between_two_parts_loses_no_part_and_repeats_no_line(
    tmp_path: Path, clock: CrankedClock, stored: list[str]
) -> None:
    """Wherever it falls: the position stays before the first part, and what came after it is known as given."""
    for cut in range(len(stored) + 1):
        for commit in (True, False):
            logs = Logs(tmp_path, clock, f"{cut}{commit}.log")
            path = tmp_path / f"{cut}{commit}.log"
            path.touch()
            logs.read()
            logs.commit()
            logs.write("".join(f"{line}\n" for line in stored[:cut]), path.name)
            got = logs.texts()
            if commit:
                logs.commit()
            else:
                got = []
            logs.restart()
            logs.write("".join(f"{line}\n" for line in stored[cut:]), path.name)
            got += logs.texts()
            assert ["error", LONG] == got, (cut, commit)
            logs.reader.close()


def test_a_held_line_of_several_parts_is_given_again_whole(tmp_path: Path, clock: CrankedClock) -> None:
    """The record that it began was not complete: the position goes back to its first part."""
    logs = Logs(tmp_path, clock)
    logs.path.touch()
    logs.read()
    logs.write("".join(f"{line}\n" for line in CUT["cri"]))
    lines = logs.read()
    logs.commit(held=[lines[1]])
    logs.restart()
    assert [LONG] == [text for text in logs.texts() if text != "error"]


def test_a_container_is_found_by_its_name_and_by_its_id(tmp_path: Path, clock: CrankedClock) -> None:
    """One that is made anew under the name has another file, which is read from its beginning."""

    def container(id_: str, name: str) -> Path:
        directory = tmp_path / "containers" / id_
        directory.mkdir(parents=True)
        (directory / "config.v2.json").write_text(json.dumps({"ID": id_, "Name": f"/{name}"}))
        return directory / f"{id_}-json.log"

    first = container("a" * 64, "vllm")
    first.write_text(docker("old\n") + "\n")
    container("b" * 64, "other").write_text(docker("not ours\n") + "\n")
    logs = Logs(tmp_path, clock)
    logs.settings = {"llama": (LogSettings(docker="vllm", docker_root=tmp_path),)}
    logs.restart()
    assert [] == logs.texts()
    with first.open("a") as writer:
        print(docker("new\n"), file=writer)
    assert ["new"] == logs.texts()
    (first.parent / "config.v2.json").write_text(json.dumps({"Name": "/vllm-before"}))
    container("c" * 64, "vllm").write_text(docker("born again\n") + "\n")
    assert ["born again"] == logs.texts()
    logs.settings = {"llama": (LogSettings(docker="c" * 12, docker_root=tmp_path),)}
    logs.restart()
    assert 1 == len(logs.reader.read(1 << 20).followed)


def test_a_container_that_is_not_there_is_told(tmp_path: Path, clock: CrankedClock) -> None:
    """As a glob that finds nothing."""
    logs = Logs(tmp_path, clock)
    logs.settings = {"llama": (LogSettings(docker="vllm", docker_root=tmp_path),)}
    logs.restart()
    logs.read()
    assert 0 == logs.telemetry.registry.get_sample_value("vigil_log_readable", {"file": "docker:vllm"})
