"""A bundle is there as a whole or not at all, readable by its owner only, free of prompts, and few are kept."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from standins.flights import BEGAN, INCIDENT, SECRET, frozen
from vllm_vigil.recorder import bundle
from vllm_vigil.recorder.bundle import DOCUMENT, SUMMARY, Frozen
from vllm_vigil.recorder.ring import Ring
from vllm_vigil.recorder.tracks import UNITS, Track


def named(key: str) -> Frozen:
    """The same under another key, small."""
    return replace(frozen(moments=30), incident=replace(INCIDENT, key=key))


def test_what_was_written_reads_back(tmp_path: Path) -> None:
    """The incident, every moment, every track; also as text for whoever has only `cat`."""
    written = bundle.write(tmp_path / "bundles", frozen())
    document = bundle.read(tmp_path / "bundles", INCIDENT.key)
    assert document is not None
    assert document["incident"]["fix"] == INCIDENT.fix
    assert document["times"][:2] == [BEGAN, BEGAN + 1]
    tracks = {(each["of"], each["name"]): each for each in document["tracks"]}
    assert tracks["llama/0", "waiting"]["values"][-31] == 265
    assert tracks["llama/0", "waiting"]["values"][-1] is None
    assert (tracks["1", "clock"]["unit"], tracks["llama/0", "generation_tokens"]["counter"]) == ("hertz", True)
    summary = (written / SUMMARY).read_text()
    for text in (INCIDENT.title, INCIDENT.fix, "Requests", "Records of llama EngineCore", "CUDA out of memory"):
        assert text in summary


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    """0700 and 0600, whatever the umask."""
    before = os.umask(0)
    try:
        written = bundle.write(tmp_path / "bundles", named("vigil-1"))
    finally:
        os.umask(before)
    modes = {each.stat().st_mode & 0o777 for each in (tmp_path / "bundles", written)}
    assert modes == {0o700}
    assert {each.stat().st_mode & 0o777 for each in written.iterdir()} == {0o600}


def test_no_prompt_and_no_secret_is_in_it(tmp_path: Path) -> None:
    """In no file."""
    written = bundle.write(tmp_path, frozen(moments=30))
    text = "".join(each.read_text() for each in written.iterdir())
    assert SECRET not in text
    assert "a prompt of a client" not in text


def test_a_disk_that_is_full_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun is taken away again, and an earlier bundle stays."""
    bundle.write(tmp_path, named("vigil-1"))

    def full(path: Path, chunks: Iterator[str]) -> None:
        path.write_text(next(chunks))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bundle, "_put", full)
    with pytest.raises(OSError, match="No space"):
        bundle.write(tmp_path, named("vigil-2"))
    assert [each.name for each in tmp_path.iterdir()] == ["vigil-1"]


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/b", "x" * 101, "vigil\n"])
def test_a_key_that_is_no_name_leads_nowhere(tmp_path: Path, key: str) -> None:
    """Keys are ours, but the command takes them from anybody."""
    assert bundle.place(tmp_path, key) is None
    assert bundle.read(tmp_path, key) is None
    with pytest.raises(OSError, match="no name"):
        bundle.write(tmp_path, named(key))


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_what_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    """As if it were not there."""
    (tmp_path / "vigil-1").mkdir()
    (tmp_path / "vigil-1" / DOCUMENT).write_text(text)
    assert bundle.read(tmp_path, "vigil-1") is None
    assert bundle.read(tmp_path / "nowhere", "vigil-1") is None


def test_the_oldest_go_first_by_number_and_by_size(tmp_path: Path) -> None:
    """And the newest stays, however large it is."""
    for age, key in enumerate(("vigil-3", "vigil-2", "vigil-1")):
        written = bundle.write(tmp_path, named(key))
        os.utime(written, (BEGAN + age, BEGAN + age))
    (tmp_path / ".vigil-4.new").mkdir()  # by a process that was killed
    assert [each.name for each in bundle.prune(tmp_path, 2, 10**9)] == ["vigil-3"]
    assert [each.name for each in bundle.prune(tmp_path, 2, 1)] == ["vigil-2"]
    assert [each.name for each in bundle.kept(tmp_path)] == ["vigil-1"]
    assert [each.name for each in tmp_path.iterdir()] == ["vigil-1"]
    assert bundle.kept(tmp_path / "nowhere") == []


def test_the_document_is_json_to_the_last_digit(tmp_path: Path) -> None:
    """Written track by track, and still one document without NaN."""
    written = bundle.write(tmp_path, frozen(engines=8, gpus=8))
    json.loads((written / DOCUMENT).read_text(), parse_constant=pytest.fail)
    assert (written / DOCUMENT).stat().st_size < 2 * 2**20


NAMES = st.sampled_from(sorted(UNITS))
ANY = st.one_of(st.floats(), st.sampled_from([math.nan, math.inf, 1.7e308, -1.7e308, 5e-324, 0.0]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.tuples(st.sampled_from(["engine", "gpu"]), NAMES), ANY, max_size=12), max_size=40))
def test_whatever_a_page_holds_is_written_and_read_back(moments: list[dict[tuple[str, str], float]]) -> None:
    """A server may show numbers of any size: none of them keeps a bundle from being written, or ends the program."""
    ring = Ring()
    for at, numbers in enumerate(moments):
        ring.put({Track(kind, "llama/0", name): value for (kind, name), value in numbers.items()}, BEGAN + at)
    with tempfile.TemporaryDirectory() as scratch:
        bundle.write(Path(scratch), replace(frozen(moments=1), recording=ring.copy()))
        document = bundle.read(Path(scratch), INCIDENT.key)
    assert document is not None
    assert len(document["times"]) == len(moments)
