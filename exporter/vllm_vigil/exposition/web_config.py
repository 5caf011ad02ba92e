"""The mapping in a `--web.config.file` of exporter-toolkit -> TLS, users and headers, checked strictly.

The file format is the Prometheus family's, so that one file serves every exporter on a host. What we cannot do is
refused by name instead of ignored: a key about security that has no effect is worse than none. Paths in the file are
relative to its directory, as there.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vllm_vigil.errors import ConfigError
from vllm_vigil.units import Secret

SECTIONS = ("tls_server_config", "http_server_config", "basic_auth_users")
TLS_KEYS = ("cert_file", "key_file", "client_auth_type", "client_ca_file", "min_version")
HTTP_KEYS = ("headers", "http2")
REQUIRED = "RequireAndVerifyClientCert"
CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    REQUIRED: ssl.CERT_REQUIRED,
}
VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
HEADERS: Mapping[str, tuple[str, ...]] = {  # with the values that each may have, if it is a choice
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
COSTS = range(4, 16)  # 16 takes four seconds a login, and each one more doubles it
Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificate and key, and which certificates clients must show."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth_type: str = "NoClientCert"
    min_version: str = "TLS12"

    def context(self) -> ssl.SSLContext:
        """What the server needs. Reads the files; raises `ConfigError` if they cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = VERSIONS[self.min_version]
        _load(f"cert_file {self.cert_file} with key_file {self.key_file}", lambda: self._load_pair(context))
        if self.client_ca_file is not None:
            _load(f"client_ca_file {self.client_ca_file}", lambda: context.load_verify_locations(self.client_ca_file))
        context.verify_mode = CLIENT_AUTH[self.client_auth_type]
        return context

    def _load_pair(self, context: ssl.SSLContext) -> None:
        # Without a password given, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(self.cert_file, self.key_file, password="")


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What the file says. `users` holds bcrypt hashes by name; empty means that nobody has to log in."""

    tls: Tls | None = None
    users: Mapping[str, Secret] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def protected(self) -> bool:
        """Whether strangers are kept out, by a password or by a certificate."""
        return bool(self.users) or (self.tls is not None and self.tls.client_auth_type == REQUIRED)


def read(document: Mapping[str, Any], directory: Path) -> WebConfig:
    """The file's content, checked. Raises `ConfigError` with one line for each thing that is wrong."""
    problems = list(_problems(document))
    if problems:
        raise ConfigError("\n".join(f"{path}: {message}" for path, message in problems))
    tls = _given(document.get("tls_server_config"))
    http = _given(document.get("http_server_config"))
    users = _given(document.get("basic_auth_users"))
    paths = {key: directory / value if key.endswith("_file") else value for key, value in tls.items()}
    return WebConfig(
        tls=Tls(**paths) if paths else None,
        users={name: Secret(hashed) for name, hashed in users.items()},
        headers=_given(http.get("headers")),
    )


def _given(section: Mapping[str, Any] | None) -> dict[str, Any]:
    """The keys that say something; as in Go, an empty text is the same as no key."""
    return {key: value for key, value in (section or {}).items() if value not in ("", None)}


def _problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _unknown(document, "", SECTIONS)
    for section, check in (
        ("tls_server_config", _tls_problems),
        ("http_server_config", _http_problems),
        ("basic_auth_users", _user_problems),
    ):
        value = document.get(section)
        if isinstance(value, Mapping):
            yield from check(_given(value))
        elif value is not None:
            yield section, "must be a mapping"


def _tls_problems(tls: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _unknown(tls, "tls_server_config.", TLS_KEYS)
    for key, value in tls.items():
        if key in TLS_KEYS and not isinstance(value, str):
            yield f"tls_server_config.{key}", "must be a text"
    if tls:
        for key in ("cert_file", "key_file"):
            if key not in tls:
                yield f"tls_server_config.{key}", "is missing: TLS needs a certificate and its key"
    yield from _choice(tls, "client_auth_type", CLIENT_AUTH)
    yield from _choice(tls, "min_version", VERSIONS)
    asks = tls.get("client_auth_type", "NoClientCert") != "NoClientCert"
    if asks != ("client_ca_file" in tls):
        yield "tls_server_config.client_ca_file", "client_ca_file and a client_auth_type that verifies go together"


def _choice(tls: Mapping[str, Any], key: str, allowed: Mapping[str, Any]) -> Iterator[Problem]:
    if isinstance(tls.get(key), str) and tls[key] not in allowed:
        yield f"tls_server_config.{key}", f"{tls[key]!r} is not supported: use one of {', '.join(allowed)}"


def _http_problems(http: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _unknown(http, "http_server_config.", HTTP_KEYS)
    if not isinstance(http.get("http2", True), bool):
        # Accepted and without effect: a client that would like HTTP/2 gets HTTP/1.1, as it must be ready for.
        yield "http_server_config.http2", "must be true or false"
    headers = http.get("headers") or {}
    if not isinstance(headers, Mapping):
        yield "http_server_config.headers", "must be a mapping"
        return
    yield from _unknown(headers, "http_server_config.headers.", tuple(HEADERS))
    for name, value in _given(headers).items():
        choices = HEADERS.get(name, ())
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            yield f"http_server_config.headers.{name}", "must be one line of plain text"
        elif choices and value not in choices:
            yield f"http_server_config.headers.{name}", f"must be one of {', '.join(choices)}"


def _user_problems(users: Mapping[str, Any]) -> Iterator[Problem]:
    for name, hashed in users.items():
        path = f"basic_auth_users.{name}"
        match = BCRYPT.fullmatch(hashed) if isinstance(hashed, str) else None
        if ":" in name:
            yield path, "a user's name cannot hold a colon"
        elif not match:
            yield path, "is not a bcrypt hash: `htpasswd -nBC 10 NAME` makes one"
        elif int(match[1]) not in COSTS:
            yield path, f"has cost {int(match[1])}, which must lie between {COSTS[0]} and {COSTS[-1]}"


def _unknown(found: Mapping[str, Any], prefix: str, allowed: tuple[str, ...]) -> Iterator[Problem]:
    for key in found:
        if key not in allowed:
            yield f"{prefix}{key}", f"is not supported: this may hold {', '.join(allowed)}"


def _load(what: str, call: Callable[[], None]) -> None:
    try:
        call()
    except ssl.SSLError as error:
        raise ConfigError(f"cannot use tls_server_config's {what}: {error.reason or 'it is not valid PEM'}") from error
    except OSError as error:
        raise ConfigError(f"cannot read tls_server_config's {what}: {error.strerror}") from error
