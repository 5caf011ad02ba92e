"""`vigil test-notify`: a marked test through each channel's real path -> how each ended, and how long it took.

With `--explain` nothing is sent: it prints what would leave the host, which is what a security review asks for.
"""

from __future__ import annotations

import json
import time

from vllm_vigil.config.load import Recipe
from vllm_vigil.config.settings import Config
from vllm_vigil.errors import UsageError
from vllm_vigil.incidents.rules import runbook
from vllm_vigil.model import Notification, Outcome, Reason
from vllm_vigil.notifications.channel import Channel
from vllm_vigil.notifications.message import Message, Style, compose
from vllm_vigil.notifications.proof import trial

SAMPLE = (("kv_cache", "99 %"), ("running", "12"), ("waiting", "41"), ("vllm", "0.32.0"))
"""Numbers as a page would hold them."""

WORDS = {
    Outcome.DELIVERED: "delivered in",
    Outcome.RETRY: "NOT delivered (a page would be tried again) after",
    Outcome.UNKNOWN: "NOT known whether it arrived (a page would be tried again) after",
    Outcome.PERMANENT: "REFUSED for good after",
}


def test_notify(recipe: Recipe, wanted: list[str], *, explain: bool, as_json: bool) -> int:
    """Send to the wanted channels, or to all; 1 if one of them did not take it."""
    config = recipe.load().config
    settings = config.notify
    names = wanted or list(settings.channels)
    unknown = [name for name in names if name not in settings.channels]
    if unknown or not names:
        if not settings.channels:
            raise UsageError("no channel is configured: set notify.channels, or give --notify URL")
        raise UsageError(f"no channel {', '.join(unknown)}; known: {', '.join(settings.channels)}")
    return max((_explain if explain else _send)(name, config, as_json=as_json) for name in names)


def _send(name: str, config: Config, *, as_json: bool) -> int:
    now = time.time()
    key = f"vigil-test-{int(now)}"
    attempt = Channel(name, config.notify.channels[name].url).send(_message(name, key, now, config), key)
    seconds = time.time() - now
    if as_json:
        facts = {"channel": name, "outcome": attempt.outcome, "seconds": round(seconds, 3), "detail": attempt.detail}
        print(json.dumps(facts))
    else:
        print(f"{name}: {WORDS[attempt.outcome]} {seconds:.1f} s" + (f": {attempt.detail}" if attempt.detail else ""))
    return int(attempt.outcome is not Outcome.DELIVERED)


def _explain(name: str, config: Config, *, as_json: bool) -> int:
    now = time.time()
    sent = Channel(name, config.notify.channels[name].url).explain(
        _message(name, "vigil-test", now, config), "vigil-test"
    )
    if as_json:
        print(json.dumps({"channel": name, **sent}, ensure_ascii=False))
        return 0
    print(f"{name}: would send")
    for field, value in sent.items():
        print("\n".join(f"  {field}: {line}" for line in value.split("\n")))
    return 0


def _message(name: str, key: str, now: float, config: Config) -> Message:
    """A test as a page would look, with the configured language and links."""
    settings = config.notify
    style = Style(
        lambda _: "Nothing: this is only a test.",
        settings.evidence,
        settings.language,
        lambda rule: runbook(rule, settings.runbook_url),
        config.web.public_url,
    )
    return compose(Notification(name, Reason.TEST, trial(key, now), facts=SAMPLE), now, style)
