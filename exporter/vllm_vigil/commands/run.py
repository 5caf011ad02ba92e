"""`vigil run`: the sidecar, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import sys

from loguru import logger

from vllm_vigil import log_output
from vllm_vigil.app.life import Life
from vllm_vigil.clock import RealClock
from vllm_vigil.config.load import Loaded, Recipe, state_directory
from vllm_vigil.config.web import web_config
from vllm_vigil.exposition.web_config import WebConfig
from vllm_vigil.state.store import Store


def run(recipe: Recipe) -> int:
    """Load, take the state directory, watch. Does not return once it has watched: see `_leave`."""
    loaded = recipe.load()
    web = web_config(loaded.config)
    log_output.configure(loaded.config.log.level, loaded.config.log.format)
    store = Store.open(state_directory(loaded.config))
    _say_where_from(loaded)
    try:
        asyncio.run(_live(recipe, loaded, web, store))
    except BaseException:
        store.close()
        raise
    store.close()
    _leave()
    return 0


async def _live(recipe: Recipe, loaded: Loaded, web: WebConfig, store: Store) -> None:
    await Life(recipe, loaded, web, store, RealClock()).run()


def _say_where_from(loaded: Loaded) -> None:
    if loaded.path:
        logger.info("configuration from {}", loaded.path)
    else:
        logger.info("no configuration file: defaults, environment and flags (`vigil check` shows them)")


def _leave() -> None:
    """End now: Apprise's threads are not daemons, and one that hangs would hold the exit up by 17 s and more."""
    logger.info("stopped")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
