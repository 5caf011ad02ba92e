"""What a source says of its trouble -> what to do about it, "" where the words say so themselves."""

from __future__ import annotations

import re

ROWS = (
    ("connection refused", "see that vLLM runs and listens there; while it loads its model it does not yet"),
    (
        "connection reset|cut short, or is not HTTP",
        "if it speaks TLS, write https:// in url; see that it is vLLM's port",
    ),
    ("certificate refused", "name the certificate that signed it: ca_file"),
    ("TLS failed", "if it speaks no TLS, write http:// in url"),
    ("cannot resolve", "write a host name that this machine knows, or its address"),
    ("timed out|unreachable|no route", "see that this machine reaches it and that it is not overloaded"),
    ("status 40[13]", "give it a token: bearer_file, or headers"),
    ("status 404", "give the root of vLLM's own address in url, without /v1"),
    ("status 3", "redirects are not followed: write in url where it sends to"),
    ("status 5", "read the log of vLLM, or of the proxy before it"),
    ("no samples at all", "see that url is that of vLLM"),
    ("libnvidia-ml.so.1 not found", "on a machine without one set gpu: {enabled: false}"),
)
"""A pattern found in the words of a failed reading, and the remedy: keys are those of `vllm:` unless they say so."""


def remedy(error: str) -> str:
    """The first row's that fits."""
    return next((text for pattern, text in ROWS if re.search(pattern, error)), "")
