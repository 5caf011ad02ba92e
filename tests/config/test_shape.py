"""A tree and a Settings class into settings, problems and origins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import pytest

from vllm_vigil.config.document import parse_document
from vllm_vigil.config.shape import Shaping
from vllm_vigil.units import Bytes, Seconds, Secret


class Colour(StrEnum):
    """An enumeration."""

    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True)
class Inner:
    """A part's settings."""

    name: str
    interval: Seconds = Seconds(5.0)
    token: Secret | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What the part itself finds wrong."""
        if self.interval <= 0:
            yield "interval", "must be more than nothing"


@dataclass(frozen=True, slots=True)
class Outer:
    """Every kind of field."""

    parts: tuple[Inner, ...] = ()
    table: Mapping[str, int] = field(default_factory=dict)
    size: Bytes = Bytes(1)
    colour: Colour = Colour.RED
    where: Path | None = None
    on: bool = True
    ratio: float = 0.5


def shape(text: str) -> tuple[Outer | None, Shaping]:
    """What the text comes to."""
    shaping = Shaping()
    return shaping.shape(Outer, parse_document(text, "v.yaml", {}), ""), shaping


def test_values_are_read_by_the_type_of_their_field() -> None:
    """Durations, sizes, enumerations, paths, tables, lists and nested settings."""
    text = "parts: [{name: a, interval: 1m}]\ntable: {x: 1}\nsize: 2KiB\ncolour: green\nwhere: /tmp\non: no\nratio: 1\n"
    settings, shaping = shape(text)
    expected = Outer(
        (Inner("a", Seconds(60.0)),), {"x": 1}, Bytes(2048), Colour.GREEN, Path("/tmp"), on=False, ratio=1.0
    )
    assert (settings, shaping.problems) == (expected, [])


def test_the_origin_of_what_was_set_is_known_and_of_what_was_not_is_absent() -> None:
    """`vigil check` shows where each value came from."""
    _, shaping = shape("parts:\n- name: a\n")
    assert shaping.origins["parts[0].name"] == "v.yaml:2"
    assert "parts[0].interval" not in shaping.origins


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colur: red", "v.yaml:1: colur: unknown key; did you mean 'colour'?"),
        ("parts: [{name: a, intervall: 5s}]", "v.yaml:1: parts[0].intervall: unknown key; did you mean 'interval'?"),
        ("parts: [{}]", "v.yaml:1: parts[0].name: is missing"),
        (
            "parts: [{name: a, interval: 5}]",
            "v.yaml:1: parts[0].interval: 5 has no unit: write a duration such as 30s or 5m",
        ),
        ("parts: [{name: a, interval: 0s}]", "v.yaml:1: parts[0].interval: must be more than nothing"),
        ("parts: 5", "v.yaml:1: parts: must be a list (each entry begins with `- `), not 5"),
        ("parts: [5]", "v.yaml:1: parts[0]: must be a mapping with keys such as name, interval, token, not 5"),
        ("table: [1]", "v.yaml:1: table: must be a mapping, not a list"),
        ("table: {x: y}", "v.yaml:1: table.x: must be a whole number, not 'y'"),
        ("size: 5s", "v.yaml:1: size: '5s' is not a size: write a number and a unit, such as 64KiB, 10MiB, 1GB"),
        ("colour: gren", "v.yaml:1: colour: 'gren' is not one of red, green"),
        ("on: maybe", "v.yaml:1: on: must be true or false, not 'maybe'"),
        ("ratio: high", "v.yaml:1: ratio: must be a number, not 'high'"),
        ("size:", "v.yaml:1: size: must be a size such as 64KiB or 10MiB, not nothing"),
    ],
)
def test_a_problem_names_file_line_full_path_and_what_is_wanted(text: str, problem: str) -> None:
    """One line each."""
    _, shaping = shape(text)
    assert shaping.problems == [problem]


def test_all_problems_are_told_at_once() -> None:
    """Nobody likes to mend one line per start."""
    _, shaping = shape("colour: blue\nsize: big\nparts: [{}]\n")
    assert [problem.split(": ")[0] for problem in shaping.problems] == ["v.yaml:1", "v.yaml:2", "v.yaml:3"]


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    """`token_file` is `token`, without the line end."""
    (tmp_path / "token").write_text("hunter2\n")
    settings, shaping = shape(f"parts: [{{name: a, token_file: {tmp_path}/token}}]")
    assert settings is not None
    assert settings.parts[0].token == "hunter2"
    assert shaping.origins["parts[0].token"] == f"v.yaml:1, file {tmp_path}/token"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("token_file: {}/none", "token_file: cannot read {}/none: No such file or directory"),
        ("token_file: {}/empty", "token_file: {}/empty is empty"),
        ("token: a, token_file: {}/token", "token_file: both token and token_file are given; keep one"),
        ("name_file: {}/token", "name_file: unknown key; did you mean 'token_file'?"),
    ],
)
def test_a_secret_s_file_that_cannot_serve_is_named(tmp_path: Path, keys: str, problem: str) -> None:
    """Only secrets have files, one or the other, and they must hold something."""
    (tmp_path / "empty").touch()
    (tmp_path / "token").write_text("t")
    _, shaping = shape(f"parts: [{{name: a, {keys.format(tmp_path)}}}]")
    assert f"v.yaml:1: parts[0].{problem.format(tmp_path)}" in shaping.problems


@dataclass(frozen=True, slots=True)
class Play:
    """Settings that may stand in a file of their own."""

    IN_A_FILE: ClassVar[bool] = True

    title: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """Settings that hold such."""

    play: Play | None = None


def stage(text: str) -> tuple[Stage | None, list[str]]:
    """What the text comes to, and what is wrong with it."""
    shaping = Shaping()
    return shaping.shape(Stage, parse_document(text, "v.yaml", {}), ""), shaping.problems


def test_a_mapping_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    """By its path; what looks like a variable there is what it says."""
    (tmp_path / "play.yaml").write_text("title: ${TITLE}\nwords: [a, b]\n")
    assert (Stage(Play("${TITLE}", ("a", "b"))), []) == stage(f"play: {tmp_path}/play.yaml")
    assert (Stage(Play("t")), []) == stage("play: {title: t}")


def test_what_is_wrong_in_that_file_is_named_by_its_own_lines(tmp_path: Path) -> None:
    """And a file that is not there by the line that names it."""
    (tmp_path / "play.yaml").write_text("words: [a]\n\ntitel: t\n")
    _, problems = stage(f"play: {tmp_path}/play.yaml")
    assert f"{tmp_path}/play.yaml:3: play.titel: unknown key; did you mean 'title'?" in problems
    _, problems = stage(f"play: {tmp_path}/none.yaml")
    assert [
        f"v.yaml:1: play: cannot read the configuration file {tmp_path}/none.yaml: No such file or directory"
    ] == problems
