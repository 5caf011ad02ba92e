"""Flags and environment variables -> the same tree that a file gives, laid over it.

For those who want no file: `--vllm URL --log PATH --notify APPRISE_URL` and the variables of the same names. What is
given here replaces the file's servers or its whole `notify` section: half of each would be nobody's intention.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vllm_vigil.config.document import Node
from vllm_vigil.errors import UsageError

_NAMED_URL = re.compile(r"([\w.-]+)=(https?://.*)")
_NAMED_KIND = re.compile(r"(?:([\w.-]+)=)?(journal|docker):(.+)")
_NAMED_PATH = re.compile(r"([\w.-]+)=(/.*|~.*|\./.*)")
_COMMA_BEFORE_URL = re.compile(r",(?=\s*[A-Za-z][\w.+-]*(?:=[\w+-]+)?://)")


@dataclass(frozen=True, slots=True)
class Given:
    """What was given outside the file, and what to call the place: `flag --{}` or `environment VIGIL_{}`."""

    place: str
    vllm: Sequence[str] = ()
    log: Sequence[str] = ()
    notify: Sequence[str] = ()
    listen: str | None = None
    state_dir: str | None = None
    stdin: str | None = None

    def origin(self, name: str) -> str:
        """Where a value of this name was given."""
        name = name.replace("_", "-") if self.place.startswith("flag") else name.upper()
        return self.place.format(name)


def from_environment(environment: Mapping[str, str]) -> Given:
    """The `VIGIL_*` variables; lists are comma-separated."""
    return Given(
        place="environment VIGIL_{}",
        vllm=_split(environment.get("VIGIL_VLLM", "")),
        log=[part.strip() for part in environment.get("VIGIL_LOG", "").split(",") if part.strip()],
        notify=_split(environment.get("VIGIL_NOTIFY", "")),
        listen=environment.get("VIGIL_LISTEN") or None,
        state_dir=environment.get("VIGIL_STATE_DIR") or None,
    )


def lay_over(document: Node, given: Given) -> Node:
    """The document with what was given in place of what it says. Raises `UsageError` when it cannot be placed."""
    tree: dict[str, Node] = dict(document.value)
    if given.vllm:
        origin = given.origin("vllm")
        tree["vllm"] = Node([_server(text, origin) for text in given.vllm], origin)
    if given.log or given.stdin is not None:
        tree["vllm"] = _with_logs(tree.get("vllm"), given)
    if given.notify:
        tree["notify"] = _notify(given)
    if given.listen:
        web = tree.get("web")
        keys = dict(web.value) if web and isinstance(web.value, dict) else {}
        tree["web"] = Node(keys | {"listen": Node(given.listen, given.origin("listen"))}, given.origin("listen"))
    if given.state_dir:
        tree["state_dir"] = Node(given.state_dir, given.origin("state_dir"))
    return Node(tree, document.origin)


def _server(text: str, origin: str) -> Node:
    named = _NAMED_URL.fullmatch(text)
    keys = {"name": named[1], "url": named[2]} if named else {"url": text}
    return Node({key: Node(value, origin) for key, value in keys.items()}, origin)


def _with_logs(servers: Node | None, given: Given) -> Node:
    """The servers, each with the logs that were given for it; one server needs no name."""
    origin = given.origin("log")
    entries: list[Node] = list(servers.value) if servers and isinstance(servers.value, list) else []
    entries = entries or [Node({}, origin)]
    if servers and not all(isinstance(entry.value, dict) for entry in entries):
        return servers  # its shape is wrong, which is reported where it stands
    by_server: dict[int, list[Node]] = {}
    for text in given.log:
        kind = _NAMED_KIND.fullmatch(text)
        if kind:
            entry = Node({kind[2]: Node(kind[3], origin)}, origin)
            by_server.setdefault(_index(entries, kind[1], origin), []).append(entry)
            continue
        named = _NAMED_PATH.fullmatch(text)
        index = _index(entries, named[1] if named else None, origin)
        # a flag is given in some working directory, a file is not: there paths are written in full
        full = str(Path(os.path.expanduser(named[2] if named else text)).absolute())  # noqa: PTH111  # bears no home
        path = Node({"path": Node(full, origin)}, origin)
        by_server.setdefault(index, []).append(path)
    if given.stdin is not None:
        stdin = given.origin("stdin")
        index = _index(entries, given.stdin or None, stdin)
        by_server.setdefault(index, []).append(Node({"stdin": Node(value=True, origin=stdin)}, stdin))
    for index, logs in by_server.items():
        entries[index] = Node(dict(entries[index].value) | {"logs": Node(logs, origin)}, entries[index].origin)
    return Node(entries, servers.origin if servers else origin)


def _index(entries: list[Node], name: str | None, origin: str) -> int:
    names = [entry.value["name"].value if "name" in entry.value else "" for entry in entries]
    if name is None and len(entries) == 1:
        return 0
    if name in names:
        return names.index(name)
    known = ", ".join(name for name in names if name) or "none has one"
    raise UsageError(f"{origin}: say whose log it is with NAME=PATH, NAME being that of a server ({known})")


def _notify(given: Given) -> Node:
    """Channels named after their service; two of the same are numbered."""
    origin = given.origin("notify")
    channels: dict[str, Node] = {}
    for url in given.notify:
        service = re.split(r"[^A-Za-z0-9]", url.strip(), maxsplit=1)[0].lower() or "channel"
        service = {"https": "webhook", "http": "webhook"}.get(service, service)
        name, number = service, 2
        while name in channels:
            name, number = f"{service}-{number}", number + 1
        channels[name] = Node({"url": Node(url.strip(), origin, hidden=True)}, origin)
    return Node({"channels": Node(channels, origin)}, origin)


def _split(text: str) -> list[str]:
    return [part.strip() for part in _COMMA_BEFORE_URL.split(text) if part.strip()]
