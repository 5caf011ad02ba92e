"""YAML text -> a tree in which every value knows the file and line where it stands.

Only what a configuration needs: mappings, lists and plain scalars. A key that stands twice is an error (YAML itself
would take the last one in silence), and `${NAME}` in a scalar is the environment variable, which must be set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vllm_vigil.errors import ConfigError
from vllm_vigil.units import format_size

LARGEST_BYTES = 4 * 1024 * 1024

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it was written, such as `vigil.yaml:12` or `flag --vllm`.

    `value` is a text, number, bool or None, a `dict[str, Node]` or a `list[Node]`. `origins` of a mapping's keys are
    those of their values.
    """

    value: Any
    origin: str
    hidden: bool = False
    """Whether it came from an environment variable within the file, and is to be taken for a secret."""


def read_document(path: Path, environment: Mapping[str, str] | None, what: str = "configuration") -> Node:
    """The tree of a file, `what` it holds. Raises `ConfigError` when it cannot be read or is no YAML mapping.

    Without an environment `${NAME}` is what it says, as in a prompt.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:  # reading YAML takes its time, and something else was meant
            raise ConfigError(f"cannot read the {what} file {path}: it is larger than {format_size(LARGEST_BYTES)}")
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read the {what} file {path}: {reason}") from error
    return parse_document(text, str(path), environment)


def parse_document(text: str, name: str, environment: Mapping[str, str] | None) -> Node:
    """The tree of YAML text; `name` stands for the file in origins and errors."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return Node({}, name)
        node = _Reading(name, environment).convert(root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{name}:{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: nested too deeply, or an alias that contains itself") from error
    if not isinstance(node.value, dict):
        raise ConfigError(
            f"{name}:1: the file must be a mapping (`key: value` in each line), but it is a {_kind(root)}"
        )
    return node


def read_mapping(path: Path) -> Mapping[str, Any]:
    """A YAML file as plain values, for formats that are not ours (the web configuration of exporter-toolkit)."""
    node = read_document(path, {})
    plain: Mapping[str, Any] = _plain(node)
    return plain


class _Reading:
    """One file being turned into nodes."""

    def __init__(self, name: str, environment: Mapping[str, str] | None) -> None:
        self._name = name
        self._environment = environment
        self._loader = yaml.SafeLoader("")

    def convert(self, node: yaml.Node) -> Node:
        origin = f"{self._name}:{node.start_mark.line + 1}"
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node), origin)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.convert(item) for item in node.value], origin)
        value = self._loader.construct_object(node)  # a scalar by its YAML 1.1 type
        if isinstance(value, str):
            text, hidden = self._substitute(value, origin)
            return Node(text, origin, hidden)
        return Node(value, origin)

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key_node, value_node in node.value:
            origin = f"{self._name}:{key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{origin}: a key must be a word, not a {_kind(key_node)}")
            if key_node.value in found:
                raise ConfigError(f"{origin}: the key {key_node.value!r} stands twice; remove one of them")
            converted = self.convert(value_node)
            found[key_node.value] = Node(converted.value, origin, converted.hidden)
        return found

    def _substitute(self, text: str, origin: str) -> tuple[str, bool]:
        environment = self._environment
        if environment is None:
            return text, False

        def look_up(match: re.Match[str]) -> str:
            if match[1] not in environment:
                raise ConfigError(f"{origin}: the environment variable {match[1]} is not set")
            return environment[match[1]]

        return _VARIABLE.sub(look_up, text), bool(_VARIABLE.search(text))


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "mapping"
    return "list" if isinstance(node, yaml.SequenceNode) else "single value"


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: _plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.value]
    return node.value
