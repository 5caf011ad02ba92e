"""The file of `--web.config.file`: what is read, and what is refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vllm_vigil.errors import ConfigError
from vllm_vigil.exposition.web_config import Tls, WebConfig, read

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"
PAIR = {"cert_file": "server.crt", "key_file": "/etc/ssl/server.key"}
ETC = Path("/etc/vllm-vigil")


def test_a_whole_file_is_read() -> None:
    """TLS with paths relative to the file, users as secrets, headers; what is blank is as if it were not there."""
    found = read(
        {
            "tls_server_config": PAIR
            | {"client_ca_file": "ca.crt", "client_auth_type": "RequireAndVerifyClientCert", "min_version": "TLS13"},
            "basic_auth_users": {"ann": HASH},
            "http_server_config": {
                "http2": True,
                "headers": {"X-Frame-Options": "deny", "Content-Security-Policy": ""},
            },
        },
        ETC,
    )
    expected = Tls(
        ETC / "server.crt", Path("/etc/ssl/server.key"), ETC / "ca.crt", "RequireAndVerifyClientCert", "TLS13"
    )
    assert expected == found.tls
    assert {"X-Frame-Options": "deny"} == found.headers
    assert HASH == found.users["ann"].reveal()
    assert HASH not in repr(found)
    assert found.protected


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"tls_server_config": None},
        {"tls_server_config": {}},
        {"tls_server_config": {"cert_file": "", "client_auth_type": ""}},
        {"basic_auth_users": {}, "http_server_config": {"headers": None}},
    ],
)
def test_a_file_that_says_nothing_asks_for_nothing(document: dict[str, Any]) -> None:
    """Empty sections and texts are plain HTTP without users."""
    assert WebConfig() == read(document, ETC)
    assert not WebConfig().protected


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ({"rate_limit": {"burst": 1}}, "rate_limit", "is not supported: this may hold tls_server_config"),
        ({"tls_server_config": []}, "tls_server_config", "must be a mapping"),
        ({"basic_auth_users": "ann"}, "basic_auth_users", "must be a mapping"),
        ({"tls_server_config": {"cert_file": "a"}}, "tls_server_config.key_file", "is missing"),
        ({"tls_server_config": {"key_file": "a"}}, "tls_server_config.cert_file", "is missing"),
        ({"tls_server_config": PAIR | {"cert_file": 7}}, "tls_server_config.cert_file", "must be a text"),
        ({"tls_server_config": PAIR | {"cipher_suites": ["x"]}}, "tls_server_config.cipher_suites", "not supported"),
        ({"tls_server_config": PAIR | {"min_version": "TLS10"}}, "tls_server_config.min_version", "TLS12, TLS13"),
        (
            {"tls_server_config": PAIR | {"client_auth_type": "RequestClientCert", "client_ca_file": "a"}},
            "tls_server_config.client_auth_type",
            "use one of NoClientCert",
        ),
        ({"tls_server_config": PAIR | {"client_ca_file": "a"}}, "tls_server_config.client_ca_file", "go together"),
        (
            {"tls_server_config": PAIR | {"client_auth_type": "RequireAndVerifyClientCert"}},
            "tls_server_config.client_ca_file",
            "go together",
        ),
        ({"basic_auth_users": {"ann": "secret"}}, "basic_auth_users.ann", "is not a bcrypt hash: `htpasswd"),
        ({"basic_auth_users": {"ann": 7}}, "basic_auth_users.ann", "is not a bcrypt hash"),
        ({"basic_auth_users": {"a:b": HASH}}, "basic_auth_users.a:b", "cannot hold a colon"),
        (
            {"basic_auth_users": {"ann": HASH.replace("$10$", "$31$")}},
            "basic_auth_users.ann",
            "cost 31, which must lie between 4 and 15",
        ),
        ({"http_server_config": {"http2": "yes"}}, "http_server_config.http2", "must be true or false"),
        ({"http_server_config": {"headers": ["x"]}}, "http_server_config.headers", "must be a mapping"),
        ({"http_server_config": {"headers": {"X-Own": "a"}}}, "http_server_config.headers.X-Own", "not supported"),
        (
            {"http_server_config": {"headers": {"X-Frame-Options": "allow"}}},
            "http_server_config.headers.X-Frame-Options",
            "must be one of deny, sameorigin",
        ),
        (
            {"http_server_config": {"headers": {"X-XSS-Protection": "a\r\nSet-Cookie: b"}}},
            "http_server_config.headers.X-XSS-Protection",
            "must be one line of plain text",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path(document: dict[str, Any], path: str, words: str) -> None:
    """One line says where and what."""
    with pytest.raises(ConfigError) as raised:
        read(document, ETC)
    (line,) = [line for line in str(raised.value).splitlines() if line.startswith(f"{path}: ")]
    assert words in line


def test_everything_wrong_is_said_at_once_and_no_password_with_it() -> None:
    """The message has a line for each problem, and never the text that should have been a hash."""
    with pytest.raises(ConfigError) as raised:
        read({"basic_auth_users": {"ann": "hunter2", "bob": "hunter3"}, "web": 1}, ETC)
    assert ["web", "basic_auth_users.ann", "basic_auth_users.bob"] == [
        line.partition(": ")[0] for line in str(raised.value).splitlines()
    ]
    assert "hunter" not in str(raised.value)
