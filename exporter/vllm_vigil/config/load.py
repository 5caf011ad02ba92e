"""Where the configuration stands -> a checked `Loaded`, or one error that lists everything wrong with it.

Flags win over the environment, the environment over the file. Without `--config` the file is `$VIGIL_CONFIG`, else
`vigil.yaml` in the working directory, else /etc/vllm-vigil/vigil.yaml, else none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vllm_vigil.config.document import Node, read_document
from vllm_vigil.config.overlay import Given, from_environment, lay_over
from vllm_vigil.config.settings import Config, RuleFile
from vllm_vigil.config.shape import Shaping
from vllm_vigil.errors import ConfigError
from vllm_vigil.probe.suite import Suite
from vllm_vigil.slo.objectives import SloFile

T = TypeVar("T")

PLACES = (Path("vigil.yaml"), Path("/etc/vllm-vigil/vigil.yaml"))


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration in force, the file that it came from if any, and the origin of each value that was set."""

    config: Config
    path: Path | None
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is needed to load the configuration, and to load it again when it is to be reloaded."""

    path: Path | None
    flags: Given
    environment: Mapping[str, str]

    def load(self) -> Loaded:
        """Read, lay over, check. Raises `ConfigError` with a line for each problem, `UsageError` for a flag."""
        path = find_file(self.path, self.environment)
        document = read_document(path, self.environment) if path else Node({}, "defaults")
        for given in (from_environment(self.environment), self.flags):
            document = lay_over(document, given)
        shaping = Shaping()
        config = shaping.shape(Config, document, "")
        if shaping.problems:
            raise ConfigError("\n".join(shaping.problems))
        return Loaded(config, path, shaping.origins)


def load_rules(path: Path, environment: Mapping[str, str]) -> RuleFile:
    """A file of rules and patterns. Raises `ConfigError` with a line for each problem."""
    return _shaped(RuleFile, read_document(path, environment, "rules"))


def load_slo(path: Path, environment: Mapping[str, str]) -> SloFile:
    """A file of service level objectives. Raises `ConfigError` with a line for each problem."""
    return _shaped(SloFile, read_document(path, environment, "objectives"))


def load_suite(path: Path) -> Suite:
    """A suite of prompts, with no environment in it. Raises `ConfigError` with a line for each problem."""
    return _shaped(Suite, read_document(path, None, "suite"))


def _shaped(kind: type[T], document: Node) -> T:
    shaping = Shaping()
    found: T = shaping.shape(kind, document, "")
    if shaping.problems:
        raise ConfigError("\n".join(shaping.problems))
    return found


def find_file(given: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file to read: the one that was named, or the first that exists where one is looked for."""
    if given:
        return given
    if environment.get("VIGIL_CONFIG"):
        return Path(environment["VIGIL_CONFIG"])
    return next((path for path in PLACES if path.exists()), None)


def state_directory(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """Where positions, incidents and the outbox are kept: as set, systemd's, or the user's own.

    Raises `ConfigError` for a user who has no home, as in a container that runs under a bare number.
    """
    if config.state_dir:
        return config.state_dir
    if environment.get("STATE_DIRECTORY"):
        return Path(environment["STATE_DIRECTORY"].split(":")[0])
    home = environment.get("XDG_STATE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".local" / "state") / "vllm-vigil"
    except RuntimeError as error:
        words = "this user has no home directory to keep state in: set state_dir, --state-dir or VIGIL_STATE_DIR"
        raise ConfigError(words) from error
