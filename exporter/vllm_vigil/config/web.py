"""The web configuration file that the settings name, read with our YAML reader and checked by the part that uses it."""

from __future__ import annotations

from vllm_vigil.config.document import read_mapping
from vllm_vigil.config.settings import Config
from vllm_vigil.errors import ConfigError
from vllm_vigil.exposition.web_config import WebConfig, read


def web_config(config: Config) -> WebConfig:
    """TLS and logins of our HTTP side; none without a file. Raises `ConfigError`, which names the file."""
    path = config.web.config_file
    if path is None:
        return WebConfig()
    document = read_mapping(path)
    try:
        return read(document, path.parent)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from error
