"""Alerts that are open or just over -> every member of an Alertmanager cluster, again and again.

Promise: each member is told at once and then on every interval, by itself: one that hangs or is down delays no other
and is told next time. Alertmanager keeps what it was told for as long as each alert says (`endsAt`), so nothing needs
to be remembered here, and a member that restarts knows all again within an interval.

Of a batch with an alert that it does not accept, Alertmanager keeps the others and answers 400: the batch is halved
until the alert is found, which is then left out for an hour. A request with no alert is sent too: it proves the way.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
from collections.abc import Callable, Sequence

import httpx
from loguru import logger

from vllm_vigil.clock import Clock, Waker
from vllm_vigil.notifications.push_settings import PATH, Alert, PushSettings, member_of
from vllm_vigil.redact import mask
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import format_duration

LEFT_OUT_SECONDS = 3600.0
ANSWER_BYTES = 4096


class Member:
    """One Alertmanager. `alerts` gives what is to be told now."""

    def __init__(
        self,
        url: str,
        settings: PushSettings,
        alerts: Callable[[], Sequence[Alert]],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.name = member_of(url)
        self._url = url.rstrip("/") + PATH
        self._settings = settings
        self._alerts = alerts
        self._clock = clock
        self._telemetry = telemetry
        self._waker = Waker(clock)
        self._client: httpx.AsyncClient | None = None
        self._left_out: dict[str, float] = {}
        self._trouble: str | None = None

    def wake(self) -> None:
        """Something has opened or ended: tell it now."""
        self._waker.wake()

    async def run(self) -> None:
        """Tell, until cancelled."""
        try:
            while True:
                await self.push()
                await self._waker.wait(self._settings.interval)
        finally:
            await self.close()

    async def push(self) -> None:
        """Tell everything once."""
        now = self._clock.monotonic()
        self._left_out = {name: until for name, until in self._left_out.items() if until > now}
        error = await self._send([alert for alert in self._alerts() if _name(alert) not in self._left_out])
        if error and error != self._trouble:
            again = format_duration(self._settings.interval)
            logger.error("cannot push alerts to Alertmanager {}: {}; tried again every {}", self.name, error, again)
        elif self._trouble and not error:
            logger.info("alerts reach Alertmanager {} again", self.name)
        self._trouble = error

    async def close(self) -> None:
        """Give the connection back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _send(self, alerts: list[Alert]) -> str | None:
        """Send a batch, in halves if there is something wrong with it; what kept it from arriving, if anything."""
        status, said = await self._post(alerts)
        if status == 400 and len(alerts) > 1:
            half = len(alerts) // 2
            return await self._send(alerts[:half]) or await self._send(alerts[half:])
        good, refused = 200 <= status < 300, status == 400 and bool(alerts)
        self._telemetry.pushed(self.name, "delivered" if good else "refused" if refused else "failed")
        if refused:
            self._left_out[_name(alerts[0])] = self._clock.monotonic() + LEFT_OUT_SECONDS
            key = alerts[0]["labels"].get("vigil_key")
            logger.error("Alertmanager {} does not accept the alert of {}: {}; left out", self.name, key, said)
        return None if good or refused else said

    async def _post(self, alerts: list[Alert]) -> tuple[int, str]:
        """The status, 0 without one, and what was said in words that hold no secret."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                client = self._connected()
                async with client.stream("POST", self._url, content=json.dumps(alerts)) as answer:
                    said = b""
                    async for piece in answer.aiter_raw():
                        said += piece
                        if len(said) > ANSWER_BYTES:
                            break
                    words = mask(said[:ANSWER_BYTES].decode("utf-8", "replace"), 200)
                    return answer.status_code, f"it answered status {answer.status_code} {words}".strip()
        except TimeoutError:
            return 0, f"no answer within {format_duration(self._settings.timeout)}"
        except (httpx.HTTPError, OSError) as error:  # OSError: ca_file cannot be read, ssl.SSLError
            return 0, mask(_words(error), 200)

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            settings = self._settings
            headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "vllm-vigil"}
            if settings.bearer is not None:
                headers["Authorization"] = f"Bearer {settings.bearer.reveal()}"
            elif settings.password is not None:
                login = f"{settings.username}:{settings.password.reveal()}".encode()
                headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
            trust: ssl.SSLContext | bool = self._url.startswith("https:")
            if settings.ca_file is not None:
                trust = ssl.create_default_context(cafile=settings.ca_file)
            # One deadline stands around every request; a proxy of the environment is not for a neighbour.
            self._client = httpx.AsyncClient(headers=headers, verify=trust, timeout=None, trust_env=False)  # noqa: S113
        return self._client


def _name(alert: Alert) -> str:
    """What makes an alert the same one to refuse: all that we say of it but its end."""
    return json.dumps([alert["labels"], alert["annotations"], alert["startsAt"]], sort_keys=True)


def _words(error: BaseException) -> str:
    """The operating system's words at the root of a failure."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate refused: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
            return os.strerror(cause.errno).lower() if cause.errno > 0 else f"{cause.strerror}".lower()
        cause = cause.__cause__ or cause.__context__
    return f"{error}" or type(error).__name__
