"""`vigil test-notify`: a marked test through each channel's real path -> how each ended, and how long it took."""

from __future__ import annotations

import time

from vllm_vigil.config.load import Recipe
from vllm_vigil.errors import UsageError
from vllm_vigil.model import Incident, IncidentState, Notification, Outcome, Reason, Severity
from vllm_vigil.notifications.channel import Channel
from vllm_vigil.notifications.message import compose
from vllm_vigil.notifications.settings import NotifySettings


def test_notify(recipe: Recipe, wanted: list[str]) -> int:
    """Send to the wanted channels, or to all; 1 if one of them did not take it."""
    settings = recipe.load().config.notify
    names = wanted or list(settings.channels)
    unknown = [name for name in names if name not in settings.channels]
    if unknown or not names:
        known = ", ".join(settings.channels) or "none is configured"
        raise UsageError(f"no channel {', '.join(unknown) or 'to test'}; known: {known}")
    return max(_send(name, settings) for name in names)


def _send(name: str, settings: NotifySettings) -> int:
    now = time.time()
    key = f"vigil-test-{int(now)}"
    incident = Incident(
        key, "test", "", Severity.INFO, IncidentState.OPEN, "This is a test of vllm-vigil; nothing is wrong", now, now
    )
    message = compose(Notification(name, Reason.TEST, incident), now, lambda _: "Nothing: this is only a test.")
    attempt = Channel(name, settings.channels[name].url).send(message, key)
    took = f"{time.time() - now:.1f} s"
    print(f"{name}: {attempt.outcome} in {took}" + (f": {attempt.detail}" if attempt.detail else ""))
    return int(attempt.outcome is not Outcome.DELIVERED)
