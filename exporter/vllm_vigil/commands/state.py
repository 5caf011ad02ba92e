"""`vigil incidents` and `vigil outbox`: what stands in the state file, read and mended also while the sidecar runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vllm_vigil.commands.moment import moment
from vllm_vigil.config.load import Recipe, state_directory
from vllm_vigil.config.settings import Config
from vllm_vigil.errors import UsageError
from vllm_vigil.incidents.rules import merge, runbook
from vllm_vigil.model import Incident
from vllm_vigil.recorder import bundle
from vllm_vigil.recorder.text import view
from vllm_vigil.redact import mask
from vllm_vigil.state.documents import incident_to_json
from vllm_vigil.state.rows import Word
from vllm_vigil.state.store import Store

SHOWN = 200


def list_incidents(recipe: Recipe, *, as_json: bool) -> int:
    """Print the incidents, newest first; 1 if one of them is open."""
    incidents = peek(recipe).recent_incidents(SHOWN)
    for incident in incidents:
        print(incident_to_json(incident) if as_json else _line(incident))
    if not incidents and not as_json:
        print("no incident")
    return int(any(incident.resolved is None for incident in incidents))


def show_incident(recipe: Recipe, key: str, *, as_json: bool) -> int:
    """Print all that is known of one incident, what to do first, and who was told what; 1 if it is open."""
    store = peek(recipe)
    incident = store.incident(key)
    if incident is None:
        raise UsageError(f"no incident {mask(key)}; `vigil incidents` lists the keys")
    words = store.rows.words(key)
    directory = bundles(recipe)
    document = bundle.read(directory, key)
    if as_json:
        told = {"told": [_word(word) for word in words], "bundle": str(directory / key) if document else None}
        print(json.dumps(json.loads(incident_to_json(incident)) | told))
        return int(incident.resolved is None)
    print(_line(incident))
    print(f"  rule {incident.rule}, last seen {moment(incident.updated)}")
    for name, value in incident.labels:
        print(f"  {name}: {mask(value)}")
    for line in _advice(recipe.load().config, incident):
        print(f"  {line}")
    for word in words:
        print("  told  " + "  ".join(str(value) for value in _word(word).values()))
    for line in incident.evidence:
        print(f"  | {mask(line)}")
    for line in _recorded(directory / key, document):
        print(f"  {line}".rstrip())
    return int(incident.resolved is None)


def _advice(config: Config, incident: Incident) -> Iterator[str]:
    """The first thing to do, and where the rest is written."""
    rule, watched = merge(config.rules).get(incident.rule), config.watch.get(incident.rule)
    remedy = (rule.remedy if rule else "") or (watched.remedy if watched else "")
    if first := mask(incident.fix) or remedy:
        yield f"do first: {first}"
    if url := runbook(incident.rule, config.notify.runbook_url):
        yield f"runbook: {url}"


def bundles(recipe: Recipe) -> Path:
    """Where the last minutes before incidents are kept."""
    return state_directory(recipe.load().config) / bundle.DIRECTORY


def _recorded(path: Path, document: dict[str, Any] | None) -> Iterator[str]:
    """What the flight recorder kept, as small lines."""
    if document is None:
        yield "nothing is recorded: it is written some seconds after an incident opens, unless `recorder:` is off,"
        yield "the disk is full or a storm of incidents was faster, and the oldest are taken away"
        return
    yield f"recorded: {path}"
    try:
        yield from ("", *view(document))
    except (KeyError, TypeError, ValueError) as error:
        yield f"which another version has written, and this one cannot read: {type(error).__name__}"


def resolve_incidents(recipe: Recipe, keys: list[str], *, as_json: bool) -> int:
    """Ask the sidecar to resolve open incidents: it does at its next tick, or at its next start if it is not running.

    The command does not do it itself: who owns the incidents also tells the channels, counters and Alertmanager.
    """
    store, now = peek(recipe), time.time()
    known = [incident.key for incident in store.open_incidents()]
    if not keys:
        raise UsageError(f"say which incident is over; {_open_ones(known)}")
    unknown = [mask(key) for key in keys if key not in known]
    if unknown:
        raise UsageError(f"no open incident {', '.join(unknown)}: nothing was resolved; {_open_ones(known)}")
    with store.transaction():
        for key in keys:
            store.wish(key, now)
    for key in keys:
        facts = {"action": "resolve", "key": key, "asked": moment(now)}
        print(json.dumps(facts) if as_json else f"{key} is resolved at the sidecar's next tick, or its next start")
    return 0


def list_outbox(recipe: Recipe, *, as_json: bool) -> int:
    """Print what waits to be delivered, oldest first; 1 if something does."""
    waiting = peek(recipe).rows.waiting()
    for notification, due in waiting:
        facts = {
            "id": notification.id,
            "channel": notification.channel,
            "reason": notification.reason,
            "key": notification.incident.key,
            "attempts": notification.attempts,
            "queued": moment(notification.queued),
            "next": moment(due),
        }
        if as_json:
            print(json.dumps(facts))
        else:
            print("  ".join(str(value) for value in facts.values()))
    if not waiting and not as_json:
        print("nothing waits")
    return int(bool(waiting))


def retry(recipe: Recipe, ids: list[int], *, as_json: bool) -> int:
    """Make rows due now: the named ones, also refused or dropped ones, or all that wait; 1 if there were none."""
    return _change(recipe, ids, "retry", as_json=as_json)


def drop(recipe: Recipe, ids: list[int], *, as_json: bool) -> int:
    """End the named rows undelivered; 1 if none of them waited."""
    if not ids:
        raise UsageError("say which: `vigil outbox` lists the ids of what waits")
    return _change(recipe, ids, "drop", as_json=as_json)


def peek(recipe: Recipe) -> Store:
    """The state file, whoever holds it."""
    return Store.peek(state_directory(recipe.load().config))


def _change(recipe: Recipe, ids: list[int], action: str, *, as_json: bool) -> int:
    store, now = peek(recipe), time.time()
    wanted = ids or [row.id for row, _ in store.rows.waiting()]
    with store.transaction():
        count = store.rows.drop(wanted, now) if action == "drop" else store.rows.retry(wanted, now)
    done = {"drop": "dropped", "retry": "due now"}[action]
    print(json.dumps({"action": action, "count": count}) if as_json else f"{count} {done}")
    return int(count == 0)


def _open_ones(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return f"open: {', '.join(keys[:SHOWN])}{more}" if keys else "none is open"


def _word(word: Word) -> dict[str, str]:
    outcome = "waits" if word.waits else str(word.outcome)
    return {"at": moment(word.at), "channel": word.channel, "reason": word.reason, "outcome": outcome}


def _line(incident: Incident) -> str:
    end = "open" if incident.resolved is None else f"resolved {moment(incident.resolved)}"
    server = incident.server or "host"
    what = f"{mask(incident.title)}  x{incident.count}"
    return f"{moment(incident.opened)}  {incident.severity:<8}  {server}  {what}  {end}  {incident.key}"
