"""`vigil check`: the configuration as it would be in force, each value with where it comes from."""

from __future__ import annotations

from vllm_vigil.config.load import Recipe, state_directory
from vllm_vigil.config.show import show
from vllm_vigil.config.web import web_config


def check(recipe: Recipe) -> int:
    """Print it; a configuration that cannot be used raises `ConfigError`."""
    loaded = recipe.load()
    web_config(loaded.config)
    kept_in = state_directory(loaded.config)
    print(f"# {loaded.path or 'no configuration file: defaults, environment and flags'}")
    print(f"# state in {kept_in}")
    print(show(loaded), end="")
    return 0
