"""A message and a key -> one attempt through Apprise, and how it ended. Apprise is known here and nowhere else.

What we ask of it: one plugin object per send (a kept one sleeps 5 s between sends), no retries, no redirects (a 302
would drop the body and count as sent, a 307 would hand the key to another host), plain text, its own short timeouts.
It runs in the thread that calls `send`: the caller brings the deadline, because Apprise's would leave behind a pool
thread that holds up the exit of the process. It is imported at the first use (19 MB), and the plugins that are used
most are taken one by one, because asking it for any plugin makes it import all 211 (10 MB more).
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import logging
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from vllm_vigil.errors import ConfigError
from vllm_vigil.model import Outcome
from vllm_vigil.notifications.message import Kind, Message
from vllm_vigil.units import Secret

OLDEST = (2, 1)
"""The first version whose incident plugins resolve by a key of ours."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
TOO_MANY_SECONDS = 30.0
"""After 429, because Apprise does not show `Retry-After`: Slack asks for up to 30 s as a rule."""
LONGEST_KEY = 255
"""PagerDuty's limit, the shortest of those known."""

PLUGINS = {
    "discord": ("discord", "NotifyDiscord"),
    "json": ("custom_json", "NotifyJSON"),
    "jsons": ("custom_json", "NotifyJSON"),
    "mailto": ("email", "NotifyEmail"),
    "mailtos": ("email", "NotifyEmail"),
    "ntfy": ("ntfy", "NotifyNtfy"),
    "ntfys": ("ntfy", "NotifyNtfy"),
    "pagerduty": ("pagerduty", "NotifyPagerDuty"),
    "slack": ("slack", "NotifySlack"),
    "tgram": ("telegram", "NotifyTelegram"),
    "workflows": ("workflows", "NotifyWorkflows"),
}
"""Scheme -> module under `apprise.plugins` and class; any other scheme makes Apprise import all of them."""

