"""YAML text into a tree that knows its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_vigil.config.document import parse_document, read_document
from vllm_vigil.errors import ConfigError


def test_every_value_knows_its_file_and_line() -> None:
    """Mappings, lists and scalars carry the place where their key stands."""
    tree = parse_document("gpu:\n  interval: 2s\nvllm:\n- url: http://a\n", "v.yaml", {})
    assert tree.value["gpu"].value["interval"].origin == "v.yaml:2"
    assert tree.value["vllm"].value[0].value["url"].origin == "v.yaml:4"


def test_an_empty_file_is_an_empty_mapping() -> None:
    """Every key is optional."""
    assert parse_document("# nothing\n", "v.yaml", {}).value == {}


def test_a_variable_is_replaced_and_its_value_hidden() -> None:
    """`${NAME}` works inside a text, and what came from the environment is not shown."""
    node = parse_document("a: x-${TOKEN}-y\n", "v.yaml", {"TOKEN": "t"}).value["a"]
    assert (node.value, node.hidden) == ("x-t-y", True)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\na: 2\n", r"v\.yaml:2: the key 'a' stands twice"),
        ("a: ${NOT_SET}\n", r"v\.yaml:1: the environment variable NOT_SET is not set"),
        ("a: [1,\n", r"v\.yaml:2: not valid YAML"),
        ("- a\n", r"v\.yaml:1: the file must be a mapping .* but it is a list"),
        ("? [a]\n: 1\n", r"v\.yaml:1: a key must be a word, not a list"),
        ("a: &x [*x]\n", "an alias that contains itself"),
        ("a: \x00\n", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, error: str) -> None:
    """Bad YAML, a doubled key, an unset variable: the file and line stand first."""
    with pytest.raises(ConfigError, match=error):
        parse_document(text, "v.yaml", {})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing and binary files say which and why."""
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file or directory"):
        read_document(tmp_path / "none.yaml", {})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        read_document(tmp_path / "binary.yaml", {})
    with pytest.raises(ConfigError, match="cannot read the suite file /dev/zero: it is larger than 4MiB"):
        read_document(Path("/dev/zero"), {}, "suite")
