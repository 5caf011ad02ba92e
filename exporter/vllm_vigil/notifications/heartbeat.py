"""A sidecar whose tick turns -> a GET of one address again and again: the dead man's switch that pages when it stops.

Promise: no beat is sent while the tick stands still, because the far end would take it for life. Redirects are not
followed. The address is the far end's only secret: nothing that is said or raised here shows any of it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable

import httpx
from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.notifications.heartbeat_settings import HeartbeatSettings
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Secret, format_duration

STILL_SECONDS = 30.0
"""A tick older than this stands still; `/-/healthy` says so at the same age."""


class Heartbeat:
    """Asks `url`. `age_seconds` gives the time since the last tick."""

    def __init__(
        self,
        url: Secret,
        settings: HeartbeatSettings,
        clock: Clock,
        telemetry: Telemetry,
        age_seconds: Callable[[], float],
    ) -> None:
        self._url = url
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._age_seconds = age_seconds
        self._client: httpx.AsyncClient | None = None
        self._trouble: str | None = None

    async def run(self) -> None:
        """Beat, until cancelled."""
        try:
            while True:
                await self.beat()
                await self._clock.sleep(self._settings.interval)
        finally:
            await self.close()

    async def beat(self) -> None:
        """Beat once, or not if the tick stands still."""
        if self._age_seconds() > STILL_SECONDS:
            self._end("withheld", f"the tick stands still for more than {format_duration(STILL_SECONDS)}")
            return
        status, why = await self._get()
        self._end("delivered" if not why else "refused" if status else "failed", why)

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _end(self, outcome: str, why: str) -> None:
        """Count it; say what is wrong once, when it changes, and when it is over."""
        self._telemetry.heartbeat(outcome)
        if why and why != self._trouble:
            again = format_duration(self._settings.interval)
            logger.error("no heartbeat is delivered: {}; tried again every {}", why, again)
        elif self._trouble and not why:
            logger.info("heartbeats are delivered again")
        self._trouble = why

    async def _get(self) -> tuple[int, str]:
        """The status, 0 without one, and what is wrong, "" if nothing is."""
        try:
            async with (
                asyncio.timeout(self._settings.timeout),
                self._connected().stream("GET", self._url.reveal()) as answer,
            ):
                status = answer.status_code
        except TimeoutError:
            return 0, f"no answer within {format_duration(self._settings.timeout)}"
        except (httpx.HTTPError, OSError, ValueError, ImportError) as error:
            return 0, _words(error)  # the last two: a proxy of the environment that httpx cannot use
        if 200 <= status < 300:
            return status, ""
        aside = "; redirects are not followed, give the last address" if 300 <= status < 400 else ""
        return status, f"it answered status {status}{aside}"

    def _connected(self) -> httpx.AsyncClient:
        """One client for all beats; as a notification, it goes by the proxy of the environment."""
        if self._client is None:
            verify = self._url.reveal().lower().startswith("https:")
            headers = {"User-Agent": "vllm-vigil"}
            # One deadline stands around every request.
            self._client = httpx.AsyncClient(headers=headers, verify=verify, timeout=None, follow_redirects=False)  # noqa: S113
        return self._client


def _words(error: BaseException) -> str:
    """What the operating system said at the root of a failure, or its type: httpx's own words may hold the address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "its certificate was refused"
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
            return os.strerror(cause.errno).lower() if cause.errno > 0 else "its name cannot be resolved"
        cause = cause.__cause__ or cause.__context__
    return f"failed with {type(error).__name__}"
