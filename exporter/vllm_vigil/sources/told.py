"""What a vLLM server tells of itself once: the bodies of `/version` and `/v1/models` -> facts, "" for none."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping


def version_in(body: bytes) -> str:
    """The text under `version`."""
    version = _document(body).get("version")
    return version if isinstance(version, str) else ""


def max_model_len_in(body: bytes) -> str:
    """That of the first model: a server has one, under one or several names and with adapters."""
    models = _document(body).get("data")
    first = models[0] if isinstance(models, list) and models else None
    limit = first.get("max_model_len") if isinstance(first, dict) else None
    return str(limit) if type(limit) is int and 0 < limit < 10**12 else ""


def _document(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


ASKED_ONCE: Mapping[str, tuple[str, Callable[[bytes], str]]] = {
    "version": ("/version", version_in),
    "max_model_len": ("/v1/models", max_model_len_in),
}
"""Facts that stay while the server is up: where each is asked, and how it is found in the answer."""
