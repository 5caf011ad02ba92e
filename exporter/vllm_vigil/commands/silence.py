"""`vigil silence`: incidents that nobody is to be told of for a while, kept in the state file of the sidecar."""

from __future__ import annotations

import getpass
import json
import os
import time

from vllm_vigil.commands.moment import moment
from vllm_vigil.commands.state import peek
from vllm_vigil.config.load import Recipe
from vllm_vigil.errors import UsageError
from vllm_vigil.model import Labels, Silence
from vllm_vigil.redact import mask
from vllm_vigil.units import parse_duration


def add(recipe: Recipe, match: list[str], *, duration: str, author: str | None, comment: str) -> int:
    """Silence what agrees with every NAME=VALUE from now on; print the id by which it can be ended."""
    now = time.time()
    try:
        ends = now + parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error
    if not match:
        raise UsageError("say what: NAME=VALUE such as server=llama, rule=gpu_hot, severity=warning or a label")
    silence = Silence(0, _pairs(match), now, ends, author or _user(), comment)
    store = peek(recipe)
    with store.transaction():
        id_ = store.silence(silence)
    print(f"silence {id_}: {_words(silence)}")
    return 0


def list_silences(recipe: Recipe, *, as_json: bool) -> int:
    """Print the silences that hold, the first to end first."""
    silences = peek(recipe).silences(time.time())
    for each in silences:
        if as_json:
            facts = {"begins": moment(each.begins), "ends": moment(each.ends), "author": each.author}
            print(json.dumps({"id": each.id, "match": dict(each.match), **facts, "comment": each.comment}))
        else:
            print(f"{each.id}  {_words(each)}")
    if not silences and not as_json:
        print("no silence")
    return 0


def expire(recipe: Recipe, ids: list[int]) -> int:
    """End silences now; 1 if one of them had ended or never was."""
    if not ids:
        raise UsageError("say which: `vigil silence list` shows the ids")
    store = peek(recipe)
    with store.transaction():
        ended = [store.expire(id_, time.time()) for id_ in ids]
    for id_, done in zip(ids, ended, strict=True):
        print(f"silence {id_} ended" if done else f"no silence {id_}")
    return int(not all(ended))


def _pairs(match: list[str]) -> Labels:
    pairs = []
    for text in match:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"{text!r} is no matcher: write NAME=VALUE, such as server=llama")
        pairs.append((name, value))
    return tuple(sorted(pairs))


def _user() -> str:
    """Who asks: by name, or by number where the machine knows no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the second from Python 3.13 on
        return f"uid {os.getuid()}"


def _words(silence: Silence) -> str:
    match = ", ".join(f"{mask(name)}={mask(value)}" for name, value in silence.match)
    why = f": {mask(silence.comment)}" if silence.comment else ""
    return f"{match} until {moment(silence.ends)} by {mask(silence.author)}{why}"
