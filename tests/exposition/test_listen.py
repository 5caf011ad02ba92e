"""Addresses that can be had, and those that cannot."""

from __future__ import annotations

import socket

import pytest

from vllm_vigil.errors import VigilError
from vllm_vigil.exposition.listen import WebSettings, bind


@pytest.mark.parametrize(
    ("listen", "reached_at"), [("127.0.0.1:0", "127.0.0.1"), ("localhost:0", "127.0.0.1"), (":0", "127.0.0.1")]
)
def test_a_bound_address_can_be_connected_to_at_once(listen: str, reached_at: str) -> None:
    """The socket listens before anyone accepts."""
    with bind(listen) as bound, socket.create_connection((reached_at, bound.getsockname()[1]), timeout=5):
        pass


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("192.0.2.1:0", "set web.listen to an address of this machine"),
        ("no-such-host.invalid:0", "the name no-such-host.invalid has no address"),
    ],
)
def test_an_address_of_another_machine_cannot_be_had(listen: str, words: str) -> None:
    """The error names the address and the setting."""
    with pytest.raises(VigilError) as raised:
        bind(listen)
    assert str(raised.value).startswith(f"cannot listen on {listen}: ")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("listen", "loopback"),
    [
        ("127.0.0.1:9877", True),
        ("127.8.8.8:1", True),
        ("localhost:9877", True),
        ("[::1]:9877", True),
        (":9877", False),
        ("0.0.0.0:9877", False),
        ("[::]:9877", False),
        ("gpu-host:9877", False),
    ],
)
def test_only_loopback_is_this_machine_only(listen: str, *, loopback: bool) -> None:
    """A name other than localhost may be anyone's address."""
    assert [] == list(WebSettings(listen).problems())
    assert loopback is WebSettings(listen).loopback


@pytest.mark.parametrize("listen", ["", "9877", "::1:9877", "[::1]", "localhost:", "localhost:http", "a:65536", "a:-1"])
def test_a_listen_without_host_and_port_is_a_problem(listen: str) -> None:
    """The problem is that of `listen`, and shows how it is written."""
    ((path, message),) = WebSettings(listen).problems()
    assert path == "listen"
    assert "write host:port, such as 127.0.0.1:9877" in message
