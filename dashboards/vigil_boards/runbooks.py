"""Where the runbooks are: one page per alert and per rule, named after it."""

from __future__ import annotations

URL = "https://github.com/vllm-vigil/vllm-vigil/blob/main/docs/runbooks/"


def url(identity: str) -> str:
    """The page of an alert or of a rule of the sidecar."""
    return f"{URL}{identity}.md"
