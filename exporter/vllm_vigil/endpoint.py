"""Where a vLLM server is and how it is entered: address, headers, token, CA; and words for failures.

What asks a vLLM server, be it for its page or for a token, asks in the same way: no proxy of the environment, no
redirect, one deadline of the caller's own around every request.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from vllm_vigil.units import Secret

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One vLLM server. `name` becomes the label `server`; without one it is the URL's host:port."""

    name: str = ""
    url: str = "http://127.0.0.1:8000"
    headers: Mapping[str, Secret] = field(default_factory=dict)
    bearer: Secret | None = None
    ca_file: Path | None = None

    @property
    def server(self) -> str:
        """The label `server`."""
        if self.name:
            return self.name
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return host if parts.port else f"{host}:{443 if parts.scheme == 'https' else 80}"

    def to_send(self) -> dict[str, str]:
        """The headers of every request, by their names in lower case; secrets as they are."""
        headers = {name.lower(): value.reveal() for name, value in self.headers.items()}
        if self.bearer is not None:
            headers["authorization"] = f"Bearer {self.bearer.reveal()}"
        # A page from the same host is not worth compressing, and one that is not compressed cannot be a bomb.
        return headers | {"accept-encoding": "identity", "user-agent": "vllm-vigil"}

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, as (field, message)."""
        yield from _url_problems(self.url)
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                yield f"headers.{name}", "is not the name of an HTTP header"
            if not _can_be_sent(value):
                yield f"headers.{name}", "holds characters that an HTTP header cannot carry"
        if self.bearer is not None and not _can_be_sent(self.bearer):
            yield "bearer", "holds characters that an HTTP header cannot carry"
        if self.bearer is not None and any(name.lower() == "authorization" for name in self.headers):
            yield "bearer", "would be sent beside the header Authorization: give one of the two"
        if self.ca_file is not None and not self.ca_file.is_file():
            yield "ca_file", f"there is no file {self.ca_file}"


def trust(endpoint: Endpoint) -> ssl.SSLContext | None:
    """Whose certificates are believed; None without TLS. Raises OSError when `ca_file` is unusable."""
    if not endpoint.url.startswith("https:"):
        return None  # loading certificates takes 20 ms and 3 MB
    if endpoint.ca_file is not None:
        return ssl.create_default_context(cafile=endpoint.ca_file)
    import certifi  # noqa: PLC0415  # 1 MB that http does not need

    return ssl.create_default_context(cafile=certifi.where())


def words(error: BaseException) -> str:
    """The operating system's words at the root of a failure; the libraries between say less."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate refused: {cause.verify_message}"
        if isinstance(cause, socket.gaierror):
            return f"cannot resolve the host: {cause.strerror}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason}"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return f"{error}" or type(error).__name__


def _can_be_sent(value: Secret) -> bool:
    text = value.reveal()
    return text.isascii() and text.isprintable()


def _url_problems(url: str) -> Iterator[tuple[str, str]]:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number or above 65535, half an IPv6 address
        usable, parts = False, SplitResult("http", "", "", "", "")
    if parts.scheme not in {"http", "https"}:
        yield "url", "must begin with http:// or https://, such as http://127.0.0.1:8000"
    elif not usable:
        yield "url", "must be the address of a vLLM server, with a port up to 65535, such as http://127.0.0.1:8000"
    if parts.username is not None or parts.password is not None:
        yield "url", "must not hold a user or password: use bearer, or headers"
    if parts.query or parts.fragment:
        yield "url", "must not have a query or fragment"
    if parts.path.rstrip("/").endswith("/metrics"):
        yield "url", "must be the server's root: leave out /metrics, which is added"
