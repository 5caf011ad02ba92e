"""Addresses that can be had, and those that cannot."""

from __future__ import annotations

import socket

import pytest

from vllm_vigil.errors import VigilError
from vllm_vigil.exposition.listen import bind


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
