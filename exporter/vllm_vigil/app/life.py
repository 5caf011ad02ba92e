"""The life of the process: the listener, the signals, and one round of work after the other.

SIGTERM and SIGINT end it in under 5 s also while a notification or a driver hangs: tasks are cancelled, the logs are
read once more, what is known is committed. SIGHUP and `POST /-/reload` begin a new round if the configuration can be
used, and leave the old one at work if it cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal

from loguru import logger

from vllm_vigil import __version__
from vllm_vigil.app.facts import Facts
from vllm_vigil.app.round import Round
from vllm_vigil.clock import Clock
from vllm_vigil.config.load import Loaded, Recipe, state_directory
from vllm_vigil.config.settings import Config
from vllm_vigil.errors import VigilError
from vllm_vigil.exposition.http import Listener
from vllm_vigil.exposition.metrics import Metrics
from vllm_vigil.exposition.site import Site
from vllm_vigil.exposition.web_config import WebConfig
from vllm_vigil.exposition.webhook import Webhook
from vllm_vigil.lines.pump import Pump
from vllm_vigil.model import Snapshot
from vllm_vigil.recorder.flight import Flight
from vllm_vigil.series.catalogue import spec_of
from vllm_vigil.state.store import Store
from vllm_vigil.systemd import Systemd
from vllm_vigil.telemetry import Telemetry


class Life:
    """One process: what lasts from start to stop, and the round that is at work now."""

    def __init__(self, recipe: Recipe, loaded: Loaded, web: WebConfig, store: Store, clock: Clock) -> None:
        self._recipe = recipe
        self._store = store
        self._clock = clock
        self._systemd = Systemd()
        self._telemetry = Telemetry(clock)
        self._stop = asyncio.Event()
        self._next: Loaded | None = None
        self._turn = asyncio.Event()
        self._stdin: Pump | None = None
        self._announced = False
        config = loaded.config
        self._recorder = Flight(config.recorder, state_directory(config), clock, self._telemetry)
        self._metrics = Metrics(spec_of, self._telemetry.families)
        self._round = self._made(config)
        self.facts = Facts(self._round, loaded, clock, self.reload)
        settings = loaded.config.web
        site = Site(self.facts, self._metrics, settings, web, Webhook(self.facts))
        self.listener = Listener(settings, web, site)

    async def run(self) -> None:
        """Serve until told to stop. Raises `VigilError` if the address cannot be had."""
        self.listener.start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        logger.info("vllm-vigil {} answers on {}", __version__, self.listener.url)
        async with asyncio.TaskGroup() as group:
            loop.add_signal_handler(signal.SIGHUP, lambda: group.create_task(self.reload()))
            serving = group.create_task(self.listener.serve())
            while not self._stop.is_set():
                await self._work(group)
            self._systemd.stopping()
            logger.info("stopping")
            self.listener.stop()
            await serving
            await self._round.close()

    async def reload(self) -> str | None:
        """Read the configuration again and begin a new round with it; the error, in which case the old one goes on."""
        try:
            loaded = self._recipe.load()
        except VigilError as error:
            logger.error("the configuration was not reloaded, the last good one stays:\n{}", error)
            self._telemetry.reloaded(successful=False)
            self.facts.reloaded(None, str(error))
            return str(error)
        self._warn_of_what_needs_a_restart(loaded)
        self._telemetry.reloaded(successful=True)
        self.facts.reloaded(loaded, None)
        self._next = loaded
        self._turn.set()
        return None

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Let the round work until it is to be replaced or the process is to stop."""
        work = group.create_task(self._round.run())
        stop = asyncio.ensure_future(self._stop.wait())
        turn = asyncio.ensure_future(self._turn.wait())
        await asyncio.wait({work, stop, turn}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stop, turn, work):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        if self._next is not None and not self._stop.is_set():
            await self._round.close()  # before the next is made, which begins with what this one leaves in the store
            self._recorder.settings = self._next.config.recorder
            self._round = self._made(self._next.config)
            self._next = None
            self._turn.clear()
            self.facts.turn_to(self._round)
            logger.info("reloaded the configuration")

    def _made(self, config: Config) -> Round:
        pump = self._pump(config)
        return Round(config, self._store, self._clock, self._telemetry, pump, self._recorder, ticked=self._ticked)

    def _pump(self, config: Config) -> Pump | None:
        """Standard input, from the first round that wants it on: what came is not lost at a reload."""
        if self._stdin is None and any(log.stdin for server in config.vllm for log in server.logs):
            self._stdin = Pump(source=0, sink=1)
            self._stdin.start()
        return self._stdin

    def _ticked(self, snapshot: Snapshot) -> None:
        """A tick is over: turn to its page, and tell systemd that the loop turns."""
        self._metrics.ticked(snapshot)
        if not self._announced and not self.facts.missing():
            self._announced = True
            self._systemd.ready("watching")
            gc.collect()
            gc.freeze()  # what is there by now lasts: every full collection would look through all of it again
        self._systemd.alive()

    def _warn_of_what_needs_a_restart(self, loaded: Loaded) -> None:
        now = self._round.config
        if (loaded.config.web, loaded.config.state_dir) != (now.web, now.state_dir):
            logger.warning("web and state_dir are used as they were at the start; restart to change them")