_STATUS = re.compile(r"error=(\d{3})\b")
_LATER = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt ended; `detail` says why in words that hold no address, key or text of the message.

    `wait_seconds` is for how long the whole channel is to be left alone; `answered` says that the service was reached.
    """

    outcome: Outcome
    detail: str = ""
    wait_seconds: float = 0.0
    answered: bool = True


class Channel:
    """One configured address."""

    def __init__(
        self, name: str, url: Secret, connect_seconds: float = CONNECT_SECONDS, read_seconds: float = READ_SECONDS
    ) -> None:
        self.name = name
        self._url = url
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._bare = False

    @property
    def takes_pictures(self) -> bool:
        """Whether the service can be given a picture, as far as is known without sending one. Imports Apprise."""
        if self._bare:
            return False
        plugin = _instantiate(self._url.reveal())
        if plugin is None or not plugin.attachment_support:
            return False
        return plugin.service_name != "Slack" or str(plugin.mode) == "bot"  # a webhook of Slack's takes text only

    def send(self, message: Message, key: str) -> Attempt:
        """Send now, in this thread; returns when the provider has answered or Apprise has given up.

        Services that keep incidents (PagerDuty and those with the same two arguments, `action` and `dedup`) open,
        update and resolve the one of this key, with the numbers and the link in fields of their own where they have
        such; the others just get the message. A picture that is refused must not cost the page, nor repeat it: the
        message goes out without it at once, and this channel is sent no more pictures.
        """
        attempt = self._send(message, key, picture=not self._bare)
        if message.picture is None or self._bare or attempt.outcome is Outcome.DELIVERED or not attempt.answered:
            return attempt
        self._bare = True
        return self._send(message, key, picture=False)

    def _send(self, message: Message, key: str, *, picture: bool) -> Attempt:
        plugin = self._plugin(message, key)
        if plugin is None:
            return Attempt(Outcome.PERMANENT, "Apprise does not understand the address of this channel")
        apprise = _apprise()
        call = apprise.Apprise(asset=plugin.asset)
        call.add(plugin)
        result = call.notify(
            title=message.title,
            body=message.body,
            notify_type=message.kind.value,
            body_format=apprise.NotifyFormat.TEXT,
            attach=str(message.picture) if picture and message.picture and message.picture.is_file() else None,
        )
        if result:
            return Attempt(Outcome.DELIVERED)
        return classify([entry.message for each in result for entry in each.logs()])

    def explain(self, message: Message, key: str) -> dict[str, str]:
        """What `send` would give to the service: the fields by name, without the address and its secrets."""
        plugin = self._plugin(message, key)
        if plugin is None:
            return {"error": "Apprise does not understand the address of this channel"}
        fields = {"service": str(plugin.service_name), "title": message.title, "body": message.body}
        if {"action", "dedup"} <= type(plugin).template_args.keys():
            fields |= {"action": "resolve" if message.kind is Kind.SUCCESS else "trigger", "key": short_key(key)}
        if message.link and "click" in type(plugin).template_args:
            fields["link"] = message.link
        if "details" in type(plugin).template_kwargs:
            fields |= {f"detail {name}": value for name, value in message.details}
        return fields

    def _plugin(self, message: Message, key: str) -> Any:
        """A fresh plugin object, with key, link and numbers where it takes them."""
        arguments = {
            "redirect": "no",
            "retry": "0",
            "overflow": "truncate",
            "cto": str(self._connect_seconds),
            "rto": str(self._read_seconds),
        }
        plugin = _instantiate(_extend(self._url.reveal(), arguments))
        if plugin is None or not {"action", "dedup"} <= type(plugin).template_args.keys():
            return plugin
        arguments |= {"action": "map", "dedup": short_key(key)}
        if message.link and "click" in type(plugin).template_args:
            arguments["click"] = quote(message.link, safe="")  # it is unquoted twice, as the details are
        if "details" in type(plugin).template_kwargs:
            arguments |= {f"+{quote(name, safe='')}": quote(value, safe="") for name, value in message.details}
        server = next((value for name, value in message.details if name == "server"), "")
        default = type(plugin).template_tokens.get("source", {}).get("default")
        if server and default and plugin.source == default:  # one that the address names itself stays
            arguments["source"] = quote(server, safe="")
        return _instantiate(_extend(self._url.reveal(), arguments))


def understands(url: Secret) -> bool:
    """Whether Apprise can make a channel of the address. Imports Apprise."""
    return _instantiate(url.reveal()) is not None


def classify(complaints: list[str]) -> Attempt:
    """What a failed attempt means, from what Apprise logged: the only place where it tells the HTTP status."""
    codes = [int(code) for text in complaints for code in _STATUS.findall(text)]
    if not codes:
        return Attempt(Outcome.RETRY, "no HTTP answer: not reached, timed out or cut off", answered=False)
    code = codes[-1]
    if 200 <= code < 300:
        return Attempt(Outcome.RETRY, f"answered HTTP {code}, but not as this service confirms a message")
    if 400 <= code < 500 and code not in _LATER:
        return Attempt(Outcome.PERMANENT, f"refused with HTTP {code}")
    return Attempt(Outcome.RETRY, f"answered HTTP {code}", TOO_MANY_SECONDS if code == 429 else 0.0)


def short_key(key: str) -> str:
    """The key itself, or its hash where it is too long or holds what a provider might change."""
    if len(key) <= LONGEST_KEY and re.fullmatch(r"[\w.:/-]+", key, re.ASCII):
        return key
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def check_version(version: str) -> None:
    """Raise `ConfigError` for an Apprise that cannot resolve by key, as Debian's is."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        raise ConfigError(
            f"cannot send notifications: Apprise {version} is installed, which cannot resolve an incident by key; "
            "install version 2.1 or later (pip install 'apprise>=2.1,<3')"
        )


@functools.cache
def _apprise() -> Any:
    """The package, imported at the first call, with its loggers held where they print no secret.

    At DEBUG they print webhook addresses and whole messages, at WARNING the host part of an address, which for
    PagerDuty is a key. What they complain of comes back with the result.
    """
    module = importlib.import_module("apprise")
    check_version(module.__version__)
    for name in ("apprise", "urllib3", "requests"):
        library = logging.getLogger(name)
        library.setLevel(logging.WARNING)
        library.propagate = False
        if not library.handlers:
            library.addHandler(logging.NullHandler())
    return module


def _instantiate(url: str) -> Any:
    """A plugin object, or None if the address is not one."""
    apprise = _apprise()
    # 0 s: no deadline of its own, hence no thread pool
    asset = apprise.AppriseAsset(app_id="vllm-vigil", async_mode=False, service_timeout=0, allow_templates=False)
    known = PLUGINS.get(url.partition("://")[0].lower())
    if known is None:
        return apprise.Apprise.instantiate(url, asset=asset)
    module, name = known
    kind = getattr(importlib.import_module(f"apprise.plugins.{module}"), name)
    arguments = kind.parse_url(url)
    try:
        return kind(**arguments, asset=asset) if arguments else None
    except TypeError:  # what Apprise raises for an address that it parsed and cannot use
        return None


def _extend(url: str, arguments: dict[str, str]) -> str:
    """The address with arguments of ours; they come last, and the last one counts."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in arguments.items())
    return f"{url}{'&' if '?' in url else '?'}{query}"
